"""Who may assume a role."""

import json
from typing import Any

import pytest

from portside.domain.trust import admits_service

TASKS = "ecs-tasks.amazonaws.com"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(
    effect: str = "Allow", principal: Any = None, action: Any = "sts:AssumeRole", **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal or {"Service": TASKS}, "Action": action, **more}


@pytest.mark.parametrize(
    ("document", "admitted"),
    [
        (policy(statement()), True),
        (json.dumps({"Statement": statement()}), True),
        (
            policy(
                statement(principal={"Service": ["ec2.amazonaws.com", TASKS]}, action=["sts:TagSession", "STS:Assume*"])
            ),
            True,
        ),
        (policy(statement(principal="*")), True),
        (policy(statement(Condition={"StringEquals": {"aws:SourceAccount": "000000000000"}})), True),
        (policy(statement(principal={"Service": "ec2.amazonaws.com"})), False),
        (policy(statement(principal={"AWS": "*"})), False),
        (policy(statement(action="sts:TagSession")), False),
        (policy(statement(), statement("Deny", action="*")), False),
        (policy(statement(), statement("Deny", principal={"Service": "ec2.amazonaws.com"})), True),
    ],
)
def test_a_service_is_admitted_by_its_name(document: str, admitted: bool) -> None:
    """A statement that names the service and the action admits it, and one that denies it wins."""
    assert admits_service(document, TASKS) is admitted
