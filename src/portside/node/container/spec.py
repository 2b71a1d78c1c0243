"""The OCI specification of a container: what Docker would set, except where ECS says otherwise.

Sources: https://github.com/opencontainers/runtime-spec, moby's `oci/defaults.go` for capabilities, masked and read-only
paths, and the ECS developer guide for the environment and the limits on Fargate.
"""

import contextlib
import os
import resource
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from portside.domain import link
from portside.domain.task.record import EniAttachment, StartContainer
from portside.domain.task_definition import ContainerDefinition, Device, ExtraHost, LinuxParameters, MountPoint, Tmpfs
from portside.domain.task_definition_rule import CAPABILITY_NAMES, NO_NEW_PRIVILEGES
from portside.node.image.storage import Image
from portside.node.network import link_local
from portside.node.rootfs.account import Account

CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
INIT_PATH = "/dev/init"
"""Where an init of the container's own is, if it wants one: on /dev, so that no image has to have a place for it."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIDS_MAX = 4096
"""Per container; generous for thread pools, far below the machine's pid_max, so one container can not use it up."""
_NOFILE_MAX = 65_535  # Fargate's default of both limits of open files
_SHM_BYTES = 64 * 1024 * 1024  # Docker's default
_CPU_SHARES_MIN = 2  # what ECS sets for a container that asks for no CPU
_MIB = 1024 * 1024
MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_MOUNTS: tuple[Mapping[str, Any], ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {
        "destination": "/sys/fs/cgroup",
        "type": "cgroup",
        "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
    },
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", f"size={_SHM_BYTES}"],
    },
)


_SHM_PATH = "/dev/shm"
_IPC_PATHS = ("/dev/mqueue", _SHM_PATH)
"""Where objects of POSIX IPC are: the host's, for a container in its IPC namespace."""


_NEWER_CAPABILITIES = ("AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE")
"""Those that ECS has no names for: bits 37 to 40 (capabilities(7)), a part of ALL."""
_OWN_DEVICES = frozenset(
    ("console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "tty", "urandom", "zero")
)
"""What a container's /dev has from the runtime."""


class NoCommand(Exception):
    """Neither the definition nor the image says what to run."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is the same for every container of this node. `swap_limit`: the kernel counts swap (v1: memsw files).
    `oom_score_adj`: how likely the kernel chooses its processes when the machine's memory runs short.
    `own_capabilities`: this process's bounding set, bit by bit. `endpoint_url`: the API as tasks in a VPC reach it, if
    they do."""

    seccomp: Mapping[str, str]
    cgroup_version: int
    swap_limit: bool
    oom_score_adj: int = 0
    own_capabilities: int = -1
    endpoint_url: str = ""
    instance_device: Callable[[str, str], os.stat_result | None] = lambda instance_id, path: None
    """The block device that a container instance has at a path; raises OSError."""


def usual_oom_score_adj(own: Path = Path("/proc/self/oom_score_adj")) -> int:
    """Zero, or this process's own where that is higher: going below one's own takes a capability that root may lack.
    A daemon that is protected (as by its systemd unit) does not hand that on to containers."""
    return max(0, int(own.read_text()))


class CannotBuild(Exception):
    """The definition asks for what this machine does not have."""


def capabilities(definition: ContainerDefinition, *, held: int) -> tuple[str, ...]:
    """What the container may do. As in Docker, ALL stands for every one, a dropped ALL leaves what is added, and
    one that is privileged may do all, whatever is dropped.

    Args: held: this process's own bounding set, bit by bit; `own_capabilities` reads it.
    Raises CannotBuild: one is added that this process does not have itself."""
    linux = definition.linux or LinuxParameters()
    add, drop = set(linux.capabilities_add), set(linux.capabilities_drop)
    if definition.privileged:
        add, drop = {"ALL"}, set()
    if not add and not drop:
        return CAPABILITIES
    names = (*CAPABILITY_NAMES, *_NEWER_CAPABILITIES)
    available = {name for bit, name in enumerate(names) if held >> bit & 1}
    missing = sorted(add - available - {"ALL"})
    if missing:
        raise CannotBuild(f"the capability {missing[0]} can not be added: Portside does not have it on this machine")
    usual = {name.removeprefix("CAP_") for name in CAPABILITIES}
    if "ALL" in add:
        found = available - drop
    elif "ALL" in drop:
        found = add
    else:
        found = (usual | add) - drop
    return tuple(f"CAP_{name}" for name in names if name in found)


def shared_by_task(effect: StartContainer) -> tuple[str, ...]:
    """The namespaces that the containers of the task share among themselves, by kind."""
    return tuple(name for name, mode in (("pid", effect.pid_mode), ("ipc", effect.ipc_mode)) if mode == "task")


def own_capabilities(status: Path = Path("/proc/self/status")) -> int:
    """This process's bounding set: no container can have more."""
    line = next(each for each in status.read_text().splitlines() if each.startswith("CapBnd:"))
    return int(line.split()[1], 16)


def hostname(effect: StartContainer) -> str:
    """Its private name with the domain in awsvpc, as on Fargate; else what the definition says, else the instance's
    where its network is shared, else the container's id, as Docker does."""
    if effect.definition.hostname and effect.eni is None:
        return effect.definition.hostname
    if effect.network_mode == "host" and effect.placement is not None:
        return effect.placement.private_dns_name.partition(".")[0]
    return effect.eni.private_dns_name if effect.eni else effect.runtime_id[:12]


def linked(effect: StartContainer) -> list[ExtraHost]:
    """The containers that this one is linked to, by their aliases and names."""
    addresses = {each.container: each.address for each in effect.placement.endpoints} if effect.placement else {}
    return [
        ExtraHost(hostname=" ".join(dict.fromkeys((alias, name))), address=addresses[name])
        for name, alias in link.parsed(effect.definition)
        if name in addresses
    ]


def hosts_text(
    name: str, eni: EniAttachment | None, extra: Sequence[ExtraHost] = (), address: str | None = None
) -> str:
    """Args: address: the container's own, where it has no interface of the VPC."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    if eni is not None:
        full = eni.private_dns_name
        lines.append(f"{eni.address}\t{' '.join(dict.fromkeys((full, full.partition('.')[0])))}")
    elif address is not None:
        lines.append(f"{address}\t{name}")
    else:
        lines.append(f"127.0.1.1\t{name}")
    lines += [f"{each.address}\t{each.hostname}" for each in extra]
    return "\n".join(lines) + "\n"


def address_of(effect: StartContainer) -> str | None:
    """The container's address on its instance: its own on the bridge, the instance's where that network is shared."""
    if effect.placement is None or effect.definition.disable_networking:
        return None
    if effect.network_mode == "host":
        return effect.placement.address
    return next((each.address for each in effect.placement.endpoints if each.container == effect.container), None)


def resolv_text(
    eni: EniAttachment | None, servers: Sequence[str] = (), search: Sequence[str] = (), instance_name: str = ""
) -> str:
    """The VPC's resolver, at the address that is the same in every VPC; in the other network modes what the definition
    says, which need not say it.

    Args: instance_name: the private name of the instance whose network the container uses."""
    if eni is None:
        domain = instance_name.partition(".")[2]
        search = search or ((domain,) if domain else ())
        servers = servers or (("169.254.169.253",) if instance_name else ())
        lines = [f"search {' '.join(search)}"] if search else []
        return "".join(f"{each}\n" for each in (*lines, *(f"nameserver {server}" for server in servers)))
    domain = eni.private_dns_name.partition(".")[2]
    return (f"search {domain}\n" if domain else "") + "nameserver 169.254.169.253\n"


def arguments(definition: ContainerDefinition, image: Image) -> tuple[str, ...]:
    """What to run. An entry point of the definition drops the image's command. Raises NoCommand."""
    if definition.entry_point:
        argv = (*definition.entry_point, *(definition.command or ()))
    else:
        argv = (*image.entry_point, *(definition.command or image.command))
    if not argv:
        raise NoCommand("no command specified")
    if definition.linux is not None and definition.linux.init_process_enabled:
        return (INIT_PATH, "--", *argv)
    return argv


def environment(effect: StartContainer, image: Image, name: str, endpoint_url: str = "") -> tuple[str, ...]:
    """`KEY=value`, each key once: the definition wins over what ECS sets, and that over the image, which wins over the
    defaults of any container."""
    merged: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": name}
    for each in image.environment:
        key, _, value = each.partition("=")
        merged[key] = value
    merged |= {
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE" if effect.placement is None else "AWS_ECS_EC2",
        "AWS_REGION": effect.scope.region,
        "AWS_DEFAULT_REGION": effect.scope.region,
    }
    if effect.eni is not None or address_of(effect) is not None:
        uri = f"http://{link_local.ADDRESS}"
        merged["ECS_CONTAINER_METADATA_URI"] = f"{uri}/v3/{effect.runtime_id}"
        merged["ECS_CONTAINER_METADATA_URI_V4"] = f"{uri}/v4/{effect.runtime_id}"
        merged["ECS_AGENT_URI"] = f"{uri}/api/{effect.runtime_id}"
        if effect.credentials_path:
            merged["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = effect.credentials_path
        if endpoint_url:
            merged["AWS_ENDPOINT_URL"] = endpoint_url
    for variable in effect.definition.environment:
        merged[variable.name] = variable.value
    return tuple(f"{key}={value}" for key, value in merged.items())


def rlimits(definition: ContainerDefinition) -> list[dict[str, Any]]:
    """Clamped to this process's own hard limits, which it may not be allowed to raise."""
    asked = {"nofile": (_NOFILE_MAX, _NOFILE_MAX)}
    asked.update({each.name: (each.soft, each.hard) for each in definition.ulimits})
    found = []
    for name, (soft, hard) in asked.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            continue
        ceiling = resource.getrlimit(number)[1]
        hard, soft = _clamp(hard, ceiling), _clamp(soft, ceiling)
        found.append({"type": f"RLIMIT_{name.upper()}", "hard": hard, "soft": min(soft, hard)})
    return found


def _clamp(value: int, ceiling: int) -> int:
    infinite = 2**64 - 1
    value = infinite if value < 0 else value
    return value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)


def build(
    effect: StartContainer,
    image: Image,
    *,
    machine: Machine,
    root: Path,
    folder: Path,
    account: Account,
    cgroup_path: str,
    netns: str | None,
    held: Sequence[str] = CAPABILITIES,
    volumes: Mapping[str, Path] = {},
    volume_options: Mapping[str, tuple[str, ...]] = {},
    joined: Mapping[str, str] = {},
    shm: Path | None = None,
) -> dict[str, Any]:
    """The `config.json`.

    Args: root: the mounted root file system; folder: holds hosts, hostname and resolv.conf; netns: path of the task's
        network namespace, or None for an empty one of the container's own (unless the mode is `host`); held: what the
        container may do; volumes: where the task's are, by name, and how those are mounted of which more is to
        be said; joined: the namespaces that the containers of the
        task share, by kind; shm: where the /dev/shm of those that share IPC is.

    Raises CannotBuild, NoCommand."""
    definition = effect.definition
    linux = definition.linux or LinuxParameters()
    name = hostname(effect)
    network: dict[str, str] = {"type": "network"}
    if netns is not None and not definition.disable_networking:
        network["path"] = netns
    shared = {name for name, mode in (("pid", effect.pid_mode), ("ipc", effect.ipc_mode)) if mode == "host"}
    namespaces = [
        {"type": each, "path": joined[each]} if each in joined else {"type": each}
        for each in ("pid", "ipc", "uts", "mount")
        if each not in shared
    ]
    if netns is not None or effect.network_mode != "host" or definition.disable_networking:
        namespaces.append(network)
    if machine.cgroup_version == 2:
        namespaces.append({"type": "cgroup"})
    resources = _resources(effect, machine)
    if definition.privileged:
        resources["devices"] = [{"allow": True, "access": "rwm"}]
    instance_id = effect.placement.instance_id if effect.placement is not None else ""
    devices = [_device(each, machine, instance_id) for each in linux.devices]
    named = {each["path"] for each in devices}
    devices += [each for each in (_host_devices() if definition.privileged else ()) if each["path"] not in named]
    resources["devices"] += [_device_rule(each, made) for each, made in zip(linux.devices, devices, strict=False)]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": definition.pseudo_terminal,
            "user": {
                "uid": account.uid,
                "gid": account.gid,
                "additionalGids": list(account.additional_gids),
            },
            "args": list(arguments(definition, image)),
            "env": list(environment(effect, image, name, machine.endpoint_url)),
            "cwd": working_directory(definition, image),
            "capabilities": {
                "bounding": list(held),
                "effective": list(held),
                "permitted": list(held),
            },
            "rlimits": rlimits(definition),
            "noNewPrivileges": any(
                each.partition(":")[0] == NO_NEW_PRIVILEGES for each in definition.docker_security_options
            ),
            "oomScoreAdj": machine.oom_score_adj,
        },
        "root": {"path": str(root), "readonly": definition.readonly_root_filesystem},
        "hostname": name,
        "mounts": [
            *(
                _writable(each) if definition.privileged else each
                for each in (_MOUNTS if linux.shared_memory_mib is None else _with_shm(linux.shared_memory_mib))
                if ("ipc" not in shared or each["destination"] not in _IPC_PATHS)
                and (("ipc" not in joined and effect.ipc_mode != "none") or each["destination"] != _SHM_PATH)
            ),
            *(_bind_mount(each, each) for each in _IPC_PATHS if "ipc" in shared and os.path.exists(each)),
            *([_bind_mount(_SHM_PATH, str(shm))] if "ipc" in joined else []),
            *(
                {"destination": f"/etc/{each}", "type": "bind", "source": str(folder / each), "options": ["bind", "rw"]}
                for each in ("hosts", "hostname", "resolv.conf")
            ),
            *([_init_mount()] if linux.init_process_enabled else []),
            *(_tmpfs_mount(each) for each in linux.tmpfs),
            *(_volume_mount(each, volumes, volume_options) for each in _outermost_first(definition.mount_points)),
        ],
        "linux": {
            "cgroupsPath": cgroup_path,
            "namespaces": namespaces,
            "resources": resources,
            "devices": devices,
            "sysctl": {each.namespace: each.value for each in definition.system_controls},
            "maskedPaths": [] if definition.privileged else list(MASKED),
            "readonlyPaths": [] if definition.privileged else list(READ_ONLY),
        },
        "annotations": {} if definition.privileged else dict(machine.seccomp),
    }


def _with_shm(size_mib: int) -> tuple[Mapping[str, Any], ...]:
    """The usual mounts with /dev/shm of that size."""
    size = f"size={size_mib * _MIB}"
    shm = next(each for each in _MOUNTS if each["destination"] == "/dev/shm")
    options = [each for each in shm["options"] if not each.startswith("size=")]
    return (*(each for each in _MOUNTS if each is not shm), {**shm, "options": [*options, size]})


def _tmpfs_mount(tmpfs: Tmpfs) -> dict[str, Any]:
    """As Docker mounts it: nosuid, nodev and noexec unless the definition says otherwise."""
    usual = [each for each in ("nosuid", "nodev", "noexec") if each.removeprefix("no") not in tmpfs.mount_options]
    options = [*usual, *(each for each in tmpfs.mount_options if each not in usual), f"size={tmpfs.size_mib * _MIB}"]
    return {"destination": tmpfs.container_path, "type": "tmpfs", "source": "tmpfs", "options": options}


def _outermost_first(mount_points: Sequence[MountPoint]) -> list[MountPoint]:
    """A mount point below another one must come later, or it would be hidden."""
    return sorted(mount_points, key=lambda each: len(PurePosixPath(each.container_path).parts))


def _volume_mount(
    mount: MountPoint, volumes: Mapping[str, Path], more: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    access = "ro" if mount.read_only else "rw"
    options = ["rbind", access, "rprivate", *more.get(mount.volume, ())]
    return {
        "destination": mount.container_path,
        "type": "bind",
        "source": str(volumes[mount.volume]),
        "options": options,
    }


def _init_mount() -> dict[str, Any]:
    program = shutil.which("catatonit")
    if program is None:
        raise CannotBuild("initProcessEnabled takes catatonit, which is not installed: apt-get install catatonit")
    return {"destination": INIT_PATH, "type": "bind", "source": program, "options": ["bind", "ro"]}


def _device(device: Device, machine: Machine | None = None, instance_id: str = "") -> dict[str, Any]:
    """A volume that is attached to the container instance, else a device node of the host; at the same path unless the
    definition names another."""
    try:
        attached = None
        if machine is not None and instance_id:
            attached = machine.instance_device(instance_id, device.host_path)
        found = attached if attached is not None else os.stat(device.host_path)
    except OSError as error:
        raise CannotBuild(
            f"error gathering device information while adding custom device {device.host_path!r}: {error.strerror}"
        ) from error
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise CannotBuild(f"{device.host_path!r} is not a device node")
    return {
        "path": device.container_path or device.host_path,
        "type": "c" if stat.S_ISCHR(found.st_mode) else "b",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _host_devices(folder: Path = Path("/dev")) -> list[dict[str, Any]]:
    """Every device of the host, but those that a container has of its own and terminals."""
    found = []
    for path in sorted(folder.rglob("*")):
        top = path.relative_to(folder).parts[0]
        if top in _OWN_DEVICES or path.is_symlink() or path.is_dir():
            continue
        with contextlib.suppress(CannotBuild):  # gone meanwhile, or a socket
            found.append(_device(Device(host_path=str(path))))
    return found


def _writable(mount: Mapping[str, Any]) -> Mapping[str, Any]:
    """A usual mount as a privileged container has it: what the kernel shows there can be written."""
    return {**mount, "options": [each for each in mount["options"] if each != "ro"]}


def _device_rule(device: Device, made: Mapping[str, Any]) -> dict[str, Any]:
    access = "".join(each[0] for each in device.permissions) or "rwm"
    return {"allow": True, "access": access, **{name: made[name] for name in ("type", "major", "minor")}}


def _bind_mount(path: str, source: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": source, "options": ["rbind", "nosuid", "noexec", "nodev"]}


def working_directory(definition: ContainerDefinition, image: Image) -> str:
    path = definition.working_directory or image.working_directory or "/"
    return path if path.startswith("/") else f"/{path}"


def _resources(effect: StartContainer, machine: Machine) -> dict[str, Any]:
    definition = effect.definition
    linux = definition.linux or LinuxParameters()
    if linux.max_swap_mib and not machine.swap_limit:
        raise CannotBuild("maxSwap takes a kernel that counts swap, and this one does not (swapaccount=1)")
    memory: dict[str, int] = {}
    if definition.memory_mib:
        memory["limit"] = definition.memory_mib * _MIB
        if machine.swap_limit:
            # Memory and swap together: none of it is swap unless the definition says so.
            memory["swap"] = memory["limit"] + (linux.max_swap_mib or 0) * _MIB
    if definition.memory_reservation_mib:
        memory["reservation"] = definition.memory_reservation_mib * _MIB
    if linux.swappiness is not None and linux.max_swap_mib is not None:
        if machine.cgroup_version == 2:
            raise CannotBuild("swappiness takes cgroup v1: version 2 has no such setting for a group")
        memory["swappiness"] = linux.swappiness
    found: dict[str, Any] = {
        "devices": [{"allow": False, "access": "rwm"}],  # the runtime adds null, zero, random, tty and their like
        # A container's CPU is a share of the task's, never a quota of its own.
        "cpu": {"shares": max(_CPU_SHARES_MIN, definition.cpu_units)},
        "pids": {"limit": PIDS_MAX},
    }
    if memory:
        found["memory"] = memory
    return found
