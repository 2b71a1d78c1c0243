"""The task's state machine: facts in (`observe`), effects out (`plan`). Pure; `control/tasks.py` runs it.

Facts are only ever added to a task, and everything else (status, stop, times, version) follows from them in `settle`.
So the same plan comes out again after a crash, and the status can not go back. What does not belong here: clocks, ids,
I/O, AWS's JSON.

Life cycle: docs/architecture/task.md, whose diagram is `TRANSITIONS` below.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, assert_never

from portside.domain import arn, metadata
from portside.domain.pace import shortened
from portside.domain.record import replace
from portside.domain.task import record as r
from portside.domain.task import target
from portside.domain.task.record import (
    AnyFact,
    ContainerHistory,
    Exit,
    HealthStatus,
    Plan,
    Planned,
    Stop,
    StopCode,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import ContainerDefinition, DependsOn

STORY_KEPT: Final = 200
REASON_MAX: Final = 1024
"""Characters of a stoppedReason and of a container's reason. Source: ecsMaxTaskReasonLength and
ecsMaxContainerReasonLength in amazon-ecs-agent, ecs-agent/api/ecs/client."""
STOP_TIMEOUT_S: Final = 30
"""https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html, stopTimeout."""
RESTART_ATTEMPT_PERIOD_S: Final = 300
"""https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerRestartPolicy.html, restartAttemptPeriod."""
KILL_AGAIN_S: Final = 5
START_ATTEMPTS: Final = 8
"""Passing failures of one effect on the way to RUNNING before the task is given up: half a minute with `backoff`."""
BACKOFF_S: Final = 0.25
BACKOFF_MAX_S: Final = 30.0
OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"
OUT_OF_MEMORY_EXIT_CODE: Final = 137
ESSENTIAL_EXITED: Final = "Essential container in task exited"

S = TaskStatus
TRANSITIONS: Final[tuple[tuple[TaskStatus, TaskStatus, str], ...]] = (
    (S.PROVISIONING, S.PENDING, "the network interface is allocated, or none is needed"),
    (S.PENDING, S.ACTIVATING, "every container has started, there are targets to register"),
    (S.PENDING, S.RUNNING, "every container has started"),
    (S.ACTIVATING, S.RUNNING, "the targets are registered"),
    (S.PENDING, S.STOPPING, "stop, with a container that may run"),
    (S.RUNNING, S.STOPPING, "stop, no targets"),
    (S.ACTIVATING, S.DEACTIVATING, "stop"),
    (S.RUNNING, S.DEACTIVATING, "stop, targets registered"),
    (S.DEACTIVATING, S.STOPPING, "drained, a container may run"),
    (S.DEACTIVATING, S.DEPROVISIONING, "drained, no container runs"),
    (S.STOPPING, S.DEPROVISIONING, "no container runs"),
    (S.PROVISIONING, S.DEPROVISIONING, "stop"),
    (S.PENDING, S.DEPROVISIONING, "stop, no container was issued"),
    (S.PENDING, S.DEACTIVATING, "stop: the last container to start exited at once"),
    (S.RUNNING, S.DEPROVISIONING, "its last container exited, no targets"),
    (S.PROVISIONING, S.STOPPED, "stop before anything was asked for"),
    (S.PENDING, S.STOPPED, "stop before anything was asked for"),
    (S.DEPROVISIONING, S.STOPPED, "containers, volumes, network and interface are released"),
)
"""Every step the status takes, with its cause. The simulation checks that no other one happens."""

_ANSWER_KEYS: Final[dict[type[AnyFact], str]] = {
    r.EniAllocated: "AllocateEni",
    r.EniReleased: "AllocateEni",
    r.NetworkReady: "network",
    r.NetworkReleased: "network",
    r.VolumesReleased: "volumes",
    r.EbsVolumeCreated: "ebs",
    r.EbsVolumeAttached: "ebs",
    r.EbsVolumeDetached: "ebs",
    r.EbsVolumeReleased: "ebs",
    r.TargetsRegistered: "targets",
    r.TargetsDrained: "targets",
}
_CONTAINER_ANSWERS: Final = (
    r.ImagePulled,
    r.ContainerStarted,
    r.ContainerSignalled,
    r.ContainerKilled,
    r.ContainerRemoved,
)
_START_FAILURES: Final = {
    "AllocateEni": "ResourceInitializationError: unable to provision the network interface",
    "CreateNetwork": "ResourceInitializationError: unable to set up the task's network",
    "CreateEbsVolume": "ResourceInitializationError: unable to create the EBS volume",
    "AttachEbsVolume": "ResourceInitializationError: unable to attach the EBS volume",
    "PullImage": "CannotPullContainerError",
    "StartContainer": "CannotStartContainerError",
    "RegisterTargets": "ResourceInitializationError: unable to register the task's targets",
}


# --- desired --------------------------------------------------------------------------------------------------------


def stop(task: Task, *, code: StopCode, reason: str, at: datetime) -> Task:
    """The task with its end asked for. The first stop counts: a task that has one is returned as it is."""
    if task.stop is not None:
        return task
    return replace(
        task,
        stop=Stop(code=code, reason=reason[:REASON_MAX], at=at),
        version=task.version + 1,
        story=_told(task.story, at, f"Stop {code}", reason),
    )


# --- observe --------------------------------------------------------------------------------------------------------


def observe(task: Task, fact: AnyFact, *, now: datetime) -> Task:
    """Fold one fact in and derive what follows from it.

    Late and repeated facts change nothing: then the very same object is returned.
    """
    if task.last_status is TaskStatus.STOPPED:
        return task
    folded = _fold(task, fact, now)
    if folded is task:
        return task
    folded = _retries_cleared(folded, fact)
    told = folded.story
    if isinstance(fact, r.ContainerOutputLost):  # it grows: its last state is told, not each
        earlier = (type(fact).__name__, fact.container)
        told = tuple(each for each in told if (each.what, each.detail.partition(" ")[0]) != earlier)
    folded = replace(folded, story=_told(told, now, type(fact).__name__, _detail(fact)))
    return settle(folded, now=now, before=task)


def settle(task: Task, *, now: datetime, before: Task | None = None) -> Task:
    """Derive stop, status, times and version from what is known. Changes nothing on a task that is settled already.

    Args:
        before: the task that `version` counts changes from; by default the task itself.
    """
    if task.last_status is TaskStatus.STOPPED:
        return task
    before = before if before is not None else task
    task = _with_unmeetable(task, now)
    task = _with_stop(task, now)
    task = _with_status(task, now)
    if task is not before and _visible(task) != _visible(before):
        task = replace(task, version=task.version + 1)
    return task


def _fold(task: Task, fact: AnyFact, now: datetime) -> Task:
    """The fact written down, or the same object if it tells nothing new."""
    match fact:
        case r.EniAsked():
            return _once(task, "eni_asked_at", now)
        case r.EniAllocated(eni=eni):
            return task if task.eni is not None else replace(task, eni=eni)
        case r.EniReleased():
            return _once(task, "eni_released_at", now)
        case r.NetworkIssued():
            return _once(task, "network_issued_at", now)
        case r.NetworkReady():
            ready = _once(task, "network_ready_at", now)
            return ready if ready is task else replace(ready, connectivity_at=now)
        case r.NetworkReleased():
            return _once(task, "network_released_at", now)
        case r.VolumesReleased():
            return _once(task, "volumes_released_at", now)
        case r.EbsVolumeAsked():
            return _once(task, "ebs_asked_at", now)
        case r.EbsVolumeCreated(ebs=ebs):
            return task if task.ebs is not None else replace(task, ebs=ebs)
        case r.EbsAttachIssued():
            return _once(task, "ebs_attach_issued_at", now)
        case r.EbsVolumeAttached():
            return _once(task, "ebs_attached_at", now)
        case r.EbsVolumeFailed(reason=reason):
            failed = task if task.ebs_failure else replace(task, ebs_failure=reason[:REASON_MAX])
            return stop(failed, code=StopCode.TASK_FAILED_TO_START, reason=reason, at=now)
        case r.EbsVolumeDetached():
            return _once(task, "ebs_detached_at", now)
        case r.EbsVolumeReleased():
            return _once(task, "ebs_released_at", now)
        case r.TargetsIssued():
            return _once(task, "targets_issued_at", now)
        case r.TargetsRegistered():
            return _once(task, "targets_registered_at", now)
        case r.TargetsDrained():
            return _once(task, "targets_drained_at", now)
        case r.EffectFailed():
            return _failed(task, fact, now)
        case r.StartFailed(container=None):
            return stop(task, code=StopCode.TASK_FAILED_TO_START, reason=fact.reason, at=now)
        case _:
            return _fold_container(task, fact, now)


_ContainerFact = (
    r.ImagePullStarted
    | r.ImagePulled
    | r.StartIssued
    | r.ContainerStarted
    | r.StartFailed
    | r.ContainerSignalled
    | r.KillIssued
    | r.ContainerKilled
    | r.ContainerExited
    | r.ContainerHealthChanged
    | r.ContainerOutputLost
    | r.ContainerRemoved
)


def _fold_container(task: Task, fact: _ContainerFact, now: datetime) -> Task:
    index = next((i for i, each in enumerate(task.history) if each.name == fact.container), None)
    if index is None:
        return task
    old = task.history[index]
    new = _fold_history(old, fact, now)
    if isinstance(fact, r.ContainerExited) and task.stop is None:
        new = _restarting(task.containers[index], old, new)
    if new is old:
        return task
    return replace(task, history=(*task.history[:index], new, *task.history[index + 1 :]))


def _fold_history(h: ContainerHistory, fact: _ContainerFact, now: datetime) -> ContainerHistory:
    match fact:
        case r.ImagePullStarted():
            return h if h.pull_asked_at is not None else replace(h, pull_asked_at=now)
        case r.ImagePulled(digest=digest, secret_versions=versions):
            if h.pulled_at is not None:
                return h
            return replace(h, pulled_at=now, image_digest=digest, secret_versions=versions)
        case r.StartIssued() if h.down is not None:
            return h if h.restart_issued_at is not None else replace(h, restart_issued_at=now)
        case r.StartIssued():
            return h if h.start_issued_at is not None else replace(h, start_issued_at=now)
        case r.ContainerStarted() if h.down is not None:
            if fact.restart != h.restarts or h.exit is not None or h.restart_issued_at is None:
                return h
            return replace(h, down=None, restarted_at=now)
        case r.ContainerStarted():
            return h if h.started_at is not None or h.removed_at is not None else replace(h, started_at=now)
        case r.StartFailed(reason=reason, exit_code=code):
            if h.exit is not None or (h.started_at is not None and h.down is None):
                return h
            code = h.down.code if h.down is not None else code
            return replace(h, exit=Exit(code=code, reason=reason[:REASON_MAX], at=now))
        case r.ContainerSignalled():
            return h if h.signalled_at is not None else replace(h, signalled_at=now)
        case r.KillIssued():
            return replace(h, kill_issued_at=now) if h.exit is None else h
        case r.ContainerKilled():
            return h
        case r.ContainerExited():
            is_late = fact.restart is not None and fact.restart != h.restarts
            if h.exit is not None or h.start_issued_at is None or is_late:
                return h
            if h.down is not None and h.restart_issued_at is None:
                return h
            ended = _exit_of(fact, now)
            ran_at = h.started_at or (ended.at if ended.code is not None else None)
            return replace(h, exit=ended, started_at=ran_at)
        case r.ContainerHealthChanged(status=status):
            return h if h.exit is not None or h.health is status else replace(h, health=status)
        case r.ContainerOutputLost(lost=lost):
            known = h.lost_output.lines if h.lost_output is not None else 0
            return h if lost.lines <= known else replace(h, lost_output=lost)
        case r.ContainerRemoved():
            if h.removed_at is not None:
                return h
            return replace(h, removed_at=now, exit=h.exit or h.down or Exit(code=None, at=now))
        case _:
            assert_never(fact)


def _restarting(definition: ContainerDefinition, before: ContainerHistory, after: ContainerHistory) -> ContainerHistory:
    """A run that has just ended is followed by another, if the container's restart policy says so: unless its exit code
    is ignored, or it had not run for the attempt period. Source: API_ContainerRestartPolicy."""
    policy, ended = definition.restart_policy, after.exit
    if policy is None or not policy.enabled or before.exit is not None or ended is None or ended.code is None:
        return after
    ran_since = before.restarted_at if before.restarts else before.started_at
    period_s = policy.attempt_period_s if policy.attempt_period_s is not None else RESTART_ATTEMPT_PERIOD_S
    if before.down is not None or ran_since is None or ended.at - ran_since < timedelta(seconds=period_s):
        return after
    if ended.code in policy.ignored_exit_codes:
        return after
    return replace(
        after,
        exit=None,
        down=ended,
        restarts=before.restarts + 1,
        restart_issued_at=None,
        restarted_at=None,
        health=HealthStatus.UNKNOWN,
    )


def _exit_of(fact: r.ContainerExited, now: datetime) -> Exit:
    at = min(fact.exited_at or now, now)
    if fact.oom_killed:
        # One that went on and ended well has lost a child only: its exit code stays true.
        return Exit(code=0 if fact.exit_code == 0 else OUT_OF_MEMORY_EXIT_CODE, reason=OUT_OF_MEMORY, at=at)
    return Exit(code=fact.exit_code, at=at)


def _failed(task: Task, fact: r.EffectFailed, now: datetime) -> Task:
    """A passing failure: remember when to try again; give up a start that keeps failing."""
    old = next((each for each in task.retries if (each.effect, each.key) == (fact.effect, fact.effect_key)), None)
    attempts = old.attempts + 1 if old is not None else 1
    not_before = max(fact.retry_at, now + timedelta(seconds=backoff(attempts)))
    retry = r.Retry(effect=fact.effect, key=fact.effect_key, attempts=attempts, not_before=not_before)
    task = replace(task, retries=(*(each for each in task.retries if each is not old), retry))
    words = _START_FAILURES.get(fact.effect)
    if words is None or attempts < START_ATTEMPTS or task.stop is not None:
        return task
    reason = f"{words}: {fact.reason}"
    if fact.effect_key.startswith("container/"):
        given_up = r.StartFailed(reason=reason, container=fact.effect_key.removeprefix("container/"))
        return _fold_container(task, given_up, now)
    return stop(task, code=StopCode.TASK_FAILED_TO_START, reason=reason, at=now)


def backoff(attempts: int) -> float:
    """Seconds to wait after so many failures (1 or more) of one effect: doubling, at most half a minute."""
    return float(min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(attempts - 1, 10)))


def _retries_cleared(task: Task, fact: AnyFact) -> Task:
    if not task.retries:
        return task
    key = f"container/{fact.container}" if isinstance(fact, _CONTAINER_ANSWERS) else _ANSWER_KEYS.get(type(fact))
    kept = tuple(each for each in task.retries if each.key != key)
    return task if len(kept) == len(task.retries) else replace(task, retries=kept)


# --- what follows ---------------------------------------------------------------------------------------------------


def _with_unmeetable(task: Task, now: datetime) -> Task:
    """A container whose dependency can not be met any more never runs: that is its end, and may be others'."""
    changed = task.stop is None
    while changed:
        changed = False
        for definition, h in _pairs(task):
            if h.exit is not None or h.start_issued_at is not None or h.started_at is not None:
                continue
            for dependency in definition.depends_on:
                if _unmeetable(task, dependency, now):
                    reason = _dependency_words(task, definition, dependency)
                    task = _fold_container(task, r.StartFailed(reason=reason, container=h.name), now)
                    changed = True
                    break
    return task


def _with_stop(task: Task, now: datetime) -> Task:
    """An essential container's end, or the end of all, is the task's."""
    if task.stop is not None or all(each.exit is None for each in task.history):
        return task
    ended = [(h.exit, h) for definition, h in _pairs(task) if h.exit is not None and definition.essential]
    if not ended and any(each.exit is None for each in task.history):
        return task
    ended = ended or [(h.exit, h) for h in task.history if h.exit is not None]
    first, h = min(ended, key=lambda pair: pair[0].at)
    if h.started_at is None and first.reason is not None:
        return stop(task, code=StopCode.TASK_FAILED_TO_START, reason=first.reason, at=now)
    return stop(task, code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason=ESSENTIAL_EXITED, at=now)


def _with_status(task: Task, now: datetime) -> Task:
    # Facts only accumulate, so the derived status rises by itself; the maximum also holds for records that an
    # earlier version of these rules wrote.
    status = max(task.last_status, _derived(task))
    pulls = [h.pull_asked_at for h in task.history if h.pull_asked_at is not None]
    pulled = all(h.pulled_at is not None or h.exit is not None for h in task.history)
    failed = task.stop is not None and task.stop.code is StopCode.TASK_FAILED_TO_START
    running = status is S.RUNNING or (task.stop is not None and not failed and _all_started(task))
    stopped = _execution_stopped_at(task)
    times = {
        "pull_started_at": task.pull_started_at or min(pulls, default=None),
        "pull_stopped_at": task.pull_stopped_at or (now if pulls and pulled else None),
        "connectivity_at": task.connectivity_at or (now if task.network is None and status >= S.PENDING else None),
        "started_at": task.started_at or (now if running else None),
        "stopping_at": task.stopping_at or (now if task.stop is not None else None),
        "execution_stopped_at": task.execution_stopped_at or stopped,
        "stopped_at": now if status is S.STOPPED else None,
    }
    changed = {name: at for name, at in times.items() if at is not getattr(task, name)}
    if changed:
        task = replace(task, **changed)
    if status is not task.last_status:
        task = replace(task, last_status=status, story=_told(task.story, now, status.name))
    return task


def _derived(task: Task) -> TaskStatus:
    """The status that the facts amount to."""
    if task.stop is None:
        if task.network is not None and task.eni is None:
            return S.PROVISIONING
        if not _all_started(task):
            return S.PENDING
        return S.ACTIVATING if _registers(task) and task.targets_registered_at is None else S.RUNNING
    if not _drained(task):
        return S.DEACTIVATING
    if any(_may_run(h) for h in task.history):
        return S.STOPPING
    return S.STOPPED if _released(task) else S.DEPROVISIONING


def _execution_stopped_at(task: Task) -> datetime | None:
    """When the first essential container that had run ended, else when the last container did."""
    ends = [h.exit.at for d, h in _pairs(task) if d.essential and h.exit is not None and h.started_at is not None]
    if ends:
        return min(ends)
    if task.stop is None or any(_may_run(h) for h in task.history):
        return None
    return max([task.stop.at, *(h.exit.at for h in task.history if h.exit is not None)])


def _pairs(task: Task) -> Iterator[tuple[ContainerDefinition, ContainerHistory]]:
    return zip(task.containers, task.history, strict=True)


def _may_run(h: ContainerHistory) -> bool:
    """From the intent to start it until its end is known, a container may be running."""
    return h.start_issued_at is not None and h.exit is None


def _all_started(task: Task) -> bool:
    """Every container has run; one that is not essential may have failed to."""
    return all(h.started_at is not None or h.exit is not None for h in task.history)


def _registers(task: Task) -> bool:
    """Whether somebody is to be told of the task before it is RUNNING."""
    return bool(task.targets or task.registries)


def _drained(task: Task) -> bool:
    return task.targets_issued_at is None or task.targets_drained_at is not None


def _all_removed(task: Task) -> bool:
    return all(h.start_issued_at is None or h.removed_at is not None for h in task.history)


def _has_network(task: Task) -> bool:
    """An interface of its own, or a part of its instance's network."""
    return task.eni is not None or task.placement is not None


def _network_gone(task: Task) -> bool:
    return task.network_issued_at is None or task.network_released_at is not None


def _volumes_gone(task: Task) -> bool:
    """They come to be with the first container that starts."""
    never_were = not task.volumes or all(h.start_issued_at is None for h in task.history)
    return never_were or task.volumes_released_at is not None


def _ebs_detached(task: Task) -> bool:
    return task.ebs_attach_issued_at is None or task.ebs_detached_at is not None


def _ebs_gone(task: Task) -> bool:
    return task.ebs_asked_at is None or task.ebs_released_at is not None


def _eni_gone(task: Task) -> bool:
    return task.eni_asked_at is None or task.eni_released_at is not None


def _released(task: Task) -> bool:
    """Nothing is left of all that was ever asked for."""
    gone = (_network_gone(task), _volumes_gone(task), _ebs_detached(task), _ebs_gone(task), _eni_gone(task))
    return _drained(task) and _all_removed(task) and all(gone)


def _of(task: Task, name: str) -> ContainerHistory | None:
    return next((h for h in task.history if h.name == name), None)


def _met(task: Task, dependency: DependsOn) -> bool:
    h = _of(task, dependency.container)
    if h is None or h.started_at is None:
        return False
    match dependency.condition:
        case "START":
            return True
        case "COMPLETE":
            return h.exit is not None
        case "SUCCESS":
            return h.exit is not None and h.exit.code == 0
        case "HEALTHY":
            return h.exit is None and h.health is HealthStatus.HEALTHY
        case _:
            assert_never(dependency.condition)


def _unmeetable(task: Task, dependency: DependsOn, now: datetime) -> bool:
    h = _of(task, dependency.container)
    if h is None:
        return True
    if h.exit is not None:
        return not _met(task, dependency)
    if dependency.condition == "HEALTHY" and h.health is HealthStatus.UNHEALTHY:
        return True
    given_up_at = _given_up_at(task, dependency)
    return given_up_at is not None and now >= given_up_at


def _given_up_at(task: Task, dependency: DependsOn) -> datetime | None:
    """When the dependency's `startTimeout` ends, if it has one and runs: it limits the wait for its end, not for its
    start. Source: amazon-ecs-agent, agent/engine/dependencygraph."""
    for definition, h in _pairs(task):
        if h.name == dependency.container and dependency.condition != "START":
            if h.started_at is None or h.exit is not None or definition.start_timeout_s is None:
                return None
            if _met(task, dependency):
                return None
            return h.started_at + timedelta(seconds=definition.start_timeout_s)
    return None


def _dependency_words(task: Task, target: ContainerDefinition, dependency: DependsOn) -> str:
    """AWS's words. Source: amazon-ecs-agent, agent/engine/dependencygraph, and its pull request 3218."""
    on = next((each for each in task.containers if each.name == dependency.container), None)
    h = _of(task, dependency.container)
    if h is not None and h.exit is None and h.health is not HealthStatus.UNHEALTHY:
        return (
            "CannotStartContainerError: dependency graph: container ordering dependency "
            f"[{dependency.container}({on.image if on else ''}) (RUNNING->RUNNING)] "
            f"for target [{target.name}({target.image}) (NONE->RUNNING)] has timed out."
        )
    code = f" - Exit: {h.exit.code}" if h is not None and h.exit is not None and h.exit.code is not None else ""
    because = (
        "as dependency did not exit successfully"
        if dependency.condition in ("SUCCESS", "COMPLETE")
        else f"as the {dependency.condition} condition can not be met"
    )
    return (
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
        f"[{dependency.container}({on.image if on else ''}) (STOPPED->RUNNING){code}] "
        f"for target [{target.name}({target.image}) (NONE->RUNNING)] {because}"
    )


def _visible(task: Task) -> tuple[object, ...]:
    """What DescribeTasks shows of what is known; `version` counts its changes."""
    return (
        task.last_status,
        task.stop is None,
        task.eni,
        task.network_ready_at is None,
        task.eni_released_at is None,
        tuple((h.image_digest, h.started_at is None, h.health, h.exit) for h in task.history),
    )


def _once(task: Task, field: str, now: datetime) -> Task:
    return task if getattr(task, field) is not None else replace(task, **{field: now})


def _told(story: tuple[r.Moment, ...], at: datetime, what: str, detail: str = "") -> tuple[r.Moment, ...]:
    return (*story[-(STORY_KEPT - 1) :], r.Moment(at=at, what=what, detail=detail))


def _detail(fact: AnyFact) -> str:
    """The few words of a fact's line in the story."""
    match fact:
        case r.EniAllocated(eni=eni):
            return f"{eni.eni_id} {eni.address} in {eni.subnet_id} ({eni.zone})"
        case r.EbsVolumeCreated(ebs=ebs):
            return f"{ebs.volume_id} in {ebs.zone}"
        case r.EbsVolumeFailed():
            return fact.reason[:REASON_MAX]
        case r.ImagePulled():
            return f"{fact.container} {fact.digest}" + (f", {fact.how}" if fact.how else "")
        case r.ContainerStarted():
            return f"{fact.container} pid {fact.pid}"
        case r.ContainerExited():
            out_of_memory = ", out of memory" if fact.oom_killed else ""
            return f"{fact.container} exit code {fact.exit_code}{out_of_memory}"
        case r.ContainerHealthChanged():
            said = f": {fact.output}" if fact.output else ""
            return f"{fact.container} {fact.status}{said}"[:REASON_MAX]
        case r.ContainerOutputLost(lost=lost):
            return f"{fact.container} {lost.lines} lines, {lost.size_bytes} bytes"
        case r.EffectFailed():
            return f"{fact.effect} {fact.effect_key}: {fact.reason}"[:REASON_MAX]
        case r.StartFailed():
            return f"{fact.container or 'task'}: {fact.reason}"[:REASON_MAX]
        case (
            r.ImagePullStarted()
            | r.StartIssued()
            | r.ContainerSignalled()
            | r.KillIssued()
            | r.ContainerKilled()
            | r.ContainerRemoved()
        ):
            return fact.container
        case _:
            return ""


# --- plan -----------------------------------------------------------------------------------------------------------


def plan(task: Task, *, now: datetime) -> Plan:
    """All that is still missing, from the state alone; the loop skips what is already under way.

    Args:
        task: settled.
    Returns: effects with the intent to record before each, and the time at which the plan changes by itself.
    """
    if task.last_status is TaskStatus.STOPPED:
        return Plan()
    effects: list[Planned] = []
    wakes: list[datetime] = []
    rest = _starting(task, wakes) if task.stop is None else _stopping(task, task.stop, now, wakes)
    for planned in (*_removals(task), *rest):
        not_before = _not_before(task, planned.effect)
        if not_before is not None and not_before > now:
            wakes.append(not_before)
        else:
            effects.append(planned)
    return Plan(effects=tuple(effects), wake_at=min(wakes, default=None))


def _not_before(task: Task, effect: r.Effect) -> datetime | None:
    if not task.retries:
        return None
    name, key = type(effect).__name__, effect.key
    return next((each.not_before for each in task.retries if each.effect == name and each.key == key), None)


def _removals(task: Task) -> Iterable[Planned]:
    """Containers that have ended go at once, also while the others run on. This also ends what a start that was tried
    again may have left running behind an exit that is known."""
    for h in task.history:
        if h.start_issued_at is not None and h.exit is not None and h.removed_at is None:
            yield Planned(effect=r.RemoveContainer(task_key=task.key, container=h.name, runtime_id=h.runtime_id))


def _starting(task: Task, wakes: list[datetime]) -> Iterable[Planned]:
    network = task.network
    if network is not None and task.eni is None:
        yield Planned(effect=r.AllocateEni(task_key=task.key, request=network), intent=r.EniAsked())
        return
    if _has_network(task) and task.network_ready_at is None:
        yield Planned(
            effect=r.CreateNetwork(task_key=task.key, eni=task.eni, placement=task.placement), intent=r.NetworkIssued()
        )
    yield from _getting_volume(task)
    network_ready = not _has_network(task) or task.network_ready_at is not None
    volume_ready = task.managed_volume is None or task.ebs_attached_at is not None
    is_ready = network_ready and volume_ready
    for definition, h in _pairs(task):
        if h.exit is not None or (h.started_at is not None and h.down is None):
            continue
        if h.down is not None and h.image_digest is not None:
            yield Planned(
                effect=_start_effect(task, definition, h, h.image_digest),
                intent=r.StartIssued(container=h.name, restart=h.restarts),
            )
            continue
        if h.image_digest is None:
            yield Planned(
                effect=r.PullImage(
                    task_key=task.key,
                    container=h.name,
                    runtime_id=h.runtime_id,
                    image=definition.image,
                    digest=task.image_digests.get(h.name, ""),
                    cpu_architecture=task.cpu_architecture,
                ),
                intent=r.ImagePullStarted(container=h.name),
            )
        elif is_ready and all(_met(task, each) for each in definition.depends_on):
            yield Planned(
                effect=_start_effect(task, definition, h, h.image_digest), intent=r.StartIssued(container=h.name)
            )
        else:
            wakes += [at for each in definition.depends_on if (at := _given_up_at(task, each)) is not None]
    name = target.target_id(task)
    if _registers(task) and name is not None and task.targets_registered_at is None and _all_started(task):
        yield Planned(
            effect=r.RegisterTargets(task_key=task.key, targets=target.refs(task), address=name),
            intent=r.TargetsIssued(),
        )


def _getting_volume(task: Task) -> Iterable[Planned]:
    """Of EBS: first there, in the zone of the task, then attached."""
    if task.managed_volume is None:
        return
    if task.ebs is None:
        yield Planned(
            effect=r.CreateEbsVolume(task_key=task.key, request=task.managed_volume, zone=_zone(task)),
            intent=r.EbsVolumeAsked(),
        )
    elif task.ebs_attached_at is None:
        yield Planned(
            effect=r.AttachEbsVolume(
                task_key=task.key, volume_id=task.ebs.volume_id, file_system=task.managed_volume.file_system
            ),
            intent=r.EbsAttachIssued(),
        )


def _zone(task: Task) -> str:
    if task.placement is not None:
        return task.placement.zone
    return task.eni.zone if task.eni is not None else ""


def _start_effect(
    task: Task, definition: ContainerDefinition, h: ContainerHistory, image_digest: str
) -> r.StartContainer:
    return r.StartContainer(
        task_key=task.key,
        container=h.name,
        runtime_id=h.runtime_id,
        scope=task.scope,
        definition=definition,
        image_digest=image_digest,
        task_cpu_units=task.cpu_units,
        task_memory_mib=task.memory_mib,
        ephemeral_storage_gib=task.ephemeral_storage_gib,
        network_mode=task.network_mode,
        pid_mode=task.pid_mode,
        ipc_mode=task.ipc_mode,
        eni=task.eni,
        placement=task.placement,
        task_arn=arn.task(task.scope, task.cluster, task.id),
        cluster=task.cluster,
        family=task.family,
        revision=task.revision,
        restart=h.restarts,
        credentials_path=metadata.credentials_path(task),
        ebs_mount=_ebs_mount(task),
    )


def _ebs_mount(task: Task) -> r.EbsMount | None:
    asked = task.managed_volume
    if asked is None or task.ebs is None:
        return None
    return r.EbsMount(volume=asked.volume, volume_id=task.ebs.volume_id, file_system=asked.file_system)


def _stopping(task: Task, why: Stop, now: datetime, wakes: list[datetime]) -> Iterable[Planned]:
    name = target.target_id(task)
    if not _drained(task) and name is not None:
        yield Planned(effect=r.DrainTargets(task_key=task.key, targets=target.refs(task), address=name))
        if _drains_first(why):
            return
    if any(_may_run(h) for h in task.history):
        for definition, h in _pairs(task):
            if _may_run(h):
                yield from _ending(task, why, definition, h, now, wakes)
        return
    if not _all_removed(task) or not _drained(task):
        return
    if not _volumes_gone(task):
        yield Planned(effect=r.ReleaseVolumes(task_key=task.key))
    if not _ebs_detached(task):
        assert task.ebs is not None
        yield Planned(effect=r.DetachEbsVolume(task_key=task.key, volume_id=task.ebs.volume_id))
    elif not _ebs_gone(task):
        yield Planned(effect=r.ReleaseEbsVolume(task_key=task.key))
    if not _network_gone(task):
        if _has_network(task):
            yield Planned(effect=r.ReleaseNetwork(task_key=task.key, eni=task.eni, placement=task.placement))
        return
    if not _eni_gone(task):
        yield Planned(effect=r.ReleaseEni(task_key=task.key, eni=task.eni))


def _drains_first(why: Stop) -> bool:
    """Containers go on serving until the load balancer is done with them, unless there is nothing left to serve, or no
    time: the notice of an interruption is the signal itself."""
    return why.code not in (StopCode.ESSENTIAL_CONTAINER_EXITED, StopCode.SPOT_INTERRUPTION)


def _ending(
    task: Task, why: Stop, definition: ContainerDefinition, h: ContainerHistory, now: datetime, wakes: list[datetime]
) -> Iterable[Planned]:
    """Signal, wait, kill, kill again; one whose start was never answered, or that is down, is removed outright."""
    if h.started_at is None or h.down is not None:
        yield Planned(effect=r.RemoveContainer(task_key=task.key, container=h.name, runtime_id=h.runtime_id))
        return
    dependents = [other for d, other in _pairs(task) if any(each.container == h.name for each in d.depends_on)]
    if any(_may_run(each) for each in dependents):
        return
    due = max([why.at, *(each.exit.at for each in dependents if each.exit is not None)])
    if task.targets_drained_at is not None and _drains_first(why):
        due = max(due, task.targets_drained_at)
    timeout_s = definition.stop_timeout_s if definition.stop_timeout_s is not None else STOP_TIMEOUT_S
    kill_at = (h.signalled_at or due) + shortened(timeout_s, task.pace)
    if h.kill_issued_at is not None:
        kill_at = h.kill_issued_at + timedelta(seconds=KILL_AGAIN_S)
    if now >= kill_at:
        yield Planned(
            effect=r.KillContainer(task_key=task.key, container=h.name, runtime_id=h.runtime_id),
            intent=r.KillIssued(container=h.name),
        )
        wakes.append(now + timedelta(seconds=KILL_AGAIN_S))
        return
    wakes.append(kill_at)
    if h.signalled_at is None and h.kill_issued_at is None:
        yield Planned(effect=r.SignalContainer(task_key=task.key, container=h.name, runtime_id=h.runtime_id))
