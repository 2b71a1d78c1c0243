"""What the results of a container's health checks amount to. Pure; the node runs the checks.

Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
"""

from typing import Final

from portside.domain.record import Record
from portside.domain.task.record import HealthStatus, Task
from portside.domain.task_definition import HealthCheck


class Probes(Record, frozen=True, kw_only=True):
    """The results so far: `failures` in a row that count."""

    status: HealthStatus = HealthStatus.UNKNOWN
    failures: int = 0


def with_result(probes: Probes, check: HealthCheck, *, passed: bool, running_s: float) -> Probes:
    """The results with one more.

    One success is health. Failures count once the start period is over, or the container has been healthy, and never
    within the first interval: AWS does not look earlier, so what is seen sooner here may only be good news.

    Args:
        running_s: seconds from the container's start to the check's.
    """
    if passed:
        return Probes(status=HealthStatus.HEALTHY)
    starting = probes.status is HealthStatus.UNKNOWN and running_s < (check.start_period_s or 0)
    if starting or running_s < check.interval_s:
        return probes
    failures = probes.failures + 1
    status = HealthStatus.UNHEALTHY if failures >= check.retries else probes.status
    return Probes(status=status, failures=failures)


FIRST_S: Final = 0.25
"""The first check comes this soon, the next ones at doubled waits up to the interval: a container that is healthy early
is known to be so early."""


def next_check_s(probes: Probes, check: HealthCheck, *, checks: int, running_s: float) -> float:
    """Seconds until the next check. Until something is known there are early ones, which can only be good news; the
    first that counts comes when the interval is over.

    Args:
        checks: how many there were.
        running_s: seconds from the container's start to now.
    """
    left_s = check.interval_s - running_s
    if checks and (probes.status is not HealthStatus.UNKNOWN or left_s <= 0):
        return float(check.interval_s)
    early_s: float = FIRST_S * 2 ** max(0, checks - 1)
    return max(0.0, min(early_s, left_s))


def of_task(task: Task) -> HealthStatus:
    """That of its essential containers that have a check: UNHEALTHY if one is, HEALTHY if all are."""
    checked = {each.name for each in task.containers if each.essential and each.health_check is not None}
    found = [h.health for h in task.history if h.name in checked]
    if HealthStatus.UNHEALTHY in found:
        return HealthStatus.UNHEALTHY
    return HealthStatus.HEALTHY if found and set(found) == {HealthStatus.HEALTHY} else HealthStatus.UNKNOWN
