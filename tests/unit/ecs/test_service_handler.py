"""ECS services through the handlers: creation, deployments, deletion."""

from typing import Any

import pytest
from ecs_sample import NETWORK, TASK_DEFINITION, behind

from portside.domain.record import replace
from portside.domain.service.record import RolloutState
from portside.domain.table import SERVICE, TASK
from portside.domain.task.record import TaskStatus
from portside.store.interface import Put


def test_new_service(ready: Any) -> None:
    """A new service is ACTIVE with one PRIMARY deployment in progress, and AWS's defaults."""
    service = ready.create_service(loadBalancers=behind(ready.target_group()))["service"]
    assert (service["status"], service["desiredCount"], service["platformVersion"]) == ("ACTIVE", 2, "LATEST")
    configuration = service["deploymentConfiguration"]
    assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (100, 200)
    (deployment,) = service["deployments"]
    assert (deployment["status"], deployment["rolloutState"]) == ("PRIMARY", "IN_PROGRESS")
    assert deployment["rolloutStateReason"] == f"ECS deployment {deployment['id']} in progress."
    assert deployment["platformVersion"] == "1.4.0"
    assert service["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-a"],
        "securityGroups": [],
        "assignPublicIp": "DISABLED",
    }
    assert ready("ListServices")["serviceArns"] == [service["serviceArn"]]
    stored = ready.store.get(SERVICE, "000000000000/us-east-1/default/web")
    assert stored.deployments[0].network.security_group_ids == ("sg-default",)


def test_creation_is_idempotent(ready: Any) -> None:
    """The same creation again answers with the service; another of its name is refused, also while it drains."""
    first = ready.create_service(clientToken="a")
    assert ready.create_service(clientToken="b") == first
    with_other_count = {"serviceName": "web", "taskDefinition": "web:1", "desiredCount": 3}
    assert ready.error("CreateService", **with_other_count) == (
        "InvalidParameterException",
        "Creation of service was not idempotent.",
    )
    ready("DeleteService", service="web", force=True)
    assert ready.error("CreateService", **with_other_count) == (
        "InvalidParameterException",
        "Unable to Start a service that is still Draining.",
    )
    stored = ready.store.get(SERVICE, "000000000000/us-east-1/default/web")
    ready.store.transact(Put(SERVICE, replace(stored, status="INACTIVE", deployments=())))
    assert ready("DescribeServices", services=["web"])["services"][0]["status"] == "INACTIVE"
    assert ready("ListServices") == {"serviceArns": []}
    assert ready.create_service()["service"]["status"] == "ACTIVE"


BOTH_100 = {"minimumHealthyPercent": 100, "maximumPercent": 100}


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"taskDefinition": "web:9"}, "ClientException", "TaskDefinition not found."),
        ({"taskDefinition": None}, "InvalidParameterException", "TaskDefinition can not be blank."),
        ({"networkConfiguration": None}, "InvalidParameterException", "Network Configuration must be provided"),
        ({"role": "ecs"}, "InvalidParameterException", "You cannot specify an IAM role for services that require"),
        (
            {"deploymentConfiguration": BOTH_100},
            "InvalidParameterException",
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ),
        (
            {"healthCheckGracePeriodSeconds": 5},
            "InvalidParameterException",
            "Health check grace period is only valid for services configured to use load balancers",
        ),
        ({"loadBalancers": behind("none")}, "InvalidParameterException", "The specified target group does not exist"),
        (
            {"loadBalancers": behind("tg", "db")},
            "InvalidParameterException",
            "The container db does not exist in the task definition.",
        ),
        (
            {"loadBalancers": behind("tg", "app", 81)},
            "InvalidParameterException",
            "The container app did not have a container port 81 defined.",
        ),
        (
            {"loadBalancers": [{"containerPort": 80, "targetGroupArn": "x"}]},
            "InvalidParameterException",
            "Container Name",
        ),
        (
            {"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": False, "rollback": True}}},
            "InvalidParameterException",
            "The deployment circuit breaker must be enabled to roll a deployment back.",
        ),
        (
            {
                "deploymentConfiguration": {
                    "deploymentCircuitBreaker": {
                        "enable": True,
                        "rollback": True,
                        "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 101},
                    }
                }
            },
            "InvalidParameterException",
            "The threshold of the deployment circuit breaker is not valid.",
        ),
        (
            {"deploymentConfiguration": {"alarms": {"alarmNames": [], "enable": True, "rollback": True}}},
            "InvalidParameterException",
            "At least one alarm must be named to monitor deployments.",
        ),
        (
            {"deploymentConfiguration": {"alarms": {"alarmNames": ["busy"], "enable": True, "rollback": True}}},
            "InvalidParameterException",
            "The following alarms were not found: busy.",
        ),
        (
            {"serviceRegistries": [{"registryArn": "x"}]},
            "InvalidParameterException",
            "Invalid registry ARN: x",
        ),
        (
            {"placementStrategy": [{"type": "random"}]},
            "InvalidParameterException",
            "Placement strategies are not supported with FARGATE launch type.",
        ),
        ({"schedulingStrategy": "DAEMON"}, "InvalidParameterException", "The daemon scheduling strategy is not"),
        (
            {"schedulingStrategy": "DAEMON", "launchType": "EC2"},
            "InvalidParameterException",
            "The daemon scheduling strategy does not support a desired count.",
        ),
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "ClientException", "Portside does not support"),
        (
            {
                "availabilityZoneRebalancing": "ENABLED",
                "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 0},
            },
            "InvalidParameterException",
            "Availability Zone rebalancing is not supported for services with a maximumPercent of 100.",
        ),
        (
            {"tags": [{"key": "portside:pace", "value": "0.5"}]},
            "InvalidParameterException",
            "The tag portside:pace is not valid: a pace is a number from 1 to 10000, not '0.5'.",
        ),
        ({"serviceName": "no spaces"}, "InvalidParameterException", "Service names can have up to 255"),
        ({"desiredCount": None}, "InvalidParameterException", "desiredCount is required"),
        ({"desiredCount": -1}, "InvalidParameterException", "desiredCount must be between"),
    ],
)
def test_creation_refused(ready: Any, changes: dict[str, Any], code: str, message: str) -> None:
    """What a service can not be is refused, and nothing is stored."""
    defaults = {
        "serviceName": "web",
        "taskDefinition": "web:1",
        "desiredCount": 2,
        "launchType": "FARGATE",
        "networkConfiguration": NETWORK,
    }
    params = {name: value for name, value in {**defaults, **changes}.items() if value is not None}
    found_code, found = ready.error("CreateService", **params)
    assert (found_code, found[: len(message)]) == (code, message)
    assert list(ready.store.scan(SERVICE)) == []


def test_on_container_instances(ready: Any) -> None:
    """A service on container instances keeps its placement strategy, and shows no platform version."""
    ready.register(family="job", networkMode="bridge", requiresCompatibilities=["EC2"])
    asked = {"serviceName": "job", "taskDefinition": "job", "desiredCount": 1, "launchType": "EC2"}
    strategy = [{"type": "binpack", "field": "memory"}, {"type": "random"}]
    made = ready("CreateService", **asked, placementStrategy=strategy)["service"]
    assert (made["launchType"], made["placementStrategy"]) == (
        "EC2",
        [{"type": "binpack", "field": "MEMORY"}, {"type": "random"}],
    )
    assert "platformVersion" not in made
    changed = ready("UpdateService", service="job", placementConstraints=[{"type": "distinctInstance"}])["service"]
    assert changed["placementConstraints"] == [{"type": "distinctInstance"}]
    assert changed["placementStrategy"] == made["placementStrategy"]
    instances = ready.target_group("instances", target_type="instance")
    behind_one = {**asked, "serviceName": "other", "loadBalancers": behind(instances)}
    assert ready("CreateService", **behind_one)["service"]["loadBalancers"][0]["targetGroupArn"] == instances
    addresses = ready.target_group("addresses")
    behind_one = {**asked, "serviceName": "another", "loadBalancers": behind(addresses)}
    assert "incompatible with the bridge network mode" in ready.error("CreateService", **behind_one)[1]


def test_target_groups_must_fit(ready: Any) -> None:
    """A target group needs a load balancer that leads to it, and addresses as targets."""
    params = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "launchType": "FARGATE"}
    params["networkConfiguration"] = NETWORK
    lonely = ready.target_group("lonely", listened=False)
    assert ready.error("CreateService", loadBalancers=behind(lonely), **params)[1] == (
        f"The target group with targetGroupArn {lonely} does not have an associated load balancer."
    )
    instances = ready.target_group("instances", target_type="instance")
    assert ready.error("CreateService", loadBalancers=behind(instances), **params)[1] == (
        f"The provided target group {instances} has target type instance, "
        "which is incompatible with the awsvpc network mode specified in the task definition."
    )


def test_update_makes_deployments(ready: Any) -> None:
    """A new task definition, network or a forced deployment is a new PRIMARY; a new count alone is none."""
    ready.create_service()
    ready.register()
    scaled = ready("UpdateService", service="web", desiredCount=5)["service"]
    assert [(each["status"], each["desiredCount"]) for each in scaled["deployments"]] == [("PRIMARY", 5)]
    same = ready("UpdateService", service="web", taskDefinition="web:1", networkConfiguration=NETWORK)["service"]
    assert len(same["deployments"]) == 1
    ready.clock.pass_(seconds=1)
    updated = ready("UpdateService", service="web", taskDefinition="web")["service"]
    assert [each["status"] for each in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert updated["taskDefinition"] == f"{TASK_DEFINITION}/web:2"
    new, old = updated["deployments"]
    assert (new["desiredCount"], new["createdAt"], old["updatedAt"]) == (5, ready.clock.now(), ready.clock.now())
    two = {"awsvpcConfiguration": {"subnets": ["subnet-a", "subnet-b"]}}
    assert len(ready("UpdateService", service="web", networkConfiguration=two)["service"]["deployments"]) == 3
    assert len(ready("UpdateService", service="web", forceNewDeployment=True)["service"]["deployments"]) == 4
    percent = {"minimumHealthyPercent": 50}
    service = ready("UpdateService", service="web", deploymentConfiguration=percent)["service"]
    assert (service["deploymentConfiguration"]["minimumHealthyPercent"], len(service["deployments"])) == (50, 4)
    group = ready.target_group()
    service = ready("UpdateService", service="web", loadBalancers=behind(group))["service"]
    assert (service["loadBalancers"], len(service["deployments"])) == (behind(group), 5)


def test_update_refused(ready: Any) -> None:
    """A service that is not there or not ACTIVE is not updated, nor to a revision that is not ACTIVE."""
    assert ready.error("UpdateService", service="web") == ("ServiceNotFoundException", "Service not found.")
    ready.create_service()
    ready("DeregisterTaskDefinition", taskDefinition="web:1")
    assert ready.error("UpdateService", service="web", taskDefinition="web:1", forceNewDeployment=True) == (
        "ClientException",
        "TaskDefinition is inactive",
    )
    assert ready("UpdateService", service="web", desiredCount=1)["service"]["desiredCount"] == 1
    ready("DeleteService", service="web", force=True)
    assert ready.error("UpdateService", service="web", desiredCount=1) == (
        "ServiceNotActiveException",
        "Service was not ACTIVE.",
    )


def test_counts_of_a_service(ready: Any) -> None:
    """Running and pending tasks are counted from the tasks there are, for the service and for each deployment."""
    ready.create_service()
    stored = ready.store.get(SERVICE, "000000000000/us-east-1/default/web")
    first = stored.deployments[0].id
    ready("UpdateService", service="web", forceNewDeployment=True)
    tasks = [ready.stored_task(ready.run()) for _ in range(5)]
    states = [TaskStatus.RUNNING, TaskStatus.RUNNING, TaskStatus.PENDING, TaskStatus.STOPPING, TaskStatus.STOPPED]
    for task, status in zip(tasks, states, strict=True):
        ready.store.transact(Put(TASK, replace(task, service="web", deployment_id=first, last_status=status)))
    service = ready("DescribeServices", services=["web"])["services"][0]
    assert (service["runningCount"], service["pendingCount"]) == (2, 1)
    assert [(each["runningCount"], each["pendingCount"]) for each in service["deployments"]] == [(0, 0), (2, 1)]
    assert len(ready("ListTasks", serviceName="web")["taskArns"]) == 4
    assert ready("DescribeServices", services=["none"])["failures"][0]["reason"] == "MISSING"


def test_deletion(ready: Any) -> None:
    """A service with desired tasks is deleted by force only; then it drains."""
    ready.create_service()
    assert ready.error("DeleteService", service="web") == (
        "InvalidParameterException",
        "The service cannot be stopped while it is scaled above 0.",
    )
    ready("UpdateService", service="web", desiredCount=0)
    assert ready("DeleteService", service="web")["service"]["status"] == "DRAINING"
    assert ready("DeleteService", service="web")["service"]["status"] == "DRAINING"
    assert ready.error("DeleteService", service="none")[0] == "ServiceNotFoundException"


def test_rollout_state_is_the_schedulers(ready: Any) -> None:
    """What the scheduler has said of a deployment is shown, and a new one begins anew."""
    ready.create_service()
    stored = ready.store.get(SERVICE, "000000000000/us-east-1/default/web")
    done = replace(stored.deployments[0], rollout_state=RolloutState.COMPLETED, rollout_reason="completed.")
    ready.store.transact(Put(SERVICE, replace(stored, deployments=(done,))))
    service = ready("UpdateService", service="web", forceNewDeployment=True)["service"]
    assert [each["rolloutState"] for each in service["deployments"]] == ["IN_PROGRESS", "COMPLETED"]


def test_a_new_deployment_resolves_its_images_anew(ready: Any) -> None:
    """The digests that a deployment's tasks are held to are its own: an update to another image, or one that is forced,
    begins without any."""
    ready.create_service()
    key = "000000000000/us-east-1/default/web"
    stored = ready.store.get(SERVICE, key)
    (first,) = stored.deployments
    pulled = replace(first, image_digests={"app": "sha256:1"}, rollout_state=RolloutState.COMPLETED)
    ready.store.transact(Put(SERVICE, replace(stored, deployments=(pulled,), last_completed=pulled)))
    ready("UpdateService", service="web", forceNewDeployment=True)
    fresh, before = ready.store.get(SERVICE, key).deployments
    assert (fresh.image_digests, before.image_digests) == ({}, {"app": "sha256:1"})


def test_rebalancing(ready: Any) -> None:
    """A new service is rebalanced if it can be and nothing is said; an update keeps that, or changes it without a
    deployment, and can not take away what it needs."""
    made = ready.create_service()["service"]
    assert made["availabilityZoneRebalancing"] == "ENABLED"
    config = {"maximumPercent": 100, "minimumHealthyPercent": 50}
    code, _ = ready.error("UpdateService", service="web", deploymentConfiguration=config)
    assert code == "InvalidParameterException"
    changed = ready("UpdateService", service="web", availabilityZoneRebalancing="DISABLED")["service"]
    assert changed["availabilityZoneRebalancing"] == "DISABLED"
    assert [each["id"] for each in changed["deployments"]] == [each["id"] for each in made["deployments"]]
    kept = ready("UpdateService", service="web", deploymentConfiguration=config)["service"]
    assert kept["availabilityZoneRebalancing"] == "DISABLED"
    ready("CreateService", **(_asked("other") | {"deploymentConfiguration": config}))
    (other,) = ready("DescribeServices", services=["other"])["services"]
    assert other["availabilityZoneRebalancing"] == "DISABLED"


def _asked(name: str) -> dict[str, Any]:
    return {
        "serviceName": name,
        "taskDefinition": "web:1",
        "desiredCount": 2,
        "launchType": "FARGATE",
        "networkConfiguration": NETWORK,
    }
