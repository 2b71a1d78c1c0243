"""EventBridge's errors, in its words, and what its operations share."""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import arn
from portside.domain.event_bridge import BUS
from portside.domain.refusal import Refused

T = TypeVar("T")

PAGE: Final = 100


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def missing(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)


@contextmanager
def told(code: str = "ValidationException") -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise ServiceError(code, error.message) from error


def check_bus(context: RequestContext, named: str | None) -> None:
    """Raises ServiceError: it is not the default event bus."""
    own = str(arn.Arn("events", context.region, context.account, f"event-bus/{BUS}"))
    if named not in (None, BUS, own):
        raise missing(f"Event bus {named} does not exist.")


def paged(params: Params, member: str, items: Sequence[T], shape: Callable[[T], Any]) -> Result:
    start, size = 0, params.get("Limit") or PAGE
    if params.get("NextToken"):
        try:
            start = int(base64.b64decode(params["NextToken"], validate=True))
        except (binascii.Error, ValueError):
            raise invalid("Provided NextToken is not valid.") from None
    result: Result = {member: [shape(each) for each in items[start : start + size]]}
    if start + size < len(items):
        result["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return result
