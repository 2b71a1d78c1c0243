"""What must hold of every task and every plan, whatever happened. Checked by the tests after each step."""

from portside.domain.task import record as r
from portside.domain.task.machine import REASON_MAX, STORY_KEPT, TRANSITIONS
from portside.domain.task.record import ContainerHistory, Plan, Planned, Task, TaskStatus

_ONCE = (
    "eni_asked_at",
    "eni",
    "network_issued_at",
    "network_ready_at",
    "network_released_at",
    "eni_released_at",
    "volumes_released_at",
    "ebs_asked_at",
    "ebs",
    "ebs_attach_issued_at",
    "ebs_attached_at",
    "ebs_detached_at",
    "ebs_released_at",
    "targets_issued_at",
    "targets_registered_at",
    "targets_drained_at",
    "pull_started_at",
    "pull_stopped_at",
    "connectivity_at",
    "started_at",
    "stopping_at",
    "execution_stopped_at",
    "stopped_at",
    "stop",
)
_ONCE_OF_CONTAINER = (
    "pull_asked_at",
    "image_digest",
    "pulled_at",
    "start_issued_at",
    "started_at",
    "signalled_at",
    "exit",
    "removed_at",
)
_STEPS = frozenset((before, after) for before, after, _ in TRANSITIONS)


def of_task(task: Task) -> list[str]:
    """The rules that one task breaks, in words; empty if all is well."""
    broken: list[str] = []
    if len(task.story) > STORY_KEPT:
        broken.append(f"the story has {len(task.story)} lines")
    if task.stop is not None and len(task.stop.reason) > REASON_MAX:
        broken.append("the reason of the stop is too long")
    if task.last_status > TaskStatus.RUNNING and task.stop is None:
        broken.append(f"{task.last_status.name} without a stop")
    if task.last_status is TaskStatus.RUNNING and task.started_at is None:
        broken.append("RUNNING without started_at")
    if (task.last_status is TaskStatus.STOPPED) != (task.stopped_at is not None):
        broken.append(f"{task.last_status.name} with stopped_at {task.stopped_at}")
    if task.last_status is TaskStatus.STOPPED:
        broken += [f"STOPPED, but {left}" for left in _left(task)]
    broken += [f"{h.name}: an exit code, but it never ran" for h in task.history if _code_of_nothing(h)]
    return broken


def _left(task: Task) -> list[str]:
    """What a task still holds, or may hold."""
    left = [
        f"container {h.name} was issued and not removed"
        for h in task.history
        if h.start_issued_at is not None and h.removed_at is None
    ]
    if task.network_issued_at is not None and task.network_released_at is None:
        left.append("its network was issued and not released")
    if task.volumes and any(h.start_issued_at for h in task.history) and task.volumes_released_at is None:
        left.append("its volumes were not released")
    if task.ebs_attach_issued_at is not None and task.ebs_detached_at is None:
        left.append("its EBS volume may be attached")
    if task.ebs_asked_at is not None and task.ebs_released_at is None:
        left.append("its EBS volume was asked for and not released")
    if task.eni_asked_at is not None and task.eni_released_at is None:
        left.append("its ENI was asked for and not released")
    if task.targets_issued_at is not None and task.targets_drained_at is None:
        left.append("its targets were issued and not drained")
    return left


def _code_of_nothing(h: ContainerHistory) -> bool:
    return h.start_issued_at is None and h.exit is not None and h.exit.code is not None


def of_step(before: Task, after: Task) -> list[str]:
    """The rules that one change of a task breaks: what is known stays known, and the status keeps to its diagram."""
    broken: list[str] = []
    if after.last_status < before.last_status:
        broken.append(f"the status went back from {before.last_status.name} to {after.last_status.name}")
    elif after.last_status is not before.last_status:
        if not _reachable(before.last_status, after.last_status):
            broken.append(f"no way leads from {before.last_status.name} to {after.last_status.name}")
        if after.version <= before.version:
            broken.append("the status changed, the version did not")
    if after.version < before.version:
        broken.append(f"the version went back from {before.version} to {after.version}")
    for field in _ONCE:
        if getattr(before, field) is not None and getattr(after, field) != getattr(before, field):
            broken.append(f"{field} changed from {getattr(before, field)} to {getattr(after, field)}")
    for old, new in zip(before.history, after.history, strict=True):
        if new.restarts < old.restarts:
            broken.append(f"{old.name}: the restarts went back from {old.restarts} to {new.restarts}")
    for old, new in zip(before.history, after.history, strict=True):
        if old.pulled_at is not None and new.secret_versions != old.secret_versions:
            broken.append(f"{old.name}: the versions of its secrets changed")
        for field in _ONCE_OF_CONTAINER:
            if getattr(old, field) is not None and getattr(new, field) != getattr(old, field):
                broken.append(f"{old.name}: {field} changed from {getattr(old, field)} to {getattr(new, field)}")
    return broken


def _reachable(before: TaskStatus, after: TaskStatus) -> bool:
    """One commit may hold several facts, so several steps of the diagram."""
    if (before, after) in _STEPS:
        return True
    return any(one is before and two < after and _reachable(two, after) for one, two in _STEPS)


def of_plan(task: Task, plan: Plan) -> list[str]:
    """The rules that a plan for this task breaks."""
    broken: list[str] = []
    keys = [planned.effect.key for planned in plan.effects]
    if len(keys) != len(set(keys)):
        broken.append(f"two effects on one resource: {keys}")
    if task.last_status is TaskStatus.STOPPED and plan != Plan():
        broken.append("a plan for a stopped task")
    for planned in plan.effects:
        broken += _of_effect(task, planned)
    waits = task.stop is None and any(h.started_at is not None and h.exit is None for h in task.history)
    at_rest = task.last_status is TaskStatus.STOPPED
    if not plan.effects and plan.wake_at is None and not waits and not at_rest:
        broken.append(f"nothing will ever happen to this {task.last_status.name} task")
    return broken


_INTENDED = (
    r.CreateNetwork,
    r.StartContainer,
    r.AllocateEni,
    r.RegisterTargets,
    r.CreateEbsVolume,
    r.AttachEbsVolume,
)


def _of_effect(task: Task, planned: Planned) -> list[str]:
    effect, name = planned.effect, type(planned.effect).__name__
    broken: list[str] = []
    if isinstance(effect, _INTENDED):
        if planned.intent is None:
            broken.append(f"{name} without an intent")
        if task.stop is not None:
            broken.append(f"{name} for a task that is to end")
    elif not isinstance(effect, r.PullImage | r.RemoveContainer) and task.stop is None:
        broken.append(f"{name} for a task that is to run")
    may_run = any(h.start_issued_at is not None and h.exit is None for h in task.history)
    left = any(h.start_issued_at is not None and h.removed_at is None for h in task.history)
    match effect:
        case r.StartContainer(container=container):
            h = next(each for each in task.history if each.name == container)
            has_network = task.network is not None or task.placement is not None
            if has_network and task.network_ready_at is None:
                broken.append(f"{container} is started before the network is there")
            if task.managed_volume is not None and task.ebs_attached_at is None:
                broken.append(f"{container} is started before its EBS volume is attached")
            if h.image_digest is None or h.exit is not None or (h.started_at is not None and h.down is None):
                broken.append(f"{container} is started without its image, or again")
        case r.RegisterTargets():
            if any(h.exit is None and h.started_at is None for h in task.history):
                broken.append("targets are registered before the containers have started")
        case r.RemoveContainer(container=container):
            h = next(each for each in task.history if each.name == container)
            if h.exit is None and (task.stop is None or (h.started_at is not None and h.down is None)):
                broken.append(f"{container} is removed while it may run")
        case r.ReleaseNetwork():
            if left:
                broken.append("the network is released before the containers are gone")
        case r.ReleaseVolumes():
            if left:
                broken.append("the volumes are released before the containers are gone")
        case r.DetachEbsVolume():
            if left:
                broken.append("the EBS volume is detached before the containers are gone")
        case r.ReleaseEbsVolume():
            if left or (task.ebs_attach_issued_at is not None and task.ebs_detached_at is None):
                broken.append("the EBS volume is released before it is detached")
        case r.ReleaseEni():
            if left or may_run or (task.network_issued_at is not None and task.network_released_at is None):
                broken.append("the ENI is released before the network")
            if task.targets_issued_at is not None and task.targets_drained_at is None:
                broken.append("the ENI is released before its targets are drained")
        case _:
            pass
    return broken
