"""Targets as they are deregistered: how long that takes at most."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from portside.control.targets import Targets
from portside.domain import arn
from portside.domain.load_balancer import HealthCheck, TargetGroup
from portside.domain.record import Scope
from portside.domain.table import TARGET, TARGET_GROUP
from portside.domain.task.record import TargetRef
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
GROUP = arn.target_group(SCOPE, "web", "0123456789abcdef")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REF = TargetRef(target_group_arn=GROUP, container_name="web", container_port=80)


class Clock:
    """Time goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    async def sleep_until(self, at: datetime) -> None:
        self.at = at


@pytest.mark.parametrize(("setting", "of_service", "seconds"), [(1.0, None, 300), (10.0, None, 30), (10.0, 100.0, 3)])
def test_the_pace_shortens_the_deregistration_delay(setting: float, of_service: float | None, seconds: int) -> None:
    """A target with requests open is waited for until its delay is over, at the service's pace or the instance's; the
    record remembers the pace."""
    store, clock = MemoryStore(), Clock()
    group = TargetGroup(
        scope=SCOPE,
        name="web",
        arn=GROUP,
        target_type="ip",
        protocol="HTTP",
        port=80,
        vpc_id="vpc-1",
        health_check=HealthCheck(),
        created_at=NOW,
    )
    store.transact(Put(TARGET_GROUP, group))
    targets = Targets(store, clock, pace=setting)
    targets.register(SCOPE, (REF,), "10.0.0.4", "us-east-1a", NOW)
    asyncio.run(targets.drain(SCOPE, (REF,), "10.0.0.4", pace=of_service))
    assert clock.at == NOW + timedelta(seconds=seconds)
    (target,) = store.scan(TARGET)
    assert target.pace == (of_service or setting)
