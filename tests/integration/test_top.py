"""What real tasks use: the usage extension, Prometheus's endpoint and `portside top`."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from portside import credential
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import http_get, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    """With the service `shop` of one task: a burner of a quarter of a processor, and one that holds a file in
    memory and writes a line."""
    ensure_busybox_image(IMAGE)
    log = {"awslogs-group": "/top", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "t"}
    with instance() as running:
        running.client("ecs").create_cluster()
        running.client("logs").create_log_group(logGroupName="/top")
        running.register(
            "web",
            {"name": "burner", "command": ["sh", "-c", "while :; do :; done"]},
            {
                "name": "talker",
                "command": ["sh", "-c", "n=0; while :; do echo said $n; n=$((n + 1)); sleep 0.2; done"],
                "logConfiguration": {"logDriver": "awslogs", "options": log},
            },
        )
        running.client("ecs").create_service(
            serviceName="shop",
            taskDefinition="web",
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=running.network(),
        )
        wait_for(lambda: running_tasks(running), timeout_s=60, what="the task of the service")
        yield running


def usage(portside: Instance) -> dict[str, Any]:
    return dict(json.loads(http_get(f"{portside.url}/_portside/usage")))


def running_tasks(portside: Instance) -> list[dict[str, Any]]:
    return [each for each in usage(portside)["tasks"] if each["lastStatus"] == "RUNNING"]


def test_usage_of_real_tasks(portside: Instance) -> None:
    """A burner uses about its quarter of a processor and a sleeper next to none; both hold memory, share the task's
    interface, and the service has what it is to have."""

    def both() -> dict[str, Any] | None:
        (task,) = running_tasks(portside)
        found = {each["name"]: each["usage"] for each in task["containers"]}
        known = all(each is not None and each["cpuUnits"] is not None for each in found.values())
        return found if known and found["burner"]["cpuUnits"] > 200 else None

    found = wait_for(both, timeout_s=60, what="rates of both containers")
    assert found is not None
    assert found["burner"]["cpuUnits"] < 300
    assert found["talker"]["cpuUnits"] < 100
    assert found["talker"]["memory"] > 0
    assert found["burner"]["networkReceived"] is not None
    (service,) = usage(portside)["services"]
    assert (service["name"], service["desired"], service["running"]) == ("shop", 1, 1)


def test_prometheus_scrapes_it(portside: Instance) -> None:
    """As text, with the CPU time of the burner growing from one scrape to the next, and calls of the API counted."""

    def burnt() -> float:
        lines = http_get(f"{portside.url}/_portside/metrics").decode().splitlines()
        (found,) = [
            each
            for each in lines
            if each.startswith("portside_container_cpu_seconds_total{") and 'container="burner"' in each
        ]
        assert any('operation="CreateService"} 1' in each for each in lines)
        return float(found.rpartition(" ")[2])

    before = burnt()
    wait_for(lambda: burnt() > before, timeout_s=30, what="more CPU time")


def test_a_token_for_scrapes_alone() -> None:
    """Where signatures are checked, the token of the data folder reads the metrics and nothing else, by GET only."""
    with instance(PORTSIDE_AUTH="1") as portside:
        path = portside.settings.data_dir / credential.SCRAPE_FILE
        assert oct(path.stat().st_mode)[-3:] == "600"
        token = path.read_text()

        def status(path: str, given: str | None, method: str = "GET") -> int:
            headers = {} if given is None else {"Authorization": given}
            request = urllib.request.Request(portside.url + path, headers=headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code

        metrics = "/_portside/metrics"
        assert status(metrics, f"Bearer {token}") == 200
        for given in (None, "Bearer ", "Bearer x", f"Basic {token}", token):
            assert status(metrics, given) == 403
        assert status(metrics, f"Bearer {token}", "POST") == 403
        for other in ("/_portside/usage", "/_portside/status"):
            assert status(other, f"Bearer {token}") == 403
        portside.stop()
        portside.start()
        assert path.read_text() == token, os.listdir(portside.settings.data_dir)
