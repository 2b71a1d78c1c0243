"""CloudWatch alarms as boto3 and the aws command see them, and the states that the loop gives them."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ACCOUNT, REGION, Served, serving

from portside.api.cloudwatch.service import cloudwatch_service
from portside.control.alarms import AlarmLoop
from portside.control.clock import RandomIds, SystemClock
from portside.domain.metric import MetricName, Sample, point_of
from portside.domain.record import Scope
from portside.domain.table import ALARM
from portside.store.memory import MemoryStore
from portside.telemetry.metric import SqliteMetricStore

SCOPE = Scope(account=ACCOUNT, region=REGION)
NOW = datetime(2026, 3, 1, 12, 0, 15, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "AlarmName": "busy",
    "MetricName": "load",
    "Namespace": "shop",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 50.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


class Clock(SystemClock):
    at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore, tmp_path: Path) -> Iterator[Served]:
    metrics = SqliteMetricStore(tmp_path / "served.db")
    with serving([cloudwatch_service(store, metrics, SystemClock(), RandomIds())]) as found:
        yield found


@pytest.fixture
def cw(served: Served) -> Any:
    return served.client("cloudwatch")


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def states(cw: Any) -> dict[str, str]:
    found = cw.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return {each["AlarmName"]: each["StateValue"] for each in found["MetricAlarms"] + found["CompositeAlarms"]}


def test_by_the_command(served: Served) -> None:
    """Put, described, set, its history told, waited for, deleted."""
    words = [f"--{name}" for name in ("alarm-name", "metric-name", "namespace", "statistic", "comparison-operator")]
    values = ["busy", "load", "shop", "Average", "GreaterThanThreshold"]
    given = [each for pair in zip(words, values, strict=True) for each in pair]
    numbers = ["--period", "60", "--evaluation-periods", "2", "--threshold", "50"]
    tags = ["--tags", "Key=team,Value=a", "--dimensions", "Name=Shop,Value=cart"]
    served.aws("cloudwatch", "put-metric-alarm", *given, *numbers, *tags)
    served.aws("cloudwatch", "wait", "alarm-exists", "--alarm-names", "busy")
    (alarm,) = served.aws("cloudwatch", "describe-alarms")["MetricAlarms"]
    assert alarm["AlarmArn"] == "arn:aws:cloudwatch:us-east-1:000000000000:alarm:busy"
    assert (alarm["StateValue"], alarm["StateReason"]) == ("INSUFFICIENT_DATA", "Unchecked: Initial alarm creation")
    assert alarm["Dimensions"] == [{"Name": "Shop", "Value": "cart"}]
    assert (alarm["Statistic"], alarm["Period"], alarm["ActionsEnabled"]) == ("Average", 60, True)
    reason = ["--state-value", "ALARM", "--state-reason", "a test"]
    served.aws("cloudwatch", "set-alarm-state", "--alarm-name", "busy", *reason)
    items = served.aws("cloudwatch", "describe-alarm-history", "--alarm-name", "busy")["AlarmHistoryItems"]
    assert [each["HistorySummary"] for each in items] == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "busy" created',
    ]
    assert json.loads(items[0]["HistoryData"])["newState"] == {"stateValue": "ALARM", "stateReason": "a test"}
    assert served.aws("cloudwatch", "list-tags-for-resource", "--resource-arn", alarm["AlarmArn"]) == {
        "Tags": [{"Key": "team", "Value": "a"}]
    }
    served.aws("cloudwatch", "delete-alarms", "--alarm-names", "busy")
    assert served.aws("cloudwatch", "describe-alarms")["MetricAlarms"] == []


def test_an_update_keeps_the_state(cw: Any) -> None:
    """Putting an alarm again changes its settings; state, reason and tags stay."""
    cw.put_metric_alarm(**PLAIN, Tags=[{"Key": "a", "Value": "1"}])
    cw.set_alarm_state(AlarmName="busy", StateValue="OK", StateReason="calm")
    cw.put_metric_alarm(**(PLAIN | {"Threshold": 70.0, "Statistic": "Maximum", "DatapointsToAlarm": 1}))
    (alarm,) = cw.describe_alarms()["MetricAlarms"]
    assert (alarm["StateValue"], alarm["StateReason"], alarm["Threshold"]) == ("OK", "calm", 70.0)
    assert (alarm["Statistic"], alarm["DatapointsToAlarm"]) == ("Maximum", 1)
    assert cw.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "a", "Value": "1"}]
    cw.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=[{"Key": "b", "Value": "2"}])
    cw.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=["a"])
    assert cw.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "b", "Value": "2"}]


def test_filters_and_pages(cw: Any) -> None:
    """By name, prefix, state, action and type, in pages; by metric; children and parents of composite alarms."""
    action = "arn:aws:sns:us-east-1:000000000000:people"
    for number in range(3):
        cw.put_metric_alarm(**(PLAIN | {"AlarmName": f"m{number}", "AlarmActions": [action] if number else []}))
    cw.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(m0) OR ALARM('m1')")
    cw.set_alarm_state(AlarmName="m2", StateValue="ALARM", StateReason="r")

    def names(**filters: Any) -> list[str]:
        found = cw.describe_alarms(**filters)
        return [each["AlarmName"] for each in found["MetricAlarms"] + found["CompositeAlarms"]]

    assert names() == ["m0", "m1", "m2"]
    assert names(AlarmTypes=["CompositeAlarm"]) == ["c"]
    assert names(AlarmNames=["m1", "none"]) == ["m1"]
    assert names(AlarmNamePrefix="m", StateValue="ALARM") == ["m2"]
    assert names(ActionPrefix="arn:aws:sns") == ["m1", "m2"]
    assert names(ChildrenOfAlarmName="c") == ["m0", "m1"]
    assert names(ParentsOfAlarmName="m1") == ["c"]
    pages = cw.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["MetricAlarms"]) for page in pages] == [2, 1]
    found = cw.describe_alarms_for_metric(MetricName="load", Namespace="shop")["MetricAlarms"]
    assert len(found) == 3
    assert cw.describe_alarms_for_metric(MetricName="load", Namespace="else")["MetricAlarms"] == []
    history = cw.describe_alarm_history(AlarmTypes=["CompositeAlarm"])["AlarmHistoryItems"]
    assert [each["AlarmName"] for each in history] == ["c"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Threshold": None}, "InvalidParameterCombination"),
        ({"EvaluationPeriods": None}, "InvalidParameterCombination"),
        ({"MetricName": None}, "InvalidParameterCombination"),
        ({"ExtendedStatistic": "p90"}, "InvalidParameterCombination"),
        ({"Statistic": None, "ExtendedStatistic": "p900"}, "InvalidParameterValue"),
        ({"Period": 45}, "InvalidParameterValue"),
        ({"DatapointsToAlarm": 3}, "InvalidParameterValue"),
        ({"TreatMissingData": "perhaps"}, "InvalidParameterValue"),
        ({"AlarmActions": ["people"]}, "ValidationError"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold", "ThresholdMetricId": "b"}, "ValidationError"),
        ({"ComparisonOperator": "Above"}, "ValidationError"),
        (
            {"Statistic": None, "MetricName": None, "Metrics": [{"Id": "e", "Expression": "a + 1"}]},
            "InvalidParameterValue",
        ),
        (
            {
                **dict.fromkeys(("Statistic", "MetricName", "Namespace", "Dimensions", "Period")),
                "Metrics": [{"Id": "e", "Expression": "SEARCH('{shop} load', 'Sum', 60)"}],
            },
            "InvalidParameterCombination",
        ),
    ],
)
def test_refused(cw: Any, changes: dict[str, Any], code: str) -> None:
    """Each broken rule ends with AWS's code, and no alarm is made."""
    params = {key: value for key, value in (PLAIN | changes).items() if value is not None}
    assert code_of(cw.put_metric_alarm, **params)[0] == code
    assert cw.describe_alarms()["MetricAlarms"] == []


def test_composite_alarms_refused(cw: Any) -> None:
    """A rule that can not be read, names what is not there, or itself; alarms that are not there."""
    assert "syntax" in code_of(cw.put_composite_alarm, AlarmName="c", AlarmRule="ALARM(")[1]
    assert (
        "[none] in the alarm rule do not exist"
        in code_of(cw.put_composite_alarm, AlarmName="c", AlarmRule="ALARM(none)")[1]
    )
    cw.put_metric_alarm(**PLAIN)
    cw.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(busy)")
    cw.put_composite_alarm(AlarmName="d", AlarmRule="ALARM(c)")
    assert "itself" in code_of(cw.put_composite_alarm, AlarmName="c", AlarmRule="ALARM(busy) OR OK(d)")[1]
    assert code_of(cw.put_composite_alarm, AlarmName="busy", AlarmRule="ALARM(c)")[0] == "ValidationError"
    assert code_of(cw.delete_alarms, AlarmNames=["busy", "none"])[0] == "ResourceNotFound"
    assert code_of(cw.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="r")[0] == "ResourceNotFound"
    assert len(states(cw)) == 3


def test_states_follow_the_metric(cw: Any, store: MemoryStore, tmp_path: Path) -> None:
    """Two minutes above the threshold are an alarm, then composite alarms change, too; a metric that ends leaves no
    data; expressions are evaluated over periods that end now, not by the clock's five minutes."""
    policy = "arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:1:resource/ecs/service/a/b:policyName/p"
    cw.put_metric_alarm(**PLAIN, AlarmActions=[policy, "arn:aws:sns:us-east-1:000000000000:people"])
    load = {"Metric": {"Namespace": "shop", "MetricName": "load"}, "Period": 300, "Stat": "Sum"}
    queries = [
        {"Id": "m", "MetricStat": load, "ReturnData": False},
        {"Id": "e", "Expression": "m / 2", "ReturnData": True},
    ]
    several = {
        "Metrics": queries,
        "EvaluationPeriods": 1,
        "Threshold": 100.0,
        "ComparisonOperator": "LessThanThreshold",
    }
    cw.put_metric_alarm(AlarmName="math", **several)
    cw.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(busy) AND NOT ALARM(math)")

    async def body() -> list[dict[str, str]]:
        metrics, clock = SqliteMetricStore(tmp_path / "metrics.db"), Clock()
        minute = int(NOW.timestamp()) // 60 * 60
        metric = MetricName(namespace="shop", name="load")
        # 10 until three minutes ago, then 90
        samples = [
            Sample(metric=metric, at_s=minute - 60 * ago, point=point_of([(90.0 if ago <= 3 else 10.0, 1.0)]))
            for ago in range(1, 30)
        ]
        await metrics.put(SCOPE, samples)
        loop = AlarmLoop(store, metrics, clock, RandomIds())
        found = []
        for minutes in (-2, 0, 20):
            clock.at = NOW + timedelta(minutes=minutes)
            for name in ("busy", "math", "both"):
                await loop._step(f"{SCOPE.prefix}{name}")
            found.append({each.name: each.state for each in store.scan(ALARM)})
        await metrics.close()
        return found

    before, during, after = asyncio.run(body())
    # 90 + 4 * 10 = 130, then 3 * 90 + 2 * 10 = 290: halves are below and above 100.
    assert before == {"busy": "OK", "math": "ALARM", "both": "OK"}
    assert during == {"busy": "ALARM", "math": "OK", "both": "ALARM"}
    assert after == {"busy": "INSUFFICIENT_DATA", "math": "INSUFFICIENT_DATA", "both": "OK"}
    items = cw.describe_alarm_history(AlarmName="busy", HistoryItemType="Action")["AlarmHistoryItems"]
    assert sorted(each["HistorySummary"] for each in items) == [
        f'Failed to execute action {policy}. Received error: "No such scaling policy"',
        'Failed to execute action arn:aws:sns:us-east-1:000000000000:people. Received error: "Topic does not exist"',
    ]
    (composite,) = cw.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert "transitioned to INSUFFICIENT_DATA at Sunday 01 March, 2026 12:20:15 UTC" in composite["StateReason"]
