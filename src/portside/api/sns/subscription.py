"""Subscriptions of HTTP endpoints."""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from portside.api.sns.error import invalid, known_topic, missing, paged, refuse_others, scope_of, told
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import arn
from portside.domain import topic as rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope, replace
from portside.domain.table import NOTIFICATION, SUBSCRIPTION, TOPIC
from portside.domain.topic import Subscription
from portside.store.interface import Delete, Put, Store, Write

ATTRIBUTES: Final = ("RawMessageDelivery", "DeliveryPolicy")
PENDING: Final = "PendingConfirmation"
TOKEN_DIGITS: Final = 256


class Subscriptions:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def subscribe(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["TopicArn"])
        protocol, endpoint = params["Protocol"], params.get("Endpoint") or ""
        with told():
            rule.check_endpoint(protocol, endpoint)
        given = dict(params.get("Attributes") or {})
        refuse_others(given, ATTRIBUTES, "Attributes")
        known = next(
            (
                each
                for each in self._of(topic.scope, topic.name)
                if (each.protocol, each.endpoint) == (protocol, endpoint)
            ),
            None,
        )
        now = self._clock.now()
        subscription = known or Subscription(
            scope=topic.scope,
            topic=topic.name,
            id=self._ids.uuid(),
            protocol=protocol,
            endpoint=endpoint,
            token=self._ids.hex(TOKEN_DIGITS),
            created_at=now,
        )
        for name, value in given.items():
            subscription = _with(subscription, name, value)
        if known is not None and known.is_confirmed:
            if subscription != known:
                raise invalid("Attributes Reason: Subscription already exists with different attributes")
            return {"SubscriptionArn": known.arn}
        subscription = replace(subscription, created_at=now)
        asked = rule.confirmation(subscription, message_id=self._ids.uuid(), now=now)
        self._store.transact(Put(SUBSCRIPTION, subscription), Put(NOTIFICATION, asked))
        return {"SubscriptionArn": subscription.arn if params.get("ReturnSubscriptionArn") else "pending confirmation"}

    def confirm(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["TopicArn"])
        needs_authentication = params.get("AuthenticateOnUnsubscribe") == "true"
        return {"SubscriptionArn": self._confirm(topic.scope, topic.name, params["Token"], needs_authentication)}

    def _confirm(self, scope: Scope, topic: str, token: str, needs_authentication: bool) -> str:
        for each in self._of(scope, topic):
            if hmac.compare_digest(each.token.encode(), token.encode()):
                if each.is_confirmed:
                    return each.arn
                if self._clock.now() - each.created_at > rule.TOKEN_FOR:
                    raise invalid("Token")
                confirmed = replace(each, is_confirmed=True, needs_authentication=needs_authentication)
                self._store.transact(Put(SUBSCRIPTION, confirmed))
                return each.arn
        raise invalid("Token")

    def unsubscribe(self, context: RequestContext, params: Params) -> Result:
        found = self._found(scope_of(context), params["SubscriptionArn"])
        if found is not None:
            if not found.is_confirmed:
                raise invalid("SubscriptionArn Reason: This subscription can't be deleted as it's pending confirmation")
            self._remove(found)
        return {}

    def _remove(self, subscription: Subscription) -> None:
        writes: list[Write] = [Delete(SUBSCRIPTION, SUBSCRIPTION.key(subscription))]
        topic = self._store.get(TOPIC, f"{subscription.scope.prefix}{subscription.topic}")
        if topic is not None:
            writes.append(Put(TOPIC, replace(topic, deleted=topic.deleted + 1)))
        self._store.transact(*writes)

    def list(self, context: RequestContext, params: Params) -> Result:
        return paged(params, "Subscriptions", list(self._store.scan(SUBSCRIPTION, context.prefix)), _to)

    def list_by_topic(self, context: RequestContext, params: Params) -> Result:
        topic = known_topic(self._store, context, params["TopicArn"])
        return paged(params, "Subscriptions", self._of(topic.scope, topic.name), _to)

    def attributes(self, context: RequestContext, params: Params) -> Result:
        found = self._known(context, params)
        topic = self._store.get(TOPIC, f"{context.prefix}{found.topic}")
        effective = rule.retry_of(topic, found) if topic is not None else found.retry or rule.USUAL
        shown = {
            "SubscriptionArn": found.arn,
            "TopicArn": found.topic_arn,
            "Owner": found.scope.account,
            "Protocol": found.protocol,
            "Endpoint": found.shown_endpoint,
            "PendingConfirmation": _bool(not found.is_confirmed),
            "ConfirmationWasAuthenticated": _bool(found.needs_authentication),
            "RawMessageDelivery": _bool(found.is_raw),
            "EffectiveDeliveryPolicy": _policy(effective),
        }
        if found.retry is not None:
            shown["DeliveryPolicy"] = _policy(found.retry)
        return {"Attributes": shown}

    def set_attribute(self, context: RequestContext, params: Params) -> Result:
        found = self._known(context, params)
        name, value = params["AttributeName"], params.get("AttributeValue") or ""
        if name not in ATTRIBUTES:
            refuse_others({name: value or "x"}, ATTRIBUTES, "AttributeName")
        self._store.transact(Put(SUBSCRIPTION, _with(found, name, value)))
        return {}

    def visit(self, query: Mapping[str, str]) -> tuple[int, str]:
        """What the links in messages lead to: HTTP status and a document as SNS answers."""
        named, token = arn.parse(query.get("TopicArn") or query.get("SubscriptionArn") or ""), query.get("Token", "")
        if named is None or named.service != "sns":
            return 404, _xml_error("NotFound", "Topic does not exist")
        scope = Scope(account=named.account, region=named.region)
        try:
            if query.get("Action") == "ConfirmSubscription":
                needs_authentication = query.get("AuthenticateOnUnsubscribe") == "true"
                confirmed = self._confirm(scope, named.resource, token, needs_authentication)
                return 200, _xml("ConfirmSubscription", f"<SubscriptionArn>{escape(confirmed)}</SubscriptionArn>")
            found = self._found(scope, str(named)) if query.get("Action") == "Unsubscribe" else None
            if found is None or found.needs_authentication or not hmac.compare_digest(found.token, token):
                return 403, _xml_error("AuthorizationError", "This link is of no use")
            self._remove(found)
        except ServiceError as error:
            return error.status, _xml_error("InvalidParameter", error.message)
        return 200, _xml("Unsubscribe", "")

    def _of(self, scope: Scope, topic: str) -> Sequence[Subscription]:
        return [*self._store.scan(SUBSCRIPTION, f"{scope.prefix}{topic}/")]

    def _found(self, scope: Scope, subscription_arn: str) -> Subscription | None:
        parsed = arn.parse(subscription_arn)
        if parsed is None or parsed.service != "sns" or ":" not in parsed.resource:
            raise invalid("SubscriptionArn Reason: An ARN must have at least 7 elements")
        topic, _, id_ = parsed.resource.partition(":")
        if (parsed.account, parsed.region) != (scope.account, scope.region):
            return None
        return self._store.get(SUBSCRIPTION, f"{scope.prefix}{topic}/{id_}")

    def _known(self, context: RequestContext, params: Params) -> Subscription:
        found = self._found(scope_of(context), params["SubscriptionArn"])
        if found is None:
            raise missing("Subscription")
        return found


def _with(subscription: Subscription, name: str, value: str) -> Subscription:
    """Raises ServiceError."""
    if name == "RawMessageDelivery":
        if value not in ("true", "false"):
            raise invalid("RawMessageDelivery: Value must be true or false")
        return replace(subscription, is_raw=value == "true")
    if not value:
        return replace(subscription, retry=None)
    try:
        given = json.loads(value)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise invalid("DeliveryPolicy: is not valid JSON")
    refuse_others(given, ("healthyRetryPolicy",), "DeliveryPolicy")
    with told():
        return replace(subscription, retry=rule.retry_from(given.get("healthyRetryPolicy") or {}))


def _to(subscription: Subscription) -> dict[str, Any]:
    return {
        "SubscriptionArn": subscription.arn if subscription.is_confirmed else PENDING,
        "TopicArn": subscription.topic_arn,
        "Owner": subscription.scope.account,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.shown_endpoint,
    }


def _policy(retry: rule.RetryPolicy) -> str:
    return json.dumps({"healthyRetryPolicy": rule.retry_to(retry)}, separators=(",", ":"))


def _bool(value: bool) -> str:
    return "true" if value else "false"


_NAMESPACE: Final = "http://sns.amazonaws.com/doc/2010-03-31/"


def _xml(operation: str, result: str) -> str:
    inner = f"<{operation}Result>{result}</{operation}Result>"
    return f'<{operation}Response xmlns="{_NAMESPACE}">{inner}</{operation}Response>'


def _xml_error(code: str, message: str) -> str:
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error></ErrorResponse>"
    )
