"""The metric loop over containers that use a processor in bursts, as a quota makes them."""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from portside.control.metrics import MetricLoop
from portside.domain.metric import Sample, statistic
from portside.domain.record import Scope
from portside.domain.table import TASK
from portside.domain.task.record import ContainerHistory, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition
from portside.domain.usage import Usage
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, LoopClock, VirtualTimeLoop

SCOPE = Scope(account="0", region="r")
QUARTER = Task(
    scope=SCOPE,
    cluster="c",
    id="t",
    task_definition_arn="",
    family="f",
    revision=1,
    group="",
    launch_type="FARGATE",
    containers=(ContainerDefinition(name="main", image=""),),
    created_at=EPOCH,
    cause_id="",
    service="s",
    cpu_units=256,
    memory_mib=512,
    last_status=TaskStatus.RUNNING,
    history=(ContainerHistory(name="main", runtime_id="t-1"),),
)


class SlowClock(LoopClock):
    """A time of day that is a little slow: each timer of the loop is early by it."""

    def now(self) -> datetime:
        return EPOCH + (super().now() - EPOCH) * 0.9999

    async def sleep_until(self, at: datetime) -> None:
        while (delay_s := (at - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(max(delay_s, 0.001))


class Kept:
    """A metric store that keeps what is put."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    async def put(self, scope: Scope, samples: Sequence[Sample]) -> None:
        self.samples += samples

    async def roll_up(self, now_s: int) -> None:
        pass


class NoInsights:
    def mode(self, task: Task) -> str:
        return "disabled"

    async def put(self, looks: Any, now: datetime) -> None:
        pass


def told(clock_of: type[LoopClock], *, began_s: float, minutes: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and values of each metric's samples, of a daemon that began so many seconds into a minute. The container
    uses the whole of a processor for a quarter of each tenth of a second."""
    loop = VirtualTimeLoop()
    clock, kept, store = clock_of(loop), Kept(), MemoryStore()
    store.transact(Put(TASK, QUARTER))

    async def usage(runtime_id: str) -> Usage:
        seconds = (clock.now() - EPOCH).total_seconds()
        bursts = math.floor(seconds * 10)
        used_s = bursts * 0.025 + min(seconds - bursts / 10, 0.025)
        return Usage(at=clock.now(), cpu_ns=round(used_s * 1e9), memory_bytes=256 * 1024**2)

    async def test() -> None:
        await clock.sleep_until(EPOCH + timedelta(seconds=began_s))
        meter = MetricLoop(store, kept, clock, usage, NoInsights())  # type: ignore[arg-type]
        await meter.start()
        await clock.sleep_until(EPOCH + timedelta(minutes=minutes, seconds=1))
        await meter.close()

    loop.run_until_complete(test())
    loop.close()
    found: dict[str, list[tuple[float, float]]] = {}
    for each in kept.samples:
        value = statistic(each.point, "Average")
        assert value is not None
        found.setdefault(each.metric.name, []).append((each.at_s - EPOCH.timestamp(), value))
    return found


@pytest.mark.parametrize("began_s", [0.0, 1.0, 29.0, 31.0, 59.99])
@pytest.mark.parametrize("clock", [LoopClock, SlowClock])
def test_a_sample_a_minute_and_each_true(clock: type[LoopClock], began_s: float) -> None:
    """One at each minute's end, whenever the daemon began and however early its timers are; CPU time is never that of a
    moment, which says anything between nothing and four times as much of one that has a quarter of a processor."""
    found = told(clock, began_s=began_s, minutes=4)
    memory = [at for at, _ in found["MemoryUtilization"]]
    assert memory == pytest.approx([60.0, 120.0, 180.0, 240.0], abs=0.1)
    assert [at for at, _ in found["CPUUtilization"]] == memory[began_s > 30 :]
    assert [value for _, value in found["CPUUtilization"]] == pytest.approx([100.0] * (4 - (began_s > 30)), rel=0.01)
