"""Secrets in real containers, and in nothing else: no file of the instance, no log, no answer of the API."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.domain.record import replace
from portside.domain.task.record import ImagePulled, Login, StartFailed
from portside.node.image.failure import PullFailed
from portside.node.image.ledger import Ledger
from portside.node.image.store import ImageStore
from portside.settings import Settings
from portside.testing.image import ensure_busybox_image, remove_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.node_lab import NodeLab, lab_task
from portside.testing.registry import push, registry
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration

GROUP = "/secret"
SHOW = "echo $PLAIN $SECURE $WHOLE $USER_NAME $OLD; exec sleep 600"


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def logged(**container: Any) -> dict[str, Any]:
    options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "s"}
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}, **container}


def first_line(portside: Instance, arn: str) -> str:
    stream = f"s/main/{arn.rsplit('/', 1)[-1]}"

    def there() -> str | None:
        found = portside.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
        return str(found["events"][0]["message"]) if found["events"] else None

    line = wait_for(there, timeout_s=20, what="the container's word")
    assert line is not None
    return line


def files_with(portside: Instance, word: bytes) -> set[Path]:
    """The files of the instance, those of its run folder included, that hold the word. The task's disk, 20 GiB of
    holes, is what the container wrote."""
    found = set()
    for top in (portside.settings.data_dir.parent, portside.settings.run_dir):
        for folder, _, names in os.walk(top):
            if Path(folder).name == "netns":
                continue  # namespaces that are held there, which have no content
            for name in names:
                path = Path(folder, name)
                if name in ("disk", "20GiB") or path.is_symlink() or not path.is_file():
                    continue
                if word in path.read_bytes():
                    found.add(path)
    return found


def is_for_root_alone(path: Path) -> bool:
    """By its own mode, whatever its folder's is; what the runtime makes is closed by a folder of the runtime's."""
    closed = path.parent if path.parent.parent.name == "crun" else path
    return path.stat().st_uid == 0 and not stat.S_IMODE(closed.stat().st_mode) & 0o077


def test_values_reach_the_container_and_nothing_else(portside: Instance) -> None:
    """Parameters by name, SecureStrings by ARN, whole secrets, a key of one, an older version: as variables; a new
    daemon gives the values of its own time, and no file but the running container's own bundle, its health check and
    the runtime's copy hold any, for root alone, until it has stopped."""
    ssm, sm = portside.client("ssm"), portside.client("secretsmanager")
    ssm.put_parameter(Name="/app/plain", Type="String", Value="plain-1")
    ssm.put_parameter(Name="/app/secure", Type="SecureString", Value="secure-xyzzy")
    arn = ssm.get_parameter(Name="/app/secure")["Parameter"]["ARN"]
    old = sm.create_secret(Name="db", SecretString="old-xyzzy")
    sm.put_secret_value(SecretId="db", SecretString=json.dumps({"user": "user-xyzzy"}))
    secrets = {
        "PLAIN": "/app/plain",
        "SECURE": arn,
        "WHOLE": old["ARN"],
        "USER_NAME": f"{old['ARN']}:user::",
        "OLD": f"{old['ARN']}::AWSPREVIOUS:",
    }
    items = [{"name": name, "valueFrom": value} for name, value in secrets.items()]
    check = {"command": ["CMD-SHELL", 'test -n "$SECURE"'], "interval": 5}
    portside.register("app", logged(command=["sh", "-c", SHOW], secrets=items, healthCheck=check))
    task = portside.run_task("app")
    portside.wait_task(task, "RUNNING")
    assert first_line(portside, task) == 'plain-1 secure-xyzzy {"user": "user-xyzzy"} user-xyzzy old-xyzzy'
    wait_for(lambda: portside.task(task)["healthStatus"] == "HEALTHY", timeout_s=20, what="health")
    runtime_id = portside.task(task)["containers"][0]["runtimeId"]
    bundle = portside.settings.data_dir / "node/containers" / runtime_id
    # What the container itself wrote is its own: it shows its secrets here, for the test.
    written = {bundle / "output.log", *portside.settings.data_dir.glob("logs.db*")}
    holding = files_with(portside, b"user-xyzzy") - written
    copy = portside.settings.run_dir / "crun" / runtime_id / "config.json"
    assert holding == {bundle / "config.json", bundle / "health.json", copy}
    assert all(map(is_for_root_alone, holding)), [each for each in holding if not is_for_root_alone(each)]
    shown = (
        portside.aws("ecs", "describe-tasks", "--tasks", task).stdout
        + portside.aws("ecs", "describe-task-definition", "--task-definition", "app").stdout
    )
    assert "xyzzy" not in shown
    assert "xyzzy" not in portside.log
    portside.client("ecs").stop_task(cluster="default", task=task)
    portside.wait_task(task, "STOPPED")
    assert files_with(portside, b"user-xyzzy") <= written
    portside.kill()
    portside.start()
    portside.ready()
    ssm.put_parameter(Name="/app/plain", Value="plain-2", Overwrite=True)
    again = portside.run_task("app")
    portside.wait_task(again, "RUNNING")
    assert first_line(portside, again).startswith("plain-2 secure-xyzzy ")


def test_the_data_folder_is_closed(tmp_path: Path) -> None:
    """An empty folder that was there is closed to other users; one with something in it stays as it is, and the log
    says that it is open. What holds environments is closed in any case."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    with instance(tmp_path) as running:
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert "may look into" not in running.log
        running.stop()
        data.chmod(0o755)
        (data / "node").chmod(0o755)
        running.start()
        running.ready()
        assert stat.S_IMODE(data.stat().st_mode) == 0o755
        assert f"every user of this machine may look into {data}" in running.log
        assert stat.S_IMODE((data / "node").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("value_from", "words"),
    [
        (
            "/missing",
            "unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters",
        ),
        (
            "arn:aws:secretsmanager:us-east-1:000000000000:secret:missing-AbCdEf",
            "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        ),
        ("{there}:nokey::", "retrieved secret from Secrets Manager did not contain json key nokey"),
        ("{there}::nostage:", "can't find the specified secret value for staging label: nostage"),
        ("{binary}", "it holds binary data (SecretBinary), and ECS supports text alone"),
    ],
)
def test_what_can_not_be_had_ends_the_task(portside: Instance, value_from: str, words: str) -> None:
    """The task stops before any of its containers has started, in AWS's words."""
    sm = portside.client("secretsmanager")
    there = sm.create_secret(Name="there", SecretString='{"a": "b"}')["ARN"]
    binary = sm.create_secret(Name="binary", SecretBinary=b"text")["ARN"]
    secret = {"name": "X", "valueFrom": value_from.format(there=there, binary=binary)}
    first = {"name": "first", "command": ["sleep", "600"]}
    after = {"dependsOn": [{"containerName": "first", "condition": "START"}]}
    portside.register("app", first, {**after, "secrets": [secret]})
    task = portside.wait_task(portside.run_task("app"), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets or registry auth: ")
    assert words in task["stoppedReason"]
    assert all("startedAt" not in each and "runtimeId" not in each for each in task["containers"])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that asks for a login (me, open-sesame), with one image."""
    folder = tmp_path_factory.mktemp("guarded")
    ensure_busybox_image(IMAGE)
    with registry(folder / "data") as host:
        push(IMAGE, host, "private:1")
    with registry(folder / "data", login=("me", "open-sesame")) as host:
        yield f"{host}/private:1"


def tried(portside: Instance, image: str, **container: Any) -> dict[str, Any]:
    """The task that runs the image, once it runs or has stopped."""
    portside.register("private", {"image": image, "command": ["sleep", "600"], **container})
    arn = portside.run_task("private")
    try:
        wait_for(lambda: portside.task(arn)["lastStatus"] in ("RUNNING", "STOPPED"), timeout_s=30, what="a state")
        return portside.task(arn)
    finally:
        portside.client("ecs").stop_task(cluster="default", task=arn)
        portside.wait_task(arn, "STOPPED")


def pulled(portside: Instance, image: str, **container: Any) -> dict[str, Any]:
    """The same; the image is removed again."""
    try:
        return tried(portside, image, **container)
    finally:
        remove_image(image)


def login(portside: Instance, name: str, password: str) -> dict[str, Any]:
    """The member of a container that names a secret with that password."""
    content = json.dumps({"username": "me", "password": password})
    arn = portside.client("secretsmanager").create_secret(Name=name, SecretString=content)["ARN"]
    return {"repositoryCredentials": {"credentialsParameter": arn}}


def reason(task: dict[str, Any]) -> str:
    """Of a task that did not start."""
    assert task["stopCode"] == "TaskFailedToStart", task
    return str(task["stoppedReason"])


def test_a_registry_that_asks_for_a_login(portside: Instance, guarded: str) -> None:
    """Without credentials the pull is denied, with wrong ones too; with those of the secret, which may be named by its
    ARN or its name, the task runs."""
    sm = portside.client("secretsmanager")
    denied = pulled(portside, guarded)
    assert denied["stopCode"] == "TaskFailedToStart"
    assert "CannotPullContainerError" in denied["stoppedReason"]
    assert "pull access denied" in denied["stoppedReason"]
    for number, password, status in ((1, "wrong", "STOPPED"), (2, "open-sesame", "RUNNING")):
        content = json.dumps({"username": "me", "password": password})
        arn = sm.create_secret(Name=f"login-{number}", SecretString=content)["ARN"]
        for named in (arn, f"login-{number}"):
            task = pulled(portside, guarded, repositoryCredentials={"credentialsParameter": named})
            assert task["lastStatus"] == status, task
        assert "open-sesame" not in portside.log


def test_the_hosts_own_login(guarded: str, tmp_path: Path) -> None:
    """What root has logged in to by `podman login` needs no secret."""
    authfile = tmp_path / "auth.json"
    login = ["podman", "login", "--tls-verify=false", "-u", "me", "--password-stdin", "--authfile", str(authfile)]
    subprocess.run([*login, guarded.split("/")[0]], input=b"open-sesame", check=True, capture_output=True, timeout=60)
    with instance(REGISTRY_AUTH_FILE=str(authfile)) as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        assert pulled(running, guarded)["lastStatus"] == "RUNNING"


DENIED = "pull access denied, repository does not exist or may require authorization"


@pytest.fixture
def private(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """An image that only me with open-sesame may have, and a way to have its registry there or not."""
    port = free_port()
    built = ensure_busybox_image("localhost/portside-test-private:1", changes=[f"ENV NUMBER={port}"])
    with registry(tmp_path / "data", port=port) as host:
        image = push(built, host, "private:1")
    remove_image(built)

    def there() -> contextlib.AbstractContextManager[str]:
        return registry(tmp_path / "data", port=port, login=("me", "open-sesame"))

    try:
        yield image, there
    finally:
        remove_image(image)


def test_an_image_that_another_task_has_pulled(portside: Instance, private: tuple[str, Any]) -> None:
    """It is here by that task's login alone, so the registry says who else has it: not who has no login or a wrong one,
    by name or by digest, and nobody while it does not answer. Also after the daemon was killed."""
    image, there = private
    right, wrong = login(portside, "right", "open-sesame"), login(portside, "wrong", "sesame")
    with there():
        first = tried(portside, image, **right)
        assert first["lastStatus"] == "RUNNING", first
        digest = first["containers"][0]["imageDigest"]
        for name in (image, f"{image.rpartition(':')[0]}@{digest}"):
            assert DENIED in reason(tried(portside, name))
            assert DENIED in reason(tried(portside, name, **wrong))
            assert tried(portside, name, **right)["lastStatus"] == "RUNNING"
        portside.kill()
        portside.start()
        portside.ready()
        assert DENIED in reason(tried(portside, image))
    for credentials in ({}, right):
        told = reason(tried(portside, image, **credentials))
        assert told.startswith("CannotPullContainerError: ")
        assert "connection refused" in told
    assert "open-sesame" not in portside.log


def test_an_image_that_root_has_pulled(portside: Instance, private: tuple[str, Any]) -> None:
    """It is the host's: a task without a login has it, one with a wrong login does not, and one whose registry does not
    answer does. An image that was built here is asked for nowhere."""
    image, there = private
    right, wrong = login(portside, "right", "open-sesame"), login(portside, "wrong", "sesame")
    with there():
        pull = ["podman", "pull", "--quiet", "--tls-verify=false", "--creds", "me:open-sesame", image]
        subprocess.run(pull, check=True, capture_output=True, timeout=60)
        assert tried(portside, image)["lastStatus"] == "RUNNING"
        assert DENIED in reason(tried(portside, image, **wrong))
    assert tried(portside, image, **right)["lastStatus"] == "RUNNING"
    for name in (IMAGE, IMAGE.removeprefix("localhost/")):
        assert tried(portside, name, **wrong)["lastStatus"] == "RUNNING"


def test_a_login_whose_pull_was_cut_short(portside: Instance, private: tuple[str, Any]) -> None:
    """An image that came by a login while the daemon was killed, before it could take note of it, is as guarded as
    any."""
    image, there = private
    right = login(portside, "right", "open-sesame")
    with there():
        assert tried(portside, image, **right)["lastStatus"] == "RUNNING"
        portside.kill()
        ledger = Ledger(portside.settings.data_dir / "node/images")
        (entry,) = ledger.entries().values()
        ledger.forget(entry.id)
        ledger.begin(image, "", guarded=True)
        portside.start()
        portside.ready()
        assert DENIED in reason(tried(portside, image))


def test_a_start_asks_nobody(no_leaks: Settings, private: tuple[str, Any]) -> None:
    """A container that starts, also one that runs again, has the image that its task was given, though its registry
    has gone since."""
    image, there = private

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("exec sleep 600", image=image)
            entering = Login(username="me", password="open-sesame")
            with there():
                given = await lab.do(replace(task.pull, login=entering))
            assert isinstance(given, ImagePulled)
            assert isinstance(await lab.node.execute(replace(task.pull, login=entering)), StartFailed)
            await lab.do(replace(task.start, image_digest=given.digest))
            await lab.do(task.remove)

    asyncio.run(body())


def test_what_a_mirror_gives(tmp_path: Path, private: tuple[str, Any]) -> None:
    """An image of the registry's mirror is everybody's that the mirror serves, whatever his login; without the mirror a
    wrong login is told of by the registry."""
    image, there = private
    host = image.partition("/")[0]
    right, wrong = (Login(username="me", password=each) for each in ("open-sesame", "sesame"))
    port = free_port()

    async def body() -> None:
        images = ImageStore(tmp_path / "store", mirrors={host: f"127.0.0.1:{port}"})
        try:
            with registry(tmp_path / "data", port=port):
                for login in (wrong, right, None):
                    await images.ensure(image, login=login)
            with there():
                await images.ensure(image)
                await images.ensure(image, login=right)
                with pytest.raises(PullFailed, match=DENIED):
                    await images.ensure(image, login=wrong)
        finally:
            await images.close()

    asyncio.run(body())
