"""Network Load Balancers whose flows the kernel carries: services, clients in the VPC and on the host."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from resolver_lab import Asker
from test_container_instance import EVERYONE

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import answers, end, free_port, http_get, wait_for

pytestmark = pytest.mark.integration

WHO = (
    "mkdir -p /tmp/www/cgi-bin; cd /tmp/www; "
    'printf "#!/bin/sh\\necho; echo one \\$REMOTE_ADDR" > cgi-bin/who; chmod +x cgi-bin/who; '
    "exec httpd -f -p 8080 -h /tmp/www"
)
CHECK = {
    "HealthCheckIntervalSeconds": 5,
    "HealthCheckTimeoutSeconds": 2,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 2,
}


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


class Site:
    """A Network Load Balancer with one listener, a client task, and what reaches what."""

    def __init__(self, portside: Instance, protocol: str = "TCP", **group: Any) -> None:
        self.portside, self.elb, self.ecs = portside, portside.client("elbv2"), portside.client("ecs")
        self.port = free_port()
        self.ecs.create_cluster()
        ec2 = portside.client("ec2")
        self.group_id = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=self.group_id, IpPermissions=EVERYONE)
        self.balancer = self.elb.create_load_balancer(
            Name="net", Type="network", Subnets=portside.subnets()[:2], SecurityGroups=[self.group_id]
        )["LoadBalancers"][0]
        self.elb.modify_load_balancer_attributes(
            LoadBalancerArn=self.balancer["LoadBalancerArn"],
            Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}],
        )
        self.group = self.elb.create_target_group(
            Name="net",
            Protocol=protocol,
            Port=8080,
            VpcId=portside.vpc(),
            **{"TargetType": "ip", **CHECK, **group},
        )["TargetGroups"][0]["TargetGroupArn"]
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"],
            Protocol=protocol,
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )["Listeners"][0]["ListenerArn"]
        zones = {"subnets": portside.subnets()[:2], "securityGroups": [self.group_id]}
        self.network = {"awsvpcConfiguration": zones}
        wait_for(self.is_active, timeout_s=60, what="the load balancer is active")

    def is_active(self) -> bool:
        arn = self.balancer["LoadBalancerArn"]
        return bool(
            self.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["State"]["Code"] == "active"
        )

    def set(self, **attributes: str) -> None:
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.group,
            Attributes=[{"Key": key.replace("__", "."), "Value": value} for key, value in attributes.items()],
        )

    def states(self) -> list[str]:
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return sorted(str(each["TargetHealth"]["State"]) for each in found)

    def healthy(self, count: int) -> None:
        wait_for(lambda: self.states() == ["healthy"] * count, timeout_s=90, what=f"{count} healthy targets")

    def addresses(self) -> list[str]:
        """Of the load balancer inside the VPC, one in each zone."""
        enis = self.portside.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
        return sorted(str(each["PrivateIpAddress"]) for each in enis if each["Description"].startswith("ELB net/"))

    def host_address(self) -> str:
        (shown,) = [each for each in self.portside.status()["loadBalancers"] if each["name"] == "net"]
        return str(shown["hostAddresses"][0])


def address_of(portside: Instance, task_arn: str) -> str:
    details = portside.task(task_arn)["attachments"][0]["details"]
    return next(str(each["value"]) for each in details if each["name"] == "privateIPv4Address")


def netns_of(portside: Instance, task_arn: str) -> Path:
    folder = portside.settings.run_dir / "netns"
    (found,) = [each for each in folder.glob("task-*") if task_arn.rpartition("/")[2] in each.name]
    return found


def inside(netns: Path, code: str, *words: str) -> str:
    command = ["nsenter", f"--net={netns}", sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()


def seen(answer: str) -> str:
    """The address that a web server names as its client's: it listens for IPv6, too."""
    return answer.split()[-1].strip("[]").removeprefix("::ffff:") if answer else ""


GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())"


def test_service_sees_its_clients(portside: Instance) -> None:
    """Tasks of a service behind a Network Load Balancer see its address, or, once that is asked for, the client's;
    clients on the host come as the load balancer; a deployment ends when the old tasks' flows have."""
    site = Site(portside)
    site.set(deregistration_delay__timeout_seconds="300")
    portside.register("who", {"command": ["sh", "-c", WHO], "portMappings": [{"containerPort": 8080}]})
    portside.register("client", {"command": ["sleep", "1000"]})
    site.ecs.create_service(
        serviceName="who",
        taskDefinition="who",
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=site.network,
        loadBalancers=[{"targetGroupArn": site.group, "containerName": "main", "containerPort": 8080}],
    )
    client = portside.run_task("client")
    portside.wait_task(client, "RUNNING")
    site.healthy(2)
    here, netns = address_of(portside, client), netns_of(portside, client)
    leg = site.addresses()[0]
    url = f"http://{leg}:{site.port}/cgi-bin/who"
    assert seen(inside(netns, GET, url)) == leg
    site.set(preserve_client_ip__enabled="true")
    wait_for(lambda: seen(inside(netns, GET, url)) == here, timeout_s=30, what="targets see the client")
    on_host = http_get(f"http://{site.host_address()}:{site.port}/cgi-bin/who").decode()
    assert seen(on_host) in site.addresses()
    site.ecs.update_service(service="who", desiredCount=1)
    wait_for(lambda: len(site.states()) == 2 and "draining" in site.states(), timeout_s=60, what="one drains")
    wait_for(lambda: len(portside.client("ecs").list_tasks(serviceName="who")["taskArns"]) == 1, timeout_s=60, what="")
    assert seen(inside(netns, GET, url)) == here


ASK = """
import socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.settimeout(1)
made.bind(("", int(sys.argv[3])))
made.connect((sys.argv[1], int(sys.argv[2])))
made.send(b"hello")
print(made.recv(2000).decode())
"""
ANSWER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 8080))
print("listens", flush=True)
while True:
    data, peer = server.recvfrom(2000)
    server.sendto(f"{sys.argv[1]} {peer[0]}".encode(), peer)
"""
"""What a task's program would do: the image has none that answers datagrams. It runs in the task's namespace."""
CHECKED = "mkdir -p /tmp/www; exec httpd -f -p 9090 -h /tmp/www"


@contextlib.contextmanager
def answering(netns: Path, name: str, program: str = ANSWER) -> Iterator[None]:
    command = ["nsenter", f"--net={netns}", sys.executable, "-c", program, name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listens\n"
        yield
    finally:
        end(process)
        process.stdout.close()


@pytest.mark.parametrize("protocol", ["UDP", "TCP_UDP"])
def test_service_of_datagrams(portside: Instance, protocol: str) -> None:
    """A service whose tasks take datagrams is checked by HTTP at another port; its tasks see their client and answer
    from the load balancer's address, one flow from one task; a task that goes gets no new flow, and the open ones are
    another task's after the delay."""
    more = {"HealthCheckProtocol": "HTTP", "HealthCheckPort": "9090", "Matcher": {"HttpCode": "200-404"}}
    site = Site(portside, protocol, **more)
    site.set(deregistration_delay__timeout_seconds="3")
    mappings = [{"containerPort": 8080, "protocol": "udp"}, {"containerPort": 9090}]
    portside.register("echo", {"command": ["sh", "-c", CHECKED], "portMappings": mappings})
    portside.register("client", {"command": ["sleep", "1000"]})
    site.ecs.create_service(
        serviceName="echo",
        taskDefinition="echo",
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=site.network,
        loadBalancers=[{"targetGroupArn": site.group, "containerName": "main", "containerPort": 8080}],
    )
    client = portside.run_task("client")
    portside.wait_task(client, "RUNNING")
    site.healthy(2)
    netns, leg, here = netns_of(portside, client), site.addresses()[0], address_of(portside, client)
    tasks = site.ecs.list_tasks(serviceName="echo")["taskArns"]
    with contextlib.ExitStack() as stack:
        for task in tasks:
            stack.enter_context(answering(netns_of(portside, task), address_of(portside, task)))
        ports = range(20000, 20012)
        first = {port: inside(netns, ASK, leg, str(site.port), str(port)) for port in ports}
        assert set(first.values()) == {f"{address_of(portside, task)} {here}" for task in tasks}
        assert {port: inside(netns, ASK, leg, str(site.port), str(port)) for port in ports} == first
        words = [sys.executable, "-c", ASK, site.host_address(), str(site.port), "0"]
        on_host = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        assert on_host[0] in {address_of(portside, task) for task in tasks}
        assert on_host[1] in site.addresses(), "programs of the host come as the load balancer"
        site.ecs.update_service(service="echo", desiredCount=1)
        wait_for(lambda: "draining" in site.states(), timeout_s=60, what="one target drains")
        gone = next(
            str(each["Target"]["Id"])
            for each in site.elb.describe_target_health(TargetGroupArn=site.group)["TargetHealthDescriptions"]
            if each["TargetHealth"]["State"] == "draining"
        )
        new = {inside(netns, ASK, leg, str(site.port), "0") for _ in range(6)}
        assert len(new) == 1
        assert gone not in new.pop()

        def are_moved() -> bool:
            return all(
                inside(netns, ASK, leg, str(site.port), str(port)).split()[:1] not in ([], [gone]) for port in ports
            )

        wait_for(are_moved, timeout_s=60, what="open flows begin anew at the other task")


def test_own_address_and_no_groups(portside: Instance) -> None:
    """An internal load balancer stands at the address that was asked for and, without security groups, lets everything
    pass; each zone's address leads to the targets of its own zone."""
    ec2, elb, ecs = portside.client("ec2"), portside.client("elbv2"), portside.client("ecs")
    ecs.create_cluster()
    group = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    subnets = ec2.describe_subnets()["Subnets"][:2]
    static = [each["CidrBlock"].rsplit(".", 1)[0] + ".99" for each in subnets]
    balancer = elb.create_load_balancer(
        Name="own",
        Type="network",
        Scheme="internal",
        SubnetMappings=[
            {"SubnetId": each["SubnetId"], "PrivateIPv4Address": address}
            for each, address in zip(subnets, static, strict=True)
        ],
    )["LoadBalancers"][0]
    target_group = elb.create_target_group(
        Name="own", Protocol="TCP", Port=8080, VpcId=portside.vpc(), TargetType="ip", **CHECK
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="TCP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
    )
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": f"{address}/32"}]}
            for address in static
        ],
    )
    portside.register("who", {"command": ["sh", "-c", WHO], "portMappings": [{"containerPort": 8080}]})
    portside.register("client", {"command": ["sleep", "1000"]})
    near, client = (
        portside.run_task(
            name,
            networkConfiguration={
                "awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]], "securityGroups": [group]}
            },
        )
        for name in ("who", "client")
    )
    for task in (near, client):
        portside.wait_task(task, "RUNNING")
    elb.register_targets(TargetGroupArn=target_group, Targets=[{"Id": address_of(portside, near)}])
    netns = netns_of(portside, client)

    def answer() -> str:
        return seen(inside(netns, GET, f"http://{static[0]}/cgi-bin/who"))

    wait_for(lambda: answer() == static[0], timeout_s=60, what="the near address leads to the target")
    assert inside(netns, GET, f"http://{static[1]}/cgi-bin/who") == "", "its zone has no target"
    across = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=across)
    far = f"http://{static[1]}/cgi-bin/who"
    wait_for(lambda: seen(inside(netns, GET, far)) == static[1], timeout_s=60, what="the far address leads there, too")


def test_zones_on_the_host(portside: Instance) -> None:
    """For clients on the host, too, an address leads to targets of its own zone alone, and to all of them with
    cross-zone load balancing."""
    site = Site(portside)
    first, second = portside.client("ec2").describe_subnets(SubnetIds=portside.subnets()[:2])["Subnets"]
    portside.register("who", {"command": ["sh", "-c", WHO], "portMappings": [{"containerPort": 8080}]})
    where = {"subnets": [first["SubnetId"]], "securityGroups": [site.group_id]}
    task = portside.run_task("who", networkConfiguration={"awsvpcConfiguration": where})
    portside.wait_task(task, "RUNNING")
    site.elb.register_targets(TargetGroupArn=site.group, Targets=[{"Id": address_of(portside, task)}])
    site.healthy(1)
    (shown,) = [each for each in portside.status()["loadBalancers"] if each["name"] == "net"]
    urls = [f"http://{address}:{site.port}/cgi-bin/who" for address in shown["hostAddresses"]]
    wait_for(lambda: all(answers(url) for url in urls), timeout_s=30, what="both addresses lead to the target")
    alone = [{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}]
    site.elb.modify_load_balancer_attributes(LoadBalancerArn=site.balancer["LoadBalancerArn"], Attributes=alone)
    wait_for(
        lambda: sorted([answers(url) for url in urls]) == [False, True], timeout_s=30, what="one address leads there"
    )
    across = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    site.elb.modify_load_balancer_attributes(LoadBalancerArn=site.balancer["LoadBalancerArn"], Attributes=across)
    wait_for(lambda: all(answers(url) for url in urls), timeout_s=30, what="both do again")
    site.set(load_balancing__cross_zone__enabled="false")
    wait_for(
        lambda: sorted([answers(url) for url in urls]) == [False, True],
        timeout_s=30,
        what="what the target group says goes before",
    )
    assert second["AvailabilityZone"] != first["AvailabilityZone"]


FAILS = (
    "mkdir -p /tmp/www/cgi-bin; cd /tmp/www; touch up; "
    'printf "#!/bin/sh\\necho; hostname -i" > cgi-bin/who; printf "#!/bin/sh\\nrm /tmp/www/up; echo" > cgi-bin/fail; '
    "chmod +x cgi-bin/*; exec httpd -f -p 8080 -h /tmp/www"
)
"""Answers with its own address, and fails its checks from when it is asked to."""


def test_too_few_healthy_targets(portside: Instance) -> None:
    """A zone with fewer healthy targets than the group asks for is not in the name, as long as another one has enough;
    its address leads to all of its targets with the setting for that, in the VPC and on the host, and to healthy ones
    alone without."""
    check = {"HealthCheckProtocol": "HTTP", "HealthCheckPath": "/up", "Matcher": {"HttpCode": "200"}}
    site = Site(portside, **check)
    dns = "target_group_health.dns_failover.minimum_healthy_targets"
    routing = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
    site.set(load_balancing__cross_zone__enabled="false")
    portside.register("fails", {"command": ["sh", "-c", FAILS], "portMappings": [{"containerPort": 8080}]})
    near, far = site.network["awsvpcConfiguration"]["subnets"]
    askers: list[Asker] = []
    for subnet in (near, near, far):
        where = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [site.group_id]}}
        askers.append(Asker(portside, portside.run_task("fails", networkConfiguration=where)))
    one, two, three = (each.address for each in askers)
    site.elb.register_targets(TargetGroupArn=site.group, Targets=[{"Id": each} for each in (one, two, three)])
    site.healthy(3)
    zones = site.balancer["AvailabilityZones"]
    enis = portside.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    legs = {
        each["SubnetId"]: str(each["PrivateIpAddress"]) for each in enis if each["Description"].startswith("ELB net/")
    }
    (shown,) = [each for each in portside.status()["loadBalancers"] if each["name"] == "net"]
    assert {each["SubnetId"] for each in zones} == {near, far} == legs.keys()

    def name() -> set[object]:
        return askers[2].data(site.balancer["DNSName"])

    def reached(address: str, *, on_host: bool = False) -> set[str]:
        url = f"http://{address}:{site.port}/cgi-bin/who"
        if on_host:
            return {http_get(url).decode().split()[0] for _ in range(20)}
        found = (inside(askers[2].pin, GET, url).split() for _ in range(20))
        return {each[0] if each else "" for each in found}

    wait_for(lambda: name() == set(legs.values()), timeout_s=60, what="the name leads to both zones")
    site.set(**{f"{dns}.count": "2"})
    wait_for(lambda: name() == {legs[near]}, timeout_s=60, what="the zone of one target is not in the name")
    inside(askers[2].pin, GET, f"http://{two}:8080/cgi-bin/fail")
    wait_for(lambda: site.states() == ["healthy", "healthy", "unhealthy"], timeout_s=60, what="one fails its checks")
    wait_for(lambda: name() == set(legs.values()), timeout_s=60, what="no zone has enough, so the name leads to both")
    wait_for(lambda: reached(legs[near]) == {one}, timeout_s=60, what="connections go to the healthy target")
    on_host = next(each for each in shown["hostAddresses"] if one in reached(each, on_host=True))
    site.set(**{f"{routing}.percentage": "51"})
    wait_for(lambda: reached(legs[near]) == {one, two}, timeout_s=60, what="half is too few: they go to both")
    wait_for(lambda: reached(on_host, on_host=True) == {one, two}, timeout_s=60, what="so do those of the host")
    assert reached(legs[far]) == {three}
    site.set(**{f"{routing}.percentage": "50", f"{dns}.count": "1"})
    wait_for(lambda: reached(legs[near]) == {one}, timeout_s=60, what="half is enough")
    wait_for(lambda: name() == set(legs.values()), timeout_s=60, what="one is enough for the name")
    inside(askers[2].pin, GET, f"http://{three}:8080/cgi-bin/fail")
    wait_for(lambda: name() == {legs[near]}, timeout_s=60, what="a zone without a healthy target is not in the name")
    site.set(**{f"{dns}.count": "off"})
    wait_for(lambda: name() == set(legs.values()), timeout_s=60, what="it is, once that is turned off")
    assert reached(legs[far]) == {three}


GET_TLS = """
import ssl, sys, urllib.request
any_certificate = ssl._create_unverified_context()
print(urllib.request.urlopen(sys.argv[1], timeout=3, context=any_certificate).read().decode())
"""
ASK_TCP = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3) as made:
    made.sendall(b"hello")
    print(made.recv(2000).decode())
"""
TOLD = """
import socket
server = socket.create_server(("", 9191))
print("listens", flush=True)
while True:
    made, peer = server.accept()
    with made:
        header = made.recv(2000)
        if len(header) >= 28 and header[13] == 0x11:
            made.sendall(f"{peer[0]} {socket.inet_ntoa(header[16:20])}".encode())
"""
"""Answers with whom it sees, and whom the header of the proxy protocol names."""


def test_clients_behind_a_proxy(portside: Instance) -> None:
    """Behind a TLS listener, and with the proxy protocol, a target sees the client's address where it is to be
    preserved, and the load balancer's where it is not; the header names the client in both cases."""
    site = Site(portside)
    keeps = {"Key": "preserve_client_ip.enabled", "Value": "true"}
    certificate = portside.client("acm").request_certificate(DomainName="site.test")["CertificateArn"]
    ports = free_port(), free_port()
    told = site.elb.create_target_group(
        Name="told", Protocol="TCP", Port=9191, VpcId=portside.vpc(), TargetType="ip", HealthCheckPort="8080", **CHECK
    )["TargetGroups"][0]["TargetGroupArn"]
    header = {"Key": "proxy_protocol_v2.enabled", "Value": "true"}
    site.elb.modify_target_group_attributes(TargetGroupArn=told, Attributes=[header])
    for port, protocol, group, more in (
        (ports[0], "TLS", site.group, {"Certificates": [{"CertificateArn": certificate}]}),
        (ports[1], "TCP", told, {}),
    ):
        site.elb.create_listener(
            LoadBalancerArn=site.balancer["LoadBalancerArn"],
            Protocol=protocol,
            Port=port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
            **more,
        )
    portside.register("who", {"command": ["sh", "-c", WHO], "portMappings": [{"containerPort": 8080}]})
    portside.register("client", {"command": ["sleep", "1000"]})
    server, client = (portside.run_task(name, networkConfiguration=site.network) for name in ("who", "client"))
    for task in (server, client):
        portside.wait_task(task, "RUNNING")
    for group in (site.group, told):
        site.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": address_of(portside, server)}])
    site.healthy(1)
    here, netns = address_of(portside, client), netns_of(portside, client)
    leg = site.addresses()[0]
    url = f"https://{leg}:{ports[0]}/cgi-bin/who"

    def ask() -> list[str]:
        return inside(netns, ASK_TCP, leg, str(ports[1])).split()

    with answering(netns_of(portside, server), "", TOLD):
        wait_for(lambda: seen(inside(netns, GET_TLS, url)) in site.addresses(), timeout_s=60, what="TLS is served")
        wait_for(lambda: ask()[1:] == [here], timeout_s=60, what="the header names the client")
        assert ask()[0] in site.addresses()
        for group in (site.group, told):
            site.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[keeps])
        wait_for(lambda: seen(inside(netns, GET_TLS, url)) == here, timeout_s=60, what="the client is seen")
        wait_for(lambda: ask() == [here, here], timeout_s=60, what="the client is seen and named")
        on_host = http_get(f"http://{site.host_address()}:{site.port}/cgi-bin/who").decode()
        assert seen(on_host) in site.addresses()
        site.set(preserve_client_ip__enabled="false")
        wait_for(lambda: seen(inside(netns, GET_TLS, url)) in site.addresses(), timeout_s=60, what="it is hidden")


ECHO = """
import socketserver, sys

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.request.sendall(sys.argv[1].encode())
        while data := self.request.recv(100):
            self.request.sendall(data)

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

with Server(("", int(sys.argv[1][1:])), Echo) as server:
    print("listens", flush=True)
    server.serve_forever()
"""
HOLD = """
import socket, sys
held = {}
while len(held) < 2:
    made = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
    held.setdefault(made.recv(10).decode(), made)
print(*sorted(held), flush=True)
for _ in sys.stdin:
    alive = []
    for name, each in sorted(held.items()):
        try:
            each.sendall(b"x")
            alive += [name] if each.recv(10) == b"x" else []
        except OSError:
            pass
    print(*alive, flush=True)
"""
"""Keeps a connection to each of two targets, and says for each line which of them still answer."""


class Holder:
    def __init__(self, stack: contextlib.ExitStack, address: str, port: int, netns: Path | None = None) -> None:
        inside = ["nsenter", f"--net={netns}"] if netns is not None else []
        command = [*inside, sys.executable, "-c", HOLD, address, str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(self._end)
        self.held = self._line()

    def alive(self) -> list[str]:
        """Those of the targets that still answer."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> list[str]:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()

    def _end(self) -> None:
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def test_connections_end_with_health(portside: Instance) -> None:
    """Open connections to a target that becomes unhealthy are broken off, in the VPC and on the host, unless the target
    group has it otherwise; those to another one go on. The load balancer's interfaces are of AWS's type."""
    site = Site(portside, HealthCheckPort="9090")
    kind = [{"Name": "interface-type", "Values": ["network_load_balancer"]}]
    assert len(portside.client("ec2").describe_network_interfaces(Filters=kind)["NetworkInterfaces"]) == 2
    portside.register("idle", {"command": ["sleep", "1000"]})
    tasks = [portside.run_task("idle", networkConfiguration=site.network) for _ in range(3)]
    for task in tasks:
        portside.wait_task(task, "RUNNING")
    servers = dict(zip("ab", tasks, strict=False))
    client = netns_of(portside, tasks[2])
    leg, on_host = site.addresses()[0], site.host_address()
    with contextlib.ExitStack() as stack:
        checked = {name: stack.enter_context(contextlib.ExitStack()) for name in servers}

        def check(name: str) -> None:
            checked[name].enter_context(answering(netns_of(portside, servers[name]), f"{name}9090", ECHO))

        for name, task in servers.items():
            stack.enter_context(answering(netns_of(portside, task), f"{name}8080", ECHO))
            check(name)
            site.elb.register_targets(TargetGroupArn=site.group, Targets=[{"Id": address_of(portside, task)}])
        site.healthy(2)
        holders = [Holder(stack, leg, site.port, client), Holder(stack, on_host, site.port)]
        assert all(each.held == each.alive() == ["a8080", "b8080"] for each in holders)
        site.set(target_health_state__unhealthy__connection_termination__enabled="false")
        checked["a"].close()
        wait_for(lambda: site.states() == ["healthy", "unhealthy"], timeout_s=90, what="one is unhealthy")
        assert all(each.alive() == ["a8080", "b8080"] for each in holders)
        check("a")
        site.healthy(2)
        site.set(target_health_state__unhealthy__connection_termination__enabled="true")
        checked["a"].close()
        for each in holders:
            wait_for(lambda each=each: each.alive() == ["b8080"], timeout_s=90, what="one connection is broken off")
