"""The steps by which a container comes to be, in order, each with the step that undoes it.

`prepare` runs from the first to the last, `release` from the last to the first, always all of them: releasing what was
never prepared is no error, so a half-made container (a failed start, a crash of the daemon) needs no path of its own.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from portside.domain import log_driver
from portside.domain.line_pattern import pattern_of
from portside.domain.log import buffer_bytes_of, stream_of
from portside.domain.record import Scope
from portside.domain.task.record import EbsMount, InstanceMount, Placement, StartContainer
from portside.domain.task_definition import MountPoint
from portside.node import environment, process
from portside.node.cgroup import CgroupTree, TaskLimits
from portside.node.container import seccomp, spec
from portside.node.container.pause import PauseNamespaces, Shared
from portside.node.container.record import ContainerFolder, ContainerRecord, boot_id
from portside.node.container.runtime import Created, CreateFailed, Runtime
from portside.node.for_root import write_for_root
from portside.node.image.storage import Image
from portside.node.image.store import ImageStore
from portside.node.log.forwarder import LogForwarder
from portside.node.log.outlet import CannotLog
from portside.node.log.sink import DockerDestination, LogDestination, LogGroupMissing
from portside.node.rootfs import account, efs, instance_folder, overlay, volume
from portside.node.rootfs.account import ROOT, Account
from portside.node.rootfs.ebs import BlockStorage, CannotAttach
from portside.node.rootfs.efs import Pinned
from portside.node.rootfs.ephemeral import VOLUMES, EphemeralStorage
from portside.node.rootfs.file_system import FileSystemFolders
from portside.node.rootfs.instance_folder import InstanceFolders
from portside.node.rootfs.tmpfs_volume import TmpfsVolumes
from portside.node.s3 import S3Endpoint

log = logging.getLogger(__name__)

T = TypeVar("T")

END_TIMEOUT_S = 10.0
"""For killed processes to be gone, and for the rest of a log to be taken."""
_POLL_S = 0.001
_MIB = 1024 * 1024

DEFAULT_STOP_SIGNAL = signal.SIGTERM


class Refused(Exception):
    """This start fails for good. `whole_task`: the reason concerns the task, not this container."""

    def __init__(self, reason: str, *, exit_code: int | None = None, whole_task: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.exit_code, self.whole_task = reason, exit_code, whole_task


class NotYet(Exception):
    """It could not be finished now and may be tried again."""


@dataclass(eq=False)
class Container:
    """One container in the daemon's memory. What must outlive the daemon is in `record`, which its folder holds too."""

    folder: ContainerFolder
    record: ContainerRecord | None = None
    pidfd: int | None = None
    monitor_pidfd: int | None = None
    watched: bool = False
    is_kept: bool = False  # it is to run again: its folder and what it wrote stay when it is released
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def runtime_id(self) -> str:
        return self.folder.runtime_id

    def close(self) -> None:
        """Close what is held open; the processes go on."""
        for descriptor in (self.pidfd, self.monitor_pidfd):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self.pidfd = self.monitor_pidfd = None


@dataclass(kw_only=True)
class Launch:
    """What the hooks hand on to each other while a container starts."""

    effect: StartContainer
    container: Container
    image: Image | None = None
    root: Path | None = None
    volumes: dict[str, Path] = field(default_factory=dict)
    volume_options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pinned: dict[str, Pinned] = field(default_factory=dict)  # of file systems and instances, by volume
    account: Account = ROOT
    shared: Shared | None = None
    created: Created | None = None

    @property
    def made_image(self) -> Image:
        assert self.image is not None, "the image hook comes first"
        return self.image

    def close(self) -> None:
        """What was mounted for the start alone."""
        for each in self.pinned.values():
            try:
                each.close()
            except OSError as error:  # the next daemon does it
                log.warning("%s could not be unmounted: %s", each.source, error)
        self.pinned.clear()


class Hook(Protocol):
    name: str

    async def prepare(self, launch: Launch) -> None:
        """Raises Refused (for good), NotYet or OSError."""
        ...

    async def release(self, container: Container) -> None:
        """Undo; idempotent. Raises NotYet if something still holds it."""
        ...


class Pool:
    """Blocking work of hooks: a few named threads, since most of it waits for locks of the kernel."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="node")

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def close(self) -> None:
        self._threads.shutdown(wait=True)


class ImageHook:
    name = "image"

    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def prepare(self, launch: Launch) -> None:
        obtained = await self._images.given(launch.effect.definition.image, launch.effect.image_digest)
        launch.image = obtained.image

    async def release(self, container: Container) -> None:
        pass  # images stay, to be used again; the control plane says which may go


class EnvironmentHook:
    """The variables of environment files: from here on the definition has them as its own."""

    name = "environment"

    def __init__(self, pool: Pool, folder: Path, s3: S3Endpoint | None = None) -> None:
        self._pool, self._folder, self._s3 = pool, folder, s3

    async def prepare(self, launch: Launch) -> None:
        effect = launch.effect
        if not effect.definition.environment_files:
            return
        if effect.restart:
            config = launch.container.folder.path / "config.json"
            before = await self._pool.run(environment.as_before, effect, config)
            if before is not None:
                launch.effect = before
                return
        try:
            launch.effect = await environment.with_files(effect, self._folder, self._s3, self._pool.run)
        except environment.Unreadable as error:
            raise Refused(
                f"ResourceInitializationError: failed to download env files: {error}", whole_task=True
            ) from error

    async def release(self, container: Container) -> None:
        pass


class RootfsHook:
    """The container's folder, its record, and its root file system."""

    name = "rootfs"

    def __init__(
        self,
        storage: EphemeralStorage,
        file_systems: FileSystemFolders,
        instances: InstanceFolders,
        in_memory: TmpfsVolumes,
        block_storage: BlockStorage,
        pool: Pool,
        *,
        mounted: TmpfsVolumes,
        mount: Callable[[InstanceMount, Path], None],
    ) -> None:
        """Args: mount: mounts what a volume of the kind `mount` is of; blocks, raises OSError."""
        self._mounted, self._mount = mounted, mount
        self._storage, self._file_systems, self._pool = storage, file_systems, pool
        self._instances, self._in_memory, self._block_storage = instances, in_memory, block_storage

    async def prepare(self, launch: Launch) -> None:
        await self._pool.run(self._prepare, launch)

    def _prepare(self, launch: Launch) -> None:
        effect, folder = launch.effect, launch.container.folder
        again = effect.restart > 0
        if not again:
            os.mkdir(folder.path, 0o711)
        image = launch.made_image
        record = ContainerRecord(
            runtime_id=effect.runtime_id,
            task_key=effect.task_key,
            container=effect.container,
            stop_signal=stop_signal(image.stop_signal),
            log=destination(effect, image),
            health_check=effect.definition.health_check,
            boot_id=boot_id(),
            restart=effect.restart,
            instance_id=effect.placement.instance_id if effect.placement is not None else "",
        )
        # Before the first mount and the first process: what a crash leaves can be found and undone from here.
        folder.write(record)
        launch.container.record = record
        if again:
            folder.forget_run()
        writable = folder.path
        if not self._storage.problem:
            writable = self._storage.mount(
                record.task_id, folder.runtime_id, effect.ephemeral_storage_gib, folder.path / overlay.DISK, again=again
            )
        launch.root = overlay.mount(image.layers, folder.path, writable, again=again)
        served = {each.volume: each for each in effect.file_mounts}
        of_instance = {each.volume: each for each in effect.instance_mounts}
        of_ebs = effect.ebs_mount
        elsewhere = served.keys() | {name for name, each in of_instance.items() if each.kind != "task"}
        elsewhere |= {of_ebs.volume} if of_ebs is not None else set()
        own = [each for each in effect.definition.mount_points if each.volume not in elsewhere]
        if own:
            self._storage.hold_volumes(record.task_id)
            disk = folder.path / overlay.DISK / VOLUMES
            launch.volumes |= volume.prepare(
                self._storage.volumes_without_disk(record.task_id) if self._storage.problem else disk,
                own,
                launch.root,
                # A Docker volume begins with what is there, declared or not.
                {*image.volumes, *(each.container_path for each in own if each.volume in of_instance)},
            )
        try:
            launch.account = account.resolve(launch.root, effect.definition.user or image.user)
        except account.UnknownUser as error:
            raise Refused(f"CannotStartContainerError: {error}") from error
        for name in {each.volume for each in effect.definition.mount_points} & served.keys():
            try:
                launch.pinned[name] = efs.pin(
                    self._file_systems, served[name], launch.account, f"{effect.runtime_id}.{name}"
                )
            except efs.CannotMount as error:
                raise Refused(str(error), whole_task=True) from error
        gids = (*launch.account.additional_gids, *(gid for each in launch.pinned.values() for gid in each.gids))
        launch.account = replace(launch.account, additional_gids=tuple(dict.fromkeys(gids)))
        for mount in effect.definition.mount_points:
            if mount.volume in of_instance:
                self._mount_of_instance(launch, of_instance[mount.volume], mount)
            if of_ebs is not None and mount.volume == of_ebs.volume and mount.volume not in launch.pinned:
                self._mount_of_ebs(launch, of_ebs)
        directory = spec.working_directory(effect.definition, image)
        if directory != "/":
            try:
                account.ensure_directory(launch.root, directory)
            except NotADirectoryError as error:
                raise Refused(f"CannotCreateContainerError: Cannot mkdir: {directory} is not a directory") from error
        name = spec.hostname(effect)
        (folder.path / "hostname").write_text(f"{name}\n")
        definition = effect.definition
        (folder.path / "hosts").write_text(
            spec.hosts_text(name, effect.eni, (*spec.linked(effect), *definition.extra_hosts), spec.address_of(effect))
        )
        connected = effect.placement is not None and spec.address_of(effect) is not None
        instance_name = effect.placement.private_dns_name if effect.placement is not None and connected else ""
        (folder.path / "resolv.conf").write_text(
            spec.resolv_text(effect.eni, definition.dns_servers, definition.dns_search_domains, instance_name)
        )

    def _mount_of_ebs(self, launch: Launch, mount: EbsMount) -> None:
        try:
            launch.pinned[mount.volume] = self._block_storage.pin(
                mount.volume_id, mount.file_system, launch.account, f"{launch.effect.runtime_id}.{mount.volume}"
            )
        except CannotAttach as error:
            raise Refused(f"ResourceInitializationError: {error}", whole_task=True) from error

    def _mount_of_instance(self, launch: Launch, wanted: InstanceMount, mount: MountPoint) -> None:
        """Raises Refused, OSError."""
        name, root, record = wanted.volume, launch.root, launch.container.record
        assert root is not None
        assert record is not None
        match wanted.kind:
            case "path" if name not in launch.pinned:
                try:
                    launch.pinned[name] = self._instances.pin(wanted, f"{launch.effect.runtime_id}.{name}")
                except instance_folder.CannotMount as error:
                    raise Refused(f"CannotStartContainerError: Error response from daemon: {error}") from error
            case "folder":
                found = volume.prepare(
                    self._instances.volumes(wanted.instance_id),
                    [MountPoint(volume=wanted.id, container_path=mount.container_path)],
                    root,
                    {mount.container_path},
                )
                launch.volumes[name] = found[wanted.id]
            case "tmpfs":
                launch.volumes[name] = self._in_memory.hold(
                    wanted.id, record.task_id, wanted.data, partial(volume.copy, root, mount.container_path)
                )
            case "mount":
                fill = partial(volume.copy, root, mount.container_path)
                mounting = partial(self._mount, wanted)
                try:
                    launch.volumes[name] = self._mounted.hold_mount(wanted.id, record.task_id, mounting, fill)
                except OSError as error:
                    data = f", data: {wanted.data}" if wanted.data else ""
                    words = f"failed to mount local volume: mount {wanted.path}:{name}{data}: "
                    words += (error.strerror or str(error)).lower()
                    raise Refused(f"CannotCreateContainerError: Error response from daemon: {words}") from error
            case _:
                return
        launch.volume_options[name] = ("nodev", *wanted.flags)

    async def release(self, container: Container) -> None:
        try:
            await self._pool.run(self._release, container)
        except OSError as error:
            raise NotYet(f"{container.folder.path} could not be removed: {error}") from error

    def _release(self, container: Container) -> None:
        overlay.unmount(container.folder.path)
        if container.is_kept:
            return
        if container.record is not None:
            # While there still is a folder: without one, nobody would come here again.
            self._storage.release(container.record.task_id, container.runtime_id)
        overlay.remove(container.folder.path)


class CgroupHook:
    name = "cgroup"

    def __init__(self, tree: CgroupTree, pool: Pool) -> None:
        self._tree, self._pool = tree, pool

    async def prepare(self, launch: Launch) -> None:
        effect = launch.effect
        limits = TaskLimits(cpu_units=effect.task_cpu_units, memory_mib=effect.task_memory_mib)
        record = launch.container.record
        assert record is not None
        await self._pool.run(self._tree.acquire, record.cgroup, record.container, limits)

    async def release(self, container: Container) -> None:
        record = container.record
        if record is None:
            return
        # A group is busy for a moment after its last process has been reaped.
        await _until(
            lambda: self._pool.run(self._tree.release, record.cgroup, record.container),
            f"the cgroup of {container.runtime_id} is still in use",
        )


class NamespaceHook:
    """The namespaces that the containers of the task share among themselves, if it has such."""

    name = "namespace"

    def __init__(self, pauses: PauseNamespaces, pool: Pool) -> None:
        self._pauses, self._pool = pauses, pool

    async def prepare(self, launch: Launch) -> None:
        modes, record = spec.shared_by_task(launch.effect), launch.container.record
        if not modes:
            return
        assert record is not None
        linux = launch.effect.definition.linux
        shm_mib = linux.shared_memory_mib if linux is not None and "ipc" in modes else None
        shm_bytes = None if shm_mib is None else shm_mib * _MIB
        try:
            launch.shared = await self._pool.run(self._pauses.acquire, record, modes, shm_bytes)
        except spec.CannotBuild as error:
            raise Refused(f"CannotCreateContainerError: {error}") from error

    async def release(self, container: Container) -> None:
        record = container.record
        if record is None:
            return
        await _until(
            lambda: self._pool.run(partial(self._pauses.release, record, is_kept=container.is_kept)),
            f"the process that holds the namespaces of task {record.task_id} has not ended",
        )


class LogHook:
    name = "log"

    def __init__(self, forwarder: LogForwarder) -> None:
        self._forwarder = forwarder

    async def prepare(self, launch: Launch) -> None:
        record = launch.container.record
        assert record is not None
        if record.log is None:
            return
        try:
            await self._forwarder.open(record.runtime_id, launch.container.folder.log_file, record.log)
        except LogGroupMissing as error:
            raise Refused(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
                "failed to create Cloudwatch log stream: ResourceNotFoundException: "
                "The specified log group does not exist. : exit status 1",
                whole_task=True,
            ) from error
        except CannotLog as error:
            raise Refused(f"CannotStartContainerError: Error response from daemon: {error}") from error

    async def release(self, container: Container) -> None:
        record = container.record
        if record is None or record.log is None:
            return
        if container.folder.log_file.exists():
            self._forwarder.adopt(record.runtime_id, container.folder.log_file, record.log)
        if not await self._forwarder.finish(record.runtime_id, END_TIMEOUT_S):
            raise NotYet(f"the log store did not take the output of {record.container} within {END_TIMEOUT_S:.0f} s")


class ContainerHook:
    """The bundle, the monitor and the process."""

    name = "container"

    def __init__(
        self,
        runtime: Runtime,
        tree: CgroupTree,
        pool: Pool,
        machine: spec.Machine,
        netns: Callable[[StartContainer], str | None],
        filter_folder: Path,
        rate: Callable[[str, str], None],
    ) -> None:
        """Args: rate: holds a container, whose groups are there, to the rates of its volumes; blocks."""
        self._rate = rate
        self._filter_folder = filter_folder
        self._filters: dict[tuple[str, ...], spec.Machine] = {}
        self._runtime, self._tree, self._pool, self._machine, self._netns = runtime, tree, pool, machine, netns

    async def prepare(self, launch: Launch) -> None:
        container = launch.container
        record, folder = container.record, container.folder
        assert record is not None
        assert launch.root is not None
        try:
            held = spec.capabilities(launch.effect.definition, held=self._machine.own_capabilities)
            config = spec.build(
                launch.effect,
                launch.made_image,
                machine=await self._machine_for(held),
                held=held,
                root=launch.root,
                volumes={**launch.volumes, **{name: each.source for name, each in launch.pinned.items()}},
                volume_options={
                    **launch.volume_options,
                    **{name: each.options for name, each in launch.pinned.items()},
                },
                joined=launch.shared.namespaces if launch.shared is not None else {},
                shm=launch.shared.shm if launch.shared is not None else None,
                folder=folder.path,
                account=launch.account,
                cgroup_path=self._tree.path(record.cgroup, record.container),
                netns=self._netns(launch.effect),
            )
        except (spec.NoCommand, spec.CannotBuild) as error:
            raise Refused(f"CannotCreateContainerError: {error}") from error
        write_for_root(folder.path / "config.json", json.dumps(config).encode())
        try:
            definition = launch.effect.definition
            created = await self._runtime.create(
                folder,
                log_forwarded=record.log is not None,
                terminal=definition.pseudo_terminal,
                stdin=definition.interactive,
            )
            launch.created = created
            container.pidfd, container.monitor_pidfd = created.pidfd, created.monitor_pidfd
            # Recorded before the program runs: from here on a new daemon adopts it instead of starting it again.
            container.record = record = ContainerRecord(
                **{name: getattr(record, name) for name in record.__struct_fields__ if name not in _PROCESS_FIELDS},
                pid=created.pid,
                pid_started=created.pid_started,
                monitor_pid=created.monitor_pid,
                monitor_started=created.monitor_started,
            )
            folder.write(record)
            await self._pool.run(self._rate, record.cgroup, record.container)
            await self._runtime.start(record.runtime_id)
        except CreateFailed as error:
            raise Refused(f"CannotStartContainerError: {error}", exit_code=error.exit_code) from error
        overlay.unmount(folder.path)

    async def release(self, container: Container) -> None:
        record = container.record
        still_there = f"processes of {container.runtime_id} are still there after SIGKILL"
        if container.monitor_pidfd is None and container.folder.path.exists():
            # A monitor that has not finished creating could still bring the container to life: it goes first.
            await _until(lambda: self._pool.run(self._no_strays, container), still_there)
        if record is not None:
            await _until(lambda: self._pool.run(self._no_process, record), still_there)
        if container.monitor_pidfd is not None and not await process.wait_readable(
            container.monitor_pidfd, END_TIMEOUT_S
        ):
            # It should have written the exit file and the rest of the log, and ended.
            raise NotYet(f"the monitor of {container.runtime_id} has not ended with its container")
        if record is not None and record.monitor_pid is not None:
            process.reap(record.monitor_pid)
        await self._pool.run(self._runtime.clear, container.runtime_id)

    async def _machine_for(self, held: tuple[str, ...]) -> spec.Machine:
        """The machine with the seccomp filter that goes with these capabilities, compiled when first asked for."""
        if held == spec.CAPABILITIES:
            return self._machine
        if held not in self._filters:
            bpf = await self._pool.run(seccomp.load, self._filter_folder, held)
            self._filters[held] = replace(self._machine, seccomp={seccomp.ANNOTATION: bpf})
        return self._filters[held]

    def _no_process(self, record: ContainerRecord) -> bool:
        """True once the cgroup is empty; kills what is in it."""
        if not self._tree.processes(record.cgroup, record.container):
            return True
        self._tree.kill(record.cgroup, record.container)
        return not self._tree.processes(record.cgroup, record.container)

    def _no_strays(self, container: Container) -> bool:
        """True once no monitor and no runtime works on the container; kills those that nobody holds, of a daemon that
        was killed while it started the container."""
        found = process.runtimes_of(container.folder.path)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            process.reap(pid)
        return not found


_PROCESS_FIELDS = {"pid", "pid_started", "monitor_pid", "monitor_started"}


async def prepare(hooks: tuple[Hook, ...], launch: Launch) -> None:
    """All hooks in order. If one fails, everything is released again before its error is raised."""
    try:
        for hook in hooks:
            await hook.prepare(launch)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            raise  # the daemon ends, or this took too long: whoever comes next finds the folder and undoes it first
        try:
            await release(hooks, launch.container)
        except NotYet as left:
            log.warning("after a failed start: %s; it is removed with the task", left)
        raise


async def release(hooks: tuple[Hook, ...], container: Container) -> None:
    """All hooks in reverse. Raises NotYet at the first that can not be released: what comes after it needs it gone."""
    for hook in reversed(hooks):
        await hook.release(container)


def stop_signal(name: str) -> int:
    """The number of `SIGTERM`, `TERM` or `15`; SIGTERM if the image says nothing that is one."""
    text = name.strip().upper()
    if text.isdigit() and 0 < int(text) <= signal.SIGRTMAX:
        return int(text)
    if text.startswith(("SIGRTMIN+", "RTMIN+")):
        offset = text.partition("+")[2]
        return int(signal.SIGRTMIN) + int(offset) if offset.isdigit() else int(DEFAULT_STOP_SIGNAL)
    found = getattr(signal, text if text.startswith("SIG") else f"SIG{text}", None)
    return int(found) if isinstance(found, signal.Signals) else int(DEFAULT_STOP_SIGNAL)


def destination(effect: StartContainer, image: Image) -> LogDestination | None:
    """Where the container's output goes: None without a log driver. Raises Refused."""
    configuration = effect.definition.log
    if configuration is None:
        return None
    if configuration.driver in log_driver.OPTIONS and effect.placement is not None:
        try:
            return LogDestination(scope=effect.scope, docker=_of_docker(effect, effect.placement, image))
        except log_driver.BadOption as error:
            raise Refused(
                f"CannotStartContainerError: Error response from daemon: failed to initialize logging driver: {error}"
            ) from error
    found = stream_of(effect.container, configuration, effect.task_key.rpartition("/")[2], effect.runtime_id)
    if found is None:
        return None
    region, group, stream = found
    return LogDestination(
        scope=Scope(account=effect.scope.account, region=region or effect.scope.region),
        group=group,
        stream=stream,
        create_group=configuration.options.get("awslogs-create-group", "false").lower() == "true",
        begins=pattern_of(configuration.options),
        buffer_bytes=buffer_bytes_of(configuration),
    )


def _of_docker(effect: StartContainer, placement: Placement, image: Image) -> DockerDestination:
    """Raises log_driver.BadOption."""
    assert effect.definition.log is not None
    driver, options = effect.definition.log.driver, effect.definition.log.options
    environment = dict(each.partition("=")[::2] for each in spec.environment(effect, image, spec.hostname(effect)))
    about = log_driver.About(
        id=effect.runtime_id,
        name=effect.container,
        image=effect.definition.image,
        image_id=effect.image_digest or image.digest,
        labels={
            **effect.definition.docker_labels,
            "com.amazonaws.ecs.cluster": effect.cluster,
            "com.amazonaws.ecs.container-name": effect.container,
            "com.amazonaws.ecs.task-arn": effect.task_arn,
            "com.amazonaws.ecs.task-definition-family": effect.family,
            "com.amazonaws.ecs.task-definition-version": str(effect.revision),
        },
        environment=environment,
    )
    if driver == "syslog":
        return DockerDestination(
            instance_id=placement.instance_id,
            syslog=log_driver.syslog(options),
            tag=log_driver.tag(options, about, "{{.ID}}"),
            hostname=placement.private_dns_name,
        )
    attributes = log_driver.attributes(options, about)
    # Docker tells a tag only where one is asked for.
    tag = {"tag": log_driver.tag(options, about, "")} if options.get("tag") else {}
    return DockerDestination(
        instance_id=placement.instance_id, json_file=log_driver.json_file(options), attributes={**attributes, **tag}
    )


async def _until(condition: Callable[[], Awaitable[bool]], message: str) -> None:
    """Ask again and again, at growing intervals. Raises NotYet after END_TIMEOUT_S."""
    pause_s = _POLL_S
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            while not await condition():
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.25)
    except TimeoutError:
        raise NotYet(message) from None


PASSING_ERRNOS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.EINTR})
"""Shortages that pass; any other refusal of the kernel will be the same next time."""
