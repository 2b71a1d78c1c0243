"""How a query's process reads events."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry import insights_process
from portside.telemetry.insights import QueryFailed, QueryNews, QueryOrder, run_query
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account="000000000000", region="us-east-1")
EVENTS = st.lists(st.tuples(st.sampled_from(["g", "h"]), st.sampled_from(["s", "t"]), st.integers(0, 6)), max_size=40)


def order(query: str, *groups: str, start_ms: int = 0, end_ms: int = 10**12) -> QueryOrder:
    return QueryOrder(SCOPE.prefix, SCOPE.account, list(groups), query, start_ms, end_ms, 10_000)


def filled(path: Path, events: list[tuple[str, str, int]]) -> None:
    """A store with events of (group, stream, time), whose messages are their numbers; stream `gone` is deleted."""

    async def fill() -> None:
        store = SqliteLogStore(path)
        for group in ("g", "h"):
            for stream in ("s", "t", "gone"):
                await store.create_stream(SCOPE, group, stream)
            await store.put(SCOPE, group, "gone", [LogEvent(at_ms=3, message="gone")])
            await store.delete_stream(SCOPE, group, "gone")
        for number, (group, stream, at_ms) in enumerate(events):
            await store.put(SCOPE, group, stream, [LogEvent(at_ms=at_ms, message=str(number))])
        await store.close()

    asyncio.run(fill())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.booleans(), st.integers(0, 4), st.integers(2, 6))
def test_every_event_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    events: list[tuple[str, str, int]],
    is_oldest_first: bool,
    start_ms: int,
    end_ms: int,
) -> None:
    """Over pieces of three events, groups that are merged, and events of one time."""
    monkeypatch.setattr(insights_process, "FIRST_PIECE_EVENTS", 1)
    monkeypatch.setattr(insights_process, "PIECE_EVENTS", 3)
    monkeypatch.setattr(insights_process, "_tell", lambda news: None)
    path = tmp_path_factory.mktemp("logs") / "logs.db"
    filled(path, events)
    query = f"fields @message, @log, @logStream | sort @timestamp {'asc' if is_oldest_first else 'desc'}"
    news = insights_process.run(path, order(query, "g", "h", start_ms=start_ms, end_ms=end_ms))
    assert news.rows is not None
    rows = [[value for _, value in row] for row in news.rows]
    inside = [number for number, (_, _, at_ms) in enumerate(events) if start_ms <= at_ms <= end_ms]
    assert sorted(int(row[0]) for row in rows) == inside
    assert (news.scanned, news.matched) == (len(inside), len(inside))
    times = [events[int(row[0])][2] for row in rows]
    assert times == sorted(times, reverse=not is_oldest_first)
    for row in rows:
        group, stream, _ = events[int(row[0])]
        assert row[1:3] == [f"{SCOPE.account}:{group}", stream]
    news = insights_process.run(path, order("stats count(*) as n by @log", "h", "g", "none"))
    counted = {dict(row)["@log"][-1]: int(dict(row)["n"]) for row in news.rows or []}
    assert counted == {each: sum(group == each for group, _, _ in events) for each in {group for group, _, _ in events}}


def test_a_process_tells_how_far_it_is_and_why_it_failed(tmp_path: Path) -> None:
    """Progress on the way to the rows; a file that is no database is the reason of a failure."""
    path = tmp_path / "logs.db"
    filled(path, [("g", "s", number) for number in range(10)])
    told: list[QueryNews] = []
    asyncio.run(run_query(path, order("limit 3", "g"), told.append))
    assert told[-1].rows is not None
    assert [row[1][1] for row in told[-1].rows] == ["9", "8", "7"]
    assert told[-1].scanned == 3
    path.write_bytes(b"no database, but long enough to be one" * 100)
    for each in tmp_path.glob("logs.db-*"):
        each.unlink()
    with pytest.raises(QueryFailed, match="not a database"):
        asyncio.run(run_query(path, order("limit 3", "g"), told.append))
