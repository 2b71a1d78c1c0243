"""Real containers on the real node: how they start, what holds them, how they end."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from portside.domain.record import replace
from portside.domain.task.record import (
    ContainerExited,
    ContainerKilled,
    ContainerRemoved,
    ContainerSignalled,
    ContainerStarted,
    ImagePulled,
    StartFailed,
)
from portside.domain.task_definition import EnvironmentVariable, Ulimit
from portside.node import cgroup
from portside.settings import Settings
from portside.testing.image import ensure_busybox_image, ensure_layered_image
from portside.testing.node_lab import LabTask, NodeLab, lab_task

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]


async def output(lab: NodeLab, task: LabTask) -> list[str]:
    """Run the task to its end, remove it, and return its lines."""
    await lab.run(task)
    await lab.do(task.remove)
    return lab.sink.lines(task.stream)


def test_exit_codes(no_leaks: Settings) -> None:
    """A container's exit code arrives as it was; death by a signal is 128 + n."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)):
                # Process 1 can not kill itself: a shell below it does, and process 1 passes the code on.
                task = lab_task(f"sh -c '{script}'; exit $?")
                exited = await lab.run(task)
                assert (exited.exit_code, exited.oom_killed) == (code, False)
                assert exited.exited_at is not None
                await lab.do(task.remove)

    asyncio.run(body())


def test_a_container_sees_its_own_machine(no_leaks: Settings) -> None:
    """Hostname, hosts file, resolver, environment, limits, capabilities, seccomp are those of an ECS task."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task(
                "hostname; echo $HOSTNAME; echo $GREETING; echo $AWS_EXECUTION_ENV $AWS_REGION; cat /etc/hosts;"
                "cat /etc/resolv.conf; grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; ulimit -n; pwd; id",
                network_mode="awsvpc",
                environment=(EnvironmentVariable(name="GREETING", value="hello"),),
                working_directory="/made/here",
                ulimits=(Ulimit(name="nofile", soft=321, hard=4321),),
            )
            await lab.do(task.create_network)
            lines = await output(lab, task)
            await lab.do(task.release_network)
            assert lines[:4] == [*["ip-172-31-0-5.ec2.internal"] * 2, "hello", "AWS_ECS_FARGATE us-east-1"]
            assert "172.31.0.5\tip-172-31-0-5.ec2.internal ip-172-31-0-5" in lines
            assert "nameserver 169.254.169.253" in lines
            assert "CapEff:\t00000000a80425fb" in lines
            assert "Seccomp:\t2" in lines
            assert "NoNewPrivs:\t0" in lines
            assert lines[-3:] == ["321", "/made/here", "uid=0(root) gid=0(root) groups=0(root)"]

    asyncio.run(body())


def test_the_seccomp_profile_refuses(no_leaks: Settings) -> None:
    """Root in a container can not mount, make a user namespace, write to /proc/sys or read what is masked."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task(
                "exec 2>&1; mount -t tmpfs x /tmp; unshare -U true; echo x > /proc/sys/kernel/domainname; ls /proc/acpi"
            )
            mount, unshare, write, *masked = await output(lab, task)
            assert "permission denied" in mount
            assert "Operation not permitted" in unshare
            assert "Read-only file system" in write
            assert masked == []

    asyncio.run(body())


def test_a_memory_hog_is_killed_and_said_to_be(no_leaks: Settings) -> None:
    """A container beyond its own limit, or its task's, is killed by the kernel and reported as such."""

    async def body() -> None:
        hog = "tail /dev/zero"  # it keeps the last line, which never ends
        async with NodeLab(no_leaks) as lab:
            for task in (
                lab_task("", entry_point=tuple(hog.split()), command=(), memory_mib=512, memory_reservation_mib=16),
                lab_task("", entry_point=tuple(hog.split()), command=(), memory_mib=32),
            ):
                if task.start.task_memory_mib == 512:
                    task = with_memory(task, 24)
                exited = await lab.run(task)
                assert (exited.exit_code, exited.oom_killed) == (137, True)
                await lab.do(task.remove)

    asyncio.run(body())


def test_a_child_that_is_killed_for_memory_is_said_to_be(no_leaks: Settings) -> None:
    """The container ends by itself, with its own exit code, and it is known that memory ran out in it."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            for code in (0, 4):
                task = with_memory(lab_task(f"(tail /dev/zero); exit {code}", memory_mib=512), 24)
                exited = await lab.run(task)
                assert (exited.exit_code, exited.oom_killed) == (code, True)
                await lab.do(task.remove)

    asyncio.run(body())


def with_memory(task: LabTask, memory_mib: int) -> LabTask:
    """The same task with a limit on its container."""
    definition = replace(task.start.definition, memory_mib=memory_mib)
    return LabTask(task.task_id, replace(task.start, definition=definition))


def test_limits_are_in_the_cgroups(no_leaks: Settings) -> None:
    """The task's CPU and memory and the container's shares, memory and pids stand in the kernel's files."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = with_memory(lab_task("sleep 1000", cpu_units=512, memory_mib=256), 128)
            await lab.do(task.start)
            tree = cgroup.detect(no_leaks.instance_id)
            group = f"{tree.name}/{task.task_id}"
            if isinstance(tree, cgroup.CgroupTreeV2):
                expected = {
                    "cpu.max": "50000 100000",
                    "cpu.weight": str(cgroup.cpu_weight(512)),
                    "memory.max": str(256 * 1024 * 1024),
                    "memory.swap.max": "0",
                    "main/cpu.max": "max 100000",
                    "main/cpu.weight": "1",
                    "main/memory.max": str(128 * 1024 * 1024),
                    "main/memory.swap.max": "0",
                    "main/pids.max": "4096",
                }
                folder = Path("/sys/fs/cgroup") / group
                values = {name: (folder / name).read_text().strip() for name in expected}
            else:
                expected = {
                    "cpu/cpu.cfs_quota_us": "50000",
                    "memory/memory.limit_in_bytes": str(256 * 1024 * 1024),
                    "cpu/main/cpu.shares": "2",
                    "memory/main/memory.limit_in_bytes": str(128 * 1024 * 1024),
                    "pids/main/pids.max": "4096",
                }
                top = Path("/sys/fs/cgroup")
                values = {
                    name: (top / name.partition("/")[0] / group / name.partition("/")[2]).read_text().strip()
                    for name in expected
                }
            assert values == expected
            await lab.do(task.remove)

    asyncio.run(body())


def test_a_container_is_not_protected_when_memory_runs_short(no_leaks: Settings) -> None:
    """A daemon that the kernel spares, as under systemd, does not hand that on to its containers."""
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()
    try:
        own.write_text("-500")
    except PermissionError:
        pytest.skip("this takes CAP_SYS_RESOURCE")

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            assert await output(lab, lab_task("cat /proc/1/oom_score_adj")) == ["0"]

    try:
        asyncio.run(body())
    finally:
        own.write_text(before)


def test_the_stop_signal_and_the_kill(no_leaks: Settings) -> None:
    """The image's STOPSIGNAL reaches process 1, which may handle it; a kill needs no consent."""
    image = ensure_busybox_image("localhost/portside-test-sigint:1", changes=["STOPSIGNAL SIGINT"])

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            script = "trap 'echo got it; exit 3' INT; echo ready; while :; do sleep 0.1; done"
            polite, deaf = lab_task(script, image=image), lab_task("trap '' TERM; echo ready; sleep 1000")
            for task in (polite, deaf):
                await lab.do(task.start)
                await lab.lines(task, 1)
                assert await lab.do(task.signal) == ContainerSignalled(container="main")
            assert (await lab.exited(polite)).exit_code == 3
            assert await lab.do(deaf.kill) == ContainerKilled(container="main")
            assert (await lab.exited(deaf)).exit_code == 137
            await lab.do(polite.remove)
            await lab.do(deaf.remove)
            assert lab.sink.lines(polite.stream) == ["ready", "got it"]

    asyncio.run(body())


def test_effects_on_what_has_ended_or_never_was(no_leaks: Settings) -> None:
    """Signal and kill answer with the exit if nothing runs; removing what is not there is done at once; a start that is
    asked for again while the container runs answers with the same process."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            never = lab_task("true")
            assert await lab.do(never.signal) == ContainerExited(container="main", exit_code=None)
            assert await lab.do(never.kill) == ContainerExited(container="main", exit_code=None)
            assert await lab.do(never.remove) == ContainerRemoved(container="main")
            ended = lab_task("exit 4")
            exited = await lab.run(ended)
            assert await lab.do(ended.signal) == exited
            assert await lab.do(ended.kill) == exited
            await lab.do(ended.remove)
            runs = lab_task("sleep 1000")
            first = await lab.do(runs.start)
            assert isinstance(first, ContainerStarted)
            assert await lab.do(runs.start) == first
            # Removed while it runs: its end is told all the same.
            await lab.do(runs.remove)
            assert (await lab.exited(runs)).exit_code == 137
            await lab.do(runs.remove)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("argv", "words", "code"),
    [
        (("no-such-command",), r"executable file `no-such-command` not found in \$PATH", 127),
        # "Permission denied" of crun 1.8, "exists but it is not executable" of 1.21.
        (("/etc/passwd",), r"[Pp]ermission denied|is not executable", 126),
    ],
)
def test_a_command_that_can_not_run(no_leaks: Settings, argv: tuple[str, ...], words: str, code: int) -> None:
    """It fails with crun's words and Docker's exit code, and leaves nothing behind."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("", entry_point=argv, command=None)
            fact = await lab.node.execute(task.start)
            assert isinstance(fact, StartFailed)
            assert fact.reason.startswith("CannotStartContainerError: ")
            assert re.search(words, fact.reason), fact.reason
            assert (fact.container, fact.exit_code) == ("main", code)
            await lab.do(task.remove)
            assert lab.told == []

    asyncio.run(body())


def test_a_missing_log_group(no_leaks: Settings) -> None:
    """The task can not start, in the words of AWS; nothing of it is left."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            fact = await lab.node.execute(lab_task("true", group="/no/such").start)
            assert fact == StartFailed(
                reason="ResourceInitializationError: failed to validate logger args: create stream has been retried "
                "1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: "
                "The specified log group does not exist. : exit status 1"
            )

    asyncio.run(body())


def test_users_and_groups(no_leaks: Settings) -> None:
    """A user is found by name in the image, with its groups; an unknown one is refused."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            named = await output(lab, lab_task("id", user="app"))
            assert named == ["uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"]
            assert await output(lab, lab_task("id -u; id -g", user="77:88")) == ["77", "88"]
            fact = await lab.node.execute(lab_task("id", user="ghost").start)
            assert isinstance(fact, StartFailed)
            assert "unable to find user ghost: no matching entries in passwd file" in fact.reason

    asyncio.run(body())


def test_the_image_says_what_the_definition_does_not(no_leaks: Settings) -> None:
    """Entry point, command, environment, working directory and user come from the image; an entry point of the
    definition drops the image's command."""
    image = ensure_busybox_image(
        "localhost/portside-test-config:1",
        changes=[
            'ENTRYPOINT ["/bin/sh","-c"]',
            'CMD ["echo from-image $COLOUR $(pwd) $(id -u)"]',
            "ENV COLOUR=blue",
            "WORKDIR /tmp",
            "USER app",
        ],
    )

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            plain = lab_task("", image=image, entry_point=None, command=None)
            assert await output(lab, plain) == ["from-image blue /tmp 1000"]
            both = lab_task("", image=image, entry_point=("/bin/echo", "mine"), command=None)
            assert await output(lab, both) == ["mine"]

    asyncio.run(body())


def test_layers_and_the_writable_one(no_leaks: Settings) -> None:
    """Upper layers win, each container writes to a layer of its own, a read-only root can not be written."""
    image = ensure_layered_image()

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            script = "cat /top; echo; ls / | grep -c layer-; test -e /mine && echo leaked; echo x > /mine && echo wrote"
            assert await output(lab, lab_task(script, image=image)) == ["2", "3", "wrote"]
            assert await output(lab, lab_task(script, image=image)) == ["2", "3", "wrote"]
            locked = lab_task("exec 2>&1; echo x > /mine || echo refused", readonly_root_filesystem=True)
            assert (await output(lab, locked))[-1] == "refused"

    asyncio.run(body())


def test_the_host_keeps_no_mount_of_a_running_container(no_leaks: Settings) -> None:
    """The host's copy of the root file system is gone once the container runs, so later starts stay fast."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("echo ready; sleep 1000")
            await lab.do(task.start)
            await lab.lines(task, 1)
            assert task.task_id not in Path("/proc/self/mountinfo").read_text()
            await lab.do(task.remove)

    asyncio.run(body())


def test_many_at_once(no_leaks: Settings) -> None:
    """Twenty containers started together all run, and all are gone when removed."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            tasks = [lab_task("echo ready; sleep 1000") for _ in range(20)]
            facts = await asyncio.gather(*(lab.do(task.start) for task in tasks))
            pids = {fact.pid for fact in facts if isinstance(fact, ContainerStarted)}
            assert len(pids) == 20
            await asyncio.gather(*(lab.lines(task, 1) for task in tasks))
            await asyncio.gather(*(lab.do(task.remove) for task in tasks))
            assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)

    asyncio.run(body())


def test_a_pulled_image_is_the_one_that_is_started(no_leaks: Settings) -> None:
    """The digest that a pull reports names the image that a start takes."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("true")
            pulled = await lab.do(task.pull)
            assert isinstance(pulled, ImagePulled)
            task.start = replace(task.start, image_digest=pulled.digest)
            assert (await lab.run(task)).exit_code == 0
            config = json.loads(
                (no_leaks.data_dir / "node/containers" / task.start.runtime_id / "config.json").read_text()
            )
            assert config["process"]["args"] == ["/bin/sh", "-c", "true"]
            await lab.do(task.remove)

    asyncio.run(body())


def test_a_restart_keeps_what_the_container_wrote(no_leaks: Settings) -> None:
    """The same container runs again: its files are there, its log stream goes on, and its new end is told as such."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("echo x >> /written; wc -l < /written; exit 3")
            assert (await lab.run(task)).restart == 0
            for restart in (1, 2):
                lab.told.clear()
                again = LabTask(task.task_id, replace(task.start, restart=restart))
                exited = await lab.run(again)
                assert (exited.exit_code, exited.restart) == (3, restart)
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == ["1", "2", "3"]

    asyncio.run(body())


def test_a_new_daemon_restarts_a_container(no_leaks: Settings) -> None:
    """What ended under one daemon is restarted by the next, with what it wrote; asked for twice, it runs once."""

    async def body() -> None:
        task = lab_task(
            "echo x >> /written; wc -l < /written; while [ $(wc -l < /written) -gt 1 ]; do sleep 0.05; done"
        )
        again = LabTask(task.task_id, replace(task.start, restart=1))
        async with NodeLab(no_leaks) as lab:
            await lab.run(task)
        async with NodeLab(no_leaks, lab.sink) as lab:
            facts = [fact for _, fact in await lab.node.recover([task.record()])]
            assert [type(each).__name__ for each in facts] == ["ContainerStarted", "ContainerExited"]
            first = await lab.do(again.start)
            assert await lab.do(again.start) == first
            await lab.lines(task, 2)
        async with NodeLab(no_leaks, lab.sink) as lab:
            (adopted,) = [fact for _, fact in await lab.node.recover([task.record()])]
            assert adopted == first
            await lab.do(task.kill)
            assert (await lab.exited(task)).restart == 1
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == ["1", "2"]

    asyncio.run(body())
