"""The documents of the metadata endpoint, compared with the members that AWS documents."""

from datetime import UTC, datetime, timedelta

from portside.api.metadata.document import container_document, task_document
from portside.api.metadata.statistic import statistics
from portside.domain.record import Scope, Tag, replace
from portside.domain.task.record import ContainerHistory, EniAttachment, Exit, NetworkRequest, Task, TaskStatus
from portside.domain.task_definition import ContainerDefinition, LogConfiguration, RestartPolicy
from portside.domain.usage import BlockUsage, InterfaceUsage, Usage

NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
TASK = Task(
    scope=Scope(account="000000000000", region="us-east-1"),
    cluster="prod",
    id="0123456789abcdef0123456789abcdef",
    task_definition_arn="arn:aws:ecs:us-east-1:000000000000:task-definition/web:7",
    family="web",
    revision=7,
    group="service:web",
    service="web",
    launch_type="FARGATE",
    cpu_units=256,
    memory_mib=512,
    network=NetworkRequest(subnet_ids=("subnet-1",)),
    containers=(
        ContainerDefinition(
            name="app",
            image="web:1",
            cpu_units=64,
            memory_mib=128,
            docker_labels={"mine": "yes"},
            log=LogConfiguration(driver="awslogs", options={"awslogs-group": "/web", "awslogs-stream-prefix": "ecs"}),
            restart_policy=RestartPolicy(enabled=True),
        ),
        ContainerDefinition(name="once", image="once:1", essential=False),
    ),
    tags=(Tag(key="team", value="red"),),
    created_at=NOW,
    cause_id="test",
    attachment_id="a",
    last_status=TaskStatus.RUNNING,
    pull_started_at=NOW,
    pull_stopped_at=NOW + timedelta(seconds=1),
    eni=EniAttachment(
        eni_id="eni-1",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        zone="us-east-1a",
        address="172.31.5.9",
        prefix_length=20,
        gateway="172.31.0.1",
        mac_address="02:00:00:00:00:09",
        private_dns_name="ip-172-31-5-9.ec2.internal",
        security_group_ids=(),
    ),
    history=(
        ContainerHistory(
            name="app", runtime_id="r-app", image_digest="sha256:1", start_issued_at=NOW, started_at=NOW, restarts=2
        ),
        ContainerHistory(
            name="once", runtime_id="r-once", start_issued_at=NOW, started_at=NOW, exit=Exit(code=3, at=NOW)
        ),
    ),
)


def test_a_container_in_version_4() -> None:
    """Ids, labels, limits, times, log and network as AWS documents them; what is not so is left out."""
    document = container_document(TASK, TASK.history[0], version=4)
    arn = "arn:aws:ecs:us-east-1:000000000000"
    assert document["Labels"] == {
        "mine": "yes",
        "com.amazonaws.ecs.cluster": f"{arn}:cluster/prod",
        "com.amazonaws.ecs.container-name": "app",
        "com.amazonaws.ecs.task-arn": f"{arn}:task/prod/{TASK.id}",
        "com.amazonaws.ecs.task-definition-family": "web",
        "com.amazonaws.ecs.task-definition-version": "7",
    }
    assert (document["DockerId"], document["Name"], document["Image"]) == ("r-app", "app", "web:1")
    assert (document["ImageID"], document["KnownStatus"], document["Type"]) == ("sha256:1", "RUNNING", "NORMAL")
    assert document["Limits"] == {"CPU": 64, "Memory": 128}
    assert document["StartedAt"] == "2026-01-01T12:00:00.250000Z"
    assert document["LogDriver"] == "awslogs"
    assert document["LogOptions"] == {"awslogs-group": "/web", "awslogs-stream": f"ecs/app/{TASK.id}"}
    assert document["RestartCount"] == 2
    assert document["Networks"] == [
        {
            "NetworkMode": "awsvpc",
            "IPv4Addresses": ["172.31.5.9"],
            "AttachmentIndex": 0,
            "MACAddress": "02:00:00:00:00:09",
            "IPv4SubnetCIDRBlock": "172.31.0.0/20",
            "DomainNameServers": ["169.254.169.253"],
            "DomainNameSearchList": ["ec2.internal"],
            "PrivateDNSName": "ip-172-31-5-9.ec2.internal",
            "SubnetGatewayIpv4Address": "172.31.0.1/20",
        }
    ]
    assert not {"ExitCode", "FinishedAt", "Health"} & document.keys()


def test_a_container_that_has_ended() -> None:
    """Its exit code and time are there, no count of restarts that it can not have."""
    document = container_document(TASK, TASK.history[1], version=4)
    assert (document["KnownStatus"], document["ExitCode"]) == ("STOPPED", 3)
    assert document["FinishedAt"] == "2026-01-01T12:00:00.250000Z"
    assert "RestartCount" not in document


def test_the_task() -> None:
    """Version 4 names the cluster by ARN and tells storage and service; version 3 is the shorter one of its time."""
    document = task_document(TASK, version=4, storage=(300 * 1024**2, 20 * 1024**3), with_tags=True)
    assert document["Cluster"] == "arn:aws:ecs:us-east-1:000000000000:cluster/prod"
    assert (document["Family"], document["Revision"], document["ServiceName"]) == ("web", "7", "web")
    assert document["Limits"] == {"CPU": 0.25, "Memory": 512}
    assert document["EphemeralStorageMetrics"] == {"Utilized": 300, "Reserved": 20480}
    assert (document["AvailabilityZone"], document["LaunchType"]) == ("us-east-1a", "FARGATE")
    assert document["TaskTags"] == {"team": "red"}
    assert [each["Name"] for each in document["Containers"]] == ["app", "once"]
    older = task_document(TASK, version=3)
    assert older["Cluster"] == "prod"
    assert older["Containers"][0]["Networks"] == [{"NetworkMode": "awsvpc", "IPv4Addresses": ["172.31.5.9"]}]
    assert not {"LaunchType", "ServiceName", "EphemeralStorageMetrics", "TaskTags"} & older.keys()
    for container in older["Containers"]:
        assert not {"RestartCount", "LogDriver", "LogOptions", "ContainerARN", "Snapshotter"} & container.keys()


def test_limits_of_a_container_that_asks_for_none() -> None:
    """The least share of CPU once it is started; no memory on Fargate, where the task's limit is the task's."""
    assert container_document(TASK, TASK.history[1], version=4)["Limits"] == {"CPU": 2}
    waiting = replace(TASK.history[1], start_issued_at=None, started_at=None, exit=None)
    assert container_document(TASK, waiting, version=4)["Limits"] == {"CPU": 0}
    on_instance = replace(TASK, launch_type="EC2")
    assert container_document(on_instance, TASK.history[1], version=4)["Limits"] == {"CPU": 2, "Memory": 0}


def test_statistics() -> None:
    """Docker's shape, with the sample before and the rates since."""
    before = Usage(at=NOW, cpu_ns=1_000, machine_cpu_ns=10_000, network={"eth0": InterfaceUsage(rx_bytes=100)})
    after = Usage(
        at=NOW + timedelta(seconds=2),
        cpu_ns=3_000,
        cpu_user_ns=2_000,
        machine_cpu_ns=20_000,
        machine_cpus=2,
        memory_bytes=5,
        memory={"cache": 1},
        processes=4,
        block=(BlockUsage(major=8, minor=0, read_bytes=10, written_bytes=20, reads=1, writes=2),),
        network={"eth0": InterfaceUsage(rx_bytes=300, tx_bytes=40)},
    )
    found = statistics("app", "r-app", after, before)
    assert (found["id"], found["name"], found["pids_stats"]) == ("r-app", "app", {"current": 4})
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] - found["precpu_stats"]["cpu_usage"]["total_usage"] == 2_000
    assert (found["cpu_stats"]["system_cpu_usage"], found["cpu_stats"]["online_cpus"]) == (20_000, 2)
    assert (found["memory_stats"]["usage"], found["memory_stats"]["stats"]) == (5, {"cache": 1})
    assert found["memory_stats"]["limit"] == 9223372036854771712
    assert {"major": 8, "minor": 0, "op": "Write", "value": 20} in found["blkio_stats"]["io_service_bytes_recursive"]
    assert found["networks"]["eth0"]["rx_bytes"] == 300
    assert found["network_rate_stats"] == {"rx_bytes_per_sec": 100.0, "tx_bytes_per_sec": 20.0}
    assert statistics("app", "r-app", after, None)["network_rate_stats"] == {}
