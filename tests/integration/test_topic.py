"""Messages of topics on their way to receivers: confirmed, delivered, tried again, also across a restart."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from portside.testing.instance import Instance, instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration

AT_ONCE = json.dumps({"healthyRetryPolicy": {"numRetries": 20, "numNoDelayRetries": 10, "minDelayTarget": 1}})


class Receiver:
    """`answers`: statuses of the next notifications; after them it is 200."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook?x=1"
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], str]] = []
        self.tries = 0

    def documents(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(body) for headers, body in list(self.got) if headers["x-amz-sns-message-type"] == kind]


@contextmanager
def receiver(port: int | None = None) -> Iterator[Receiver]:
    kept = Receiver(port or free_port())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            kept.tries += 1
            status = 200
            if self.headers["x-amz-sns-message-type"] == "Notification" and kept.answers:
                status = kept.answers.pop(0)
            if status == 200:
                kept.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(kept.url.split(":")[2].partition("/")[0])), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()


def subscribed(portside: Instance, to: Receiver, topic: str, **attributes: str) -> str:
    """By the link in the message that asks for it."""
    sns = portside.client("sns")
    named = sns.subscribe(
        TopicArn=topic, Protocol="http", Endpoint=to.url, ReturnSubscriptionArn=True, Attributes=attributes
    )["SubscriptionArn"]
    (asked,) = wait_for(lambda: to.documents("SubscriptionConfirmation"), timeout_s=30, what="the question")
    assert named in urllib.request.urlopen(asked["SubscribeURL"]).read().decode()
    return str(named)


@pytest.fixture
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


def test_a_message(portside: Instance) -> None:
    """It comes as SNS sends it, by the link it can be ended, and raw where that is asked for."""
    sns = portside.client("sns")
    topic = sns.create_topic(Name="people")["TopicArn"]
    with receiver() as to:
        named = subscribed(portside, to, topic)
        answer = sns.publish(
            TopicArn=topic,
            Subject="news",
            Message="hello ü",
            MessageAttributes={"level": {"DataType": "String", "StringValue": "high"}},
        )
        (told,) = wait_for(lambda: to.documents("Notification"), timeout_s=30, what="the message")
        headers = to.got[-1][0]
        assert headers["x-amz-sns-topic-arn"] == topic
        assert headers["x-amz-sns-subscription-arn"] == named
        assert headers["x-amz-sns-message-id"] == answer["MessageId"] == told["MessageId"]
        assert headers["content-type"] == "text/plain; charset=UTF-8"
        assert (told["Type"], told["TopicArn"], told["Subject"], told["Message"]) == (
            *("Notification", topic, "news", "hello ü"),
        )
        assert told["MessageAttributes"] == {"level": {"Type": "String", "Value": "high"}}
        sns.set_subscription_attributes(
            SubscriptionArn=named, AttributeName="RawMessageDelivery", AttributeValue="true"
        )
        sns.publish(TopicArn=topic, Message="as it is")
        wait_for(lambda: to.got[-1][1] == "as it is", timeout_s=30, what="the raw message")
        assert to.got[-1][0]["x-amz-sns-rawdelivery"] == "true"
        urllib.request.urlopen(told["UnsubscribeURL"]).read()
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_what_is_tried_again(portside: Instance) -> None:
    """After answers that pass, as often as the policy says; not after one that will be the same; what waits when
    Portside is killed is delivered by the next one, once it can be."""
    sns = portside.client("sns")
    topic = sns.create_topic(Name="people")["TopicArn"]
    port = free_port()
    with receiver(port) as to:
        subscribed(portside, to, topic, DeliveryPolicy=AT_ONCE)
        to.answers = [500, 503, 429, 502]
        sns.publish(TopicArn=topic, Message="first")
        wait_for(lambda: to.documents("Notification"), timeout_s=30, what="the message, at last")
        assert not to.answers
        to.answers = [404]
        sns.publish(TopicArn=topic, Message="never")
        wait_for(lambda: not to.answers, timeout_s=30, what="the refusal")
        sns.publish(TopicArn=topic, Message="second")
        wait_for(lambda: len(to.documents("Notification")) == 2, timeout_s=30, what="the second message")
    sns.publish(TopicArn=topic, Message="third")

    def told() -> bool:
        return any(each["kind"] == "topic" and "Connection refused" in each["why"] for each in portside.problems())

    wait_for(told, timeout_s=30, what="why it waits, among the problems")
    portside.kill()
    portside.start()
    portside.ready()
    with receiver(port) as again:
        wait_for(lambda: again.documents("Notification"), timeout_s=60, what="what waited")
        assert [each["Message"] for each in again.documents("Notification")] == ["third"]
    assert [each["Message"] for each in to.documents("Notification")] == ["first", "second"]


def test_an_event(portside: Instance) -> None:
    """A topic is a target of EventBridge: its subscribers get the event."""
    sns, bridge = portside.client("sns"), portside.client("events")
    topic = sns.create_topic(Name="people")["TopicArn"]
    with receiver() as to:
        subscribed(portside, to, topic)
        bridge.put_rule(Name="mine", EventPattern=json.dumps({"source": ["shop"]}))
        bridge.put_targets(Rule="mine", Targets=[{"Id": "people", "Arn": topic, "InputPath": "$.detail"}])
        bridge.put_events(Entries=[{"Source": "shop", "DetailType": "sold", "Detail": json.dumps({"what": "tea"})}])
        (told,) = wait_for(lambda: to.documents("Notification"), timeout_s=30, what="the event")
        assert json.loads(told["Message"]) == {"what": "tea"}


def test_an_alarm(portside: Instance) -> None:
    """A metric above its threshold is a message; nothing leaves the machine for an endpoint elsewhere."""
    sns, cw = portside.client("sns"), portside.client("cloudwatch")
    topic = sns.create_topic(Name="people")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://192.0.2.1/")
    with receiver() as to:
        subscribed(portside, to, topic)
        cw.put_metric_alarm(
            AlarmName="busy",
            MetricName="load",
            Namespace="shop",
            Statistic="Maximum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=50.0,
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=[topic],
        )

        def told() -> list[dict[str, Any]]:
            cw.put_metric_data(
                Namespace="shop", MetricData=[{"MetricName": "load", "Value": 90, "StorageResolution": 1}]
            )
            return to.documents("Notification")

        (message,) = wait_for(told, timeout_s=120, pause_s=1, what="the alarm's message")
        assert json.loads(message["Message"])["NewStateValue"] == "ALARM"
        assert message["Subject"].startswith('ALARM: "busy" in ')
    wait_for(lambda: "--egress is none" in portside.log, timeout_s=30, what="what is said of the other endpoint")
