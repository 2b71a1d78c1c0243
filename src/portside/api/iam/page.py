"""Pages of IAM's lists: MaxItems and Marker in, IsTruncated and Marker out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from portside.api.iam.error import invalid
from portside.aws.service import Params, Result

T = TypeVar("T")

DEFAULT_ITEMS = 100
"""IAM's figure."""


def page(params: Params, name: str, items: Sequence[T], key: Callable[[T], str], shape: Callable[[T], Any]) -> Result:
    """One page of `items` as the member `name`.

    Args:
        items: in the order of `key`.
        key: what a marker remembers; items after it follow, even if the item itself has gone since.
        shape: makes the wire form of one item.
    """
    start = 0
    if "Marker" in params:
        try:
            after = base64.b64decode(params["Marker"], altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise invalid(f"Invalid Marker: {params['Marker']}") from None
        start = next((at for at, item in enumerate(items) if key(item) > after), len(items))
    end = start + params.get("MaxItems", DEFAULT_ITEMS)
    result: Result = {name: [shape(item) for item in items[start:end]], "IsTruncated": end < len(items)}
    if end < len(items):
        result["Marker"] = base64.urlsafe_b64encode(key(items[end - 1]).encode()).decode()
    return result
