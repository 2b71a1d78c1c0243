"""Answers of a VPC's resolver: how many a second, how soon, and what one costs the daemon. Against dnsmasq with the
same names in a file, where that is installed.

Single questions are asked from a task. As many as possible are asked from the VPC's own namespace, for no task may ask
so many. The asker is a Python process, and shares the cores with the daemon.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.instance import ensure_image, register
from bench.measure import cpu_s, percentile
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import end, wait_for

RESOLVER = "169.254.169.253"
UNDER_WAY = 64
"""Questions that wait for an answer at once, when as many as possible are asked."""

ALONE = 500
"""Questions that are asked one after the other, from the task: fewer than what one address may ask in a second."""

ASKER = """
import json, socket, sys, time
sys.path[:0] = sys.argv[6:]
from portside.dns import message
from portside.domain.dns import Question
server, name, kind, seconds, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((server, 53))
sock.settimeout(5)
query = message.write_query(7, Question(name, kind))
waits, answered, began = [], 0, time.perf_counter()
if seconds:
    for _ in range(count):
        sock.send(query)
    while time.perf_counter() - began < seconds:
        answer = sock.recv(4096)
        answered += 1
        sock.send(query)
else:
    for _ in range(count):
        asked = time.perf_counter()
        sock.send(query)
        answer = sock.recv(4096)
        waits.append((time.perf_counter() - asked) * 1e6)
took = time.perf_counter() - began
records = len(message.read_answer(answer).records)
print(json.dumps({"answered": answered, "took_s": took, "waits": waits, "records": records}))
"""


def bench(quick: bool) -> dict[str, Any]:
    ensure_image()
    seconds = 1.0 if quick else 5.0
    with portside_instance() as instance:
        pin = _network(instance)
        vpc = pin.with_name(instance.vpc())
        found: dict[str, Any] = {
            case: _asked(pin, vpc, name, kind, seconds, pid=instance.pid)
            for case, name, kind in (
                ("one_address", "one.corp.local", 1),
                ("eight_addresses", "eight.corp.local", 1),
                ("eight_services", "srv.corp.local", 33),
                ("no_such_name", "none.corp.local", 1),
            )
        }
        if shutil.which("dnsmasq"):
            found["dnsmasq"] = _dnsmasq(vpc, instance.settings.data_dir, seconds)
    return found


def _asked(
    task: Path, vpc: Path, name: str, kind: int, seconds: float, *, pid: int, server: str = RESOLVER
) -> dict[str, float]:
    alone = _run(task, server, name, kind, 0, ALONE)
    before = cpu_s(pid)
    many = _run(vpc, server, name, kind, seconds, UNDER_WAY)
    return {
        "answers_per_s": many["answered"] / many["took_s"],
        "cpu_us_an_answer": (cpu_s(pid) - before) / many["answered"] * 1e6,
        "alone_us_p50": percentile(alone["waits"], 0.5),
        "alone_us_p95": percentile(alone["waits"], 0.95),
        "records": many["records"],
    }


def _run(pin: Path, server: str, name: str, kind: int, seconds: float, count: int) -> dict[str, Any]:
    words = (server, name, str(kind), str(seconds), str(count))
    done = subprocess.run(
        ["nsenter", f"--net={pin}", sys.executable, "-c", ASKER, *words, *sys.path],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _network(instance: Instance) -> Path:
    """The namespace of a task in the default VPC, which has the names."""
    sd, ecs = instance.client("servicediscovery"), instance.client("ecs")
    ecs.create_cluster(clusterName="default")
    register(instance, "idle", ["sleep", "100000"])
    arn = instance.run_task("idle")
    instance.wait_task(arn, "RUNNING")

    def done(answer: dict[str, Any]) -> dict[str, Any]:
        def over() -> Any:
            operation = sd.get_operation(OperationId=answer["OperationId"])["Operation"]
            return operation if operation["Status"] == "SUCCESS" else None

        return dict(wait_for(over, timeout_s=30, what="the operation"))

    namespace = done(sd.create_private_dns_namespace(Name="corp.local", Vpc=instance.vpc()))["Targets"]["NAMESPACE"]
    for name, kind, count in (("one", "A", 1), ("eight", "A", 8), ("srv", "SRV", 8)):
        config = {"DnsRecords": [{"Type": kind, "TTL": 10}]}
        service = sd.create_service(Name=name, NamespaceId=namespace, DnsConfig=config)["Service"]["Id"]
        for number in range(count):
            attributes = {"AWS_INSTANCE_IPV4": f"172.31.0.{100 + number}", "AWS_INSTANCE_PORT": "80"}
            done(sd.register_instance(ServiceId=service, InstanceId=f"i{number}", Attributes=attributes))
    (pin,) = (instance.settings.run_dir / "netns").glob(f"task-{arn.rpartition('/')[2]}-*")
    return pin


def _dnsmasq(vpc: Path, folder: Path, seconds: float) -> dict[str, float]:
    """dnsmasq in the VPC's namespace, on its loopback device: nothing between it and the asker."""
    hosts = folder / "bench-hosts"
    hosts.write_text("".join(f"172.31.0.{100 + number} eight.corp.local\n" for number in range(8)))
    server = subprocess.Popen(
        [
            *("nsenter", f"--net={vpc}", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"),
            *("--no-hosts", f"--addn-hosts={hosts}", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"),
            "--pid-file=",
        ]
    )
    try:
        return wait_for(
            lambda: _try(lambda: _asked(vpc, vpc, "eight.corp.local", 1, seconds, pid=server.pid, server="127.0.0.1")),
            timeout_s=60,
            what="dnsmasq answers",
        )
    finally:
        end(server)


def _try(work: Any) -> Any:
    try:
        return work()
    except subprocess.CalledProcessError:
        return None
