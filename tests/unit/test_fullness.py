"""What `portside status` says of storage that is nearly full."""

from datetime import UTC, datetime

from portside.api.portside.fullness import problems
from portside.domain.docker_volume import KeptVolume
from portside.domain.ebs import EbsVolume, VolumeUsage
from portside.domain.record import Scope
from portside.domain.table import DOCKER_VOLUME, EBS_VOLUME, TASK
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def task(task_id: str, status: TaskStatus) -> Task:
    return Task(
        scope=SCOPE,
        cluster="c",
        id=task_id,
        task_definition_arn="arn",
        family="f",
        revision=1,
        group="family:f",
        launch_type="FARGATE",
        containers=(),
        created_at=NOW,
        cause_id="test",
        last_status=status,
    )


def kept(name: str, **options: str) -> KeptVolume:
    return KeptVolume(
        scope=SCOPE, instance_id="i-1", name=name, id=f"dv-{name}", driver_opts=dict(options), created_at=NOW
    )


def test_from_nine_tenths_on() -> None:
    """The disk, tasks that are not stopped, volumes in memory; what has no limit and what is below are not named."""
    store = MemoryStore()
    store.transact(
        Put(TASK, task("full", TaskStatus.RUNNING)),
        Put(TASK, task("half", TaskStatus.RUNNING)),
        Put(TASK, task("over", TaskStatus.STOPPED)),
        Put(DOCKER_VOLUME, kept("memory", type="tmpfs", device="tmpfs")),
        Put(DOCKER_VOLUME, kept("idle", type="tmpfs", device="tmpfs")),
        Put(DOCKER_VOLUME, kept("folder")),
    )
    fills = {"full": (19_000_000_000, 20_000_000_000), "half": (1, 2), "over": (1, 1)}
    memory = {"memory": (900_000, 1_000_000), "folder": (1, 1)}
    found = list(
        problems(
            store,
            disk=(95, 100),
            of_task=fills.get,
            in_memory=lambda kept: memory.get(kept.name),
            of_ebs=lambda _: None,
        )
    )
    assert found == [
        "the disk of the data directory is 95 % full (0.0 MB of 0.0 MB): file systems and volumes have no more room "
        "than that",
        "the ephemeral storage of task c/full (family:f) is 95 % full (19.0 GB of 20.0 GB)",
        "the volume memory (dv-memory) of instance i-1 is 90 % full (0.9 MB of 1.0 MB)",
    ]
    assert not list(problems(store, disk=None, of_task=lambda _: None, in_memory=lambda _: None, of_ebs=lambda _: None))


def ebs(volume_id: str, **more: object) -> EbsVolume:
    given = {"zone": "us-east-1a", "size_gib": 1, "type": "gp3", "created_at": NOW, **more}
    return EbsVolume(scope=SCOPE, id=volume_id, **given)  # type: ignore[arg-type]


def test_volumes_of_ebs_that_are_full_lost_or_never_were() -> None:
    """With the task that uses them; one that nobody uses is nobody's problem."""
    store = MemoryStore()
    used = {"owner": "000000000000/us-east-1/c/t", "attached_at": NOW, "status": "in-use"}
    store.transact(
        *(Put(EBS_VOLUME, ebs(name, **used)) for name in ("vol-full", "vol-half", "vol-lost")),
        Put(EBS_VOLUME, ebs("vol-never", status="error", reason="no space")),
        Put(EBS_VOLUME, ebs("vol-unused", status="available")),
    )

    def usage(volume_id: str) -> VolumeUsage | None:
        used_bytes = {"vol-full": 90, "vol-half": 50}.get(volume_id)
        if used_bytes is None:
            return None
        return VolumeUsage(size_bytes=100, stored_bytes=0, used_bytes=used_bytes, capacity_bytes=100)

    found = problems(store, disk=None, of_task=lambda _: None, in_memory=lambda _: None, of_ebs=usage)
    assert list(found) == [
        "the EBS volume vol-full of task c/t is 90 % full (0.0 MB of 0.0 MB)",
        "the file of the EBS volume vol-lost is missing, which task c/t uses",
        "the EBS volume vol-never could not be made: no space",
    ]
