"""VPCs with a private namespace, and lookups from within the network namespaces of their tasks."""

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portside.dns import message
from portside.domain.dns import Answer, Code, Question, Type
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance
from portside.testing.netns_lab import inside
from portside.testing.wait import free_port, wait_for

LINK_LOCAL = "169.254.169.253"


@contextlib.contextmanager
def running(tmp_path: Path, egress: str) -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    settings = Settings(data_dir=tmp_path / "data", port=free_port(), egress=egress, hosts_file=None)
    made = Instance(settings)
    words = (settings.instance_id, str(settings.data_dir))
    before = leak.snapshot(*words)
    try:
        made.start()
        made.ready()
        made.client("ecs").create_cluster(clusterName="default")
        yield made
    finally:
        made.destroy()
    left = leak.wait_for_none(before, *words)
    assert not left, f"left behind: {left}"


class Vpc:
    """A VPC with a subnet and a private namespace `corp.local`."""

    def __init__(self, portside: Instance, *, namespace: str = "corp.local", hostnames: bool = True) -> None:
        self.portside, ec2 = portside, portside.client("ec2")
        self.sd = portside.client("servicediscovery")
        self.id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        if hostnames:
            ec2.modify_vpc_attribute(VpcId=self.id, EnableDnsHostnames={"Value": True})
        made = self.done(self.sd.create_private_dns_namespace(Name=namespace, Vpc=self.id))
        self.namespace = made["NAMESPACE"]

    def done(self, answer: dict[str, Any]) -> dict[str, str]:
        """What an operation was about, once it has succeeded."""

        def over() -> dict[str, Any] | None:
            operation = self.sd.get_operation(OperationId=answer["OperationId"])["Operation"]
            assert operation["Status"] != "FAIL", operation
            return operation["Targets"] if operation["Status"] == "SUCCESS" else None

        found = wait_for(over, timeout_s=30, what="the operation's end")
        assert found is not None
        return dict(found)

    def service(self, name: str, *kinds: str, **more: Any) -> str:
        config = {"DnsRecords": [{"Type": kind, "TTL": 10} for kind in kinds], **more.pop("dns", {})}
        made = self.sd.create_service(Name=name, NamespaceId=self.namespace, DnsConfig=config, **more)
        return str(made["Service"]["Id"])

    def register(self, service: str, name: str, **attributes: str) -> None:
        self.done(self.sd.register_instance(ServiceId=service, InstanceId=name, Attributes=attributes))

    def task(self, command: str = "while :; do sleep 1; done") -> "Asker":
        family = f"f{random.randrange(10**9)}"
        self.portside.register(family, {"command": ["sh", "-c", command]})
        network = {"awsvpcConfiguration": {"subnets": [self.subnet]}}
        arn = self.portside.run_task(family, networkConfiguration=network)
        return Asker(self.portside, arn)


class Asker:
    """A running task, and its network namespace."""

    def __init__(self, portside: Instance, arn: str) -> None:
        task = portside.wait_task(arn, "RUNNING")
        details = task["attachments"][0]["details"]
        self.address = next(each["value"] for each in details if each["name"] == "privateIPv4Address")
        self.arn = arn
        (self.pin,) = (portside.settings.run_dir / "netns").glob(f"task-{arn.rpartition('/')[2]}-*")

    def ask(self, name: str, kind: Type = Type.A, server: str = LINK_LOCAL, *, tcp: bool = False) -> Answer:
        return ask(self.pin, name, kind, server, tcp=tcp)

    def data(self, name: str, kind: Type = Type.A, **how: Any) -> set[object]:
        return {each.data for each in self.ask(name, kind, **how).records}


def ask(pin: Path, name: str, kind: Type, server: str = LINK_LOCAL, *, tcp: bool = False, edns: bool = True) -> Answer:
    """One lookup from within a namespace."""
    query = message.write_query(random.randrange(1 << 16), Question(name, kind))
    if not edns:
        query = query[:10] + b"\0\0" + query[12:-11]

    def lookup() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
            sock.settimeout(30)
            sock.connect((server, 53))
            if not tcp:
                sock.sendall(query)
                return sock.recv(65535)
            sock.sendall(len(query).to_bytes(2, "big") + query)
            with sock.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2), "big"))

    data = inside(str(pin), lookup)
    assert message.answers(data, query)
    answer = message.read_answer(data)
    return answer if not message.is_truncated(data) else answer._replace(code=Code.SERVFAIL)
