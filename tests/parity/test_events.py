"""EventBridge as boto3 and the aws command see it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served, serving

from portside.api.events.service import events_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.table import EVENT_DELIVERY
from portside.store.memory import MemoryStore

LOG = "arn:aws:logs:us-east-1:000000000000:log-group:/events"
CLUSTER = "arn:aws:ecs:us-east-1:000000000000:cluster/default"
ROLE = "arn:aws:iam::000000000000:role/events"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    with serving([events_service(store, SystemClock(), RandomIds())]) as found:
        yield found


@pytest.fixture
def bridge(served: Served) -> Any:
    return served.client("events")


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_by_the_command(served: Served) -> None:
    """A rule with a target is put, found, disabled, emptied and deleted."""
    pattern = json.dumps({"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"]}})
    arn = served.aws("events", "put-rule", "--name", "stopped", "--event-pattern", pattern)["RuleArn"]
    assert arn == "arn:aws:events:us-east-1:000000000000:rule/stopped"
    served.aws("events", "put-targets", "--rule", "stopped", "--targets", f"Id=log,Arn={LOG}")
    rule = served.aws("events", "describe-rule", "--name", "stopped")
    assert (rule["State"], json.loads(rule["EventPattern"])) == ("ENABLED", json.loads(pattern))
    assert (rule["EventBusName"], rule["CreatedBy"]) == ("default", "000000000000")
    served.aws("events", "disable-rule", "--name", "stopped")
    assert [each["State"] for each in served.aws("events", "list-rules")["Rules"]] == ["DISABLED"]
    served.aws("events", "enable-rule", "--name", "stopped")
    assert served.aws("events", "list-targets-by-rule", "--rule", "stopped")["Targets"] == [{"Id": "log", "Arn": LOG}]
    assert served.aws("events", "list-rule-names-by-target", "--target-arn", LOG)["RuleNames"] == ["stopped"]
    refused = served.run_aws("events", "delete-rule", "--name", "stopped")
    assert "Rule can't be deleted since it has targets." in refused.stderr
    served.aws("events", "remove-targets", "--rule", "stopped", "--ids", "log")
    served.aws("events", "delete-rule", "--name", "stopped")
    assert served.aws("events", "list-rules")["Rules"] == []
    assert [each["Name"] for each in served.aws("events", "list-event-buses")["EventBuses"]] == ["default"]


def test_events_reach_the_rules_that_are_for_them(bridge: Any, store: MemoryStore) -> None:
    """Of three rules, the one that matches and is enabled; entries that are none are told one by one."""
    for name, pattern, state in (
        ("orders", {"source": ["shop"], "detail": {"total": [{"numeric": [">", 10]}]}}, "ENABLED"),
        ("others", {"source": ["else"]}, "ENABLED"),
        ("asleep", {"source": ["shop"]}, "DISABLED"),
    ):
        bridge.put_rule(Name=name, EventPattern=json.dumps(pattern), State=state)
        bridge.put_targets(Rule=name, Targets=[{"Id": "log", "Arn": LOG}])
    entry = {"Source": "shop", "DetailType": "order", "Detail": '{"total": 12}'}
    answer = bridge.put_events(
        Entries=[
            {**entry, "Time": datetime(2026, 1, 1, tzinfo=UTC), "Resources": ["r"]},
            {**entry, "Detail": "[]"},
            {**entry, "Source": "aws.ecs"},
            {"Source": "shop", "Detail": "{}"},
        ]
    )
    assert answer["FailedEntryCount"] == 3
    assert [each.get("ErrorCode") for each in answer["Entries"]] == [
        None,
        "MalformedDetail",
        "NotAuthorizedForSourceException",
        "InvalidArgument",
    ]
    (delivery,) = store.scan(EVENT_DELIVERY)
    assert delivery.rule == "orders"
    assert json.loads(delivery.payload) == {
        "version": "0",
        "id": answer["Entries"][0]["EventId"],
        "detail-type": "order",
        "source": "shop",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": ["r"],
        "detail": {"total": 12},
    }


def test_a_pattern_is_tried(bridge: Any) -> None:
    """TestEventPattern says whether; an event that is none is refused."""
    event = dict.fromkeys(("id", "account", "source", "time", "region", "detail-type"), "x") | {"resources": []}
    for pattern, expected in (({"source": ["x"]}, True), ({"source": ["y"]}, False)):
        answer = bridge.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
        assert answer["Result"] is expected
    assert code_of(bridge.test_event_pattern, EventPattern="{}", Event="{}")[0] == "InvalidEventPatternException"
    assert code_of(bridge.test_event_pattern, EventPattern='{"a": ["b"]}', Event="{}")[0] == "ValidationException"


def test_targets_are_kept_as_they_were_put(bridge: Any) -> None:
    """Tasks with all that RunTask takes, transformers, retries; a target put again takes the old one's place."""
    bridge.put_rule(Name="r", ScheduleExpression="rate(5 minutes)")
    task = {
        "Id": "task",
        "Arn": CLUSTER,
        "RoleArn": ROLE,
        "Input": '{"containerOverrides": []}',
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 600},
        "EcsParameters": {
            "TaskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/job",
            "TaskCount": 2,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["subnet-1"], "AssignPublicIp": "ENABLED"}},
            "Tags": [{"Key": "a", "Value": "b"}],
        },
    }
    log = {"Id": "log", "Arn": LOG, "InputTransformer": {"InputPathsMap": {"a": "$.id"}, "InputTemplate": '"<a>"'}}
    assert bridge.put_targets(Rule="r", Targets=[task, log])["FailedEntryCount"] == 0
    assert bridge.list_targets_by_rule(Rule="r")["Targets"] == [task, log]
    bridge.put_targets(Rule="r", Targets=[{"Id": "log", "Arn": LOG}])
    assert bridge.list_targets_by_rule(Rule="r")["Targets"] == [task, {"Id": "log", "Arn": LOG}]
    bridge.put_rule(Name="r", ScheduleExpression="cron(0 12 * * ? *)", Description="noon")
    assert len(bridge.list_targets_by_rule(Rule="r")["Targets"]) == 2
    arn = bridge.describe_rule(Name="r")["Arn"]
    bridge.tag_resource(ResourceARN=arn, Tags=[{"Key": "team", "Value": "red"}])
    assert bridge.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "red"}]


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("put_rule", {"Name": "x"}, "ValidationException"),
        ("put_rule", {"Name": "x", "EventPattern": '{"a": "b"}'}, "InvalidEventPatternException"),
        ("put_rule", {"Name": "x", "ScheduleExpression": "rate(1 minutes)"}, "ValidationException"),
        ("put_rule", {"Name": "x", "ScheduleExpression": "at(2026-01-01T00:00:00)"}, "ValidationException"),
        ("put_rule", {"Name": "x y", "ScheduleExpression": "rate(1 minute)"}, "ValidationException"),
        ("put_rule", {"Name": "x", "EventPattern": '{"a": ["b"]}', "EventBusName": "b"}, "ResourceNotFoundException"),
        ("describe_rule", {"Name": "none"}, "ResourceNotFoundException"),
        ("enable_rule", {"Name": "none"}, "ResourceNotFoundException"),
        ("put_targets", {"Rule": "none", "Targets": [{"Id": "a", "Arn": LOG}]}, "ResourceNotFoundException"),
        ("put_targets", {"Rule": "r", "Targets": [{"Id": "a", "Arn": "logs"}]}, "ValidationException"),
        (
            "put_targets",
            {"Rule": "r", "Targets": [{"Id": "a", "Arn": "arn:aws:sqs:us-east-1:000000000000:q"}]},
            "ValidationException",
        ),
        ("put_targets", {"Rule": "r", "Targets": [{"Id": "a", "Arn": CLUSTER}]}, "ValidationException"),
        ("put_targets", {"Rule": "r", "Targets": [{"Id": "a", "Arn": LOG, "Input": "{"}]}, "ValidationException"),
        (
            "put_targets",
            {"Rule": "r", "Targets": [{"Id": str(number), "Arn": LOG} for number in range(6)]},
            "LimitExceededException",
        ),
        ("list_tags_for_resource", {"ResourceARN": "arn:none"}, "ResourceNotFoundException"),
        ("put_events", {"Entries": []}, "ValidationException"),
    ],
)
def test_refused(bridge: Any, operation: str, params: dict[str, Any], code: str) -> None:
    """Each broken rule ends with AWS's code."""
    bridge.put_rule(Name="r", ScheduleExpression="rate(5 minutes)")
    assert code_of(getattr(bridge, operation), **params)[0] == code
    bridge.delete_rule(Name="none")
