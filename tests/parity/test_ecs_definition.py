"""Clusters and task definitions of ECS through boto3 and the aws command."""

import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError

from portside.api.ecs.service import ecs_service
from portside.control.clock import RandomIds, SystemClock
from portside.store.memory import MemoryStore


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve([ecs_service(MemoryStore(), SystemClock(), RandomIds())])


@pytest.fixture
def ecs(served: Any) -> Any:
    return served.client("ecs")


def definition(**changes: Any) -> dict[str, Any]:
    return {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "localhost/app:1", "portMappings": [{"containerPort": 80}]}],
        **changes,
    }


def error_of(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_clusters_by_command(served: Any) -> None:
    """A cluster's life with the aws command: created, listed, described with its tags, deleted."""
    created = served.aws("ecs", "create-cluster", "--cluster-name", "demo", "--tags", "key=a,value=b")["cluster"]
    assert served.aws("ecs", "list-clusters") == {"clusterArns": [created["clusterArn"]]}
    words = ("ecs", "describe-clusters", "--clusters", "demo", "other", "--include", "TAGS", "SETTINGS", "STATISTICS")
    described = served.aws(*words)
    assert described["clusters"][0]["tags"] == [{"key": "a", "value": "b"}]
    assert described["failures"] == [{"arn": created["clusterArn"].replace("demo", "other"), "reason": "MISSING"}]
    assert served.aws("ecs", "delete-cluster", "--cluster", "demo")["cluster"]["status"] == "INACTIVE"
    assert served.aws("ecs", "list-clusters") == {"clusterArns": []}
    missing = served.run_aws("ecs", "list-tasks", "--cluster", "none")
    assert missing.returncode != 0
    assert "(ClusterNotFoundException)" in missing.stderr
    assert "Cluster not found." in missing.stderr


def test_definitions_by_command(served: Any) -> None:
    """Revisions with the aws command: registered, described, listed both ways, deregistered."""
    for _ in range(2):
        words = ("ecs", "register-task-definition", "--cli-input-json", json.dumps(definition()))
        registered = served.aws(*words)["taskDefinition"]
    assert (registered["revision"], registered["status"]) == (2, "ACTIVE")
    described = served.aws("ecs", "describe-task-definition", "--task-definition", "web", "--include", "TAGS")
    assert described == {"taskDefinition": registered, "tags": []}
    listed = served.aws("ecs", "list-task-definitions", "--family-prefix", "web", "--sort", "DESC")
    assert [arn.rpartition("/")[2] for arn in listed["taskDefinitionArns"]] == ["web:2", "web:1"]
    gone = served.aws("ecs", "deregister-task-definition", "--task-definition", "web:2")["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert served.aws("ecs", "list-task-definition-families", "--status", "ACTIVE") == {"families": ["web"]}


def test_definition_comes_back(ecs: Any) -> None:
    """What boto3 registers it reads again, times as times."""
    registered = ecs.register_task_definition(**definition(tags=[{"key": "a", "value": "b"}]))
    assert registered["tags"] == [{"key": "a", "value": "b"}]
    shown = ecs.describe_task_definition(taskDefinition=registered["taskDefinition"]["taskDefinitionArn"])
    assert shown["taskDefinition"] == registered["taskDefinition"]
    assert shown["taskDefinition"]["registeredAt"].tzinfo is not None
    container = shown["taskDefinition"]["containerDefinitions"][0]
    assert container["portMappings"] == [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]


def test_null_members_are_left_out(served: Any) -> None:
    """Tools that write null for what they do not use register what they meant."""
    container = {"name": "app", "image": "i", "healthCheck": None, "linuxParameters": None, "secrets": None}
    params = definition(containerDefinitions=[container], volumes=None, pidMode=None, tags=None)
    scope = "000000000000/20260101/us-east-1/ecs/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    request = Request(served.url, json.dumps(params).encode(), headers)
    with urlopen(request, timeout=30) as response:
        assert json.load(response)["taskDefinition"]["volumes"] == []


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            {"memory": "100"},
            "ClientException",
            "No Fargate configuration exists for given values: 256 CPU, 100",
        ),
        ({"networkMode": "bridge"}, "ClientException", "Fargate only supports network mode ‘awsvpc’."),
        ({"tags": []}, "ClientException", "Tags can not be empty."),
        (
            {"enableFaultInjection": True},
            "ClientException",
            "Portside does not support enableFaultInjection yet",
        ),
    ],
)
def test_refused_definitions(ecs: Any, changes: dict[str, Any], code: str, words: str) -> None:
    """Broken rules arrive at the client with AWS's code, status 400 and AWS's words."""
    found_code, status, message = error_of(ecs.register_task_definition, **definition(**changes))
    assert (found_code, status) == (code, 400)
    assert message.startswith(words)


def test_a_volume_of_efs_is_described_as_given(ecs: Any) -> None:
    """With every member; a root directory that was not given is `/`."""
    efs = {
        "fileSystemId": "fs-0123456789abcdef0",
        "rootDirectory": "/",
        "transitEncryption": "ENABLED",
        "transitEncryptionPort": 2999,
        "authorizationConfig": {"accessPointId": "fsap-0123456789abcdef0", "iam": "ENABLED"},
    }
    volumes = [
        {"name": "all", "efsVolumeConfiguration": efs},
        {"name": "least", "efsVolumeConfiguration": {"fileSystemId": "fs-0123456789abcdef0"}},
    ]
    shown = ecs.register_task_definition(**definition(volumes=volumes))["taskDefinition"]["volumes"]
    assert shown[0] == volumes[0]
    assert shown[1]["efsVolumeConfiguration"] == {"fileSystemId": "fs-0123456789abcdef0", "rootDirectory": "/"}


def on_instances(**changes: Any) -> dict[str, Any]:
    """A definition for container instances."""
    container = {"name": "app", "image": "i", "memory": 64}
    return {"family": "placed", "requiresCompatibilities": ["EC2"], "containerDefinitions": [container], **changes}


def test_a_path_of_the_instance_is_described_as_given(ecs: Any) -> None:
    """And keeps the definition off Fargate, in the network mode that both have."""
    volumes = [{"name": "site", "host": {"sourcePath": "/srv/site"}}, {"name": "own", "host": {}}]
    shown = ecs.register_task_definition(**on_instances(volumes=volumes, networkMode="awsvpc", cpu="256", memory="512"))
    assert shown["taskDefinition"]["volumes"] == volumes
    assert shown["taskDefinition"]["compatibilities"] == ["EC2"]


def test_docker_volumes_are_described_as_given(ecs: Any) -> None:
    """With every member; an instance must have the driver."""
    every = {
        "scope": "shared",
        "autoprovision": True,
        "driver": "local",
        "driverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=10m,uid=1000,noexec"},
        "labels": {"team": "blue"},
    }
    bound = {"scope": "task", "driverOpts": {"type": "none", "device": "/srv", "o": "bind,ro"}}
    volumes = [
        {"name": "every", "dockerVolumeConfiguration": every},
        {"name": "bound", "dockerVolumeConfiguration": bound},
    ]
    shown = ecs.register_task_definition(**on_instances(volumes=volumes))["taskDefinition"]
    assert shown["volumes"] == volumes
    assert {"name": "ecs.capability.docker-plugin.local"} in shown["requiresAttributes"]


def docker(**configuration: Any) -> dict[str, Any]:
    return {"dockerVolumeConfiguration": configuration}


NOT_YET = "Portside does not support volumes.dockerVolumeConfiguration.{} yet; see docs/coverage.md"


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (
            docker(scope="task", autoprovision=False),
            "When 'scope' parameter is 'task', 'autoprovision' must either not be specified or set to 'True'.",
        ),
        (docker(driver=""), "volume.dockerVolumeConfiguration.driver should not be null or empty."),
        (docker(driver="rexray/ebs"), NOT_YET.format("driver 'rexray/ebs'")),
        (docker(driverOpts={"size": "5"}), "Volume 'v': invalid option: \"size\""),
        (docker(driverOpts={"type": "tmpfs"}), "Volume 'v': missing required option: \"device\""),
        (
            docker(driverOpts={"type": "nfs", "device": ":/", "o": "addr=files.example.com"}),
            NOT_YET.format("driverOpts.o 'addr=files.example.com', which is no address,"),
        ),
        (
            docker(driverOpts={"type": "nfs", "device": "a", "o": "addr=10.0.0.1"}),
            "Volume 'v': the device 'a' is not of the form :/path.",
        ),
        (docker(driverOpts={"type": "cifs", "device": "//a/b"}), NOT_YET.format("driverOpts.type 'cifs'")),
        (
            docker(driverOpts={"type": "ext4", "device": "/srv/image"}),
            NOT_YET.format("driverOpts.device '/srv/image'"),
        ),
        (docker(driverOpts={"type": "none", "device": "/a", "o": "rbind"}), None),
        (
            docker(driverOpts={"type": "none", "device": "a", "o": "bind"}),
            "Volume 'v': the device 'a' is not an absolute path.",
        ),
        (docker(driverOpts={"type": "tmpfs", "device": "tmpfs", "o": "dev"}), NOT_YET.format("driverOpts.o 'dev'")),
        (
            docker(driverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size="}),
            "Volume 'v': invalid option: \"size=\"",
        ),
        ({**docker(scope="task"), "host": {}}, "Volume 'v' can have only one volume configuration."),
        ({"host": {"sourcePath": ""}}, "host.sourcePath should not be blank."),
        ({"host": {"sourcePath": "srv"}}, "Volume 'v': sourcePath 'srv' is not an absolute path."),
        (
            {"host": {"sourcePath": "/a"}, "efsVolumeConfiguration": {"fileSystemId": "fs-0123456789abcdef0"}},
            "Volume 'v' can have only one volume configuration.",
        ),
    ],
)
def test_refused_volumes_of_instances(ecs: Any, volume: dict[str, Any], words: str | None) -> None:
    """With the code of a broken rule, in AWS's and Docker's words where these have any."""
    code, status, message = error_of(ecs.register_task_definition, **on_instances(volumes=[{"name": "v", **volume}]))
    assert (code, status) == ("ClientException", 400)
    assert words is None or message == words


def test_pages(ecs: Any) -> None:
    """boto3's paginators read listings of more than a page to their end."""
    for _ in range(105):
        ecs.register_task_definition(**definition())
    pages = list(ecs.get_paginator("list_task_definitions").paginate())
    assert [len(page["taskDefinitionArns"]) for page in pages] == [100, 5]
    pages = list(ecs.get_paginator("list_clusters").paginate())
    assert [page["clusterArns"] for page in pages] == [[]]


def test_what_is_not_implemented_says_so(ecs: Any) -> None:
    """An operation of ECS that is not there is refused as such, by name."""
    _, status, message = error_of(ecs.create_capacity_provider, name="x")
    assert status == 501
    assert "CreateCapacityProvider" in message
