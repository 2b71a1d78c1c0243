"""The node on a Linux machine: containers by crun and conmon, root file systems, cgroups, logs, over a network."""

import asyncio
import dataclasses
import errno
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, assert_never

import msgspec

from portside.domain import docker_volume
from portside.domain.flow import Flow, FlowCounts, FlowOwner
from portside.domain.image import MachineImage, PullProgress
from portside.domain.other_container import OtherContainer
from portside.domain.task.record import (
    AnyFact,
    AttachEbsVolume,
    ContainerExited,
    ContainerHealthChanged,
    ContainerKilled,
    ContainerOutputLost,
    ContainerRemoved,
    ContainerSignalled,
    ContainerStarted,
    CreateNetwork,
    DetachEbsVolume,
    EbsVolumeAttached,
    EbsVolumeDetached,
    EbsVolumeFailed,
    EffectFailed,
    EniAttachment,
    ImagePulled,
    InstanceMount,
    KillContainer,
    LostOutput,
    NetworkReady,
    NetworkReleased,
    NodeEffect,
    Placement,
    PullImage,
    ReleaseNetwork,
    ReleaseVolumes,
    RemoveContainer,
    SignalContainer,
    StartContainer,
    StartFailed,
    Task,
    VolumesReleased,
)
from portside.domain.usage import Usage
from portside.node import cgroup, failpoint, hook, process, storage_traffic, syscall
from portside.node.container import seccomp, spec
from portside.node.container.exec import LinuxExecSession, open_session
from portside.node.container.health import HealthChecks, end_leftover
from portside.node.container.pause import PauseNamespaces
from portside.node.container.record import ContainerFolder, boot_id
from portside.node.container.runtime import Runtime
from portside.node.hook import Container, Hook, Launch, NotYet, Pool, Refused
from portside.node.image.failure import PullFailed, wrong_platform
from portside.node.image.storage import NATIVE_ARCHITECTURE
from portside.node.image.store import ImageStore
from portside.node.interface import EniConfig, ExecSession, FactListener, InstanceConfig, NodeUnusable, VpcConfig
from portside.node.log.forwarder import LogForwarder
from portside.node.log.json_file import JsonFileOutlet
from portside.node.log.outlet import AwslogsOutlet, Kept, Outlet
from portside.node.log.sink import LogDestination, LogSink
from portside.node.log.syslog import SyslogOutlet
from portside.node.network import link_local, netns, traffic
from portside.node.other_container import OtherContainers
from portside.node.rootfs.ebs import BlockStorage, CannotAttach
from portside.node.rootfs.ephemeral import EphemeralStorage
from portside.node.rootfs.file_system import FileSystemFolders
from portside.node.rootfs.instance_folder import CONTAINERS, InstanceFolders
from portside.node.rootfs.tmpfs_volume import TmpfsVolumes
from portside.node.s3 import endpoint_of
from portside.node.volume_rate import NOTES, VolumeRates, clear_all
from portside.settings import Settings

log = logging.getLogger(__name__)

_OCI_ARCHITECTURE = {"X86_64": "amd64", "ARM64": "arm64"}
EXEC_SESSIONS_MOST = 64
RETRY_S = 1.0
"""When an effect that failed for a passing cause may be tried again; the task's machine doubles it."""

ROOM_CHECK_S = 1.0
"""How often it is looked whether the host has room left for what tasks write."""


class Network(Protocol):
    """What the node needs of its network; `node/network/network.py` is the real one."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def apply_vpc(self, config: VpcConfig) -> None: ...
    async def remove_vpc(self, vpc_id: str) -> None: ...
    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None: ...
    async def attach_task(self, task_key: str, eni: EniAttachment) -> Path: ...
    async def release_task(self, task_key: str, eni: EniAttachment | None) -> None: ...
    def netns_path(self, task_key: str) -> Path: ...
    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str: ...
    async def remove_balancer_network(self, name: str) -> None: ...
    async def apply_flows(self, vpc_id: str, flows: Sequence[Flow]) -> None: ...
    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]: ...
    async def standing_flows(self, target_group_arn: str) -> Mapping[tuple[str, int], int]: ...
    async def end_flows(self, target_group_arn: str, address: str, port: int) -> None: ...
    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool: ...
    async def apply_instance(
        self, instance_id: str, eni: EniAttachment, further: Mapping[int, EniAttachment] = ...
    ) -> None: ...
    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None: ...
    async def attach_placed(self, task_key: str, placement: Placement) -> None: ...
    async def release_placed(self, task_key: str, placement: Placement) -> None: ...
    def instance_netns_path(self, instance_id: str) -> Path: ...
    def container_netns_path(self, task_key: str, container: str) -> Path: ...
    async def recover(
        self,
        enis_by_task: Mapping[str, EniAttachment],
        balancer_names: Collection[str],
        placements_by_task: Mapping[str, Placement],
    ) -> None: ...


Lookup = Callable[[str, tuple[str, int], Callable[[], socket.socket]], list[str]]
"""A name's addresses, by a resolver, asked from a socket that the last argument opens. Raises OSError."""


class LinuxNode:
    """Fulfils `node.interface.Node`. One per instance and machine; all methods are called on one event loop."""

    def __init__(self, settings: Settings, network: Network, logs: LogSink, lookup: Lookup | None = None) -> None:
        self._lookup = lookup
        self._settings, self._network = settings, network
        self._folder = settings.data_dir / "node"
        self._file_systems = FileSystemFolders(settings.data_dir / "efs")
        self._instances = InstanceFolders(settings.data_dir / "instances")
        self.block_storage = BlockStorage(settings.data_dir / "ebs", partial(failpoint.reach, settings.failpoint))
        self._in_memory = TmpfsVolumes(settings.run_dir / "volumes")
        self._mounted = TmpfsVolumes(settings.run_dir / "mounts")  # its own: one that waits for a server keeps no other
        self._containers_folder = self._folder / "containers"
        self._storage = EphemeralStorage(self._folder / "storage")
        self._pool = Pool()
        self._block_pool = Pool()  # a detachment may wait for a snapshot: nothing else is to
        self._images = ImageStore(self._folder, holds=settings.run_dir / "images", mirrors=dict(settings.mirrors))
        self._runtime = Runtime(settings.run_dir)
        sink = failpoint.deadly_sink(logs, settings.failpoint)
        self._forwarder = LogForwarder(partial(self._outlet, sink), self._report_lost)
        self._health = HealthChecks(self._runtime, self._report_health)
        self._containers: dict[str, Container] = {}
        self._listener: FactListener = lambda key, fact: None
        self._tree: cgroup.CgroupTree
        self._others: OtherContainers
        self._pauses: PauseNamespaces
        self._hooks: tuple[Hook, ...] = ()
        # A start keeps a core busy: more at once would only make each of them slower.
        self._starting = asyncio.Semaphore(2 * (os.cpu_count() or 1))
        self._endings: set[asyncio.Task[None]] = set()
        self._room_watch: asyncio.Task[None] | None = None
        self._images_start: asyncio.Task[None] | None = None
        self._balancers: set[str] = set()
        self._execs: set[LinuxExecSession] = set()
        self._execs_opening = 0

    async def start(self, listener: FactListener) -> None:
        self._listener = listener
        if os.geteuid() != 0:
            raise NodeUnusable("running containers takes root: start Portside with sudo")
        try:
            self._containers_folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)  # environments of containers are in there, also where the data folder is open
            self._settings.run_dir.mkdir(parents=True, exist_ok=True)
            self._tree = cgroup.detect(self._settings.instance_id)
            self._others = OtherContainers(self._tree)
            await self._pool.run(self._tree.prepare)
            await self._pool.run(self._hold_to_rates)
            await self._pool.run(self._storage.start)
            await self._pool.run(self._file_systems.unmount_all)
            await self._pool.run(self._instances.unmount_all)
            await self._pool.run(self.block_storage.start)
            self._runtime.prepare()
            bpf = await self._pool.run(seccomp.load, self._folder, spec.CAPABILITIES)
            self._forwarder.start()
            self._balancers = self._load_balancers()
        except OSError as error:
            raise NodeUnusable(f"the machine can not be prepared: {error}") from error
        v2 = isinstance(self._tree, cgroup.CgroupTreeV2)
        machine = spec.Machine(
            seccomp={seccomp.ANNOTATION: bpf},
            cgroup_version=2 if v2 else 1,
            swap_limit=self._tree.counts_swap(),
            oom_score_adj=spec.usual_oom_score_adj(),
            own_capabilities=spec.own_capabilities(),
            endpoint_url=f"http://{link_local.ADDRESS}:{self._settings.port}",
            instance_device=self._attached_device,
        )
        self._pauses = PauseNamespaces(
            self._settings.run_dir, self._tree, machine, partial(failpoint.reach, self._settings.failpoint)
        )
        hooks = (
            hook.ImageHook(self._images),
            hook.EnvironmentHook(self._pool, self._settings.data_dir / "env", endpoint_of(self._settings)),
            hook.RootfsHook(
                self._storage,
                self._file_systems,
                self._instances,
                self._in_memory,
                self.block_storage,
                self._pool,
                mounted=self._mounted,
                mount=self._mount_volume,
            ),
            hook.CgroupHook(self._tree, self._pool),
            hook.NamespaceHook(self._pauses, self._pool),
            hook.LogHook(self._forwarder),
            hook.ContainerHook(self._runtime, self._tree, self._pool, machine, self._netns, self._folder, self._rate),
        )
        self._hooks = failpoint.armed(hooks, self._settings.failpoint)
        self._images_start = asyncio.get_running_loop().create_task(self._images.start(), name="images")
        await self._network.start()
        if not self._storage.problem:
            self._room_watch = asyncio.get_running_loop().create_task(self._watch_room(), name="room")

    def _outlet(self, sink: LogSink, container: str, destination: LogDestination, kept: Kept) -> Outlet:
        docker = destination.docker
        if docker is None:
            return AwslogsOutlet(sink, destination, kept)
        instance_id = docker.instance_id
        if docker.syslog is not None:
            return SyslogOutlet(
                *(docker.syslog, docker.tag, docker.hostname, kept),
                root=partial(self._instances.open_root, instance_id),
                within=partial(self._within_instance, instance_id),
                addresses=partial(self._addresses, instance_id),
            )
        assert docker.json_file is not None
        folder = partial(self._instances.open_directory, instance_id, f"{CONTAINERS}/{container}")
        return JsonFileOutlet(container, docker.json_file, docker.attributes, folder, kept)

    def _hold_to_rates(self) -> None:
        """Raises NodeUnusable."""
        notes = self._settings.run_dir / NOTES
        if not self._settings.ebs_rates:
            clear_all(self._tree, notes)  # of a daemon that had been told otherwise
            return
        if not self._tree.can_throttle():
            raise NodeUnusable(
                "--ebs-rates takes the block throttle of control groups (blkio, or io), which is not there"
            )
        self.block_storage.rates = VolumeRates(self._tree, notes)
        self.block_storage.rates.start(self.block_storage.attached_devices())

    def _rate(self, group: str, container: str) -> None:
        if self.block_storage.rates is not None:
            self.block_storage.rates.started(group, container)

    def _within_instance(self, instance_id: str, opened: Callable[[], socket.socket]) -> socket.socket:
        return netns.within(self._network.instance_netns_path(instance_id), opened)

    def _addresses(self, instance_id: str, name: str) -> list[str]:
        """As the instance's VPC resolves it. Blocks. Raises OSError."""
        if self._lookup is None:
            raise OSError(0, f"lookup {name}: no such host")
        server = (link_local.RESOLVER_ADDRESS, link_local.RESOLVER_PORT)
        asking = partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        return self._lookup(name, server, partial(self._within_instance, instance_id, asking))

    def _mount_volume(self, wanted: InstanceMount, target: Path) -> None:
        """As Docker's driver `local`, by mount(2), where the instance's network is. Raises OSError."""
        if wanted.file_system in docker_volume.DISKS:
            found = self._attached_device(wanted.instance_id, wanted.path)
            device = self.block_storage.plugged().get(found.st_rdev) if found is not None else None
            if device is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            syscall.mount(device, str(target), wanted.file_system, syscall.MS_NODEV)
            return
        netns.within(
            self._network.instance_netns_path(wanted.instance_id),
            lambda: syscall.mount(wanted.path, str(target), wanted.file_system, syscall.MS_NODEV, wanted.data),
        )

    def _attached_device(self, instance_id: str, path: str) -> os.stat_result | None:
        """A volume's alone: tasks that write to the instance's folder do not come to other devices by it."""
        found = self._instances.device(instance_id, path)
        if found is None or found.st_rdev not in self.block_storage.plugged():
            return None
        return found

    async def close(self) -> None:
        if self._room_watch is not None:
            self._room_watch.cancel()
            await asyncio.gather(self._room_watch, return_exceptions=True)
        for session in list(self._execs):
            await session.close()
        for ending in list(self._endings):
            ending.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
        await self._health.close()
        if self._images_start is not None:
            self._images_start.cancel()
            await asyncio.gather(self._images_start, return_exceptions=True)
        await self._images.close()
        await self._forwarder.close()
        for container in self._containers.values():
            self._unwatch(container)
            container.close()
        self._containers.clear()
        self._pool.close()
        self._block_pool.close()
        self._storage.close()
        self.block_storage.close()
        await self._network.close()

    def ephemeral_storage(self, task_id: str) -> tuple[int, int] | None:
        return self._storage.usage(task_id)

    def volume_bytes(self, task_id: str, name: str, most: int | None) -> int | None:
        """What a volume on a task's disk takes; None: there is none, or it holds more files than `most`. Blocks."""
        return self._storage.volume_bytes(task_id, name, most)

    async def usage(self, runtime_id: str) -> Usage | None:
        container = self._running(runtime_id)
        if container is None or container.record is None or container.record.pid is None:
            return None
        record, pid = container.record, container.record.pid

        def look() -> tuple[Usage, tuple[int, int]]:
            pids = self._tree.processes_at(f"{self._tree.name}/{record.cgroup}/{record.container}")
            return self._tree.usage(record.cgroup, record.container), storage_traffic.of_processes(pids)

        try:
            found, (read, written) = await self._pool.run(look)
        except OSError:
            return None  # it ends this moment
        return dataclasses.replace(
            found,
            storage_read_bytes=read,
            storage_written_bytes=written,
            network=traffic.of_process(pid),
            machine_cpu_ns=cgroup.machine_cpu_ns(),
            machine_cpus=os.cpu_count() or 1,
        )

    async def other_containers(self) -> Sequence[tuple[OtherContainer, Usage]]:
        """Containers of the machine that Portside did not start, and what they use."""
        return await self._pool.run(self._others.look)

    def process(self, runtime_id: str) -> int | None:
        container = self._running(runtime_id)
        return container.record.pid if container is not None and container.record is not None else None

    def pulls(self) -> Sequence[PullProgress]:
        return self._images.pulls()

    async def images(self) -> Sequence[MachineImage]:
        return await self._images.images()

    async def image_disk_percent(self) -> float:
        return await self._images.disk_percent()

    async def note_image_use(self, last_uses: Mapping[str, datetime], in_use: Collection[str], as_of: datetime) -> None:
        await self._images.note_use(last_uses, in_use, as_of)

    async def remove_image(self, image_id: str, names: Collection[str] | None = None, *, as_of: datetime) -> int:
        return await self._images.remove(image_id, names, as_of=as_of)

    async def _watch_room(self) -> None:
        while True:
            await asyncio.sleep(ROOM_CHECK_S)
            try:
                task_id = await self._pool.run(self._storage.give_up_largest)
                if task_id is not None:
                    log.error("the disk of the host is full: task %s, which took the most of it, is ended", task_id)
                    for group in self._tree.tasks():
                        if group.rpartition("/")[2] == task_id:
                            await self._pool.run(self._tree.kill, group)
            except OSError as error:
                log.warning("the room on the disk of the host: %s", error)

    # --- networks ----------------------------------------------------------------------------------------------------

    async def apply_vpc(self, config: VpcConfig) -> None:
        await self._network.apply_vpc(config)

    async def remove_vpc(self, vpc_id: str) -> None:
        await self._network.remove_vpc(vpc_id)

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        await self._network.retain_vpcs(vpc_ids)

    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
        if name not in self._balancers:
            self._balancers.add(name)
            self._save_balancers()
        return await self._network.apply_balancer_network(name, vpc_id, enis)

    async def remove_balancer_network(self, name: str) -> None:
        await self._network.remove_balancer_network(name)
        if name in self._balancers:
            self._balancers.discard(name)
            self._save_balancers()

    async def apply_flows(self, vpc_id: str, flows: Sequence[Flow]) -> None:
        await self._network.apply_flows(vpc_id, flows)

    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        return await self._network.flow_counts()

    async def standing_flows(self, target_group_arn: str) -> Mapping[tuple[str, int], int]:
        return await self._network.standing_flows(target_group_arn)

    async def end_flows(self, target_group_arn: str, address: str, port: int) -> None:
        await self._network.end_flows(target_group_arn, address, port)

    async def apply_instance(self, config: InstanceConfig) -> None:
        limits = cgroup.TaskLimits(cpu_units=config.cpu_units, memory_mib=config.memory_mib)
        await self._pool.run(self._tree.ensure_instance, config.instance_id, limits)
        await self._network.apply_instance(config.instance_id, config.eni, config.further_enis)

    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        await self._network.remove_instance(instance_id, eni)
        await self._pool.run(self._tree.kill, instance_id)
        if not await self._pool.run(self._tree.drop, instance_id):
            raise OSError(f"the cgroup of instance {instance_id} is still in use")

    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool:
        return await self._network.accepts_connections(netns_path, address, port)

    @property
    def _balancers_file(self) -> Path:
        return self._folder / "balancers.json"

    def _load_balancers(self) -> set[str]:
        """Names of load balancers with a network: the balancer goes on while Portside is down, and recovery must not
        take its network for a leftover."""
        try:
            return set(msgspec.json.decode(self._balancers_file.read_bytes(), type=list[str]))
        except (FileNotFoundError, msgspec.DecodeError):
            return set()

    def _save_balancers(self) -> None:
        fresh = self._balancers_file.with_suffix(".fresh")
        fresh.write_bytes(json.dumps(sorted(self._balancers)).encode())
        os.replace(fresh, self._balancers_file)

    def _netns(self, effect: StartContainer) -> str | None:
        match effect.network_mode:
            case "awsvpc":
                return str(self._network.netns_path(effect.task_key))
            case "host" if effect.placement is not None:
                return str(self._network.instance_netns_path(effect.placement.instance_id))
            case "bridge" if effect.placement is not None:
                return str(self._network.container_netns_path(effect.task_key, effect.container))
            case "none" | "host":
                return None
            case _:
                raise Refused(
                    f"CannotStartContainerError: the network mode {effect.network_mode} takes a container instance"
                )

    # --- effects -----------------------------------------------------------------------------------------------------

    async def execute(self, effect: NodeEffect) -> AnyFact:
        try:
            failpoint.reach_effect(self._settings.failpoint, "before", effect)
            fact = await self._execute(effect)
            failpoint.reach_effect(self._settings.failpoint, "after", effect)
            return fact
        except Refused as error:
            name = None if error.whole_task else getattr(effect, "container", None)
            return StartFailed(reason=error.reason, container=name, exit_code=error.exit_code)
        except PullFailed as error:
            return StartFailed(reason=str(error), container=getattr(effect, "container", None))
        except (NotYet, TimeoutError) as error:
            return self._failed(effect, str(error) or "timed out")
        except OSError as error:
            passing = error.errno in hook.PASSING_ERRNOS
            match effect:
                case StartContainer() if not passing:
                    return StartFailed(reason=f"CannotCreateContainerError: {error}", container=effect.container)
                case _:
                    return self._failed(effect, str(error))
        except Exception as error:
            log.exception("%s of task %s failed", type(effect).__name__, effect.task_key)
            return self._failed(effect, f"{type(error).__name__}: {error}")

    async def _execute(self, effect: NodeEffect) -> AnyFact:
        match effect:
            case CreateNetwork():
                if effect.placement is not None:
                    await self._network.attach_placed(effect.task_key, effect.placement)
                if effect.eni is not None:
                    await self._network.attach_task(effect.task_key, effect.eni)
                return NetworkReady()
            case ReleaseNetwork():
                if effect.eni is not None or effect.placement is None:
                    await self._network.release_task(effect.task_key, effect.eni)
                if effect.placement is not None:
                    await self._network.release_placed(effect.task_key, effect.placement)
                return NetworkReleased()
            case PullImage():
                asked = _OCI_ARCHITECTURE.get(effect.cpu_architecture or "", NATIVE_ARCHITECTURE)
                if asked != NATIVE_ARCHITECTURE:
                    raise Refused(
                        f"ResourceInitializationError: runtimePlatform asks for {effect.cpu_architecture}, and this "
                        f"machine runs linux/{NATIVE_ARCHITECTURE}",
                        whole_task=True,
                    )
                if effect.digest:
                    obtained = await self._images.get(effect.image, effect.digest, effect.login)
                else:
                    obtained = await self._images.ensure(effect.image, pull_anew=effect.pull_anew, login=effect.login)
                image = obtained.image
                if image.architecture not in ("", NATIVE_ARCHITECTURE):
                    raise wrong_platform(f"linux/{NATIVE_ARCHITECTURE}")
                return ImagePulled(container=effect.container, digest=image.digest, how=obtained.how)
            case StartContainer():
                return await self._start(effect)
            case SignalContainer():
                return self._signal(effect)
            case KillContainer():
                return await self._kill(effect)
            case RemoveContainer():
                return await self._remove(effect)
            case ReleaseVolumes():
                task_id = effect.task_key.rpartition("/")[2]
                await self._pool.run(self._storage.release_volumes, task_id)
                await self._pool.run(self._in_memory.release, task_id)
                await self._pool.run(self._mounted.release, task_id)
                return VolumesReleased()
            case AttachEbsVolume():
                try:
                    await self._block_pool.run(self.block_storage.attach, effect.volume_id, effect.file_system)
                except CannotAttach as error:
                    return EbsVolumeFailed(reason=f"ResourceInitializationError: {error}")
                return EbsVolumeAttached()
            case DetachEbsVolume():
                await self._block_pool.run(self.block_storage.detach, effect.volume_id)
                return EbsVolumeDetached()
            case _:
                assert_never(effect)

    def _failed(self, effect: NodeEffect, reason: str) -> EffectFailed:
        return EffectFailed(
            effect_key=effect.key, reason=reason, retry_at=datetime.now(UTC) + timedelta(seconds=RETRY_S)
        )

    def _folder_of(self, runtime_id: str) -> ContainerFolder:
        return ContainerFolder(self._containers_folder / runtime_id)

    def _running(self, runtime_id: str) -> Container | None:
        found = self._containers.get(runtime_id)
        return found if found is not None and found.watched and not found.ended.is_set() else None

    async def _start(self, effect: StartContainer) -> AnyFact:
        running = self._running(effect.runtime_id)
        if running is not None and running.record is not None and running.record.pid is not None:
            record = running.record
            return ContainerStarted(container=effect.container, pid=record.pid or 0, restart=record.restart)
        async with self._starting:
            folder = self._folder_of(effect.runtime_id)
            if effect.restart:
                await self._release(effect.runtime_id, is_kept=True)
                if not folder.path.exists():
                    raise Refused(
                        "CannotStartContainerError: what the container wrote is gone: it can not be restarted"
                    )
            elif folder.path.exists():
                # An earlier attempt that was cut short: how far it came can not be told, so it is undone first.
                await self._release(effect.runtime_id)
            container = Container(folder, is_kept=effect.restart > 0)
            self._containers[effect.runtime_id] = container
            launch = Launch(effect=effect, container=container)
            try:
                await hook.prepare(self._hooks, launch)
            except Exception:
                container.close()
                self._containers.pop(effect.runtime_id, None)
                raise
            finally:
                launch.close()
        assert launch.created is not None
        self._watch(container)
        return ContainerStarted(container=effect.container, pid=launch.created.pid, restart=effect.restart)

    def _signal(self, effect: SignalContainer) -> AnyFact:
        container = self._running(effect.runtime_id)
        if container is None or container.record is None or container.pidfd is None:
            return self._exit_fact(effect.runtime_id, effect.container)
        try:
            signal.pidfd_send_signal(container.pidfd, container.record.stop_signal)
        except ProcessLookupError:
            pass  # it has just ended: its exit is on its way
        return ContainerSignalled(container=effect.container)

    async def _kill(self, effect: KillContainer) -> AnyFact:
        container = self._running(effect.runtime_id)
        if container is None or container.record is None:
            return self._exit_fact(effect.runtime_id, effect.container)
        await self._pool.run(self._tree.kill, container.record.cgroup, container.record.container)
        return ContainerKilled(container=effect.container)

    async def _remove(self, effect: RemoveContainer) -> AnyFact:
        await self._release(effect.runtime_id)
        return ContainerRemoved(container=effect.container)

    async def _release(self, runtime_id: str, *, is_kept: bool = False) -> None:
        """No trace of the container is left, or none but its folder and what it wrote. Raises NotYet."""
        container = self._containers.get(runtime_id)
        if container is None:
            folder = self._folder_of(runtime_id)
            if not folder.path.exists() and runtime_id not in self._runtime.known():
                return
            container = Container(folder, folder.read())
            self._hold_monitor(container)
        if container.watched and not container.ended.is_set() and container.record is not None:
            # Still running: it is killed, and its end is reported before its traces go.
            await self._pool.run(self._tree.kill, container.record.cgroup, container.record.container)
            try:
                async with asyncio.timeout(hook.END_TIMEOUT_S):
                    await container.ended.wait()
            except TimeoutError:
                raise NotYet(f"container {runtime_id} has not ended after SIGKILL") from None
        container.is_kept = is_kept
        await hook.release(self._hooks, container)
        self._unwatch(container)
        container.close()
        self._containers.pop(runtime_id, None)

    # --- a look inside -----------------------------------------------------------------------------------------------

    async def open_exec(self, task_key: str, container: str, command: Sequence[str]) -> ExecSession:
        self._execs = {each for each in self._execs if not each.closed}
        if len(self._execs) + self._execs_opening >= EXEC_SESSIONS_MOST:
            raise OSError(f"{EXEC_SESSIONS_MOST} sessions are open, no more are allowed at once")
        for each in self._containers.values():
            record = each.record
            if record is None or each.ended.is_set():
                continue
            if (record.task_key, record.container) == (task_key, container):
                self._execs_opening += 1
                try:
                    session = await open_session(self._runtime, each.folder, command)
                finally:
                    self._execs_opening -= 1
                self._execs.add(session)
                return session
        raise OSError(f"the container {container} is not running")

    # --- ends --------------------------------------------------------------------------------------------------------

    def _watch(self, container: Container) -> None:
        """Learn of the monitor's end: it ends after the container, having written the exit file."""
        assert container.monitor_pidfd is not None
        container.watched = True
        asyncio.get_running_loop().add_reader(container.monitor_pidfd, self._monitor_ended, container)
        record = container.record
        if record is not None and record.health_check is not None:
            self._health.watch(container.folder, record, record.health_check)

    def _report_health(self, task_key: str, fact: ContainerHealthChanged) -> None:
        self._listener(task_key, fact)

    def _report_lost(self, runtime_id: str, lost: LostOutput) -> None:
        container = self._containers.get(runtime_id)
        if container is not None and (record := container.record) is not None:
            self._listener(record.task_key, ContainerOutputLost(container=record.container, lost=lost))

    def _unwatch(self, container: Container) -> None:
        self._health.forget(container.runtime_id)
        if container.monitor_pidfd is not None:
            asyncio.get_running_loop().remove_reader(container.monitor_pidfd)

    def _monitor_ended(self, container: Container) -> None:
        self._unwatch(container)
        record = container.record
        assert record is not None
        if record.monitor_pid is not None:
            process.reap(record.monitor_pid)
        if self._runtime.ended(container.folder) is not None:
            self._report_end(container)
            return
        # The monitor was killed. Nobody holds the container's output or will see its exit code any more, so it can not
        # be run on truthfully: it is killed, and reported as gone without a code.
        log.warning("the monitor of container %s of task %s was killed", record.container, record.task_key)
        loop = asyncio.get_running_loop()
        ending = loop.create_task(self._end_unmonitored(container), name=f"unmonitored:{record.runtime_id}")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end_unmonitored(self, container: Container) -> None:
        record = container.record
        assert record is not None
        for _ in range(100):
            await self._pool.run(self._tree.kill, record.cgroup, record.container)
            if container.pidfd is None or await process.wait_readable(container.pidfd, 1.0):
                break
        else:
            log.error("container %s could not be killed after its monitor was", record.runtime_id)
        self._report_end(container)

    def _report_end(self, container: Container) -> None:
        record = container.record
        if record is None or container.ended.is_set():
            return
        container.ended.set()
        self._listener(record.task_key, self._exit_fact(record.runtime_id, record.container))

    def _exit_fact(self, runtime_id: str, name: str) -> ContainerExited:
        """What is known of a container that does not run."""
        folder = self._folder_of(runtime_id)
        ended, record = self._runtime.ended(folder), folder.read()
        if ended is None:
            return ContainerExited(container=name, exit_code=None, restart=None if record is None else record.restart)
        # Also where the container itself ended well: what was killed may have been a child of it. Docker says so, too.
        killed = record is not None and self._tree.oom_kills(record.cgroup, name) > 0
        return ContainerExited(
            container=name,
            exit_code=ended.exit_code,
            oom_killed=killed,
            exited_at=ended.at,
            restart=None if record is None else record.restart,
        )

    # --- recovery ----------------------------------------------------------------------------------------------------

    async def recover(self, tasks: Sequence[Task]) -> list[tuple[str, AnyFact]]:
        facts: list[tuple[str, AnyFact]] = []
        live: set[str] = set()
        for task in tasks:
            for history in task.history:
                if history.removed_at is not None:
                    continue
                live.add(history.runtime_id)
                found = await self._recover_container(history.runtime_id, history.name)
                if not found and history.started_at is not None and history.exit is None and history.down is None:
                    found = [ContainerExited(container=history.name, exit_code=None)]
                facts.extend((task.key, fact) for fact in found)
        await self._remove_leftovers(live, {task.id for task in tasks})
        await self._pool.run(self._storage.recover, {task.id for task in tasks})
        await self._pool.run(self._in_memory.recover, {task.id for task in tasks})
        await self._pool.run(self._mounted.recover, {task.id for task in tasks})
        used = {task.ebs.volume_id for task in tasks if task.ebs is not None and task.ebs_detached_at is None}
        await self._pool.run(self.block_storage.recover, used)
        await self._network.recover(
            {
                task.key: task.eni
                for task in tasks
                if task.eni is not None and task.network_issued_at is not None and task.network_released_at is None
            },
            sorted(self._balancers),
            {
                task.key: task.placement
                for task in tasks
                if task.placement is not None
                and task.network_issued_at is not None
                and task.network_released_at is None
            },
        )
        return facts

    async def _recover_container(self, runtime_id: str, name: str) -> list[AnyFact]:
        """Take over one container of a live task. Empty if it was never started."""
        folder = self._folder_of(runtime_id)
        record = folder.read()
        if record is None:
            return []
        container = Container(folder, record)
        if record.pid is None:
            return []  # its start was cut short: StartContainer or RemoveContainer, whichever comes, undoes it first
        if record.boot_id == boot_id() and self._runtime.ended(folder) is None:
            self._hold_monitor(container)
            if container.monitor_pidfd is not None and not self._runtime.was_started(runtime_id):
                container.close()
                return []
        self._tree.adopt(record.cgroup, record.container)
        self._containers[runtime_id] = container
        if record.log is not None and folder.log_file.exists():
            self._forwarder.adopt(runtime_id, folder.log_file, record.log)
        facts: list[AnyFact] = [ContainerStarted(container=name, pid=record.pid, restart=record.restart)]
        if (lost := self._forwarder.lost(runtime_id)) is not None:
            facts.append(ContainerOutputLost(container=name, lost=lost))
        if container.monitor_pidfd is not None:
            if record.health_check is not None:
                members = partial(self._tree.processes, record.cgroup, record.container)
                await self._pool.run(end_leftover, folder, members)
            self._watch(container)
            return facts
        # Ended while nobody looked, or its monitor was killed meanwhile: then what still runs of it is ended.
        await self._pool.run(self._tree.kill, record.cgroup, record.container)
        if container.pidfd is not None and not await process.wait_readable(container.pidfd, hook.END_TIMEOUT_S):
            log.error("container %s of task %s has no monitor and can not be killed", name, record.task_key)
        container.watched = True
        container.ended.set()
        return [*facts, self._exit_fact(runtime_id, name)]

    @staticmethod
    def _hold_monitor(container: Container) -> None:
        """Open pidfds of the processes that the record names, if they are those very processes and still run."""
        record = container.record
        if record is None or record.boot_id != boot_id():
            return
        if record.monitor_pid is not None and record.monitor_started is not None:
            container.monitor_pidfd = process.open_pidfd(record.monitor_pid, record.monitor_started)
        if record.pid is not None and record.pid_started is not None:
            container.pidfd = process.open_pidfd(record.pid, record.pid_started)

    async def _remove_leftovers(self, live: set[str], task_ids: set[str]) -> None:
        """What is of this instance and of no live task: folders, runtime state, processes, cgroups."""
        folders = {each.name for each in self._containers_folder.iterdir()}
        for runtime_id in sorted((folders | self._runtime.known()) - live):
            log.info("container %s belongs to no live task: it is removed", runtime_id)
            try:
                await self._release(runtime_id)
            except (NotYet, OSError) as error:
                log.warning("leftover container %s: %s", runtime_id, error)
        for group in self._tree.tasks():
            if group.rpartition("/")[2] in task_ids:
                continue
            await self._pool.run(self._tree.kill, group)
            if not await self._pool.run(self._tree.drop, group):
                log.warning("the cgroup of task %s, which is no more, is still in use", group)
        await self._pool.run(self._pauses.remove_leftovers, task_ids)
