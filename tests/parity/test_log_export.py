"""Exports of log groups, through boto3."""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from served import Served

from portside.api.logs.service import logs_service
from portside.control.clock import RandomIds, SystemClock
from portside.control.insights_queries import QueryRunner
from portside.control.log_exports import ExportLoop
from portside.domain.log_export import folder_of
from portside.domain.record import Scope
from portside.domain.table import EXPORT_TASK
from portside.store.memory import MemoryStore
from portside.telemetry.live_tail import LiveTails
from portside.telemetry.sqlite import SqliteLogStore

START_MS = time.time_ns() // 1_000_000 - 3_600_000


class Exporting:
    """A gateway, and its exports when they are told to go on."""

    def __init__(self, serve: Callable[..., Served], folder: Path) -> None:
        self.store, self.clock, self._path = MemoryStore(), SystemClock(), folder / "logs.db"
        self.folder = folder / "exports"
        logs = SqliteLogStore(self._path)
        queries = QueryRunner(self._path, self.clock, RandomIds())
        service = logs_service(self.store, logs, self.clock, RandomIds(), queries, LiveTails(lambda: 0))
        self.logs = serve([service]).client("logs")
        self.logs.create_log_group(logGroupName="g")

    def go_on(self) -> None:
        """Until no task is under way. The store is used by no request meanwhile."""

        async def run() -> None:
            logs = SqliteLogStore(self._path)
            loop = ExportLoop(self.store, logs, self.clock, self.folder)
            await loop.start()
            over = asyncio.Event()

            def look(_: object = None) -> None:
                if all(each.ended_at is not None for each in self.store.scan(EXPORT_TASK)):
                    over.set()

            unsubscribe = self.store.subscribe(look)
            look()
            async with asyncio.timeout(60):
                await over.wait()
            unsubscribe()
            await loop.close()
            await logs.close()

        asyncio.run(run())

    def put(self, stream: str, *events: tuple[int, str]) -> None:
        self.logs.create_log_stream(logGroupName="g", logStreamName=stream)
        listed = [{"timestamp": START_MS + at, "message": message} for at, message in events]
        self.logs.put_log_events(logGroupName="g", logStreamName=stream, logEvents=listed)

    def create(self, **params: Any) -> str:
        whole = {"logGroupName": "g", "from": 0, "to": START_MS + 10_000_000, "destination": "bucket"} | params
        return str(self.logs.create_export_task(**whole)["taskId"])

    def described(self, task_id: str) -> Any:
        (task,) = self.logs.describe_export_tasks(taskId=task_id)["exportTasks"]
        return task


@pytest.fixture
def exporting(serve: Callable[..., Served], tmp_path: Path) -> Iterator[Exporting]:
    return Exporting(serve, tmp_path)  # type: ignore[return-value]


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_an_export(exporting: Exporting) -> None:
    """Each stream with events of the span becomes a compressed file, in order, below the task's folder."""
    exporting.put("web/1", (0, "a"), (1, "b ü"), (5000, "late"))
    exporting.put("web-1", (0, "other"))
    exporting.put("..", (1, "dots"))
    exporting.put("web/empty", (9000, "x"))
    exporting.put("n", *((number, str(number)) for number in range(100)))
    task_id = exporting.create(taskName="mine", to=START_MS + 1000, destinationPrefix="some/where")
    task = exporting.described(task_id)
    assert (task["status"], task["taskName"], task["logGroupName"]) == ({"code": "PENDING"}, "mine", "g")
    assert code(exporting.create) == "LimitExceededException"
    exporting.go_on()
    task = exporting.described(task_id)
    assert task["status"] == {"code": "COMPLETED", "message": "Completed successfully"}
    assert task["executionInfo"]["completionTime"] >= task["executionInfo"]["creationTime"]
    whole = exporting.folder / "bucket" / "some" / "where" / task_id
    files = {str(each.relative_to(whole)): gzip.decompress(each.read_bytes()).decode() for each in whole.rglob("*.gz")}
    assert sorted(files) == ["--/000000.gz", "n/000000.gz", "web-1/000000.gz", "web-1/000001.gz"]
    texts = {name: [line.partition(" ")[2] for line in content.splitlines()] for name, content in files.items()}
    assert sorted((texts["web-1/000000.gz"], texts["web-1/000001.gz"])) == [["a", "b ü"], ["other"]]
    assert texts["n/000000.gz"] == [str(number) for number in range(100)]
    assert files["--/000000.gz"].startswith("20")
    assert files["--/000000.gz"][23:25] == "Z "
    assert [each.name for each in whole.parent.iterdir()] == [task_id]


def test_an_export_of_some_streams(exporting: Exporting) -> None:
    """By the beginning of their names; what there is of a broken attempt is gone."""
    exporting.put("a1", (0, "x"))
    exporting.put("b1", (0, "y"))
    task_id = exporting.create(logStreamNamePrefix="b")
    left = exporting.folder / "bucket" / "exportedlogs" / f".partial-{task_id}" / "old"
    left.mkdir(parents=True)
    exporting.go_on()
    whole = exporting.folder / "bucket" / "exportedlogs" / task_id
    assert [each.name for each in whole.iterdir()] == ["b1"]


def test_cancelled_and_failed(exporting: Exporting) -> None:
    """A task that is cancelled, or for which there is no room, leaves nothing and makes way for the next."""
    exporting.put("s", (0, "x"))
    first = exporting.create()
    exporting.logs.cancel_export_task(taskId=first)
    assert exporting.described(first)["status"]["code"] == "PENDING_CANCEL"
    exporting.go_on()
    assert exporting.described(first)["status"]["code"] == "CANCELLED"
    assert code(exporting.logs.cancel_export_task, taskId=first) == "InvalidOperationException"
    assert code(exporting.logs.cancel_export_task, taskId="none") == "ResourceNotFoundException"
    exporting.folder.mkdir(exist_ok=True)
    (exporting.folder / "other").write_text("no folder")
    second = exporting.create(destination="other")
    exporting.go_on()
    status = exporting.described(second)["status"]
    assert status["code"] == "FAILED"
    assert "Not a directory" in status["message"]
    page = exporting.logs.describe_export_tasks(limit=1)
    assert [each["taskId"] for each in page["exportTasks"]] == [second]
    page = exporting.logs.describe_export_tasks(nextToken=page["nextToken"])
    assert [each["taskId"] for each in page["exportTasks"]] == [first]
    found = exporting.logs.describe_export_tasks(statusCode="FAILED")["exportTasks"]
    assert [each["taskId"] for each in found] == [second]
    assert not list(exporting.folder.rglob(".partial*"))


def test_refused(exporting: Exporting) -> None:
    """Places outside of the folder of exports, and spans that are none."""
    for params in (
        {"destination": ".."},
        {"destination": "a/b"},
        {"destination": "Upper"},
        {"destinationPrefix": "a/../b"},
        {"destinationPrefix": "/etc"},
        {"destinationPrefix": "a//b"},
        {"from": 5, "to": 5},
    ):
        assert code(exporting.create, **params) == "InvalidParameterException"
    assert code(exporting.create, logGroupName="none") == "ResourceNotFoundException"
    scope = Scope(account="000000000000", region="us-east-1")
    assert list(exporting.store.scan(EXPORT_TASK, scope.prefix)) == []


@given(st.text(min_size=1, max_size=600))
def test_folders_of_streams_are_plain_names(stream: str) -> None:
    """Whatever a stream is called, its folder is one below the task's."""
    name = folder_of(stream)
    assert name not in ("", ".", "..")
    assert "/" not in name
    assert "\0" not in name
    assert len(name.encode(errors="replace")) <= 255
