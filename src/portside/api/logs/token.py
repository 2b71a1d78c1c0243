"""Page tokens: opaque to the caller, stateless for us.

A list's token is the last name shown. An event's token is a place among events, written as AWS writes it (`f/…`
forward, `b/…` back); the place is (milliseconds, event number), and reading goes on beyond it.
"""

import base64
import binascii
import re
from typing import Final, NamedTuple

from portside.api.logs.error import invalid

_MS_DIGITS: Final = 16
_NUMBER_DIGITS: Final = 40
_NUMBER_MAX: Final = 2**62
_EVENT: Final = re.compile(rf"([fb])/(\d{{{_MS_DIGITS}}})(\d{{{_NUMBER_DIGITS}}})/s")


class Place(NamedTuple):
    """Just at an event: `at_ms` and its number."""

    at_ms: int
    number: int

    @property
    def cursor(self) -> tuple[int, str]:
        """As the log store takes it."""
        return self.at_ms, str(self.number)


def event_token(direction: str, place: Place) -> str:
    """`direction`: f or b."""
    return f"{direction}/{place.at_ms:0{_MS_DIGITS}d}{place.number:0{_NUMBER_DIGITS}d}/s"


def read_event_token(token: str) -> tuple[str, Place]:
    """The direction and the place. Raises InvalidParameterException."""
    found = _EVENT.fullmatch(token)
    if found is None or int(found[3]) > _NUMBER_MAX:
        raise invalid("The specified nextToken is invalid.")
    return found[1], Place(int(found[2]), int(found[3]))


def list_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_list_token(token: str) -> str:
    """Raises InvalidParameterException."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("The specified nextToken is invalid.") from None
