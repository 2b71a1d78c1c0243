"""A task's story in phases, told from its record: when each began, when it ended, and what holds the task up. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal

from portside.domain.log import BUFFER_WORDS
from portside.domain.record import Record
from portside.domain.task.record import HealthStatus, Task, TaskStatus

PhaseName = Literal["network", "image", "start", "health", "targets", "running", "stopping"]


class Phase(Record, frozen=True, kw_only=True):
    """`state`: `unfinished` where the task's end came before that of the phase."""

    name: PhaseName
    started_at: datetime
    ended_at: datetime | None
    state: Literal["done", "under way", "unfinished"]


def phases(task: Task) -> tuple[Phase, ...]:
    """Those that have begun, in the order of a task's life; some go on beside each other."""
    started = [each.started_at for each in task.history]
    spans: list[tuple[PhaseName, datetime | None, datetime | None]] = [
        ("network", task.eni_asked_at or task.network_issued_at, task.network_ready_at),
        # not pull_stopped_at, which is also set where a pull failed
        ("image", task.pull_started_at, _last(each.pulled_at for each in task.history)),
        ("start", _first(each.start_issued_at for each in task.history), _last(started)),
        ("health", *_health(task)),
        ("targets", task.targets_issued_at, task.targets_registered_at),
    ]
    stopping = task.stop.at if task.stop is not None else task.stopping_at
    found = [_phase(name, begin, end, stopping) for name, begin, end in spans if begin is not None]
    if task.started_at is not None:
        found.append(_phase("running", task.started_at, stopping, None))
    if stopping is not None:
        found.append(_phase("stopping", stopping, task.stopped_at, None))
    return tuple(found)


def summary(task: Task) -> str:
    """Why the task is as it is, in one or a few sentences."""
    if task.stop is not None:
        verb = "It ended" if task.last_status is TaskStatus.STOPPED else "It is ending"
        parts = [f"{verb} ({task.stop.code}): {_sentence(task.stop.reason)}", *_exits(task), *losses(task)]
        return " ".join(parts)
    if task.last_status is TaskStatus.RUNNING:
        sick = [each.name for each in task.history if each.health is HealthStatus.UNHEALTHY]
        runs = f"It runs, and its health check fails in: {', '.join(sick)}." if sick else "It runs."
        return " ".join([runs, *losses(task)])
    waiting = [phase.name for phase in phases(task) if phase.state == "under way"]
    parts = [f"It does not run yet; under way: {', '.join(waiting)}." if waiting else "It does not run yet."]
    parts += [
        f"{retry.effect} ({retry.key}) failed {retry.attempts} times and is tried again at"
        f" {retry.not_before:%H:%M:%S} UTC."
        for retry in task.retries
    ]
    if task.retries:
        failed = next((each.detail for each in reversed(task.story) if each.what == "EffectFailed"), "")
        parts += [f"The last failure: {_sentence(failed)}"] if failed else []
    return " ".join(parts)


def losses(task: Task) -> Iterator[str]:
    """What its containers wrote and was given up, in a sentence for each, with what to do."""
    logs = {each.name: each.log for each in task.containers}
    for each in task.history:
        if (lost := each.lost_output) is None:
            continue
        log = logs.get(each.name)
        size = (log.options.get("max-buffer-size") if log is not None else "") or BUFFER_WORDS
        lines, verb = ("line", "was") if lost.lines == 1 else ("lines", "were")
        yield (
            f"Of the output of {each.name} {lost.lines:,} {lines} ({lost.size_bytes:,} bytes) {verb} given up since "
            f"{lost.since:%Y-%m-%d %H:%M:%S} UTC: the log store took nothing, and the buffer (mode non-blocking, "
            f"{size}) was full."
        )


LOSS_MEND: Final = (
    "If the disk is full, make room: `portside doctor` looks at it. A larger max-buffer-size in the container's log "
    "options lets more wait, the mode blocking all of it."
)


def _phase(name: PhaseName, begin: datetime, end: datetime | None, cut: datetime | None) -> Phase:
    if end is not None:
        return Phase(name=name, started_at=begin, ended_at=end, state="done")
    if cut is not None:
        return Phase(name=name, started_at=begin, ended_at=max(begin, cut), state="unfinished")
    return Phase(name=name, started_at=begin, ended_at=None, state="under way")


def _health(task: Task) -> tuple[datetime | None, datetime | None]:
    """From the first start of a container that has a check until all of them have been healthy once."""
    checked = {each.name for each in task.containers if each.health_check is not None}
    begin = _first(each.started_at for each in task.history if each.name in checked)
    healthy: dict[str, datetime] = {}
    for moment in task.story:
        name, _, status = moment.detail.partition(" ")
        if moment.what == "ContainerHealthChanged" and status.startswith(HealthStatus.HEALTHY):
            healthy.setdefault(name, moment.at)
    return begin, _last(healthy.get(name) for name in checked)


def _first(times: Iterable[datetime | None]) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def _last(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of all, or None while one is missing."""
    found = list(times)
    known = [at for at in found if at is not None]
    return max(known) if known and len(known) == len(found) else None


def _exits(task: Task) -> list[str]:
    return [
        f"{each.name} exited with {each.exit.code}{f', {each.exit.reason}' if each.exit.reason else ''}."
        for each in task.history
        if each.exit is not None and each.exit.code is not None
    ]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
