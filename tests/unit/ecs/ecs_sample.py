"""The ECS handlers on a store in memory, called as the gateway calls them, and samples of what they are given."""

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore.model import Shape

from portside.api.ecs.service import ecs_service
from portside.aws.service import RequestContext, ServiceError
from portside.control.clock import RandomIds
from portside.domain.instance_identity import InstanceIdentities
from portside.domain.load_balancer import Forward, Listener, TargetGroup, WeightedTargetGroup
from portside.domain.record import Scope
from portside.domain.table import LISTENER, SECURITY_GROUP, SUBNET, TARGET_GROUP, TASK
from portside.domain.task.record import Task
from portside.domain.vpc import SecurityGroup, Subnet
from portside.store.interface import Put
from portside.store.memory import MemoryStore

ACCOUNT, REGION = "000000000000", "us-east-1"
SCOPE = Scope(account=ACCOUNT, region=REGION)
SUBNETS = (("subnet-a", "vpc-1", "a"), ("subnet-b", "vpc-1", "b"), ("subnet-x", "vpc-2", "a"))
GROUPS = (("sg-default", "vpc-1", "default"), ("sg-web", "vpc-1", "web"), ("sg-x", "vpc-2", "default"))
NETWORK: dict[str, Any] = {"awsvpcConfiguration": {"subnets": ["subnet-a"]}}
TASK_DEFINITION = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition"
MODEL = botocore.session.Session().get_service_model("ecs")
START = datetime(2026, 1, 1, tzinfo=UTC)


class StillClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def pass_(self, **span: float) -> None:
        self.at += timedelta(**span)

    async def sleep_until(self, at: datetime) -> None:
        raise AssertionError("handlers never sleep")


class Ecs:
    """Calls handlers by operation name."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), StillClock()
        self.identities = InstanceIdentities(b"key")
        self.service = ecs_service(self.store, self.clock, RandomIds(), identities=self.identities)
        for subnet_id, vpc_id, zone in (
            ("subnet-a", "vpc-1", "a"),
            ("subnet-b", "vpc-1", "b"),
            ("subnet-x", "vpc-2", "a"),
        ):
            self.store.transact(
                Put(
                    SUBNET,
                    Subnet(
                        scope=SCOPE,
                        id=subnet_id,
                        vpc_id=vpc_id,
                        cidr_block="10.0.0.0/24",
                        zone=REGION + zone,
                        zone_id=f"use1-az{zone}",
                        created_at=START,
                    ),
                )
            )
        for group_id, vpc_id, name in (
            ("sg-default", "vpc-1", "default"),
            ("sg-web", "vpc-1", "web"),
            ("sg-x", "vpc-2", "default"),
        ):
            self.store.transact(
                Put(
                    SECURITY_GROUP,
                    SecurityGroup(scope=SCOPE, id=group_id, vpc_id=vpc_id, name=name, description="", created_at=START),
                )
            )

    def __call__(self, operation: str, **params: Any) -> Any:
        context = RequestContext(
            account=ACCOUNT,
            region=REGION,
            service="ecs",
            operation=operation,
            request_id="request",
            access_key_id=ACCOUNT,
        )
        return self.service.handlers[operation](context, params)

    def error(self, operation: str, **params: Any) -> tuple[str, str]:
        """Code and message of the error that the call must end with."""
        with pytest.raises(ServiceError) as caught:
            self(operation, **params)
        assert caught.value.status == 400
        return caught.value.code, caught.value.message

    def register(self, **changes: Any) -> str:
        """Register the sample definition; its ARN."""
        answer = self("RegisterTaskDefinition", **sample(**changes))
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def run(self, **changes: Any) -> Any:
        return self(
            "RunTask", **{"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": NETWORK, **changes}
        )

    def create_service(self, **changes: Any) -> Any:
        """Create the service `web` of two tasks; a change to None leaves the member out."""
        params = {
            "serviceName": "web",
            "taskDefinition": "web:1",
            "desiredCount": 2,
            "launchType": "FARGATE",
            "networkConfiguration": NETWORK,
            **changes,
        }
        return self("CreateService", **{name: value for name, value in params.items() if value is not None})

    def stored_task(self, answer: Any) -> Task:
        """The record of the first task that RunTask answered with."""
        task_id = answer["tasks"][0]["taskArn"].rpartition("/")[2]
        task = self.store.get(TASK, f"{SCOPE.prefix}default/{task_id}")
        assert task is not None
        return task

    def target_group(self, name: str = "tg", *, target_type: Any = "ip", listened: bool = True) -> str:
        """A target group, with a listener that forwards to it or without; its ARN."""
        arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/1"
        self.store.transact(
            Put(
                TARGET_GROUP,
                TargetGroup(scope=SCOPE, arn=arn, name=name, target_type=target_type, vpc_id="vpc-1", created_at=START),
            )
        )
        if listened:
            listener = Listener(
                scope=SCOPE,
                arn=f"listener/{name}",
                load_balancer_arn="lb",
                port=80,
                default_action=Forward(target_groups=(WeightedTargetGroup(target_group_arn=arn),)),
                created_at=START,
            )
            self.store.transact(Put(LISTENER, listener))
        return arn


def container(**changes: Any) -> dict[str, Any]:
    return {"name": "app", "image": "localhost/app:1", "portMappings": [{"containerPort": 80}], **changes}


def sample(**changes: Any) -> dict[str, Any]:
    """Parameters of RegisterTaskDefinition that are accepted; a change to None leaves the member out."""
    params = {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [container()],
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


def behind(group_arn: str, name: str = "app", port: int = 80) -> list[dict[str, Any]]:
    return [{"targetGroupArn": group_arn, "containerName": name, "containerPort": port}]


def check_shape(shape: Shape, value: Any, path: str) -> None:
    """That a value fits a model's shape: no member it does not have, and each of the right type."""
    match shape.type_name:
        case "structure":
            unknown = value.keys() - shape.members.keys()
            assert not unknown, f"{path} has no members {unknown}"
            for name, each in value.items():
                check_shape(shape.members[name], each, f"{path}.{name}")
        case "list":
            for each in value:
                check_shape(shape.member, each, f"{path}[]")
        case "map":
            for each in value.values():
                check_shape(shape.value, each, f"{path}{{}}")
        case "string":
            assert isinstance(value, str), f"{path}: {value!r}"
            assert not shape.enum or value in shape.enum, f"{path}: {value!r}"
        case "integer" | "long":
            assert isinstance(value, int), f"{path}: {value!r}"
        case "double":
            assert isinstance(value, float), f"{path}: {value!r}"
        case "boolean":
            assert isinstance(value, bool), f"{path}: {value!r}"
        case "timestamp":
            assert value.tzinfo is not None, f"{path}: {value!r}"
        case other:
            raise AssertionError(f"{path}: a {other}")


def check_answer(operation: str, answer: Any) -> None:
    check_shape(MODEL.operation_model(operation).output_shape, answer, operation)
