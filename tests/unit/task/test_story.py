"""A task's story: its phases in order, and the sentence that says why it is as it is."""

from datetime import timedelta
from typing import Any

from rich.console import Console

from portside.api.portside.story import answer
from portside.cli.why import render
from portside.domain import arn
from portside.domain.image import PullProgress
from portside.domain.record import Scope, replace
from portside.domain.table import TASK
from portside.domain.task import machine, story
from portside.domain.task.record import (
    ContainerHistory,
    Exit,
    Moment,
    Retry,
    Stop,
    StopCode,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import ContainerDefinition
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH, FakeClock

SCOPE = Scope(account="000000000000", region="us-east-1")


def at(seconds: float) -> Any:
    return EPOCH + timedelta(seconds=seconds)


def task(**changes: Any) -> Task:
    """One whose network came after two seconds, and whose image is being pulled."""
    values: dict[str, Any] = {
        "scope": SCOPE,
        "cluster": "default",
        "id": "abc" + "0" * 29,
        "task_definition_arn": arn.task_definition(SCOPE, "web", 1),
        "family": "web",
        "revision": 1,
        "group": "family:web",
        "launch_type": "FARGATE",
        "containers": (ContainerDefinition(name="app", image="app"),),
        "history": (ContainerHistory(name="app", runtime_id="r"),),
        "created_at": EPOCH,
        "cause_id": "test",
        "eni_asked_at": at(1),
        "network_ready_at": at(2),
        "pull_started_at": at(2),
        **changes,
    }
    return Task(**values)


def running(**changes: Any) -> Task:
    history = ContainerHistory(name="app", runtime_id="r", pulled_at=at(5), start_issued_at=at(5), started_at=at(6))
    known = {"history": (history,), "started_at": at(6), "last_status": TaskStatus.RUNNING}
    return task(**(known | changes))


def told(of: Task) -> list[tuple[str, str]]:
    return [(phase.name, phase.state) for phase in story.phases(of)]


def test_a_task_on_its_way() -> None:
    """What is under way is named, and what failed and is tried again."""
    assert told(task()) == [("network", "done"), ("image", "under way")]
    assert story.summary(task()) == "It does not run yet; under way: image."
    retried = task(
        retries=(Retry(effect="PullImage", key="container/app", attempts=3, not_before=at(60)),),
        story=(Moment(at=at(3), what="EffectFailed", detail="PullImage container/app: registry is down"),),
    )
    assert story.summary(retried) == (
        "It does not run yet; under way: image. PullImage (container/app) failed 3 times and is tried again at"
        " 00:01:00 UTC. The last failure: PullImage container/app: registry is down."
    )


def test_a_running_task() -> None:
    """All phases before RUNNING are done, and it runs since the last of them."""
    assert told(running()) == [("network", "done"), ("image", "done"), ("start", "done"), ("running", "under way")]
    assert story.summary(running()) == "It runs."


def test_a_task_that_ended_by_itself() -> None:
    """The reason and the exit code stand in the summary; running and stopping have an end."""
    stop = Stop(code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="Essential container in task exited", at=at(10))
    before = running().history[0]
    ended = running(
        last_status=TaskStatus.STOPPED,
        stop=stop,
        stopped_at=at(12),
        history=(replace(before, exit=Exit(code=3, at=at(10))),),
    )
    assert told(ended)[-2:] == [("running", "done"), ("stopping", "done")]
    assert story.summary(ended) == (
        "It ended (EssentialContainerExited): Essential container in task exited. app exited with 3."
    )


def test_a_task_stopped_before_it_ran() -> None:
    """The phase that its end cut off is not called done."""
    stopped = machine.stop(task(), code=StopCode.USER_INITIATED, reason="Task stopped by user", at=at(9))
    assert told(stopped) == [("network", "done"), ("image", "unfinished"), ("stopping", "under way")]
    assert story.summary(stopped) == "It is ending (UserInitiated): Task stopped by user."


def test_found_by_id_prefix_and_arn() -> None:
    """One task by whatever names it; what names none or several is refused with the reason."""
    store, clock = MemoryStore(), FakeClock(at(100))
    first, second = task(), task(id="abd" + "0" * 29, cluster="other")
    store.transact(Put(TASK, first), Put(TASK, second))
    for named in (first.id, "abc", arn.task(SCOPE, "default", first.id)):
        status, document = answer(store, clock, named)
        assert (status, document["id"]) == (200, first.id)
    assert answer(store, clock, "ab", "other")[1]["id"] == second.id
    assert answer(store, clock, "ab")[0] == 409
    assert answer(store, clock, "abc", "other") == (404, {"error": "there is no task abc in the cluster other"})
    for unknown in ("", "f", arn.cluster(SCOPE, "default")):
        assert answer(store, clock, unknown)[0] == 404


def test_what_is_printed_fits_a_terminal() -> None:
    """Phases with their times, and each fact, in no more than 80 columns."""
    store, clock = MemoryStore(), FakeClock(at(100))
    store.transact(Put(TASK, running(story=(Moment(at=at(5), what="ImagePulled", detail="app sha256:" + "0" * 64),))))
    console = Console(width=80, force_terminal=False, highlight=False)
    with console.capture() as captured:
        for part in render(answer(store, clock, "abc")[1]):
            console.print(part)
    lines = captured.get().splitlines()
    assert max(len(line) for line in lines) <= 80
    words = [line.split() for line in lines]
    assert ["image", "+2.00", "s", "3.00", "s", "done"] in words
    assert ["running", "+6.00", "s", "1", "min", "34", "s", "under", "way"] in words
    assert "It runs." in lines


def test_a_pull_that_is_waited_for() -> None:
    """A task that waits for an image tells how far it is; other pulls are none of its business."""
    store = MemoryStore()
    waiting = task(history=(ContainerHistory(name="app", runtime_id="r", pull_asked_at=at(2)),))
    store.transact(Put(TASK, waiting))
    pulls = [
        PullProgress(
            reference=f"docker.io/library/{name}:latest",
            source="",
            names=(name,),
            started_at=at(2),
            layers_done=1,
            layers_total=3,
            bytes_done=2_000_000,
            bytes_total=bytes_total,
        )
        for name, bytes_total in (("app", 5_000_000), ("other", None))
    ]
    status, told = answer(store, FakeClock(), waiting.id, pulls=pulls)
    assert status == 200
    assert [each["reference"] for each in told["pulls"]] == ["docker.io/library/app:latest"]
    assert told["summary"].endswith("docker.io/library/app:latest: 1 of 3 layers, 2.0 of 5.0 MB came so far.")
    assert pulls[1].words == "1 of 3 layers, 2.0 MB"
