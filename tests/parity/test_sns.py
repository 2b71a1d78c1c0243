"""Topics and subscriptions as boto3 and the aws command see them, and what is written down to be sent."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ACCOUNT, REGION, Served, serving

from portside.api.cloudwatch.service import cloudwatch_service
from portside.api.sns.service import sns_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.table import NOTIFICATION, SUBSCRIPTION
from portside.store.memory import MemoryStore
from portside.telemetry.metric import SqliteMetricStore

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:people"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore, tmp_path: Path) -> Iterator[Served]:
    metrics = SqliteMetricStore(tmp_path / "served.db")
    clock, ids = SystemClock(), RandomIds()
    with serving([sns_service(store, clock, ids), cloudwatch_service(store, metrics, clock, ids)]) as found:
        yield found


@pytest.fixture
def sns(served: Served) -> Any:
    return served.client("sns")


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def confirmed(sns: Any, store: MemoryStore, endpoint: str, **more: Any) -> str:
    """A subscription, by the token that was to be sent."""
    named = sns.subscribe(
        TopicArn=TOPIC, Protocol=endpoint.partition(":")[0], Endpoint=endpoint, ReturnSubscriptionArn=True, **more
    )["SubscriptionArn"]
    (token,) = [each.token for each in store.scan(SUBSCRIPTION) if each.arn == named]
    assert sns.confirm_subscription(TopicArn=TOPIC, Token=token)["SubscriptionArn"] == named
    return str(named)


def test_topics(sns: Any) -> None:
    """Made once by a name, with attributes and tags; listed by pages; gone with their subscriptions, twice as well."""
    made = sns.create_topic(Name="people", Attributes={"DisplayName": "People"}, Tags=[{"Key": "team", "Value": "x"}])
    assert made["TopicArn"] == TOPIC
    assert sns.create_topic(Name="people")["TopicArn"] == TOPIC
    assert sns.create_topic(Name="people", Attributes={"DisplayName": "People"})["TopicArn"] == TOPIC
    assert error_of(sns.create_topic, Name="people", Attributes={"DisplayName": "Others"}) == (
        "InvalidParameter",
        "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
    )
    for number in range(120):
        sns.create_topic(Name=f"t{number:03d}")
    pages = [each["Topics"] for each in sns.get_paginator("list_topics").paginate()]
    assert [len(each) for each in pages] == [100, 21]
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName="DisplayName", AttributeValue="Other people")
    found = sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]
    assert (found["Owner"], found["DisplayName"], found["SubscriptionsConfirmed"]) == (ACCOUNT, "Other people", "0")
    assert json.loads(found["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    assert "DeliveryPolicy" not in found
    sns.tag_resource(ResourceArn=TOPIC, Tags=[{"Key": "team", "Value": "y"}, {"Key": "b", "Value": "c"}])
    sns.untag_resource(ResourceArn=TOPIC, TagKeys=["b"])
    assert sns.list_tags_for_resource(ResourceArn=TOPIC)["Tags"] == [{"Key": "team", "Value": "y"}]
    sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint="http://127.0.0.1:1/")
    for _ in range(2):
        sns.delete_topic(TopicArn=TOPIC)
    assert sns.list_subscriptions()["Subscriptions"] == []
    assert error_of(sns.get_topic_attributes, TopicArn=TOPIC) == ("NotFound", "Topic does not exist")


def test_subscriptions(sns: Any, store: MemoryStore) -> None:
    """Pending until their token comes back; one an endpoint; listed by topic; ended twice without an error."""
    sns.create_topic(Name="people")
    asked = {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://127.0.0.1:1/hook"}
    assert sns.subscribe(**asked)["SubscriptionArn"] == "pending confirmation"
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    assert listed == {
        "SubscriptionArn": "PendingConfirmation",
        "Owner": ACCOUNT,
        "Protocol": "http",
        "Endpoint": "http://127.0.0.1:1/hook",
        "TopicArn": TOPIC,
    }
    sns.publish(TopicArn=TOPIC, Message="nobody hears it")
    assert [each.kind for each in store.scan(NOTIFICATION)] == ["SubscriptionConfirmation"]
    assert error_of(sns.confirm_subscription, TopicArn=TOPIC, Token="wrong") == (
        "InvalidParameter",
        "Invalid parameter: Token",
    )
    named = confirmed(sns, store, "http://127.0.0.1:1/hook")
    assert sns.subscribe(**asked)["SubscriptionArn"] == named
    found = sns.get_subscription_attributes(SubscriptionArn=named)["Attributes"]
    assert (found["PendingConfirmation"], found["RawMessageDelivery"]) == ("false", "false")
    sns.set_subscription_attributes(SubscriptionArn=named, AttributeName="RawMessageDelivery", AttributeValue="true")
    assert sns.get_subscription_attributes(SubscriptionArn=named)["Attributes"]["RawMessageDelivery"] == "true"
    assert sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]["SubscriptionsConfirmed"] == "1"
    for _ in range(2):
        sns.unsubscribe(SubscriptionArn=named)
    assert sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]["SubscriptionsDeleted"] == "1"


def test_a_password_is_not_shown(sns: Any, store: MemoryStore) -> None:
    """An endpoint may have one, and is listed without it."""
    sns.create_topic(Name="people")
    named = confirmed(sns, store, "http://me:secret@127.0.0.1:1/")
    (listed,) = sns.list_subscriptions()["Subscriptions"]
    found = sns.get_subscription_attributes(SubscriptionArn=named)["Attributes"]
    assert listed["Endpoint"] == found["Endpoint"] == "http://me:****@127.0.0.1:1/"


def test_what_is_sent(sns: Any, store: MemoryStore) -> None:
    """A text by protocol, a subject, attributes: to each confirmed subscription, under one id."""
    sns.create_topic(Name="people")
    confirmed(sns, store, "http://127.0.0.1:1/")
    confirmed(sns, store, "https://127.0.0.1:2/")
    answer = sns.publish(
        TopicArn=TOPIC,
        Subject="news",
        MessageStructure="json",
        Message=json.dumps({"default": "all", "https": "the safe"}),
        MessageAttributes={"level": {"DataType": "Number", "StringValue": "3"}},
    )
    sent = [each for each in store.scan(NOTIFICATION) if each.kind == "Notification"]
    assert sorted(each.message for each in sent) == ["all", "the safe"]
    assert {each.message_id for each in sent} == {answer["MessageId"]}
    assert sent[0].attributes == {"level": ("Number", "3")}


@pytest.mark.parametrize(
    ("operation", "params", "code", "said"),
    [
        ("create_topic", {"Name": "a b"}, "InvalidParameter", "Topic Name"),
        ("create_topic", {"Name": "a.fifo"}, "InvalidParameter", "FIFO"),
        ("create_topic", {"Name": "a", "Attributes": {"KmsMasterKeyId": "k"}}, "InvalidParameter", "KmsMasterKeyId"),
        ("publish", {"TopicArn": TOPIC, "Message": ""}, "InvalidParameter", "Empty message"),
        ("publish", {"TopicArn": TOPIC, "Message": "x" * 262145}, "InvalidParameter", "Message too long"),
        ("publish", {"TopicArn": TOPIC, "Message": "m", "Subject": "a\nb"}, "InvalidParameter", "Subject"),
        ("publish", {"TopicArn": TOPIC, "Message": "m", "MessageStructure": "json"}, "InvalidParameter", "parse"),
        (
            "publish",
            {"TopicArn": TOPIC, "Message": "{}", "MessageStructure": "json"},
            "InvalidParameter",
            "No default entry",
        ),
        ("publish", {"Message": "m"}, "InvalidParameter", "TopicArn or TargetArn"),
        ("publish", {"PhoneNumber": "+1", "Message": "m"}, "InvalidParameter", "text messages"),
        ("publish", {"TopicArn": TOPIC + "x", "Message": "m"}, "NotFound", "Topic does not exist"),
        ("subscribe", {"TopicArn": TOPIC, "Protocol": "email", "Endpoint": "a@b.c"}, "InvalidParameter", "http and"),
        ("subscribe", {"TopicArn": TOPIC, "Protocol": "https", "Endpoint": "http://a/"}, "InvalidParameter", "match"),
        (
            "subscribe",
            {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://a/", "Attributes": {"FilterPolicy": "{}"}},
            "InvalidParameter",
            "FilterPolicy",
        ),
        (
            "set_topic_attributes",
            {"TopicArn": TOPIC, "AttributeName": "DeliveryPolicy", "AttributeValue": '{"http": {"a": 1}}'},
            "InvalidParameter",
            "does not implement a",
        ),
        (
            "set_topic_attributes",
            {
                "TopicArn": TOPIC,
                "AttributeName": "DeliveryPolicy",
                "AttributeValue": '{"http": {"defaultHealthyRetryPolicy": {"numRetries": 101}}}',
            },
            "InvalidParameter",
            "numRetries",
        ),
        ("get_subscription_attributes", {"SubscriptionArn": f"{TOPIC}:x"}, "NotFound", "Subscription does not exist"),
        ("unsubscribe", {"SubscriptionArn": "x"}, "InvalidParameter", "ARN"),
    ],
)
def test_refused(sns: Any, operation: str, params: dict[str, Any], code: str, said: str) -> None:
    """Each broken rule has AWS's code, and what Portside does not do is said."""
    sns.create_topic(Name="people")
    found = error_of(getattr(sns, operation), **params)
    assert found[0] == code
    assert said in found[1]


def test_the_aws_command(served: Served) -> None:
    """Its `sns` commands work as they are."""
    made = served.aws("sns", "create-topic", "--name", "people")
    assert made == {"TopicArn": TOPIC}
    assert served.aws("sns", "list-topics") == {"Topics": [{"TopicArn": TOPIC}]}
    said = served.aws("sns", "publish", "--topic-arn", TOPIC, "--message", "hello")
    assert list(said) == ["MessageId"]


def test_an_alarm_tells_a_topic(sns: Any, served: Served, store: MemoryStore) -> None:
    """By the actions of its new state and in AWS's document; its history has what was published; a topic that is not
    there is a failure, and an alarm whose actions are off tells nobody."""
    cw = served.client("cloudwatch")
    sns.create_topic(Name="people")
    confirmed(sns, store, "http://127.0.0.1:1/")
    cw.put_metric_alarm(
        AlarmName="busy",
        AlarmDescription="too much",
        MetricName="load",
        Namespace="shop",
        Dimensions=[{"Name": "Shop", "Value": "a"}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        Threshold=50.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[TOPIC, TOPIC + "x"],
        OKActions=[TOPIC],
    )
    cw.set_alarm_state(AlarmName="busy", StateValue="ALARM", StateReason="testing")
    (sent,) = [each for each in store.scan(NOTIFICATION) if each.kind == "Notification"]
    assert sent.subject == 'ALARM: "busy" in US East (N. Virginia)'
    told = json.loads(sent.message)
    assert {
        each: told[each] for each in ("AlarmName", "NewStateValue", "OldStateValue", "NewStateReason", "Region")
    } == {
        "AlarmName": "busy",
        "NewStateValue": "ALARM",
        "OldStateValue": "INSUFFICIENT_DATA",
        "NewStateReason": "testing",
        "Region": "US East (N. Virginia)",
    }
    assert told["AlarmActions"] == [TOPIC, TOPIC + "x"]
    assert told["Trigger"] == {
        "MetricName": "load",
        "Namespace": "shop",
        "StatisticType": "Statistic",
        "Statistic": "AVERAGE",
        "Unit": None,
        "Dimensions": [{"value": "a", "name": "Shop"}],
        "Period": 60,
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 50.0,
        "TreatMissingData": "missing",
        "EvaluateLowSampleCountPercentile": "",
    }
    items = cw.describe_alarm_history(AlarmName="busy", HistoryItemType="Action")["AlarmHistoryItems"]
    by_summary = {each["HistorySummary"]: json.loads(each["HistoryData"]) for each in items}
    assert set(by_summary) == {
        f"Successfully executed action {TOPIC}",
        f'Failed to execute action {TOPIC}x. Received error: "Topic does not exist"',
    }
    published = json.loads(by_summary[f"Successfully executed action {TOPIC}"]["publishedMessage"])
    assert published == {"default": sent.message}
    cw.disable_alarm_actions(AlarmNames=["busy"])
    cw.set_alarm_state(AlarmName="busy", StateValue="OK", StateReason="testing")
    assert len([each for each in store.scan(NOTIFICATION) if each.kind == "Notification"]) == 1
