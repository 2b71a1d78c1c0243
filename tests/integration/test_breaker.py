"""A bad revision on real containers: given up at the documented count, and the good one is back, without a pause."""

from collections.abc import Iterator
from typing import Any

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        yield running


def test_rolled_back(portside: Instance) -> None:
    """An image that does not exist fails three times; then the good revision is PRIMARY again, its task never stopped,
    and the history says so."""
    ecs = portside.client("ecs")
    good = portside.register("app", {"command": ["sleep", "600"]})
    bad = portside.register("app", {"image": "localhost/portside-there-is-none:1"})
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    ecs.create_service(
        serviceName="app",
        taskDefinition=good,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
        deploymentConfiguration=breaker,
    )

    def state() -> str:
        (deployment,) = ecs.describe_services(services=["app"])["services"][0]["deployments"]
        return str(deployment["rolloutState"])

    wait_for(lambda: state() == "COMPLETED", timeout_s=30, what="the good deployment")
    (task,) = ecs.list_tasks(serviceName="app")["taskArns"]
    ecs.update_service(service="app", taskDefinition=bad)

    def ended() -> bool:
        newest = ecs.list_service_deployments(service="app")["serviceDeployments"][0]
        return newest["status"] == "ROLLBACK_SUCCESSFUL"

    wait_for(ended, timeout_s=60, what="the end of the rollback")
    (shown,) = ecs.describe_services(services=["app"])["services"]
    assert shown["taskDefinition"] == good
    assert [each["rolloutState"] for each in shown["deployments"]] == ["COMPLETED"]
    assert ecs.list_tasks(serviceName="app")["taskArns"] == [task]
    arn = ecs.list_service_deployments(service="app")["serviceDeployments"][0]["serviceDeploymentArn"]
    (told,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    assert told["deploymentCircuitBreaker"] == {"status": "TRIGGERED", "failureCount": 3, "threshold": 3}
    assert told["statusReason"] == "ECS deployment circuit breaker: tasks failed to start."
    messages = [each["message"] for each in shown["events"]]
    assert any("deployment failed: tasks failed to start." in each for each in messages)
    assert len(ecs.list_tasks(serviceName="app", desiredStatus="STOPPED")["taskArns"]) == 3


def test_an_alarm_rolls_back(portside: Instance) -> None:
    """An alarm that is set while a deployment is under way: the revision before is PRIMARY again, its task never
    stopped, and the history names the alarm."""
    ecs, cloudwatch = portside.client("ecs"), portside.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="errors",
        Namespace="app",
        MetricName="errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    good = portside.register("app", {"command": ["sleep", "600"]})
    # Never healthy, so that the deployment does not come to its end by itself.
    check = {"command": ["CMD", "false"], "interval": 5, "retries": 10}
    bad = portside.register("app", {"command": ["sleep", "600"], "healthCheck": check})
    ecs.create_service(
        serviceName="app",
        taskDefinition=good,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )

    def newest() -> dict[str, Any]:
        arn = ecs.list_service_deployments(service="app")["serviceDeployments"][0]["serviceDeploymentArn"]
        (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
        return dict(found)

    wait_for(lambda: newest()["status"] == "SUCCESSFUL", timeout_s=30, what="the good deployment")
    (task,) = ecs.list_tasks(serviceName="app")["taskArns"]
    ecs.update_service(
        service="app",
        taskDefinition=bad,
        deploymentConfiguration={"alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True}},
    )
    wait_for(lambda: len(ecs.list_tasks(serviceName="app")["taskArns"]) == 2, timeout_s=30, what="the new task")
    assert newest()["alarms"] == {"status": "MONITORING", "alarmNames": ["errors"], "triggeredAlarmNames": []}
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    wait_for(lambda: newest()["status"] == "ROLLBACK_SUCCESSFUL", timeout_s=60, what="the end of the rollback")
    assert newest()["alarms"]["status"] == "TRIGGERED"
    assert newest()["alarms"]["triggeredAlarmNames"] == ["errors"]
    (shown,) = ecs.describe_services(services=["app"])["services"]
    assert shown["taskDefinition"] == good
    assert ecs.list_tasks(serviceName="app")["taskArns"] == [task]
