"""Volumes of EBS that are tasks' own: made for one, in its zone, and left or deleted at its end."""

from collections.abc import Awaitable, Callable
from typing import Final

from portside.domain import arn, ebs, managed_volume, trust
from portside.domain.clock import Clock, Ids
from portside.domain.ebs import EbsVolume
from portside.domain.managed_volume import ManagedVolume
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import EBS_SNAPSHOT, EBS_VOLUME, ROLE
from portside.domain.task.record import EbsAttachment, Task
from portside.store.interface import ABSENT, Put, Store

ECS_SERVICE: Final = "ecs.amazonaws.com"


class ManagedVolumes:
    """Args: until_made: returns once the volume of that key is there. Raises Refused."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, until_made: Callable[[str], Awaitable[EbsVolume]]) -> None:
        self._store, self._clock, self._ids, self._until_made = store, clock, ids, until_made

    async def create(self, task: Task, asked: ManagedVolume, zone: str) -> EbsAttachment:
        """The task's volume, once it can be attached. Idempotent. Raises Refused, in the words of a stopped task."""
        held = self._store.find(EBS_VOLUME, "owner", task.key)
        volume = held[0] if held else self._recorded(task, asked, zone)
        try:
            made = await self._until_made(volume.key)
        except Refused as refused:
            raise _failed(refused.message) from None
        return EbsAttachment(volume_id=made.id, zone=made.zone)

    def attached(self, task: Task) -> None:
        """From here on the task may write there. Idempotent."""
        for volume in self._store.find(EBS_VOLUME, "owner", task.key):
            if volume.attached_at is None:
                used = replace(volume, status="in-use", attached_at=self._clock.now())
                self._store.transact(Put(EBS_VOLUME, used))

    def release(self, task: Task) -> None:
        """The task has no volume any more. Idempotent."""
        for volume in self._store.find(EBS_VOLUME, "owner", task.key):
            left = replace(volume, owner="", owner_arn="", attached_at=None)
            if volume.delete_on_termination or volume.status == "error":
                left = replace(left, status="deleting")
            elif volume.status == "in-use":
                left = replace(left, status="available")
            self._store.transact(Put(EBS_VOLUME, left))

    def _recorded(self, task: Task, asked: ManagedVolume, zone: str) -> EbsVolume:
        self._check_role(task, asked.role_arn)
        snapshot = None
        if asked.snapshot_id:
            snapshot = self._store.get(EBS_SNAPSHOT, f"{task.scope.prefix}{asked.snapshot_id}")
            if snapshot is None:
                raise _failed(f"InvalidSnapshot.NotFound: The snapshot '{asked.snapshot_id}' does not exist.")
        size_gib = asked.size_gib if asked.size_gib is not None or snapshot is None else snapshot.size_gib
        assert size_gib is not None, "a size or a snapshot is asked for"
        try:
            shape = ebs.shape(asked.type, size_gib, asked.iops, asked.throughput)
            if snapshot is not None:
                ebs.check_snapshot(snapshot, shape.size_gib)
        except Refused as refused:
            raise _failed(refused.message) from None
        task_arn = arn.task(task.scope, task.cluster, task.id)
        volume = EbsVolume(
            scope=task.scope,
            id=f"vol-{self._ids.hex(17)}",
            zone=zone,
            size_gib=shape.size_gib,
            type=shape.type,
            iops=shape.iops,
            throughput=shape.throughput,
            is_encrypted=bool(asked.is_encrypted) or (snapshot is not None and snapshot.is_encrypted),
            kms_key_id=asked.kms_key_id or (snapshot.kms_key_id if snapshot is not None else ""),
            snapshot_id=asked.snapshot_id,
            owner=task.key,
            owner_arn=task_arn,
            delete_on_termination=asked.delete_on_termination,
            tags=managed_volume.volume_tags(asked, task_arn, task.tags),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(EBS_VOLUME, volume, expect=ABSENT))
        return volume

    def _check_role(self, task: Task, role_arn: str) -> None:
        """One that IAM does not hold is passed over, as tasks' roles are."""
        account, _, name = role_arn.removeprefix("arn:").partition("role/")
        owner = account.split(":")[3] if name else task.scope.account
        known = self._store.get(ROLE, f"{owner}/{(name or role_arn).rpartition('/')[2]}")
        if known is not None and not trust.admits_service(known.assume_role_policy, ECS_SERVICE):
            raise Refused(RefusalKind.INVALID, managed_volume.no_trust(role_arn), "roleArn")


def _failed(cause: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"ECS was unable to create the EBS volume for your Task: {cause}", "volume")
