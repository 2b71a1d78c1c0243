"""Whether what fails again and again is to be said again. Pure."""

from typing import Final

PAUSE_S: Final = 60.0
PAUSE_MOST_S: Final = 3600.0


class Complaint:
    """Of one thing that is tried until it goes well: said at once and when its reason is another one, else after a
    minute and then after pauses that double up to an hour."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._pause_s, self._due_at_s = 0.0, 0.0

    def is_due(self, reason: str, now_s: float) -> bool:
        is_same = reason == self._reason
        if is_same and now_s < self._due_at_s:
            return False
        self._pause_s = min(self._pause_s * 2, PAUSE_MOST_S) if is_same else PAUSE_S
        self._reason, self._due_at_s = reason, now_s + self._pause_s
        return True

    def end(self) -> None:
        """It went well: the next failure is a new one."""
        self._reason = None
