"""Metrics of a thousand tasks, a sample a second: Portside's metric store against Prometheus and VictoriaMetrics.

The same samples go to all three in this run, a second's at a time, one after the other: to Portside's store by its own
call in a process of its own, to the others by Prometheus's remote write over the loopback. CPU time is that of the
store's process for a second's samples; bytes on disk are those of its folder at the end, bytes written what it gave to
the disk on the way. Queries: the samples of one series, and what all tasks have used together by the minute.
Debian: prometheus, victoria-metrics; each is left out where it is not installed.
"""

import asyncio
import contextlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.measure import cpu_s, percentile, pss_kib
from portside.domain.metric import MetricName, Sample, dimensions_of, point_of, statistic
from portside.domain.record import Scope
from portside.telemetry.metric import SPANS, TIERS, SqliteMetricStore
from portside.testing.wait import answers, end, free_port, wait_for

TASKS: Final = 1000
NAMES: Final = (
    "CpuUtilized",
    "MemoryUtilized",
    "NetworkRxBytes",
    "NetworkTxBytes",
    "StorageReadBytes",
    "StorageWriteBytes",
)
SCOPE: Final = Scope(account="000000000000", region="us-east-1")
ROUNDS: Final = 15


def bench(quick: bool) -> dict[str, Any]:
    seconds = 60 if quick else 300
    start_s = int(time.time()) // 60 * 60 - seconds // 60 * 60 - 60
    found: dict[str, Any] = {"series": TASKS * len(NAMES), "samples": TASKS * len(NAMES) * seconds}
    with tempfile.TemporaryDirectory(prefix="portside-bench-metrics-") as temporary:
        folder = Path(temporary)
        for name, measured in (("portside", _portside), ("prometheus", _prometheus), ("victoria_metrics", _victoria)):
            (folder / name).mkdir()
            found[name] = measured(folder / name, start_s, seconds)
    ours = found["portside"]
    for name in ("prometheus", "victoria_metrics"):
        if "skipped" not in found[name]:
            found[f"portside_to_{name}"] = {
                key: ours[key] / value
                for key, value in found[name].items()
                if isinstance(ours.get(key), float) and value
            }
    return found


def value_of(name: int, task: int, second: int) -> float:
    """Gauges that waver, memory that stays for a while, and counts that grow."""
    noise = (task * 7919 + second * 104729 + name * 1299709) % 1000
    if name == 0:
        return round(64 + task % 128 + noise / 20, 2)
    if name == 1:
        return float(128 + task % 64 + second // 20)
    if name in (2, 3):
        return float(10_000 + task * 13 + noise * 37)
    return float((second // 10) * 4096 * (1 + task % 9))


# --- Portside's ------------------------------------------------------------------------------------------------------


def _portside(folder: Path, start_s: int, seconds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.metrics", str(folder), str(start_s), str(seconds)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(told))


async def _store(folder: Path, start_s: int, seconds: int) -> dict[str, Any]:
    store = SqliteMetricStore(folder / "metrics.db")
    series = [
        (
            name,
            task,
            MetricName(namespace="Bench", name=NAMES[name], dimensions=dimensions_of({"TaskId": f"{task:032x}"})),
        )
        for task in range(TASKS)
        for name in range(len(NAMES))
    ]
    before, spent, took = pss_kib(_self()), 0.0, list[float]()
    for second in range(seconds):
        samples = [
            Sample(
                metric=metric,
                at_s=start_s + second,
                point=point_of(((value_of(name, task, second), 1.0),)),
                resolution_s=1,
            )
            for name, task, metric in series
        ]
        began, used = time.perf_counter(), time.process_time()
        await store.put(SCOPE, samples)
        spent += time.process_time() - used
        took.append(time.perf_counter() - began)
    found: dict[str, Any] = {
        "cpu_ms_a_second": spent / seconds * 1000,
        "put_p50_ms": percentile(took, 0.5) * 1000,
        "put_p99_ms": percentile(took, 0.99) * 1000,
        "pss_mib": pss_kib(_self()) / 1024,
        "of_it_by_samples_mib": (pss_kib(_self()) - before) / 1024,
        "written_bytes_a_sample": _written(_self()) / seconds / len(series),
        "disk_bytes_a_sample": _size(folder) / seconds / len(series),
    }
    await _ask(store, start_s, seconds, found)
    began = time.process_time()
    await store.roll_up(start_s + seconds + TIERS[0][1] + SPANS[1])
    found["roll_up_cpu_s"] = time.process_time() - began
    began = time.perf_counter()
    await _together(store, start_s, seconds)
    found["query_all_by_minute_rolled_up_ms"] = (time.perf_counter() - began) * 1000
    await store.close()
    found["disk_bytes_a_sample_settled"] = _size(folder) / seconds / len(series)
    return found


async def _ask(store: SqliteMetricStore, start_s: int, seconds: int, found: dict[str, Any]) -> None:
    one, everything, names = list[float](), list[float](), list[float]()
    for number in range(ROUNDS):
        wanted = MetricName(
            namespace="Bench", name=NAMES[0], dimensions=dimensions_of({"TaskId": f"{number * 61 % TASKS:032x}"})
        )
        began = time.perf_counter()
        points = await store.points(SCOPE, wanted, start_s=start_s, end_s=start_s + seconds, period_s=1, unit=None)
        assert [statistic(each, "Average") for each in points.values()] == [
            value_of(0, number * 61 % TASKS, second) for second in range(seconds)
        ]
        one.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        await store.names(SCOPE, namespace="Bench", name=NAMES[0], since_s=start_s)
        names.append((time.perf_counter() - began) * 1000)
    for _ in range(3):
        began = time.perf_counter()
        await _together(store, start_s, seconds)
        everything.append((time.perf_counter() - began) * 1000)
    found["query_one_ms"], found["query_names_ms"] = percentile(one, 0.5), percentile(names, 0.5)
    found["query_all_by_minute_ms"] = percentile(everything, 0.5)


async def _together(store: SqliteMetricStore, start_s: int, seconds: int) -> dict[int, float]:
    """As SUM(SEARCH(…)) of the mean by the minute."""
    found: dict[int, float] = {}
    names = await store.names(SCOPE, namespace="Bench", name=NAMES[0], since_s=start_s)
    for series in await store.statistics(
        *(SCOPE, names, "Average"), start_s=start_s, end_s=start_s + seconds, period_s=60, unit=None
    ):
        for at_s, value in series.items():
            found[at_s] = found.get(at_s, 0.0) + value
    return found


def _self() -> int:
    return int(Path("/proc/self").readlink().name)


# --- the others' -----------------------------------------------------------------------------------------------------


def _prometheus(folder: Path, start_s: int, seconds: int) -> dict[str, Any]:
    port = free_port()
    options = [f"--storage.tsdb.path={folder}", f"--web.listen-address=127.0.0.1:{port}", f"--config.file={folder}.yml"]
    Path(f"{folder}.yml").write_text("global: {}\n")
    options += ["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--log.level=error"]
    url = f"http://127.0.0.1:{port}"

    def settle() -> Path:
        """Samples stay in a log for two hours; a snapshot has them as they are kept afterwards."""
        _post(f"{url}/api/v1/admin/tsdb/snapshot")
        return folder / "snapshots"

    return _other(["prometheus", *options], url, "/-/ready", folder, start_s, seconds, settle)


def _victoria(folder: Path, start_s: int, seconds: int) -> dict[str, Any]:
    port = free_port()
    options = [f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}", "-loggerLevel=ERROR"]
    url = f"http://127.0.0.1:{port}"

    def settle() -> Path:
        for each in ("force_flush", "force_merge"):
            urllib.request.urlopen(f"{url}/internal/{each}", timeout=60).read()
        return folder

    return _other(["victoria-metrics", *options], url, "/health", folder, start_s, seconds, settle)


def _other(
    command: Sequence[str],
    url: str,
    health: str,
    folder: Path,
    start_s: int,
    seconds: int,
    settle: Callable[[], Path],
) -> dict[str, Any]:
    if shutil.which(command[0]) is None:
        return {"skipped": f"apt-get install {command[0]}"}
    with _running(command) as process:
        wait_for(lambda: answers(f"{url}{health}"), timeout_s=60, what=command[0])
        before, took = cpu_s(process.pid), list[float]()
        for second in range(seconds):
            body = _literal(_write_request(start_s, second))
            began = time.perf_counter()
            _post(f"{url}/api/v1/write", body)
            took.append((time.perf_counter() - began) * 1000)
        found: dict[str, Any] = {
            "cpu_ms_a_second": (cpu_s(process.pid) - before) / seconds * 1000,
            "put_p50_ms": percentile(took, 0.5),
            "put_p99_ms": percentile(took, 0.99),
            "pss_mib": pss_kib(process.pid) / 1024,
        }
        count = TASKS * len(NAMES) * seconds
        found["written_bytes_a_sample"] = _written(process.pid) / count
        found["disk_bytes_a_sample"] = _size(folder) / count
        found["disk_bytes_a_sample_settled"] = _size(settle()) / count
        one, everything, names = list[float](), list[float](), list[float]()
        for number in range(ROUNDS):
            task = number * 61 % TASKS
            began = time.perf_counter()
            (series,) = _query(url, f'{NAMES[0]}{{task="{task:032x}"}}', start_s, start_s + seconds - 1, 1)
            assert [float(value) for _, value in series["values"]] == [
                value_of(0, task, second) for second in range(seconds)
            ]
            one.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            query = urllib.parse.urlencode({"match[]": NAMES[0], "start": start_s, "end": start_s + seconds})
            urllib.request.urlopen(f"{url}/api/v1/series?{query}", timeout=60).read()
            names.append((time.perf_counter() - began) * 1000)
        for _ in range(3):
            began = time.perf_counter()
            _query(url, f"sum(avg_over_time({NAMES[0]}[1m]))", start_s + 59, start_s + seconds, 60)
            everything.append((time.perf_counter() - began) * 1000)
        found["query_one_ms"], found["query_names_ms"] = percentile(one, 0.5), percentile(names, 0.5)
        found["query_all_by_minute_ms"] = percentile(everything, 0.5)
        return found


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        end(process)


def _query(url: str, query: str, start_s: int, end_s: int, step_s: int) -> list[Any]:
    words = urllib.parse.urlencode({"query": query, "start": start_s, "end": end_s, "step": step_s, "nocache": 1})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{words}", timeout=60) as answer:
        return list(json.loads(answer.read())["data"]["result"])


def _post(url: str, body: bytes = b"") -> None:
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="POST"), timeout=60) as answer:
        answer.read()


# Remote write: https://prometheus.io/docs/concepts/remote_write_spec/ (protocol buffers, as blocks of snappy).


def _write_request(start_s: int, second: int) -> bytes:
    at_ms = _varint((start_s + second) * 1000)
    parts: list[bytes] = []
    for task in range(TASKS):
        for name in range(len(NAMES)):
            sample = b"\x09" + struct.pack("<d", value_of(name, task, second)) + b"\x10" + at_ms
            parts.append(_field(1, _labels(name, task) + _field(2, sample)))
    return b"".join(parts)


_known_labels: dict[tuple[int, int], bytes] = {}


def _labels(name: int, task: int) -> bytes:
    known = _known_labels.get((name, task))
    if known is None:
        pairs = (("__name__", NAMES[name]), ("task", f"{task:032x}"))
        known = b"".join(_field(1, _field(1, key.encode()) + _field(2, value.encode())) for key, value in pairs)
        _known_labels[name, task] = known
    return known


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _literal(content: bytes) -> bytes:
    """A block of snappy that holds the content as it is."""
    parts = [_varint(len(content))]
    for first in range(0, len(content), 65536):
        piece = content[first : first + 65536]
        parts += [b"\xf4", (len(piece) - 1).to_bytes(2, "little"), piece]
    return b"".join(parts)


def _size(folder: Path) -> int:
    """Bytes that the files take, without the room that is reserved for what is to come."""
    return sum(each.stat().st_blocks * 512 for each in folder.rglob("*") if each.is_file())


def _written(pid: int) -> int:
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["write_bytes"])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_store(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
