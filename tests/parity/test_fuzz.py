"""Hostile input for every implemented operation: each answer is a result or an error of AWS's, never a bug of ours.

Requests are made of botocore's input shapes, with values that exist, values that nearly do, and garbage; and of bodies
that no client would send. They go through the whole gateway: parsing, validation, the handler, serialising.
"""

import asyncio
import json
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import botocore.session
import pytest
from botocore.model import OperationModel, Shape
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.api.ec2.default_network import ensure_default_network
from portside.aws.gateway import Gateway
from portside.aws.request import Answer, Request
from portside.aws.service import ServiceError
from portside.control.cloud_map import CloudMapLoop
from portside.domain.record import Scope
from portside.domain.table import CLOUD_MAP_OPERATION
from portside.main import api_services
from portside.session.issue import StsSessions
from portside.session.key import SessionKeys
from portside.store.faulty import FaultyStore
from portside.store.memory import MemoryStore
from portside.telemetry.metric import SqliteMetricStore
from portside.telemetry.sqlite import SqliteLogStore
from portside.testing.clock import FakeClock, SeededIds
from portside.vault.aes import AesVault

ACCOUNT, REGION = "000000000000", "us-east-1"
SIGNING = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing", "efs": "elasticfilesystem"}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
CALLS = 30
"""Calls on one world, so that what one of them leaves behind is met by the next."""

GARBAGE = (
    *("", " ", "x", "0", "-1", "*", "?", "%", "%00", "\0", "\x01", "é", "日本", "😀", "\u202e", "\ud7ff", "a/b", "a:b"),
    *("..", "../../etc/passwd", "x" * 300, "arn:", "arn:aws", "arn:aws:ecs", "null", "true", "NaN", "1e400", "\n"),
    *("arn:aws:ecs:us-east-1:000000000000:", "arn:aws:ecs:us-east-1:000000000000:cluster/", "sg-", "subnet-", "vpc-"),
    "arn:aws:ecs:us-east-1:111111111111:cluster/one",
    "arn:aws:ecs:eu-west-1:000000000000:cluster/one",
    "arn:aws:s3:::bucket/one",
    "arn:aws:ecs:us-east-1:000000000000:task/one/two/three/four",
    "arn:aws:ecs:us-east-1:000000000000:service/one",
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web",
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef",
    *("family:0", "family:1", "family:99999999999", "family:-1", "family:x", ":1", "web:1:1", "999.1.1.1", "::1"),
    *("0.0.0.0/0", "10.0.0.0/33", "172.31.0.300", "172.31.0.5", "host-header", "path-pattern", "AQ==", "==", "e30="),
    *("traffic-port", "200-299", "200,", "9" * 30, "{", '{"a":', '{ $.x = "1" }', "[", "tag:", "group-id", "vpc-id"),
)
NUMBERS = (
    0,
    1,
    2,
    5,
    80,
    100,
    256,
    443,
    512,
    -1,
    65535,
    65536,
    2**31 - 1,
    -(2**31),
    2**31,
    2**63 - 1,
    -(2**63),
    10**30,
)


LIKELY = {
    "cluster": ("one",),
    "clusters": ("one", "default"),
    "clusterName": ("one", "two"),
    "service": ("web",),
    "services": ("web",),
    "serviceName": ("web", "api"),
    "taskDefinition": ("web", "web:1"),
    "family": ("web", "api"),
    "familyPrefix": ("web",),
    "launchType": ("FARGATE",),
    "networkMode": ("awsvpc",),
    "requiresCompatibilities": ("FARGATE",),
    "cpu": ("256", "512"),
    "memory": ("512", "1024"),
    "containerName": ("main",),
    "name": ("main", "side"),
    "image": ("image",),
    "task": (":task/",),
    "tasks": (":task/",),
    "resourceArn": ("arn:aws:ecs", "arn:aws:logs"),
    "ResourceArns": (":loadbalancer/", ":targetgroup/", ":listener/"),
    "LoadBalancerArn": (":loadbalancer/",),
    "LoadBalancerArns": (":loadbalancer/",),
    "TargetGroupArn": (":targetgroup/",),
    "targetGroupArn": (":targetgroup/",),
    "TargetGroupArns": (":targetgroup/",),
    "ListenerArn": (":listener/",),
    "ListenerArns": (":listener/",),
    "RuleArn": (":listener-rule/",),
    "RuleArns": (":listener-rule/",),
    "subnets": ("subnet-",),
    "Subnets": ("subnet-",),
    "SubnetIds": ("subnet-",),
    "securityGroups": ("sg-",),
    "SecurityGroups": ("sg-",),
    "GroupId": ("sg-",),
    "GroupIds": ("sg-",),
    "GroupName": ("default", "new"),
    "SecurityGroupRuleIds": ("sgr-",),
    "VpcId": ("vpc-",),
    "VpcIds": ("vpc-",),
    "Resources": ("sg-", "vpc-", "subnet-"),
    "IpProtocol": ("tcp", "-1", "udp", "icmp", "6"),
    "CidrIp": ("10.0.0.0/8", "0.0.0.0/0"),
    "Id": ("172.31.0.9",),
    "Protocol": ("HTTP",),
    "Field": ("path-pattern", "host-header"),
    "Values": ("/a*", "a.example"),
    "logGroupName": ("/group", "/new"),
    "logStreamName": ("stream", "new"),
    "logStreamNames": ("stream",),
    "FileSystemId": ("fs-",),
    "MountTargetId": ("fsmt-",),
    "AccessPointId": ("fsap-",),
    "SubnetId": ("subnet-",),
    "Vpc": ("vpc-",),
    "NamespaceId": ("ns-",),
    "NamespaceName": ("corp.local",),
    "ServiceId": ("srv-",),
    "ServiceName": ("registry",),
    "InstanceId": ("one", "two"),
    "InstanceIds": ("one", "two"),
    "registryArn": (":service/srv-",),
    "ResourceARN": (":namespace/ns-", ":service/srv-"),
    "RoleName": ("role", "new"),
    "PolicyName": ("policy", "new"),
    "PolicyArn": (":policy/",),
    "PolicyDocument": ('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',),
    "AssumeRolePolicyDocument": (TRUST,),
}
"""What a member most likely holds: a value, or what a name in the pool begins with or contains."""


IDS = ("sg-", "sgr-", "subnet-", "vpc-", "eni-", "fs-", "fsmt-", "fsap-", "ns-", "srv-")


class World:
    """A gateway with every service, on a store that each example begins anew."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = FaultyStore(MemoryStore()), FakeClock(datetime.now(UTC))
        self.loop = asyncio.new_event_loop()
        self.logs = SqliteLogStore(folder / "logs.db")
        self.metrics = SqliteMetricStore(folder / "metrics.db")
        sts = StsSessions(self.store, self.clock, SessionKeys(bytes(32)))
        self.services = api_services(
            self.store, self.logs, self.metrics, self.clock, SeededIds(), AesVault(bytes(32)), sts
        )
        self.gateway = Gateway(
            self.services,
            max_body_bytes=1 << 20,
            auth=None,
            default_account=ACCOUNT,
            default_region=REGION,
            extensions={},
            error_mapper=_reraise,
        )
        session = botocore.session.get_session()
        self.models = {each.name: session.get_service_model(each.name) for each in self.services}
        self.serializers = {
            name: create_serializer(model.resolved_protocol, include_validation=False)
            for name, model in self.models.items()
        }
        self.operations = [(each.name, name) for each in self.services for name in sorted(each.handlers)]
        self.pool: list[str] = []

    def reset(self) -> None:
        """A cluster, definitions, services, a task, a load balancer and log events; their names are in `pool`."""
        self.store.inner = MemoryStore()
        ensure_default_network(self.store, self.clock, SeededIds(), Scope(account=ACCOUNT, region=REGION))
        self.pool = ["one", "default", "web", "main", "/group", "stream", "role"]
        subnets = [each["SubnetId"] for each in _ec2_list(self.call("ec2", "DescribeSubnets", {}).body, "subnetId")]
        vpc = _ec2_list(self.call("ec2", "DescribeVpcs", {}).body, "vpcId")[0]["VpcId"]
        network = {"awsvpcConfiguration": {"subnets": subnets[:2]}}
        self._make("ecs", "CreateCluster", {"clusterName": "one"})
        self._make(
            "ecs",
            "RegisterTaskDefinition",
            {
                "family": "web",
                "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"],
                "cpu": "256",
                "memory": "512",
                "containerDefinitions": [{"name": "main", "image": "i", "portMappings": [{"containerPort": 80}]}],
            },
        )
        self._make(
            "ecs",
            "RunTask",
            {"cluster": "one", "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": network},
        )
        self._make("elbv2", "CreateLoadBalancer", {"Name": "web", "Subnets": subnets[:2]})
        self._make(
            "elbv2",
            "CreateTargetGroup",
            {"Name": "web", "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip"},
        )
        balancer = next(each for each in self.pool if ":loadbalancer/" in each)
        group = next(each for each in self.pool if ":targetgroup/" in each)
        forward = [{"Type": "forward", "TargetGroupArn": group}]
        self._make(
            "elbv2",
            "CreateListener",
            {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": forward},
        )
        self._make(
            "ecs",
            "CreateService",
            {
                "cluster": "one",
                "serviceName": "web",
                "taskDefinition": "web",
                "desiredCount": 1,
                "launchType": "FARGATE",
                "networkConfiguration": network,
                "loadBalancers": [{"targetGroupArn": group, "containerName": "main", "containerPort": 80}],
            },
        )
        http = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}
        self._make(
            "elb", "CreateLoadBalancer", {"LoadBalancerName": "one", "Subnets": subnets[:1], "Listeners": [http]}
        )
        self._make("logs", "CreateLogGroup", {"logGroupName": "/group"})
        self.call("logs", "CreateLogStream", {"logGroupName": "/group", "logStreamName": "stream"})
        self._make("iam", "CreateRole", {"RoleName": "role", "AssumeRolePolicyDocument": TRUST})
        self.call("efs", "CreateFileSystem", {"CreationToken": "one"})
        self._make("servicediscovery", "CreatePrivateDnsNamespace", {"Name": "corp.local", "Vpc": vpc})
        self.carry_out()
        self._make("servicediscovery", "ListNamespaces", {})
        registry = {
            "Name": "registry",
            "NamespaceId": next(each for each in self.pool if each.startswith("ns-")),
            "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 10}]},
            "HealthCheckCustomConfig": {},
        }
        self._make("servicediscovery", "CreateService", registry)
        instance = {
            "ServiceId": next(each for each in self.pool if each.startswith("srv-")),
            "InstanceId": "one",
            "Attributes": {"AWS_INSTANCE_IPV4": "172.31.0.9"},
        }
        self._make("servicediscovery", "RegisterInstance", instance)
        self.carry_out()

    def carry_out(self) -> None:
        """What Cloud Map's loop does with the operations that were asked for."""
        loop = CloudMapLoop(self.store, self.clock)
        for each in list(self.store.scan(CLOUD_MAP_OPERATION)):
            self.loop.run_until_complete(loop._step(each.key))

    def _make(self, service: str, operation: str, params: dict[str, Any]) -> None:
        answer = self.call(service, operation, params)
        assert answer.status == 200, answer.body

    def serialized(self, service: str, model: OperationModel, params: dict[str, Any]) -> dict[str, Any]:
        """As botocore would send it: a path has no gaps, nor has a query."""
        shape = model.input_shape
        for name, member in shape.members.items() if shape is not None else ():
            if member.serialization.get("location") == "uri" and not params.get(name):
                params[name] = "fs-0123456789abcdef0"
        made: dict[str, Any] = self.serializers[service].serialize_to_request(params, model)
        return made

    def call(self, service: str, operation: str, params: dict[str, Any]) -> Answer:
        """As botocore would send it."""
        model = self.models[service].operation_model(operation)
        made = self.serialized(service, model, params)
        body = made["body"]
        if isinstance(body, dict):
            body = urlencode(body)
        return self.send(service, body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body, made)

    def send(self, service: str, body: bytes, made: dict[str, Any]) -> Answer:
        credential = f"{ACCOUNT}/20260101/{REGION}/{SIGNING.get(service, service)}/aws4_request"
        headers = {name.lower(): str(value) for name, value in made["headers"].items()} | {
            "host": "127.0.0.1:4566",
            "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
        }
        query = made["query_string"]
        request = Request(
            method=made["method"],
            path=made["url_path"].partition("?")[0],
            query=query if isinstance(query, str) else urlencode(query, doseq=True, errors="replace"),
            headers=headers,
            body=body,
            content=body,
        )
        answer = self.loop.run_until_complete(self.gateway.answer(request, "r"))
        assert answer.status < 500 or answer.status == 501, answer.body
        assert isinstance(answer.body, bytes)
        self._learn(answer.body)
        return answer

    def _learn(self, body: bytes) -> None:
        """Names that the answer gave may come back in later calls."""
        text = body.decode()
        for word in set(text.replace("<", '"').replace(">", '"').split('"')):
            if (
                word.startswith(
                    ("arn:aws:", "sg-", "sgr-", "subnet-", "vpc-", "eni-", "fs-", "fsmt-", "fsap-", "ns-", "srv-")
                )
                and word not in self.pool
            ):
                self.pool.append(word)
        self.pool.sort()

    def close(self) -> None:
        self.loop.run_until_complete(self.logs.close())
        self.loop.run_until_complete(self.metrics.close())
        self.loop.close()


def _reraise(error: Exception) -> ServiceError | None:
    raise error


def _ec2_list(body: Any, tag: str) -> list[dict[str, str]]:
    found = sorted({part.split("<")[0] for part in body.decode().split(f"<{tag}>")[1:]})
    return [{tag[0].upper() + tag[1:]: each} for each in found]


class Maker:
    """Values for shapes."""

    def __init__(self, chance: random.Random, pool: list[str]) -> None:
        self._chance, self._pool = chance, pool
        # Some requests are nearly right: those get further.
        self._likely, self._optional = chance.choice(((0.0, 0.35), (0.8, 0.35), (0.97, 0.15), (0.99, 0.1)))

    def value(self, shape: Shape, depth: int = 0, member: str = "") -> Any:
        chance = self._chance
        match shape.type_name:
            case "structure":
                required = set(shape.required_members)
                usual = self._optional + (0.5 if self._likely else 0)
                return {
                    name: self.value(each, depth + 1, name)
                    for name, each in shape.members.items()
                    if chance.random() < (0.97 if name in required else usual if name in LIKELY else self._optional)
                }
            case "list":
                return [self.value(shape.member, depth + 1, member) for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))]
            case "map":
                count = chance.choice((0, 1, 2))
                return {str(self.value(shape.key)): self.value(shape.value, depth + 1) for _ in range(count)}
            case "string":
                return self._string(shape, member)
            case "integer" | "long":
                return chance.choice(NUMBERS)
            case "float" | "double":
                return chance.choice((0.0, 1.5, -1.0, 1e308))
            case "boolean":
                return chance.random() < 0.5
            case "timestamp":
                return chance.choice((datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=9000)))
            case "blob":
                return chance.randbytes(chance.randrange(20))
            case other:
                raise AssertionError(other)

    def _string(self, shape: Shape, member: str) -> str:
        chance = self._chance
        if member in LIKELY and chance.random() < self._likely:
            word = chance.choice(LIKELY[member])
            known = [each for each in self._pool if word in each] if word[-1] in "/-" or word[0] == ":" else []
            return chance.choice(known or [word])
        if shape.enum and chance.random() < 0.9:
            return str(chance.choice(shape.enum))
        draw = chance.random()
        if draw < 0.6:
            return chance.choice(self._pool)
        if draw < 0.95:
            return chance.choice(GARBAGE)
        return "".join(chance.choices(string.printable, k=chance.randrange(40)))

    def json(self, depth: int = 0) -> Any:
        """Any JSON value."""
        chance = self._chance
        match chance.randrange(9 if depth < 4 else 6):
            case 0:
                return None
            case 1:
                return chance.random() < 0.5
            case 2:
                return chance.choice(NUMBERS)
            case 3:
                return chance.choice((0.5, -1e300, 1e16))
            case 4 | 5:
                return chance.choice((*GARBAGE, *self._pool))
            case 6 | 7:
                return [self.json(depth + 1) for _ in range(chance.randrange(3))]
            case _:
                return {chance.choice(GARBAGE): self.json(depth + 1) for _ in range(chance.randrange(3))}

    def bent(self, value: Any) -> Any:
        """The value with some of its parts replaced by others of any type."""
        if self._chance.random() < 0.08:
            return self.json()
        if isinstance(value, dict):
            return {name: self.bent(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.bent(each) for each in value]
        if isinstance(value, (str, int, float, bool)) or value is None:
            return value
        return str(value)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


FEW = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False
)


@FEW
@given(seed=st.integers(0, 2**32))
def test_values(world: World, seed: int) -> None:
    """Requests of the right shape with any values are answered with a result or a client error."""
    chance = random.Random(seed)
    world.reset()
    for _ in range(CALLS):
        service, operation = chance.choice(world.operations)
        model: OperationModel = world.models[service].operation_model(operation)
        params = Maker(chance, world.pool).value(model.input_shape) if model.input_shape else {}
        try:
            world.call(service, operation, params)
        except Exception as error:
            error.add_note(f"{service}:{operation} {params!r}")
            raise


@FEW
@given(seed=st.integers(0, 2**32))
def test_types(world: World, seed: int) -> None:
    """Bodies with wrong types, unknown members and broken encodings are answered with a result or a client error."""
    chance = random.Random(seed)
    world.reset()
    for _ in range(CALLS):
        service, operation = chance.choice(world.operations)
        model: OperationModel = world.models[service].operation_model(operation)
        maker = Maker(chance, world.pool)
        params = maker.value(model.input_shape) if model.input_shape else {}
        made = world.serialized(service, model, params)
        if isinstance(made["body"], dict):
            body = _bent_form(made["body"], chance, maker)
        else:
            body = json.dumps(maker.bent(json.loads(made["body"] or "{}"))).encode()
        if chance.random() < 0.1:
            at = chance.randrange(len(body) + 1)
            body = (
                body[:at] + chance.choice((b"", b"\xff", b"\0", b"%", b"&", b"{" * 5000, b"=", b'"')) + body[at + 1 :]
            )
        try:
            world.send(service, body, made)
        except Exception as error:
            error.add_note(f"{service}:{operation} {body!r}")
            raise


def _bent_form(form: dict[str, Any], chance: random.Random, maker: Maker) -> bytes:
    pairs = list(form.items())
    for _ in range(chance.randrange(3)):
        name = chance.choice(pairs)[0]
        bent = chance.choice(
            (
                f"{name}.1",
                f"{name}.member.1",
                f"{name}.0",
                f"{name}.-1",
                f"{name}.x.y",
                name,
                f"{name}.99999999999999999",
            )
        )
        pairs.append((bent, str(maker.json())))
    return urlencode([(name, str(value)) for name, value in pairs], errors="replace").encode()


@FEW
@given(seed=st.integers(0, 2**32))
def test_definitions(world: World, seed: int) -> None:
    """Task definitions that are right but for one or two members of any value are registered or refused; those that are
    registered are described with what was given, and can be run or refused."""
    chance = random.Random(seed)
    world.reset()
    shape = world.models["ecs"].operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    container_shape = shape.members["containerDefinitions"].member
    for _ in range(CALLS):
        maker = Maker(chance, world.pool)
        fargate = chance.random() < 0.5
        container: dict[str, Any] = {"name": "main", "image": "image", "memory": 64}
        params: dict[str, Any] = {"family": "web", "containerDefinitions": [container]}
        if fargate:
            params |= {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
        for _ in range(chance.choice((1, 1, 2))):
            name = chance.choice(sorted(container_shape.members))
            container[name] = maker.value(container_shape.members[name], 1, name)
        if chance.random() < 0.2:
            name = chance.choice(sorted(shape.members))
            params[name] = maker.value(shape.members[name], 1, name)
        try:
            answer = world.call("ecs", "RegisterTaskDefinition", params)
            if answer.status != 200:
                continue
            assert isinstance(answer.body, bytes)
            made = json.loads(answer.body)["taskDefinition"]
            shown = world.call("ecs", "DescribeTaskDefinition", {"taskDefinition": made["taskDefinitionArn"]})
            assert isinstance(shown.body, bytes)
            assert json.loads(shown.body)["taskDefinition"] == made
            subnets = [each for each in world.pool if each.startswith("subnet-")][:1]
            network = {"awsvpcConfiguration": {"subnets": subnets}}
            run = {"cluster": "one", "taskDefinition": made["taskDefinitionArn"], "launchType": "FARGATE"}
            world.call("ecs", "RunTask", run | {"networkConfiguration": network})
        except Exception as error:
            error.add_note(f"{params!r}")
            raise
