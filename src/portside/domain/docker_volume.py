"""Docker volumes of container instances, as its driver `local` has them: what may be asked for, and what is kept.

Source: API_DockerVolumeConfiguration; ECS developer guide, "Use Docker volumes with Amazon ECS"; docker volume create.
"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from portside.domain.fargate import unsupported
from portside.domain.record import Record, Scope
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import DockerVolume

_MEMBER: Final = "volumes.dockerVolumeConfiguration"
_TMPFS_DATA: Final = ("size", "mode", "uid", "gid", "nr_inodes")
DISKS: Final = ("ext3", "ext4", "xfs")
NETWORKED: Final = ("nfs", "nfs4")
_FLAGS: Final = ("ro", "noexec", "nosuid")
_USUAL: Final = ("", "rw", "exec", "suid", "nodev")
"""Options of a mount that say what is so anyway."""


class KeptVolume(Record, frozen=True, kw_only=True):
    """A volume of scope `shared`: on one instance, from the first task that names it until it is removed.

    `id`: its folder's name, which no other volume ever has."""

    scope: Scope
    instance_id: str
    name: str
    id: str
    driver: str = "local"
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    created_at: datetime
    created_by: str = ""  # the task, as `cluster/id`

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.instance_id}/{self.name}"


class LocalMount(Record, frozen=True, kw_only=True):
    """What options of the driver `local` come to. `path`: of the instance, for `bind`, and for a `mount` of a disk;
    else what a `mount` of type `file_system` is of; `data`: options of a tmpfs or a mount's own; `flags`: those that
    every mount may have."""

    kind: Literal["folder", "bind", "tmpfs", "mount"] = "folder"
    path: str = ""
    file_system: str = ""
    data: str = ""
    flags: tuple[str, ...] = ()


def check(volume: str, docker: DockerVolume) -> None:
    """Raises Refused: it contradicts itself, or takes what is not there."""
    if docker.scope == "task" and docker.autoprovision is False:
        raise _invalid(
            "When 'scope' parameter is 'task', 'autoprovision' must either not be specified or set to 'True'."
        )
    if docker.driver == "":
        raise _invalid("volume.dockerVolumeConfiguration.driver should not be null or empty.")
    if docker.driver not in (None, "local"):
        raise unsupported(f"{_MEMBER}.driver '{docker.driver}'")
    local_mount(volume, docker.driver_opts)


def local_mount(volume: str, options: dict[str, str]) -> LocalMount:
    """Raises Refused."""
    for name in options:
        if name not in ("type", "device", "o"):
            raise _invalid(f"Volume '{volume}': invalid option: \"{name}\"")
    kind, device = options.get("type", ""), options.get("device", "")
    words = options.get("o", "").split(",")
    if not kind and not device and words == [""]:
        return LocalMount()
    if not device:
        raise _invalid(f"Volume '{volume}': missing required option: \"device\"")
    if kind in ("", "none", "bind"):
        if "bind" not in words:
            raise unsupported(f"{_MEMBER}.driverOpts of type '{kind}' without the option bind")
        if not device.startswith("/") or "\0" in device:
            raise _invalid(f"Volume '{volume}': the device '{device}' is not an absolute path.")
        return LocalMount(kind="bind", path=device, flags=_flags(each for each in words if each != "bind"))
    if kind == "tmpfs":
        data = [each for each in words if each.partition("=")[0] in _TMPFS_DATA]
        for each in data:
            if not each.partition("=")[2].removesuffix("%").isalnum():
                raise _invalid(f"Volume '{volume}': invalid option: \"{each}\"")
        flags = _flags(each for each in words if each not in data)
        return LocalMount(kind="tmpfs", data=",".join(data), flags=flags)
    if kind in DISKS:
        if not device.startswith("/dev/"):
            raise unsupported(f"{_MEMBER}.driverOpts.device '{device}'")
        return LocalMount(kind="mount", file_system=kind, path=device, flags=_flags(words if words != [""] else ()))
    if kind in NETWORKED:
        return _networked(volume, kind, device, words)
    raise unsupported(f"{_MEMBER}.driverOpts.type '{kind}'")


def _networked(volume: str, kind: str, device: str, words: list[str]) -> LocalMount:
    """Raises Refused."""
    if ":/" not in device or "\0" in device:
        raise _invalid(f"Volume '{volume}': the device '{device}' is not of the form :/path.")
    data = [each for each in words if each and each not in (*_FLAGS, *_USUAL)]
    address = next((each.partition("=")[2] for each in data if each.startswith("addr=")), "")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise unsupported(f"{_MEMBER}.driverOpts.o 'addr={address}', which is no address,") from None
    flags = tuple(dict.fromkeys(each for each in words if each in _FLAGS))
    return LocalMount(kind="mount", file_system=kind, path=device, data=",".join(data), flags=flags)


def _flags(words: Iterable[str]) -> tuple[str, ...]:
    """Raises Refused."""
    found = []
    for each in words:
        if each in _FLAGS:
            found.append(each)
        elif each not in _USUAL:
            raise unsupported(f"{_MEMBER}.driverOpts.o '{each}'")
    return tuple(dict.fromkeys(found))


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, _MEMBER)
