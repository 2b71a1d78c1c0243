"""SNS's errors, in its words, and what its operations share."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import topic as rule
from portside.domain.record import Scope
from portside.domain.refusal import Refused
from portside.domain.table import TOPIC
from portside.domain.topic import Topic
from portside.store.interface import Store

T = TypeVar("T")

PAGE: Final = 100


def invalid(reason: str) -> ServiceError:
    return ServiceError("InvalidParameterException", f"Invalid parameter: {reason}")


def missing(what: str) -> ServiceError:
    return ServiceError("NotFoundException", f"{what} does not exist", 404)


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise ServiceError("InvalidParameterException", error.message) from error


def scope_of(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def known_topic(store: Store, context: RequestContext, topic_arn: str, member: str = "TopicArn") -> Topic:
    """Raises ServiceError."""
    if not topic_arn.startswith("arn:"):
        raise invalid(f"{member} Reason: An ARN must have at least 6 elements, not {len(topic_arn.split(':'))}")
    name = rule.name_of(topic_arn, scope_of(context))
    found = store.get(TOPIC, f"{context.prefix}{name}") if name is not None else None
    if found is None:
        raise missing("Topic")
    return found


def paged(params: Params, member: str, items: Sequence[T], shape: Callable[[T], Any]) -> Result:
    start = 0
    if params.get("NextToken"):
        try:
            start = int(base64.b64decode(params["NextToken"], validate=True))
        except (binascii.Error, ValueError):
            raise invalid("NextToken Reason: Not a valid token") from None
    result: Result = {member: [shape(each) for each in items[start : start + PAGE]]}
    if start + PAGE < len(items):
        result["NextToken"] = base64.b64encode(str(start + PAGE).encode()).decode()
    return result


def refuse_others(given: Mapping[str, Any], taken: Sequence[str], what: str) -> None:
    """Raises ServiceError: something is asked for that Portside does not do."""
    for name, value in given.items():
        if name not in taken and value not in (None, "", "false"):
            raise invalid(f"{what} Reason: Portside does not implement {name}")
