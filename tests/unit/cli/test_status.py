"""What `portside status` prints."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from portside.cli.status import STOPPED_SHOWN, render

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def task(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}"[::-1],
        "group": "service:web",
        "taskDefinition": "web:1",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "address": "172.31.255.250",
        "ports": [80],
        "zone": "us-east-1a",
        "createdAt": "2026-01-02T11:00:00+00:00",
        "startedAt": "2026-01-02T11:58:30+00:00",
        "stoppedAt": None,
        "stoppedReason": None,
        "containers": [],
        **changes,
    }


def shown(answer: dict[str, Any]) -> str:
    empty: dict[str, Any] = {"clusters": [], "services": [], "tasks": [], "loadBalancers": []}
    console = Console(width=80, record=True, force_terminal=False, highlight=False)
    with console.capture() as captured:
        for part in render(empty | answer, NOW):
            console.print(part, soft_wrap=isinstance(part, Text))
    return captured.get()


def test_nothing() -> None:
    """An empty Portside says that there is nothing, without empty tables."""
    assert shown({}) == "Clusters: none yet\n"


def test_instances() -> None:
    """Each instance stands with its state, its cluster and what is left of it, in 80 columns."""
    one = {"id": "i-0123456789abcdef0", "type": "m5.24xlarge", "state": "running", "address": "172.31.255.250"}
    one |= {"zone": "us-east-1a", "cluster": "production", "status": "DRAINING", "tasks": 12}
    text = shown({"instances": [{**one, "remainingCpu": 98304, "remainingMemory": 393216}]})
    assert "i-0123456789abcdef0" in text
    assert "draining" in text
    assert "98304, 393216" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_problems_come_first() -> None:
    """What a person should know stands above everything else, whole."""
    assert shown({"problems": ["Envoy does not run"]}).startswith("Envoy does not run\nClusters: ")


def test_fits_in_80_columns() -> None:
    """With usual names no line is longer than 80 columns, and no address is broken over two lines."""
    service = {
        "cluster": "production",
        "name": "frontend-web",
        "taskDefinition": "frontend-web:12",
        "status": "ACTIVE",
        "rolloutState": "IN_PROGRESS",
        "desired": 2,
        "running": 1,
        "pending": 1,
        "lastEvent": "(service frontend-web) has started 1 tasks: (task 1).",
    }
    text = shown({"services": [service], "tasks": [task(1), task(2, lastStatus="PROVISIONING")]})
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "1/2 (+1 starting)" in text
    assert text.count("172.31.255.250") == 2
    assert "has started 1 tasks" in text
    assert "1m" in text
    assert f"portside forward {task(1)['id'][:8]}:80" in text


def test_stopped_task_says_why() -> None:
    """A stopped task is shown with its reason and exit codes, and beyond a handful they are counted."""
    gone = [
        task(
            number,
            lastStatus="STOPPED",
            desiredStatus="STOPPED",
            stoppedAt=f"2026-01-02T11:59:{number:02}+00:00",
            stoppedReason="Essential container in task exited",
            containers=[{"name": "app", "exitCode": 137, "reason": "OutOfMemoryError"}],
        )
        for number in range(STOPPED_SHOWN + 3)
    ]
    text = " ".join(shown({"tasks": gone}).split())
    assert "Essential container in task exited (app exited with 137, OutOfMemoryError)" in text
    assert "and 3 more stopped tasks" in text
    assert text.count("Essential container") == STOPPED_SHOWN


def test_a_reason_is_said_once() -> None:
    """A container that failed to start has its task's own reason, which is not repeated."""
    reason = "CannotPullContainerError: no such image"
    failed = task(
        1,
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        stoppedAt="2026-01-02T11:59:00+00:00",
        stoppedReason=reason,
        containers=[{"name": "app", "exitCode": None, "reason": reason}],
    )
    assert " ".join(shown({"tasks": [failed]}).split()).count(reason) == 1


def test_load_balancer_url_is_whole() -> None:
    """A load balancer's URL stands on a line of its own, to be copied, however long it is."""
    url = f"http://{'a' * 32}-1234567890.eu-central-1.elb.localhost:8080/and/a/path/that/goes/on"
    balancer = {
        "name": "demo",
        "state": "active",
        "scheme": "internet-facing",
        "urls": [url],
        "targets": {"healthy": 3, "unknown": 1},
    }
    text = shown({"loadBalancers": [balancer]})
    assert f"  {url}" in text.splitlines()
    assert "3 healthy, 1 unknown" in text
