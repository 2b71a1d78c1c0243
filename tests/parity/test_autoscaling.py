"""Application Auto Scaling as boto3 and the aws command see it, and the loop that carries it out."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from served import ACCOUNT, REGION, Served, serving

from portside.api.autoscaling.service import autoscaling_service
from portside.control.autoscaling import AutoScalingLoop
from portside.control.clock import RandomIds, SystemClock
from portside.domain.alarm import Alarm, AlarmQuery
from portside.domain.metric import MetricName, Sample, dimensions_of, point_of
from portside.domain.record import Scope
from portside.domain.service.record import Service
from portside.domain.table import ALARM, SCALABLE_TARGET, SERVICE
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.telemetry.metric import SqliteMetricStore

SCOPE = Scope(account=ACCOUNT, region=REGION)
NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
PLACE = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/prod/web",
    "ScalableDimension": "ecs:service:DesiredCount",
}


class Clock(SystemClock):
    at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    service = Service(scope=SCOPE, cluster="prod", name="web", desired_count=2, created_at=NOW, created_by="test")
    store.transact(Put(SERVICE, service))
    return store


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    with serving([autoscaling_service(store, Clock(), RandomIds())]) as found:
        yield found


@pytest.fixture
def aas(served: Served) -> Any:
    return served.client("application-autoscaling")


def tracking(value: float = 50.0, **more: Any) -> dict[str, Any]:
    metric = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    return {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": value,
            "PredefinedMetricSpecification": metric,
            **more,
        },
    }


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_by_the_command(served: Served) -> None:
    """Register, put a policy, describe, deregister: as typed."""
    place = [
        *("--service-namespace", "ecs", "--resource-id", "service/prod/web"),
        *("--scalable-dimension", "ecs:service:DesiredCount"),
    ]
    command = "application-autoscaling"
    served.aws(command, "register-scalable-target", *place, "--min-capacity", "1", "--max-capacity", "4")
    configuration = (
        '{"TargetValue": 60, "PredefinedMetricSpecification": '
        '{"PredefinedMetricType": "ECSServiceAverageMemoryUtilization"}, "ScaleOutCooldown": 30}'
    )
    made = served.aws(
        *(command, "put-scaling-policy", *place, "--policy-name", "memory", "--policy-type", "TargetTrackingScaling"),
        *("--target-tracking-scaling-policy-configuration", configuration),
    )
    (policy,) = served.aws(command, "describe-scaling-policies", "--service-namespace", "ecs")["ScalingPolicies"]
    assert policy["PolicyARN"] == made["PolicyARN"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["ScaleOutCooldown"] == 30
    (target,) = served.aws(command, "describe-scalable-targets", "--service-namespace", "ecs")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    served.aws(command, "deregister-scalable-target", *place)
    assert served.aws(command, "describe-scalable-targets", "--service-namespace", "ecs")["ScalableTargets"] == []


def test_changes_keep_what_they_do_not_name(aas: Any) -> None:
    """Registering again, and putting a policy or an action again, change what is given alone."""
    aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4, Tags={"team": "red"})
    arn = aas.register_scalable_target(**PLACE, MaxCapacity=6, SuspendedState={"DynamicScalingInSuspended": True})[
        "ScalableTargetARN"
    ]
    (target,) = aas.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 6)
    assert target["SuspendedState"]["DynamicScalingInSuspended"]
    assert not target["SuspendedState"]["DynamicScalingOutSuspended"]
    assert aas.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "red"}
    action = {"ScheduledActionName": "night", "Schedule": "cron(0 22 * * ? *)", "Timezone": "Europe/Berlin"}
    aas.put_scheduled_action(**PLACE, **action, ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 0})
    aas.put_scheduled_action(**PLACE, ScheduledActionName="night", Schedule="cron(0 23 * * ? *)")
    (shown,) = aas.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"]
    assert (shown["Schedule"], shown["Timezone"]) == ("cron(0 23 * * ? *)", "Europe/Berlin")
    assert shown["ScalableTargetAction"] == {"MinCapacity": 0, "MaxCapacity": 0}
    aas.delete_scheduled_action(**PLACE, ScheduledActionName="night")
    assert code_of(aas.delete_scheduled_action, **PLACE, ScheduledActionName="night")[0] == "ObjectNotFoundException"


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("register_scalable_target", {"MinCapacity": 5, "MaxCapacity": 4}, "ValidationException"),
        ("register_scalable_target", {"ResourceId": "service/prod/none"}, "ValidationException"),
        ("register_scalable_target", {"ResourceId": "web"}, "ValidationException"),
        ("put_scaling_policy", {"PolicyName": "p", **tracking(0.0)}, "ValidationException"),
        ("put_scaling_policy", {"PolicyName": "p", "PolicyType": "StepScaling"}, "ValidationException"),
        (
            "put_scaling_policy",
            {
                "PolicyName": "p",
                **tracking(PredefinedMetricSpecification={"PredefinedMetricType": "ALBRequestCountPerTarget"}),
            },
            "ValidationException",
        ),
        ("delete_scaling_policy", {"PolicyName": "none"}, "ObjectNotFoundException"),
        ("put_scheduled_action", {"ScheduledActionName": "a", "Schedule": "cron(1)"}, "ValidationException"),
        ("put_scheduled_action", {"ScheduledActionName": "a", "Schedule": "rate(1 day)"}, "ValidationException"),
        ("describe_scalable_targets", {"ServiceNamespace": "rds"}, "ValidationException"),
    ],
)
def test_refused(aas: Any, operation: str, params: dict[str, Any], code: str) -> None:
    """Each broken rule ends with AWS's code."""
    aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    place = {} if operation.startswith("describe") else PLACE
    assert code_of(getattr(aas, operation), **{**place, **params})[0] == code


def test_a_busy_service_is_scaled(aas: Any, store: MemoryStore, tmp_path: Path) -> None:
    """Three busy minutes: the service has more tasks, once, and an activity says why; after the cooldown again."""
    aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    aas.put_scaling_policy(**PLACE, PolicyName="cpu", **tracking())

    async def body() -> None:
        metrics, clock = SqliteMetricStore(tmp_path / "metrics.db"), Clock()
        metric = MetricName(
            namespace="AWS/ECS",
            name="CPUUtilization",
            dimensions=dimensions_of({"ClusterName": "prod", "ServiceName": "web"}),
        )
        minutes = [NOW.timestamp() - 60 * number for number in range(-10, 5)]
        samples = [Sample(metric=metric, at_s=at_s, point=point_of([(70.0, 2.0)], "Percent")) for at_s in minutes]
        await metrics.put(SCOPE, samples)
        loop = AutoScalingLoop(store, metrics, clock, RandomIds())
        (key,) = (SCALABLE_TARGET.key(each) for each in store.scan(SCALABLE_TARGET))
        counts = []
        for seconds in (0, 60, 240, 301):
            clock.at = NOW + timedelta(seconds=seconds)
            assert await loop._step(key) is not None
            counts.append(store.get(SERVICE, "000000000000/us-east-1/prod/web").desired_count)  # type: ignore[union-attr]
        assert counts == [3, 3, 3, 4]
        await metrics.close()

    asyncio.run(body())
    newest, oldest = aas.describe_scaling_activities(ServiceNamespace="ecs")["ScalingActivities"]
    assert oldest["Description"] == "Setting desired count to 3."
    assert "triggered policy cpu" in oldest["Cause"]
    assert newest["StatusMessage"] == "Successfully set desired count to 4. Change successfully fulfilled by ecs."


def test_an_alarm_scales_by_steps(aas: Any, store: MemoryStore, tmp_path: Path) -> None:
    """A step policy is shown as it was put, with the alarms that name it; while its alarm is in ALARM it is carried
    out, again after its cooldown."""
    aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=9)
    steps = [
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 20.0, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 20.0, "ScalingAdjustment": 3},
    ]
    configuration = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "Cooldown": 120}
    given = {"PolicyName": "steps", "StepScalingPolicyConfiguration": configuration}
    arn = aas.put_scaling_policy(**PLACE, **given)["PolicyARN"]
    metric = MetricName(namespace="app", name="queue")
    alarm = Alarm(
        scope=SCOPE,
        name="long",
        alarm_actions=(arn,),
        queries=(AlarmQuery(id="m1", metric=metric, statistic="Maximum", period_s=60),),
        threshold=100.0,
        state="ALARM",
        updated_at=NOW,
        state_at=NOW,
        transitioned_at=NOW,
    )
    store.transact(Put(ALARM, alarm))
    (shown,) = aas.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    assert shown["PolicyType"] == "StepScaling"
    assert shown["StepScalingPolicyConfiguration"] == configuration | {"MetricAggregationType": "Average"}
    assert [each["AlarmName"] for each in shown["Alarms"]] == ["long"]

    async def body() -> list[int]:
        metrics, clock = SqliteMetricStore(tmp_path / "metrics.db"), Clock()
        minutes = [NOW.timestamp() - 60 * number for number in range(-10, 5)]
        await metrics.put(SCOPE, [Sample(metric=metric, at_s=at_s, point=point_of([(130.0, 1.0)])) for at_s in minutes])
        loop = AutoScalingLoop(store, metrics, clock, RandomIds())
        (key,) = (SCALABLE_TARGET.key(each) for each in store.scan(SCALABLE_TARGET))
        counts = []
        for seconds in (0, 60, 180):
            clock.at = NOW + timedelta(seconds=seconds)
            assert await loop._step(key) is not None
            counts.append(store.get(SERVICE, "000000000000/us-east-1/prod/web").desired_count)  # type: ignore[union-attr]
        await metrics.close()
        return counts

    assert asyncio.run(body()) == [5, 5, 8]
    newest = aas.describe_scaling_activities(ServiceNamespace="ecs")["ScalingActivities"][0]
    assert newest["Cause"] == "monitor alarm long in state ALARM triggered policy steps"
    assert code_of(aas.put_scaling_policy, **PLACE, PolicyName="steps", **tracking())[0] == "ValidationException"
    aas.delete_scaling_policy(**PLACE, PolicyName="steps")
    assert aas.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"] == []


def test_a_schedule_is_kept(aas: Any, store: MemoryStore, tmp_path: Path) -> None:
    """At its time the bounds change, once, and the service is brought within them."""
    aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=9)
    action = {"ScheduledActionName": "noon", "Schedule": "at(2026-01-01T12:05:00)"}
    aas.put_scheduled_action(**PLACE, **action, ScalableTargetAction={"MinCapacity": 6})

    async def body() -> None:
        metrics, clock = SqliteMetricStore(tmp_path / "metrics.db"), Clock()
        loop = AutoScalingLoop(store, metrics, clock, RandomIds())
        (key,) = (SCALABLE_TARGET.key(each) for each in store.scan(SCALABLE_TARGET))
        assert await loop._step(key) == datetime(2026, 1, 1, 12, 5, tzinfo=UTC)
        clock.at = datetime(2026, 1, 1, 12, 5, tzinfo=UTC)
        assert await loop._step(key) is None
        await metrics.close()

    asyncio.run(body())
    (target,) = aas.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (6, 9)
    assert store.get(SERVICE, "000000000000/us-east-1/prod/web").desired_count == 6  # type: ignore[union-attr]
    (activity,) = aas.describe_scaling_activities(ServiceNamespace="ecs")["ScalingActivities"]
    assert activity["Cause"] == "minimum capacity was set to 6 by scheduled action noon"
