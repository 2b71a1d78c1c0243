"""Searches of the log store against a list of all its events."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry import sqlite
from portside.telemetry.interface import FoundEvents, StoredEvent
from portside.telemetry.sqlite import SqliteLogStore

SCOPE = Scope(account="0", region="r")
STREAMS = ["s", "t", "u"]
EVENTS = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.integers(0, 9), st.text("ab '%_", min_size=1, max_size=5)), max_size=25
)
TERMS = st.lists(
    st.tuples(st.sampled_from(["", "-", "?"]), st.text("ab '%_", min_size=1, max_size=2).filter(str.strip)),
    min_size=1,
    max_size=3,
)
BOUNDS = st.one_of(st.none(), st.integers(0, 10))


@settings(max_examples=60)
@given(
    EVENTS,
    st.one_of(st.just([]), TERMS),
    st.sampled_from([None, ["s"], ["t", "s"], ["t", "nowhere"]]),
    *(BOUNDS, BOUNDS, st.booleans(), st.integers(1, 4), st.integers(1, 6), st.booleans()),
)
def test_what_is_found(
    events: list[tuple[str, int, str]],
    terms: list[tuple[str, str]],
    streams: list[str] | None,
    start_ms: int | None,
    end_ms: int | None,
    from_head: bool,
    limit: int,
    piece: int,
    is_hurried: bool,
) -> None:
    """Page by page, from either end, in whatever pieces and however little time there is: each event of the range that
    has the terms, once, in order of time and arrival."""
    text = " ".join(f'{sign}"{term}"' for sign, term in terms)

    async def test(path: Path) -> list[tuple[str, int, str]]:
        store = SqliteLogStore(path, search_s=0 if is_hurried else 60)
        for stream in STREAMS:
            await store.create_stream(SCOPE, "g", stream)
        for stream, at_ms, message in events:
            await store.put(SCOPE, "g", stream, [LogEvent(at_ms=at_ms, message=message)])
        found: list[StoredEvent] = []
        place: tuple[int, str] | None = None
        while True:
            page: FoundEvents = await store.filter(
                *(SCOPE, "g"),
                streams=streams,
                start_ms=start_ms,
                end_ms=end_ms,
                terms=text,
                after=place if from_head else None,
                before=None if from_head else place,
                from_head=from_head,
                limit=limit,
            )
            assert len(page.events) <= limit
            assert page.events == sorted(page.events, key=lambda each: (each.at_ms, each.id))
            found += page.events if from_head else page.events[::-1]
            if len(page.events) == limit:
                place = (found[-1].at_ms, found[-1].id)
            elif page.reached is not None:
                place = page.reached
            else:
                break
        await store.close()
        return [(each.stream, each.at_ms, each.message) for each in found]

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(sqlite, "TERM_PIECE_EVENTS", piece)
        patch.setattr(sqlite, "PIECE_EVENTS", piece)
        found = asyncio.run(test(Path(folder) / "logs.db"))
    expected = [
        each
        for each in sorted(events, key=lambda each: each[1])
        if (streams is None or each[0] in streams)
        and (start_ms is None or each[1] >= start_ms)
        and (end_ms is None or each[1] < end_ms)
        and _has(each[2], terms)
    ]
    assert found == (expected if from_head else expected[::-1])


def _has(message: str, terms: list[tuple[str, str]]) -> bool:
    """All terms without a sign, none with a minus; one with a question mark, where there are no others."""
    required = [term for sign, term in terms if sign == ""]
    optional = [term for sign, term in terms if sign == "?"]
    excluded = [term for sign, term in terms if sign == "-"]
    return (
        all(term in message for term in required)
        and not any(term in message for term in excluded)
        and (bool(required or excluded) or not optional or any(term in message for term in optional))
    )


def test_a_search_in_several_streams_is_in_pieces_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time left a page ends with its first piece, also where the streams that are meant have nothing in it."""
    monkeypatch.setattr(sqlite, "TERM_PIECE_EVENTS", 10)

    async def run() -> None:
        store = SqliteLogStore(tmp_path / "logs.db", search_s=0)
        for stream in STREAMS:
            await store.create_stream(SCOPE, "g", stream)
        await store.put(SCOPE, "g", "u", [LogEvent(at_ms=each, message="a") for each in range(25)])
        await store.put(SCOPE, "g", "s", [LogEvent(at_ms=25, message="a")])
        place: tuple[int, str] | None = None
        pages: list[int] = []
        while True:
            page = await store.filter(
                *(SCOPE, "g"), streams=["s", "t"], start_ms=None, end_ms=None, terms="a", after=place, limit=5
            )
            pages.append(len(page.events))
            place = page.reached
            if place is None:
                break
        assert pages == [0, 0, 1]
        await store.close()

    asyncio.run(run())
