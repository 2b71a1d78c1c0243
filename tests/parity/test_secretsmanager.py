"""Secrets Manager as boto3 and the aws command see it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.exceptions
import pytest
from served import Served, serving

from portside.api.secretsmanager.service import secretsmanager_service
from portside.control.clock import RandomIds, SystemClock
from portside.control.secrets import SecretLoop
from portside.domain.record import replace
from portside.domain.table import SECRET, SECRET_VALUE
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

TOKENS = [f"{number:032d}" for number in range(10)]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    with serving([secretsmanager_service(store, AesVault(bytes(range(32))), SystemClock(), RandomIds())]) as found:
        yield found


@pytest.fixture
def sm(served: Served) -> Any:
    return served.client("secretsmanager")


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_by_the_command(served: Served) -> None:
    """Create, get, put, describe, delete: as typed."""
    made = served.aws("secretsmanager", "create-secret", "--name", "app/db", "--secret-string", '{"user":"a"}')
    assert made["ARN"].startswith("arn:aws:secretsmanager:us-east-1:000000000000:secret:app/db-")
    assert len(made["ARN"]) == len("arn:aws:secretsmanager:us-east-1:000000000000:secret:app/db-") + 6
    got = served.aws("secretsmanager", "get-secret-value", "--secret-id", "app/db")
    assert (got["SecretString"], got["VersionStages"]) == ('{"user":"a"}', ["AWSCURRENT"])
    put = served.aws("secretsmanager", "put-secret-value", "--secret-id", made["ARN"], "--secret-string", "two")
    stages = served.aws("secretsmanager", "describe-secret", "--secret-id", "app/db")["VersionIdsToStages"]
    assert stages == {put["VersionId"]: ["AWSCURRENT"], made["VersionId"]: ["AWSPREVIOUS"]}
    listed = served.aws("secretsmanager", "list-secrets")["SecretList"]
    assert [each["Name"] for each in listed] == ["app/db"]
    served.aws("secretsmanager", "delete-secret", "--secret-id", "app/db")
    failed = served.run_aws("secretsmanager", "get-secret-value", "--secret-id", "app/db").stderr
    assert "InvalidRequestException" in failed
    assert "because it was marked for deletion" in failed
    served.aws("secretsmanager", "restore-secret", "--secret-id", "app/db")
    assert served.aws("secretsmanager", "get-secret-value", "--secret-id", "app/db")["SecretString"] == "two"


def test_no_record_holds_the_value(sm: Any, store: MemoryStore) -> None:
    """Strings and binaries come back as they were, and can not be read in the store."""
    sm.create_secret(Name="text", SecretString="hunter2-hunter2")
    sm.create_secret(Name="bytes", SecretBinary=b"\x00\xffhunter2")
    assert sm.get_secret_value(SecretId="text")["SecretString"] == "hunter2-hunter2"
    assert sm.get_secret_value(SecretId="bytes")["SecretBinary"] == b"\x00\xffhunter2"
    assert "hunter2" not in repr([*store.scan(SECRET), *store.scan(SECRET_VALUE)])


def test_the_token_makes_it_idempotent(sm: Any) -> None:
    """The same token with the same value is one version; with another value an error."""
    first = sm.create_secret(Name="s", SecretString="one", ClientRequestToken=TOKENS[0])
    assert sm.create_secret(Name="s", SecretString="one", ClientRequestToken=TOKENS[0])["ARN"] == first["ARN"]
    assert code_of(sm.create_secret, Name="s", SecretString="two", ClientRequestToken=TOKENS[0])[0] == (
        "ResourceExistsException"
    )
    sm.put_secret_value(SecretId="s", SecretString="two", ClientRequestToken=TOKENS[1])
    sm.put_secret_value(SecretId="s", SecretString="two", ClientRequestToken=TOKENS[1])
    assert code_of(sm.put_secret_value, SecretId="s", SecretString="x", ClientRequestToken=TOKENS[1])[0] == (
        "ResourceExistsException"
    )
    assert len(sm.list_secret_version_ids(SecretId="s", IncludeDeprecated=True)["Versions"]) == 2


def test_stages(sm: Any) -> None:
    """A pending version becomes the current one by moving the label; the previous label follows."""
    sm.create_secret(Name="s", SecretString="one", ClientRequestToken=TOKENS[0])
    sm.put_secret_value(SecretId="s", SecretString="two", ClientRequestToken=TOKENS[1], VersionStages=["AWSPENDING"])
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "one"
    assert sm.get_secret_value(SecretId="s", VersionStage="AWSPENDING")["SecretString"] == "two"
    move = {"SecretId": "s", "VersionStage": "AWSCURRENT", "MoveToVersionId": TOKENS[1]}
    assert code_of(sm.update_secret_version_stage, **move)[0] == "InvalidParameterException"
    sm.update_secret_version_stage(**move, RemoveFromVersionId=TOKENS[0])
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "two"
    assert sm.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["VersionId"] == TOKENS[0]
    asked = {"SecretId": "s", "VersionId": TOKENS[0], "VersionStage": "AWSCURRENT"}
    assert code_of(sm.get_secret_value, **asked)[0] == "InvalidParameterException"
    code, message = code_of(sm.get_secret_value, SecretId="s", VersionStage="nothing")
    assert (code, message) == (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: nothing",
    )


def test_found_by_arn(sm: Any) -> None:
    """The ARN, the ARN without its last six characters, and the name mean the same secret; another suffix none."""
    arn = sm.create_secret(Name="a-secret", SecretString="x")["ARN"]
    for each in (arn, arn[:-7], "a-secret"):
        assert sm.describe_secret(SecretId=each)["ARN"] == arn
    assert code_of(sm.describe_secret, SecretId=arn[:-6] + "AAAAAA")[0] == "ResourceNotFoundException"


def test_gone_after_its_recovery_window(sm: Any, store: MemoryStore) -> None:
    """A deleted secret goes with its values when the window is over; its name is taken until then."""
    sm.create_secret(Name="s", SecretString="x")
    due = sm.delete_secret(SecretId="s", RecoveryWindowInDays=7)["DeletionDate"]
    assert timedelta(days=6.9) < due - datetime.now(UTC) < timedelta(days=7.1)
    assert code_of(sm.create_secret, Name="s", SecretString="y")[0] == "InvalidRequestException"
    assert sm.list_secrets()["SecretList"] == []
    assert len(sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]) == 1
    (secret,) = store.scan(SECRET)
    store.transact(Put(SECRET, replace(secret, delete_at=datetime.now(UTC))))

    async def pass_once() -> None:
        loop = SecretLoop(store, SystemClock())
        await loop._step(SECRET.key(secret))

    asyncio.run(pass_once())
    assert [*store.scan(SECRET), *store.scan(SECRET_VALUE)] == []


def test_what_is_not_there_is_deleted_by_force(sm: Any, store: MemoryStore) -> None:
    """Again and again, by name and by ARN, as if it had been there; without force it is an error."""
    arn = sm.create_secret(Name="s", SecretString="x")["ARN"]
    first = sm.delete_secret(SecretId="s", ForceDeleteWithoutRecovery=True)
    assert [*store.scan(SECRET), *store.scan(SECRET_VALUE)] == []
    again = sm.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert (again["ARN"], again["Name"]) == (first["ARN"], first["Name"]) == (arn, "s")
    never = sm.delete_secret(SecretId="never-was", ForceDeleteWithoutRecovery=True)
    assert never["Name"] == "never-was"
    assert ":secret:never-was-" in never["ARN"]
    assert never["DeletionDate"] - datetime.now(UTC) < timedelta(seconds=1)
    assert list(store.scan(SECRET)) == []
    assert code_of(sm.delete_secret, SecretId="never-was")[0] == "ResourceNotFoundException"
    both = {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True}
    assert code_of(sm.delete_secret, SecretId="never-was", **both)[0] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("create_secret", {"Name": "a b"}, "InvalidParameterException"),
        ("create_secret", {"Name": "s", "SecretString": "a", "SecretBinary": b"a"}, "InvalidParameterException"),
        ("create_secret", {"Name": "s", "KmsKeyId": "alias/mine"}, "InvalidParameterException"),
        ("create_secret", {"Name": "s", "AddReplicaRegions": [{"Region": "eu-west-1"}]}, "InvalidParameterException"),
        ("put_secret_value", {"SecretId": "there"}, "InvalidRequestException"),
        ("put_secret_value", {"SecretId": "missing", "SecretString": "x"}, "ResourceNotFoundException"),
        ("delete_secret", {"SecretId": "there", "RecoveryWindowInDays": 6}, "InvalidParameterException"),
        (
            "delete_secret",
            {"SecretId": "there", "RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True},
            "InvalidParameterException",
        ),
        ("rotate_secret", {"SecretId": "there"}, "InvalidRequestException"),
        ("batch_get_secret_value", {}, "InvalidParameterException"),
        ("list_secrets", {"Filters": [{"Values": ["x"]}]}, "InvalidParameterException"),
        ("list_secrets", {"NextToken": "?"}, "InvalidNextTokenException"),
    ],
)
def test_refused(sm: Any, operation: str, params: dict[str, Any], code: str) -> None:
    """Each broken rule ends with AWS's code, and nothing has changed."""
    sm.create_secret(Name="there", SecretString="x")
    assert code_of(getattr(sm, operation), **params)[0] == code
    assert [each["Name"] for each in sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]] == ["there"]
    assert sm.get_secret_value(SecretId="there")["SecretString"] == "x"


def test_lists_and_filters(sm: Any) -> None:
    """By name's beginning, by tag, with an exclusion; in pages; several values at once."""
    for name, team in (("prod/a", "red"), ("prod/b", "blue"), ("test/a", "red")):
        sm.create_secret(Name=name, SecretString=name, Tags=[{"Key": "team", "Value": team}])

    def names(*filters: dict[str, Any]) -> list[str]:
        return [
            each["Name"]
            for each in sm.list_secrets(Filters=list(filters), SortBy="name", SortOrder="asc")["SecretList"]
        ]

    assert names({"Key": "name", "Values": ["prod"]}) == ["prod/a", "prod/b"]
    assert names({"Key": "tag-value", "Values": ["red"]}, {"Key": "name", "Values": ["!test"]}) == ["prod/a"]
    pages = sm.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 2})
    assert sorted(each["Name"] for page in pages for each in page["SecretList"]) == ["prod/a", "prod/b", "test/a"]
    batch = sm.batch_get_secret_value(SecretIdList=["prod/a", "missing"])
    assert [each["SecretString"] for each in batch["SecretValues"]] == ["prod/a"]
    assert [each["ErrorCode"] for each in batch["Errors"]] == ["ResourceNotFoundException"]


def test_random_password(sm: Any) -> None:
    """Of the length and kinds asked for."""
    asked = {"PasswordLength": 40, "ExcludePunctuation": True, "ExcludeCharacters": "aA0"}
    found = sm.get_random_password(**asked)["RandomPassword"]
    assert len(found) == 40
    assert found.isalnum()
    assert not set(found) & set("aA0")
    everything = {f"Exclude{kind}": True for kind in ("Lowercase", "Uppercase", "Numbers", "Punctuation")}
    assert code_of(sm.get_random_password, **everything)[0] == "InvalidParameterException"


def test_policies(sm: Any) -> None:
    """A resource policy is kept and given back; none is there at first."""
    sm.create_secret(Name="s", SecretString="x")
    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId="s")
    sm.put_resource_policy(SecretId="s", ResourcePolicy="{}")
    assert sm.get_resource_policy(SecretId="s")["ResourcePolicy"] == "{}"
    assert code_of(sm.put_resource_policy, SecretId="s", ResourcePolicy="{")[0] == "MalformedPolicyDocumentException"
    sm.delete_resource_policy(SecretId="s")
    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId="s")
