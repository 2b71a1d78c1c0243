"""Topics and what is published to them."""

import base64
import json
from collections.abc import Sequence
from typing import Any, Final

from portside.api.sns.error import invalid, known_topic, paged, refuse_others, scope_of, told
from portside.aws.service import Params, RequestContext, Result
from portside.domain import tag_rule
from portside.domain import topic as rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import Tag, Tags, replace
from portside.domain.table import NOTIFICATION, SUBSCRIPTION, TOPIC
from portside.domain.topic import Subscription, Topic
from portside.store.interface import Delete, Put, Store, Write

ATTRIBUTES: Final = ("DisplayName", "Policy", "DeliveryPolicy")
_ACTIONS: Final = (
    *("SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission"),
    *("SNS:DeleteTopic", "SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish"),
)
DISPLAY_NAME_MOST: Final = 100


class Topics:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def create(self, context: RequestContext, params: Params) -> Result:
        name, given = params["Name"], dict(params.get("Attributes") or {})
        if name.endswith(".fifo") or given.get("FifoTopic") == "true":
            raise invalid("Attributes Reason: Portside does not implement FIFO topics")
        if not rule.NAME.fullmatch(name):
            raise invalid("Topic Name")
        if params.get("DataProtectionPolicy"):
            raise invalid("DataProtectionPolicy Reason: Portside does not implement it")
        refuse_others(given, ATTRIBUTES, "Attributes")
        tags = _tags(params.get("Tags") or ())
        made = Topic(scope=scope_of(context), name=name, tags=tags, created_at=self._clock.now())
        for attribute, value in given.items():
            made = _with(made, attribute, value)
        known = self._store.get(TOPIC, TOPIC.key(made))
        if known is not None:
            asked = replace(made, created_at=known.created_at, deleted=known.deleted)
            if given and replace(asked, tags=known.tags) != known:
                raise invalid("Attributes Reason: Topic already exists with different attributes")
            if tags and tags != known.tags:
                raise invalid("Tags Reason: Topic already exists with different tags")
            return {"TopicArn": known.arn}
        self._store.transact(Put(TOPIC, made))
        return {"TopicArn": made.arn}

    def list(self, context: RequestContext, params: Params) -> Result:
        found = sorted(self._store.scan(TOPIC, context.prefix), key=lambda each: each.name)
        return paged(params, "Topics", found, lambda each: {"TopicArn": each.arn})

    def delete(self, context: RequestContext, params: Params) -> Result:
        name = rule.name_of(params["TopicArn"], scope_of(context))
        topic = self._store.get(TOPIC, f"{context.prefix}{name}") if name is not None else None
        if topic is not None:
            writes: list[Write] = [Delete(TOPIC, TOPIC.key(topic))]
            writes += [Delete(SUBSCRIPTION, SUBSCRIPTION.key(each)) for each in self._subscriptions(topic)]
            self._store.transact(*writes)
        return {}

    def attributes(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["TopicArn"])
        subscriptions = self._subscriptions(topic)
        confirmed = sum(each.is_confirmed for each in subscriptions)
        found = {
            "TopicArn": topic.arn,
            "Owner": topic.scope.account,
            "DisplayName": topic.display_name,
            "Policy": topic.policy or _usual_policy(topic),
            "SubscriptionsConfirmed": str(confirmed),
            "SubscriptionsPending": str(len(subscriptions) - confirmed),
            "SubscriptionsDeleted": str(topic.deleted),
            "EffectiveDeliveryPolicy": _delivery_policy(topic),
        }
        if topic.retry is not None:
            found["DeliveryPolicy"] = _delivery_policy(topic)
        return {"Attributes": found}

    def set_attribute(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["TopicArn"])
        name = params["AttributeName"]
        if name not in ATTRIBUTES:
            raise invalid("AttributeName")
        self._store.transact(Put(TOPIC, _with(topic, name, params.get("AttributeValue") or "")))
        return {}

    def publish(self, context: RequestContext, params: Params) -> Result:
        if params.get("PhoneNumber"):
            raise invalid("PhoneNumber Reason: Portside sends no text messages")
        named = params.get("TopicArn") or params.get("TargetArn")
        if not named:
            raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
        refuse_others(
            {each: params.get(each) for each in ("MessageDeduplicationId", "MessageGroupId")}, (), "MessageGroupId"
        )
        topic = known_topic(self._store, context, named, "TopicArn" if params.get("TopicArn") else "TargetArn")
        message, by_protocol = _message(params)
        message_id = self._ids.uuid()
        sent = rule.notifications(
            *(topic, self._subscriptions(topic)),
            message=message,
            subject=_subject(params.get("Subject")),
            message_id=message_id,
            now=self._clock.now(),
            attributes=_message_attributes(params.get("MessageAttributes") or {}),
            by_protocol=by_protocol,
        )
        if sent:
            self._store.transact(*(Put(NOTIFICATION, each) for each in sent))
        return {"MessageId": message_id}

    # --- tags

    def tag(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["ResourceArn"], "ResourceArn")
        with told():
            tags = tag_rule.merged(topic.tags, _tags(params["Tags"]))
        self._store.transact(Put(TOPIC, replace(topic, tags=tags)))
        return {}

    def untag(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["ResourceArn"], "ResourceArn")
        kept = tuple(each for each in topic.tags if each.key not in params["TagKeys"])
        self._store.transact(Put(TOPIC, replace(topic, tags=kept)))
        return {}

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["ResourceArn"], "ResourceArn")
        return {"Tags": [{"Key": each.key, "Value": each.value} for each in topic.tags]}

    def _subscriptions(self, topic: Topic) -> Sequence[Subscription]:
        return [*self._store.scan(SUBSCRIPTION, f"{topic.scope.prefix}{topic.name}/")]


def _with(topic: Topic, attribute: str, value: str) -> Topic:
    """Raises ServiceError."""
    if attribute == "DisplayName":
        if len(value) > DISPLAY_NAME_MOST:
            raise invalid("DisplayName: Display name must be less than 100 characters long")
        return replace(topic, display_name=value)
    if attribute == "Policy":
        _json(value, "Policy")
        return replace(topic, policy=value)
    if not value:
        return replace(topic, retry=None, retry_for_all=False)
    given = _json(value, "DeliveryPolicy")
    over_http = given.get("http") or {}
    refuse_others(given, ("http",), "DeliveryPolicy")
    refuse_others(over_http, ("defaultHealthyRetryPolicy", "disableSubscriptionOverrides"), "DeliveryPolicy")
    with told():
        retry = rule.retry_from(over_http.get("defaultHealthyRetryPolicy") or {})
    return replace(topic, retry=retry, retry_for_all=over_http.get("disableSubscriptionOverrides") is True)


def _json(text: str, member: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise invalid(f"{member}: is not valid JSON")
    return found


def _delivery_policy(topic: Topic) -> str:
    over_http = {
        "defaultHealthyRetryPolicy": rule.retry_to(topic.retry or rule.USUAL),
        "disableSubscriptionOverrides": topic.retry_for_all,
    }
    return json.dumps({"http": over_http}, separators=(",", ":"))


def _usual_policy(topic: Topic) -> str:
    """What AWS gives a topic: its owner may do everything."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": _ACTIONS,
        "Resource": topic.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": topic.scope.account}},
    }
    document = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    return json.dumps(document, separators=(",", ":"))


def _subject(subject: str | None) -> str | None:
    if subject is None:
        return None
    is_text = subject.strip() and all(ord(each) >= 32 for each in subject) and subject.isascii()
    if not is_text or len(subject) > rule.SUBJECT_MOST:
        raise invalid("Subject")
    return subject


def _message(params: Params) -> tuple[str, dict[str, str]]:
    """The text, and others for protocols."""
    message = params["Message"]
    if not message:
        raise invalid("Empty message")
    if len(message.encode()) > rule.MESSAGE_MOST_BYTES:
        raise invalid("Message too long")
    structure = params.get("MessageStructure")
    if structure is None:
        return message, {}
    if structure != "json":
        raise invalid("MessageStructure")
    try:
        texts = json.loads(message)
    except ValueError:
        texts = None
    if not isinstance(texts, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    if not isinstance(texts.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    return texts["default"], {name: text for name, text in texts.items() if isinstance(text, str)}


def _message_attributes(given: Any) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name, each in given.items():
        kind = each.get("DataType") or ""
        if kind.partition(".")[0] not in ("String", "Number", "Binary") and kind != "String.Array":
            raise invalid(f"Message attribute '{name}' has an invalid type")
        value = each.get("StringValue")
        if kind.startswith("Binary"):
            binary = each.get("BinaryValue")
            value = base64.b64encode(binary).decode() if binary is not None else None
        if not value:
            raise invalid(f"The message attribute '{name}' must contain non-empty message attribute value")
        found[name] = (kind, value)
    return found


def _tags(given: Any) -> Tags:
    tags = tuple(Tag(key=each["Key"], value=each["Value"]) for each in given)
    with told():
        tag_rule.check(tags)
    return tags
