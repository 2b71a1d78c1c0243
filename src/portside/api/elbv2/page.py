"""Pages of a listing: Marker and PageSize in, NextMarker out."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from portside.api.elbv2.error import invalid
from portside.aws.service import Params, Result

T = TypeVar("T")

MOST: Final = 400
"""The model's largest PageSize, and the default."""


def limits(most: Mapping[str, int], params: Params) -> Result:
    """Of DescribeAccountLimits, by name."""
    shown, more = page([{"Name": name, "Max": str(each)} for name, each in most.items()], params)
    return {"Limits": list(shown), **more}


def page(items: Sequence[T], params: Params) -> tuple[Sequence[T], dict[str, str]]:
    """The page asked for, and the member NextMarker if there is another one."""
    start = 0
    if marker := params.get("Marker"):
        try:
            start = int(base64.urlsafe_b64decode(marker.encode()).decode())
        except (binascii.Error, ValueError):
            start = -1
        if start < 0:
            raise invalid("The marker is not valid")
    end = start + int(params.get("PageSize", MOST))
    more = {"NextMarker": base64.urlsafe_b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return items[start:end], more
