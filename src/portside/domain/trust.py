"""Who may assume a role, by the role's trust policy.

For services (tasks) principals and actions are looked at, and a statement with a Condition counts as if it were
fulfilled: those that people write here (`aws:SourceAccount`, `aws:SourceArn`) name the account itself. For callers
conditions are evaluated, and what can not be decided admits nobody.
Source: IAM user guide, "Policy evaluation logic" and "Principal".
"""

import json
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from portside.domain import arn, condition
from portside.domain.record import Record

ASSUME: Final = "sts:assumerole"


class Caller(Record, frozen=True, kw_only=True):
    """Who asks. `arn`: of the session, or the account's root; `role_arn`: the session's role, or empty."""

    account: str
    arn: str
    role_arn: str = ""


def admits_service(document: str, service: str) -> bool:
    """Whether a service (`ecs-tasks.amazonaws.com`) may assume the role of this trust policy (JSON)."""

    def named(principal: object) -> bool:
        return principal == "*" or (isinstance(principal, dict) and service in _listed(principal.get("Service")))

    return _admits(document, named, lambda _: True)


def admits_caller(document: str, caller: Caller, known: condition.Known) -> bool:
    """Whether a caller may assume the role of this trust policy (JSON).

    A policy that names an account leaves it to that account's own policies whom it means. They are not evaluated: it
    means everybody of the account.

    Args:
        known: what conditions are decided by.
    """

    def named(principal: object) -> bool:
        if principal == "*":
            return True
        return isinstance(principal, dict) and any(_means(each, caller) for each in _listed(principal.get("AWS")))

    return _admits(document, named, lambda given: condition.holds(given, known))


def _admits(document: str, named: Callable[[object], bool], holds: Callable[[object], bool | None]) -> bool:
    """One Deny that applies, or may apply, outweighs every Allow that does."""
    allowed = False
    for statement in _statements(document):
        if not _is_about_assuming(statement) or not _names(statement, named):
            continue
        fulfilled = holds(statement["Condition"]) if "Condition" in statement else True
        if statement.get("Effect") == "Deny":
            if fulfilled is not False:
                return False
        elif fulfilled:
            allowed = True
    return allowed


def _statements(document: str) -> Iterator[Mapping[str, Any]]:
    found = json.loads(document).get("Statement") or []
    yield from [found] if isinstance(found, dict) else found


def _is_about_assuming(statement: Mapping[str, Any]) -> bool:
    if "NotAction" in statement:
        return not _matches(statement["NotAction"], ASSUME)
    return _matches(statement.get("Action"), ASSUME)


def _names(statement: Mapping[str, Any], named: Callable[[object], bool]) -> bool:
    if "NotPrincipal" in statement:
        # IAM has it for denying alone.
        return statement.get("Effect") == "Deny" and not named(statement["NotPrincipal"])
    return named(statement.get("Principal"))


def _means(principal: str, caller: Caller) -> bool:
    """Whether an AWS principal is the caller: everybody, its account, its role, or the session itself."""
    if principal in ("*", caller.account, caller.arn):
        return True
    parsed = arn.parse(principal)
    if parsed is None:
        return False
    if parsed.service == "iam" and parsed.resource == "root":
        return parsed.account == caller.account
    return bool(caller.role_arn) and principal == caller.role_arn


def _matches(patterns: Any, name: str) -> bool:
    return any(fnmatchcase(name, each.lower()) for each in _listed(patterns))


def _listed(value: Any) -> list[str]:
    """One text or a list of such, as policies have both."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]
