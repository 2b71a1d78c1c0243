"""Tasks and services of ECS through boto3 and the aws command."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from portside.api.ecs.service import ecs_service
from portside.api.iam.service import iam_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.load_balancer import Forward, Listener, TargetGroup, WeightedTargetGroup
from portside.domain.record import Scope, replace
from portside.domain.table import LISTENER, SECURITY_GROUP, SUBNET, TARGET_GROUP, TASK
from portside.domain.task.record import TaskStatus
from portside.domain.vpc import SecurityGroup, Subnet
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    subnet = {"cidr_block": "10.0.0.0/24", "zone": "us-east-1a", "zone_id": "use1-az1"}
    forward = Forward(target_groups=(WeightedTargetGroup(target_group_arn=GROUP),))
    store.transact(
        Put(SUBNET, Subnet(scope=SCOPE, id="subnet-1", vpc_id="vpc-1", created_at=NOW, **subnet)),
        Put(
            SECURITY_GROUP,
            SecurityGroup(scope=SCOPE, id="sg-1", vpc_id="vpc-1", name="default", description="", created_at=NOW),
        ),
        Put(TARGET_GROUP, TargetGroup(scope=SCOPE, arn=GROUP, name="web", vpc_id="vpc-1", created_at=NOW)),
        Put(
            LISTENER,
            Listener(
                scope=SCOPE, arn="listener", load_balancer_arn="lb", port=80, default_action=forward, created_at=NOW
            ),
        ),
    )
    return store


@pytest.fixture
def served(serve: Callable[..., Any], store: MemoryStore) -> Any:
    """With the default cluster and one revision of `web`."""
    clock, ids = SystemClock(), RandomIds()
    served = serve([ecs_service(store, clock, ids), iam_service(store, AesVault(bytes(32)), clock, ids)])
    ecs = served.client("ecs")
    ecs.create_cluster()
    ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "app", "image": "localhost/app:1", "portMappings": [{"containerPort": 80}]}],
    )
    return served


@pytest.fixture
def ecs(served: Any) -> Any:
    return served.client("ecs")


def error_of(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_tasks_by_command(served: Any) -> None:
    """Tasks with the aws command: run, listed, described with tags, stopped."""
    words = ["--task-definition", "web", "--launch-type", "FARGATE", "--count", "2", "--tags", "key=a,value=b"]
    shorthand = "awsvpcConfiguration={subnets=[subnet-1],securityGroups=[sg-1],assignPublicIp=ENABLED}"
    run = served.aws("ecs", "run-task", *words, "--network-configuration", shorthand)
    assert (len(run["tasks"]), run["failures"]) == (2, [])
    task = run["tasks"][0]
    assert (task["lastStatus"], task["attachments"][0]["status"]) == ("PROVISIONING", "PRECREATED")
    assert set(served.aws("ecs", "list-tasks")["taskArns"]) == {each["taskArn"] for each in run["tasks"]}
    described = served.aws("ecs", "describe-tasks", "--tasks", task["taskArn"], "--include", "TAGS")
    assert described["tasks"] == [{**task, "tags": [{"key": "a", "value": "b"}]}]
    stopped = served.aws("ecs", "stop-task", "--task", task["taskArn"], "--reason", "enough")["task"]
    assert (stopped["desiredStatus"], stopped["stopCode"]) == ("STOPPED", "UserInitiated")
    listed = served.aws("ecs", "list-tasks", "--desired-status", "STOPPED", "--family", "web")
    assert listed == {"taskArns": [task["taskArn"]]}


def test_capacity_providers_by_command(served: Any) -> None:
    """Providers described and associated with the aws command; a task follows the cluster's default strategy."""
    found = served.aws("ecs", "describe-capacity-providers")
    assert [each["name"] for each in found["capacityProviders"]] == ["FARGATE", "FARGATE_SPOT"]
    strategy = "capacityProvider=FARGATE_SPOT,weight=1"
    words = ["--capacity-providers", "FARGATE", "FARGATE_SPOT", "--default-capacity-provider-strategy", strategy]
    cluster = served.aws("ecs", "put-cluster-capacity-providers", "--cluster", "default", *words)["cluster"]
    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    run = served.aws("ecs", "run-task", "--task-definition", "web", "--network-configuration", json.dumps(NETWORK))
    assert run["tasks"][0]["capacityProviderName"] == "FARGATE_SPOT"
    refused = served.run_aws(
        *("ecs", "put-cluster-capacity-providers", "--cluster", "default", "--capacity-providers", "FARGATE"),
        *("--default-capacity-provider-strategy", "capacityProvider=FARGATE,weight=1"),
    )
    assert "(ResourceInUseException)" in refused.stderr


def test_services_by_command(served: Any) -> None:
    """A service with the aws command: created behind a target group, updated, described, deleted by force."""
    balanced = json.dumps([{"targetGroupArn": GROUP, "containerName": "app", "containerPort": 80}])
    words = ["--service-name", "web", "--task-definition", "web", "--desired-count", "2", "--launch-type", "FARGATE"]
    created = served.aws(
        *("ecs", "create-service", *words, "--network-configuration", json.dumps(NETWORK)),
        *("--load-balancers", balanced, "--health-check-grace-period-seconds", "30"),
        *("--deployment-configuration", "minimumHealthyPercent=50,maximumPercent=150"),
    )["service"]
    assert (created["status"], created["healthCheckGracePeriodSeconds"]) == ("ACTIVE", 30)
    updated = served.aws("ecs", "update-service", "--service", "web", "--force-new-deployment")["service"]
    assert [each["status"] for each in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
    described = served.aws("ecs", "describe-services", "--services", "web", "other")
    assert described["services"] == [updated]
    assert described["failures"][0]["reason"] == "MISSING"
    assert served.aws("ecs", "list-services")["serviceArns"] == [created["serviceArn"]]
    refused = served.run_aws("ecs", "delete-service", "--service", "web")
    assert "The service cannot be stopped while it is scaled above 0." in refused.stderr
    assert served.aws("ecs", "delete-service", "--service", "web", "--force")["service"]["status"] == "DRAINING"


def test_waiters(ecs: Any, store: MemoryStore) -> None:
    """boto3's waiters understand the states that are shown."""
    task = ecs.run_task(taskDefinition="web", launchType="FARGATE", networkConfiguration=NETWORK)["tasks"][0]
    record = next(store.scan(TASK))
    at_once = {"Delay": 0, "MaxAttempts": 1}
    store.transact(Put(TASK, replace(record, last_status=TaskStatus.RUNNING)))
    ecs.get_waiter("tasks_running").wait(tasks=[task["taskArn"]], WaiterConfig=at_once)
    store.transact(Put(TASK, replace(record, last_status=TaskStatus.STOPPED)))
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig=at_once)


def test_retried_run(ecs: Any) -> None:
    """A client that asks again with its token gets the tasks it has; another request with it is a conflict."""
    params = {"launchType": "FARGATE", "networkConfiguration": NETWORK, "clientToken": "once"}
    first = ecs.run_task(taskDefinition="web", **params)["tasks"]
    assert ecs.run_task(taskDefinition="web", **params)["tasks"] == first
    code, status, _ = error_of(ecs.run_task, taskDefinition="web:1", **params)
    assert (code, status) == ("ConflictException", 400)


def test_errors(ecs: Any) -> None:
    """Errors arrive with AWS's code, status 400 and AWS's words."""
    run = {"taskDefinition": "web", "launchType": "FARGATE"}
    for call, params, code, message in (
        (ecs.run_task, {**run, "cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        (
            ecs.run_task,
            {**run, "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-x"]}}},
            "InvalidParameterException",
            "Error retrieving subnet information for [subnet-x]: "
            "The subnet ID 'subnet-x' does not exist (ErrorCode: InvalidSubnetID.NotFound)",
        ),
        (ecs.describe_tasks, {"tasks": []}, "InvalidParameterException", "Tasks cannot be empty."),
        (ecs.update_service, {"service": "none"}, "ServiceNotFoundException", "Service not found."),
        (ecs.stop_task, {"task": "0" * 32}, "InvalidParameterException", "The referenced task was not found."),
    ):
        assert error_of(call, **params) == (code, 400, message)


def test_a_role_that_tasks_may_not_assume(served: Any) -> None:
    """RunTask and CreateService refuse a role whose trust policy leaves tasks out; one that IAM lacks passes."""
    ecs, iam = served.client("ecs"), served.client("iam")
    for name, service in (("task", "ecs-tasks"), ("other", "ec2")):
        principal = {"Service": f"{service}.amazonaws.com"}
        trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    where: dict[str, Any] = {"launchType": "FARGATE", "networkConfiguration": NETWORK}

    def role(name: str) -> str:
        return f"arn:aws:iam::000000000000:role/{name}"

    for name in ("task", "unheard-of"):
        assert ecs.run_task(taskDefinition="web", overrides={"taskRoleArn": role(name)}, **where)["tasks"]
    with pytest.raises(ClientError) as caught:
        ecs.run_task(taskDefinition="web", overrides={"executionRoleArn": role("other")}, **where)
    error = caught.value.response["Error"]
    assert error["Code"] == "ClientException"
    assert error["Message"].startswith(
        f"ECS was unable to assume the role '{role('other')}' that was provided for this task."
    )
    ecs.register_task_definition(
        family="badly",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        taskRoleArn=role("other"),
        containerDefinitions=[{"name": "app", "image": "app"}],
    )
    with pytest.raises(ClientError, match="unable to assume the role"):
        ecs.create_service(serviceName="badly", taskDefinition="badly", desiredCount=1, **where)
