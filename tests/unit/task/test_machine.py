"""Scripts of facts in, effects out: what the task machine decides, and in whose words it ends."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain.record import Scope, replace
from portside.domain.task import invariant, machine
from portside.domain.task import record as r
from portside.domain.task.creation import new_task
from portside.domain.task.record import AnyFact, EniAttachment, NetworkRequest, StopCode, TargetRef, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, DependsOn, RestartPolicy, TaskDefinition, Volume
from portside.testing.clock import EPOCH

SCOPE = Scope(account="123456789012", region="eu-west-1")
ENI = EniAttachment(
    eni_id="eni-1",
    subnet_id="subnet-1",
    vpc_id="vpc-1",
    zone="eu-west-1a",
    address="172.31.0.10",
    prefix_length=20,
    gateway="172.31.0.1",
    mac_address="02:00:00:00:00:01",
    private_dns_name="ip-172-31-0-10.eu-west-1.compute.internal",
    security_group_ids=("sg-1",),
)


def container(name: str, *, essential: bool = True, depends: Sequence[tuple[str, str]] = ()) -> ContainerDefinition:
    return ContainerDefinition(
        name=name,
        image=f"{name}:1",
        essential=essential,
        depends_on=tuple(DependsOn(container=on, condition=condition) for on, condition in depends),  # type: ignore[arg-type]
    )


def task_of(*containers: ContainerDefinition, targets: bool = False, awsvpc: bool = True) -> Task:
    return new_task(
        scope=SCOPE,
        cluster="default",
        task_id="t" * 32,
        attachment_id="a",
        runtime_ids=[f"runtime-{each.name}" for each in containers],
        definition=TaskDefinition(
            scope=SCOPE,
            family="web",
            revision=3,
            containers=containers,
            network_mode="awsvpc" if awsvpc else "none",
            registered_at=EPOCH,
            registered_by="",
        ),
        launch_type="FARGATE",
        group="family:web",
        network=NetworkRequest(subnet_ids=("subnet-1",)) if awsvpc else None,
        created_at=EPOCH,
        cause_id="request-1",
        targets=(TargetRef(target_group_arn="tg", container_name="app", container_port=80),) if targets else (),
    )


@dataclass
class Script:
    """A task being told facts, one second apart; every rule is checked at every step."""

    task: Task
    now: datetime = field(default=EPOCH)

    def later(self, seconds: float) -> "Script":
        self.now += timedelta(seconds=seconds)
        return self

    def told(self, *facts: AnyFact) -> "Script":
        for fact in facts:
            self.later(1)
            self._to(machine.observe(self.task, fact, now=self.now))
        return self

    def stopped(self, reason: str = "enough", code: StopCode = StopCode.USER_INITIATED) -> "Script":
        self.later(1)
        self._to(machine.settle(machine.stop(self.task, code=code, reason=reason, at=self.now), now=self.now))
        return self

    def _to(self, task: Task) -> None:
        assert invariant.of_task(task) == []
        assert invariant.of_step(self.task, task) == []
        self.task = task
        assert invariant.of_plan(task, machine.plan(task, now=self.now)) == []

    @property
    def effects(self) -> list[str]:
        """The planned effects: class, and the container's name where there is one."""
        plan = machine.plan(self.task, now=self.now)
        names = []
        for each in plan.effects:
            name = type(each.effect).__name__
            names.append(f"{name} {getattr(each.effect, 'container', '')}".strip())
        return names

    def begun(self) -> "Script":
        """The intents of the whole plan are recorded."""
        plan = machine.plan(self.task, now=self.now)
        return self.told(*(each.intent for each in plan.effects if each.intent is not None))

    @property
    def status(self) -> str:
        return self.task.last_status.name


def pulled(name: str) -> r.ImagePulled:
    return r.ImagePulled(container=name, digest=f"sha256:{name}")


def started(name: str) -> r.ContainerStarted:
    return r.ContainerStarted(container=name, pid=7)


def exited(name: str, code: int | None = 0, *, oom: bool = False) -> r.ContainerExited:
    return r.ContainerExited(container=name, exit_code=code, oom_killed=oom)


def running(*containers: ContainerDefinition, targets: bool = False) -> Script:
    script = Script(task_of(*containers, targets=targets)).begun().told(r.EniAllocated(eni=ENI)).begun()
    script.told(r.NetworkReady(), *(pulled(each.name) for each in containers))
    while any(each.startswith("StartContainer") for each in script.effects):
        names = [each.split()[1] for each in script.effects if each.startswith("StartContainer")]
        script.begun().told(*(started(name) for name in names))
    if targets:
        script.begun().told(r.TargetsRegistered())
    assert script.status == "RUNNING"
    return script


def test_the_way_to_running() -> None:
    """ENI first; then network and image side by side; then the container; then the targets; then RUNNING."""
    s = Script(task_of(container("app"), targets=True))
    assert (s.status, s.effects) == ("PROVISIONING", ["AllocateEni"])
    s.begun().told(r.EniAllocated(eni=ENI))
    assert (s.status, s.effects) == ("PENDING", ["CreateNetwork", "PullImage app"])
    s.begun().told(pulled("app"))
    assert s.effects == ["CreateNetwork"]
    s.told(r.NetworkReady())
    assert s.effects == ["StartContainer app"]
    s.begun().told(started("app"))
    assert (s.status, s.effects) == ("ACTIVATING", ["RegisterTargets"])
    s.begun().told(r.TargetsRegistered())
    assert (s.status, s.effects) == ("RUNNING", [])
    task = s.task
    times = [task.created_at, task.pull_started_at, task.pull_stopped_at, task.connectivity_at, task.started_at]
    assert times == sorted(each for each in times if each is not None)


def test_the_way_to_stopped() -> None:
    """Drain, signal, remove, release the network, then the ENI: in this order, one after the other."""
    s = running(container("app"), targets=True).stopped()
    assert (s.status, s.effects) == ("DEACTIVATING", ["DrainTargets"])
    s.told(r.TargetsDrained())
    assert (s.status, s.effects) == ("STOPPING", ["SignalContainer app"])
    s.told(r.ContainerSignalled(container="app"))
    assert s.effects == []
    s.told(exited("app", 143))
    assert (s.status, s.effects) == ("DEPROVISIONING", ["RemoveContainer app"])
    s.told(r.ContainerRemoved(container="app"))
    assert s.effects == ["ReleaseNetwork"]
    s.told(r.NetworkReleased())
    assert s.effects == ["ReleaseEni"]
    s.told(r.EniReleased())
    assert (s.status, s.effects) == ("STOPPED", [])
    task = s.task
    assert task.stop is not None
    assert task.stop.reason == "enough"
    assert task.history[0].exit is not None
    assert task.history[0].exit.code == 143
    times = [task.started_at, task.stopping_at, task.execution_stopped_at, task.stopped_at]
    assert times == sorted(each for each in times if each is not None)
    assert task.stopped_at == s.now


def test_an_interruption_signals_at_once() -> None:
    """A task that loses its capacity is told so while its targets drain, and is over when both are done."""
    s = running(container("app"), targets=True)
    s.stopped("Your Spot Task was interrupted.", StopCode.SPOT_INTERRUPTION)
    assert (s.status, s.effects) == ("DEACTIVATING", ["DrainTargets", "SignalContainer app"])
    s.told(r.ContainerSignalled(container="app"), exited("app"), r.ContainerRemoved(container="app"))
    assert (s.status, s.effects) == ("DEACTIVATING", ["DrainTargets"])
    s.told(r.TargetsDrained())
    assert (s.status, s.effects) == ("DEPROVISIONING", ["ReleaseNetwork"])


def test_kill_after_the_timeout_and_again() -> None:
    """A container that does not end is killed when its stop timeout is over, and every five seconds from then on."""
    s = running(container("app")).stopped().told(r.ContainerSignalled(container="app"))
    assert s.later(29).effects == []
    assert machine.plan(s.task, now=s.now).wake_at == s.now + timedelta(seconds=1)
    assert s.later(1).effects == ["KillContainer app"]
    s.begun().told(r.ContainerKilled(container="app"))
    assert s.effects == []
    assert s.later(4).effects == ["KillContainer app"]


def test_kill_although_the_signal_was_never_answered() -> None:
    """The kill's time also comes when no signal could be delivered."""
    s = running(container("app")).stopped()
    assert s.effects == ["SignalContainer app"]
    assert s.later(30).effects == ["KillContainer app"]


def test_stop_before_anything_was_asked_for() -> None:
    """Nothing was issued, so nothing is released: STOPPED at once, without an exit code."""
    s = Script(task_of(container("app"))).stopped()
    assert (s.status, s.effects) == ("STOPPED", [])
    assert s.task.history[0].exit is None
    assert s.task.stopping_at == s.task.stopped_at == s.now


def test_stop_while_the_eni_is_asked_for() -> None:
    """An ENI that may have been allocated is released, although its answer was never seen."""
    s = Script(task_of(container("app"))).begun().stopped()
    assert (s.status, s.effects) == ("DEPROVISIONING", ["ReleaseEni"])
    assert s.told(r.EniReleased()).status == "STOPPED"


def test_stop_while_the_start_is_unanswered() -> None:
    """A container that may or may not run is removed outright, and has no exit code."""
    s = Script(task_of(container("app"))).begun().told(r.EniAllocated(eni=ENI)).begun()
    s.told(r.NetworkReady(), pulled("app")).begun().stopped()
    assert (s.status, s.effects) == ("STOPPING", ["RemoveContainer app"])
    s.told(r.ContainerRemoved(container="app"))
    assert s.task.history[0].exit is not None
    assert s.task.history[0].exit.code is None
    assert s.effects == ["ReleaseNetwork"]


def test_essential_exit_ends_the_task() -> None:
    """AWS's words and code; the other containers are signalled at once, while the targets drain."""
    s = running(container("app"), container("side", essential=False), targets=True).told(exited("app", 1))
    assert s.task.stop is not None
    assert (s.task.stop.code, s.task.stop.reason) == (
        StopCode.ESSENTIAL_CONTAINER_EXITED,
        "Essential container in task exited",
    )
    assert (s.status, s.effects) == ("DEACTIVATING", ["RemoveContainer app", "DrainTargets", "SignalContainer side"])


def test_nonessential_exit_changes_nothing() -> None:
    """A container that is not essential may end; the task runs on, and what is left of the container goes."""
    s = running(container("app"), container("side", essential=False)).told(exited("side", 1))
    assert (s.status, s.effects, s.task.stop) == ("RUNNING", ["RemoveContainer side"], None)
    s.told(r.ContainerRemoved(container="side"))
    assert (s.status, s.effects, s.task.stop) == ("RUNNING", [], None)


def test_out_of_memory() -> None:
    """Exit code 137 and AWS's reason on the container."""
    s = running(container("app")).told(exited("app", 9, oom=True))
    end = s.task.history[0].exit
    assert end is not None
    assert (end.code, end.reason) == (137, "OutOfMemoryError: Container killed due to memory usage")


def test_a_container_that_lost_a_child_for_memory_and_ended_well() -> None:
    """AWS's reason, and the exit code that is true."""
    s = running(container("app")).told(exited("app", 0, oom=True))
    end = s.task.history[0].exit
    assert end is not None
    assert (end.code, end.reason) == (0, "OutOfMemoryError: Container killed due to memory usage")


def test_exit_before_the_answer_to_the_start() -> None:
    """A container that ends at once has run: started_at, exit code and all; the late answer changes nothing."""
    s = Script(task_of(container("app"))).begun().told(r.EniAllocated(eni=ENI)).begun()
    s.told(r.NetworkReady(), pulled("app")).begun().told(exited("app", 2))
    assert s.task.stop is not None
    assert s.task.stop.code is StopCode.ESSENTIAL_CONTAINER_EXITED
    assert s.task.started_at is not None
    before = s.task
    assert machine.observe(before, started("app"), now=s.now) is before


@pytest.mark.parametrize("essential", [True, False])
def test_start_failed(essential: bool) -> None:
    """A start that fails for good ends the task with the node's words, if the container is essential."""
    s = Script(task_of(container("app"), container("side", essential=essential))).begun()
    s.told(r.EniAllocated(eni=ENI)).begun()
    s.told(r.StartFailed(container="side", reason="CannotPullContainerError: not found"))
    if essential:
        assert s.task.stop is not None
        assert (s.task.stop.code, s.task.stop.reason) == (
            StopCode.TASK_FAILED_TO_START,
            "CannotPullContainerError: not found",
        )
    else:
        assert s.task.stop is None
        assert s.task.history[1].exit is not None


def test_no_address() -> None:
    """A failure of the whole task before any container gives its words to the stop."""
    s = Script(task_of(container("app"))).begun().told(r.StartFailed(reason="no address"))
    assert s.task.stop is not None
    assert (s.task.stop.code, s.task.stop.reason) == (StopCode.TASK_FAILED_TO_START, "no address")
    assert s.effects == ["ReleaseEni"]


def test_reason_is_cut() -> None:
    """A reason keeps 1,024 characters, as AWS's does."""
    s = Script(task_of(container("app"))).begun().told(r.StartFailed(reason="x" * 5000))
    assert s.task.stop is not None
    assert len(s.task.stop.reason) == 1024


@pytest.mark.parametrize(
    ("condition", "facts", "starts"),
    [
        ("START", [], False),
        ("START", [started("first")], True),
        ("COMPLETE", [started("first")], False),
        ("COMPLETE", [started("first"), exited("first", 3)], True),
        ("SUCCESS", [started("first")], False),
        ("SUCCESS", [started("first"), exited("first", 0)], True),
    ],
)
def test_depends_on(condition: str, facts: list[AnyFact], starts: bool) -> None:
    """The dependent starts when the condition holds, not before; its image is pulled meanwhile."""
    s = Script(task_of(container("first", essential=False), container("app", depends=[("first", condition)])))
    s.begun().told(r.EniAllocated(eni=ENI)).begun().told(r.NetworkReady(), pulled("first"), pulled("app"))
    assert s.effects == ["StartContainer first"]
    s.begun().told(*facts)
    assert ("StartContainer app" in s.effects) is starts


def test_dependency_that_can_not_be_met() -> None:
    """SUCCESS after another exit code ends the task in the words of AWS's agent; what never ran has no exit code."""
    s = Script(task_of(container("first", essential=False), container("app", depends=[("first", "SUCCESS")])))
    s.begun().told(r.EniAllocated(eni=ENI)).begun().told(r.NetworkReady(), pulled("first")).begun()
    s.told(started("first"), exited("first", 1))
    assert s.task.stop is not None
    assert s.task.stop.code is StopCode.TASK_FAILED_TO_START
    assert s.task.stop.reason == (
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
        "[first(first:1) (STOPPED->RUNNING) - Exit: 1] for target [app(app:1) (NONE->RUNNING)] "
        "as dependency did not exit successfully"
    )
    assert s.task.history[1].exit is not None
    assert s.task.history[1].exit.code is None


def test_a_container_that_runs_has_no_unmet_dependency() -> None:
    """A container found running, of whose start nothing is known, is not ended for a dependency that failed before."""
    script = Script(task_of(container("setup", essential=False), container("app", depends=[("setup", "SUCCESS")])))
    task = machine.observe(script.task, r.ContainerStarted(container="app", pid=1), now=script.now)
    for fact in (r.StartIssued(container="setup"), r.ContainerExited(container="setup", exit_code=1)):
        task = machine.observe(task, fact, now=script.now)
    assert task.stop is None
    assert task.history[1].exit is None


def test_a_dependency_that_takes_too_long() -> None:
    """startTimeout limits the wait for a dependency's end, from its start on; then the task fails in AWS's words."""
    first = replace(container("setup", essential=False), start_timeout_s=20)
    script = Script(task_of(first, container("app", depends=[("setup", "SUCCESS")]), awsvpc=False))
    script.begun().told(pulled("setup"), pulled("app")).begun().told(r.ContainerStarted(container="setup", pid=1))
    given_up_at = script.now + timedelta(seconds=20)
    plan = machine.plan(script.task, now=script.now)
    assert (plan.effects, plan.wake_at) == ((), given_up_at)
    assert machine.settle(script.task, now=given_up_at - timedelta(milliseconds=1)).stop is None
    failed = machine.settle(script.task, now=given_up_at)
    assert failed.stop is not None
    assert failed.stop.code is StopCode.TASK_FAILED_TO_START
    assert failed.stop.reason == (
        "CannotStartContainerError: dependency graph: container ordering dependency [setup(setup:1) (RUNNING->RUNNING)]"
        " for target [app(app:1) (NONE->RUNNING)] has timed out."
    )


def test_stop_in_reverse_order() -> None:
    """Those that depend on a container end before it is signalled."""
    s = running(container("db"), container("app", depends=[("db", "START")])).stopped()
    assert s.effects == ["SignalContainer app"]
    s.told(r.ContainerSignalled(container="app"), exited("app", 143))
    assert s.effects == ["RemoveContainer app", "SignalContainer db"]


def test_the_first_stop_counts() -> None:
    """A later stop changes neither code nor reason."""
    s = running(container("app")).stopped("first").stopped("second", StopCode.SERVICE_SCHEDULER_INITIATED)
    s.told(exited("app", 0))
    assert s.task.stop is not None
    assert (s.task.stop.code, s.task.stop.reason) == (StopCode.USER_INITIATED, "first")


def test_a_passing_failure_waits_longer_each_time() -> None:
    """The failed effect is planned again at `retry_at`, then with growing delay; an answer forgets the failures."""
    s = running(container("app")).stopped().told(exited("app", 0))
    waits = []
    for _ in range(9):
        failed = r.EffectFailed(effect="RemoveContainer", effect_key="container/app", reason="busy", retry_at=s.now)
        s.told(failed)
        assert s.effects == []
        wake_at = machine.plan(s.task, now=s.now).wake_at
        assert wake_at is not None
        waits.append((wake_at - s.now).total_seconds())
        s.now = wake_at
        assert s.effects == ["RemoveContainer app"]
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert s.told(r.ContainerRemoved(container="app")).task.retries == ()


def test_a_start_that_keeps_failing_is_given_up() -> None:
    """After eight passing failures the cause becomes the reason of the stop."""
    s = Script(task_of(container("app"))).begun().told(r.EniAllocated(eni=ENI)).begun()
    for _ in range(machine.START_ATTEMPTS):
        assert s.task.stop is None
        s.told(r.EffectFailed(effect="PullImage", effect_key="container/app", reason="timeout", retry_at=s.now))
    assert s.task.stop is not None
    assert s.task.stop.reason == "CannotPullContainerError: timeout"
    assert s.task.stop.code is StopCode.TASK_FAILED_TO_START


def test_the_version_counts_what_is_visible() -> None:
    """An intent is not visible in DescribeTasks, a status is."""
    s = Script(task_of(container("app"))).begun()
    assert s.task.version == 1
    s.told(r.EniAllocated(eni=ENI))
    assert s.task.version == 2


def test_the_story_is_bounded() -> None:
    """The last 200 moments are kept, the newest last."""
    s = running(container("app")).stopped()
    for _ in range(300):
        s.told(r.KillIssued(container="app"))
    assert len(s.task.story) == 200
    assert s.task.story[-1].what == "KillIssued"


def test_no_network_asked_for() -> None:
    """Without awsvpc there is no ENI and no network: the image comes first."""
    s = Script(task_of(container("app"), awsvpc=False))
    assert s.effects == ["PullImage app"]
    s.begun().told(pulled("app")).begun().told(started("app"))
    assert s.status == "RUNNING"
    assert s.task.connectivity_at is not None
    s.stopped().told(exited("app", 0), r.ContainerRemoved(container="app"))
    assert s.status == "STOPPED"


def test_the_diagram_is_ordered() -> None:
    """No step of the life cycle leads back."""
    assert all(before < after for before, after, _ in machine.TRANSITIONS)


def test_the_page_shows_the_diagram() -> None:
    """The state diagram in the architecture page is that of the code."""
    page = (Path(__file__).parents[3] / "docs/architecture/task.md").read_text()
    shown = re.findall(r"^    ([A-Z]+) --> ([A-Z]+): (.+)$", page, re.MULTILINE)
    assert shown == [(before.name, after.name, cause) for before, after, cause in machine.TRANSITIONS]


def lost(name: str, lines: int) -> r.ContainerOutputLost:
    return r.ContainerOutputLost(container=name, lost=r.LostOutput(lines=lines, size_bytes=10 * lines, since=EPOCH))


def test_output_that_is_lost_is_told_once() -> None:
    """Of each container the latest number, which never falls, and one line of the story; no version for it."""
    task = task_of(container("a"), container("b"))
    told = Script(task).told(lost("a", 5), lost("b", 1), lost("a", 7), lost("a", 6)).task
    assert [each.lost_output.lines for each in told.history if each.lost_output is not None] == [7, 1]
    details = [each.detail for each in told.story if each.what == "ContainerOutputLost"]
    assert details == ["b 1 lines, 10 bytes", "a 7 lines, 70 bytes"]
    assert told.version == task.version


NAMES = st.sampled_from(["a", "b", "c"])
ANY_FACT: st.SearchStrategy[AnyFact] = st.one_of(
    st.sampled_from(
        [
            r.EniAsked(),
            r.EniAllocated(eni=ENI),
            r.NetworkIssued(),
            r.NetworkReady(),
            r.NetworkReleased(),
            r.VolumesReleased(),
            r.EniReleased(),
            r.TargetsIssued(),
            r.TargetsRegistered(),
            r.TargetsDrained(),
            r.StartFailed(reason="for good"),
        ]
    ),
    NAMES.flatmap(
        lambda name: st.sampled_from(
            [
                r.ImagePullStarted(container=name),
                pulled(name),
                r.StartIssued(container=name),
                started(name),
                r.StartFailed(container=name, reason="for good"),
                r.ContainerSignalled(container=name),
                r.KillIssued(container=name),
                r.ContainerKilled(container=name),
                exited(name, 0),
                exited(name, 1),
                exited(name, None),
                exited(name, 137, oom=True),
                r.ContainerRemoved(container=name),
                lost(name, 5),
                lost(name, 7),
                r.EffectFailed(effect="StartContainer", effect_key=f"container/{name}", reason="busy", retry_at=EPOCH),
            ]
        )
    ),
)
TASKS = st.builds(
    lambda e1, e2, c1, c2, targets, volumes: replace(
        task_of(
            container("a", essential=e1),
            container("b", essential=e2, depends=[("a", c1)] if c1 else []),
            container("c", depends=[("b", c2)] if c2 else []),
            targets=targets,
        ),
        volumes=volumes,
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "START", "COMPLETE", "SUCCESS"]),
    st.sampled_from([None, "START", "COMPLETE", "SUCCESS"]),
    st.booleans(),
    st.sampled_from([(), (Volume(name="data"),)]),
)


@settings(max_examples=300, deadline=None)
@given(TASKS, st.lists(ANY_FACT, max_size=40), st.integers(0, 40))
def test_any_facts_in_any_order(task: Task, facts: list[AnyFact], stop_at: int) -> None:
    """Facts in any order, late, repeated or made up, never make a status go back or forget what is known; told twice in
    a row, the second time changes nothing."""
    now = EPOCH
    for n, fact in enumerate(facts):
        now += timedelta(seconds=1)
        before = task
        if n == stop_at:
            task = machine.stop(task, code=StopCode.USER_INITIATED, reason="", at=now)
        task = machine.observe(task, fact, now=now)
        assert task.last_status >= before.last_status
        assert task.version >= before.version
        assert [each for each in invariant.of_step(before, task) if "no way leads" not in each] == []
        if not isinstance(fact, r.EffectFailed | r.KillIssued):
            assert machine.observe(task, fact, now=now + timedelta(seconds=1)) is task
        settled = machine.settle(task, now=now)
        assert machine.settle(settled, now=now) is settled


@settings(max_examples=300, deadline=None)
@given(TASKS, st.data())
def test_every_plan_is_safe_and_leads_to_the_end(task: Task, data: st.DataObject) -> None:
    """Whatever each planned effect answers, every plan keeps every rule, and a stopped task comes to its end."""
    script = Script(task)
    stop_at = data.draw(st.integers(0, 30))
    for n in range(200):
        if n == stop_at:
            script.stopped()
        plan = machine.plan(script.task, now=script.now)
        if script.task.last_status is TaskStatus.STOPPED:
            return
        if not plan.effects:
            if plan.wake_at is not None:
                script.now = max(script.now, plan.wake_at)
            elif script.task.stop is None:
                script.told(exited(next(h.name for h in script.task.history if h.started_at and not h.exit), 0))
            continue
        chosen = data.draw(st.sampled_from(plan.effects))
        if chosen.intent is not None:
            script.told(chosen.intent)
        script.told(data.draw(st.sampled_from(answers(chosen.effect))))
    pytest.fail(f"no end: {script.status} {script.effects}")


def answers(effect: r.Effect) -> list[AnyFact]:
    """What may come of an effect; the good answer first."""
    match effect:
        case r.AllocateEni():
            return [r.EniAllocated(eni=ENI), r.StartFailed(reason="no address")]
        case r.CreateNetwork():
            return [r.NetworkReady()]
        case r.ReleaseNetwork():
            return [r.NetworkReleased()]
        case r.ReleaseVolumes():
            return [r.VolumesReleased()]
        case r.ReleaseEni():
            return [r.EniReleased()]
        case r.RegisterTargets():
            return [r.TargetsRegistered()]
        case r.DrainTargets():
            return [r.TargetsDrained()]
        case r.PullImage(container=name):
            return [pulled(name), r.StartFailed(container=name, reason="not found")]
        case r.StartContainer(container=name):
            return [started(name), exited(name, 0), exited(name, 1), r.StartFailed(container=name, reason="no")]
        case r.SignalContainer(container=name):
            return [r.ContainerSignalled(container=name), exited(name, 143)]
        case r.KillContainer(container=name):
            return [exited(name, 137)]
        case r.RemoveContainer(container=name):
            return [r.ContainerRemoved(container=name)]


def test_a_task_is_held_to_its_deployments_digests() -> None:
    """Images are pulled by the digest that the deployment resolved, unless the container turns that off."""
    task = new_task(
        scope=SCOPE,
        cluster="default",
        task_id="t" * 32,
        attachment_id="a",
        runtime_ids=["r1", "r2", "r3"],
        definition=TaskDefinition(
            scope=SCOPE,
            family="web",
            revision=3,
            containers=(
                container("held"),
                replace(container("free"), version_consistency="disabled"),
                replace(container("new"), version_consistency="enabled"),
            ),
            network_mode="none",
            registered_at=EPOCH,
            registered_by="",
        ),
        launch_type="FARGATE",
        group="service:web",
        network=None,
        created_at=EPOCH,
        cause_id="deployment",
        image_digests={"held": "sha256:1", "free": "sha256:2"},
    )
    pulls = [each.effect for each in machine.plan(machine.settle(task, now=EPOCH), now=EPOCH).effects]
    assert [(each.container, each.digest) for each in pulls if isinstance(each, r.PullImage)] == [
        ("held", "sha256:1"),
        ("free", ""),
        ("new", ""),
    ]


def restarted(name: str, *, essential: bool = True, ignored: tuple[int, ...] = ()) -> ContainerDefinition:
    policy = RestartPolicy(enabled=True, ignored_exit_codes=ignored, attempt_period_s=60)
    return replace(container(name, essential=essential), restart_policy=policy)


def test_a_restart_keeps_the_task_running() -> None:
    """An essential container that ran for the attempt period is started again; its end is not the task's. Late news of
    the run before change nothing."""
    script = running(restarted("app")).later(60).told(exited("app", 3))
    assert (script.status, script.effects) == ("RUNNING", ["StartContainer app"])
    (planned,) = machine.plan(script.task, now=script.now).effects
    assert isinstance(planned.effect, r.StartContainer)
    assert (planned.effect.restart, planned.intent) == (1, r.StartIssued(container="app", restart=1))
    script.begun().told(r.ContainerExited(container="app", exit_code=3, restart=0))
    script.told(r.ContainerStarted(container="app", pid=8, restart=1))
    assert (script.status, script.effects, script.task.history[0].restarts) == ("RUNNING", [], 1)
    script.told(r.ContainerExited(container="app", exit_code=3, restart=1))
    assert script.task.stop is not None  # it had not run for the attempt period again
    assert script.task.stop.code is StopCode.ESSENTIAL_CONTAINER_EXITED


@pytest.mark.parametrize(("ran_s", "code", "policy"), [(50, 1, True), (60, 0, True), (60, None, True), (60, 1, False)])
def test_what_is_not_restarted(ran_s: int, code: int | None, policy: bool) -> None:
    """A run shorter than the attempt period, an ignored exit code, an end nobody saw, a policy that is not enabled."""
    app = restarted("app", ignored=(0,))
    app = replace(app, restart_policy=RestartPolicy(enabled=policy, ignored_exit_codes=(0,), attempt_period_s=60))
    script = running(app).later(ran_s).told(exited("app", code))
    assert script.task.stop is not None
    assert script.task.history[0].restarts == 0


def test_a_task_that_ends_restarts_nothing() -> None:
    """A container that is down when its task is stopped, or whose restart is under way, is removed and has ended."""
    down = running(restarted("app")).later(60).told(exited("app", 3)).stopped()
    issued = running(restarted("app")).later(60).told(exited("app", 3)).begun().stopped()
    for script in (down, issued):
        assert (script.status, script.effects) == ("STOPPING", ["RemoveContainer app"])
        script.told(r.ContainerRemoved(container="app"))
        assert script.task.history[0].exit is not None
        assert script.task.history[0].exit.code == 3


def test_a_restart_that_fails_is_the_end() -> None:
    """A container that can not be started again has ended as it last did, for the reason given."""
    script = running(restarted("app")).later(60).told(exited("app", 3)).begun()
    script.told(r.StartFailed(container="app", reason="CannotStartContainerError: no"))
    ended = script.task.history[0].exit
    assert ended is not None
    assert (ended.code, ended.reason) == (3, "CannotStartContainerError: no")
    assert script.task.stop is not None
