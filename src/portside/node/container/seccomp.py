"""The seccomp filter of every container, compiled once.

An OCI runtime that compiles the profile itself spends 16 of 25 ms of a start on it (measured); crun takes a compiled
filter through an annotation. The profile is containers-common's, with the calls of namespaces and mounts taken out
again as in Docker's: Podman allows them so that containers can be nested, which no task on Fargate can, and user
namespaces are where most ways out of a container have begun.
"""

import base64
import ctypes
import ctypes.util
import errno
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from portside.node.interface import NodeUnusable

PROFILES = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"))
ANNOTATION = "run.oci.seccomp_bpf_data"
_FOR_ADMINISTRATORS = frozenset(
    {
        *("bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount"),
        *("open_tree", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd", "setdomainname", "sethostname"),
        *("setns", "syslog", "umount", "umount2", "unshare"),
    }
)
"""What moby's default profile keeps to CAP_SYS_ADMIN."""
_CLONE_NEW = 0x7E020000  # every CLONE_NEW… flag: clone(2)
_COMPILER_VERSION = 1  # raise it when this file compiles the same profile to another filter

# machine -> (libseccomp's architecture, the profile's name of it)
_MACHINES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_SCMP_FLTATR_CTL_NNP = 3
_NR_ERROR = -1  # __NR_SCMP_ERROR: libseccomp knows no such call


class _Argument(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def load(folder: Path, capabilities: Iterable[str]) -> str:
    """The annotation's value (base64 of BPF), compiled unless `folder` has it already. Raises NodeUnusable."""
    profile = next((each for each in PROFILES if each.exists()), None)
    if profile is None:
        raise NodeUnusable(
            f"there is no seccomp profile at {PROFILES[1]}: apt-get install golang-github-containers-common"
        )
    library = _library()
    text = profile.read_bytes()
    version = ".".join(str(each) for each in _version(library))
    key = json.dumps([text.decode(), sorted(capabilities), version, platform.machine(), _COMPILER_VERSION])
    file = folder / f"seccomp-{hashlib.sha256(key.encode()).hexdigest()[:16]}.bpf"
    try:
        return base64.b64encode(file.read_bytes()).decode()
    except FileNotFoundError:
        pass
    program = compile_profile(json.loads(text), capabilities)
    fresh = file.with_suffix(".fresh")
    fresh.write_bytes(program)
    os.replace(fresh, file)
    return base64.b64encode(program).decode()


def compile_profile(profile: Mapping[str, Any], capabilities: Iterable[str]) -> bytes:
    """BPF for a profile in Docker's format (with `includes` and `excludes`). Raises NodeUnusable."""
    library = _library()
    machine = platform.machine()
    if machine not in _MACHINES:
        raise NodeUnusable(f"no seccomp profile for the machine {machine}: x86_64 and aarch64 are supported")
    native, architecture = _MACHINES[machine]
    held = set(capabilities)
    context = library.seccomp_init(
        _action(profile["defaultAction"], profile.get("defaultErrnoRet", errno.EPERM)),
    )
    if not context:
        raise NodeUnusable("libseccomp could not be initialised")
    try:
        for entry in profile.get("archMap") or ():
            if entry["architecture"] == native:
                for each in entry.get("subArchitectures") or ():
                    token = library.seccomp_arch_resolve_name(each.removeprefix("SCMP_ARCH_").lower().encode())
                    if token:
                        library.seccomp_arch_add(context, token)
        # The runtime loads the filter with the privileges it still has: no_new_privileges stays the task's choice.
        library.seccomp_attr_set(context, _SCMP_FLTATR_CTL_NNP, 0)
        default = profile["defaultAction"]
        rules = profile["syscalls"] if "CAP_SYS_ADMIN" in held else tightened(profile["syscalls"])
        for rule in rules:
            if not _applies(rule, held, architecture) or rule["action"] == default == "SCMP_ACT_ALLOW":
                continue
            _add(library, context, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def tightened(rules: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rules for a container without CAP_SYS_ADMIN: no namespace and no mount of its own.

    clone3 passes its flags in memory, where a filter can not look: it answers ENOSYS, upon which libraries use clone.
    """
    taken = _FOR_ADMINISTRATORS | {"clone", "clone3"}
    found: list[Mapping[str, Any]] = []
    for rule in rules:
        names = [each for each in rule.get("names") or [rule["name"]] if each not in taken]
        if names:
            found.append({**rule, "names": names})
    flags = {"index": 0, "value": _CLONE_NEW, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    found.append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]})
    found.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    found.append({"names": sorted(_FOR_ADMINISTRATORS), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM})
    return found


def _applies(rule: Mapping[str, Any], held: set[str], architecture: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if includes.get("caps") and not set(includes["caps"]) <= held:
        return False
    if includes.get("minKernel") and _kernel() < _numbers(includes["minKernel"]):
        return False
    return not (set(excludes.get("caps") or ()) & held or architecture in (excludes.get("arches") or ()))


def _add(library: ctypes.CDLL, context: int, rule: Mapping[str, Any]) -> None:
    action = _action(rule["action"], rule.get("errnoRet", errno.EPERM))
    names = rule.get("names") or [rule["name"]]
    arguments = [
        _Argument(each["index"], _OPERATORS[each["op"]], each.get("value", 0), each.get("valueTwo", 0))
        for each in rule.get("args") or ()
    ]
    # Several conditions on one argument are alternatives, for which libseccomp wants a rule each.
    indices = [each.arg for each in arguments]
    groups = [[each] for each in arguments] if len(set(indices)) < len(indices) else [arguments]
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NR_ERROR:
            continue  # a call newer than this libseccomp: the default action covers it
        for group in groups:
            array = (_Argument * max(1, len(group)))(*group)
            result = library.seccomp_rule_add_array(context, action, number, len(group), array)
            # EACCES: the same as the default action; EDOM and EFAULT: not on this architecture.
            if result not in (0, -errno.EACCES, -errno.EDOM, -errno.EFAULT, -errno.EEXIST):
                raise NodeUnusable(f"the seccomp profile's rule for {name} was refused: {os.strerror(-result)}")


def _export(library: ctypes.CDLL, context: int) -> bytes:
    with tempfile.TemporaryFile() as file:
        result = library.seccomp_export_bpf(context, file.fileno())
        if result != 0:
            raise NodeUnusable(f"the seccomp profile could not be compiled: {os.strerror(-result)}")
        file.seek(0)
        return file.read()


def _action(name: str, errno_value: int) -> int:
    match name:
        case "SCMP_ACT_ALLOW":
            return 0x7FFF0000
        case "SCMP_ACT_ERRNO":
            return 0x00050000 | (errno_value & 0xFFFF)
        case "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD":
            return 0x00000000
        case "SCMP_ACT_KILL_PROCESS":
            return 0x80000000
        case "SCMP_ACT_LOG":
            return 0x7FFC0000
        case "SCMP_ACT_TRAP":
            return 0x00030000
        case _:
            raise NodeUnusable(f"the seccomp profile asks for {name}, which is not supported")


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise NodeUnusable(f"libseccomp is missing ({error}): apt-get install libseccomp2") from error
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Argument),
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    return library


def _version(library: ctypes.CDLL) -> tuple[int, ...]:
    return tuple(library.seccomp_version().contents)


def _kernel() -> tuple[int, ...]:
    return _numbers(platform.release())


def _numbers(text: str) -> tuple[int, ...]:
    first = text.split("-", 1)[0].split(".")
    return tuple(int(each) for each in first[:2] if each.isdigit())
