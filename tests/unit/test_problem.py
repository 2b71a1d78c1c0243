"""What is told to be wrong, with its cause and what to do."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from portside.api.portside.problem import document
from portside.cli.problem import render
from portside.domain.alarm import Alarm
from portside.domain.certificate import Certificate
from portside.domain.cluster import Cluster
from portside.domain.container_instance import ContainerInstance
from portside.domain.event_bridge import Delivery, RuleTarget
from portside.domain.instance import Instance, InstanceState
from portside.domain.load_balancer import LoadBalancer, Target, TargetGroup
from portside.domain.problem import of_balancer, of_certificate, of_delivery, of_notification
from portside.domain.record import Scope, replace
from portside.domain.table import ALARM, CLUSTER, CONTAINER_INSTANCE, INSTANCE, TASK
from portside.domain.task.record import (
    ContainerHistory,
    Exit,
    HealthStatus,
    LostOutput,
    Retry,
    Stop,
    StopCode,
    Task,
    TaskStatus,
)
from portside.domain.task_definition import ContainerDefinition, LogConfiguration
from portside.domain.topic import Notification
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.balancer_lab import Balancer, target

SCOPE = Scope(account="000000000000", region="eu-west-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def task(number: int, status: TaskStatus, **changes: Any) -> Task:
    return replace(
        Task(
            scope=SCOPE,
            cluster="shop",
            id=f"{number:032d}",
            task_definition_arn="arn",
            family="web",
            revision=1,
            group="family:web",
            launch_type="FARGATE",
            containers=(),
            created_at=NOW,
            cause_id="test",
            last_status=status,
        ),
        **changes,
    )


def ended(number: int, code: StopCode, exit_code: int | None) -> Task:
    history = ContainerHistory(name="main", runtime_id="r", exit=Exit(code=exit_code, at=NOW))
    at = NOW + timedelta(seconds=number)
    return task(
        number,
        TaskStatus.STOPPED,
        stop=Stop(code=code, reason="Essential container in task exited", at=at),
        started_at=NOW,
        stopped_at=at,
        history=(history,),
    )


def instance(own_id: str, cluster: str, **changes: Any) -> Instance:
    user_data = base64.b64encode(f"#!/bin/sh\necho ECS_CLUSTER={cluster} >> /etc/ecs/ecs.config\n".encode()).decode()
    made = Instance(
        scope=SCOPE,
        id=own_id,
        reservation_id="r-1",
        image_id="ami-1",
        instance_type="t3.small",
        eni_id="eni-1",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone="eu-west-1a",
        address="10.0.0.4",
        launched_at=NOW,
        state=InstanceState.RUNNING,
        user_data=user_data,
    )
    return replace(made, **changes)


def told(*writes: Put, **more: Any) -> list[dict[str, Any]]:
    store = MemoryStore()
    if writes:
        store.transact(*writes)
    found: list[dict[str, Any]] = document(store, Clock(), **more)["problems"]
    return found


def test_nothing_is_wrong() -> None:
    """Without problems there is an empty list, and the command says so."""
    assert told() == []
    assert [str(line) for line in render({"problems": []})] == ["Nothing is wrong."]


def test_a_port_of_a_load_balancer_that_something_else_has() -> None:
    """Nothing else says why its name leads to another program."""
    (only,) = told(taken=[("127.0.0.1", 8080)])
    assert (only["severity"], only["kind"]) == ("warning", "machine")
    assert only["what"] == "127.0.0.1:8080 is taken by another program"
    assert "sport = :8080" in only["mend"]


def test_failed_tasks_of_a_family_are_one_problem() -> None:
    """With the last one's reason. What was asked to stop and what ended with 0 has not failed; a service's tasks are
    told of with their service."""
    found = told(
        Put(TASK, ended(1, StopCode.ESSENTIAL_CONTAINER_EXITED, 1)),
        Put(TASK, ended(2, StopCode.ESSENTIAL_CONTAINER_EXITED, 7)),
        Put(TASK, ended(3, StopCode.USER_INITIATED, 137)),
        Put(TASK, ended(4, StopCode.ESSENTIAL_CONTAINER_EXITED, 0)),
        Put(TASK, replace(ended(5, StopCode.ESSENTIAL_CONTAINER_EXITED, 1), service="web")),
    )
    (only,) = found
    assert (only["severity"], only["kind"], only["region"], only["cluster"]) == ("warning", "task", "eu-west-1", "shop")
    assert only["what"] == "2 tasks of web failed"
    assert only["name"] == f"{2:032d}"
    assert "main exited with 7" in only["why"]
    assert only["since"] == "2026-01-01T00:00:02+00:00"
    assert only["mend"]


def test_what_can_not_start_and_what_is_unhealthy() -> None:
    """These do not work: they come before what should only be looked at."""
    retry = Retry(effect="PullImage", key="main", attempts=3, not_before=NOW)
    sick = ContainerHistory(name="main", runtime_id="r", health=HealthStatus.UNHEALTHY)
    found = told(
        Put(TASK, ended(1, StopCode.TASK_FAILED_TO_START, None)),
        Put(TASK, task(2, TaskStatus.PENDING, retries=(retry,))),
        Put(TASK, task(3, TaskStatus.RUNNING, history=(sick,))),
        Put(TASK, task(4, TaskStatus.RUNNING)),
        machine=["the disk of the data directory is 95 % full"],
        balancer="Envoy does not run",
    )
    assert [(each["severity"], each["kind"]) for each in found] == [
        ("error", "machine"),
        ("error", "task"),
        ("error", "task"),
        ("warning", "machine"),
        ("warning", "task"),
    ]
    assert "failed 3 times" in found[1]["why"]
    assert "is unhealthy" in found[2]["what"]
    assert found[3]["what"] == "The disk of the data directory is 95 % full"
    lines = [str(line) for line in render({"problems": found})]
    assert lines[0].startswith("Envoy does not run")
    assert lines[1].startswith("  → ")


def test_output_that_was_given_up() -> None:
    """A warning for each container that lost some, of a service's tasks and of those that have ended, too: how much,
    since when, of which buffer."""
    options = {"mode": "non-blocking", "max-buffer-size": "25m"}
    containers = (
        ContainerDefinition(name="app", image="i", log=LogConfiguration(driver="awslogs", options=options)),
        ContainerDefinition(name="side", image="i", log=LogConfiguration(driver="awslogs", options={})),
        ContainerDefinition(name="calm", image="i"),
    )

    def history(name: str, lines: int) -> ContainerHistory:
        lost = LostOutput(lines=lines, size_bytes=10 * lines, since=NOW) if lines else None
        return ContainerHistory(name=name, runtime_id=name, lost_output=lost)

    running = (history("app", 12_345), history("side", 0), history("calm", 0))
    over = (history("side", 1),)
    found = told(
        Put(TASK, task(1, TaskStatus.RUNNING, containers=containers, history=running, service="web")),
        Put(TASK, replace(ended(2, StopCode.USER_INITIATED, 0), containers=containers, history=over)),
    )
    app, side = found
    assert {(each["severity"], each["kind"]) for each in found} == {("warning", "task")}
    assert app["why"] == (
        "Of the output of app 12,345 lines (123,450 bytes) were given up since 2026-01-01 00:00:00 UTC: the log store "
        "took nothing, and the buffer (mode non-blocking, 25m) was full."
    )
    assert side["what"].startswith("Output of side in task")
    assert "side 1 line (10 bytes) was given up" in side["why"]
    assert "non-blocking, 10m" in side["why"]
    assert side["since"] == NOW.isoformat()
    assert "max-buffer-size" in side["mend"]


def test_alarms_and_instances() -> None:
    """An alarm in ALARM, by the reason of its state; an instance whose agent is gone."""
    alarm = Alarm(
        scope=SCOPE,
        name="busy",
        state="ALARM",
        reason="Threshold Crossed",
        updated_at=NOW,
        state_at=NOW,
        transitioned_at=NOW,
    )
    instance = ContainerInstance(
        scope=SCOPE,
        cluster="shop",
        id="1",
        instance_id="i-1",
        instance_type="t3.small",
        cpu_units=2048,
        memory_mib=1900,
        interfaces=3,
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        zone="eu-west-1a",
        address="10.0.0.1",
        private_dns_name="ip-10-0-0-1",
        agent_connected=False,
        registered_at=NOW,
    )
    found = told(
        Put(ALARM, alarm),
        Put(ALARM, replace(alarm, name="calm", state="OK")),
        Put(CONTAINER_INSTANCE, instance),
        Put(CONTAINER_INSTANCE, replace(instance, id="2", instance_id="i-2", agent_connected=True)),
    )
    assert [(each["kind"], each["name"]) for each in found] == [("container instance", "i-1"), ("alarm", "busy")]
    assert found[1]["why"] == "Threshold Crossed"


def test_an_instance_that_waits_for_a_cluster_which_is_not_there() -> None:
    """It is told with the name that it waits for; one that has joined, that names none or that does not run is not."""
    waiting, joined = instance("i-1", "shpo"), instance("i-2", "shpo", registered=True)
    named_none, stopped = instance("i-3", "default"), instance("i-4", "shpo", state=InstanceState.STOPPED)
    (found,) = told(*(Put(INSTANCE, each) for each in (waiting, joined, named_none, stopped)))
    assert (found["name"], found["cluster"], found["severity"]) == ("i-1", "shpo", "error")
    assert "shpo" in found["why"]
    there = Cluster(scope=SCOPE, name="shpo", created_at=NOW)
    assert told(Put(INSTANCE, waiting), Put(CLUSTER, there)) == []


def test_targets_that_get_nothing() -> None:
    """Those in zones that their load balancer does not have are told of, with what to do; those that wait are not."""
    group = TargetGroup(scope=SCOPE, arn="g", name="web", created_at=NOW)
    apart = target(group, "10.0.0.1", failure_code="Target.NotInUse", failure_detail="Its zone is not enabled")
    (only,) = of_balancer(Balancer("site", "/netns").record, [(group, [apart, target(group, "10.0.0.2")])])
    assert (only.severity, only.what) == ("warning", "1 of 2 targets of web are unused")
    assert "Its zone" in only.why
    assert "set-subnets" in only.mend


def test_targets_of_a_load_balancer() -> None:
    """Some that are unhealthy are to be looked at, all of them are an error; those that drain do not count."""
    balancer = LoadBalancer(
        scope=SCOPE, arn="arn:lb", name="edge", dns_name="edge.localhost", vpc_id="vpc-1", zones=(), created_at=NOW
    )
    group = TargetGroup(scope=SCOPE, arn="arn:group", name="fronts", created_at=NOW)

    def registered(number: int, **changes: Any) -> Target:
        address = f"10.0.0.{number}"
        made = Target(scope=SCOPE, target_group_arn="arn:group", id=address, port=80, registered_at=NOW)
        return replace(made, **changes)

    sick = registered(1, checked="unhealthy", failure_detail="Health checks failed with these codes: [503]")
    (some,) = of_balancer(balancer, [(group, [sick, registered(2, checked="healthy")])])
    assert (some.severity, some.what) == ("warning", "1 of 2 targets of fronts are unhealthy")
    assert some.why == "10.0.0.1:80: Health checks failed with these codes: [503]"
    gone = registered(2, checked="healthy", deregistered_at=NOW)
    (all_,) = of_balancer(balancer, [(group, [sick, gone])])
    assert (all_.severity, all_.what) == ("error", "1 of 1 targets of fronts are unhealthy")
    assert not list(of_balancer(balancer, [(group, [registered(2), gone])]))
    (failed,) = of_balancer(replace(balancer, state="failed", state_reason="no address"), [])
    assert (failed.severity, failed.why) == ("error", "no address")


def test_what_is_not_delivered() -> None:
    """Events and messages that were not taken; the first try is no problem."""
    delivery = Delivery(
        scope=SCOPE,
        id="1",
        rule="nightly",
        target=RuleTarget(id="t", arn="arn:aws:ecs:eu-west-1:000000000000:cluster/shop"),
        payload="{}",
        event_at=NOW,
    )
    assert of_delivery(delivery) is None
    found = of_delivery(replace(delivery, attempts=2, failure="Cluster not found."))
    assert found is not None
    assert "nightly" in found.what
    assert found.why.endswith("cluster/shop did not take it, 2 times by now: Cluster not found.")
    message = Notification(
        scope=SCOPE, id="1", topic="cooks", subscription="s", message_id="m", message="hello", at=NOW
    )
    assert of_notification(message, "http://127.0.0.1:1/") is None
    undelivered = of_notification(replace(message, attempts=3), "http://127.0.0.1:1/")
    assert undelivered is not None
    assert undelivered.why == "http://127.0.0.1:1/ did not take it, 3 times by now."
    once = of_notification(replace(message, attempts=1, failure="Connection refused"), "http://127.0.0.1:1/")
    assert once is not None
    assert once.why == "http://127.0.0.1:1/ did not take it: Connection refused."


def test_certificates_that_expire() -> None:
    """Thirty days before, and afterwards."""
    certificate = Certificate(
        scope=SCOPE,
        arn="arn:certificate",
        type="IMPORTED",
        domain_name="shop.example",
        names=(),
        pem="",
        sealed_key=b"",
        serial="",
        subject="",
        issuer="",
        not_before=NOW,
        not_after=NOW,
        key_algorithm="",
        signature_algorithm="",
        created_at=NOW,
    )
    assert of_certificate(certificate, now=NOW - timedelta(days=31)) is None
    soon = of_certificate(certificate, now=NOW - timedelta(days=29))
    over = of_certificate(certificate, now=NOW)
    assert soon is not None
    assert over is not None
    assert (soon.severity, over.severity) == ("warning", "error")
    assert "arn:certificate" in over.mend
