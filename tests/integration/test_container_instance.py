"""Container instances: real namespaces and cgroups, the network modes with real packets, stops, crashes, the end."""

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from portside.cli import doctor
from portside.domain import ecs_image
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.leak import cgroup_roots
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration

EVERYONE = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
WEB = "mkdir -p /tmp/www; echo $NAME > /tmp/www/index.html; exec httpd -f -p $PORT -h /tmp/www"


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


class Fleet:
    """Instances in one subnet that anybody may reach, and tasks on them."""

    def __init__(self, portside: Instance, count: int = 1, instance_type: str = "t3.small") -> None:
        self.portside, self.ec2, self.ecs = portside, portside.client("ec2"), portside.client("ecs")
        groups = self.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
        self.group = groups[0]["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=EVERYONE)
        self.subnet = portside.subnets()[0]
        self.ids = self.run(count, instance_type)

    def run(self, count: int, instance_type: str = "t3.small", **more: Any) -> list[str]:
        where = {} if more else {"SubnetId": self.subnet}
        launched = self.ec2.run_instances(
            ImageId=AMI, InstanceType=instance_type, MinCount=count, MaxCount=count, **where, **more
        )["Instances"]
        ids = [str(each["InstanceId"]) for each in launched]
        self.wait(ids, "running")
        wait_for(lambda: set(ids) <= set(self.registered()), timeout_s=20, what="the instances join the cluster")
        return ids

    def wait(self, ids: list[str], state: str) -> None:
        wait_for(lambda: set(self.states(ids)) == {state}, timeout_s=30, what=f"instances are {state}")

    def states(self, ids: list[str]) -> list[str]:
        found = self.ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return [str(each["State"]["Name"]) for reservation in found for each in reservation["Instances"]]

    def address(self, instance_id: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return str(found["PrivateIpAddress"])

    def registered(self) -> dict[str, dict[str, Any]]:
        """Container instances by the EC2 instance's id."""
        arns = self.ecs.list_container_instances()["containerInstanceArns"]
        if not arns:
            return {}
        found = self.ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
        return {str(each["ec2InstanceId"]): each for each in found}

    def register(self, family: str, mode: str, script: str, *ports: dict[str, Any], **more: Any) -> str:
        environment = {"NAME": family, "PORT": str(ports[0]["containerPort"]) if ports else "80"}
        container: dict[str, Any] = {
            "name": "main",
            "image": IMAGE,
            "memory": 64,
            "stopTimeout": 2,
            "command": ["sh", "-c", script],
            "portMappings": list(ports),
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            **more,
        }
        self.ecs.register_task_definition(
            family=family,
            networkMode=mode,
            requiresCompatibilities=["EC2"],
            containerDefinitions=[{name: value for name, value in container.items() if value is not None}],
        )
        return family

    def task(self, family: str, **more: Any) -> dict[str, Any]:
        """One task, RUNNING."""
        answer = self.ecs.run_task(taskDefinition=family, launchType="EC2", **more)
        assert not answer["failures"], answer["failures"]
        return self.portside.wait_task(answer["tasks"][0]["taskArn"], "RUNNING")

    def home_of(self, task: dict[str, Any]) -> str:
        """The EC2 instance on which a task is."""
        arn = task["containerInstanceArn"]
        return next(key for key, each in self.registered().items() if each["containerInstanceArn"] == arn)

    def netns(self, instance_id: str) -> Path:
        return self.portside.settings.run_dir / "netns" / f"ec2-{instance_id}"

    def in_task(self, task: dict[str, Any], *command: str) -> str:
        """What a command says in the network of a task's container."""
        return inside(f"/proc/{self.pid(task)}/ns/net", *command)

    def pid(self, task: dict[str, Any]) -> int:
        folder = self.portside.settings.data_dir / "node" / "containers" / task["containers"][0]["runtimeId"]
        return int((folder / "pid").read_text())


def inside(netns: Path | str, *command: str) -> str:
    done = subprocess.run(
        ["nsenter", f"--net={netns}", *command], capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout.strip()


def get(netns: Path | str, address: str, port: int) -> str:
    """What a web server answers; empty if nothing does."""
    return inside(netns, sys.executable, "-c", GET, f"http://{address}:{port}/")


GET = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode(), end="")
except OSError:
    pass
"""


def binding(task: dict[str, Any], index: int = 0) -> int:
    return int(task["containers"][0]["networkBindings"][index]["hostPort"])


def bridge_address(listed: str) -> str:
    """Of `ip addr`."""
    found = re.search(r"inet (172\.17\.[\d.]+)/16", listed)
    assert found is not None
    return found[1]


def test_bridge(portside: Instance) -> None:
    """In bridge mode a task has an address of its own on its instance; dynamic ports lead to it from other instances,
    from its neighbours and from the instance itself, and nothing else does. Its own connections come from the instance.
    """
    fleet = Fleet(portside, 2)
    one, two = fleet.ids
    fleet.register("web", "bridge", WEB, {"containerPort": 8080})
    first = fleet.task("web", placementStrategy=[{"type": "binpack", "field": "memory"}])
    second = fleet.task("web", placementStrategy=[{"type": "binpack", "field": "memory"}])
    assert first["containerInstanceArn"] == second["containerInstanceArn"]
    home = next(
        key for key, each in fleet.registered().items() if each["containerInstanceArn"] == first["containerInstanceArn"]
    )
    other = two if home == one else one
    port, address = binding(first), fleet.address(home)
    assert port != binding(second)
    assert port in range(32768, 61000)
    wait_for(lambda: get(fleet.netns(other), address, port) == "web", timeout_s=10, what="an answer")
    assert get(fleet.netns(home), address, port) == "web"
    assert get(fleet.netns(home), "127.0.0.1", port) == "web"
    neighbour = f"/proc/{fleet.pid(second)}/ns/net"
    assert get(neighbour, address, port) == "web"
    assert get(f"/proc/{fleet.pid(first)}/ns/net", address, port) == "web"
    assert get(fleet.netns(other), address, 8080) == ""
    own = {bridge_address(fleet.in_task(each, "ip", "-4", "addr")) for each in (first, second)}
    assert len(own) == 2
    assert get(neighbour, sorted(own)[0], 8080) == "web"
    # From outside, the container's address leads nowhere.
    inside(fleet.netns(other), "ip", "route", "add", "172.17.0.0/17", "via", "172.31.0.1", "dev", "eth0", "onlink")
    assert get(fleet.netns(other), sorted(own)[0], 8080) == ""
    # What the container asks for comes from the instance's address.
    listener = subprocess.Popen(
        ["nsenter", f"--net={fleet.netns(other)}", sys.executable, "-c", ACCEPT], stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "listening\n"
    get(neighbour, fleet.address(other), 9100)
    assert listener.communicate(timeout=10)[0].strip() == address


ACCEPT = """
import socket
sock = socket.create_server(("", 9100))
sock.settimeout(5)
print("listening", flush=True)
print(sock.accept()[1][0], flush=True)
"""


def test_links_and_ranges(portside: Instance) -> None:
    """A linked container is reached by its alias, and each port of a range leads to that of the container."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    ask = "until wget -q -O - http://database:8003/; do sleep 0.1; done; exec sleep 600"
    log = {
        "logDriver": "awslogs",
        "options": {
            "awslogs-region": REGION,
            "awslogs-group": "links",
            "awslogs-create-group": "true",
            "awslogs-stream-prefix": "x",
        },
    }
    fleet.ecs.register_task_definition(
        family="pair",
        requiresCompatibilities=["EC2"],
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "links": ["db:database"],
                "command": ["sh", "-c", ask],
                "logConfiguration": log,
            },
            {
                "name": "db",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "portMappings": [{"containerPortRange": "8000-8004"}],
                "command": [
                    "sh",
                    "-c",
                    "mkdir /tmp/www; echo db > /tmp/www/index.html; exec httpd -f -p 8003 -h /tmp/www",
                ],
            },
        ],
    )
    task = fleet.task("pair")
    stream = f"x/main/{task['taskArn'].rpartition('/')[2]}"
    logs = portside.client("logs")
    said = wait_for(
        lambda: logs.get_log_events(logGroupName="links", logStreamName=stream)["events"],
        timeout_s=20,
        what="an answer",
    )
    assert said[-1]["message"] == "db"
    (db,) = [each for each in task["containers"] if each["name"] == "db"]
    first = int(db["networkBindings"][0]["hostPortRange"].partition("-")[0])
    assert get(fleet.netns(home), fleet.address(home), first + 3) == "db"
    assert get(fleet.netns(home), fleet.address(home), first + 2) == ""


def test_udp_and_fixed_ports(portside: Instance) -> None:
    """A fixed port, UDP as well, leads to the container; a second task with it does not fit until the first is gone. A
    client that never pauses is led to whoever has the port."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    port = {"containerPort": 5353, "hostPort": 53, "protocol": "udp"}
    fleet.register("echo", "bridge", "exec sleep 600", port)
    task = fleet.task("echo")
    assert task["containers"][0]["networkBindings"] == [{"bindIP": "0.0.0.0", **port}]
    resources = {each["name"]: each for each in fleet.registered()[home]["remainingResources"]}
    assert resources["PORTS_UDP"]["stringSetValue"] == ["53"]
    other = fleet.run(1)[0]
    elsewhere = fleet.registered()[other]["containerInstanceArn"]
    fleet.ecs.update_container_instances_state(containerInstances=[elsewhere], status="DRAINING")
    client = started_in(fleet.netns(other), ASK, fleet.address(home))
    server = started_in(f"/proc/{fleet.pid(task)}/ns/net", ECHO, "first")
    try:
        assert server.stdout is not None
        assert client.stdout is not None
        assert server.stdout.readline() == "listening\n"
        assert client.stdout.readline() == "first\n"
        refused = fleet.ecs.run_task(taskDefinition="echo", launchType="EC2")
        assert [each["reason"] for each in refused["failures"]] == ["RESOURCE:PORTS"]
        fleet.ecs.stop_task(task=task["taskArn"])
        portside.wait_task(task["taskArn"], "STOPPED")
        ended(server)
        server = started_in(f"/proc/{fleet.pid(fleet.task('echo'))}/ns/net", ECHO, "second")
        assert client.stdout.readline() == "second\n"
    finally:
        ended(server)
        ended(client)


def started_in(netns: Path | str, program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["nsenter", f"--net={netns}", sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )


def ended(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 5353))
print("listening", flush=True)
while True:
    _, peer = sock.recvfrom(100)
    sock.sendto(sys.argv[1].encode(), peer)
"""
ASK = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(0.05)
heard = ""
while True:
    try:
        sock.sendto(b"?", (sys.argv[1], 53))
        said = sock.recv(100).decode()
    except OSError:
        continue
    if said != heard:
        heard = said
        print(said, flush=True)
"""


def test_host_none_and_awsvpc(portside: Instance) -> None:
    """host is the instance's own network, none the loopback interface alone, awsvpc an interface of the task's own;
    each with the environment of the launch type, and below the instance's cgroup."""
    fleet = Fleet(portside, 1, "m5.large")
    (home,) = fleet.ids
    fleet.register("shared", "host", WEB, {"containerPort": 8081})
    host = fleet.task("shared")
    assert binding(host) == 8081
    assert os.stat(f"/proc/{fleet.pid(host)}/ns/net").st_ino == os.stat(fleet.netns(home)).st_ino
    fleet.register("alone", "none", "exec sleep 600")
    none = fleet.task("alone")
    links = {line.split(":")[1].strip() for line in fleet.in_task(none, "ip", "-o", "link").splitlines()}
    assert not [each for each in links if each.startswith(("eth", "docker"))]
    assert fleet.in_task(none, "ip", "route") == ""
    assert none["containers"][0]["networkBindings"] == []
    fleet.register("own", "awsvpc", WEB, {"containerPort": 8081})
    network = {"awsvpcConfiguration": {"subnets": portside.subnets(), "securityGroups": [fleet.group]}}
    vpc = fleet.task("own", networkConfiguration=network)
    address = vpc["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    assert vpc["availabilityZone"] == f"{REGION}a"
    wait_for(lambda: get(fleet.netns(home), address, 8081) == "own", timeout_s=10, what="the task with an interface")
    wait_for(lambda: get(f"/proc/{fleet.pid(vpc)}/ns/net", fleet.address(home), 8081) == "shared", timeout_s=10)
    for task in (host, none, vpc):
        group = Path(f"/proc/{fleet.pid(task)}/cgroup").read_text()
        assert f"/portside-{portside.settings.instance_id}/{home}/{task['taskArn'].rpartition('/')[2]}/main" in group
    environment = Path(f"/proc/{fleet.pid(host)}/environ").read_text().split("\0")
    assert "AWS_EXECUTION_ENV=AWS_ECS_EC2" in environment
    assert limit_of(portside, home) == 8192 * 1024 * 1024


def test_registered_by_its_document(portside: Instance) -> None:
    """An instance that was deregistered joins again by the document and signature that it is told, also after a
    restart of Portside."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    arn = fleet.registered()[home]["containerInstanceArn"]
    fleet.ecs.deregister_container_instance(containerInstance=arn)
    assert fleet.registered() == {}
    said = inside(fleet.netns(home), sys.executable, "-c", PROOF).split("|")
    portside.kill()
    portside.start()
    portside.ready()
    assert fleet.registered() == {}
    fleet.ecs.register_container_instance(instanceIdentityDocument=said[0], instanceIdentityDocumentSignature=said[1])
    assert fleet.registered()[home]["agentConnected"] is True
    fleet.register("job", "none", "exec sleep 600")
    fleet.task("job")


def test_metadata(portside: Instance) -> None:
    """Tasks in bridge and host mode hear about themselves at the usual address, and a program in host mode may have
    port 80."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    fleet.register("bridged", "bridge", WEB, {"containerPort": 80})
    fleet.register("shared", "host", WEB, {"containerPort": 80})
    bridged, shared = fleet.task("bridged"), fleet.task("shared")
    assert get(fleet.netns(home), fleet.address(home), 80) == "shared"

    def asked(task: dict[str, Any], about: dict[str, Any], what: str = "/task") -> dict[str, Any]:
        path = f"http://169.254.170.2/v4/{about['containers'][0]['runtimeId']}{what}"
        said = inside(f"/proc/{fleet.pid(task)}/ns/net", sys.executable, "-c", GET, path)
        return dict(json.loads(said)) if said else {}

    environment = Path(f"/proc/{fleet.pid(bridged)}/environ").read_text()
    assert (
        f"ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/{bridged['containers'][0]['runtimeId']}" in environment
    )
    document = asked(bridged, bridged)
    assert (document["TaskARN"], document["LaunchType"]) == (bridged["taskArn"], "EC2")
    (container,) = document["Containers"]
    assert container["Ports"][0]["HostPort"] == binding(bridged)
    assert container["Networks"][0]["NetworkMode"] == "bridge"
    assert container["Networks"][0]["IPv4Addresses"][0].startswith("172.17.")
    assert asked(shared, shared)["TaskARN"] == shared["taskArn"]
    assert asked(shared, bridged) == {}
    assert asked(bridged, shared) == {}
    for task in (bridged, shared):
        said = inside(f"/proc/{fleet.pid(task)}/ns/net", sys.executable, "-c", IMDS)
        assert said.splitlines() == ["401", home, fleet.address(home), f"{REGION}a"]
    portside.kill()
    portside.start()
    portside.ready()
    assert asked(bridged, bridged, "")["DockerId"] == bridged["containers"][0]["runtimeId"]


ASK_IMDS = """
import urllib.error, urllib.request
def ask(path, method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://169.254.169.254/latest/{path}", method=method, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=2).read().decode()
    except urllib.error.HTTPError as error:
        return str(error.code)
"""
PROOF = (
    ASK_IMDS
    + """
token = ask("api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
for each in ("document", "signature"):
    print(ask(f"dynamic/instance-identity/{each}", X_aws_ec2_metadata_token=token), end="|")
"""
)
IMDS = (
    ASK_IMDS
    + """
print(ask("meta-data/instance-id"))
token = ask("api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
for path in ("meta-data/instance-id", "meta-data/local-ipv4", "meta-data/placement/availability-zone"):
    print(ask(path, X_aws_ec2_metadata_token=token))
"""
)


def limit_of(portside: Instance, instance_id: str) -> int:
    """The memory that all tasks of the instance may use together."""
    for root in cgroup_roots():
        group = root / f"portside-{portside.settings.instance_id}" / instance_id
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                return int((group / name).read_text())
    raise AssertionError("the instance has no cgroup with a limit of memory")


def test_stop_start_terminate(portside: Instance) -> None:
    """A stop ends the tasks, and the instance keeps its address and its place in the cluster; after its start it is the
    same container instance. Its termination leaves nothing."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    fleet.register("web", "bridge", WEB, {"containerPort": 80})
    task = fleet.task("web")
    address, arn = fleet.address(home), fleet.registered()[home]["containerInstanceArn"]
    fleet.ec2.stop_instances(InstanceIds=[home])
    fleet.wait([home], "stopped")
    ended = portside.wait_task(task["taskArn"], "STOPPED")
    assert ended["stoppedReason"] == f"Host EC2 (instance {home}) stopped."
    assert not fleet.netns(home).exists()
    assert fleet.registered()[home]["agentConnected"] is False
    refused = fleet.ecs.run_task(taskDefinition="web", launchType="EC2")
    assert [each["reason"] for each in refused["failures"]] == ["AGENT"]
    fleet.ec2.start_instances(InstanceIds=[home])
    fleet.wait([home], "running")
    wait_for(lambda: fleet.registered()[home]["agentConnected"], timeout_s=10, what="the agent is back")
    assert (fleet.address(home), fleet.registered()[home]["containerInstanceArn"]) == (address, arn)
    fleet.task("web")
    fleet.ec2.terminate_instances(InstanceIds=[home])
    fleet.wait([home], "terminated")
    assert fleet.registered() == {}
    assert not fleet.ec2.describe_network_interfaces()["NetworkInterfaces"]
    left = [each.name for each in (portside.settings.run_dir / "netns").iterdir() if not each.name.startswith("vpc-")]
    assert left == []
    groups = [root / f"portside-{portside.settings.instance_id}" / home for root in cgroup_roots()]
    assert not [each for each in groups if each.exists()]


def test_clusters_by_user_data(portside: Instance) -> None:
    """An instance joins the cluster that its user data names, as soon as there is one, with its own attributes."""
    ecs, ec2 = portside.client("ecs"), portside.client("ec2")
    script = "#!/bin/bash\ncat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=blue\n"
    script += 'ECS_INSTANCE_ATTRIBUTES={"stack": "blue"}\nEOF\n'
    ec2.run_instances(ImageId=AMI, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData=script)
    wait_for(lambda: ec2.describe_instance_status()["InstanceStatuses"], timeout_s=20, what="the instance runs")
    ecs.create_cluster(clusterName="blue")
    arns = wait_for(
        lambda: ecs.list_container_instances(cluster="blue")["containerInstanceArns"], timeout_s=10, what="it joins"
    )
    found = ecs.list_attributes(cluster="blue", targetType="container-instance", attributeName="stack")["attributes"]
    assert found == [{"name": "stack", "value": "blue", "targetId": arns[0]}]


def test_crashes(portside: Instance) -> None:
    """Tasks on instances serve on while the daemon is dead, and are looked after again; an instance that was to end
    when it died ends afterwards."""
    fleet = Fleet(portside, 2)
    one, two = fleet.ids
    fleet.register("web", "bridge", WEB, {"containerPort": 80})
    arns = {each: fleet.registered()[each]["containerInstanceArn"] for each in fleet.ids}
    tasks = {}
    for each in fleet.ids:
        answer = fleet.ecs.start_task(taskDefinition="web", containerInstances=[arns[each]])
        tasks[each] = portside.wait_task(answer["tasks"][0]["taskArn"], "RUNNING")
    port, address = binding(tasks[one]), fleet.address(one)
    wait_for(lambda: get(fleet.netns(two), address, port) == "web", timeout_s=10, what="an answer")
    before = os.stat(fleet.netns(one)).st_ino
    portside.kill()
    assert get(fleet.netns(two), address, port) == "web"
    portside.start()
    portside.ready()
    assert get(fleet.netns(two), address, port) == "web"
    assert os.stat(fleet.netns(one)).st_ino == before
    fleet.ec2.terminate_instances(InstanceIds=[two])
    portside.kill()
    portside.start()
    portside.ready()
    fleet.wait([two], "terminated")
    assert fleet.task("web")["containerInstanceArn"] == arns[one]
    assert set(fleet.registered()) == {one}
    third = fleet.run(1)[0]
    assert get(fleet.netns(third), address, port) == "web"
    fleet.ecs.stop_task(task=tasks[one]["taskArn"])
    portside.wait_task(tasks[one]["taskArn"], "STOPPED")
    assert get(fleet.netns(third), address, port) == ""


def test_service(portside: Instance) -> None:
    """A service spreads over instances, says what it lacks, goes on when there is room, leaves an instance that drains
    before anything is stopped there, and replaces what ended with an instance."""
    fleet = Fleet(portside, 1, "t3.nano")
    (one,) = fleet.ids
    fleet.register("web", "host", WEB, {"containerPort": 80})
    fleet.ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=2, launchType="EC2")

    def service() -> dict[str, Any]:
        return dict(fleet.ecs.describe_services(services=["web"])["services"][0])

    def homes() -> list[str]:
        arns = fleet.ecs.list_tasks(serviceName="web")["taskArns"]
        tasks = fleet.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        return sorted(fleet.home_of(each) for each in tasks if each["lastStatus"] == "RUNNING")

    wait_for(lambda: homes() == [one], timeout_s=20, what="one task runs")
    lacks = "is already using a port required by your task."
    wait_for(lambda: any(lacks in each["message"] for each in service()["events"]), timeout_s=10, what="the event")
    (two,) = fleet.run(1, "t3.nano")
    wait_for(lambda: homes() == sorted([one, two]), timeout_s=20, what="a task on each")
    (three,) = fleet.run(1, "t3.nano")
    arn = fleet.registered()[one]["containerInstanceArn"]
    fleet.ecs.update_container_instances_state(containerInstances=[arn], status="DRAINING")
    wait_for(lambda: homes() == sorted([two, three]), timeout_s=30, what="the instance is left")
    fleet.ecs.update_container_instances_state(containerInstances=[arn], status="ACTIVE")
    fleet.ec2.terminate_instances(InstanceIds=[three])
    fleet.wait([three], "terminated")
    wait_for(lambda: homes() == sorted([one, two]), timeout_s=30, what="what ended is replaced")
    wait_for(
        lambda: service()["deployments"][0]["rolloutState"] == "COMPLETED", timeout_s=20, what="the rollout is complete"
    )
    fleet.ecs.delete_service(service="web", force=True)
    wait_for(lambda: service()["status"] == "INACTIVE", timeout_s=20, what="the service ends")


def test_service_behind_a_load_balancer(portside: Instance) -> None:
    """Tasks on dynamic ports, several of them on one instance, are targets by instance and port; a new revision takes
    over without a failed request, and an instance that is terminated is no target any more."""
    fleet = Fleet(portside, 2)
    elb = portside.client("elbv2")
    subnets = portside.subnets()[:2]
    port = free_port()
    balancer = elb.create_load_balancer(Name="web", Subnets=subnets, SecurityGroups=[fleet.group])["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="web",
        Protocol="HTTP",
        Port=80,
        VpcId=portside.vpc(),
        TargetType="instance",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}]
    )
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    fleet.register("one", "bridge", WEB, {"containerPort": 8080}, name="main")
    fleet.ecs.create_service(
        serviceName="web",
        taskDefinition="one",
        desiredCount=3,
        launchType="EC2",
        loadBalancers=[{"targetGroupArn": group, "containerName": "main", "containerPort": 8080}],
    )

    def healthy() -> set[tuple[str, int]]:
        found = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {
            (each["Target"]["Id"], each["Target"]["Port"])
            for each in found
            if each["TargetHealth"]["State"] == "healthy"
        }

    wait_for(lambda: len(healthy()) == 3, timeout_s=40, what="three healthy targets")
    assert {name for name, _ in healthy()} == set(fleet.ids)
    (shown,) = [each for each in portside.status()["loadBalancers"] if each["name"] == "web"]
    url = f"http://{shown['hostAddresses'][0]}:{port}/"
    assert http_get(url) == b"one\n"
    fleet.register("two", "bridge", WEB, {"containerPort": 8080}, name="main")
    fleet.ecs.update_service(service="web", taskDefinition="two")

    def rolled_out() -> bool:
        said = http_get(url)  # raises if a request fails
        assert said in (b"one\n", b"two\n")
        (service,) = fleet.ecs.describe_services(services=["web"])["services"]
        return len(service["deployments"]) == 1 and service["deployments"][0]["rolloutState"] == "COMPLETED"

    wait_for(rolled_out, timeout_s=60, what="the new revision")
    assert http_get(url) == b"two\n"
    gone = fleet.ids[0]
    fleet.ec2.terminate_instances(InstanceIds=[gone])
    fleet.wait([gone], "terminated")
    wait_for(lambda: {name for name, _ in healthy()} == {fleet.ids[1]} and len(healthy()) == 3, timeout_s=40)
    assert http_get(url) == b"two\n"


def test_daemon(portside: Instance) -> None:
    """A DAEMON service has one task on each instance, also on one that joins later, and a new revision on all of them;
    an instance that drains loses its task."""
    fleet = Fleet(portside, 2, "t3.nano")
    fleet.register("agent", "host", "exec sleep 600")
    fleet.ecs.create_service(serviceName="agent", taskDefinition="agent", schedulingStrategy="DAEMON", launchType="EC2")

    def homes(revision: int) -> list[str]:
        arns = fleet.ecs.list_tasks(serviceName="agent")["taskArns"]
        tasks = fleet.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        running = [each for each in tasks if each["lastStatus"] == "RUNNING"]
        return sorted(fleet.home_of(each) for each in running if each["taskDefinitionArn"].endswith(f":{revision}"))

    wait_for(lambda: homes(1) == sorted(fleet.ids), timeout_s=20, what="a task on each")
    third = fleet.run(1, "t3.nano")[0]
    everywhere = sorted([*fleet.ids, third])
    wait_for(lambda: homes(1) == everywhere, timeout_s=20, what="one on the third")
    (service,) = fleet.ecs.describe_services(services=["agent"])["services"]
    assert (service["schedulingStrategy"], service["desiredCount"]) == ("DAEMON", 3)
    fleet.register("agent", "host", "exec sleep 601")
    fleet.ecs.update_service(service="agent", taskDefinition="agent")
    wait_for(lambda: homes(2) == everywhere and homes(1) == [], timeout_s=40, what="the new revision")
    arn = fleet.registered()[third]["containerInstanceArn"]
    fleet.ecs.update_container_instances_state(containerInstances=[arn], status="DRAINING")
    wait_for(lambda: homes(2) == sorted(fleet.ids), timeout_s=20, what="the third is left")
    fleet.ecs.delete_service(service="agent")
    wait_for(lambda: homes(2) == [], timeout_s=20, what="the service ends")


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A namespace that plays the world outside, with 203.0.113.1 in it."""
    pin = tmp_path / "outside"
    pin.touch()
    subprocess.run(["unshare", f"--net={pin}", "ip", "link", "set", "lo", "up"], check=True, timeout=30)
    inside(pin, "ip", "addr", "add", "203.0.113.1/32", "dev", "lo")
    yield pin
    subprocess.run(["umount", str(pin)], check=True, timeout=30)


def test_public_address(tmp_path: Path, outside: Path) -> None:
    """An instance in a public subnet has a public address, at which its tasks' ports are reached from outside while the
    instance's group lets them in; it goes with a stop, and leaves nothing outside."""
    ensure_busybox_image(IMAGE)
    settings = Settings(data_dir=tmp_path / "data", port=free_port(), egress=str(outside), hosts_file=None)
    portside = Instance(settings)
    words = (settings.instance_id, str(settings.data_dir))
    before = leak.snapshot(*words)
    try:
        portside.start()
        portside.ready()
        fleet = Fleet(portside)
        (home,) = fleet.ids
        fleet.register("web", "bridge", WEB, {"containerPort": 8080})
        task = fleet.task("web")

        def shown() -> dict[str, Any]:
            return dict(fleet.ec2.describe_instances(InstanceIds=[home])["Reservations"][0]["Instances"][0])

        public = shown()["PublicIpAddress"]
        assert shown()["PublicDnsName"].startswith("ec2-198-")
        wait_for(lambda: get(outside, public, binding(task)) == "web", timeout_s=10, what="an answer")
        fleet.ec2.revoke_security_group_ingress(GroupId=fleet.group, IpPermissions=EVERYONE)
        wait_for(lambda: get(outside, public, binding(task)) == "", timeout_s=10, what="the rule is gone")
        fleet.ec2.stop_instances(InstanceIds=[home])
        fleet.wait([home], "stopped")
        assert "PublicIpAddress" not in shown()
        private = fleet.run(1, NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": False}])[0]
        found = fleet.ec2.describe_instances(InstanceIds=[private])["Reservations"][0]["Instances"][0]
        assert "PublicIpAddress" not in found
    finally:
        portside.destroy()
    left = leak.wait_for_none(before, *words)
    assert not left, f"left behind: {left}"
    assert inside(outside, "ip", "-o", "link").count("\n") == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment(portside: Instance, seed: int) -> None:
    """Killed again and again while instances and tasks come and go, Portside leaves on the machine what it remembers:
    an instance's namespace for each that runs, a container's for each that lives, and nothing once all are terminated.
    """
    rng = random.Random(seed)
    fleet = Fleet(portside)
    fleet.register("web", "bridge", WEB, {"containerPort": 8080})
    fleet.register("job", "host", "exec sleep 600")
    for _ in range(6):
        doomed = threading.Timer(rng.uniform(0, 0.4), portside.kill)
        doomed.start()
        with contextlib.suppress(BotoCoreError, ClientError, ResponseParserError):  # the last one: cut off in an answer
            fleet.ec2.run_instances(ImageId=AMI, InstanceType="t3.nano", MinCount=1, MaxCount=2, SubnetId=fleet.subnet)
            fleet.ecs.run_task(taskDefinition=rng.choice(["web", "job"]), count=3)
            known = [each for r in fleet.ec2.describe_instances()["Reservations"] for each in r["Instances"]]
            running = [each["InstanceId"] for each in known if each["State"]["Name"] == "running"]
            if len(running) > 2:
                fleet.ec2.terminate_instances(InstanceIds=[rng.choice(running)])
            for arn in fleet.ecs.list_tasks()["taskArns"][:2]:
                fleet.ecs.stop_task(task=arn)
        doomed.join()
        portside.start()
    portside.ready()

    def settled() -> bool:
        known = [each for r in fleet.ec2.describe_instances()["Reservations"] for each in r["Instances"]]
        arns = fleet.ecs.list_tasks()["taskArns"] + fleet.ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
        tasks = fleet.ecs.describe_tasks(tasks=arns[:100])["tasks"] if arns else []
        return {each["State"]["Name"] for each in known} <= {"running", "terminated"} and {
            each["lastStatus"] for each in tasks
        } <= {"RUNNING", "STOPPED"}

    wait_for(settled, timeout_s=60, what="everything has come true")
    known = [each for r in fleet.ec2.describe_instances()["Reservations"] for each in r["Instances"]]
    running = {each["InstanceId"] for each in known if each["State"]["Name"] == "running"}
    arns = fleet.ecs.list_tasks()["taskArns"]
    bridged = [
        each["taskArn"].rpartition("/")[2]
        for each in (fleet.ecs.describe_tasks(tasks=arns)["tasks"] if arns else [])
        if "web:" in each["taskDefinitionArn"]
    ]
    pins = {each.name for each in (portside.settings.run_dir / "netns").iterdir() if not each.name.startswith("vpc-")}
    assert {each for each in pins if each.startswith("ec2-")} == {f"ec2-{each}" for each in running}
    assert len(pins) == len(running) + len(bridged)
    fleet.ec2.terminate_instances(InstanceIds=sorted(running))
    fleet.wait(sorted(running), "terminated")
    assert not fleet.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert fleet.registered() == {}
    left = [each.name for each in (portside.settings.run_dir / "netns").iterdir() if not each.name.startswith("vpc-")]
    assert left == []
    for root in cgroup_roots():
        top = root / f"portside-{portside.settings.instance_id}"
        assert not top.exists() or [each.name for each in top.iterdir() if each.is_dir()] == []


def test_limits_of_an_instance(portside: Instance) -> None:
    """Tasks without a limit of their own share their instance's memory and CPUs: who takes more is killed, and a
    neighbour on another instance does not notice."""
    fleet = Fleet(portside, 2, "t3.nano")
    fleet.register("hog", "none", "exec tail /dev/zero", memory=None, memoryReservation=64)
    fleet.register("calm", "none", "exec sleep 600")
    one, two = (fleet.registered()[each]["containerInstanceArn"] for each in fleet.ids)
    calm = fleet.ecs.start_task(taskDefinition="calm", containerInstances=[two])["tasks"][0]["taskArn"]
    portside.wait_task(calm, "RUNNING")
    hog = fleet.ecs.start_task(taskDefinition="hog", containerInstances=[one])["tasks"][0]["taskArn"]
    ended = portside.wait_task(hog, "STOPPED")
    assert ended["containers"][0]["exitCode"] == 137
    assert ended["containers"][0]["reason"].startswith("OutOfMemoryError")
    assert portside.task(calm)["lastStatus"] == "RUNNING"
    assert limit_of(portside, fleet.ids[0]) == 512 * 1024 * 1024
    quotas = [
        (group / name).read_text().split()[0]
        for root in cgroup_roots()
        for group in [root / f"portside-{portside.settings.instance_id}" / fleet.ids[0]]
        for name in ("cpu.cfs_quota_us", "cpu.max")
        if (group / name).exists()
    ]
    assert quotas == ["200000"]


def test_groups_of_an_instance(portside: Instance) -> None:
    """Another security group on a running instance counts at once, for new connections to its tasks."""
    fleet = Fleet(portside, 2)
    fleet.register("web", "bridge", WEB, {"containerPort": 8080})
    task = fleet.task("web")
    home = fleet.home_of(task)
    other = next(each for each in fleet.ids if each != home)
    wait_for(
        lambda: get(fleet.netns(other), fleet.address(home), binding(task)) == "web", timeout_s=10, what="an answer"
    )
    closed = fleet.ec2.create_security_group(GroupName="closed", Description="closed")["GroupId"]
    fleet.ec2.modify_instance_attribute(InstanceId=home, Groups=[closed])
    wait_for(lambda: get(fleet.netns(other), fleet.address(home), binding(task)) == "", timeout_s=10, what="no answer")
    fleet.ec2.modify_instance_attribute(InstanceId=home, Groups=[closed, fleet.group])
    wait_for(
        lambda: get(fleet.netns(other), fleet.address(home), binding(task)) == "web", timeout_s=10, what="it again"
    )


def test_loopback_of_an_instance(portside: Instance) -> None:
    """What listens on the instance's loopback is not for containers on its bridge, even where they send there on
    purpose; the instance itself reaches mapped ports by it."""
    fleet = Fleet(portside)
    (home,) = fleet.ids
    fleet.register("web", "bridge", WEB, {"containerPort": 8080})
    task = fleet.task("web")
    container = f"/proc/{fleet.pid(task)}/ns/net"
    wait_for(lambda: get(fleet.netns(home), "127.0.0.1", binding(task)) == "web", timeout_s=10, what="an answer")
    for command in (
        "sysctl -qw net.ipv4.conf.all.route_localnet=1",
        "ip route del local 127.0.0.0/8 dev lo table local",
        "ip route del local 127.0.0.1 dev lo table local",
        "ip route add 127.0.0.1 via 172.17.0.1",
    ):
        inside(container, *command.split())
    server = started_in(fleet.netns(home), LOOPBACK)
    assert server.stdout is not None
    assert server.stdout.readline() == "listening\n"
    for netns, word in ((container, "container"), (fleet.netns(home), "instance")):
        inside(netns, sys.executable, "-c", SEND, word)
    assert server.communicate(timeout=20)[0].split() == ["instance"]


LOOPBACK = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 7000))
print("listening", flush=True)
while True:
    said = sock.recv(100).decode()
    print(said)
    if said == "instance":
        break
"""
SEND = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), ("127.0.0.1", 7000))
"""


def test_doctor_tries_what_instances_take() -> None:
    """Where these tests pass, the doctor finds that the machine has what instances take."""
    assert doctor.check_bridge(Settings()).grade is doctor.Grade.OK
