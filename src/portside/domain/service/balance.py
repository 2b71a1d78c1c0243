"""Availability Zone rebalancing: whether a service's tasks are even over its zones, and where the next one goes. Pure.

Sources: ECS developer guide, "Balancing an Amazon ECS service across Availability Zones"; API_CreateService.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from portside.domain.placement import Constraints, Strategy
from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

ZONE: Final = "attribute:ecs.availability-zone"

Rebalancing = Literal["ENABLED", "DISABLED"]


class Move(Record, frozen=True, kw_only=True):
    """So many tasks to be started in a zone, for as many that go elsewhere."""

    zone: str
    count: int


def hindrance(
    *,
    is_daemon: bool,
    is_classic: bool,
    maximum_percent: int,
    strategies: Sequence[Strategy],
    constraints: Constraints,
) -> str:
    """Why a service so configured can not be rebalanced; empty if it can."""
    if is_daemon:
        return "the daemon scheduling strategy"
    if is_classic:
        return "Classic Load Balancers"
    if maximum_percent <= 100:
        return "a maximumPercent of 100"
    if strategies and (strategies[0].type, strategies[0].field) != ("spread", ZONE):
        return f"a first placement strategy other than spread over {ZONE}"
    if any(ZONE in each for each in constraints.expressions):
        return f"placement constraints on {ZONE}"
    return ""


def check(asked: Rebalancing | None, hindered_by: str) -> None:
    """
    Raises:
        Refused: it is asked for, and the service's configuration has no room for it.
    """
    if asked == "ENABLED" and hindered_by:
        raise Refused(
            RefusalKind.INVALID,
            f"Availability Zone rebalancing is not supported for services with {hindered_by}.",
            "availabilityZoneRebalancing",
        )


def counted(zones: Collection[str], of_tasks: Iterable[str]) -> dict[str, int]:
    """Zone -> tasks there, for all zones that tasks may be in, in their order.

    Args:
        of_tasks: the zone of each task; those of zones that are none of the service's any more are left out.
    """
    counts = Counter(of_tasks)
    return {zone: counts[zone] for zone in sorted(zones)}


def is_even(counts: Mapping[str, int]) -> bool:
    return len(counts) < 2 or max(counts.values()) - min(counts.values()) <= 1


def move(counts: Mapping[str, int]) -> Move | None:
    """What evens the zones out next; None if they are even."""
    if is_even(counts):
        return None
    zone = min(counts, key=lambda each: (counts[each], each))
    fair = sum(counts.values()) // len(counts)
    return Move(zone=zone, count=max(1, fair - counts[zone]))
