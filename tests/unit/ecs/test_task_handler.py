"""Tasks through the handlers: run, stop, describe, list."""

from typing import Any

import pytest
from ecs_sample import NETWORK, check_answer

from portside.api.ecs import wire
from portside.api.ecs.task import Tasks
from portside.domain.record import replace
from portside.domain.table import TASK
from portside.domain.task.record import ContainerHistory, EniAttachment, Exit, Stop, StopCode, TaskStatus
from portside.store.interface import Put


def test_new_task(ready: Any) -> None:
    """RunTask answers at once with a task in PROVISIONING whose network interface is yet to come."""
    answer = ready.run(startedBy="me", count=3)
    assert answer["failures"] == []
    assert len({task["taskArn"] for task in answer["tasks"]}) == 3
    task = answer["tasks"][0]
    assert (task["lastStatus"], task["desiredStatus"], task["version"]) == ("PROVISIONING", "RUNNING", 1)
    assert (task["group"], task["startedBy"], task["platformVersion"]) == ("family:web", "me", "1.4.0")
    attachment = task["attachments"][0]
    assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "PRECREATED")
    assert attachment["details"] == [{"name": "subnetId", "value": "subnet-a"}]
    stored = ready.stored_task(answer)
    assert stored.network.security_group_ids == ("sg-default",)
    assert stored.cause_id == "request"


def test_reference_id(ready: Any) -> None:
    """It is kept and stands at the beginning of the task's story; two tasks may have the same one."""
    first, second = ready.run(referenceId="order-17"), ready.run(referenceId="order-17")
    stored = ready.stored_task(first)
    assert stored.reference_id == "order-17"
    assert stored.story[0].detail.endswith(", reference order-17")
    assert first["tasks"][0]["taskArn"] != second["tasks"][0]["taskArn"]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"taskDefinition": "other"}, "ClientException", "TaskDefinition not found."),
        ({"taskDefinition": "web:2"}, "InvalidParameterException", "TaskDefinition is inactive"),
        ({"count": 11}, "InvalidParameterException", "count must be between 1 and 10."),
        ({"count": 0}, "InvalidParameterException", "count must be between 1 and 10."),
        (
            {"referenceId": "x" * 1025},
            "InvalidParameterException",
            "referenceId exceeds the maximum length of 1024 characters.",
        ),
        ({"launchType": "EC2"}, "InvalidParameterException", "No Container Instances were found in your cluster."),
        ({"launchType": None}, "InvalidParameterException", "No Container Instances were found in your cluster."),
        (
            {"taskDefinition": "bridge"},
            "InvalidParameterException",
            "Task definition does not support launch_type FARGATE.",
        ),
        (
            {"networkConfiguration": None},
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            {"taskDefinition": "bridge", "launchType": "EC2"},
            "InvalidParameterException",
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ),
        ({"subnets": []}, "InvalidParameterException", "subnets can not be empty."),
        (
            {"subnets": ["subnet-a", "subnet-q"]},
            "InvalidParameterException",
            "Error retrieving subnet information for [subnet-a, subnet-q]: "
            "The subnet ID 'subnet-q' does not exist (ErrorCode: InvalidSubnetID.NotFound)",
        ),
        (
            {"subnets": ["subnet-a", "subnet-x"]},
            "InvalidParameterException",
            "The subnets belong to more than one VPC: vpc-1, vpc-2.",
        ),
        (
            {"subnets": ["subnet-a"], "groups": ["sg-q"]},
            "InvalidParameterException",
            "Error retrieving security group information for [sg-q]: "
            "The security group 'sg-q' does not exist (ErrorCode: InvalidGroup.NotFound)",
        ),
        (
            {"subnets": ["subnet-a"], "groups": ["sg-x"]},
            "InvalidParameterException",
            "Security group sg-x does not appear to belong to the same VPC as the input subnets.",
        ),
        (
            {"overrides": {"containerOverrides": [{"name": "db", "command": ["x"]}]}},
            "InvalidParameterException",
            "Override for container named db is not a container in the TaskDefinition.",
        ),
        (
            {"overrides": {"cpu": "256", "memory": "8192"}},
            "InvalidParameterException",
            "No Fargate configuration exists for given values: 256 CPU, 8192 memory. "
            "See the Amazon ECS documentation for the valid values.",
        ),
        (
            {"overrides": {"containerOverrides": [{"name": "app", "memory": 4096}]}},
            "InvalidParameterException",
            "The 'memory' setting for container 'app' is greater than for the task.",
        ),
        (
            {"overrides": {"containerOverrides": [{"name": "app", "memory": 1}]}},
            "InvalidParameterException",
            "Invalid 'memory' setting for container 'app'.",
        ),
        (
            {"overrides": {"containerOverrides": [{"name": "app", "memory": 50, "memoryReservation": 60}]}},
            "InvalidParameterException",
            "Invalid setting for container 'app'. 'memory' must be greater than or equal to 'memoryReservation'.",
        ),
        ({"group": "service:web"}, "InvalidParameterException", "Invalid namespace for group."),
        ({"startedBy": "x" * 129}, "InvalidParameterException", "startedBy longer than 128."),
        ({"startedBy": "a b"}, "InvalidParameterException", "startedBy contains invalid characters."),
        ({"platformVersion": "9.9.9"}, "PlatformUnknownException", "The specified platform does not exist."),
        (
            {"placementConstraints": [{"type": "distinctInstance"}]},
            "InvalidParameterException",
            "Placement constraints are not supported with FARGATE launch type.",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
            "InvalidParameterException",
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ),
        (
            {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
            "InvalidParameterException",
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
            "the cluster. Associate the capacity provider with the cluster and try again.",
        ),
        (
            {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "mine", "weight": 1}]},
            "InvalidParameterException",
            "The specified capacity provider 'mine' was not found.",
        ),
    ],
)
def test_run_refused(ready: Any, params: dict[str, Any], code: str, message: str) -> None:
    """Whatever RunTask can not do is refused in AWS's words, and no task is made."""
    ready.register()
    ready("DeregisterTaskDefinition", taskDefinition="web:2")
    ready.register(family="bridge", networkMode="bridge", requiresCompatibilities=["EC2"])
    params = dict(params)
    if "subnets" in params:
        awsvpc = {"subnets": params.pop("subnets"), "securityGroups": params.pop("groups", [])}
        params["networkConfiguration"] = {"awsvpcConfiguration": awsvpc}
    params = {"taskDefinition": "web:1", **params}
    with_defaults = {"launchType": "FARGATE", "networkConfiguration": NETWORK, **params}
    given_params = {name: value for name, value in with_defaults.items() if value is not None}
    assert ready.error("RunTask", **given_params) == (code, message)
    assert list(ready.store.scan(TASK)) == []


def test_overrides_and_tags(ready: Any) -> None:
    """Overrides reach the stored containers and are shown; tags come from the definition if asked for."""
    ready.register(tags=[{"key": "a", "value": "definition"}, {"key": "b", "value": "definition"}])
    answer = ready.run(
        overrides={
            "containerOverrides": [
                {"name": "app", "command": ["other"], "environment": [{"name": "A", "value": "1"}], "cpu": 5}
            ],
            "memory": "1024",
            "taskRoleArn": "arn:aws:iam::000000000000:role/other",
        },
        tags=[{"key": "b", "value": "task"}],
        propagateTags="TASK_DEFINITION",
        enableECSManagedTags=True,
    )
    task = ready.stored_task(answer)
    assert task.containers[0].command == ("other",)
    assert (task.containers[0].cpu_units, task.memory_mib) == (5, 1024)
    assert answer["tasks"][0]["overrides"]["containerOverrides"][0]["cpu"] == 5
    assert {tag["key"]: tag["value"] for tag in answer["tasks"][0]["tags"]} == {
        "a": "definition",
        "b": "task",
        "aws:ecs:clusterName": "default",
    }


def test_run_is_idempotent_by_token(ready: Any) -> None:
    """The same request with the same token starts nothing again; another one with it is a conflict."""
    first = ready.run(clientToken="t", count=2)
    again = ready.run(clientToken="t", count=2)
    assert {task["taskArn"] for task in again["tasks"]} == {task["taskArn"] for task in first["tasks"]}
    assert ready.error("RunTask", clientToken="t", taskDefinition="web")[0] == "ConflictException"
    assert len(list(ready.store.scan(TASK))) == 2


def test_default_capacity_provider_strategy(ready: Any) -> None:
    """Without a launch type the cluster's default strategy decides, and the task tells its capacity provider."""
    ready(
        "PutClusterCapacityProviders",
        cluster="default",
        capacityProviders=["FARGATE"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
    )
    task = ready("RunTask", taskDefinition="web", networkConfiguration=NETWORK)["tasks"][0]
    assert (task["launchType"], task["capacityProviderName"]) == ("FARGATE", "FARGATE")


def test_stop(ready: Any) -> None:
    """StopTask writes what is desired, once; the first reason stays."""
    arn = ready.run()["tasks"][0]["taskArn"]
    stopped = ready("StopTask", task=arn, reason="enough")["task"]
    assert (stopped["desiredStatus"], stopped["lastStatus"]) == ("STOPPED", "PROVISIONING")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
    ready.clock.pass_(seconds=1)
    assert ready("StopTask", task=arn, reason="again")["task"]["stoppedReason"] == "enough"
    other = ready.run()["tasks"][0]["taskArn"].rpartition("/")[2]
    assert ready("StopTask", task=other)["task"]["stoppedReason"] == "Task stopped by user"
    assert ready.error("StopTask", task="0" * 32) == (
        "InvalidParameterException",
        "The referenced task was not found.",
    )


def test_describe_tasks(ready: Any) -> None:
    """Known tasks are described, unknown ones are failures, and names of no task are errors."""
    arn = ready.run(tags=[{"key": "a", "value": "b"}])["tasks"][0]["taskArn"]
    answer = ready("DescribeTasks", tasks=[arn, "0" * 32])
    assert [task["taskArn"] for task in answer["tasks"]] == [arn]
    missing = f"arn:aws:ecs:us-east-1:000000000000:task/default/{'0' * 32}"
    assert answer["failures"] == [{"arn": missing, "reason": "MISSING"}]
    assert answer["tasks"][0]["tags"] == []
    assert ready("DescribeTasks", tasks=[arn], include=["TAGS"])["tasks"][0]["tags"] == [{"key": "a", "value": "b"}]
    for tasks, message in (
        ([], "Tasks cannot be empty."),
        (["x"], "taskId length should be one of [32,36]"),
        (
            [missing.replace("default", "other")],
            "Invalid identifier: Identifier is for cluster other. Your cluster is default",
        ),
        ([missing.replace("000000000000", "111111111111")], "AccountIDs mismatch"),
    ):
        assert ready.error("DescribeTasks", tasks=tasks) == ("InvalidParameterException", message)
    assert ready.error("DescribeTasks", tasks=["0" * 32] * 101)[0] == "InvalidParameterException"


def test_description_follows_the_record(ready: Any) -> None:
    """A task's description is that of its newest record, however often it was asked for before."""
    answer = ready.run()
    arn = answer["tasks"][0]["taskArn"]
    ready("DescribeTasks", tasks=[arn])
    ready.store.transact(Put(TASK, replace(ready.stored_task(answer), last_status=TaskStatus.PENDING, version=2)))
    task = ready("DescribeTasks", tasks=[arn])["tasks"][0]
    assert (task["lastStatus"], task["version"]) == ("PENDING", 2)


def test_cache_is_bounded(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describing more tasks than are remembered still describes each."""
    monkeypatch.setattr("portside.api.ecs.task.REMEMBERED", 3)
    arns = [task["taskArn"] for task in ready.run(count=10)["tasks"]]
    handler = Tasks(ready.store, ready.clock, None)  # type: ignore[arg-type]
    for _ in range(2):
        context = type("Context", (), {"prefix": "000000000000/us-east-1/", "account": "0" * 12, "region": "us-east-1"})
        answer = handler.describe(context(), {"tasks": arns})  # type: ignore[arg-type]
        assert [task["taskArn"] for task in answer["tasks"]] == arns
    assert len(handler._shown) <= 3


def test_life_of_a_task_on_the_wire(ready: Any) -> None:
    """Attachment, containers and times are shown as AWS shows them at each stage of a task's life."""
    answer = ready.run()
    task = ready.stored_task(answer)
    at = ready.clock.now()
    eni = EniAttachment(
        eni_id="eni-1",
        subnet_id="subnet-a",
        vpc_id="vpc-1",
        zone="us-east-1a",
        address="10.0.0.5",
        prefix_length=24,
        gateway="10.0.0.1",
        mac_address="02:00:00:00:00:05",
        private_dns_name="ip-10-0-0-5.ec2.internal",
        security_group_ids=("sg-default",),
    )
    task = replace(task, eni=eni, last_status=TaskStatus.PENDING)
    assert wire.task_to(task)["attachments"][0]["status"] == "ATTACHING"
    history = (ContainerHistory(name="app", runtime_id="r-1", image_digest="sha256:1", started_at=at),)
    task = replace(task, network_ready_at=at, history=history, last_status=TaskStatus.RUNNING, started_at=at)
    shown = wire.task_to(task)
    details = {each["name"]: each["value"] for each in shown["attachments"][0]["details"]}
    assert shown["attachments"][0]["status"] == "ATTACHED"
    assert details == {
        "subnetId": "subnet-a",
        "networkInterfaceId": "eni-1",
        "macAddress": "02:00:00:00:00:05",
        "privateDnsName": "ip-10-0-0-5.ec2.internal",
        "privateIPv4Address": "10.0.0.5",
    }
    container = shown["containers"][0]
    assert (container["lastStatus"], container["runtimeId"]) == ("RUNNING", "r-1")
    assert container["networkInterfaces"] == [
        {"attachmentId": shown["attachments"][0]["id"], "privateIpv4Address": "10.0.0.5"}
    ]
    assert (shown["availabilityZone"], shown["startedAt"]) == ("us-east-1a", at)
    exited = replace(history[0], exit=Exit(code=137, reason="OutOfMemoryError: killed", at=at))
    stop = Stop(code=StopCode.ESSENTIAL_CONTAINER_EXITED, reason="Essential container in task exited", at=at)
    task = replace(task, history=(exited,), stop=stop, last_status=TaskStatus.STOPPED, stopped_at=at)
    shown = wire.task_to(task)
    check_answer("DescribeTasks", {"tasks": [shown]})
    assert (shown["attachments"][0]["type"], shown["attachments"][0]["status"]) == ("eni", "DELETED")
    container = shown["containers"][0]
    assert (container["exitCode"], container["reason"]) == (137, "OutOfMemoryError: killed")
    assert (shown["stopCode"], shown["desiredStatus"]) == ("EssentialContainerExited", "STOPPED")


def test_list_tasks(ready: Any) -> None:
    """Each filter of ListTasks leaves the tasks it names, and stopped ones are listed when asked for."""
    ready.register(family="other")
    web = [task["taskArn"] for task in ready.run(startedBy="me", count=2)["tasks"]]
    other = [task["taskArn"] for task in ready.run(taskDefinition="other")["tasks"]]
    ready("StopTask", task=web[0])
    stopped, running = web[:1], web[1:]
    for filters, expected in (
        ({}, running + other),
        ({"desiredStatus": "STOPPED"}, stopped),
        ({"desiredStatus": "PENDING"}, []),
        ({"family": "web"}, running),
        ({"startedBy": "me"}, running),
        ({"launchType": "FARGATE"}, running + other),
        ({"launchType": "EC2"}, []),
        ({"containerInstance": "0" * 32}, []),
        ({"family": "web", "desiredStatus": "STOPPED"}, stopped),
    ):
        assert ready("ListTasks", **filters)["taskArns"] == sorted(expected), filters
    assert ready.error("ListTasks", serviceName="none") == ("ServiceNotFoundException", "Service not found.")
    first = ready("ListTasks", maxResults=1)
    second = ready("ListTasks", maxResults=1, nextToken=first["nextToken"])
    assert sorted(first["taskArns"] + second["taskArns"]) == sorted(running + other)
    assert "nextToken" not in second


def test_a_task_says_what_it_runs_on(ready: Any) -> None:
    """The attribute ecs.cpu-architecture, as every task on Fargate has it."""
    (attribute,) = ready.run()["tasks"][0]["attributes"]
    assert attribute["name"] == "ecs.cpu-architecture"
    assert attribute["value"] in ("x86_64", "arm64")
