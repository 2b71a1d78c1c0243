"""Who may assume a role, by the role's trust policy.

Principals and actions are looked at. A statement with a Condition counts as if the condition were fulfilled: those that
people write here (`aws:SourceAccount`, `aws:SourceArn`) name the account itself.
Source: IAM user guide, "Policy evaluation logic" and "Principal".
"""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

ASSUME: Final = "sts:assumerole"


def admits_service(document: str, service: str) -> bool:
    """Whether a service (`ecs-tasks.amazonaws.com`) may assume the role of this trust policy (JSON)."""
    allowed = False
    for statement in _statements(document):
        if not _is_about_assuming(statement) or not _names_service(statement, service):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _statements(document: str) -> Iterator[Mapping[str, Any]]:
    found = json.loads(document).get("Statement") or []
    yield from [found] if isinstance(found, dict) else found


def _is_about_assuming(statement: Mapping[str, Any]) -> bool:
    if "NotAction" in statement:
        return not _matches(statement["NotAction"], ASSUME)
    return _matches(statement.get("Action"), ASSUME)


def _names_service(statement: Mapping[str, Any], service: str) -> bool:
    principal = statement.get("Principal")
    if principal == "*":
        return True
    return isinstance(principal, dict) and service in _listed(principal.get("Service"))


def _matches(patterns: Any, name: str) -> bool:
    return any(fnmatchcase(name, each.lower()) for each in _listed(patterns))


def _listed(value: Any) -> list[str]:
    """One text or a list of such, as policies have both."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]
