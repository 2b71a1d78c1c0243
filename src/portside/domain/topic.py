"""Simple Notification Service: topics, subscriptions by HTTP, what is sent and when it is tried again. Pure.

Sources: SNS API; SNS developer guide, "Parsing message formats" (the documents and their headers), "Message delivery
retries" (policies, and which answers are final).
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

from portside.domain import arn
from portside.domain.record import Record, Scope, Tags
from portside.domain.refusal import RefusalKind, Refused

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
MESSAGE_MOST_BYTES: Final = 256 * 1024
SUBJECT_MOST: Final = 100
PROTOCOLS: Final = ("http", "https")
_PASSWORD: Final = re.compile(r"^(https?://[^/@:]*:)[^/@]*@", re.IGNORECASE)
TOKEN_FOR: Final = timedelta(days=3)
"""A subscription can be confirmed for so long."""
CONFIRM_PATH: Final = "/_portside/sns"

Kind = Literal["SubscriptionConfirmation", "Notification"]


class RetryPolicy(Record, frozen=True, kw_only=True):
    """Retries in phases: at once, after the least delay, after growing ones, after the greatest."""

    min_delay_s: int = 20
    max_delay_s: int = 20
    retries: int = 3
    no_delay: int = 0
    min_delay: int = 0
    max_delay: int = 0

    def delay_s(self, retry: int) -> float | None:
        """How long after the attempt before. Args: retry: from 1. None: it is given up."""
        if retry > self.retries:
            return None
        if retry <= self.no_delay:
            return 0.0
        if retry <= self.no_delay + self.min_delay:
            return float(self.min_delay_s)
        if retry > self.retries - self.max_delay:
            return float(self.max_delay_s)
        count = self.retries - self.no_delay - self.min_delay - self.max_delay
        place = retry - self.no_delay - self.min_delay - 1
        grown = (self.max_delay_s - self.min_delay_s) * place / (count - 1) if count > 1 else 0.0
        return self.min_delay_s + grown


USUAL: Final = RetryPolicy()


class Topic(Record, frozen=True, kw_only=True):
    """`retry`: asked for by its delivery policy. `retry_for_all`: subscriptions' own ones do not count."""

    scope: Scope
    name: str
    display_name: str = ""
    policy: str = ""
    retry: RetryPolicy | None = None
    retry_for_all: bool = False
    tags: Tags = ()
    deleted: int = 0  # subscriptions
    created_at: datetime

    @property
    def arn(self) -> str:
        return str(arn.Arn("sns", self.scope.region, self.scope.account, self.name))


class Subscription(Record, frozen=True, kw_only=True):
    scope: Scope
    topic: str
    id: str
    protocol: Literal["http", "https"]
    endpoint: str
    token: str
    is_confirmed: bool = False
    needs_authentication: bool = False  # to unsubscribe
    is_raw: bool = False
    retry: RetryPolicy | None = None
    created_at: datetime

    @property
    def topic_arn(self) -> str:
        return str(arn.Arn("sns", self.scope.region, self.scope.account, self.topic))

    @property
    def arn(self) -> str:
        return f"{self.topic_arn}:{self.id}"

    @property
    def shown_endpoint(self) -> str:
        """Without a password."""
        return _PASSWORD.sub(r"\1****@", self.endpoint)


class Notification(Record, frozen=True, kw_only=True):
    """One message on its way to one subscription. `attributes`: by name, a type and a value. `failure`: what was wrong
    with the last attempt."""

    scope: Scope
    id: str
    topic: str
    subscription: str
    kind: Kind = "Notification"
    message_id: str
    message: str
    subject: str | None = None
    attributes: dict[str, tuple[str, str]] = {}
    at: datetime
    attempts: int = 0
    failure: str = ""
    not_before: datetime | None = None


def name_of(topic_arn: str, scope: Scope) -> str | None:
    """The topic's name, if the ARN is one of this account and region."""
    parsed = arn.parse(topic_arn)
    if parsed is None or (parsed.service, parsed.region, parsed.account) != ("sns", scope.region, scope.account):
        return None
    return parsed.resource if NAME.fullmatch(parsed.resource) else None


def key_of(topic_arn: str) -> str:
    """Of the record of the topic with this ARN, of whatever account and region; of nothing if it is none."""
    parsed = arn.parse(topic_arn)
    return f"{parsed.account}/{parsed.region}/{parsed.resource}" if parsed is not None else ""


def notifications(
    topic: Topic,
    subscriptions: Iterable[Subscription],
    *,
    message: str,
    subject: str | None,
    message_id: str,
    now: datetime,
    attributes: Mapping[str, tuple[str, str]] | None = None,
    by_protocol: Mapping[str, str] | None = None,
) -> list[Notification]:
    """What is to be sent of a message: to each subscription that is confirmed.

    Args: by_protocol: another text for a protocol."""
    return [
        Notification(
            scope=topic.scope,
            id=f"{now.timestamp():017.6f}-{message_id}-{each.id}",
            topic=topic.name,
            subscription=each.id,
            message_id=message_id,
            message=(by_protocol or {}).get(each.protocol, message),
            subject=subject,
            attributes=dict(attributes or {}),
            at=now,
        )
        for each in subscriptions
        if each.is_confirmed
    ]


def confirmation(subscription: Subscription, *, message_id: str, now: datetime) -> Notification:
    """What asks whether a subscription is wanted."""
    return Notification(
        scope=subscription.scope,
        id=f"{now.timestamp():017.6f}-{message_id}-{subscription.id}",
        topic=subscription.topic,
        subscription=subscription.id,
        kind="SubscriptionConfirmation",
        message_id=message_id,
        message=(
            f"You have chosen to subscribe to the topic {subscription.topic_arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        ),
        at=now,
    )


def request(notification: Notification, subscription: Subscription, base_url: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body that are posted.

    Args: base_url: where this Portside answers, without a slash at the end."""
    is_raw = subscription.is_raw and notification.kind == "Notification"
    headers = {
        "x-amz-sns-message-type": notification.kind,
        "x-amz-sns-message-id": notification.message_id,
        "x-amz-sns-topic-arn": subscription.topic_arn,
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
    }
    if notification.kind == "Notification":
        headers["x-amz-sns-subscription-arn"] = subscription.arn
    if is_raw:
        return headers | {"x-amz-sns-rawdelivery": "true"}, notification.message.encode()
    document: dict[str, Any] = {"Type": notification.kind, "MessageId": notification.message_id}
    if notification.kind == "SubscriptionConfirmation":
        document["Token"] = subscription.token
    document["TopicArn"] = subscription.topic_arn
    if notification.subject is not None:
        document["Subject"] = notification.subject
    document["Message"] = notification.message
    if notification.kind == "SubscriptionConfirmation":
        asked = {"Action": "ConfirmSubscription", "TopicArn": subscription.topic_arn, "Token": subscription.token}
        document["SubscribeURL"] = f"{base_url}{CONFIRM_PATH}?{urlencode(asked)}"
    document["Timestamp"] = _moment(notification.at)
    if notification.kind == "Notification":
        asked = {"Action": "Unsubscribe", "SubscriptionArn": subscription.arn, "Token": subscription.token}
        document["UnsubscribeURL"] = f"{base_url}{CONFIRM_PATH}?{urlencode(asked)}"
        if notification.attributes:
            document["MessageAttributes"] = {
                name: {"Type": kind, "Value": value} for name, (kind, value) in notification.attributes.items()
            }
    return headers, json.dumps(document, indent=2, ensure_ascii=False).encode()


def retry_of(topic: Topic, subscription: Subscription) -> RetryPolicy:
    """Which policy counts for a subscription."""
    own = None if topic.retry_for_all else subscription.retry
    return own or topic.retry or USUAL


def is_final(status: int) -> bool:
    """Whether an answer that is no success will be the same next time."""
    return 400 <= status < 500 and status != 429


def check_endpoint(protocol: str, endpoint: str) -> None:
    """Raises Refused."""
    if protocol not in PROTOCOLS:
        raise _invalid(f"Portside delivers by http and https, not by {protocol}")
    if not endpoint.lower().startswith(f"{protocol}://"):
        raise _invalid("Endpoint must match the specified protocol")
    try:
        parts = urlsplit(endpoint)
        is_one = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_one = False
    if not is_one or any(ord(each) <= 32 or ord(each) == 127 for each in endpoint):
        raise _invalid("Endpoint")


_FIELDS: Final = {
    "minDelayTarget": "min_delay_s",
    "maxDelayTarget": "max_delay_s",
    "numRetries": "retries",
    "numNoDelayRetries": "no_delay",
    "numMinDelayRetries": "min_delay",
    "numMaxDelayRetries": "max_delay",
}


def retry_from(given: object) -> RetryPolicy:
    """Of a retry policy in JSON. Raises Refused."""
    if not isinstance(given, Mapping):
        raise _policy("it is no object")
    found: dict[str, int] = {}
    for name, value in given.items():
        if name == "backoffFunction":
            if value != "linear":
                raise _policy(f"Portside does not implement the backoffFunction {value}")
        elif name not in _FIELDS:
            raise _policy(f"unexpected field {name}")
        elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _policy(f"{name} must be a non-negative integer")
        else:
            found[_FIELDS[name]] = value
    policy = RetryPolicy(**found)
    if not 1 <= policy.min_delay_s <= policy.max_delay_s <= 3600:
        raise _policy("minDelayTarget and maxDelayTarget must be between 1 and 3600, in this order")
    if policy.retries > 100:
        raise _policy("numRetries must be at most 100")
    if policy.no_delay + policy.min_delay + policy.max_delay > policy.retries:
        raise _policy("the retries of the phases are more than numRetries")
    if sum(policy.delay_s(each + 1) or 0 for each in range(policy.retries)) > 3600:
        raise _policy("all retries together may take 3600 seconds at most")
    return policy


def retry_to(policy: RetryPolicy) -> dict[str, object]:
    return {name: getattr(policy, field) for name, field in _FIELDS.items()} | {"backoffFunction": "linear"}


def _moment(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _policy(reason: str) -> Refused:
    return _invalid(f"DeliveryPolicy: {reason}")


def _invalid(reason: str) -> Refused:
    return Refused(RefusalKind.INVALID, f"Invalid parameter: {reason}")
