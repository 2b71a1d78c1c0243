"""Docker's log drivers on container instances: files that `portside logs` and other tasks read, and syslog."""

import json
import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from test_container_instance import Fleet
from test_output import told

from portside.node.log import json_file
from portside.node.network import netns
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance(PORTSIDE_STOPPED_TASK_RETENTION_S="5") as running:
        yield running


def driver(name: str, **options: str) -> dict[str, Any]:
    return {"logConfiguration": {"logDriver": name, "options": {k.replace("_", "-"): v for k, v in options.items()}}}


def test_json_files(portside: Instance) -> None:
    """Lines are on the instance where Docker has them, with labels and a tag; `portside logs` shows them in order, also
    those written while Portside was killed; another task reads them by mounting the directory; they go with the task.
    """
    fleet = Fleet(portside)
    count = "n=0; while true; do n=$((n+1)); echo line $n; echo error $n >&2; sleep 0.05; done"
    wanted = driver("json-file", labels="team", tag="{{.ImageName}}")
    fleet.register("talker", "bridge", count, dockerLabels={"team": "blue"}, **wanted)
    task = fleet.task("talker")
    runtime_id = task["containers"][0]["runtimeId"]
    home = fleet.home_of(task)
    root = portside.settings.data_dir / "instances" / home / "root"
    file = root / "var/lib/docker/containers" / runtime_id / f"{runtime_id}-json.log"
    wait_for(lambda: file.exists() and len(file.read_text().splitlines()) > 20, timeout_s=30, what="lines")
    first, second = (json.loads(each) for each in sorted(file.read_text().splitlines()[:2], reverse=True))
    assert {first["log"], second["log"]} == {"line 1\n", "error 1\n"}
    assert {first["stream"], second["stream"]} == {"stdout", "stderr"}
    assert first["attrs"] == {"team": "blue", "tag": IMAGE}
    portside.kill()
    portside.start()
    portside.ready()
    size = len(file.read_text().splitlines())
    wait_for(lambda: len(file.read_text().splitlines()) > size + 20, timeout_s=30, what="further lines")
    seen = [each["message"] for each in told(portside, "talker", "--since", "1h")]
    numbers = [int(each.split()[1]) for each in seen if each.startswith("line")]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    assert len(told(portside, "talker", "-n", "7")) == 7

    fleet.ecs.register_task_definition(
        family="reader",
        requiresCompatibilities=["EC2"],
        volumes=[{"name": "logs", "host": {"sourcePath": "/var/lib/docker/containers"}}],
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "command": ["sh", "-c", 'grep -c \'"log":"line \' /logs/*/*-json.log; exec sleep 600'],
                "mountPoints": [{"sourceVolume": "logs", "containerPath": "/logs", "readOnly": True}],
                **driver("json-file", max_size="1k", max_file="2"),
            }
        ],
    )
    reader = fleet.task("reader")
    wait_for(
        lambda: [each for each in told(portside, "reader") if int(each["message"].rpartition(":")[2]) > 10],
        timeout_s=30,
        what="what the other task has read",
    )
    for each in (task, reader):
        fleet.ecs.stop_task(task=each["taskArn"])
        portside.wait_task(each["taskArn"], "STOPPED", timeout_s=60)
    wait_for(lambda: not file.parent.exists(), timeout_s=60, what="the files are gone with the task")


def test_as_fast_as_it_can(portside: Instance) -> None:
    """Half a million numbered lines, while Portside is killed twice and files are put aside and compressed: each is
    there, in order; only those of the last batch before a kill may be there twice."""
    fleet = Fleet(portside)
    wanted = driver("json-file", max_size="2m", max_file="100", compress="true")
    fleet.register("fast", "bridge", "seq 1 500000; exec sleep 600", **wanted)
    task = fleet.task("fast")
    runtime_id = task["containers"][0]["runtimeId"]
    root = portside.settings.data_dir / "instances" / fleet.home_of(task) / "root"
    folder = root / "var/lib/docker/containers" / runtime_id
    for count in (1, 4):
        wait_for(lambda count=count: len(list(folder.glob("*.gz"))) >= count, timeout_s=60, what="files put aside")  # type: ignore[misc]
        portside.kill()
        portside.start()
        portside.ready()

    def lines() -> list[int]:
        opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            asked = {"start_ms": None, "after": None, "from_head": True, "limit": 10_000_000}
            return [int(each.message) for each in json_file.found(opened, runtime_id, **asked)]  # type: ignore[arg-type]
        finally:
            os.close(opened)

    wait_for(lambda: ended(folder), timeout_s=120, what="the last line")
    found = lines()
    assert sorted(set(found)) == list(range(1, 500_001))
    falls = [(before, after) for before, after in pairwise(found) if after != before + 1]
    assert len(falls) <= 2
    assert all(after <= before for before, after in falls)


def ended(folder: Path) -> bool:
    """Whether the last line is there."""
    try:
        return any(b'"500000\\n"' in each.read_bytes()[-300:] for each in folder.glob("*-json.log"))
    except FileNotFoundError:
        return False  # it is put aside this moment


def listening(namespace: Path, kind: int, address: tuple[str, int]) -> socket.socket:
    def opened() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen()
        made.settimeout(30)
        return made

    return netns.within(namespace, opened)


def test_syslog(portside: Instance) -> None:
    """Lines come from the instance's address to a receiver on another instance, by datagrams and by a stream, in the
    format asked for, by a name of the VPC's as well; a container whose receiver is not there does not start, and the
    task says why."""
    fleet = Fleet(portside, 2)
    one, two = fleet.ids
    address = fleet.address(two)
    draining = fleet.registered()[two]["containerInstanceArn"]
    fleet.ecs.update_container_instances_state(containerInstances=[draining], status="DRAINING")
    with listening(fleet.netns(two), socket.SOCK_DGRAM, (address, 514)) as datagrams:
        options = {"syslog_address": f"udp://{address}", "syslog_facility": "local3", "tag": "{{.Name}}"}
        fleet.register("udp", "bridge", "echo hello; exec sleep 600", **driver("syslog", **options))
        fleet.task("udp")
        text, peer = datagrams.recvfrom(2000)
        assert peer[0] == fleet.address(one)
        assert text.startswith(b"<158>")
        assert text.endswith(b": hello\n")
        assert b" main[" in text
    discovery = portside.client("servicediscovery")
    operation = discovery.create_private_dns_namespace(Name="demo.test", Vpc=portside.vpc())["OperationId"]

    def made() -> str:
        found = discovery.get_operation(OperationId=operation)["Operation"]
        return str(found["Targets"]["NAMESPACE"]) if found["Status"] == "SUCCESS" else ""

    namespace = wait_for(made, timeout_s=30, what="the namespace")
    records = {"DnsRecords": [{"Type": "A", "TTL": 60}], "RoutingPolicy": "MULTIVALUE"}
    named = discovery.create_service(Name="logs", NamespaceId=namespace, DnsConfig=records)["Service"]["Id"]
    discovery.register_instance(ServiceId=named, InstanceId="two", Attributes={"AWS_INSTANCE_IPV4": address})
    with listening(fleet.netns(two), socket.SOCK_STREAM, (address, 601)) as streams:
        options = {"syslog_address": "tcp://logs.demo.test:601", "syslog_format": "rfc5424micro"}
        script = "for n in 1 2 3; do echo line $n; done; echo no >&2; exec sleep 600"
        fleet.register("tcp", "bridge", script, **driver("syslog", **options))
        task = fleet.task("tcp")
        peer_socket = streams.accept()[0]
        peer_socket.settimeout(30)
        text = b""
        while text.count(b"\n") < 4:
            text += peer_socket.recv(2000)
        peer_socket.close()
        lines = text.decode().splitlines()
        assert sorted(each.rpartition(" - ")[2] for each in lines) == ["line 1", "line 2", "line 3", "no"]
        assert {each[:6] for each in lines} == {"<30>1 ", "<27>1 "}
        assert f" {task['containers'][0]['runtimeId'][:12]} " in lines[0]
    fleet.register("nobody", "bridge", "exec sleep 600", **driver("syslog", syslog_address=f"tcp://{address}:601"))
    started = fleet.ecs.run_task(taskDefinition="nobody", launchType="EC2")["tasks"][0]["taskArn"]
    stopped = portside.wait_task(started, "STOPPED", timeout_s=60)
    assert (
        f"failed to initialize logging driver: dial tcp {address}:601: connect: connection refused"
        in stopped["containers"][0]["reason"]
    )
    fleet.register("nowhere", "bridge", "exec sleep 600", **driver("syslog", syslog_address="udp://no.demo.test"))
    started = fleet.ecs.run_task(taskDefinition="nowhere", launchType="EC2")["tasks"][0]["taskArn"]
    stopped = portside.wait_task(started, "STOPPED", timeout_s=60)
    assert "dial udp: lookup no.demo.test: no such host" in stopped["containers"][0]["reason"]


def test_what_is_refused(portside: Instance) -> None:
    """Options that a driver has not, in AWS's words; what Portside does not do; drivers on Fargate; values in Docker's
    words when the container starts."""
    ecs = portside.client("ecs")
    for wanted, said in (
        (driver("json-file", colour="red"), "Log driver json-file disallows options: colour"),
        (driver("gelf"), "log driver gelf"),
        (driver("syslog", tag="{{.ID | upper}}"), "log driver syslog with a tag"),
    ):
        with pytest.raises(ClientError, match=said):
            ecs.register_task_definition(
                family="x", containerDefinitions=[{"name": "m", "image": IMAGE, "memory": 64, **wanted}]
            )
    with pytest.raises(ClientError, match="json-file is not a valid log driver"):
        ecs.register_task_definition(
            family="x",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "m", "image": IMAGE, **driver("json-file")}],
        )
    fleet = Fleet(portside)
    fleet.register("odd", "bridge", "exec sleep 600", **driver("json-file", max_file="0"))
    started = ecs.run_task(taskDefinition="odd", launchType="EC2")["tasks"][0]["taskArn"]
    stopped = portside.wait_task(started, "STOPPED", timeout_s=60)
    assert "max-file cannot be less than 1" in stopped["containers"][0]["reason"]
