"""Seeded histories of tasks: none may break a rule, and each breakage of the code must be caught.

`PORTSIDE_HISTORIES` sets how many are played (default 2,000); a failing seed is played again with
`PORTSIDE_HISTORY_SEED=n`.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from portside.control import discovery, tasks
from portside.domain.task import machine
from portside.domain.task.record import TaskStatus
from portside.testing.clock import NothingWillHappen, TimeStandsStill
from portside.testing.task_history import History

HISTORIES = int(os.environ.get("PORTSIDE_HISTORIES", "2000"))
BATCH = 250
SEEDS_FOR_A_MUTANT = 400


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A history fails on purpose thousands of times: its log is noise."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def wrong(seed: int) -> list[str]:
    try:
        return History(seed).run()
    except NothingWillHappen:
        return ["everything waits for ever"]
    except TimeStandsStill:
        return ["the loop spins"]


@pytest.mark.parametrize("first", range(0, HISTORIES, BATCH))
def test_no_history_breaks_a_rule(first: int) -> None:
    """Whatever fails, crashes or is stopped: every rule holds at every step, and nothing is left at the end."""
    one = os.environ.get("PORTSIDE_HISTORY_SEED")
    for seed in [int(one)] if one else range(first, min(first + BATCH, HISTORIES)):
        assert wrong(seed) == [], f"seed {seed}"


def test_histories_go_everywhere() -> None:
    """The first histories visit every status and restart containers, so the rules are tried on all of them."""
    reached: set[TaskStatus] = set()
    restarts = 0
    for seed in range(40):
        history = History(seed)
        history.run()
        reached |= history.reached
        restarts += history.world.restarts
    assert reached == set(TaskStatus)
    assert restarts > 3


def test_a_history_is_deterministic() -> None:
    """The same seed makes the same history, so a failure can be played again."""

    def play() -> list[object]:
        history = History(11)
        history.run()
        return [history.commits, history.world.started, history.loop.time()]

    assert play() == play()


@dataclass(frozen=True)
class Mutant:
    """A breakage of the code: texts to replace in a module. `says` is part of what the histories must complain of."""

    name: str
    module: ModuleType
    changes: tuple[tuple[str, str], ...]


MUTANTS = (
    Mutant(
        "a task stays registered when it ends",
        tasks,
        (("            self._discovery.deregister(task)\n", "            pass\n"),),
    ),
    Mutant(
        "a task that is to be registered is RUNNING before",
        machine,
        (("return bool(task.targets or task.registries)", "return bool(task.targets)"),),
    ),
    Mutant(
        "registries do not hear of health",
        discovery,
        (("            self._loop.wake(change.key)\n", "            pass\n"),),
    ),
    Mutant(
        "intent not stored before the start",
        tasks,
        (("            if planned.intent is not None:\n", "            if False:\n"),),
    ),
    Mutant(
        "effects run before the commit",
        tasks,
        (
            (
                "        if task is not stored.value:\n            self._commit",
                "        for planned in due:\n            self._run(key, planned.effect)\n"
                "        due = []\n        if task is not stored.value:\n            self._commit",
            ),
        ),
    ),
    Mutant(
        "network released before the containers are known gone",
        machine,
        (("    if not _all_removed(task) or not _drained(task):\n", "    if not _drained(task):\n"),),
    ),
    Mutant(
        "no kill after the timeout",
        machine,
        (("    if now >= kill_at:\n", "    if False:\n"),),
    ),
    Mutant(
        "late facts believed, and the status not clamped",
        machine,
        (
            ("status = max(task.last_status, _derived(task))", "status = _derived(task)"),
            (
                "return h if h.started_at is not None or h.removed_at is not None else replace(h, started_at=now)",
                "return replace(h, started_at=now, exit=None)",
            ),
        ),
    ),
    Mutant(
        "two effects at once on one resource",
        tasks,
        (("return effect.key in self._under_way.get(key, ())", "return False"),),
    ),
    Mutant(
        "start before the network is there",
        machine,
        (
            (
                "    network_ready = not _has_network(task) or task.network_ready_at is not None\n",
                "    network_ready = True\n",
            ),
        ),
    ),
    Mutant(
        "facts dropped when the disk is full",
        tasks,
        (
            (
                "        if task is not stored.value:\n            self._commit",
                "        del facts[:folded]\n        folded = 0\n"
                "        if task is not stored.value:\n            self._commit",
            ),
        ),
    ),
    Mutant(
        "what runs is not looked at after a crash",
        tasks,
        (
            (
                "        for key, fact in await self._node.recover(live):\n            self.report(key, fact)\n",
                "        await self._node.recover(live)\n",
            ),
        ),
    ),
    Mutant(
        "live tasks are not woken after a crash",
        tasks,
        (("                self._loop.wake(task.key)\n", "                pass\n"),),
    ),
    Mutant(
        "an ENI whose answer was lost is forgotten",
        machine,
        (
            (
                "return task.eni_asked_at is None or task.eni_released_at is not None",
                "return task.eni is None or task.eni_released_at is not None",
            ),
        ),
    ),
    Mutant(
        "containers are signalled while their target drains",
        machine,
        (("        if _drains_first(why):\n            return\n", ""),),
    ),
    Mutant(
        "a container is stopped before those that depend on it",
        machine,
        (("    if any(_may_run(each) for each in dependents):\n        return\n", ""),),
    ),
    Mutant(
        "containers start without regard to dependsOn",
        machine,
        (
            (
                "        elif is_ready and all(_met(task, each) for each in definition.depends_on):\n",
                "        elif is_ready:\n",
            ),
        ),
    ),
    Mutant(
        "a dependency that runs counts as healthy",
        machine,
        (
            (
                "            return h.exit is None and h.health is HealthStatus.HEALTHY\n",
                "            return h.exit is None\n",
            ),
        ),
    ),
    Mutant(
        "a restart without regard to the attempt period",
        machine,
        ((" or ended.at - ran_since < timedelta(seconds=period_s):\n", ":\n"),),
    ),
    Mutant(
        "a restart after an ignored exit code",
        machine,
        (("    if ended.code in policy.ignored_exit_codes:\n", "    if False:\n"),),
    ),
    Mutant(
        "a restart whose intent is not stored",
        machine,
        (("                intent=r.StartIssued(container=h.name, restart=h.restarts),\n", ""),),
    ),
    Mutant(
        "the end of the run before taken for that of the restarted one",
        machine,
        (
            (
                "            is_late = fact.restart is not None and fact.restart != h.restarts\n",
                "            is_late = False\n",
            ),
        ),
    ),
    Mutant(
        "a container that is down when its task ends is signalled",
        machine,
        (("    if h.started_at is None or h.down is not None:\n", "    if h.started_at is None:\n"),),
    ),
    Mutant(
        "the last stop counts",
        machine,
        (("    if task.stop is not None:\n        return task\n    return replace(\n", "    return replace(\n"),),
    ),
    Mutant(
        "an effect that failed is not tried again",
        machine,
        (("        if not_before is not None and not_before > now:\n", "        if not_before is not None:\n"),),
    ),
    Mutant(
        "an effect that hangs is waited for without end",
        tasks,
        (("            async with asyncio.timeout(timeout_s):\n", "            async with asyncio.timeout(None):\n"),),
    ),
    Mutant(
        "a dependency that can not be met is waited for",
        machine,
        (("    changed = task.stop is None\n    while", "    changed = False\n    while"),),
    ),
    Mutant(
        "STOPPED although the targets were not drained",
        machine,
        (("return task.targets_issued_at is None or task.targets_drained_at is not None", "return True"),),
    ),
    Mutant(
        "start before the EBS volume is attached",
        machine,
        (
            (
                "    volume_ready = task.managed_volume is None or task.ebs_attached_at is not None\n",
                "    volume_ready = True\n",
            ),
        ),
    ),
    Mutant(
        "an EBS volume whose answer was lost is forgotten",
        machine,
        (
            (
                "return task.ebs_asked_at is None or task.ebs_released_at is not None",
                "return task.ebs is None or task.ebs_released_at is not None",
            ),
        ),
    ),
    Mutant(
        "an EBS volume whose attachment was not answered is released without being detached",
        machine,
        (
            (
                "return task.ebs_attach_issued_at is None or task.ebs_detached_at is not None",
                "return task.ebs_attached_at is None or task.ebs_detached_at is not None",
            ),
        ),
    ),
    Mutant(
        "stopped tasks are kept for ever",
        tasks,
        (("        heapq.heappush(self._stopped, (due, task.key))\n        if", "        if self._stopped and"),),
    ),
)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """The module runs with the mutant's text in place of its own."""
    path = Path(str(mutant.module.__file__))
    original = path.read_text()
    text = original
    for old, new in mutant.changes:
        assert text.count(old) == 1, f"{mutant.name}: {text.count(old)} places have {old!r}"
        text = text.replace(old, new)
    exec(compile(text, str(path), "exec"), mutant.module.__dict__)
    try:
        yield
    finally:
        exec(compile(original, str(path), "exec"), mutant.module.__dict__)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name.replace(" ", "-"))
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """Code that breaks this one rule is found out by some history."""
    with mutated(mutant):
        for seed in range(SEEDS_FOR_A_MUTANT):
            if complaints(seed):
                return
    pytest.fail(f"{SEEDS_FOR_A_MUTANT} histories did not notice")


def complaints(seed: int) -> list[str]:
    try:
        return wrong(seed)
    except Exception as error:  # a mutant may also break in the middle
        return [repr(error)]
