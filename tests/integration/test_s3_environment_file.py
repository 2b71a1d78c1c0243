"""Environment files that are objects of S3: read from a server that speaks it, by a real node for real containers."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from portside.domain.record import replace as with_members
from portside.domain.task.record import StartFailed
from portside.domain.task_definition import EnvironmentFile
from portside.node import s3
from portside.node.s3 import DownloadFailed, S3Endpoint
from portside.settings import Settings
from portside.testing.node_lab import NodeLab, lab_task
from portside.testing.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, s3_server
from portside.testing.wait import free_port

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]

SCRIPT = 'echo "$A,$B"'
PREFIX = "ResourceInitializationError: failed to download env files: "


@pytest.fixture
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.objects["conf", "prod/web é.env"] = b"A=one\nB=two words\n"
        yield running


def files(*keys: str, bucket: str = "conf") -> tuple[EnvironmentFile, ...]:
    return tuple(EnvironmentFile(type="s3", value=f"arn:aws:s3:::{bucket}/{key}") for key in keys)


def outcome(settings: Settings, **definition: Any) -> list[str] | str:
    """What the container writes, or why it is refused."""

    async def body() -> list[str] | str:
        async with NodeLab(settings) as lab:
            task = lab_task(SCRIPT, **definition)
            fact = await lab.node.execute(task.start)
            if isinstance(fact, StartFailed):
                assert fact.container is None, "it concerns the whole task"
                await lab.do(task.remove)
                return fact.reason
            await lab.exited(task)
            await lab.do(task.remove)
            return lab.sink.lines(task.stream)

    return asyncio.run(body())


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_variables_of_an_object(no_leaks: Settings, server: S3Server, signed: bool, chunked: bool) -> None:
    """They are the container's environment, from an endpoint that wants signatures and from one that does not."""
    server.signed, server.chunked = signed, chunked
    settings = replace(no_leaks, s3_endpoint=server.url)
    if signed:
        settings = replace(settings, s3_access_key_id=ACCESS_KEY_ID, s3_secret_access_key=SECRET_ACCESS_KEY)
    assert outcome(settings, environment_files=files("prod/web é.env")) == ["one,two words"]
    assert server.asked == ["/conf/prod/web%20%C3%A9.env"]


def test_without_an_endpoint(no_leaks: Settings) -> None:
    """The refusal says which setting is missing."""
    reason = outcome(no_leaks, environment_files=files("a.env"))
    assert reason.startswith(PREFIX)
    assert "--s3-endpoint" in reason
    assert "PORTSIDE_S3_ENDPOINT" in reason


def broken(server: S3Server) -> None:
    server.failures = [500, 503, 500]


def closed(server: S3Server) -> None:
    server.signed = True


@pytest.mark.parametrize(
    ("bucket", "key", "arrange", "words"),
    [
        (
            "conf",
            "none.env",
            None,
            "StatusCode: 404, RequestID: 4442587FB7D0A2F9, HostID: host/1, api error NoSuchKey:",
        ),
        ("none", "a.env", None, "api error NoSuchBucket: The specified bucket does not exist"),
        (
            "conf",
            "a.env",
            closed,
            "StatusCode: 403, RequestID: 4442587FB7D0A2F9, HostID: host/1, api error AccessDenied:",
        ),
        ("conf", "prod/web é.env", broken, "service call has been retried 2 time(s): operation error S3: GetObject"),
    ],
)
def test_an_object_that_can_not_be_had(
    no_leaks: Settings, server: S3Server, bucket: str, key: str, arrange: Callable[[S3Server], None] | None, words: str
) -> None:
    """A missing object, a missing bucket, a refusal and a server in trouble end the task, in the words of AWS's SDK."""
    if arrange is not None:
        arrange(server)
    settings = replace(no_leaks, s3_endpoint=server.url)
    reason = outcome(settings, environment_files=files(key, bucket=bucket))
    assert reason.startswith(PREFIX)
    assert words in reason


def test_what_passes_is_tried_again(no_leaks: Settings, server: S3Server) -> None:
    """Two failures of the server do not end the task."""
    server.failures = [503, 500]
    settings = replace(no_leaks, s3_endpoint=server.url)
    assert outcome(settings, environment_files=files("prod/web é.env")) == ["one,two words"]
    assert len(server.asked) == 3


def test_nobody_answers(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port and a server that keeps silent are told as such."""
    nobody = S3Endpoint(url=f"http://127.0.0.1:{free_port()}", region="us-east-1")
    with pytest.raises(DownloadFailed, match=r"request send failed, Get .*Connect"):
        asyncio.run(nobody.get("conf", "a.env", max_bytes=10))
    server.silent = True
    monkeypatch.setattr(s3, "TIMEOUT_S", 0.3)
    with pytest.raises(DownloadFailed, match=r"RequestCanceled: .*context deadline exceeded"):
        asyncio.run(S3Endpoint(url=server.url, region="us-east-1").get("conf", "a.env", max_bytes=10))


def test_an_object_that_is_too_large_or_malformed(no_leaks: Settings, server: S3Server) -> None:
    """More than 1 MiB and a line that is no variable end the task; the line's content is not told."""
    settings = replace(no_leaks, s3_endpoint=server.url)
    server.objects["conf", "large.env"] = b"A=1\n" * (300 * 1024)
    server.objects["conf", "bad.env"] = b"A=1\nsecret"
    assert "is larger than 1048576 bytes" in outcome(settings, environment_files=files("large.env"))
    reason = outcome(settings, environment_files=files("bad.env"))
    assert "arn:aws:s3:::conf/bad.env: line 2 is not NAME=VALUE" in reason
    assert "secret" not in reason


def test_another_run_of_the_container_keeps_its_environment(no_leaks: Settings, server: S3Server) -> None:
    """When a container is started again by its restart policy the file is not read again: it may be gone."""

    async def body() -> None:
        async with NodeLab(replace(no_leaks, s3_endpoint=server.url)) as lab:
            task = lab_task(SCRIPT, environment_files=files("prod/web é.env"))
            await lab.run(task)
            server.objects.clear()
            await lab.do(with_members(task.start, restart=1))
            assert await lab.lines(task, 2) == ["one,two words"] * 2
            await lab.do(task.remove)

    asyncio.run(body())
