"""ECS Exec in real containers, by the protocol of AWS's plugin and by `portside exec`."""

import asyncio
import fcntl
import os
import pty
import random
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.aws.ssm.message import Message, PayloadType
from portside.cli.exec import DataChannel
from portside.node import linux
from portside.settings import Settings
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.node_lab import NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as found:
        found.client("ecs").create_cluster(clusterName="default")
        yield found


def run_task(portside: Instance, *, enabled: bool = True) -> str:
    """A task that waits, and RUNNING. Returns its ARN."""
    ecs = portside.client("ecs")
    ecs.register_task_definition(
        family="exec",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "entryPoint": ["/bin/sh", "-c"],
                "command": ["trap 'exit 0' TERM; while :; do sleep 0.1; done"],
                "environment": [{"name": "GREETING", "value": "hello"}],
            }
        ],
    )
    subnet = portside.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    arn: str = ecs.run_task(
        taskDefinition="exec",
        launchType="FARGATE",
        enableExecuteCommand=enabled,
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )["tasks"][0]["taskArn"]
    wait_for(
        lambda: ecs.describe_tasks(tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING", timeout_s=60, what="the task"
    )
    return arn


@pytest.fixture(scope="module")
def task(portside: Instance) -> str:
    return run_task(portside)


def opened(portside: Instance, task: str, command: str, kind: type[DataChannel] = DataChannel) -> DataChannel:
    answer: dict[str, Any] = portside.client("ecs").execute_command(task=task, command=command, interactive=True)
    session = answer["session"]
    assert session["sessionId"].startswith("ecs-execute-command-")
    channel = kind(session["streamUrl"], session["tokenValue"])
    while not channel.ready:
        hear(channel)
    return channel


def hear(channel: DataChannel) -> bytes:
    """What comes, if something comes soon; what was lost goes again."""
    ready, _, _ = select.select([channel.socket], [], [], 0.1)
    output = channel.receive() if ready else b""
    channel.resend()
    return output


def until(channel: DataChannel, text: bytes) -> bytes:
    """Output up to where the text has come; fails if the session ends before."""
    output = b""
    while text not in output:
        assert not channel.closed, output
        output += channel.receive()
    return output


def rest(channel: DataChannel) -> bytes:
    output = b""
    while not channel.closed:
        output += channel.receive()
    return output


def test_a_shell_at_a_terminal(portside: Instance, task: str) -> None:
    """A shell takes input, knows the terminal's size and its changes, the container's environment, and ends with a
    code."""
    channel = opened(portside, task, "/bin/sh")
    channel.resize(33, 101)
    channel.send(PayloadType.OUTPUT, b"stty size; echo $GREETING-$(id -u)\r")
    assert b"33 101" in until(channel, b"hello-0")
    channel.resize(44, 120)
    channel.send(PayloadType.OUTPUT, b"stty size\r")
    until(channel, b"44 120")
    channel.send(PayloadType.OUTPUT, b"exit 7\r")
    rest(channel)
    assert channel.exit_code == 7
    channel.close()


def test_much_output_comes_whole(portside: Instance, task: str) -> None:
    """More than the window of unacknowledged messages, in order, to the last line."""
    channel = opened(portside, task, "seq 1 100000")
    lines = rest(channel).split()
    assert lines == [str(each).encode() for each in range(1, 100001)]
    assert channel.exit_code == 0


class Forgetful(DataChannel):
    """A client that loses one in eight messages, both ways."""

    lost = 0
    _chance = random.Random(1)

    def _is_lost(self) -> bool:
        is_lost = self._chance.random() < 0.125
        Forgetful.lost += is_lost
        return is_lost

    def _put(self, frame: bytes) -> None:
        if not self._is_lost():
            super()._put(frame)

    def _handle(self, message: Message) -> bytes:
        # The last message is never acknowledged; nor would the connection lose it.
        return b"" if message.type != "channel_closed" and self._is_lost() else super()._handle(message)


def test_lost_messages_come_again(portside: Instance, task: str) -> None:
    """Input, output and acknowledgements that are lost on the way are sent again; all of it comes once, in order."""
    channel = opened(portside, task, "sh -c 'stty -echo; while read x; do echo \"<$x>\"; done; exit 3'", Forgetful)
    for number in range(24):
        channel.send(PayloadType.OUTPUT, f"{number}\n".encode())
    output = b""
    while b"<23>" not in output:
        assert not channel.closed, output
        output += hear(channel)
    channel.send(PayloadType.OUTPUT, b"\x04")
    while not channel.closed:
        output += hear(channel)
    said = [each for each in output.replace(b"\r", b"").split(b"\n") if each.startswith(b"<")]
    assert said == [f"<{number}>".encode() for number in range(24)]
    assert channel.exit_code == 3
    assert Forgetful.lost > 4


class Terminal:
    """A pseudo-terminal with `portside exec` at it, as in a window of one's own."""

    def __init__(self, portside: Instance, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(40, 90)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "portside.cli", "exec", "--data-dir", str(portside.settings.data_dir)),
                *words,
            ],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, rows: int, columns: int) -> None:
        """As the window does it: the kernel tells the processes at the terminal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def modes(self) -> int:
        """Which of echo, lines and signals the terminal itself makes."""
        flags: int = termios.tcgetattr(self.slave)[3]
        return flags & (termios.ECHO | termios.ICANON | termios.ISIG)

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def until(self, text: bytes) -> bytes:
        shown = b""
        while text not in shown:
            ready, _, _ = select.select([self.master], [], [], 20)
            assert ready, shown
            shown += os.read(self.master, 4096)
        return shown

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_a_real_terminal(portside: Instance, task: str) -> None:
    """`portside exec` makes its terminal raw for the session: keys go to the container as they are, ^C among them, and
    so does the window's size; afterwards the terminal is as it was."""
    terminal = Terminal(portside, task, "--", "sh")
    try:
        terminal.type(b"echo at-$((40+2))\n")
        terminal.until(b"at-42")
        assert terminal.modes == 0
        terminal.type(b"stty size\n")
        terminal.until(b"40 90")
        terminal.resize(50, 120)
        terminal.type(b"until stty size | grep '50 120'; do :; done\n")
        terminal.until(b"\n50 120")
        terminal.type(b"echo go; sleep 24680\n")
        terminal.until(b"\ngo")
        sleeping = b"sleep\x0024680\x00"
        wait_for(
            lambda: any(_arguments(each) == sleeping for each in Path("/proc").glob("[0-9]*")),
            timeout_s=20,
            what="the program",
        )
        terminal.type(b"\x03")
        terminal.type(b"echo code-$?\n")
        terminal.until(b"code-130")
        terminal.type(b"exit 9\n")
        assert terminal.process.wait(20) == 9
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()


def test_a_terminal_whose_client_is_ended(portside: Instance, task: str) -> None:
    """SIGTERM ends `portside exec` and with it the program in the container."""
    terminal = Terminal(portside, task, "--", "sleep", "13579")
    try:
        sleeping = b"sleep\x0013579\x00"

        def there() -> bool:
            return any(_arguments(each) == sleeping for each in Path("/proc").glob("[0-9]*"))

        wait_for(there, timeout_s=20, what="the program")
        terminal.process.terminate()
        terminal.process.wait(20)
        wait_for(lambda: not there(), timeout_s=20, what="its end")
    finally:
        terminal.close()


@pytest.mark.usefixtures("busybox")
def test_the_most_sessions_at_once(no_leaks: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than allowed is refused with the number, also while the others are being opened; when one ends there is
    room again."""
    monkeypatch.setattr(linux, "EXEC_SESSIONS_MOST", 3)

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("sleep 1000")
            await lab.do(task.start)

            async def one() -> Any:
                return await lab.node.open_exec(task.key, "main", ["cat"])

            found = await asyncio.gather(*(one() for _ in range(5)), return_exceptions=True)
            refused = [each for each in found if isinstance(each, OSError)]
            sessions = [each for each in found if not isinstance(each, BaseException)]
            assert [str(each) for each in refused] == ["3 sessions are open, no more are allowed at once"] * 2
            await sessions.pop().close()
            sessions.append(await one())
            for each in sessions:
                await each.close()
            await lab.do(task.remove)

    asyncio.run(body())


def test_tasks_of_a_service(portside: Instance) -> None:
    """A service's tasks take commands if the service says so when they start; an update counts for new tasks only."""
    ecs = portside.client("ecs")
    portside.register("served", {"command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]})
    network = portside.network()
    ecs.create_service(
        serviceName="served",
        taskDefinition="served",
        desiredCount=1,
        launchType="FARGATE",
        enableExecuteCommand=True,
        networkConfiguration=network,
    )

    def running(*, but: str = "") -> str:
        arns = ecs.list_tasks(serviceName="served")["taskArns"]
        tasks = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        return next(
            (each["taskArn"] for each in tasks if each["lastStatus"] == "RUNNING" != but != each["taskArn"]), ""
        )

    first = wait_for(running, timeout_s=60, what="a task of the service")
    assert portside.task(first)["enableExecuteCommand"] is True
    channel = opened(portside, first, "echo of-service")
    assert b"of-service" in rest(channel)
    assert ecs.update_service(service="served", enableExecuteCommand=False)["service"]["enableExecuteCommand"] is False
    rest(opened(portside, first, "true"))
    ecs.update_service(service="served", forceNewDeployment=True)
    second = wait_for(lambda: running(but=first), timeout_s=60, what="a new task of the service")
    with pytest.raises(ClientError, match="execute command was not enabled when the task was run"):
        ecs.execute_command(task=second, command="sh", interactive=True)
    ecs.delete_service(service="served", force=True)
    for arn in (first, second):
        portside.wait_task(arn, "STOPPED", timeout_s=60)


def test_a_command_that_is_not_there(portside: Instance, task: str) -> None:
    """The session shows the runtime's reason and ends with a code that is none of success."""
    channel = opened(portside, task, "/no/such/program")
    assert b"/no/such/program" in rest(channel)
    assert channel.exit_code not in (0, None)


def test_a_client_that_goes_away_leaves_nothing(portside: Instance, task: str) -> None:
    """The process in the container ends with its client's connection."""
    channel = opened(portside, task, "sleep 98765")

    def there() -> bool:
        return any(b"sleep\x0098765" in _arguments(each) for each in Path("/proc").glob("[0-9]*"))

    wait_for(there, timeout_s=20, what="the process")
    channel.socket.close()
    wait_for(lambda: not there(), timeout_s=20, what="its end")


def _arguments(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_token_is_good_once(portside: Instance, task: str) -> None:
    """A second client with the same token, and one with another, get no session."""
    session = portside.client("ecs").execute_command(task=task, command="cat", interactive=True)["session"]
    wrong = DataChannel(session["streamUrl"], "x" * 20)
    rest(wrong)
    assert not wrong.ready
    first = DataChannel(session["streamUrl"], session["tokenValue"])
    while not first.ready:
        first.receive()
    second = DataChannel(session["streamUrl"], session["tokenValue"])
    rest(second)
    assert not second.ready
    first.close()


def test_the_command_line(portside: Instance, task: str) -> None:
    """`portside exec` finds the task by the beginning of its id, and passes standard input, output and the exit code
    on, also without a terminal."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "portside.cli", "exec", "--data-dir", str(portside.settings.data_dir)),
            *(task.rpartition("/")[2][:12], "--", "sh", "-c", "read line; echo got-$line; exit 5"),
        ],
        input=b"some words\n",
        capture_output=True,
        timeout=60,
    )
    assert b"got-some words" in done.stdout, done.stderr
    assert done.returncode == 5


def test_the_session_ends_with_its_container(portside: Instance) -> None:
    """When the task is stopped the session is closed; the agent is then shown as stopped."""
    ecs = portside.client("ecs")
    arn = run_task(portside)
    agent = ecs.describe_tasks(tasks=[arn])["tasks"][0]["containers"][0]["managedAgents"][0]
    assert (agent["name"], agent["lastStatus"]) == ("ExecuteCommandAgent", "RUNNING")
    channel = opened(portside, arn, "sh -c 'echo here; exec sleep 1000'")
    until(channel, b"here")
    ecs.stop_task(task=arn)
    rest(channel)
    assert channel.exit_code == 137
    wait_for(
        lambda: ecs.describe_tasks(tasks=[arn])["tasks"][0]["lastStatus"] == "STOPPED", timeout_s=60, what="the end"
    )
    with pytest.raises(ClientError) as refused:
        ecs.execute_command(task=arn, command="sh", interactive=True)
    assert refused.value.response["Error"]["Code"] == "TargetNotConnectedException"


def test_a_task_without_it_is_refused(portside: Instance) -> None:
    """The refusal is AWS's, and `portside exec` says what to do."""
    arn = run_task(portside, enabled=False)
    with pytest.raises(ClientError, match="execute command was not enabled when the task was run"):
        portside.client("ecs").execute_command(task=arn, command="sh", interactive=True)
    done = subprocess.run(
        [sys.executable, "-m", "portside.cli", "exec", "--data-dir", str(portside.settings.data_dir), arn, "--", "sh"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert b"--enable-execute-command" in done.stderr


def test_a_task_that_is_not_there(portside: Instance) -> None:
    """`portside exec` says which task it did not find, and how to find one."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "portside.cli",
            "exec",
            "--data-dir",
            str(portside.settings.data_dir),
            "nosuch",
            "--",
            "sh",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert b"there is no task nosuch" in done.stderr
    assert b"portside status" in done.stderr
