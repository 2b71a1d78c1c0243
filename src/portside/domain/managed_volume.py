"""The EBS volume that ECS makes for each task: what was asked for at its launch.

Source: API_TaskManagedEBSVolumeConfiguration, API_ServiceManagedEBSVolumeConfiguration; ECS developer guide, "Use
Amazon EBS volumes with Amazon ECS".
"""

from typing import Final, Literal

from portside.domain.ebs import VolumeType
from portside.domain.record import Record, Tag, Tags, replace

RESERVED_TAGS: Final = ("AmazonECSCreated", "AmazonECSManaged")
Propagate = Literal["NONE", "TASK_DEFINITION", "SERVICE"]
FileSystemType = Literal["ext3", "ext4", "xfs"]


class ManagedVolume(Record, frozen=True, kw_only=True):
    """`volume`: the name in the task definition. Of what is None EC2 decides. `tags`: of the volume, once it is of a
    task with those that are propagated."""

    volume: str
    role_arn: str
    size_gib: int | None = None
    type: VolumeType = "gp3"
    iops: int | None = None
    throughput: int | None = None
    snapshot_id: str = ""
    file_system: FileSystemType = "xfs"
    is_encrypted: bool | None = None
    kms_key_id: str = ""
    tags: Tags = ()
    propagate_tags: Propagate = "NONE"
    delete_on_termination: bool = True
    initialization_rate: int | None = None  # MiB/s; kept and shown


def of_task(asked: ManagedVolume | None, *, definition_tags: Tags, service_tags: Tags = ()) -> ManagedVolume | None:
    """With the tags that it gets from elsewhere; its own win."""
    if asked is None:
        return None
    source = {"NONE": (), "TASK_DEFINITION": definition_tags, "SERVICE": service_tags}[asked.propagate_tags]
    own = {each.key for each in asked.tags}
    return replace(asked, tags=(*asked.tags, *(each for each in source if each.key not in own)))


def volume_tags(asked: ManagedVolume, task_arn: str, task_tags: Tags) -> Tags:
    """All of the volume's tags: those that ECS gives, too."""
    managed = tuple(each for each in task_tags if each.key.startswith("aws:ecs:"))
    created, is_managed = RESERVED_TAGS
    return (Tag(key=created, value=task_arn), Tag(key=is_managed, value="true"), *managed, *asked.tags)


def no_trust(role_arn: str) -> str:
    """Why a task ends whose infrastructure role leaves ECS out."""
    return (
        f"ECS was unable to assume the configured ECS Infrastructure Role '{role_arn}'. Please verify that the role "
        "being passed has the proper trust relationship with Amazon ECS"
    )
