"""Containers' output on its way to the log store: in order, complete, never more than once without a crash."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from portside.domain.log import LogEvent
from portside.domain.record import Scope
from portside.domain.task.record import AnyFact, ContainerOutputLost, EffectFailed
from portside.domain.task_definition import LogConfiguration
from portside.node import hook
from portside.settings import Settings
from portside.testing.node_lab import GROUP, MemorySink, NodeLab, lab_task
from portside.testing.wait import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]


def test_order_and_the_last_line(no_leaks: Settings) -> None:
    """Twenty thousand lines and a last one without an end arrive in order, once each, before the removal returns."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("seq 1 20000; printf last")
            await lab.run(task)
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == [*(str(each) for each in range(1, 20001)), "last"]
            times = [each.at_ms for each in lab.sink.events[task.stream]]
            assert times == sorted(times)

    asyncio.run(body())


def test_long_lines_are_one_event(no_leaks: Settings) -> None:
    """A line of 100,000 characters, which the monitor writes in parts, is one event again; one of 300,000 is two."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            line = "head -c {} /dev/zero | tr '\\0' x; echo"
            task = lab_task(f"{line.format(100_000)}; echo short; {line.format(300_000)}")
            await lab.run(task)
            await lab.do(task.remove)
            lengths = [len(each) for each in lab.sink.lines(task.stream)]
            assert lengths[:2] == [100_000, 5]
            assert sum(lengths[2:]) == 300_000
            assert len(lengths) == 4

    asyncio.run(body())


TRACES = LogConfiguration(
    driver="awslogs",
    options={"awslogs-group": GROUP, "awslogs-stream-prefix": "test", "awslogs-multiline-pattern": "^(INFO|ERROR) "},
)


def test_several_lines_are_one_event(no_leaks: Settings) -> None:
    """Lines from one that matches to the next, also those before the first and the last without an end; in order."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            script = (
                "echo begin; for n in $(seq 500); do echo ERROR $n; echo '  at a'; echo '  at b'; done; printf last"
            )
            task = lab_task(script, log=TRACES)
            await lab.run(task)
            await lab.do(task.remove)
            traces = [f"ERROR {number}\n  at a\n  at b" for number in range(1, 501)]
            assert lab.sink.lines(task.stream) == ["begin", *traces[:-1], f"{traces[-1]}\nlast"]

    asyncio.run(body())


def test_an_event_whose_next_does_not_come(no_leaks: Settings) -> None:
    """What is gathered is an event after five seconds; a node that takes over in between goes on with it."""

    async def body() -> None:
        async with NodeLab(no_leaks) as first:
            task = lab_task("echo INFO one; echo more; sleep 1000", log=TRACES)
            first.sink.open.clear()  # so that it is not an event yet, however slow the machine
            await first.do(task.start)
            position = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.position"
            await asyncio.to_thread(
                wait_for,
                lambda: position.exists() and b"INFO one\\nmore" in position.read_bytes(),
                timeout_s=30,
                what="the gathered lines on disk",
            )
            assert first.sink.lines(task.stream) == []
        first.sink.open.set()
        async with NodeLab(no_leaks, first.sink) as second:
            await second.node.recover([task.record()])
            assert await second.lines(task, 1, timeout_s=60) == ["INFO one\nmore"]
            await second.do(task.kill)
            await second.exited(task)
            await second.do(task.remove)
            assert second.sink.lines(task.stream) == ["INFO one\nmore"]

    asyncio.run(body())


def test_what_was_forwarded_gives_its_blocks_back(no_leaks: Settings) -> None:
    """After 20 MB of output the file takes less than a tenth of it on disk."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task(
                "yes 0123456789012345678901234567890123456789012345678 | head -n 400000; echo over; sleep 1000"
            )
            await lab.do(task.start)
            await lab.lines(task, 400_001, timeout_s=60)
            file = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.log"
            found = os.stat(file)
            assert found.st_size > 20_000_000
            assert found.st_blocks * 512 < found.st_size / 10
            await lab.do(task.remove)

    asyncio.run(body())


def test_a_store_that_takes_nothing(no_leaks: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removal fails for now while the store takes nothing, and the lines are delivered once it does."""
    monkeypatch.setattr(hook, "END_TIMEOUT_S", 0.3)

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("echo kept")
            lab.sink.open.clear()
            await lab.run(task)
            fact = await lab.node.execute(task.remove)
            assert isinstance(fact, EffectFailed)
            assert "did not take the output" in fact.reason
            lab.sink.open.set()
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == ["kept"]

    asyncio.run(body())


class FullSink(MemorySink):
    """Takes nothing while it is full."""

    is_full = True

    async def put(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent], mark: str = "") -> None:
        if self.is_full:
            raise OSError("no space left on device")
        await super().put(scope, group, stream, events, mark)


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_output_that_a_full_store_refuses(no_leaks: Settings, caplog: pytest.LogCaptureFixture, mode: str) -> None:
    """It waits on the disk in blocking mode. In the other what stood there when the store began to refuse, and of what
    came since the newest, as the buffer is large; how many lines were lost is said and told, to the line, by the node
    that takes over as well."""

    async def body() -> None:
        sink = FullSink()
        options = {"awslogs-group": GROUP, "awslogs-stream-prefix": "test", "mode": mode, "max-buffer-size": "64k"}
        log = LogConfiguration(driver="awslogs", options=options)
        written = [f"line {number}" for number in range(1, 20_001)]
        program = (
            'for (n = 1; n <= 20000; n++) { print "line", n; if (n % 500 == 0) { fflush(); system("sleep 0.1") } }'
        )
        task = lab_task(f"awk 'BEGIN {{ {program} }}'; exec sleep 1000", log=log)

        def told(lab: NodeLab, facts: Sequence[tuple[str, AnyFact]]) -> list[int]:
            assert {key for key, _ in [*lab.told, *facts]} <= {task.key}
            return [fact.lost.lines for _, fact in (*facts, *lab.told) if isinstance(fact, ContainerOutputLost)]

        async with NodeLab(no_leaks, sink) as first:
            await first.do(task.start)
            file = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.log"
            await asyncio.to_thread(
                wait_for,
                lambda: file.read_bytes().endswith(b" line 20000\n"),
                timeout_s=60,
                what="all lines in the file",
            )
            said = " are lost" if mode == "non-blocking" else "the destination refused it"
            await asyncio.to_thread(wait_for, lambda: said in caplog.text, timeout_s=60, what="the node's word")
            before = told(first, [])
        async with NodeLab(no_leaks, sink) as second:
            facts = await second.node.recover([task.record()])
            assert told(second, facts)[:1] == before[-1:]
            sink.is_full = False
            async with asyncio.timeout(60):
                while sink.lines(task.stream)[-1:] != written[-1:]:
                    sink.news.clear()
                    await sink.news.wait()
            counts = [*before, *told(second, facts)]
            assert counts == sorted(counts)
            assert bool(counts) == (mode == "non-blocking")
            lost = max(counts, default=0)
            assert f"are lost, {lost} so far" in caplog.text or not lost
            found = sink.lines(task.stream)
            stood = next((n for n, each in enumerate(found) if each != written[n]), len(written))
            assert stood > 0
            assert found == written[:stood] + written[stood + lost :]
            await second.do(task.kill)
            await second.exited(task)
            await second.do(task.remove)

    asyncio.run(body())


def test_a_group_that_is_deleted_meanwhile(no_leaks: Settings) -> None:
    """Output to a deleted group is dropped, as CloudWatch does; the container can still be removed."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("sleep 1000")
            await lab.do(task.start)
            lab.sink.groups.clear()
            await lab.do(task.kill)
            await lab.exited(task)
            await lab.do(task.remove)

    asyncio.run(body())


def test_without_a_log_configuration(no_leaks: Settings) -> None:
    """Output goes nowhere but to a local file, which does not grow without end."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("yes 01234567890123456789 | head -n 1000000; echo over; exit 3", logged=False)
            assert (await lab.run(task)).exit_code == 3
            file = no_leaks.data_dir / "node/containers" / task.start.runtime_id / "output.log"
            assert file.stat().st_size <= 17 * 1024 * 1024
            assert file.read_text().endswith(" over\n")
            await lab.do(task.remove)
            assert lab.sink.events == {}

    asyncio.run(body())
