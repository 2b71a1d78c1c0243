"""Who may assume a role."""

import json
from typing import Any

import pytest

from portside.domain.trust import Caller, admits_caller, admits_service

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


ACCOUNT, OTHER = "111111111111", "222222222222"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/app/deployer"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/ci"
IS_ROOT = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root")
IS_ROLE = Caller(account=ACCOUNT, arn=SESSION, role_arn=ROLE)


def aws(*named: str) -> dict[str, Any]:
    return {"AWS": list(named)}


EXTERNAL = {"StringEquals": {"sts:ExternalId": "tenant-7"}}
UNDECIDED = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}


@pytest.mark.parametrize(
    ("document", "root", "role"),
    [
        (policy(statement(principal=aws("*"))), True, True),
        (policy(statement(principal="*")), True, True),
        (policy(statement(principal=aws(ACCOUNT))), True, True),
        (policy(statement(principal=aws(f"arn:aws:iam::{ACCOUNT}:root"))), True, True),
        (policy(statement(principal=aws(OTHER, f"arn:aws:iam::{OTHER}:root"))), False, False),
        (policy(statement(principal=aws(ROLE))), False, True),
        (policy(statement(principal=aws(SESSION))), False, True),
        (policy(statement(principal=aws(f"{SESSION}2", f"{ROLE}2"))), False, False),
        (policy(statement(principal=aws(f"arn:aws:iam::{ACCOUNT}:role/*"))), False, False),
        (policy(statement(principal=aws(f"arn:aws:iam::{ACCOUNT}:user/me"))), False, False),
        (policy(statement(principal={"Service": TASKS})), False, False),
        (policy(statement(principal=aws("*")), statement("Deny", principal=aws(ROLE))), True, False),
        (policy(statement(principal=aws("*")), {**statement("Deny"), "Principal": aws(OTHER)}), True, True),
        (policy(statement(principal=aws("*"), action="sts:TagSession")), False, False),
        (policy(statement(principal=aws("*"), Condition=EXTERNAL)), True, True),
        (policy(statement(principal=aws("*"), Condition={"StringEquals": {"sts:ExternalId": "8"}})), False, False),
        (policy(statement(principal=aws("*"), Condition=UNDECIDED)), False, False),
        (policy(statement(principal=aws("*")), statement("Deny", principal="*", Condition=UNDECIDED)), False, False),
        (
            policy(statement(principal=aws("*")), statement("Deny", principal="*", Condition={"Bool": {"aws:x": "1"}})),
            True,
            True,
        ),
        (
            policy(
                statement(principal=aws("*")),
                {"Effect": "Deny", "NotPrincipal": aws(ROLE), "Action": "sts:AssumeRole"},
            ),
            False,
            True,
        ),
        (policy({"Effect": "Allow", "NotPrincipal": aws(OTHER), "Action": "sts:AssumeRole"}), False, False),
    ],
)
def test_a_caller_is_admitted_by_account_role_or_session(document: str, root: bool, role: bool) -> None:
    """A policy names everybody, an account, a role or one session; in doubt about a condition nobody is admitted."""
    known = {"sts:externalid": "tenant-7"}
    assert admits_caller(document, IS_ROOT, known) is root
    assert admits_caller(document, IS_ROLE, known) is role
