"""Names inside of VPCs, looked up from the network namespaces of real tasks and instances, and by their programs."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolver_lab import LINK_LOCAL, Asker, Vpc, ask, running

from portside.dns import message
from portside.dns.forward import RESOLV_CONF, nameservers
from portside.domain import ecs_image
from portside.domain.dns import Code, Question, Srv, Type
from portside.testing.instance import IMAGE, REGION, Instance
from portside.testing.netns_lab import inside
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

WORLD = """
import socket, sys
sys.path[:0] = sys.argv[1:]
from portside.dns import message
from portside.domain.dns import Answer, Code, ResourceRecord, Type
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    data, asker = sock.recvfrom(4096)
    query = message.read_query(data)
    record = ResourceRecord(query.question.name, Type.A, 300, "203.0.113.7")
    sock.sendto(message.write_answer(query, Answer(Code.NOERROR, (record,)), 1232), asker)
"""


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A namespace that plays the world outside: the host's resolver is there, and knows every name."""
    pin = tmp_path / "outside"
    pin.touch()
    subprocess.run(["unshare", f"--net={pin}", "ip", "link", "set", "lo", "up"], check=True, timeout=30)
    enter = ["nsenter", f"--net={pin}"]
    resolver = nameservers(RESOLV_CONF.read_text() if RESOLV_CONF.exists() else "")[0]
    subprocess.run([*enter, "ip", "addr", "add", f"{resolver}/32", "dev", "lo"], check=False, timeout=30)
    with subprocess.Popen(
        [*enter, sys.executable, "-c", WORLD, *sys.path], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield pin
        server.kill()
    subprocess.run(["umount", str(pin)], check=True, timeout=30)


@pytest.fixture
def portside(tmp_path: Path) -> Iterator[Instance]:
    with running(tmp_path, "none") as made:
        yield made


def test_names_resolve_in_their_vpc_and_in_no_other(portside: Instance) -> None:
    """Two VPCs with one CIDR have namespaces of one name: each task is answered with its own VPC's instances, at the
    link-local address and at the VPC's own, over UDP and TCP, from its running program, too."""
    here, there = Vpc(portside), Vpc(portside)
    foreign = Vpc(portside, namespace="other.example")
    for vpc, address in ((here, "10.0.0.10"), (there, "10.0.0.20")):
        vpc.register(vpc.service("web", "A"), "one", AWS_INSTANCE_IPV4=address)
    mine, yours, nobody = here.task(), there.task(), foreign.task()
    for how in ({}, {"tcp": True}, {"server": "10.0.0.2"}, {"server": "10.0.0.2", "tcp": True}):
        assert mine.data("web.corp.local", **how) == {"10.0.0.10"}
        assert yours.data("web.corp.local", **how) == {"10.0.0.20"}
        assert nobody.ask("web.corp.local", **how).code is Code.REFUSED  # with no way out nobody else is asked
    answer = mine.ask("Web.CORP.local")
    assert [each.ttl_s for each in answer.records] == [10]
    for name, kind, code in (("no.corp.local", Type.A, Code.NXDOMAIN), ("web.corp.local", Type.AAAA, Code.NOERROR)):
        answer = mine.ask(name, kind)
        assert (answer.code, answer.records) == (code, ())
        assert answer.soa is not None
        assert answer.soa.ttl_s == 15
    program = here.task("nslookup web.corp.local | grep -q 10.0.0.10 && while :; do sleep 1; done")
    assert portside.task(program.arn)["lastStatus"] == "RUNNING"


def test_srv_records_health_and_truncation(portside: Instance) -> None:
    """SRV records lead to names that resolve; unhealthy instances are left out until none is healthy; what does not
    fit into a datagram comes over TCP."""
    vpc = Vpc(portside)
    service = vpc.service("api", "SRV", HealthCheckCustomConfig={"FailureThreshold": 1})
    names = [f"{number:032x}" for number in range(10)]
    for number, name in enumerate(names):
        vpc.register(service, name, AWS_INSTANCE_IPV4=f"10.0.0.{100 + number}", AWS_INSTANCE_PORT="8080")
    asker = vpc.task()
    found = asker.data("api.corp.local", Type.SRV, tcp=True)
    assert len(found) == 8
    assert found <= {Srv(8080, f"{name}.api.corp.local") for name in names}
    assert asker.data(f"{names[3]}.api.corp.local") == {"10.0.0.103"}
    short = ask(asker.pin, "api.corp.local", Type.SRV, edns=False)
    assert short.code is Code.SERVFAIL  # as `ask` says of a truncated one
    assert 0 < len(short.records) < 8
    seen = set()
    for _ in range(40):  # eight of ten at random: that one of them never comes has a chance of 1 in 10^27
        seen |= asker.data("api.corp.local", Type.SRV, tcp=True)
    assert len(seen) == 10
    for name in names[1:]:
        vpc.sd.update_instance_custom_health_status(ServiceId=service, InstanceId=name, Status="UNHEALTHY")
    assert asker.data("api.corp.local", Type.SRV) == {Srv(8080, f"{names[0]}.api.corp.local")}
    vpc.sd.update_instance_custom_health_status(ServiceId=service, InstanceId=names[0], Status="UNHEALTHY")
    assert len(asker.data("api.corp.local", Type.SRV)) == 8
    for name in names:
        vpc.done(vpc.sd.deregister_instance(ServiceId=service, InstanceId=name))
    assert asker.ask("api.corp.local", Type.SRV).code is Code.NXDOMAIN


def test_host_names_and_attributes_of_the_vpc(portside: Instance) -> None:
    """Private host names resolve both ways; without DNS host names the namespace does not; without DNS support nobody
    answers, and with it again somebody does."""
    vpc = Vpc(portside, hostnames=False)
    vpc.register(vpc.service("web", "A"), "one", AWS_INSTANCE_IPV4="10.0.0.10")
    asker, ec2 = vpc.task(), portside.client("ec2")
    host = f"ip-{asker.address.replace('.', '-')}.ec2.internal"
    reverse = ".".join(reversed(asker.address.split("."))) + ".in-addr.arpa"
    assert asker.data(host) == {asker.address}
    assert asker.data(reverse, Type.PTR) == {host}
    assert asker.ask("ip-10-0-0-250.ec2.internal").code is Code.NXDOMAIN
    assert asker.ask("web.corp.local").code is Code.REFUSED
    ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})
    assert asker.data("web.corp.local") == {"10.0.0.10"}
    ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsSupport={"Value": False})

    def unanswered() -> bytes:
        query = message.write_query(1, Question(host, Type.A))
        with socket.create_connection((LINK_LOCAL, 53), timeout=30) as sock:
            sock.sendall(len(query).to_bytes(2, "big") + query)
            return sock.recv(10)

    with contextlib.suppress(ConnectionResetError):
        assert inside(str(asker.pin), unanswered) == b""
    ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsSupport={"Value": True})
    assert asker.data(host) == {asker.address}


def test_other_names_leave_by_the_hosts_resolver(tmp_path: Path, outside: Path) -> None:
    """With a way out other names are the host's resolver's, reached where the way out leads; aliases are followed
    there. What is private is never asked there."""
    with running(tmp_path, str(outside)) as portside:
        vpc = Vpc(portside)
        alias = vpc.service("old", "CNAME", dns={"RoutingPolicy": "WEIGHTED"})
        vpc.register(alias, "one", AWS_INSTANCE_CNAME="www.example.com")
        asker = vpc.task()
        assert asker.data("www.example.com") == {"203.0.113.7"}
        assert asker.data("old.corp.local") == {"www.example.com", "203.0.113.7"}
        assert asker.data("old.corp.local", Type.CNAME) == {"www.example.com"}
        for name, kind in (("no.corp.local", Type.A), ("1.1.168.192.in-addr.arpa", Type.PTR)):
            assert asker.ask(name, kind).code is Code.NXDOMAIN


def test_instances_and_their_containers_resolve_names(portside: Instance) -> None:
    """On a container instance the instance itself and a container on its bridge ask the resolver of the instance's
    VPC."""
    vpc, ec2, ecs = Vpc(portside), portside.client("ec2"), portside.client("ecs")
    vpc.register(vpc.service("web", "A"), "one", AWS_INSTANCE_IPV4="10.0.0.10")
    ami = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
    ec2.run_instances(ImageId=ami, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=vpc.subnet)
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance")
    ecs.register_task_definition(
        family="bridged",
        networkMode="bridge",
        containerDefinitions=[
            {"name": "main", "image": IMAGE, "memory": 64, "command": ["nslookup", "web.corp.local"]},
        ],
    )
    arn = ecs.run_task(taskDefinition="bridged", launchType="EC2")["tasks"][0]["taskArn"]
    assert portside.wait_task(arn, "STOPPED", timeout_s=60)["containers"][0]["exitCode"] == 0
    (pin,) = (portside.settings.run_dir / "netns").glob("ec2-*")
    assert {each.data for each in ask(pin, "web.corp.local", Type.A).records} == {"10.0.0.10"}


def test_names_resolve_again_after_kill_9(portside: Instance) -> None:
    """What was registered is known to the next daemon, which serves the VPCs that run; a VPC that was deleted leaves
    nothing behind."""
    vpc = Vpc(portside)
    vpc.register(vpc.service("web", "A"), "one", AWS_INSTANCE_IPV4="10.0.0.10")
    asker = vpc.task()
    portside.kill()
    portside.start()
    portside.ready()
    for server in (LINK_LOCAL, "10.0.0.2"):
        wait_for(
            lambda server=server: _answered(asker, server),  # type: ignore[misc]
            timeout_s=60,
            what=f"an answer of {server}",
        )
    portside.client("ecs").stop_task(task=asker.arn)
    portside.wait_task(asker.arn, "STOPPED")
    ec2 = portside.client("ec2")
    ec2.delete_subnet(SubnetId=vpc.subnet)
    ec2.delete_vpc(VpcId=vpc.id)
    netns = portside.settings.run_dir / "netns"
    wait_for(lambda: not (netns / vpc.id).exists(), timeout_s=30, what="the namespace is gone")


def _answered(asker: Asker, server: str) -> bool:
    try:
        return asker.data("web.corp.local", server=server) == {"10.0.0.10"}
    except OSError:
        return False


def test_no_asker_takes_more_than_its_part(portside: Instance) -> None:
    """What an address sends to the resolver beyond 1,024 packets a second is dropped, as on AWS, while others are
    answered; it is answered itself again when it has stopped."""
    vpc = Vpc(portside)
    vpc.register(vpc.service("web", "A"), "one", AWS_INSTANCE_IPV4="10.0.0.10")
    loud, quiet = vpc.task(), vpc.task()
    query = message.write_query(1, Question("web.corp.local", Type.A))

    def flood() -> tuple[int, float]:
        """How many answers came in how many seconds, to as many questions as go out in half a second."""
        began = time.monotonic()
        answered = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((LINK_LOCAL, 53))
            sock.setblocking(False)
            while time.monotonic() - began < 0.5:
                sock.send(query)
                with contextlib.suppress(BlockingIOError):
                    sock.recv(4096)
                    answered += 1
            took_s = time.monotonic() - began
            sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while True:
                    sock.recv(4096)
                    answered += 1
        return answered, took_s

    answered, took_s = inside(str(loud.pin), flood)
    assert 0 < answered <= 1024 * (took_s + 1) + 1
    assert quiet.data("web.corp.local") == {"10.0.0.10"}
    wait_for(lambda: _answered(loud, LINK_LOCAL), timeout_s=60, what="an answer")
