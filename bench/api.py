"""API calls per second with 8 keep-alive connections, against moto_server and ministack in the same run.

The peers come from PyPI (`pip install "moto[server]" ministack docker`) in an environment of their own, named by
PORTSIDE_BENCH_PEERS (its bin folder); without it only Portside is measured. ministack runs its tasks on a Docker daemon
of the benchmark's own where docker.io is installed (else it pretends to, which is quicker); moto runs none.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import dockerd
from bench.instance import ensure_image, register
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import end, free_port, wait_for

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=000000000000/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
)
TARGET = "AmazonEC2ContainerServiceV20141113."
TASKS = 20
DEFINITION = {
    "family": "bench",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {
            "name": "main",
            "image": dockerd.IMAGE,
            "command": ["sleep", "100000"],
            "memory": 256,
            "portMappings": [{"containerPort": 80}],
            "environment": [{"name": "A", "value": "b"}],
        }
    ],
}


def bench(quick: bool) -> dict[str, Any]:
    seconds, rounds = (2, 1) if quick else (4, 5)
    ensure_image()
    result: dict[str, Any] = {}
    samples: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as stack:
        instance = stack.enter_context(portside_instance())
        ecs = instance.client("ecs")
        ecs.create_cluster(clusterName="bench")
        register(instance, "idle", ["sleep", "100000"])
        where = instance.network()
        for _ in range(TASKS // 10):
            ecs.run_task(
                cluster="bench", taskDefinition="idle", count=10, launchType="FARGATE", networkConfiguration=where
            )
        wait_for(
            lambda: (
                len(ecs.list_tasks(cluster="bench")["taskArns"]) == TASKS
                and all(
                    task["lastStatus"] == "RUNNING"
                    for task in ecs.describe_tasks(cluster="bench", tasks=ecs.list_tasks(cluster="bench")["taskArns"])[
                        "tasks"
                    ]
                )
            ),
            timeout_s=60,
            what="twenty tasks",
        )
        servers = {"portside": instance.url}
        peers = [name for name in ("moto", "ministack") if _peer_command(name)]
        docker_host = "unix:///nonexistent"
        if "ministack" in peers:
            try:
                docker_host = stack.enter_context(dockerd.docker()).host
            except dockerd.DockerMissing as missing:
                result["docker"] = str(missing)
        servers |= {name: stack.enter_context(peer(name, docker_host)) for name in peers}
        bodies = {name: _requests(url, name) for name, url in servers.items()}
        for _ in range(rounds):
            for name, url in servers.items():
                for operation, body in bodies[name].items():
                    rate = wrk_post(url, operation, body, seconds)
                    samples.setdefault(operation, {}).setdefault(name, []).append(rate)
    for operation, rates in samples.items():
        medians = {name: statistics.median(values) for name, values in rates.items()}
        result[operation] = {
            "per_s": medians,
            "spread": {name: [min(values), max(values)] for name, values in rates.items()},
            "ratio_to": {name: medians["portside"] / value for name, value in medians.items() if name != "portside"},
        }
    return result


def _peer_command(name: str) -> str | None:
    folder = os.environ.get("PORTSIDE_BENCH_PEERS")
    program = Path(folder or "/nonexistent", {"moto": "moto_server", "ministack": "ministack"}[name])
    return str(program) if program.exists() else None


@contextlib.contextmanager
def peer(name: str, docker_host: str) -> Iterator[str]:
    """A peer's server."""
    port, program = free_port(), _peer_command(name)
    assert program is not None
    command = [program, "-p", str(port)] if name == "moto" else [program]
    environment = os.environ | {"GATEWAY_PORT": str(port), "DOCKER_HOST": docker_host}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: _call(url, "ListClusters", {}, quiet=True) is not None, timeout_s=60, what=name)
            yield url
        finally:
            end(process)


def _call(url: str, operation: str, body: dict[str, Any], *, quiet: bool = False) -> dict[str, Any] | None:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": TARGET + operation,
        "Authorization": AUTHORIZATION,
    }
    request = urllib.request.Request(url + "/", data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.loads(answer.read()))
    except OSError:
        if quiet:
            return None
        raise


def _requests(url: str, name: str) -> dict[str, dict[str, Any]]:
    if name != "portside":
        _call(url, "CreateCluster", {"clusterName": "bench"})
        _call(url, "RegisterTaskDefinition", DEFINITION)
        where = _network(url)
        for _ in range(TASKS // 10):
            _call(
                url,
                "RunTask",
                {
                    "cluster": "bench",
                    "taskDefinition": "bench",
                    "count": 10,
                    "launchType": "FARGATE",
                    "networkConfiguration": {"awsvpcConfiguration": where},
                },
            )
        if name == "ministack":  # moto's states only advance with each look
            wait_for(lambda: _running(url) == TASKS, timeout_s=120, pause_s=1, what=f"the tasks of {name}")
    arns = (_call(url, "ListTasks", {"cluster": "bench"}) or {})["taskArns"]
    if len(arns) != TASKS:
        raise RuntimeError(f"{name} lists {len(arns)} tasks, {TASKS} expected")
    return {
        "DescribeTasks": {"cluster": "bench", "tasks": arns},
        "ListTasks": {"cluster": "bench"},
        "RegisterTaskDefinition": DEFINITION,
    }


def _running(url: str) -> int:
    """Tasks that the peer calls running."""
    arns = (_call(url, "ListTasks", {"cluster": "bench"}) or {})["taskArns"]
    tasks = (_call(url, "DescribeTasks", {"cluster": "bench", "tasks": arns}) or {}).get("tasks", []) if arns else []
    return sum(task["lastStatus"] == "RUNNING" for task in tasks)


def _network(url: str) -> dict[str, list[str]]:
    import boto3

    client = boto3.client(
        "ec2",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
    )
    return {
        "subnets": [client.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroups": [client.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }


def wrk_post(url: str, operation: str, body: dict[str, Any], seconds: int) -> float:
    """Requests per second of one operation; raises if any answer was not 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            'wrk.method = "POST"\n'
            f"wrk.body = [=[{json.dumps(body)}]=]\n"
            'wrk.headers["Content-Type"] = "application/x-amz-json-1.1"\n'
            f'wrk.headers["X-Amz-Target"] = "{TARGET}{operation}"\n'
            f'wrk.headers["Authorization"] = "{AUTHORIZATION}"\n'
        )
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", script.name, url + "/"],
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=True,
        )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{url} {operation}: {done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))
