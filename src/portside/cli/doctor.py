"""`portside doctor`: what Portside needs of this machine, tried rather than read, and how to mend what is missing.

Trials happen in namespaces of their own, which end with the trial; nothing of the machine is changed.
"""

import json
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from portside.cli import instance as daemon
from portside.node import loop
from portside.node.rootfs import ephemeral
from portside.settings import Settings

TRIAL_TIMEOUT_S = 20
DISK_WANTED_GIB, DISK_NEEDED_GIB = 5, 1
NOFILE_WANTED = 65536
INOTIFY_INSTANCES_WANTED = 128
ENVOY_OLD_DAYS = 180
KERNEL_NEEDED = (5, 10)
"""Debian 11's; older ones were never tried."""


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, with the limits that are named
    MISSING = "missing"  # essential: tasks can not run
    UNKNOWN = "unknown"  # could not be tried


@dataclass(frozen=True)
class Finding:
    """Args: mend: what to do, empty when all is well."""

    name: str
    grade: Grade
    detail: str
    mend: str = ""


Check = Callable[[Settings], Finding]


def show(settings: Settings, *, as_json: bool) -> int:
    """Print every finding. Returns the exit code: 1 if something essential is missing."""
    findings = [check(settings) for check in CHECKS]
    missing = [finding for finding in findings if finding.grade is Grade.MISSING]
    if as_json:
        print(json.dumps({"ok": not missing, "checks": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print(findings)
    return 1 if missing else 0


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    marks = {
        Grade.OK: ("✓", "green"),
        Grade.WARNING: ("!", "yellow"),
        Grade.MISSING: ("✗", "red"),
        Grade.UNKNOWN: ("?", "yellow"),
    }
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark, colour = marks[finding.grade]
        console.print(Text.assemble((mark, colour), f" {finding.name:{width}}  ", (finding.detail, "")))
        if finding.mend:
            console.print(Text(f"  {'':{width}}  → {finding.mend}", style=colour))
    worst = sum(finding.grade is Grade.MISSING for finding in findings)
    console.print(f"\nMissing and essential: {worst}." if worst else "\nAll that is essential is here.")


def _try(*command: str) -> str | None:
    """Run a trial. Returns None if it went well, else why not."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {TRIAL_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]


def _trial(name: str, what: str, mend: str, *command: str) -> Finding:
    """A finding from a trial that only root can make."""
    if os.geteuid() != 0:
        return Finding(name, Grade.UNKNOWN, "only root can try this", "Run: sudo portside doctor")
    problem = _try(*command)
    if problem is None:
        return Finding(name, Grade.OK, what)
    return Finding(name, Grade.MISSING, problem, mend)


def check_root(_: Settings) -> Finding:
    if os.geteuid() == 0:
        return Finding("root", Grade.OK, "running as root")
    return Finding("root", Grade.WARNING, "not root: Portside itself must run as root", "Run: sudo portside up")


def check_kernel(_: Settings) -> Finding:
    release = platform.release()
    parts = re.match(r"(\d+)\.(\d+)", release)
    version = (int(parts[1]), int(parts[2])) if parts else (0, 0)
    if version >= KERNEL_NEEDED:
        return Finding("kernel", Grade.OK, f"{release}, {platform.machine()}")
    return Finding("kernel", Grade.WARNING, f"{release} is older than what was tried", "Use Linux 5.10 or newer.")


def check_namespaces(_: Settings) -> Finding:
    return _trial(
        "namespaces",
        "network, mount, pid, ipc, uts",
        "Use a kernel with namespaces; inside a container, run it privileged.",
        *("unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "true"),
    )


def check_overlay(settings: Settings) -> Finding:
    """On the very file system where tasks will live."""
    place = _existing(settings.data_dir)
    if os.geteuid() != 0 or not os.access(place, os.W_OK):
        return Finding("overlayfs", Grade.UNKNOWN, "only root can try this", "Run: sudo portside doctor")
    with tempfile.TemporaryDirectory(prefix=".portside-doctor-", dir=place) as folder:
        for name in ("lower", "upper", "work", "merged"):
            (Path(folder) / name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        return _trial(
            "overlayfs",
            f"works on {place}",
            "modprobe overlay; or name a --data-dir on ext4 or xfs (an overlay can not hold another's changes).",
            *("unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/merged"),
        )


def check_ephemeral_storage(settings: Settings) -> Finding:
    """On the very file system where the tasks' disks will be."""
    name, place = "task storage", _existing(settings.data_dir)
    if os.geteuid() != 0 or not os.access(place, os.W_OK):
        return Finding(name, Grade.UNKNOWN, "only root can try this", "Run: sudo portside doctor")
    with tempfile.TemporaryDirectory(prefix=".portside-doctor-", dir=place) as folder:
        problem = ephemeral.problem() or _try_disk(Path(folder))
    if problem:
        mend = "apt-get install e2fsprogs; modprobe loop; in a container, allow it loop devices (block major 7)."
        return Finding(name, Grade.WARNING, f"a task may fill this machine's disk: {problem}", mend)
    return Finding(name, Grade.OK, "ephemeralStorage is enforced (a file system in a file for each task)")


def check_ebs(_: Settings) -> Finding:
    name, missing = "EBS volumes", [each for each in ("mkfs.xfs", "mkfs.ext4") if shutil.which(each) is None]
    if "mkfs.xfs" in missing:
        what = f"{' and '.join(missing)} not installed: XFS is what ECS takes where filesystemType says nothing"
        return Finding(name, Grade.WARNING, what, "apt-get install xfsprogs e2fsprogs")
    return Finding(name, Grade.OK, "with ext3, ext4 and XFS")


def _try_disk(folder: Path) -> str | None:
    (folder / "disk").mkdir()
    try:
        ephemeral.make(folder / "file", 1)
        descriptor, device = loop.attach(folder / "file")
    except OSError as error:
        return str(error)
    try:
        return _try("unshare", "--mount", "mount", "-t", "ext4", device, str(folder / "disk"))
    finally:
        os.close(descriptor)


def check_veth(_: Settings) -> Finding:
    script = (
        "ip link add va type veth peer name vb && ip address add 10.0.0.1/24 dev va && ip rule add from all lookup 7"
    )
    mend = "modprobe veth; apt-get install iproute2; the kernel needs CONFIG_VETH and CONFIG_IP_MULTIPLE_TABLES."
    return _trial("veth, routing", "interface pairs and policy routing", mend, "unshare", "--net", "sh", "-c", script)


def check_nftables(_: Settings) -> Finding:
    rules = (
        "add table ip t; add set ip t s { type ipv4_addr; }; add chain ip t f { type filter hook forward priority 0; };"
        "add rule ip t f ct state established,related accept; add rule ip t f ip saddr @s accept;"
        "add chain ip t n { type nat hook postrouting priority 100; }; add rule ip t n masquerade"
    )
    return _trial(
        "nftables",
        "sets, connection tracking, address translation",
        "apt-get install nftables; modprobe nf_tables nf_conntrack nft_ct nft_nat nft_masq",
        *("unshare", "--net", "nft", rules),
    )


def check_bridge(_: Settings) -> Finding:
    """What container instances take: their bridge, and port mappings by address and port."""
    rules = (
        "add table ip t; add map ip t m { type inet_service : ipv4_addr . inet_service; };"
        "add chain ip t n { type nat hook prerouting priority -100; };"
        "add rule ip t n fib daddr type local dnat ip to tcp dport map @m"
    )
    script = (
        "ip link add docker0 type bridge && ip link add va type veth peer name vb && ip link set va master docker0"
        f" && nft '{rules}'"
    )
    found = _trial(
        "bridge",
        "a bridge and port mappings, for container instances",
        "modprobe bridge nft_fib_ipv4; without them there is Fargate, and no container instances.",
        *("unshare", "--net", "sh", "-c", script),
    )
    return replace(found, grade=Grade.WARNING) if found.grade is Grade.MISSING else found


def check_conntrack(_: Settings) -> Finding:
    path = Path("/proc/sys/net/netfilter/nf_conntrack_max")
    try:
        limit = int(path.read_text())
    except OSError:
        return Finding("conntrack table", Grade.UNKNOWN, "its size is not known yet (the module is not loaded)")
    if limit >= 65536:
        return Finding("conntrack table", Grade.OK, f"{limit} connections")
    return Finding(
        "conntrack table", Grade.WARNING, f"{limit} connections", "sysctl -w net.netfilter.nf_conntrack_max=262144"
    )


def check_cgroups(_: Settings) -> Finding:
    return judge_cgroups(Path("/proc/mounts").read_text(), _read("/sys/fs/cgroup/cgroup.controllers"), _v2_left())


def judge_cgroups(mounts: str, controllers: str, left_on_v2: Sequence[str] = ()) -> Finding:
    """
    Args:
        mounts: /proc/mounts.
        controllers: the root's cgroup.controllers, empty on version 1.
        left_on_v2: controllers which a mixed machine keeps on version 2.
    """
    rows = [line.split() for line in mounts.splitlines()]
    if any(row[2] == "cgroup2" and row[1] == "/sys/fs/cgroup" for row in rows):
        missing = sorted({"cpu", "memory", "pids"} - set(controllers.split()))
        if missing:
            mend = "Remove cgroup_disable from the kernel's command line; in a container, delegate the controllers."
            return Finding("cgroups", Grade.MISSING, f"version 2 without {', '.join(missing)}", mend)
        return Finding("cgroups", Grade.OK, f"version 2: {controllers}")
    mounted = {option for row in rows if row[2] == "cgroup" for option in row[3].split(",")}
    missing = sorted({"cpu", "memory", "pids", "freezer", "devices"} - mounted)
    if missing:
        mend = "Boot with systemd.unified_cgroup_hierarchy=1, or mount them under /sys/fs/cgroup."
        return Finding("cgroups", Grade.MISSING, f"version 1 without {', '.join(missing)}", mend)
    if left_on_v2:
        place = f"/sys/fs/cgroup/{left_on_v2[0]}"
        mend = f"mkdir {place} && mount -t cgroup -o {left_on_v2[0]} cgroup {place}"
        detail = f"version 1, but {', '.join(left_on_v2)} on version 2: containers may not start"
        return Finding("cgroups", Grade.WARNING, detail, mend)
    return Finding("cgroups", Grade.OK, "version 1")


def _v2_left() -> list[str]:
    return _read("/sys/fs/cgroup/unified/cgroup.controllers").split()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def program_check(name: str, *version: str, essential: bool = True) -> Check:
    """A check that a program of a Debian package of the same name is there, with its version."""

    def check(_: Settings) -> Finding:
        path = shutil.which(name)
        if path is None:
            grade = Grade.MISSING if essential else Grade.WARNING
            return Finding(name, grade, "not installed", f"apt-get install --no-install-recommends {name}")
        try:
            done = subprocess.run(
                [path, *version], capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Finding(name, Grade.MISSING, f"{path} does not run: {error}", f"apt-get install --reinstall {name}")
        found = re.search(r"\d+\.\d+(\.\d+)?\S*", done.stdout + done.stderr)
        return Finding(name, Grade.OK, f"{found[0] if found else 'version unknown'} ({path})")

    return check


def check_libnftables(_: Settings) -> Finding:
    import ctypes

    try:
        ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        return Finding("libnftables", Grade.MISSING, str(error), "apt-get install libnftables1")
    return Finding("libnftables", Grade.OK, "libnftables.so.1")


def check_seccomp(_: Settings) -> Finding:
    for place in ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"):
        if Path(place).is_file():
            return Finding("seccomp profile", Grade.OK, place)
    mend = "apt-get install golang-github-containers-common (Debian, Ubuntu), or containers-common"
    return Finding("seccomp profile", Grade.MISSING, "no default profile for containers", mend)


def check_images(_: Settings) -> Finding:
    """Layers must be plain folders, which the kernel's own overlay mounts."""
    if shutil.which("podman") is None:
        return Finding("image storage", Grade.UNKNOWN, "podman is not installed")
    if os.geteuid() != 0:
        return Finding("image storage", Grade.UNKNOWN, "only root can try this", "Run: sudo portside doctor")
    command = ["podman", "info", "--format", "{{.Store.GraphDriverName}} {{.Store.GraphRoot}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Finding("image storage", Grade.MISSING, "podman does not answer", "Is another podman stuck? See: ps ax")
    driver, place = (*done.stdout.split(maxsplit=1), "", "")[:2]
    if done.returncode != 0 or not place:
        words = (done.stderr.strip() or "podman fails").splitlines()[-1]
        return Finding("image storage", Grade.MISSING, words, "See what this says: podman info")
    if driver != "overlay":
        mend = 'Set driver = "overlay" in /etc/containers/storage.conf (images must be made again).'
        return Finding("image storage", Grade.MISSING, f"{place.strip()} uses the driver {driver}", mend)
    return Finding("image storage", Grade.OK, f"{place.strip()} (overlay)")


def check_envoy(settings: Settings) -> Finding:
    """The one that is named, else that of the daemon of this data folder, else the packaged one."""
    from portside.balancer.process import EnvoyMissing, find_binary

    named = settings.envoy_path or daemon.envoy_path(settings)
    try:
        binary = find_binary(named)
        done = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False
        )
    except (EnvoyMissing, OSError, subprocess.TimeoutExpired) as error:
        return Finding("envoy", Grade.MISSING, str(error), "Run: portside install; or name one with --envoy-path.")
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    if done.returncode != 0 or not found:
        mend = "Is the processor x86-64 or arm64? Name another with --envoy-path."
        return Finding("envoy", Grade.MISSING, (done.stderr.strip() or "does not run").splitlines()[-1], mend)
    judged = judge_envoy(found[0], datetime.fromtimestamp(binary.stat().st_mtime, UTC), datetime.now(UTC))
    return judged if named is None else replace(judged, detail=f"{judged.detail} ({named})")


def judge_envoy(version: str, installed_at: datetime, now: datetime) -> Finding:
    """The packaged Envoy lags behind security releases: an old one is worth a word."""
    days = (now - installed_at).days
    detail = f"{version}, installed {days} days ago"
    if days > ENVOY_OLD_DAYS:
        mend = "Update the clone and run: portside install; or name a newer one with --envoy-path."
        return Finding("envoy", Grade.WARNING, detail, mend)
    return Finding("envoy", Grade.OK, detail)


def check_port(settings: Settings) -> Finding:
    """Free, or held by the daemon of this data folder."""
    where = f"{settings.host}:{settings.port}"
    running = daemon.find(settings)
    if running is not None:
        return Finding("API port", Grade.OK, f"Portside runs at {running.url} (pid {running.pid})")
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            mend = f"See what holds it: ss -ltnp 'sport = :{settings.port}'; or use --port."
            return Finding("API port", Grade.MISSING, f"{where}: {error.strerror}", mend)
    return Finding("API port", Grade.OK, f"{where} is free")


def check_data_dir(settings: Settings) -> Finding:
    place = _existing(settings.data_dir)
    if not os.access(place, os.W_OK):
        mend = "Run as root, or name another --data-dir."
        return Finding("data folder", Grade.WARNING, f"{place} is not writable for this user", mend)
    free_gib = shutil.disk_usage(place).free / 1024**3
    detail = f"{settings.data_dir}, {free_gib:.1f} GiB free"
    if free_gib < DISK_NEEDED_GIB:
        return Finding("data folder", Grade.MISSING, detail, "Free some space, or name another --data-dir.")
    if free_gib < DISK_WANTED_GIB:
        return Finding("data folder", Grade.WARNING, detail, "Tasks and images will need more: podman image prune")
    return Finding("data folder", Grade.OK, detail)


def _existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return path


def check_descriptors(_: Settings) -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= NOFILE_WANTED:
        return Finding("open files", Grade.OK, "unlimited" if hard == resource.RLIM_INFINITY else f"up to {hard}")
    mend = f"ulimit -Hn {NOFILE_WANTED} before `portside up`, or LimitNOFILE= in the systemd unit"
    return Finding("open files", Grade.WARNING, f"up to {hard}: too few for hundreds of tasks", mend)


def check_inotify(_: Settings) -> Finding:
    instances = int(_read("/proc/sys/fs/inotify/max_user_instances") or 0)
    if instances >= INOTIFY_INSTANCES_WANTED:
        return Finding("inotify", Grade.OK, f"{instances} instances")
    return Finding("inotify", Grade.WARNING, f"{instances} instances", "sysctl -w fs.inotify.max_user_instances=512")


def check_names(_: Settings) -> Finding:
    """Load balancers' names end in .localhost."""
    try:
        address = socket.gethostbyname("portside-doctor.elb.localhost")
    except OSError:
        detail = "*.localhost is not resolved here; curl and browsers do it themselves"
        return Finding("names", Grade.OK, f"{detail}, others find the names in /etc/hosts")
    return Finding("names", Grade.OK, f"*.localhost is {address}")


def check_time(_: Settings) -> Finding:
    """Time stamps are compared with those of AWS tools, whose signatures are worth 15 minutes."""
    year = time.gmtime().tm_year
    if year < 2024:
        return Finding("clock", Grade.WARNING, f"this machine believes to live in {year}", "timedatectl set-ntp true")
    return Finding("clock", Grade.OK, datetime.now(UTC).isoformat(timespec="seconds"))


def check_proxies(_: Settings) -> Finding:
    return judge_proxies(os.environ)


def judge_proxies(environment: Mapping[str, str]) -> Finding:
    """A proxy variable without an exception leads the AWS tools' calls for 127.0.0.1 away from here."""
    proxy = environment.get("HTTP_PROXY") or environment.get("http_proxy") or environment.get("ALL_PROXY")
    exceptions = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    if proxy and "127.0.0.1" not in exceptions and exceptions != "*":
        mend = "export NO_PROXY=127.0.0.1,localhost,.localhost"
        return Finding("proxy", Grade.WARNING, "calls for 127.0.0.1 go to the proxy of HTTP_PROXY", mend)
    return Finding("proxy", Grade.OK, "none in the way")


CHECKS: tuple[Check, ...] = (
    check_root,
    check_kernel,
    check_namespaces,
    check_overlay,
    check_ephemeral_storage,
    check_ebs,
    check_veth,
    check_nftables,
    check_bridge,
    check_libnftables,
    check_conntrack,
    check_cgroups,
    program_check("crun", "--version"),
    program_check("conmon", "--version"),
    program_check("catatonit", "--version", essential=False),
    program_check("podman", "--version"),
    program_check("skopeo", "--version", essential=False),
    check_images,
    check_seccomp,
    check_envoy,
    check_port,
    check_data_dir,
    check_descriptors,
    check_inotify,
    check_names,
    check_proxies,
    check_time,
)
"""Every check, in the order in which it is shown."""
