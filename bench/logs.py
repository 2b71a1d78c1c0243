"""Log events: put, searched and queried, over ever more of them; and how slow another read becomes meanwhile.

With them grep over the same lines in a file and, where it is installed (systemd-journal-remote), systemd's journal. The
growth of each figure is fitted and continued to a hundred million events.
"""

import asyncio
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.instance import ensure_image, register
from bench.measure import cpu_s, summary
from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.telemetry.insights import QueryNews, QueryOrder, run_query
from portside.telemetry.sqlite import SqliteLogStore
from portside.testing.instance import instance
from portside.testing.wait import wait_for

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = "/bench"
START_MS = 1_700_000_000_000
BATCH = 10_000
"""PutLogEvents takes as many."""
LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "INFO", "ERROR")

PATTERNS = {
    "term": "unheard",
    "json": '{ $.level = "ERROR" && $.took > 1999 }',
    "fields": "[..., last = unheard]",
    "regex": r"%took.:\s20[0-9][0-9][^0-9]%",
}
"""None finds anything: the whole group is gone through."""
GREPS = {"term": ("-F", "unheard"), "regex": ("-E", "took.: 20[0-9][0-9][^0-9]")}
JOURNAL_REMOTE = Path("/lib/systemd/systemd-journal-remote")
QUERIES = {
    "count": "stats count(*)",
    "like": "filter @message like /unheard/",
    "json filter": 'filter level = "ERROR" and took > 1999 | fields @timestamp, took',
    "json stats by time": "stats count(*), avg(took), pct(took, 95) by bin(5m), level",
    "parse": 'parse @message "path: *," as path | stats count(*) by path',
    "sort": "fields @timestamp, took | sort took desc | limit 100",
    "latest 100": "fields @timestamp, @message | limit 100",
}


EXTRAPOLATED: Final = 100_000_000
QUESTION_MOST_S: Final = 120.0
JOURNAL_MOST: Final = 1_000_000
"""Events that the journal is given: its import takes minutes for more."""


def bench(quick: bool) -> dict[str, Any]:
    sizes = (20_000, 50_000, 100_000) if quick else (300_000, 1_000_000, 3_000_000, 10_000_000)
    with tempfile.TemporaryDirectory(prefix="portside-bench-logs-") as folder:
        result = asyncio.run(_measure(Path(folder), sizes))
    result["from_a_container"] = _from_a_container(50_000 if quick else 500_000)
    return result


async def _measure(folder: Path, sizes: tuple[int, ...]) -> dict[str, Any]:
    (folder / "store").mkdir()
    path, text = folder / "store" / "logs.db", folder / "text"
    store = SqliteLogStore(path, search_s=3600)
    await store.create_stream(SCOPE, GROUP, "s")
    result: dict[str, Any] = {}
    there = message_bytes = 0
    known: dict[str, tuple[int, float]] = {}

    async def asked(kind: str, name: str, ask: Callable[[], Awaitable[float]]) -> float | str:
        """How long it takes; left out where that is foreseeably longer than a benchmark may take."""
        before, took_s = known.get(f"{kind} {name}", (1, 0.0))
        if took_s * there / before > QUESTION_MOST_S:
            return f"left out: {took_s:.0f} s of {before:,} events"
        took_s = await ask()
        known[f"{kind} {name}"] = there, took_s
        _say(f"{kind} {name}: {took_s:.2f} s")
        return took_s

    try:
        for size in sizes:
            spent_s = 0.0
            _say(f"putting events until there are {size:,}")
            with text.open("a") as file:
                for first in range(there, size, BATCH):
                    events = [_event(number) for number in range(first, first + BATCH)]
                    message_bytes += sum(len(each.message) for each in events)
                    file.writelines(f"{each.message}\n" for each in events)
                    began = time.monotonic()
                    await store.put(SCOPE, GROUP, "s", events)
                    spent_s += time.monotonic() - began
            figures: dict[str, Any] = {
                "put_events_s": (size - there) / spent_s,
                "message_bytes": message_bytes / size,
                "disk_bytes_per_event": sum(each.stat().st_size for each in path.parent.iterdir()) / size,
            }
            there = size
            figures["tail_s"] = summary([await _read(store) for _ in range(50)])["p50"]
            figures["filter_s"] = {
                name: await asked("filter", name, partial(_filtered, store, pattern))
                for name, pattern in PATTERNS.items()
            }
            figures["query_s"] = {
                name: await asked("query", name, partial(_queried, path, query)) for name, query in QUERIES.items()
            }
            figures["grep_s"] = {name: _grepped(text, *words) for name, words in GREPS.items()}
            if size <= JOURNAL_MOST and shutil.which("journalctl") and JOURNAL_REMOTE.exists():
                figures["journal"] = _journal(text, folder / "journal", size)
            result[f"{size:,} events"] = figures
        _say("reads beside questions")
        result["growth"] = _growth([(size, result[f"{size:,} events"]) for size in sizes])
        result["get_s_idle"] = summary([await _read(store) for _ in range(200)])
        result["get_s_during_a_query"] = summary([each async for each in _reads_beside(store, path)])
        result["get_s_during_a_search"] = summary([each async for each in _reads_beside_a_search(store)])
    finally:
        await store.close()
    return result


def _growth(measured: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """By kind of question: the power of the number of events with which its time grows (1: with the events, 0: not at
    all), and what the straight line through the sizes says of a hundred million events."""
    found: dict[str, Any] = {}
    for kind in ("tail_s", "filter_s", "query_s", "grep_s"):
        _, last = measured[-1]
        for name in last[kind] if isinstance(last[kind], dict) else ("",):
            points = [(size, figures[kind][name] if name else figures[kind]) for size, figures in measured]
            points = [each for each in points if isinstance(each[1], float)]
            if len(points) < 2:
                continue
            slope, constant = statistics.linear_regression([each[0] for each in points], [each[1] for each in points])
            power, _ = statistics.linear_regression(
                [math.log(each[0]) for each in points], [math.log(each[1]) for each in points]
            )
            found[f"{kind} {name}".strip()] = {"power": power, "s_of_100m": constant + slope * EXTRAPOLATED}
    return found


def _say(text: str) -> None:
    print(f"… logs: {text}", file=sys.stderr, flush=True)


def _grepped(text: Path, *words: str) -> float:
    began = time.monotonic()
    done = subprocess.run(["grep", "-c", *words, str(text)], env={"LC_ALL": "C"}, stdout=subprocess.PIPE, check=False)
    assert done.stdout == b"0\n"
    return time.monotonic() - began


def _journal(text: Path, folder: Path, size: int) -> dict[str, Any]:
    """The journal of systemd on the same lines: imported, its files' size, and searched for what is not there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    began = time.monotonic()
    command = [str(JOURNAL_REMOTE), "-o", str(folder / "bench.journal"), "--split-mode=none", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        with text.open() as lines:
            for number, line in enumerate(lines):
                at_us = (START_MS + number * 10) * 1000
                process.stdin.write(
                    f"__REALTIME_TIMESTAMP={at_us}\n__MONOTONIC_TIMESTAMP={at_us}\n_BOOT_ID={1:032x}\nMESSAGE={line}\n"
                )
    took_s = time.monotonic() - began
    began = time.monotonic()
    search = ["journalctl", "--quiet", "--no-pager", "-D", str(folder), "--grep", "unheard"]
    subprocess.run(search, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return {
        "put_events_s": size / took_s,
        "disk_bytes_per_event": sum(each.stat().st_blocks * 512 for each in folder.iterdir()) / size,
        "search_s": time.monotonic() - began,
    }


def _from_a_container(lines: int) -> dict[str, Any]:
    """Lines that a container writes as fast as it can, until the last one is an event; and while it writes them."""
    ensure_image()
    with instance() as running:
        running.client("logs").create_log_group(logGroupName=GROUP)
        running.client("ecs").create_cluster(clusterName="default")
        script = f'BEGIN {{ for (n = 1; n <= {lines}; n++) print n " of a line of some words" }}'
        register(running, "lines", ["sh", "-c", f"awk '{script}'; exec sleep 600"], log_group=GROUP)
        before = cpu_s(running.pid)
        arn = running.run_task("lines")
        running.wait_task(arn, "RUNNING")
        began = time.monotonic()
        stream = f"b/main/{arn.rsplit('/', 1)[-1]}"

        def last() -> bool:
            found = running.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, limit=1)["events"]
            return bool(found) and found[0]["message"].startswith(f"{lines} ")

        wait_for(last, timeout_s=120 + lines / 2000, pause_s=0.2, what="the last line")
        took_s = time.monotonic() - began
        return {"lines_s": lines / took_s, "cpu_us_a_line": (cpu_s(running.pid) - before) / lines * 1e6}


def _event(number: int) -> LogEvent:
    document = {
        "level": LEVELS[number % len(LEVELS)],
        "requestId": f"{number:032x}",
        "took": number * 7919 % 2000,
        "said": f"GET path: /api/v1/items/{number % 50}, client: 192.0.2.{number % 250}",
    }
    return LogEvent(at_ms=START_MS + number * 10, message=json.dumps(document))


async def _filtered(store: SqliteLogStore, pattern: str) -> float:
    started = time.monotonic()
    found = await store.filter(
        *(SCOPE, GROUP), streams=None, start_ms=None, end_ms=None, terms=pattern, after=None, limit=100
    )
    assert not found.events
    return time.monotonic() - started


async def _queried(path: Path, query: str) -> float:
    started = time.monotonic()
    order = QueryOrder(SCOPE.prefix, SCOPE.account, [GROUP], query, 0, 2**50, 10_000)
    told: list[QueryNews] = []
    await run_query(path, order, told.append)
    assert told[-1].rows is not None
    return time.monotonic() - started


async def _read(store: SqliteLogStore) -> float:
    started = time.monotonic()
    await store.get(
        *(SCOPE, GROUP, "s"), start_ms=None, end_ms=None, after=None, before=None, from_head=False, limit=100
    )
    return time.monotonic() - started


async def _reads_beside(store: SqliteLogStore, path: Path) -> AsyncIterator[float]:
    """How long a small read takes while as many queries run as there are cores."""
    async with asyncio.TaskGroup() as group:
        query = QUERIES["json stats by time"]
        queries = [group.create_task(_queried(path, query), name="query") for _ in range(os.cpu_count() or 1)]
        while not any(each.done() for each in queries):
            yield await _read(store)
            await asyncio.sleep(0.01)


async def _reads_beside_a_search(store: SqliteLogStore) -> AsyncIterator[float]:
    """Likewise, while a term is searched for that is nowhere."""
    async with asyncio.TaskGroup() as group:
        search = group.create_task(_filtered(store, PATTERNS["term"]), name="search")
        while not search.done():
            yield await _read(store)
            await asyncio.sleep(0.001)
