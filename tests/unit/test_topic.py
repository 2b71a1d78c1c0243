"""Topics without a wire: when what fails is tried again, and subscriptions that nobody confirms."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta

import pytest

from portside.control.topics import TopicLoop
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused
from portside.domain.table import NOTIFICATION, SUBSCRIPTION, TOPIC
from portside.domain.topic import (
    TOKEN_FOR,
    USUAL,
    RetryPolicy,
    Subscription,
    Topic,
    is_final,
    notifications,
    request,
    retry_from,
    retry_of,
)
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import FakeClock

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC_RECORD = Topic(scope=SCOPE, name="people", created_at=NOW)


def subscription(name: str, *, is_confirmed: bool = True, at: datetime = NOW, endpoint: str = "") -> Subscription:
    return Subscription(
        scope=SCOPE,
        topic="people",
        id=name,
        protocol="http",
        endpoint=endpoint or "http://192.0.2.1/",
        token="t" * 256,
        is_confirmed=is_confirmed,
        created_at=at,
    )


def delays(policy: RetryPolicy) -> list[float]:
    found = []
    while (delay_s := policy.delay_s(len(found) + 1)) is not None:
        found.append(delay_s)
    return found


def test_phases_of_a_policy() -> None:
    """At once, after the least delay, growing to the greatest, and that; without a policy thrice after 20 s."""
    assert delays(USUAL) == [20, 20, 20]
    given = {"numRetries": 10, "numNoDelayRetries": 2, "numMinDelayRetries": 2, "numMaxDelayRetries": 1}
    policy = retry_from(given | {"minDelayTarget": 10, "maxDelayTarget": 50, "backoffFunction": "linear"})
    assert delays(policy) == [0, 0, 10, 10, 10, 20, 30, 40, 50, 50]
    assert delays(RetryPolicy(retries=0)) == []


@pytest.mark.parametrize(
    "given",
    [
        {"numRetries": "3"},
        {"numRetries": -1},
        {"minDelayTarget": 30},
        {"numRetries": 1, "numNoDelayRetries": 2},
        {"backoffFunction": "geometric"},
        {"love": 1},
        {"numRetries": 100, "minDelayTarget": 60, "maxDelayTarget": 60},
        [],
    ],
)
def test_policies_that_are_none(given: object) -> None:
    """They are refused, never taken for the usual one."""
    with pytest.raises(Refused, match="DeliveryPolicy"):
        retry_from(given)


def test_whose_policy_counts() -> None:
    """A subscription's own, else its topic's, unless the topic's is for all."""
    own, of_topic = RetryPolicy(retries=1), RetryPolicy(retries=2)
    subscribed, topic = replace(subscription("a"), retry=own), replace(TOPIC_RECORD, retry=of_topic)
    assert retry_of(topic, subscribed) == own
    assert retry_of(replace(topic, retry_for_all=True), subscribed) == of_topic
    assert retry_of(topic, subscription("a")) == of_topic
    assert retry_of(TOPIC_RECORD, subscription("a")) == USUAL


def test_answers_that_are_final() -> None:
    """What the receiver will say again."""
    assert [status for status in (301, 400, 404, 429, 499, 500, 503) if is_final(status)] == [400, 404, 499]


def test_what_a_message_holds() -> None:
    """Links have what they need; none of a raw message is added."""
    (made,) = notifications(TOPIC_RECORD, [subscription("a")], message="m <&>", subject=None, message_id="i", now=NOW)
    headers, body = request(made, subscription("a"), "http://127.0.0.1:4566")
    document = json.loads(body)
    assert (document["Message"], document["Timestamp"]) == ("m <&>", "2026-03-01T12:00:00.000Z")
    assert document["UnsubscribeURL"].startswith("http://127.0.0.1:4566/_portside/sns?Action=Unsubscribe&")
    assert "Subject" not in document
    assert headers["x-amz-sns-message-type"] == "Notification"


class Nowhere:
    """Nothing is reached, and it is counted how often that was tried."""

    def __init__(self) -> None:
        self.asked = 0

    def addresses(self, host: str) -> list[str]:
        self.asked += 1
        return [host]

    def socket(self, family: int, kind: int) -> socket.socket:
        raise OSError("nothing may leave")


def test_a_receiver_that_is_never_there() -> None:
    """A message is tried as often as the policy says, at its times, and then no more; a subscription that nobody has
    confirmed for three days is gone, a younger one and confirmed ones are not."""
    store, clock, outside = MemoryStore(), FakeClock(NOW), Nowhere()
    old = NOW - TOKEN_FOR - timedelta(seconds=1)
    several = [
        subscription("kept", at=old),
        subscription("gone", is_confirmed=False, at=old),
        subscription("young", is_confirmed=False),
    ]
    store.transact(Put(TOPIC, TOPIC_RECORD), *(Put(SUBSCRIPTION, each) for each in several))
    sent = notifications(TOPIC_RECORD, several, message="m", subject=None, message_id="i", now=NOW)
    store.transact(*(Put(NOTIFICATION, each) for each in sent))
    (key,) = [NOTIFICATION.key(each) for each in store.scan(NOTIFICATION)]

    async def body() -> list[float]:
        loop = TopicLoop(store, clock, outside, "http://127.0.0.1:4566")
        await loop._sweep("all")
        waits = []
        while store.get(NOTIFICATION, key) is not None:
            at = await loop._step(key)
            assert at is not None
            waits.append((at - clock.now()).total_seconds())
            clock.advance(waits[-1])
        return waits

    assert asyncio.run(body()) == [20, 20, 20, 0]
    assert outside.asked == 4
    assert sorted(each.id for each in store.scan(SUBSCRIPTION)) == ["kept", "young"]
