"""Parameter Store as boto3 and the aws command see it."""

from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest
from served import Served, serving

from portside.api.ssm.service import ssm_service
from portside.control.clock import SystemClock
from portside.domain.table import PARAMETER_VERSION
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

KEY = bytes(range(32))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(store: MemoryStore) -> Iterator[Served]:
    with serving([ssm_service(store, AesVault(KEY), SystemClock())]) as found:
        yield found


@pytest.fixture
def ssm(served: Served) -> Any:
    return served.client("ssm")


def code_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_put_and_get_by_the_command(served: Served) -> None:
    """Put, get, overwrite, get an older version, delete: as typed."""
    put = served.aws("ssm", "put-parameter", "--name", "/app/db", "--type", "String", "--value", "one")
    assert put == {"Version": 1, "Tier": "Standard"}
    served.aws("ssm", "put-parameter", "--name", "/app/db", "--value", "two", "--overwrite")
    found = served.aws("ssm", "get-parameter", "--name", "/app/db")["Parameter"]
    assert (found["Name"], found["Value"], found["Version"], found["DataType"]) == ("/app/db", "two", 2, "text")
    assert found["ARN"] == "arn:aws:ssm:us-east-1:000000000000:parameter/app/db"
    older = served.aws("ssm", "get-parameter", "--name", "/app/db:1")["Parameter"]
    assert (older["Value"], older["Selector"]) == ("one", ":1")
    served.aws("ssm", "delete-parameter", "--name", "/app/db")
    assert "ParameterNotFound" in served.run_aws("ssm", "get-parameter", "--name", "/app/db").stderr


def test_a_secure_string_is_sealed(ssm: Any, store: MemoryStore) -> None:
    """It is given decrypted only where that is asked for, and no record holds it."""
    ssm.put_parameter(Name="password", Type="SecureString", Value="hunter2-hunter2")
    assert ssm.get_parameter(Name="password", WithDecryption=True)["Parameter"]["Value"] == "hunter2-hunter2"
    assert "hunter2" not in ssm.get_parameter(Name="password")["Parameter"]["Value"]
    (item,) = ssm.describe_parameters()["Parameters"]
    assert (item["Type"], item["KeyId"]) == ("SecureString", "alias/aws/ssm")
    (stored,) = store.scan(PARAMETER_VERSION)
    assert "hunter2" not in repr(stored)


def test_by_path(ssm: Any) -> None:
    """One level or all below a path, in pages, with filters."""
    for name in ("/app/a", "/app/b", "/app/sub/c", "/application/d", "e"):
        ssm.put_parameter(Name=name, Type="SecureString" if name == "/app/b" else "String", Value=name)

    def names(**params: Any) -> list[str]:
        return [each["Name"] for each in ssm.get_parameters_by_path(**params)["Parameters"]]

    assert names(Path="/app") == ["/app/a", "/app/b"]
    assert names(Path="/app/", Recursive=True) == ["/app/a", "/app/b", "/app/sub/c"]
    assert len(names(Path="/", Recursive=True)) == 5
    assert names(Path="/app", ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}]) == ["/app/b"]
    pages = ssm.get_paginator("get_parameters_by_path").paginate(
        Path="/", Recursive=True, PaginationConfig={"PageSize": 2}
    )
    assert [each["Name"] for page in pages for each in page["Parameters"]] == [
        *("/app/a", "/app/b", "/app/sub/c", "/application/d", "e")
    ]
    assert code_of(ssm.get_parameters_by_path, Path="app")[0] == "ValidationException"


def test_labels_move(ssm: Any) -> None:
    """A label is on one version at a time; a parameter can be got by it, and a history shows it."""
    for value in ("one", "two"):
        ssm.put_parameter(Name="p", Type="String", Value=value, Overwrite=value == "two")
    answer = ssm.label_parameter_version(Name="p", ParameterVersion=1, Labels=["live", "1bad"])
    assert (answer["InvalidLabels"], answer["ParameterVersion"]) == (["1bad"], 1)
    assert ssm.get_parameter(Name="p:live")["Parameter"]["Value"] == "one"
    ssm.label_parameter_version(Name="p", Labels=["live"])
    assert ssm.get_parameter(Name="p:live")["Parameter"]["Value"] == "two"
    history = ssm.get_parameter_history(Name="p")["Parameters"]
    assert [(each["Version"], each["Value"], each["Labels"]) for each in history] == [
        (1, "one", []),
        (2, "two", ["live"]),
    ]
    assert ssm.unlabel_parameter_version(Name="p", ParameterVersion=2, Labels=["live", "x"])["InvalidLabels"] == ["x"]
    assert code_of(ssm.get_parameter, Name="p:live")[0] == "ParameterVersionNotFound"
    assert code_of(ssm.get_parameter, Name="p:7")[0] == "ParameterVersionNotFound"


def test_get_several(ssm: Any) -> None:
    """What is not there is named; ARNs are taken for names."""
    ssm.put_parameter(Name="/a/b", Type="StringList", Value="x,y")
    arn = ssm.get_parameter(Name="/a/b")["Parameter"]["ARN"]
    found = ssm.get_parameters(Names=[arn, "/missing"])
    assert [each["Value"] for each in found["Parameters"]] == ["x,y"]
    assert found["InvalidParameters"] == ["/missing"]
    gone = ssm.delete_parameters(Names=["/a/b", "/missing"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/a/b"], ["/missing"])


def test_a_hundred_versions(ssm: Any) -> None:
    """The oldest version goes when there are more than a hundred, unless it has a label."""
    for number in range(101):
        ssm.put_parameter(Name="p", Type="String", Value=str(number), Overwrite=number > 0)
    assert code_of(ssm.get_parameter, Name="p:1")[0] == "ParameterVersionNotFound"
    pages = ssm.get_paginator("get_parameter_history").paginate(Name="p")
    assert sum(len(page["Parameters"]) for page in pages) == 100
    ssm.label_parameter_version(Name="p", ParameterVersion=2, Labels=["kept"])
    code, message = code_of(ssm.put_parameter, Name="p", Value="x", Overwrite=True)
    assert code == "ParameterMaxVersionLimitExceeded"
    assert "Version 2, the oldest version" in message


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"Name": "/aws/x/y"}, "AccessDeniedException"),
        ({"Name": "awsx"}, "ValidationException"),
        ({"Name": "/" + "/".join("abcdefghijklmnop")}, "HierarchyLevelLimitExceededException"),
        ({"Value": ""}, "ValidationException"),
        ({"Value": "{{ssm:other}}"}, "ValidationException"),
        ({"Value": "x" * 4097}, "ValidationException"),
        ({"Type": None}, "ValidationException"),
        ({"Name": "there"}, "ParameterAlreadyExists"),
        ({"Name": "there", "Overwrite": True, "Type": "SecureString"}, "HierarchyTypeMismatchException"),
        ({"Name": "there", "Overwrite": True, "Tags": [{"Key": "a", "Value": "b"}]}, "ValidationException"),
        ({"AllowedPattern": "^\\d+$"}, "ParameterPatternMismatchException"),
        ({"AllowedPattern": "("}, "InvalidAllowedPatternException"),
        ({"AllowedPattern": "(a+)+$", "Value": "a" * 40 + "b"}, "InvalidAllowedPatternException"),
        ({"KeyId": "alias/mine", "Type": "SecureString"}, "InvalidKeyId"),
        ({"Policies": "[{}]"}, "InvalidPolicyTypeException"),
        ({"DataType": "aws:ec2:image"}, "ValidationException"),
    ],
)
def test_refused(ssm: Any, params: dict[str, Any], code: str) -> None:
    """Each broken rule ends with AWS's code, and nothing is stored."""
    ssm.put_parameter(Name="there", Type="String", Value="x")
    asked = {"Name": "fresh", "Type": "String", "Value": "value", **params}
    assert code_of(ssm.put_parameter, **{name: each for name, each in asked.items() if each is not None})[0] == code
    assert [each["Name"] for each in ssm.describe_parameters()["Parameters"]] == ["there"]
    assert ssm.get_parameter(Name="there")["Parameter"]["Version"] == 1


def test_describe_by_filters(ssm: Any) -> None:
    """By name's beginning, path, tag; an unknown key and option are named."""
    ssm.put_parameter(Name="/a/one", Type="String", Value="1", Tags=[{"Key": "team", "Value": "red"}], Description="d")
    ssm.put_parameter(Name="/a/b/two", Type="String", Value="2")

    def names(*filters: dict[str, Any]) -> list[str]:
        return [each["Name"] for each in ssm.describe_parameters(ParameterFilters=list(filters))["Parameters"]]

    assert names({"Key": "tag:team", "Values": ["red"]}) == ["/a/one"]
    assert names({"Key": "Name", "Option": "BeginsWith", "Values": ["a/b"]}) == ["/a/b/two"]
    assert names({"Key": "Path", "Option": "OneLevel", "Values": ["/a"]}) == ["/a/one"]
    assert names({"Key": "Path", "Option": "Recursive", "Values": ["/a"]}) == ["/a/b/two", "/a/one"]
    asked = {"Key": "Label", "Values": ["x"]}
    assert code_of(ssm.describe_parameters, ParameterFilters=[asked])[0] == "InvalidFilterKey"
    asked = {"Key": "Name", "Option": "OneLevel", "Values": ["x"]}
    assert code_of(ssm.describe_parameters, ParameterFilters=[asked])[0] == "InvalidFilterOption"


def test_tags(ssm: Any) -> None:
    """Tags are added, listed and removed by the parameter's name."""
    ssm.put_parameter(Name="p", Type="String", Value="1")
    asked = {"ResourceType": "Parameter", "ResourceId": "p"}
    ssm.add_tags_to_resource(**asked, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ssm.remove_tags_from_resource(**asked, TagKeys=["a"])
    assert ssm.list_tags_for_resource(**asked)["TagList"] == [{"Key": "b", "Value": "2"}]
    assert code_of(ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="x")[0] == "InvalidResourceId"


@pytest.mark.parametrize("named", ["p:1", "p:live", "arn:aws:ssm:us-east-1:000000000000:parameter/p"])
def test_only_a_name_deletes(ssm: Any, named: str) -> None:
    """Neither a version, a label nor an ARN deletes the parameter with all that it holds."""
    ssm.put_parameter(Name="p", Type="String", Value="1")
    ssm.label_parameter_version(Name="p", Labels=["live"])
    assert code_of(ssm.delete_parameter, Name=named)[0] == "ParameterNotFound"
    assert ssm.delete_parameters(Names=[named])["InvalidParameters"] == [named]
    assert ssm.get_parameter(Name="p")["Parameter"]["Value"] == "1"


@pytest.mark.parametrize("place", ["eu-west-1:000000000000", "us-east-1:111111111111"])
def test_an_arn_means_its_own_place(ssm: Any, place: str) -> None:
    """An ARN of another region or account is not taken for the parameter of that name here."""
    ssm.put_parameter(Name="p", Type="SecureString", Value="1")
    named = f"arn:aws:ssm:{place}:parameter/p"
    assert code_of(ssm.get_parameter, Name=named, WithDecryption=True)[0] == "ParameterNotFound"
    assert ssm.get_parameters(Names=[named])["InvalidParameters"] == [named]
