"""Pages of a listing: an opaque token stands for the last key that was given."""

from base64 import b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from portside.api.ecs.error import invalid
from portside.aws.service import Params

MOST: Final = 100
"""Results on a page, unless fewer are asked for (every List operation of ECS)."""


def size(params: Params, default: int = MOST) -> int:
    """How many results are asked for."""
    asked = params.get("maxResults")
    if asked is None:
        return default
    if not 1 <= asked <= MOST:
        raise invalid(f"maxResults should be between 1 and {MOST}.")
    return int(asked)


def token(key: str) -> str:
    return urlsafe_b64encode(key.encode()).decode()


def after(params: Params) -> str:
    """The last key of the page before; "" at the start."""
    given = params.get("nextToken")
    if not given:
        return ""
    try:
        return b64decode(given.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid("Invalid token.") from None


def cut(keys: Sequence[str], params: Params, default: int = MOST) -> tuple[Sequence[str], str | None]:
    """The page of sorted keys that was asked for, and the token of the next one (None: this is the last)."""
    last = after(params)
    first = bisect_right(keys, last) if last else 0
    page = keys[first : first + size(params, default)]
    more = first + len(page) < len(keys)
    return page, token(page[-1]) if more and page else None
