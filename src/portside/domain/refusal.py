"""Refusals by a rule of ours. `api/` maps each kind to AWS's code, in one place per service."""

from enum import StrEnum


class RefusalKind(StrEnum):
    INVALID = "invalid"
    """A value breaks a rule."""
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """Something of that name is there, or the state forbids it."""
    LIMIT = "limit"
    EXHAUSTED = "exhausted"
    """No address, port or capacity is left."""
    IN_USE = "in_use"
    UNSUPPORTED = "unsupported"
    """AWS has it, Portside not yet: said plainly, never accepted and ignored."""


class Refused(Exception):
    """`what` names the field or resource; the message is AWS's where AWS has one."""

    def __init__(self, kind: RefusalKind, message: str, what: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.what = kind, message, what
