"""The loop of EBS on a store and a disk in memory: volumes and snapshots come and go, whatever is interrupted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portside.api.ec2.snapshot import SnapshotHandlers
from portside.api.ec2.volume import VolumeHandlers
from portside.aws.service import RequestContext
from portside.control.block_storage import EbsLoop
from portside.control.clock import RandomIds, SystemClock
from portside.domain.ebs import EbsVolume, Rates
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.domain.table import EBS_SNAPSHOT, EBS_VOLUME
from portside.store.interface import Put
from portside.store.memory import MemoryStore

CONTEXT = RequestContext(
    account="0", region="us-east-1", service="ec2", operation="x", request_id="r", access_key_id="k"
)


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Disk:
    """Files as sizes; `failure` is what every deed meets."""

    def __init__(self) -> None:
        self.volumes: dict[str, int] = {}
        self.snapshots: dict[str, str] = {}
        self.plugged: set[str] = set()
        self.nodes: dict[tuple[str, str], str] = {}
        self.failure = ""

    def _may(self) -> None:
        if self.failure:
            raise OSError(self.failure)

    def make(self, volume_id: str, size_bytes: int, snapshot_id: str = "") -> None:
        self._may()
        assert not snapshot_id or snapshot_id in self.snapshots, f"{snapshot_id} was removed under {volume_id}"
        self.volumes.setdefault(volume_id, size_bytes)

    def grow(self, volume_id: str, size_bytes: int) -> None:
        self._may()
        self.volumes[volume_id] = size_bytes

    def limit(self, volume_id: str, rates: Rates | None, *, instance_id: str = "", task_id: str = "") -> None:
        pass

    def remove(self, volume_id: str) -> None:
        self._may()
        self.volumes.pop(volume_id, None)

    def plug(self, volume_id: str) -> str:
        self._may()
        if volume_id not in self.volumes:
            raise FileNotFoundError("no file")
        self.plugged.add(volume_id)
        return f"/dev/{volume_id}"

    def unplug(self, volume_id: str) -> None:
        self._may()
        self.plugged.discard(volume_id)

    def put_device(self, instance_id: str, device: str, block_device: str) -> None:
        self.nodes[instance_id, device] = block_device

    def remove_device(self, instance_id: str, device: str) -> None:
        self.nodes.pop((instance_id, device), None)

    def snapshot(self, volume_id: str, snapshot_id: str) -> int:
        self._may()
        assert volume_id in self.volumes, f"{volume_id} was removed before {snapshot_id} was taken"
        self.snapshots[snapshot_id] = volume_id
        return 7

    def copy_snapshot(self, source_id: str, snapshot_id: str) -> int:
        self._may()
        assert source_id in self.snapshots, f"{source_id} was removed before {snapshot_id} was copied"
        self.snapshots[snapshot_id] = self.snapshots[source_id]
        return 7

    def names(self) -> set[str]:
        return set(self.volumes)

    def snapshot_names(self) -> set[str]:
        return set(self.snapshots)

    def remove_snapshots(self, snapshot_ids: Collection[str]) -> None:
        for each in snapshot_ids:
            self.snapshots.pop(each, None)


class World:
    def __init__(self) -> None:
        self.store, self.clock, self.disk = MemoryStore(), SystemClock(), Disk()
        volumes = VolumeHandlers(self.store, self.clock, RandomIds())
        snapshots = SnapshotHandlers(self.store, self.clock, RandomIds())
        self.api: dict[str, Any] = {**volumes.handlers(), **snapshots.handlers()}

    def ask(self, operation: str, **params: Any) -> Any:
        return self.api[operation](CONTEXT, params)

    def volume(self, **params: Any) -> str:
        return str(self.ask("CreateVolume", **{"AvailabilityZone": "us-east-1a", "Size": 1, **params})["VolumeId"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[EbsLoop]:
        """One run of Portside."""
        loop = EbsLoop(self.store, self.clock, self.disk, self.disk)
        await loop.start()
        try:
            yield loop
        finally:
            await loop.close()

    async def until(self, *statuses: str) -> None:
        """Each volume and snapshot has one of these."""
        await until(
            lambda: all(
                each.status in statuses and getattr(each, "modification", None) in (None, *self._changed())
                for each in (*self.store.scan(EBS_VOLUME), *self.store.scan(EBS_SNAPSHOT))
            )
        )

    def _changed(self) -> list[Any]:
        found = [each.modification for each in self.store.scan(EBS_VOLUME)]
        return [each for each in found if each is not None and each.status != "modifying"]


def test_volumes_and_snapshots_come_change_and_go() -> None:
    """Also those that were asked for while Portside was down; a volume whose snapshot is pending waits for it;
    a copy of a snapshot outlives it, also when that one is deleted before it is made."""

    async def scenario() -> None:
        world = World()
        volume_id = world.volume()
        async with world.running():
            await world.until("available")
            world.ask("ModifyVolume", VolumeId=volume_id, Size=3)
            await world.until("available")
        assert world.disk.volumes == {volume_id: 3 * 1024**3}
        taken = world.ask("CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
        world.ask("DeleteVolume", VolumeId=volume_id)
        async with world.running():
            await world.until("completed")
            assert world.disk.volumes == {}
            assert [each.full_bytes for each in world.store.scan(EBS_SNAPSHOT)] == [7]
        copied = world.ask("CopySnapshot", SourceRegion="us-east-1", SourceSnapshotId=taken)["SnapshotId"]
        made = world.volume(SnapshotId=taken, Size=4)
        world.ask("DeleteSnapshot", SnapshotId=taken)
        async with world.running():
            await world.until("available", "completed")
            assert set(world.disk.volumes) == {made}
            await until(lambda: set(world.disk.snapshots) == {copied})
            assert [each.status for each in world.store.scan(EBS_SNAPSHOT)] == ["completed"]
            world.ask("DeleteSnapshot", SnapshotId=copied)
        async with world.running():
            await until(lambda: not world.disk.snapshots)

    asyncio.run(scenario())


def test_what_can_not_be_made_says_why() -> None:
    """The volume is in error with the reason, for whoever waits for it, too; a modification fails, and is done when
    asked for again; a snapshot is in error."""

    async def scenario() -> None:
        world = World()
        async with world.running() as loop:
            good = world.volume()
            await world.until("available")
            world.disk.failure = "no space"
            bad = world.volume()
            with pytest.raises(Refused, match="no space"):
                await loop.until_made(f"{CONTEXT.prefix}{bad}")
            world.ask("ModifyVolume", VolumeId=good, Size=2)
            world.ask("CreateSnapshot", VolumeId=good)
            await world.until("available", "error")
            stored = world.store.get(EBS_VOLUME, f"{CONTEXT.prefix}{good}")
            assert stored is not None
            assert stored.modification is not None
            assert (stored.size_gib, stored.modification.status, stored.modification.message) == (
                1,
                "failed",
                "no space",
            )
            world.disk.failure = ""
            world.ask("ModifyVolume", VolumeId=good, Size=2)
            await world.until("available", "error")
            assert world.disk.volumes[good] == 2 * 1024**3
            world.ask("DeleteVolume", VolumeId=bad)

    asyncio.run(scenario())


def test_files_without_a_record_go() -> None:
    """What a daemon was killed over; those with a record stay."""

    async def scenario() -> None:
        world = World()
        world.disk.volumes["vol-0"] = 1
        world.disk.snapshots["snap-0"] = "vol-0"
        kept = world.volume()
        async with world.running() as loop:
            made = await loop.until_made(f"{CONTEXT.prefix}{kept}")
            assert made.status == "available"
            await until(lambda: set(world.disk.volumes) == {kept} and not world.disk.snapshots)
            world.store.transact(Put(EBS_VOLUME, replace(made, status="deleting")))
            with pytest.raises(Refused):
                await loop.until_made(made.key)

    asyncio.run(scenario())


def test_a_volume_is_plugged_and_unplugged_whatever_is_interrupted() -> None:
    """Asked for while Portside is down, too; one that is attached is a device again after a start of the machine; one
    in use waits."""

    async def scenario() -> None:
        world = World()
        volume_id = world.volume()
        key = f"{CONTEXT.prefix}{volume_id}"

        def now() -> EbsVolume:
            found = world.store.get(EBS_VOLUME, key)
            assert found is not None
            return found

        async with world.running() as loop:
            await loop.until_made(key)
        asked = replace(now(), status="in-use", instance_id="i-1", device="/dev/sdf", attachment="attaching")
        world.store.transact(Put(EBS_VOLUME, asked))
        async with world.running():
            await until(lambda: now().attachment == "attached")
            assert world.disk.nodes == {("i-1", "/dev/sdf"): f"/dev/{volume_id}"}
        world.disk.plugged.clear()
        async with world.running():
            await until(lambda: world.disk.plugged == {volume_id})
            world.disk.failure = "in use"
            world.ask("DetachVolume", VolumeId=volume_id)
            await until(lambda: world.disk.nodes == {})
            assert (now().attachment, now().status) == ("detaching", "in-use")
        world.disk.failure = ""
        async with world.running():
            await until(lambda: now().status == "available")
            assert (now().instance_id, world.disk.plugged) == ("", set())

    asyncio.run(scenario())
