"""What every log store promises."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.domain.refusal import Refused
from portside.telemetry import sqlite
from portside.telemetry.interface import LogStore, LogStreamMissing, LogsUnavailable, StoredEvent
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account="000000000000", region="us-east-1")
OTHER = Scope(account="000000000000", region="eu-west-1")
Run = Callable[[Callable[[LogStore], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
def run(path: Path) -> Run:
    """Run a test's coroutine with a fresh store, which is closed afterwards."""

    def runner(test: Callable[[LogStore], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            store: LogStore = SqliteLogStore(path)
            try:
                async with asyncio.timeout(60):
                    await test(store)
            finally:
                await store.close()

        asyncio.run(whole())

    return runner


def events(*messages: str, at_ms: int = 1000, step_ms: int = 1) -> list[LogEvent]:
    return [LogEvent(at_ms=at_ms + number * step_ms, message=text) for number, text in enumerate(messages)]


async def read(store: LogStore, stream: str = "s", **changes: Any) -> list[StoredEvent]:
    values: dict[str, Any] = {
        "start_ms": None,
        "end_ms": None,
        "after": None,
        "before": None,
        "from_head": True,
        "limit": 100,
    }
    return await store.get(SCOPE, "g", stream, **(values | changes))


async def search(store: LogStore, terms: str | None = None, **changes: Any) -> list[StoredEvent]:
    values: dict[str, Any] = {"streams": None, "start_ms": None, "end_ms": None, "after": None, "limit": 100}
    return (await store.filter(SCOPE, "g", terms=terms, **(values | changes))).events


def texts(found: list[StoredEvent]) -> list[str]:
    return [each.message for each in found]


def test_times_and_places_of_any_size(run: Run) -> None:
    """Bounds beyond 64 bits, as "for ever" is written by many, are bounds like others."""

    async def test(store: LogStore) -> None:
        await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events("a", "b"))
        assert texts(await search(store, start_ms=-(2**64), end_ms=2**63)) == ["a", "b"]
        assert texts(await search(store, after=(0, "9" * 56))) == ["a", "b"]
        assert texts(await search(store, after=(2**70, "1"))) == []
        assert texts(await read(store, end_ms=2**63, before=(2**70, "9" * 56))) == ["a", "b"]

    run(test)


def test_events_come_back_in_order(run: Run) -> None:
    """Events are in time order, those of one millisecond in order of arrival, with ids that rise by arrival."""

    async def test(store: LogStore) -> None:
        assert await store.create_stream(SCOPE, "g", "s")
        assert not await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events("b1", "b2", "b3", at_ms=2000, step_ms=0))
        await store.put(SCOPE, "g", "s", events("a\tü\n\U0001f600", at_ms=1000))
        found = await read(store)
        assert texts(found) == ["a\tü\n\U0001f600", "b1", "b2", "b3"]
        assert [each.at_ms for each in found] == [1000, 2000, 2000, 2000]
        assert found[1].id < found[2].id < found[3].id < found[0].id
        assert {each.stream for each in found} == {"s"}
        assert all(each.ingested_ms > 1_700_000_000_000 for each in found)

    run(test)


def test_pages_in_both_directions(run: Run) -> None:
    """With cursors every event is seen once, forwards and backwards, also among equal times."""

    async def test(store: LogStore) -> None:
        await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events(*"abcdefg", step_ms=0))
        first = await read(store, limit=3)
        then = await read(store, limit=10, after=(first[-1].at_ms, first[-1].id))
        assert texts(first) + texts(then) == list("abcdefg")
        last = await read(store, limit=3, from_head=False)
        assert texts(last) == list("efg")
        assert texts(await read(store, limit=3, from_head=False, before=(last[0].at_ms, last[0].id))) == list("bcd")
        assert await read(store, after=(then[-1].at_ms, then[-1].id)) == []

    run(test)


def test_time_ranges(run: Run) -> None:
    """The start of a range is part of it, its end is not."""

    async def test(store: LogStore) -> None:
        await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events(*"abcd", at_ms=10, step_ms=10))
        assert texts(await read(store, start_ms=20, end_ms=40)) == ["b", "c"]
        assert texts(await search(store, start_ms=20, end_ms=40)) == ["b", "c"]

    run(test)


def test_streams_tell_their_times(run: Run) -> None:
    """Streams are listed by name and prefix, with the times of their events."""

    async def test(store: LogStore) -> None:
        for name in ("web/2", "web/1", "api/1"):
            await store.create_stream(SCOPE, "g", name)
        await store.put(SCOPE, "g", "web/1", events("x", at_ms=500))
        await store.put(SCOPE, "g", "web/1", events("y", at_ms=100))
        one, two = await store.streams(SCOPE, "g", "web/")
        assert (one.name, one.first_event_ms, one.last_event_ms) == ("web/1", 100, 500)
        assert (two.name, two.first_event_ms, two.last_ingestion_ms) == ("web/2", None, None)
        assert len(await store.streams(SCOPE, "g")) == 3
        assert await store.streams(OTHER, "g") == []

    run(test)


def test_filter(run: Run) -> None:
    """A search goes over all streams of a group, or those named, and keeps what the pattern lets through."""

    async def test(store: LogStore) -> None:
        for stream, at_ms in (("one", 1000), ("two", 1001)):
            await store.create_stream(SCOPE, "g", stream)
            messages = [f"{stream} ERROR disk full", f"{stream} WARN 100% of 'quota'", f"{stream} info"]
            await store.put(SCOPE, "g", stream, events(*messages, at_ms=at_ms, step_ms=10))
        assert texts(await search(store, "ERROR")) == ["one ERROR disk full", "two ERROR disk full"]
        assert texts(await search(store, "?ERROR ?WARN", streams=["two"])) == [
            "two ERROR disk full",
            "two WARN 100% of 'quota'",
        ]
        assert texts(await search(store, "-ERROR -info")) == ["one WARN 100% of 'quota'", "two WARN 100% of 'quota'"]
        assert texts(await search(store, '"disk full" one')) == ["one ERROR disk full"]
        assert texts(await search(store, "error")) == []
        assert len(await search(store, "")) == 6
        assert await search(store, streams=[]) == []
        first = await search(store, limit=4)
        rest = await search(store, after=(first[-1].at_ms, first[-1].id))
        assert [each.id for each in first + rest] == [each.id for each in await search(store)]
        assert texts(await search(store, limit=1, from_head=False)) == ["two info"]
        assert texts(await search(store, "[..., last=full]")) == ["one ERROR disk full", "two ERROR disk full"]
        assert texts(await search(store, r"%WARN\s[0-9]+%", from_head=False, limit=1)) == ["two WARN 100% of 'quota'"]
        with pytest.raises(Refused):
            await search(store, "{ $.level = 50")

    run(test)


@pytest.mark.parametrize("streams", [None, ["s"]])
@pytest.mark.parametrize("terms", ["{ $.n = 3 || $.n = 12345 || $.n > 20490 }", '?": 3}" ?": 12345}" ?"n\\": 2049"'])
def test_a_long_search_goes_on_where_it_was_ended(
    path: Path, terms: str, streams: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes too long for one call is found by several, from either end, each event once."""
    monkeypatch.setattr(sqlite, "TERM_PIECE_EVENTS", sqlite.PIECE_EVENTS)

    async def test() -> None:
        store = SqliteLogStore(path, search_s=0)
        await store.create_stream(SCOPE, "g", "s")
        count = 2 * sqlite.PIECE_EVENTS + 500
        await store.put(SCOPE, "g", "s", events(*(f'{{"n": {number}}}' for number in range(count)), step_ms=0))
        for from_head in (True, False):
            found: list[str] = []
            place: tuple[int, str] | None = None
            calls = 0
            while True:
                part = await store.filter(
                    *(SCOPE, "g"),
                    streams=streams,
                    start_ms=None,
                    end_ms=None,
                    terms=terms,
                    after=place if from_head else None,
                    before=None if from_head else place,
                    from_head=from_head,
                    limit=100,
                )
                calls += 1
                found += texts(part.events) if from_head else texts(part.events)[::-1]
                place = part.reached
                if place is None:
                    break
            assert calls == 3
            numbers = [3, 12345, *range(20491, count)] if "$" in terms else [3, 2049, 12345, *range(20490, 20500)]
            assert found == [f'{{"n": {number}}}' for number in (numbers if from_head else numbers[::-1])]
        await store.close()

    asyncio.run(test())


def test_marks_of_writers(run: Run) -> None:
    """The mark of a stream's last batch that had one is there as long as the stream; that of a refused batch is not."""

    async def test(store: LogStore) -> None:
        assert await store.mark(SCOPE, "g", "s") == ""
        for stream in "st":
            await store.create_stream(SCOPE, "g", stream)
        await store.put(SCOPE, "g", "s", events("a"), "first")
        await store.put(SCOPE, "g", "s", events("b"))
        assert await store.mark(SCOPE, "g", "s") == "first"
        await store.put(SCOPE, "g", "s", events("c"), "second")
        await store.put(SCOPE, "g", "t", events("c"), "other")
        with pytest.raises(LogStreamMissing):
            await store.put(SCOPE, "g", "u", events("d"), "third")
        assert [await store.mark(SCOPE, "g", each) for each in "stu"] == ["second", "other", ""]
        await store.delete_stream(SCOPE, "g", "s")
        await store.create_stream(SCOPE, "g", "s")
        assert [await store.mark(SCOPE, "g", each) for each in "st"] == ["", "other"]
        await store.delete_group(SCOPE, "g")
        await store.create_stream(SCOPE, "g", "t")
        assert await store.mark(SCOPE, "g", "t") == ""

    run(test)


def test_a_stream_must_be_there(run: Run) -> None:
    """Writing to or reading a stream that was never made is refused."""

    async def test(store: LogStore) -> None:
        with pytest.raises(LogStreamMissing):
            await store.put(SCOPE, "g", "s", events("x"))
        with pytest.raises(LogStreamMissing):
            await read(store)
        assert not await store.delete_stream(SCOPE, "g", "s")
        await store.delete_group(SCOPE, "g")

    run(test)


def test_deleting(run: Run) -> None:
    """A deleted stream or group is empty at once and stays so when one of its name is made again."""

    async def test(store: LogStore) -> None:
        for stream in ("s", "t"):
            await store.create_stream(SCOPE, "g", stream)
            await store.put(SCOPE, "g", stream, events("old"))
        assert await store.delete_stream(SCOPE, "g", "s")
        assert texts(await search(store)) == ["old"]
        await store.create_stream(SCOPE, "g", "s")
        assert await read(store) == []
        await store.delete_group(SCOPE, "g")
        assert await store.streams(SCOPE, "g") == []
        await store.create_stream(SCOPE, "g", "s")
        assert await search(store) == []
        assert (await store.stored_bytes(SCOPE)) == {"g": 0}

    run(test)


def test_retention(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old events go, in as many commits as it takes, and the stream and the group count what is left."""
    monkeypatch.setattr(sqlite, "DELETE_BATCH", 3)

    async def test(store: LogStore) -> None:
        await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events(*"abcdefghij", at_ms=0, step_ms=10))
        assert (await store.stored_bytes(SCOPE))["g"] == 10 * 27
        assert await store.expire(SCOPE, "g", 80) == 8
        assert await store.expire(SCOPE, "g", 80) == 0
        assert texts(await read(store)) == ["i", "j"]
        assert (await store.stored_bytes(SCOPE))["g"] == 2 * 27
        (stream,) = await store.streams(SCOPE, "g")
        assert stream.first_event_ms == 80

    run(test)


def test_writers_and_readers_at_once(run: Run) -> None:
    """Concurrent writers lose nothing and keep each stream's order while others search."""

    async def test(store: LogStore) -> None:
        async def write(stream: str) -> None:
            await store.create_stream(SCOPE, "g", stream)
            for number in range(50):
                await store.put(SCOPE, "g", stream, events(f"{number}", at_ms=7))

        async def watch() -> None:
            for _ in range(50):
                await search(store, "3")

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(write(str(number)))
            group.create_task(watch())
        for number in range(5):
            assert texts(await read(store, str(number))) == [str(each) for each in range(50)]

    run(test)


WRITER = """
import asyncio, sys
from pathlib import Path
from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry.sqlite import SqliteLogStore

async def main():
    store, scope = SqliteLogStore(Path(sys.argv[1])), Scope(account="000000000000", region="us-east-1")
    await store.create_stream(scope, "g", "s")
    for number in range(10**9):
        await store.put(scope, "g", "s", [LogEvent(at_ms=number, message=str(number))])
        print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_put_survives_kill_9(path: Path, run: Run) -> None:
    """After `kill -9` in the middle of writing, everything that `put` returned for is there, without a gap."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 200:
                break
        writer.kill()
        told = [200, *(int(line) for line in writer.stdout if line.endswith("\n"))][-1]

    async def test(store: LogStore) -> None:
        kept = texts(await read(store, limit=1_000_000))
        assert kept == [str(number) for number in range(len(kept))]
        assert len(kept) >= told

    run(test)


def test_deleted_events_go_also_after_a_restart(path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a deletion left behind when the process ended is removed by the next one."""
    monkeypatch.setattr(sqlite, "DELETE_BATCH", 2)

    async def fill(store: LogStore) -> None:
        await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events(*"abcdefghijklmnopqrstuvwxyz"))

    run(fill)
    with sqlite3.connect(path) as db:  # as a crash between the two leaves it
        db.execute("INSERT INTO doomed SELECT 'group', id FROM log_group")
        db.execute("DELETE FROM stream")
        db.execute("DELETE FROM log_group")

    async def look(store: LogStore) -> None:
        await store.streams(SCOPE, "g")
        ends_at = time.monotonic() + 30
        with sqlite3.connect(path) as reader:
            while reader.execute("SELECT count(*) FROM event").fetchone()[0] > 0:
                assert time.monotonic() < ends_at
                await asyncio.sleep(0.01)

    run(look)


def test_a_full_disk(path: Path) -> None:
    """On a full disk a put is refused and keeps nothing; when there is room again, the same store goes on."""

    async def test() -> None:
        store = SqliteLogStore(path)
        await store.create_stream(SCOPE, "g", "s")
        await store.put(SCOPE, "g", "s", events("before"))
        await store._writer.run(lambda db: db.execute("PRAGMA max_page_count = 20").fetchone())
        with pytest.raises(LogsUnavailable):
            await store.put(SCOPE, "g", "s", events(*["x" * 10_000] * 50))
        assert texts(await read(store)) == ["before"]
        await store._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
        await store.put(SCOPE, "g", "s", events("after"))
        assert texts(await read(store)) == ["before", "after"]
        await store.close()

    asyncio.run(test())


def test_a_missing_folder(tmp_path: Path) -> None:
    """A store that can not be opened says so, and opens once it can."""

    async def test() -> None:
        store = SqliteLogStore(tmp_path / "later" / "logs.db")
        with pytest.raises(LogsUnavailable):
            await store.create_stream(SCOPE, "g", "s")
        (tmp_path / "later").mkdir()
        assert await store.create_stream(SCOPE, "g", "s")
        await store.close()
        with pytest.raises((LogsUnavailable, RuntimeError)):
            await store.create_stream(SCOPE, "g", "t")

    asyncio.run(test())


def test_nothing_is_opened_before_first_use(path: Path, run: Run) -> None:
    """A store that nobody used leaves no file behind."""

    async def test(store: LogStore) -> None:
        return None

    run(test)
    assert not path.exists()
