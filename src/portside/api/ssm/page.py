"""Pages of Parameter Store's lists: the token stands for the last item shown."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from portside.aws.service import Params, ServiceError

T = TypeVar("T")


def page(params: Params, items: Sequence[T], key: Callable[[T], str], size: int) -> tuple[Sequence[T], str | None]:
    """The page that is asked for, and the token of the next one.

    Args: items: in the order of `key`; size: unless MaxResults says otherwise."""
    start = 0
    if params.get("NextToken"):
        try:
            last = base64.b64decode(params["NextToken"], altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise ServiceError("InvalidNextToken", "The specified token is not valid.") from None
        start = next((at for at, item in enumerate(items) if key(item) > last), len(items))
    end = start + (params.get("MaxResults") or size)
    shown = items[start:end]
    more = end < len(items)
    return shown, base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if more and shown else None
