"""FARGATE and FARGATE_SPOT: which of them the next task of a strategy gets, and which tasks can be interrupted. Pure.

Source: API_CapacityProviderStrategyItem; ECS developer guide, "Amazon ECS clusters for Fargate".
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Final

from portside.domain.cluster import CapacityProviderShare
from portside.domain.pace import REAL
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task import machine
from portside.domain.task.record import StopCode, Task, TaskStatus

SPOT: Final = "FARGATE_SPOT"
INTERRUPTED: Final = "Your Spot Task was interrupted."
"""Source: AWS knowledge center, "How do I handle Spot termination notices in AWS Fargate Spot tasks?"."""


def chosen(strategy: Sequence[CapacityProviderShare], counts: Mapping[str, int]) -> str:
    """The provider of the next task: the base first, then whichever is furthest behind its weight.

    Args:
        strategy: with a base that is not reached, or a weight above 0.
        counts: tasks that there are, by provider.
    """
    for share in strategy:
        if counts.get(share.capacity_provider, 0) < share.base:
            return share.capacity_provider

    def turn(share: CapacityProviderShare) -> Fraction:
        beyond_base = max(0, counts.get(share.capacity_provider, 0) - share.base)
        return Fraction(beyond_base + 1, share.weight)

    return min((share for share in strategy if share.weight), key=turn).capacity_provider


def of_each(strategy: Sequence[CapacityProviderShare], count: int, there: Iterable[Task] = ()) -> list[str | None]:
    """The providers of so many new tasks; None for each where no strategy decides.

    Args:
        there: tasks that stand already and are to stay.
    """
    if not strategy:
        return [None] * count
    counts: dict[str, int] = {}
    for task in there:
        if task.capacity_provider is not None:
            counts[task.capacity_provider] = counts.get(task.capacity_provider, 0) + 1
    found: list[str | None] = []
    for _ in range(count):
        name = chosen(strategy, counts)
        counts[name] = counts.get(name, 0) + 1
        found.append(name)
    return found


def interrupted(task: Task, *, at: datetime, pace: float = REAL) -> Task:
    """The task with the notice that its capacity is taken back: SIGTERM now, and its end within two minutes, since no
    container of Fargate is given longer to stop.

    Args:
        pace: how many times as fast as real time these two minutes run.
    Raises:
        Refused: it is not on FARGATE_SPOT, or it ends already.
    """
    if task.capacity_provider != SPOT:
        where = task.capacity_provider or task.launch_type
        raise Refused(RefusalKind.INVALID, f"only tasks on {SPOT} are interrupted; {task.id} is on {where}", "task")
    if task.stop is not None or task.last_status is TaskStatus.STOPPED:
        raise Refused(RefusalKind.CONFLICT, f"{task.id} is stopped or about to be", "task")
    return machine.stop(replace(task, pace=pace), code=StopCode.SPOT_INTERRUPTION, reason=INTERRUPTED, at=at)
