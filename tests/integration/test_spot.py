"""FARGATE_SPOT with real containers: an interruption is a notice, SIGTERM, an end in AWS's words, and a replacement."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, Instance, instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration

GROUP = "/aws/events/spot"
INTERRUPTED = {"stopCode": ["SpotInterruption"]}
SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
UNTIL_TERM = {
    "command": ["sh", "-c", "trap 'echo bye; exit 7' TERM; while true; do sleep 0.1; done"],
    "stopTimeout": 60,
}


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"])
        yield running


def interrupt(portside: Instance, task: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portside.cli", "interrupt", task, "--data-dir", str(portside.settings.data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(portside: Instance) -> list[dict[str, Any]]:
    logs = portside.client("logs")
    try:
        found = logs.get_log_events(logGroupName=GROUP, logStreamName="spot", startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [json.loads(each["message"])["detail"] for each in found]


def test_an_interruption(portside: Instance) -> None:
    """The event comes while the task runs, its process has SIGTERM and ends as it likes; others are not interrupted."""
    portside.client("logs").create_log_group(logGroupName=GROUP)
    bridge = portside.client("events")
    bridge.put_rule(Name="spot", EventPattern=json.dumps({"source": ["aws.ecs"], "detail": INTERRUPTED}))
    target = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}"
    bridge.put_targets(Rule="spot", Targets=[{"Id": "log", "Arn": target}])
    portside.register("app", UNTIL_TERM)
    answer = portside.client("ecs").run_task(
        taskDefinition="app", capacityProviderStrategy=SPOT, networkConfiguration=portside.network()
    )
    (task,) = answer["tasks"]
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    portside.wait_task(task["taskArn"], "RUNNING")
    done = interrupt(portside, task["taskArn"])
    assert done.returncode == 0, done.stderr
    ended = portside.wait_task(task["taskArn"], "STOPPED", timeout_s=60)
    assert (ended["stopCode"], ended["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
    assert ended["containers"][0]["exitCode"] == 7
    events = wait_for(
        lambda: found if (found := told(portside)) and found[-1]["lastStatus"] == "STOPPED" else None,
        timeout_s=30,
        what="the last event",
    )
    assert events is not None
    versions = [each["version"] for each in events]
    assert versions == sorted(versions)
    first = events[0]
    assert (first["lastStatus"], first["desiredStatus"]) == ("RUNNING", "STOPPED")
    assert (first["stoppedReason"], first["capacityProviderName"]) == (
        "Your Spot Task was interrupted.",
        "FARGATE_SPOT",
    )
    again = interrupt(portside, task["taskArn"])
    assert again.returncode == 1
    assert "is stopped or about to be" in again.stderr
    plain = portside.run_task("app")
    refused = interrupt(portside, plain)
    assert refused.returncode == 1
    assert "only tasks on FARGATE_SPOT are interrupted" in refused.stderr


def test_a_service_keeps_its_mix(portside: Instance) -> None:
    """Tasks by base and weight; an interrupted one is replaced on FARGATE_SPOT, also if the daemon is killed then."""
    portside.register("app", UNTIL_TERM)
    ecs = portside.client("ecs")
    ecs.create_service(
        serviceName="web",
        taskDefinition="app",
        desiredCount=3,
        capacityProviderStrategy=[{"capacityProvider": "FARGATE", "base": 1, "weight": 0}, *SPOT],
        networkConfiguration=portside.network(),
    )

    def running(without: str = "") -> list[dict[str, Any]] | None:
        arns = ecs.list_tasks(serviceName="web")["taskArns"]
        tasks = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        there = [each for each in tasks if each["lastStatus"] == "RUNNING" and each["desiredStatus"] == "RUNNING"]
        return there if len(there) == 3 and all(each["taskArn"] != without for each in there) else None

    tasks = wait_for(running, timeout_s=60, what="three tasks")
    assert tasks is not None
    mix = Counter(each["capacityProviderName"] for each in tasks)
    assert mix == {"FARGATE": 1, "FARGATE_SPOT": 2}
    victim = next(each["taskArn"] for each in tasks if each["capacityProviderName"] == "FARGATE_SPOT")
    assert interrupt(portside, victim).returncode == 0
    portside.kill()
    portside.start()
    portside.ready()
    after = wait_for(lambda: running(without=victim), timeout_s=60, what="the replacement")
    assert after is not None
    assert Counter(each["capacityProviderName"] for each in after) == mix
    ended = portside.wait_task(victim, "STOPPED", timeout_s=60)
    assert (ended["stopCode"], ended["containers"][0]["exitCode"]) == ("SpotInterruption", 7)


def test_behind_a_load_balancer(portside: Instance) -> None:
    """An interrupted task is a target no more while it ends in its own time, and another one answers in its place."""
    elb, ec2, ecs = portside.client("elbv2"), portside.client("ec2"), portside.client("ecs")
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=portside.vpc())["GroupId"]
    everyone = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everyone)
    targets = elb.create_target_group(
        Name="web",
        Protocol="HTTP",
        Port=80,
        VpcId=portside.vpc(),
        TargetType="ip",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    balancer = elb.create_load_balancer(Name="web", Subnets=portside.subnets(), SecurityGroups=[group])
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=free_port(),
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
    )
    # Goes on for a while after SIGTERM.
    serve = (
        "echo up > /tmp/index.html; httpd -p 80 -h /tmp; trap 'sleep 3; exit 7' TERM; while true; do sleep 0.1; done"
    )
    web = {"command": ["sh", "-c", serve], "portMappings": [{"containerPort": 80}], "stopTimeout": 60}
    portside.register("web", web)
    ecs.create_service(
        serviceName="web",
        taskDefinition="web",
        desiredCount=1,
        capacityProviderStrategy=SPOT,
        loadBalancers=[{"targetGroupArn": targets, "containerName": "main", "containerPort": 80}],
        networkConfiguration=portside.network(group),
    )

    def in_state(state: str) -> set[str]:
        found = elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in found if each["TargetHealth"]["State"] == state}

    (address,) = wait_for(lambda: in_state("healthy"), timeout_s=60, what="a healthy target") or set()
    (victim,) = ecs.list_tasks(serviceName="web")["taskArns"]
    assert interrupt(portside, victim).returncode == 0
    task = portside.task(victim)
    assert (task["desiredStatus"], task["stopCode"]) == ("STOPPED", "SpotInterruption")
    wait_for(lambda: address not in in_state("healthy"), timeout_s=10, what="the target's end")
    wait_for(lambda: in_state("healthy"), timeout_s=60, what="another target")
    ended = portside.wait_task(victim, "STOPPED", timeout_s=60)
    assert ended["containers"][0]["exitCode"] == 7
    assert ecs.describe_services(services=["web"])["services"][0]["deployments"][0]["failedTasks"] == 0
