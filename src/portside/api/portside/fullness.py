"""What is nearly full, in sentences for `portside status`."""

from collections.abc import Callable, Iterator

from portside.api.portside.meter import Fill
from portside.api.portside.meter import is_nearly_full as _is_nearly_full
from portside.api.portside.volume import user_of
from portside.domain import docker_volume
from portside.domain.docker_volume import KeptVolume
from portside.domain.ebs import VolumeUsage
from portside.domain.table import DOCKER_VOLUME, EBS_VOLUME, TASK
from portside.domain.task.record import TaskStatus
from portside.store.interface import Store


def problems(
    store: Store,
    *,
    disk: Fill,
    of_task: Callable[[str], Fill],
    in_memory: Callable[[KeptVolume], Fill],
    of_ebs: Callable[[str], VolumeUsage | None],
) -> Iterator[str]:
    """What is lost, too.

    Args: disk: that of the data directory; of_task: a task's ephemeral storage, by its id; in_memory: a tmpfs;
        of_ebs: a volume of EBS, by its id; None if its file is missing."""
    if _is_nearly_full(disk):
        yield f"the disk of the data directory is {_words(disk)}: file systems and volumes have no more room than that"
    for task in store.scan(TASK):
        if task.last_status < TaskStatus.STOPPED and _is_nearly_full(fill := of_task(task.id)):
            yield f"the ephemeral storage of task {task.cluster}/{task.id} ({task.group}) is {_words(fill)}"
    for kept in store.scan(DOCKER_VOLUME):
        if docker_volume.local_mount(kept.name, kept.driver_opts).kind == "tmpfs" and _is_nearly_full(
            fill := in_memory(kept)
        ):
            yield f"the volume {kept.name} ({kept.id}) of instance {kept.instance_id} is {_words(fill)}"

    for volume in store.scan(EBS_VOLUME):
        if volume.status == "error":
            yield f"the EBS volume {volume.id} could not be made: {volume.reason}"
        elif volume.attached_at is not None:
            usage, holder = of_ebs(volume.id), f"task {user_of(volume)}"
            if volume.instance_id:
                holder = f"instance {volume.instance_id}"
            if usage is None:
                yield f"the file of the EBS volume {volume.id} is missing, which {holder} uses"
            elif usage.is_nearly_full:
                yield f"the EBS volume {volume.id} of {holder} is {_words(usage.fill)}"
            elif usage.is_read_only:
                yield f"the EBS volume {volume.id} of {holder} is read-only: its file system met an error"


def _words(fill: Fill) -> str:
    assert fill is not None
    used, size = fill
    return f"{100 * used // size} % full ({_size(used)} of {_size(size)})"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
