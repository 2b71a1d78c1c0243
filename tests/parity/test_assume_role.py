"""AssumeRole and GetSessionToken through boto3 and the aws command, with the sessions used afterwards."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import ClientError
from botocore.session import Session
from served import ACCOUNT, Served

from portside.api.iam.service import iam_service
from portside.api.sts.recognition import secret_of_session
from portside.api.sts.service import sts_service
from portside.aws.signature import SignatureVerifier
from portside.control.clock import RandomIds, SystemClock
from portside.session.issue import StsSessions
from portside.session.key import SessionKeys
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

OTHER = "222222222222"


@pytest.fixture
def endpoint(serve: Callable[..., Served]) -> Served:
    """One that takes any key: then the caller's account can be chosen."""
    store, clock = MemoryStore(), SystemClock()
    sts = StsSessions(store, clock, SessionKeys(bytes(32)))
    verifier = SignatureVerifier(lambda key: secret_of_session(sts, key), clock.now, accepts_unknown=True)
    return serve([sts_service(sts), iam_service(store, AesVault(bytes(32)), clock, RandomIds())], auth=verifier)


def role(endpoint: Served, name: str, principal: Any, *, key: str = ACCOUNT, condition: Any = None, **more: Any) -> Any:
    """A role that the principal may assume."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    if condition is not None:
        statement["Condition"] = condition
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = endpoint.client("iam", key=key).create_role(RoleName=name, AssumeRolePolicyDocument=document, **more)
    return made["Role"]


def keys(answer: Any) -> dict[str, str]:
    given = answer["Credentials"]
    return {"key": given["AccessKeyId"], "secret": given["SecretAccessKey"], "token": given["SessionToken"]}


def error_of(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_a_role_is_assumed(endpoint: Served) -> None:
    """The answer's keys sign calls of the role's session, whose ARN leaves out the role's path, for an hour."""
    made = role(endpoint, "deployer", {"AWS": ACCOUNT}, Path="/app/")
    answer = endpoint.client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="ci@x")
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{made['RoleId']}:ci@x",
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/ci@x",
    }
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    identity = endpoint.client("sts", **keys(answer)).get_caller_identity()
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]


def test_a_role_of_another_account(endpoint: Served) -> None:
    """A trusted caller of another account acts in the role's account afterwards."""
    made = role(endpoint, "shared", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, key=OTHER)
    answer = endpoint.client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="ci")
    assert endpoint.client("sts", **keys(answer)).get_caller_identity()["Account"] == OTHER
    endpoint.client("iam", **keys(answer)).get_role(RoleName="shared")
    code, status, message = error_of(
        endpoint.client("sts", key=OTHER).assume_role, RoleArn=made["Arn"], RoleSessionName="ci"
    )
    assert (code, status) == ("AccessDenied", 403)
    assert message == (
        f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: sts:AssumeRole on resource: {made['Arn']}"
    )


def test_a_role_that_is_not_there(endpoint: Served) -> None:
    """It is not told from one that does not admit the caller, and its path belongs to its ARN."""
    made = role(endpoint, "deployer", {"AWS": ACCOUNT}, Path="/app/")
    assume = endpoint.client("sts").assume_role
    for arn in (f"arn:aws:iam::{ACCOUNT}:role/none", f"arn:aws:iam::{ACCOUNT}:role/deployer", f"{made['Arn']}2"):
        assert error_of(assume, RoleArn=arn, RoleSessionName="ci")[:2] == ("AccessDenied", 403)
    assert error_of(assume, RoleArn=f"arn:aws:iam::{ACCOUNT}:user/someone", RoleSessionName="ci")[:2] == (
        "ValidationError",
        400,
    )


def test_roles_one_after_the_other(endpoint: Served) -> None:
    """A session assumes the role that trusts its role; such sessions last an hour at the most."""
    first = role(endpoint, "first", {"AWS": ACCOUNT})
    second = role(endpoint, "second", {"AWS": first["Arn"]}, MaxSessionDuration=7200)
    direct = endpoint.client("sts").assume_role
    assert error_of(direct, RoleArn=second["Arn"], RoleSessionName="ci")[0] == "AccessDenied"
    chained = endpoint.client("sts", **keys(direct(RoleArn=first["Arn"], RoleSessionName="ci"))).assume_role
    answer = chained(RoleArn=second["Arn"], RoleSessionName="next")
    assert answer["AssumedRoleUser"]["Arn"].endswith("assumed-role/second/next")
    assert error_of(chained, RoleArn=second["Arn"], RoleSessionName="next", DurationSeconds=3601) == (
        "ValidationError",
        400,
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    )


def test_an_external_id_is_asked_for(endpoint: Served) -> None:
    """A role that asks for an external id is assumed with it and not without."""
    condition = {"StringEquals": {"sts:ExternalId": "tenant-7"}}
    made = role(endpoint, "tenant", {"AWS": "*"}, condition=condition)
    assume = endpoint.client("sts").assume_role
    assume(RoleArn=made["Arn"], RoleSessionName="ci", ExternalId="tenant-7")
    assert error_of(assume, RoleArn=made["Arn"], RoleSessionName="ci")[0] == "AccessDenied"
    assert error_of(assume, RoleArn=made["Arn"], RoleSessionName="ci", ExternalId="x8")[0] == "AccessDenied"


def test_what_is_refused(endpoint: Served) -> None:
    """Durations, names and members outside of what STS or Portside has are refused by name."""
    made = role(endpoint, "long", {"AWS": ACCOUNT}, MaxSessionDuration=7200)
    assume = endpoint.client("sts").assume_role
    arn = made["Arn"]
    assume(RoleArn=arn, RoleSessionName="ci", DurationSeconds=7200)
    assert error_of(assume, RoleArn=arn, RoleSessionName="ci", DurationSeconds=7201) == (
        "ValidationError",
        400,
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )
    for wrong in ({"DurationSeconds": 899}, {"DurationSeconds": 43201}, {"RoleSessionName": "a b"}):
        code, status, message = error_of(assume, **{"RoleArn": arn, "RoleSessionName": "ci", **wrong})
        assert (code, status) == ("ValidationError", 400)
        assert message.startswith("1 validation error detected: Value ")
    assert error_of(assume, RoleArn=arn)[0] == "ValidationError"
    for absent in ({"Policy": "{}"}, {"Tags": [{"Key": "a", "Value": "b"}]}, {"SourceIdentity": "me"}):
        code, status, message = error_of(assume, RoleArn=arn, RoleSessionName="ci", **absent)
        assert (code, status) == ("NotImplemented", 501)
        assert next(iter(absent)) in message


def test_a_session_of_the_account(endpoint: Served) -> None:
    """GetSessionToken gives keys of the account itself, for an hour at the most; with them it gives no others."""
    answer = endpoint.client("sts", key=OTHER).get_session_token(DurationSeconds=36000)
    assert answer["Credentials"]["Expiration"] - datetime.now(UTC) <= timedelta(hours=1)
    session = endpoint.client("sts", **keys(answer))
    assert session.get_caller_identity()["Arn"] == f"arn:aws:iam::{OTHER}:root"
    assert error_of(session.get_session_token) == (
        "AccessDenied",
        403,
        "Cannot call GetSessionToken with session credentials",
    )
    made = role(endpoint, "r", {"AWS": OTHER})
    session.assume_role(RoleArn=made["Arn"], RoleSessionName="ci")


def test_boto3s_own_way_to_assume_a_role(endpoint: Served) -> None:
    """A profile with role_arn and source_profile, as botocore resolves it, works."""
    made = role(endpoint, "profile", {"AWS": ACCOUNT})
    source = Session()
    source.set_credentials(ACCOUNT, "test")

    def create(_service: str, **given: Any) -> Any:
        return endpoint.client("sts", key=given["aws_access_key_id"], secret=given["aws_secret_access_key"])

    fetcher = AssumeRoleCredentialFetcher(create, source.get_credentials(), made["Arn"])
    given = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role").get_frozen_credentials()
    identity = endpoint.client("sts", key=given.access_key, secret=given.secret_key, token=given.token)
    assert ":assumed-role/profile/botocore-session-" in identity.get_caller_identity()["Arn"]


def test_the_aws_command(endpoint: Served) -> None:
    """The command assumes a role, is the role with the keys it was given, and prints refusals with their code."""
    made = role(endpoint, "cli", {"AWS": ACCOUNT})
    words = ("sts", "assume-role", "--role-session-name", "me", "--role-arn")
    given = endpoint.aws(*words, made["Arn"])["Credentials"]
    environment = {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }
    assert endpoint.aws("sts", "get-caller-identity", **environment)["Arn"].endswith("assumed-role/cli/me")
    refused = endpoint.run_aws(*words, made["Arn"], **environment)
    assert refused.returncode == 0  # the policy names the whole account, and the role is of it
    refused = endpoint.run_aws(*words, f"{made['Arn']}-none")
    assert "(AccessDenied) when calling the AssumeRole operation: User: arn:aws:iam::" in refused.stderr
