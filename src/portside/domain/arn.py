"""Amazon Resource Names: made and taken apart in one place."""

import hashlib
from typing import NamedTuple

from portside.domain.record import Scope


class Arn(NamedTuple):
    """arn:aws:service:region:account:resource"""

    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        return f"arn:aws:{self.service}:{self.region}:{self.account}:{self.resource}"


def parse(text: str) -> Arn | None:
    """The parts of an ARN, or None if it is none."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[1].startswith("aws"):
        return None
    return Arn(parts[2], parts[3], parts[4], parts[5])


def root(account: str) -> str:
    """An account's root user."""
    return f"arn:aws:iam::{account}:root"


def ecs(scope: Scope, resource: str) -> str:
    return str(Arn("ecs", scope.region, scope.account, resource))


def cluster(scope: Scope, name: str) -> str:
    return ecs(scope, f"cluster/{name}")


def task(scope: Scope, cluster_name: str, task_id: str) -> str:
    return ecs(scope, f"task/{cluster_name}/{task_id}")


def container(scope: Scope, cluster_name: str, task_id: str, container_id: str) -> str:
    return ecs(scope, f"container/{cluster_name}/{task_id}/{container_id}")


def container_instance(scope: Scope, cluster_name: str, instance_id: str) -> str:
    return ecs(scope, f"container-instance/{cluster_name}/{instance_id}")


def capacity_provider(scope: Scope, name: str) -> str:
    return ecs(scope, f"capacity-provider/{name}")


def service(scope: Scope, cluster_name: str, name: str) -> str:
    return ecs(scope, f"service/{cluster_name}/{name}")


def service_deployment(scope: Scope, cluster_name: str, service_name: str, deployment_id: str) -> str:
    return ecs(scope, f"service-deployment/{cluster_name}/{service_name}/{deployment_id}")


def service_revision(scope: Scope, cluster_name: str, service_name: str, revision_id: str) -> str:
    return ecs(scope, f"service-revision/{cluster_name}/{service_name}/{revision_id}")


def task_definition(scope: Scope, family: str, revision: int) -> str:
    return ecs(scope, f"task-definition/{family}:{revision}")


def target_group(scope: Scope, name: str, suffix: str) -> str:
    return str(Arn("elasticloadbalancing", scope.region, scope.account, f"targetgroup/{name}/{suffix}"))


def load_balancer(scope: Scope, name: str, suffix: str, prefix: str = "app") -> str:
    return str(Arn("elasticloadbalancing", scope.region, scope.account, f"loadbalancer/{prefix}/{name}/{suffix}"))


def discovery(scope: Scope, resource: str) -> str:
    """Of Cloud Map: `namespace/ns-…` or `service/srv-…`."""
    return str(Arn("servicediscovery", scope.region, scope.account, resource))


def container_id(task_id: str, name: str) -> str:
    """The last part of a container's ARN, in the form of a UUID: the same whenever and wherever it is asked for."""
    digest = hashlib.sha256(f"{task_id}/{name}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def alarm(scope: Scope, name: str) -> str:
    return str(Arn("cloudwatch", scope.region, scope.account, f"alarm:{name}"))


def scaling_policy(scope: Scope, resource_id: str, policy_id: str, name: str) -> str:
    """Of Application Auto Scaling, for a service of ECS."""
    resource = f"scalingPolicy:{policy_id}:resource/ecs/{resource_id}:policyName/{name}"
    return str(Arn("autoscaling", scope.region, scope.account, resource))


def event_rule(scope: Scope, name: str) -> str:
    """Of the default event bus."""
    return str(Arn("events", scope.region, scope.account, f"rule/{name}"))
