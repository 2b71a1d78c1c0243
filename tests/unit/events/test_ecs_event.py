"""Which service actions a service's messages and its count are told as."""

from datetime import UTC, datetime, timedelta

import pytest

from portside.domain.ecs_event import happenings
from portside.domain.record import Scope, replace
from portside.domain.service import event
from portside.domain.service.record import Service

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = Service(
    scope=Scope(account="000000000000", region="us-east-1"),
    cluster="default",
    name="web",
    desired_count=1,
    created_at=NOW,
    created_by="test",
)
COUNTS = {"us-east-1a": 2, "us-east-1b": 0}


def told(old: Service, new: Service) -> list[tuple[str, str]]:
    found = happenings(old, new, since=NOW - timedelta(hours=1), now=NOW)
    return [(each.detail["eventType"], each.detail["eventName"]) for each in found]


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (event.steady("web"), ("INFO", "SERVICE_STEADY_STATE")),
        (event.impaired("web"), ("WARN", "SERVICE_TASK_START_IMPAIRED")),
        (event.unmet("web", "a" * 32, "RESOURCE:CPU"), ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE")),
        (event.unlaunched("web", "ClientException: no"), ("ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE")),
        (event.stopped("web", ["a"])[0], ("INFO", "TASKS_STOPPED")),
        (event.moved_from("web", "us-east-1a", ["a"])[0], ("INFO", "TASKS_STOPPED")),
        (event.moved_to("web", "us-east-1b", ["a"])[0], ("INFO", "TASKS_STARTED")),
        (event.unbalanced("web", COUNTS), ("INFO", "SERVICE_REBALANCING_STARTED")),
        (event.balanced("web", COUNTS), ("INFO", "SERVICE_REBALANCING_COMPLETED")),
        (event.unmoved("web", "us-east-1b"), ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE")),
    ],
)
def test_messages(message: str, action: tuple[str, str]) -> None:
    """Each is told once, under AWS's name for it."""
    assert told(SERVICE, event.with_events(SERVICE, [message], ["1"], now=NOW)) == [action]


@pytest.mark.parametrize("message", [event.started("web", ["a"])[0], event.completed("web", "ecs-svc/1")])
def test_messages_that_are_no_actions(message: str) -> None:
    """What other events tell of, or nobody."""
    assert told(SERVICE, event.with_events(SERVICE, [message], ["1"], now=NOW)) == []


def test_the_count() -> None:
    """A count that the scheduler works out is told of, one that a user has asked for is not."""
    assert told(SERVICE, replace(SERVICE, desired_count=2)) == []
    daemon = replace(SERVICE, scheduling_strategy="DAEMON")
    assert told(daemon, replace(daemon, desired_count=2)) == [("INFO", "SERVICE_DESIRED_COUNT_UPDATED")]
