"""What open pages are told of what is committed."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from portside.api.console.changes import KEYS_MOST, Changes
from portside.domain.cluster import Cluster
from portside.domain.record import Scope
from portside.domain.table import CLUSTER
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore

HERE = Scope(account="000000000000", region="us-east-1")
ELSEWHERE = Scope(account="000000000000", region="eu-west-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE_S = 30.0


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test()

    asyncio.run(bounded())


def cluster(name: str, scope: Scope = HERE) -> Put:
    return Put(CLUSTER, Cluster(scope=scope, name=name, created_at=NOW))


async def told(stream: AsyncGenerator[bytes, None]) -> dict[str, Any]:
    line = await anext(stream)
    assert line.startswith(b"data: "), line
    return dict(json.loads(line.removeprefix(b"data: ")))


def test_changes_of_the_region_are_told_together() -> None:
    """A burst is one event that names each record once; what happens in another region is not told."""

    async def test() -> None:
        store = MemoryStore()
        stream = Changes(store, gathered_s=0).stream(HERE.account, HERE.region)
        assert b"ready" in await anext(stream)
        store.transact(cluster("a"), cluster("elsewhere", ELSEWHERE))
        store.transact(cluster("b"))
        store.transact(Delete(CLUSTER, f"{HERE.prefix}a"))
        assert await told(stream) == {"cluster": ["a", "b"]}
        store.transact(cluster("c"))
        assert await told(stream) == {"cluster": ["c"]}

    run(test)


def test_too_many_are_not_named() -> None:
    """Of more records than are named, it is said that any may be different."""

    async def test() -> None:
        store = MemoryStore()
        stream = Changes(store, gathered_s=0).stream(HERE.account, HERE.region)
        await anext(stream)
        store.transact(*(cluster(f"c{number}") for number in range(KEYS_MOST + 1)))
        assert await told(stream) == {"cluster": None}

    run(test)


def test_silence_is_broken() -> None:
    """Without a change a comment goes out, which browsers do not show to the page."""

    async def test() -> None:
        stream = Changes(MemoryStore(), silence_s=0).stream(HERE.account, HERE.region)
        await anext(stream)
        assert (await anext(stream)).startswith(b":")

    run(test)


def test_streams_end() -> None:
    """A page that is closed is forgotten; when Portside stops, all streams end and none begins."""

    async def test() -> None:
        store = MemoryStore()
        changes = Changes(store, gathered_s=0)
        closed, open_ = changes.stream(HERE.account, HERE.region), changes.stream(HERE.account, HERE.region)
        await anext(closed)
        await anext(open_)
        assert changes.open == 2
        await closed.aclose()
        assert changes.open == 1
        changes.end()
        assert [line async for line in open_] == []
        assert changes.open == 0
        late = changes.stream(HERE.account, HERE.region)
        assert len([line async for line in late]) == 1

    run(test)
