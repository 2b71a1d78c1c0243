"""The pace of long timers on a real instance."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

DEAF = {"command": ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"], "stopTimeout": 120}


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance(PORTSIDE_PACE="600") as running:
        running.client("ecs").create_cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"])
        yield running


def command(portside: Instance, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "portside.cli", *words, "--data-dir", str(portside.settings.data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_long_timers_are_short(portside: Instance) -> None:
    """What would take an hour to bake and two minutes to be killed is over within the test, and status and service say
    why; a service's own tag goes before the setting."""
    ecs, cloudwatch = portside.client("ecs"), portside.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="errors",
        Namespace="app",
        MetricName="errors",
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=12,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    portside.register("app", DEAF)
    for name, tags in (("fast", []), ("slow", [{"key": "portside:pace", "value": "1"}])):
        ecs.create_service(
            serviceName=name,
            taskDefinition="app",
            desiredCount=1,
            capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
            networkConfiguration=portside.network(),
            deploymentConfiguration={"alarms": {"alarmNames": ["errors"], "enable": True, "rollback": False}},
            tags=tags,
        )

    def state(name: str) -> str:
        return str(ecs.describe_services(services=[name])["services"][0]["deployments"][0]["rolloutState"])

    wait_for(lambda: state("fast") == "COMPLETED", timeout_s=60, what="the end of the bake time")
    assert state("slow") == "IN_PROGRESS"
    wait_for(lambda: "alarms are watched a while longer" in command(portside, "why", "slow"), timeout_s=60, what="why")
    (task,) = ecs.list_tasks(serviceName="fast")["taskArns"]
    command(portside, "interrupt", task)
    ended = portside.wait_task(task, "STOPPED", timeout_s=60)
    assert (ended["stopCode"], ended["containers"][0]["exitCode"]) == ("SpotInterruption", 137)
    shown = command(portside, "status")
    assert "Pace: long timers run 600 times as fast as on AWS." in shown
    assert "Pace of slow: long timers run as on AWS." in shown
    assert "600 times as fast" in command(portside, "service", "fast", "--once")
    assert "times as fast" not in command(portside, "service", "slow", "--once")
