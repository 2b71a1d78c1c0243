"""The loop of EBS: volumes and snapshots that were asked for come to be, change and go.

One worker for each volume, since what is done to its file is done one after the other, snapshots included; one more
removes what no record names any more, also what a killed daemon did not get to.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from portside.control.loop import Loop
from portside.domain import ebs
from portside.domain.clock import Clock
from portside.domain.ebs import EbsSnapshot, EbsVolume, Rates
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import EBS_SNAPSHOT, EBS_VOLUME, TASK
from portside.store.interface import Change, Delete, Put, Store

log = logging.getLogger(__name__)

T = TypeVar("T")

PARALLEL: Final = 4
"""Files that are worked on at once."""
RETRY: Final = timedelta(seconds=5)
_SWEEP: Final = ""
"""No volume has this key."""


class Storage(Protocol):
    """The files; all of it blocks and is idempotent. `node/rootfs/ebs.py` is the real one."""

    def make(self, volume_id: str, size_bytes: int, snapshot_id: str = "") -> None:
        """Raises OSError."""
        ...

    def grow(self, volume_id: str, size_bytes: int) -> None:
        """Raises OSError."""
        ...

    def remove(self, volume_id: str) -> None:
        """Raises OSError."""
        ...

    def plug(self, volume_id: str) -> str:
        """Returns: the path of the block device that it is. Raises OSError; FileNotFoundError, it has no file."""
        ...

    def unplug(self, volume_id: str) -> None:
        """Raises OSError: it is in use."""
        ...

    def limit(self, volume_id: str, rates: Rates | None, *, instance_id: str = "", task_id: str = "") -> None:
        """Hold whoever has it to its rates, where that is done at all; None: nobody has it."""
        ...

    def snapshot(self, volume_id: str, snapshot_id: str) -> int:
        """Returns: bytes that it holds. Raises OSError."""
        ...

    def copy_snapshot(self, source_id: str, snapshot_id: str) -> int:
        """Returns: bytes that it holds. Raises OSError."""
        ...

    def names(self) -> set[str]:
        """The volumes that have a file."""
        ...

    def snapshot_names(self) -> set[str]: ...

    def remove_snapshots(self, snapshot_ids: Collection[str]) -> None:
        """These, and what a take that was cut short left. Raises OSError."""
        ...


class Devices(Protocol):
    """The device files of instances. `node/rootfs/instance_folder.py` is the real one."""

    def put_device(self, instance_id: str, device: str, block_device: str) -> None:
        """Raises OSError."""
        ...

    def remove_device(self, instance_id: str, device: str) -> None:
        """Raises OSError."""
        ...


class EbsLoop:
    def __init__(self, store: Store, clock: Clock, storage: Storage, devices: Devices) -> None:
        self._store, self._clock, self._storage, self._devices = store, clock, storage, devices
        self._loop = Loop("ebs", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None
        self._settled = asyncio.Condition()
        # Of its own: large snapshots take their time, and nothing else is to wait for them.
        self._threads = ThreadPoolExecutor(PARALLEL, thread_name_prefix="ebs")

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for volume in self._store.scan(EBS_VOLUME):
            self._loop.wake(volume.key)
        for snapshot in self._store.scan(EBS_SNAPSHOT):
            self._loop.wake(_volume_key(snapshot))
        self._loop.wake(_SWEEP)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def until_made(self, key: str) -> EbsVolume:
        """The volume once it is there. Raises Refused: NOT_FOUND, it is gone; CONFLICT, it could not be made."""
        self._loop.wake(key)
        while True:
            async with self._settled:
                volume = self._store.get(EBS_VOLUME, key)
                if volume is None or volume.status == "deleting":
                    raise Refused(RefusalKind.NOT_FOUND, f"volume {key.rpartition('/')[2]} was deleted", "volume")
                if volume.status == "error":
                    raise Refused(RefusalKind.CONFLICT, volume.reason, "volume")
                if volume.status != "creating":
                    return volume
                await self._settled.wait()

    def _changed(self, change: Change) -> None:
        if change.kind == EBS_VOLUME:
            self._loop.wake(change.key)
        elif change.kind == EBS_SNAPSHOT and isinstance(change.value, EbsSnapshot):
            self._loop.wake(_volume_key(change.value))
        elif change.kind == EBS_SNAPSHOT:
            self._loop.wake(_SWEEP)

    async def _step(self, key: str) -> datetime | None:
        if key == _SWEEP:
            return await self._sweep()
        try:
            await self._settle(key)
        finally:
            async with self._settled:
                self._settled.notify_all()
        volume = self._store.get(EBS_VOLUME, key)
        if volume is None:
            self._loop.finish(key)
            return None
        is_on_its_way = volume.status == "deleting" or volume.attachment in ("attaching", "detaching")
        return self._clock.now() + RETRY if is_on_its_way else None

    async def _settle(self, key: str) -> None:
        volume = self._store.get(EBS_VOLUME, key)
        if volume is not None and volume.status == "creating":
            volume = await self._make(volume)
        for snapshot in self._store.find(EBS_SNAPSHOT, "volume", key):
            if snapshot.status == "pending":
                await self._take(snapshot)
        volume = self._store.get(EBS_VOLUME, key)
        if volume is not None and volume.modification is not None and volume.modification.status == "modifying":
            await self._modify(volume)
        volume = self._store.get(EBS_VOLUME, key)
        if volume is not None and volume.instance_id:
            await self._plug_or_unplug(volume)
        await self._limit(key)
        volume = self._store.get(EBS_VOLUME, key)
        if volume is not None and volume.status == "deleting":
            try:
                await self._work(self._storage.remove, volume.id)
            except OSError as error:
                log.warning("volume %s could not be removed yet: %s", volume.id, error)
                return
            self._store.transact(Delete(EBS_VOLUME, key))
            log.info("volume %s was deleted", volume.id)

    async def _make(self, volume: EbsVolume) -> EbsVolume | None:
        failure = ""
        try:
            await self._work(self._storage.make, volume.id, volume.size_gib * ebs.GIB, volume.snapshot_id)
        except OSError as error:
            failure = str(error)
            log.warning("volume %s could not be made: %s", volume.id, error)
        made = self._update(
            volume.key,
            lambda v: (
                replace(v, status="error" if failure else "available", reason=failure) if v.status == "creating" else v
            ),
        )
        if volume.snapshot_id:
            self._loop.wake(_SWEEP)  # which kept it for this
        return made

    async def _limit(self, key: str) -> None:
        volume = self._store.get(EBS_VOLUME, key)
        if volume is None or volume.attached_at is None:
            await self._work(self._storage.limit, key.rpartition("/")[2], None)
            return
        task = self._store.get(TASK, volume.owner) if volume.owner else None
        instance_id, task_id = volume.instance_id, ""
        if task is not None:
            instance_id, task_id = task.placement.instance_id if task.placement is not None else "", task.id
        limit = partial(self._storage.limit, instance_id=instance_id, task_id=task_id)
        await self._work(limit, volume.id, ebs.rates(volume))

    async def _plug_or_unplug(self, volume: EbsVolume) -> None:
        """Also one that is attached already: after a start of the machine it is a block device no more."""
        failure = ""
        try:
            if volume.attachment != "detaching":
                device = await self._work(self._storage.plug, volume.id)
                await self._work(self._devices.put_device, volume.instance_id, volume.device, device)
                self._update(volume.key, ebs.plugged)
                return
            await self._work(self._devices.remove_device, volume.instance_id, volume.device)
            await self._work(self._storage.unplug, volume.id)
        except FileNotFoundError as error:
            failure = str(error)
        except OSError as error:
            log.warning("volume %s is not yet %s: %s", volume.id, volume.attachment, error)
            return
        self._update(volume.key, lambda v: ebs.unplugged(v, failure) if v.instance_id == volume.instance_id else v)

    async def _take(self, snapshot: EbsSnapshot) -> None:
        failure, full_bytes = "", 0
        try:
            if snapshot.source_id:
                full_bytes = await self._work(self._storage.copy_snapshot, snapshot.source_id, snapshot.id)
            else:
                full_bytes = await self._work(self._storage.snapshot, snapshot.volume_id, snapshot.id)
        except OSError as error:
            failure = str(error)
            log.warning("snapshot %s could not be taken: %s", snapshot.id, error)
        stored = self._store.read(EBS_SNAPSHOT, snapshot.key)
        if stored is None or snapshot.source_id:  # deleted meanwhile, or what it is a copy of may be
            self._loop.wake(_SWEEP)
        if stored is None:
            return
        done = replace(
            stored.value,
            status="error" if failure else "completed",
            reason=failure,
            full_bytes=full_bytes,
            completed_at=None if failure else self._clock.now(),
        )
        self._store.transact(Put(EBS_SNAPSHOT, done, expect=stored.version))

    async def _modify(self, volume: EbsVolume) -> None:
        assert volume.modification is not None
        failure = ""
        try:
            await self._work(self._storage.grow, volume.id, volume.modification.size_gib * ebs.GIB)
        except OSError as error:
            failure = str(error)
            log.warning("volume %s could not be modified: %s", volume.id, error)
        now = self._clock.now()
        self._update(volume.key, lambda v: ebs.modification_done(v, failure=failure, now=now))

    def _update(self, key: str, change: Callable[[EbsVolume], EbsVolume]) -> EbsVolume | None:
        stored = self._store.read(EBS_VOLUME, key)
        if stored is None:
            return None
        value = change(stored.value)
        if value is not stored.value:
            self._store.transact(Put(EBS_VOLUME, value, expect=stored.version))
        return value

    async def _sweep(self) -> datetime | None:
        # Listed first: a file is made after its record, so one without a record now never gets one.
        there = await self._work(self._storage.names)
        taken = await self._work(self._storage.snapshot_names)
        known = {each.id for each in self._store.scan(EBS_VOLUME)}
        left = False
        for name in sorted(there - known):
            try:
                await self._work(self._storage.remove, name)
                log.info("the file of volume %s, which is no more, was removed", name)
            except OSError as error:
                log.warning("the file of volume %s, which is no more: %s", name, error)
                left = True
        kept = {each.id for each in self._store.scan(EBS_SNAPSHOT)}
        # One that a volume is being made from stays until it is.
        kept |= {each.snapshot_id for each in self._store.scan(EBS_VOLUME) if each.status == "creating"}
        kept |= {each.source_id for each in self._store.scan(EBS_SNAPSHOT) if each.status == "pending"}
        try:
            await self._work(self._storage.remove_snapshots, taken - kept)
        except OSError as error:
            log.warning("snapshots: %s", error)
            left = True
        return self._clock.now() + RETRY if left else None


def _volume_key(snapshot: EbsSnapshot) -> str:
    return f"{snapshot.scope.prefix}{snapshot.volume_id}"
