"""Requests per second and p99 through Portside's load balancer, through Envoy configured by hand, and direct.

All three reach the same two nginx tasks: directly from the load balancer's own leg in the VPC, through Envoy by hand
and through the load balancer from the host, as a user would.
"""

import contextlib
import json
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import envoy
from bench.measure import run
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import end, free_port, wait_for

WEB_IMAGE = "localhost/portside-demo-web:1"


def bench(quick: bool) -> dict[str, Any]:
    seconds, rounds = (2, 1) if quick else (4, 5)
    figures: dict[str, list[Answered]] = {"direct": [], "envoy_by_hand": [], "portside": []}
    with portside_instance() as instance:
        balancer = _application(instance)
        netns = balancer_netns(instance)
        addresses = _target_addresses(instance, balancer["group"])
        with envoy_by_hand(netns, addresses) as by_hand:
            for _ in range(rounds):
                figures["direct"].append(wrk(f"http://{addresses[0]}:80/", seconds, netns))
                figures["envoy_by_hand"].append(wrk(by_hand, seconds, None))
                figures["portside"].append(wrk(balancer["url"], seconds, None))
    result: dict[str, Any] = {
        name: {
            "per_s": statistics.median(each.per_s for each in samples),
            "per_s_min": min(each.per_s for each in samples),
            "per_s_max": max(each.per_s for each in samples),
            "p99_ms": statistics.median(each.p99_ms for each in samples),
        }
        for name, samples in figures.items()
    }
    result["portside_to_envoy_by_hand"] = result["portside"]["per_s"] / result["envoy_by_hand"]["per_s"]
    result["portside_to_direct"] = result["portside"]["per_s"] / result["direct"]["per_s"]
    return result


def _application(instance: Instance) -> dict[str, str]:
    from portside.cli.demo_image import ensure_web_image

    ensure_web_image()
    ecs, ec2, elb = instance.client("ecs"), instance.client("ec2"), instance.client("elbv2")
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    groups = [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]]
    lb = elb.create_load_balancer(Name="bench", Subnets=subnets, SecurityGroups=groups)["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="web",
        Protocol="HTTP",
        Port=80,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    port = free_port()
    elb.create_listener(
        LoadBalancerArn=lb["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    ecs.create_cluster(clusterName="bench")
    ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="4096",
        memory="8192",
        containerDefinitions=[{"name": "web", "image": WEB_IMAGE, "portMappings": [{"containerPort": 80}]}],
    )
    ecs.create_service(
        cluster="bench",
        serviceName="web",
        taskDefinition="web",
        desiredCount=2,
        launchType="FARGATE",
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 80}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups}},
    )

    def healthy() -> bool:
        states = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [s["TargetHealth"]["State"] for s in states] == ["healthy", "healthy"]

    wait_for(healthy, timeout_s=60, pause_s=0.2, what="two healthy targets")
    status = json.loads(_get(f"{instance.url}/_portside/status"))
    address = status["loadBalancers"][0]["hostAddresses"][0]
    return {"url": f"http://{address}:{port}/", "group": group}


def _get(url: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def balancer_netns(instance: Instance) -> Path:
    """The pinned namespace of the load balancer's legs: a client inside the VPC whose group the tasks admit."""
    (path,) = [p for p in (instance.settings.run_dir / "netns").iterdir() if p.name.startswith("lb-")]
    return path


def leg_address(netns: Path) -> str:
    """Of the load balancer's first leg."""
    found = json.loads(run("nsenter", f"--net={netns}", "ip", "-4", "-j", "addr", "show", "dev", "eth0"))
    return str(found[0]["addr_info"][0]["local"])


def _target_addresses(instance: Instance, group: str) -> list[str]:
    states = instance.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return [state["Target"]["Id"] for state in states]


@contextlib.contextmanager
def envoy_by_hand(netns: Path, addresses: list[str]) -> Iterator[str]:
    """The smallest static configuration that does the same: one listener on the host, two endpoints in the VPC."""
    port = free_port()
    leg = {"address": leg_address(netns), "port_value": 0, "network_namespace_filepath": str(netns)}
    targets = [(each, 80) for each in addresses]
    configuration = envoy.document(
        [envoy.listener("127.0.0.1", port, [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}])],
        [envoy.cluster("web", targets, upstream_bind_config={"source_address": leg})],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "envoy.json")
        path.write_text(configuration)
        process = subprocess.Popen(
            envoy.command(path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}/"
            wait_for(lambda: _ok(url), timeout_s=20, pause_s=0.05, what="Envoy by hand")
            yield url
        finally:
            end(process)


def _ok(url: str) -> bool:
    try:
        return bool(_get(url))
    except OSError:
        return False


class Answered(NamedTuple):
    requests: int
    per_s: float
    p99_ms: float


def wrk(url: str, seconds: int, netns: Path | None, *more: str) -> Answered:
    """Of 32 keep-alive connections; raises on any failed request. Args: more: further options."""
    enter = ["nsenter", f"--net={netns}"] if netns else []
    told = run(*enter, "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", *more, url, timeout_s=seconds + 30)
    count = re.search(r"(\d+) requests in", told)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", told)
    if "Non-2xx" in told or "Socket errors" in told or not (count and rate and p99):
        raise RuntimeError(f"{url}: {told}")
    return Answered(int(count[1]), float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]])
