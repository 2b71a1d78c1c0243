"""`volumeConfigurations` of tasks and services through boto3."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served, serving

from portside.api.ec2.default_network import with_default_network
from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.control.clock import RandomIds, SystemClock
from portside.store.memory import MemoryStore

ROLE = "arn:aws:iam::000000000000:role/ecsInfrastructureRole"
FARGATE = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
Ask = Callable[..., Any]


@pytest.fixture
def served() -> Iterator[Served]:
    store, clock, ids = MemoryStore(), SystemClock(), RandomIds()
    with serving(
        [with_default_network(ecs_service(store, clock, ids), store, clock, ids), ec2_service(store, clock, ids)]
    ) as found:
        yield found


@pytest.fixture
def ecs(served: Served) -> Any:
    client = served.client("ecs")
    client.create_cluster()
    mount = [{"sourceVolume": "data", "containerPath": "/data"}]
    for family, volume in (("ebs", {"configuredAtLaunch": True}), ("other", {})):
        client.register_task_definition(
            family=family,
            containerDefinitions=[{"name": "main", "image": "busybox", "mountPoints": mount}],
            volumes=[{"name": "data", **volume}],
            tags=[{"key": "team", "value": "blue"}],
            **FARGATE,
        )
    return client


@pytest.fixture
def network(served: Served) -> dict[str, Any]:
    subnets = served.client("ec2").describe_subnets()["Subnets"]
    return {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}


def configuration(name: str = "data", **managed: Any) -> list[dict[str, Any]]:
    given = {"roleArn": ROLE, "sizeInGiB": 10, **managed}
    return [{"name": name, "managedEBSVolume": {name: value for name, value in given.items() if value is not None}}]


def run(ecs: Any, network: dict[str, Any], volumes: Any, family: str = "ebs") -> Any:
    asked = {} if volumes is None else {"volumeConfigurations": volumes}
    return ecs.run_task(taskDefinition=family, launchType="FARGATE", networkConfiguration=network, **asked)["tasks"][0]


def test_a_volume_configured_at_launch_is_registered_and_shown(ecs: Any) -> None:
    """One in a task definition, and with no other source."""
    shown = ecs.describe_task_definition(taskDefinition="ebs")["taskDefinition"]
    assert shown["volumes"] == [{"name": "data", "configuredAtLaunch": True}]
    for volumes in (
        [{"name": "a", "configuredAtLaunch": True}, {"name": "b", "configuredAtLaunch": True}],
        [{"name": "a", "configuredAtLaunch": True, "efsVolumeConfiguration": {"fileSystemId": "fs-12345678"}}],
    ):
        with pytest.raises(ClientError) as caught:
            ecs.register_task_definition(
                family="x", containerDefinitions=[{"name": "main", "image": "busybox"}], volumes=volumes, **FARGATE
            )
        assert caught.value.response["Error"]["Code"] == "ClientException"


def test_a_task_shows_the_attachment_of_its_volume(ecs: Any, network: dict[str, Any]) -> None:
    """With its role, the volume's name in the task definition and the termination policy."""
    task = run(ecs, network, configuration(terminationPolicy={"deleteOnTermination": False}))
    (found,) = [each for each in task["attachments"] if each["type"] == "AmazonElasticBlockStorage"]
    assert found["status"] == "PRECREATED"
    assert {each["name"]: each["value"] for each in found["details"]} == {
        "roleArn": ROLE,
        "volumeName": "data",
        "deleteOnTermination": "false",
    }


@pytest.mark.parametrize(
    ("volumes", "words"),
    [
        (None, "configured at launch"),
        (configuration(name="elsewhere"), "'elsewhere'"),
        (configuration() * 2, "at most 1"),
        ([{"name": "data"}], "managedEBSVolume must be specified"),
        (configuration(sizeInGiB=None), "either sizeInGiB or snapshotId"),
        (configuration(sizeInGiB=0), "minimum is 1GiB"),
        (configuration(volumeType="st1"), "minimum is 125GiB"),
        (configuration(volumeType="io1"), "iops"),
        (configuration(volumeType="io1", iops=10_000), "maximum is 50"),
        (configuration(throughput=100), "minimum is 125"),
        (configuration(volumeType="standard"), "not supported on Fargate"),
        (configuration(volumeType="floppy"), "floppy"),
        (configuration(filesystemType="ntfs"), "ntfs"),
        (configuration(roleArn=None), "roleArn"),
        (configuration(volumeInitializationRate=100), "only supported for volumes created from snapshots"),
        (configuration(snapshotId="snap-0", volumeInitializationRate=99), "between 100 and 300"),
        (configuration(tagSpecifications=[{"resourceType": "volume", "propagateTags": "SERVICE"}]), "SERVICE"),
        (
            configuration(tagSpecifications=[{"resourceType": "volume", "tags": [{"key": "AmazonECSManaged"}]}]),
            "reserved",
        ),
    ],
)
def test_a_volume_that_does_not_fit_is_refused(ecs: Any, network: dict[str, Any], volumes: Any, words: str) -> None:
    """InvalidParameterException, with what is the matter, for tasks and services; nothing is started."""
    with pytest.raises(ClientError) as caught:
        run(ecs, network, volumes)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert words in caught.value.response["Error"]["Message"]
    assert ecs.list_tasks()["taskArns"] == []


def test_what_portside_has_not_is_refused(ecs: Any, network: dict[str, Any]) -> None:
    """A volume for a definition that has none."""
    with pytest.raises(ClientError, match="not configured at launch"):
        run(ecs, network, configuration(), family="other")


def test_a_service_keeps_changes_and_loses_its_volume(ecs: Any, network: dict[str, Any]) -> None:
    """It is shown in its deployments and revisions; another one is a new deployment; an empty list takes it away, with
    a task definition that has none."""
    tags = [{"resourceType": "volume", "propagateTags": "SERVICE", "tags": [{"key": "a", "value": "b"}]}]
    asked = configuration(
        tagSpecifications=tags,
        volumeType="gp3",
        filesystemType="ext4",
        snapshotId="snap-0",
        volumeInitializationRate=100,
    )
    made = ecs.create_service(
        serviceName="web",
        taskDefinition="ebs",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=network,
        volumeConfigurations=copy.deepcopy(asked),
    )["service"]
    assert made["deployments"][0]["volumeConfigurations"] == asked
    revision = made["currentServiceRevisions"][0]["arn"]
    (shown,) = ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    assert shown["volumeConfigurations"] == asked
    with pytest.raises(ClientError, match="do not match"):
        ecs.update_service(service="web", taskDefinition="other")
    same = ecs.update_service(service="web", volumeConfigurations=copy.deepcopy(asked))["service"]
    assert len(same["deployments"]) == 1
    larger = ecs.update_service(service="web", volumeConfigurations=configuration(sizeInGiB=20))["service"]
    assert len(larger["deployments"]) == 2
    assert larger["deployments"][0]["volumeConfigurations"][0]["managedEBSVolume"]["sizeInGiB"] == 20
    none = ecs.update_service(service="web", taskDefinition="other", volumeConfigurations=[])["service"]
    assert none["deployments"][0]["volumeConfigurations"] == []
    with pytest.raises(ClientError, match="configured at launch"):
        ecs.create_service(
            serviceName="bare", taskDefinition="ebs", desiredCount=1, launchType="FARGATE", networkConfiguration=network
        )
