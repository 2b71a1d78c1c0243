"""ECS Exec in real containers, by the protocol of AWS's plugin and by `portside exec`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.aws.ssm.message import PayloadType
from portside.cli.exec import DataChannel
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
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


def opened(portside: Instance, task: str, command: str) -> DataChannel:
    answer: dict[str, Any] = portside.client("ecs").execute_command(task=task, command=command, interactive=True)
    session = answer["session"]
    assert session["sessionId"].startswith("ecs-execute-command-")
    channel = DataChannel(session["streamUrl"], session["tokenValue"])
    while not channel.ready:
        channel.receive()
    return channel


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
    channel = opened(portside, arn, "sleep 1000")
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
