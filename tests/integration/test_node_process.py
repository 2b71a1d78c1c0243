"""What a container definition says of the process, seen from inside real containers."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from portside.domain.record import replace
from portside.domain.task.record import StartFailed
from portside.domain.task_definition import (
    Device,
    EnvironmentFile,
    EnvironmentVariable,
    ExtraHost,
    LinuxParameters,
    SystemControl,
    Tmpfs,
)
from portside.settings import Settings
from portside.testing.node_lab import LabTask, NodeLab, lab_task

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]


def lines_of(settings: Settings, script: str, *, network_mode: str = "none", **definition: Any) -> list[str]:
    """What the script writes in a container of that definition."""

    async def body() -> list[str]:
        async with NodeLab(settings) as lab:
            task = lab_task(script, network_mode=network_mode, **definition)
            if network_mode == "awsvpc":
                await lab.do(task.create_network)
            await lab.run(task)
            await lab.do(task.remove)
            if network_mode == "awsvpc":
                await lab.do(task.release_network)
            return lab.sink.lines(task.stream)

    return asyncio.run(body())


def refusal_of(settings: Settings, **definition: Any) -> str:
    async def body() -> str:
        async with NodeLab(settings) as lab:
            task = lab_task("true", network_mode="none", **definition)
            await lab.do(task.pull)
            fact = await lab.node.execute(task.start)
            await lab.do(task.remove)
            assert isinstance(fact, StartFailed)
            return fact.reason

    return asyncio.run(body())


CAPABILITIES = "grep CapEff /proc/self/status"


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (("SYS_PTRACE",), (), "00000000a80c25fb"),
        ((), ("NET_RAW", "MKNOD"), "00000000a00405fb"),
        (("CHOWN",), ("ALL",), "0000000000000001"),
        ((), ("ALL",), "0000000000000000"),
    ],
)
def test_capabilities(no_leaks: Settings, add: tuple[str, ...], drop: tuple[str, ...], expected: str) -> None:
    """Added and dropped capabilities are those of the process, ALL included."""
    linux = LinuxParameters(capabilities_add=add, capabilities_drop=drop)
    assert lines_of(no_leaks, CAPABILITIES, linux=linux)[0].split()[1] == expected


def test_an_added_capability_opens_its_system_calls(no_leaks: Settings) -> None:
    """SYS_ADMIN lets a container mount: the seccomp filter goes with the capabilities."""
    script = "mkdir -p /tmp/m && mount -t tmpfs x /tmp/m && grep -c /tmp/m /proc/mounts"
    linux = LinuxParameters(capabilities_add=("SYS_ADMIN",))
    assert lines_of(no_leaks, f"{script} || echo no", linux=linux) == ["1"]


def test_tmpfs_and_shared_memory(no_leaks: Settings) -> None:
    """A tmpfs has its size and options, and /dev/shm the size asked for."""
    found = lines_of(
        no_leaks,
        "grep -E ' (/scratch|/dev/shm) ' /proc/mounts;"
        "dd if=/dev/zero of=/scratch/x bs=1M count=3 2>&1 | grep -o 'No space left on device'",
        linux=LinuxParameters(
            shared_memory_mib=8,
            tmpfs=(Tmpfs(container_path="/scratch", size_mib=2, mount_options=("exec", "mode=700")),),
        ),
    )
    scratch = next(each for each in found if "/scratch" in each)
    shm = next(each for each in found if "/dev/shm" in each)
    assert {"nosuid", "nodev", "size=2048k", "mode=700"} <= set(scratch.split()[3].split(","))
    assert "noexec" not in scratch
    assert "size=8192k" in shm
    assert found[-1] == "No space left on device"


def test_an_init_process(no_leaks: Settings) -> None:
    """With initProcessEnabled, process 1 is an init that reaps orphans and hands the exit code on."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task(
                "cat /proc/1/comm; (sleep 0.1 &) ; sleep 0.5; ps | grep -c '[Z]ombie\\|\\[sleep\\]'; exit 7",
                network_mode="none",
                linux=LinuxParameters(init_process_enabled=True),
            )
            exited = await lab.run(task)
            await lab.do(task.remove)
            assert exited.exit_code == 7
            assert lab.sink.lines(task.stream)[0] in ("catatonit", "init")
            assert lab.sink.lines(task.stream)[-1] == "0"

    asyncio.run(body())


def test_a_device(no_leaks: Settings) -> None:
    """A device of the host is there under the name asked for, with no more than the permissions asked for."""
    device = Device(host_path="/dev/kmsg", container_path="/dev/log-of-kernel", permissions=("read",))
    found = lines_of(
        no_leaks,
        "stat -c %F /dev/log-of-kernel; echo x 2>/dev/null > /dev/log-of-kernel && echo written || echo refused",
        linux=LinuxParameters(devices=(device,)),
    )
    assert found == ["character special file", "refused"]
    missing = LinuxParameters(devices=(Device(host_path="/dev/no-such-device"),))
    assert "adding custom device '/dev/no-such-device'" in refusal_of(no_leaks, linux=missing)


def test_privileged(no_leaks: Settings) -> None:
    """A privileged container mounts, writes to /sys and /proc/sys, and has the host's devices."""
    script = (
        "mount -t tmpfs x /tmp && echo mounted; grep -E '^(CapEff|Seccomp):' /proc/self/status;"
        "cat /proc/sys/kernel/domainname > /proc/sys/kernel/domainname && echo written; ls /dev/kmsg"
    )
    mine = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("CapBnd"))
    found = lines_of(no_leaks, script, privileged=True)
    assert found == ["mounted", f"CapEff:\t{mine.split()[1]}", "Seccomp:\t0", "written", "/dev/kmsg"]


def test_a_working_directory_that_is_a_file(no_leaks: Settings) -> None:
    """The container is not made, in Docker's words."""
    words = "CannotCreateContainerError: Cannot mkdir: /etc/passwd is not a directory"
    assert refusal_of(no_leaks, working_directory="/etc/passwd") == words


def test_no_ipc(no_leaks: Settings) -> None:
    """With ipcMode none nothing is mounted at /dev/shm, as with Docker."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("grep -c /dev/shm /proc/mounts", network_mode="none")
            task = LabTask(task.task_id, replace(task.start, ipc_mode="none"))
            await lab.run(task)
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == ["0"]

    asyncio.run(body())


def test_system_controls(no_leaks: Settings) -> None:
    """Settings of the task's own network and IPC namespaces take effect in it."""
    found = lines_of(
        no_leaks,
        "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax",
        network_mode="awsvpc",
        system_controls=(
            SystemControl(namespace="net.core.somaxconn", value="77"),
            SystemControl(namespace="net.ipv4.ip_default_ttl", value="33"),
            SystemControl(namespace="kernel.msgmax", value="4096"),
        ),
    )
    assert found == ["77", "33", "4096"]


def test_a_terminal_and_an_open_input(no_leaks: Settings) -> None:
    """pseudoTerminal gives a terminal whose output is logged; interactive keeps standard input open."""
    assert lines_of(no_leaks, "test -t 1 && tty", pseudo_terminal=True)[0].strip().startswith("/dev/")
    assert lines_of(no_leaks, "test -t 1 && tty || echo none") == ["none"]
    script = "(timeout 1 cat; echo $?) | tail -1"
    # The shell says on its standard error that it was "Terminated": the two streams have no order.
    assert "143" in lines_of(no_leaks, script, interactive=True)
    assert lines_of(no_leaks, script) == ["0"]


def test_names_outside_of_a_vpc(no_leaks: Settings) -> None:
    """Hostname, hosts, name servers and search domains are the definition's where the network is not awsvpc."""
    found = lines_of(
        no_leaks,
        "hostname; cat /etc/resolv.conf; grep db /etc/hosts; ip link | grep -c ^[0-9]",
        network_mode="host",
        hostname="web-1",
        dns_servers=("10.1.2.3",),
        dns_search_domains=("example.internal", "example.test"),
        extra_hosts=(ExtraHost(hostname="db", address="10.9.8.7"),),
        disable_networking=True,
    )
    assert found[:3] == ["web-1", "search example.internal example.test", "nameserver 10.1.2.3"]
    assert found[3] == "10.9.8.7\tdb"


def test_disabled_networking(no_leaks: Settings) -> None:
    """disableNetworking leaves the loopback interface only, whatever the task's network is."""
    script = "ls /sys/class/net | grep -v -e lo -e ip_vti0 -e ip6_vti0 -e sit0 -e tunl0 -e ip6tnl0 | grep -c eth0"
    assert lines_of(no_leaks, script, network_mode="host", disable_networking=True) == ["0"]


def test_no_new_privileges(no_leaks: Settings) -> None:
    """The security option no-new-privileges is set on the process."""
    (line,) = lines_of(no_leaks, "grep NoNewPrivs /proc/self/status", docker_security_options=("no-new-privileges",))
    assert line.split()[1] == "1"


def test_environment_files(no_leaks: Settings) -> None:
    """Variables come from files below the folder; the definition's own win, and an earlier file over a later one."""
    folder = no_leaks.data_dir / "env"
    folder.mkdir(parents=True)
    (folder / "one.env").write_text("# comment\n\nA=one\nB=has = and $A\r\nOWN=file\n")
    (folder / "two.env").write_text("A=two\nC=three")
    files = tuple(EnvironmentFile(type="s3", value=f"file://{folder}/{name}.env") for name in ("one", "two"))
    own = (EnvironmentVariable(name="OWN", value="mine"),)
    script = 'echo "$A,$B,$C,$OWN"'
    assert lines_of(no_leaks, script, environment=own, environment_files=files) == ["one,has = and $A,three,mine"]


def test_environment_files_that_can_not_be_read(no_leaks: Settings) -> None:
    """A missing file, a line that is no variable, and a link out of the folder end the task; no content is told."""
    folder = no_leaks.data_dir / "env"
    folder.mkdir(parents=True)
    (folder / "bad.env").write_text("A=1\nsecret")
    (no_leaks.data_dir / "other.env").write_text("A=1")
    (folder / "link.env").symlink_to(no_leaks.data_dir / "other.env")
    for name, why in (
        ("missing", "No such file or directory"),
        ("bad", "line 2 is not NAME=VALUE"),
        ("link", "is not below"),
    ):
        file = EnvironmentFile(type="s3", value=f"file://{folder}/{name}.env")
        reason = refusal_of(no_leaks, environment_files=(file,))
        assert reason.startswith("ResourceInitializationError: failed to download env files: ")
        assert why in reason
        assert "secret" not in reason


def test_a_child_that_takes_too_much_memory(no_leaks: Settings) -> None:
    """The kernel's victim is a child; the container, which ends with its code, is said to have run out of memory."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("tail /dev/zero; code=$?; echo child $code; exit $code", memory_mib=32)
            exited = await lab.run(task)
            assert (exited.exit_code, exited.oom_killed) == (137, True)
            await lab.do(task.remove)
            assert "child 137" in lab.sink.lines(task.stream)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("modes", "shared"),
    [
        ({"pid_mode": "host"}, {"pid"}),
        ({"ipc_mode": "host"}, {"ipc"}),
        ({"ipc_mode": "none"}, set()),
    ],
)
def test_namespaces_of_the_host(no_leaks: Settings, modes: dict[str, Any], shared: set[str]) -> None:
    """With a mode of host the container is in that namespace of the host's, and in no other; it ends as any."""

    async def body() -> list[str]:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; exit 3")
            task.start = replace(task.start, **modes)
            assert (await lab.run(task)).exit_code == 3
            await lab.do(task.remove)
            return lab.sink.lines(task.stream)

    inside = set(asyncio.run(body()))
    assert {each.partition(":")[0] for each in inside} == {"pid", "ipc"}
    outside = {os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "ipc")}
    assert {each.partition(":")[0] for each in inside & outside} == shared


def test_what_a_container_in_the_hosts_pid_namespace_leaves(no_leaks: Settings) -> None:
    """Its removal ends the processes that it started, though no namespace ends with it."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("sleep 1000 >/dev/null 2>&1 & echo $!")
            task.start = replace(task.start, pid_mode="host")
            await lab.run(task)
            await lab.do(task.remove)
            try:
                state = Path(f"/proc/{lab.sink.lines(task.stream)[0]}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            assert state in "ZX"  # ended; the host's process 1 has not reaped it yet

    asyncio.run(body())
