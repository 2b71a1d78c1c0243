"""Events of real tasks and services in a log group, tasks that events and schedules run, over kills of the daemon."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

GROUP = "/aws/events/all"
LOG = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}"
CLUSTER = f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/default"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/events"


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster()
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


def to_log(portside: Instance, name: str, pattern: dict[str, Any]) -> None:
    bridge = portside.client("events")
    bridge.put_rule(Name=name, EventPattern=json.dumps(pattern))
    bridge.put_targets(Rule=name, Targets=[{"Id": "log", "Arn": LOG}])


def told(portside: Instance, rule: str) -> list[dict[str, Any]]:
    logs = portside.client("logs")
    try:
        found = logs.get_log_events(logGroupName=GROUP, logStreamName=rule, startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [json.loads(each["message"]) for each in found]


def test_the_life_of_a_task(portside: Instance) -> None:
    """Each state once and in order, versions rising, as DescribeTasks has it in the end; other rules get nothing."""
    to_log(portside, "tasks", {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"]})
    to_log(portside, "others", {"source": ["aws.ecs"], "detail": {"lastStatus": ["NEVER"]}})
    portside.register("app", {"command": ["sh", "-c", "exit 3"]})
    arn = portside.run_task("app")
    portside.wait_task(arn, "STOPPED")

    def ended() -> list[dict[str, Any]] | None:
        events = told(portside, "tasks")
        return events if events and events[-1]["detail"]["lastStatus"] == "STOPPED" else None

    events = wait_for(ended, timeout_s=20, what="the last event")
    assert events is not None
    assert {(each["source"], each["account"], each["region"]) for each in events} == {("aws.ecs", ACCOUNT, "us-east-1")}
    assert [each["resources"] for each in events] == [[arn]] * len(events)
    versions = [each["detail"]["version"] for each in events]
    assert versions == sorted(set(versions))
    seen = list(dict.fromkeys(each["detail"]["lastStatus"] for each in events))
    assert seen[:3] == ["PROVISIONING", "PENDING", "ACTIVATING"] or "PROVISIONING" in seen
    last = events[-1]["detail"]
    assert (last["stopCode"], last["containers"][0]["exitCode"]) == ("EssentialContainerExited", 3)
    assert last["updatedAt"].endswith("Z")
    assert last["attachments"][0]["type"] == "eni"
    assert told(portside, "others") == []


def test_services_and_deployments(portside: Instance) -> None:
    """A service that becomes steady and is scaled: its actions and its deployment, by name."""
    to_log(portside, "services", {"detail-type": ["ECS Service Action", "ECS Deployment State Change"]})
    portside.register("app", {"command": ["sleep", "600"]})
    ecs = portside.client("ecs")
    service = ecs.create_service(
        serviceName="web",
        taskDefinition="app",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )["service"]["serviceArn"]

    def names() -> set[str]:
        return {each["detail"]["eventName"] for each in told(portside, "services")}

    wanted = {"SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_STEADY_STATE"}
    wait_for(lambda: wanted <= names(), timeout_s=40, what="the service's events")
    ecs.update_service(service="web", desiredCount=0)
    wait_for(lambda: "TASKS_STOPPED" in names(), timeout_s=20, what="the end of its task")
    assert "SERVICE_DESIRED_COUNT_UPDATED" not in names()  # that is told of counts that the scheduler updates
    assert {tuple(each["resources"]) for each in told(portside, "services")} == {(service,)}


def run_by(portside: Instance, target: str, **more: Any) -> dict[str, Any]:
    definition = portside.register("job", {"command": ["sh", "-c", "echo $WORD; exec sleep 600"]})
    parameters = {
        "TaskDefinitionArn": definition,
        "LaunchType": "FARGATE",
        "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": portside.subnets()}},
    }
    return {"Id": target, "Arn": CLUSTER, "RoleArn": ROLE, "EcsParameters": parameters, **more}


def test_an_event_runs_a_task_once(portside: Instance) -> None:
    """With what a template makes of the event as overrides; a daemon that is killed meanwhile runs it once, too."""
    bridge, ecs = portside.client("events"), portside.client("ecs")
    bridge.put_rule(Name="orders", EventPattern='{"source": ["shop"]}')
    override = '{"containerOverrides": [{"name": "main", "environment": [{"name": "WORD", "value": <word>}]}]}'
    template = {"InputPathsMap": {"word": "$.detail.word"}, "InputTemplate": override}
    bridge.put_targets(Rule="orders", Targets=[run_by(portside, "task", InputTransformer=template)])
    entry = {"Source": "shop", "DetailType": "order", "Detail": '{"word": "hello"}'}
    assert bridge.put_events(Entries=[entry])["FailedEntryCount"] == 0
    portside.kill()
    portside.start()
    portside.ready()

    def tasks() -> list[str] | None:
        return ecs.list_tasks(startedBy="events-rule/orders")["taskArns"] or None

    (arn,) = wait_for(tasks, timeout_s=30, what="the task") or []
    task = portside.wait_task(arn, "RUNNING")
    assert task["overrides"]["containerOverrides"][0]["environment"] == [{"name": "WORD", "value": "hello"}]
    assert tasks() == [arn]


def test_a_schedule_runs_tasks(portside: Instance) -> None:
    """Each minute of the clock one task, from the next one on."""
    bridge, ecs = portside.client("events"), portside.client("ecs")
    bridge.put_rule(Name="each", ScheduleExpression="cron(* * * * ? *)")
    bridge.put_targets(Rule="each", Targets=[run_by(portside, "task")])
    tasks = wait_for(
        lambda: ecs.list_tasks(startedBy="events-rule/each")["taskArns"] or None, timeout_s=90, what="the task"
    )
    bridge.disable_rule(Name="each")
    assert tasks is not None
    assert len(tasks) == 1
    portside.wait_task(tasks[0], "RUNNING")


def test_a_target_that_comes_later(portside: Instance) -> None:
    """What can not be delivered yet is kept over a kill of the daemon, and delivered when the target is there."""
    bridge = portside.client("events")
    bridge.put_rule(Name="late", EventPattern='{"source": ["shop"]}')
    bridge.put_targets(Rule="late", Targets=[{"Id": "log", "Arn": f"{LOG}-late:*"}])
    for number in range(3):
        bridge.put_events(Entries=[{"Source": "shop", "DetailType": "o", "Detail": json.dumps({"number": number})}])

    def told() -> bool:
        return any(each["kind"] == "event rule" and ": " in each["why"] for each in portside.problems())

    wait_for(told, timeout_s=30, what="why they wait, among the problems")
    portside.kill()
    portside.start()
    portside.ready()
    logs = portside.client("logs")
    logs.create_log_group(logGroupName=f"{GROUP}-late")

    def numbers() -> list[int] | None:
        try:
            found = logs.get_log_events(logGroupName=f"{GROUP}-late", logStreamName="late", startFromHead=True)
        except logs.exceptions.ResourceNotFoundException:
            return None
        return [json.loads(each["message"])["detail"]["number"] for each in found["events"]]

    assert wait_for(lambda: found if (found := numbers()) == [0, 1, 2] else None, timeout_s=60, what="the events")
