"""How full storage is, as the node can tell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from portside.domain.docker_volume import KeptVolume, LocalMount
from portside.domain.ebs import VolumeUsage

NEARLY: Final = 0.9
"""From here on a person should know."""
Fill = tuple[int, int] | None
"""Bytes used, and how many there can be; None where nothing is or no limit is set."""


@dataclass(frozen=True, kw_only=True)
class Meters:
    """Bytes that are used, by what the node knows; None: it can not be told now. They look at disks: not in the loop's
    thread."""

    file_system: Callable[[str], int]
    docker_volume: Callable[[KeptVolume], int | Fill]
    block_storage: Callable[[str], VolumeUsage | None]  # of a volume of EBS; None: its file is missing
    place: Callable[[KeptVolume], str]  # where its files are; "" where it has none of its own
    ephemeral: Callable[[str], Fill]  # of a task, by its id
    task_volume: Callable[[str, str, int | None], int | None]  # of a task, by its name; None with more files than that
    mounted: Callable[[str, LocalMount], Fill]  # of a tmpfs or disk that tasks have mounted, by its own id
    instance_path: Callable[[str, str, int | None], int | None]  # of an instance; None with more files than that


def filled(measure: Callable[[], int | Fill]) -> dict[str, Any]:
    """The members that say how full something is."""
    match measure():
        case (used, size):
            return {"sizeBytes": used, "capacityBytes": size, "isNearlyFull": is_nearly_full((used, size))}
        case used:
            return {"sizeBytes": used}


def is_nearly_full(fill: Fill) -> bool:
    return fill is not None and fill[1] > 0 and fill[0] >= NEARLY * fill[1]
