"""What the policy of a file system, and a role's own, let a client do."""

import json
from typing import Any

import pytest

from portside.domain.file_system_policy import Access, Client, access, check
from portside.domain.refusal import Refused

ARN = "arn:aws:elasticfilesystem:us-east-1:000000000000:file-system/fs-1"
ROLE = "arn:aws:iam::000000000000:role/app"
ALL, NONE = Access(), Access(mount=False, write=False, root=False)
READ = Access(write=False, root=False)
ANONYMOUS, APP = Client(), Client(role_arn=ROLE)


def statement(effect: str = "Allow", principal: Any = "*", actions: Any = "elasticfilesystem:*", **more: Any) -> Any:
    return {"Effect": effect, "Principal": principal, "Action": actions, **more}


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def own(actions: Any, effect: str = "Allow", resource: str = "*") -> str:
    return policy({"Effect": effect, "Action": actions, "Resource": resource})


MOUNT = "elasticfilesystem:ClientMount"
TO_APP = {"AWS": ROLE}


@pytest.mark.parametrize(
    ("document", "client", "allowed"),
    [
        ("", ANONYMOUS, ALL),
        (policy(statement()), ANONYMOUS, ALL),
        (policy(statement(actions=MOUNT)), ANONYMOUS, READ),
        (policy(statement(principal={"AWS": "*"}, actions=[MOUNT])), APP, READ),
        (policy(statement(principal=TO_APP)), ANONYMOUS, NONE),
        (policy(statement(principal=TO_APP)), APP, ALL),
        (policy(statement(principal={"AWS": "arn:aws:iam::000000000000:role/other"})), APP, NONE),
        (policy(statement(principal={"AWS": "arn:aws:iam::000000000000:root"})), APP, NONE),
        (policy(statement(principal=TO_APP), statement("Deny", {"AWS": "000000000000"})), APP, NONE),
        (policy(statement(), statement("Deny", TO_APP, "elasticfilesystem:ClientWrite")), APP, Access(write=False)),
        (policy(statement(Resource=ARN)), ANONYMOUS, ALL),
        (policy(statement(Resource=f"{ARN}2")), ANONYMOUS, NONE),
        (policy(statement(NotAction="x", Action=None)), ANONYMOUS, ALL),
        (policy(statement(principal=TO_APP)), Client(role_arn=ROLE, policies=(own("*", "Deny"),)), NONE),
        (policy(statement("Deny", "*", "elasticfilesystem:ClientWrite")), APP, NONE),
        (policy(statement(principal={"AWS": "x"})), Client(role_arn=ROLE, policies=(own(MOUNT),)), READ),
        (policy(statement(principal={"AWS": "x"})), Client(role_arn=ROLE, policies=(own(MOUNT, "Allow", "y"),)), NONE),
        (
            policy(statement(principal={"AWS": "x"})),
            Client(role_arn=ROLE, managed=("arn:aws:iam::aws:policy/AmazonElasticFileSystemClientReadWriteAccess",)),
            Access(root=False),
        ),
    ],
)
def test_what_a_client_may(document: str, client: Client, allowed: Access) -> None:
    """Without a policy all; with one, what it or the role's own allow and neither denies."""
    assert access(document, client, arn=ARN, known={}) == allowed


@pytest.mark.parametrize(("is_secure", "allowed"), [("true", ALL), ("false", NONE)])
def test_conditions_decide(is_secure: str, allowed: Access) -> None:
    """The usual one: who does not come by TLS is denied."""
    bool_is = {"Bool": {"aws:SecureTransport": "false"}}
    document = policy(statement(), statement("Deny", "*", "*", Condition=bool_is))
    assert access(document, ANONYMOUS, arn=ARN, known={"aws:securetransport": is_secure}) == allowed


def test_a_condition_that_can_not_be_decided_opens_nothing() -> None:
    """It neither allows, nor lets a denial pass."""
    unknown = {"Mystery": {"a": "b"}}
    assert access(policy(statement(Condition=unknown)), ANONYMOUS, arn=ARN, known={}) == NONE
    document = policy(statement(), statement("Deny", Condition=unknown))
    assert access(document, ANONYMOUS, arn=ARN, known={}) == NONE


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "{}",
        policy({"Effect": "Allow", "Action": "*"}),
        policy(statement("Maybe")),
        policy(statement(actions="s3:GetObject")),
        " " * 20_001,
    ],
)
def test_what_is_no_policy_is_refused(document: str) -> None:
    """Before it is kept."""
    with pytest.raises(Refused):
        check(document)
