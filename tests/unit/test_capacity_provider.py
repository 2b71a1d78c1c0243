"""Which provider the next task gets, and who can be interrupted."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.api.portside import interruption
from portside.domain.capacity_provider import INTERRUPTED, chosen
from portside.domain.cluster import CapacityProviderShare
from portside.domain.record import Scope
from portside.domain.table import TASK
from portside.domain.task.record import StopCode, Task, TaskStatus
from portside.store.interface import Put
from portside.store.memory import MemoryStore

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

shares = st.integers(1, 6).flatmap(
    lambda number: st.tuples(
        st.lists(st.integers(0, 1000), min_size=number, max_size=number).filter(any),
        st.integers(0, number - 1),
        st.integers(0, 20),
    )
)


def strategy(weights: list[int], of_base: int, base: int) -> list[CapacityProviderShare]:
    return [
        CapacityProviderShare(capacity_provider=f"p{n}", weight=weight, base=base if n == of_base else 0)
        for n, weight in enumerate(weights)
    ]


@given(shares, st.integers(0, 120))
def test_the_base_then_the_weights(given_shares: tuple[list[int], int, int], count: int) -> None:
    """The base comes first and whole; beyond it no two providers are further from the ratio of their weights than one
    task, and one without weight gets none."""
    weights, of_base, base = given_shares
    asked = strategy(*given_shares)
    counts: Counter[str] = Counter()
    for _ in range(count):
        counts[chosen(asked, counts)] += 1
    assert counts[f"p{of_base}"] >= min(base, count)
    beyond = [counts[f"p{n}"] - (min(base, count) if n == of_base else 0) for n in range(len(weights))]
    assert sum(beyond) == max(0, count - base)
    for mine, weight in zip(beyond, weights, strict=True):
        assert weight or not mine
        for others, their_weight in zip(beyond, weights, strict=True):
            # Its last task came when it was no further than the other would have been with one more.
            assert not their_weight or mine * their_weight <= (others + 1) * weight


@given(shares, st.data())
def test_it_evens_out_what_was_lost(given_shares: tuple[list[int], int, int], data: st.DataObject) -> None:
    """Whatever is there, the base is filled up first, and then only providers with a weight get more."""
    asked = strategy(*given_shares)
    counts = {each.capacity_provider: data.draw(st.integers(0, 50)) for each in asked}
    found = chosen(asked, counts)
    share = next(each for each in asked if each.capacity_provider == found)
    lacking = [each for each in asked if counts[each.capacity_provider] < each.base]
    assert lacking == [share] if lacking else share.weight > 0


def test_one_to_four() -> None:
    """AWS's example: for every task on A four are on B."""
    asked = strategy([1, 4], 0, 0)
    counts: Counter[str] = Counter()
    for rounds in range(1, 20):
        for _ in range(5):
            counts[chosen(asked, counts)] += 1
        assert counts == {"p0": rounds, "p1": 4 * rounds}


def task(number: int, provider: str | None, **changes: object) -> Task:
    values: dict[str, object] = {
        "scope": Scope(account="000000000000", region="us-east-1"),
        "cluster": "default",
        "id": f"{number:032x}",
        "task_definition_arn": "",
        "family": "web",
        "revision": 1,
        "group": "family:web",
        "launch_type": "FARGATE",
        "containers": (),
        "created_at": NOW,
        "cause_id": "test",
        "capacity_provider": provider,
        "last_status": TaskStatus.RUNNING,
    }
    return Task(**(values | changes))  # type: ignore[arg-type]


class Still:
    def now(self) -> datetime:
        return NOW

    async def sleep_until(self, at: datetime) -> None:
        raise AssertionError("nobody waits here")


def test_interruption() -> None:
    """A task on FARGATE_SPOT gets AWS's stop code and reason, once."""
    store = MemoryStore()
    spot = task(1, "FARGATE_SPOT")
    store.transact(Put(TASK, spot))
    status, document = interruption.answer(store, Still(), "POST", spot.id)
    assert (status, document["id"]) == (200, spot.id)
    found = store.get(TASK, spot.key)
    assert found is not None
    assert found.stop is not None
    assert (found.stop.code, found.stop.reason) == (StopCode.SPOT_INTERRUPTION, INTERRUPTED)
    assert (found.last_status, found.desired_status) == (TaskStatus.RUNNING, TaskStatus.STOPPED)
    assert found.version == spot.version + 1
    assert interruption.answer(store, Still(), "POST", spot.id)[0] == 409
    assert store.get(TASK, spot.key) == found


@pytest.mark.parametrize(
    ("method", "provider", "named", "status"),
    [
        ("GET", "FARGATE_SPOT", f"{1:032x}", 405),
        ("POST", "FARGATE", f"{1:032x}", 400),
        ("POST", None, f"{1:032x}", 400),
        ("POST", "FARGATE_SPOT", "f00", 404),
    ],
)
def test_interruption_refused(method: str, provider: str | None, named: str, status: int) -> None:
    """Only tasks on FARGATE_SPOT can be interrupted, and only by POST; others stay as they are."""
    store = MemoryStore()
    there = task(1, provider)
    store.transact(Put(TASK, there))
    assert interruption.answer(store, Still(), method, named)[0] == status
    assert store.get(TASK, there.key) == there
