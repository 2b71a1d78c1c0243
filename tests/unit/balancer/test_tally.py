"""Counts of requests, over the listeners that Envoy counted them for."""

from portside.balancer.hit import Ended
from portside.balancer.tally import Tally


def hits(**counts: int) -> list[Ended]:
    return [Ended(kind="hits", place="web", what=(name,), count=count) for name, count in counts.items()]


def told(ended: list[Ended]) -> dict[str, int]:
    return {each.what[0]: each.count for each in ended}


def test_what_envoy_forgets_is_kept() -> None:
    """A counter that is gone, or that began anew, goes on from where it was."""
    tally = Tally()
    assert told(tally.add(hits(a=3, b=1))) == {"a": 3, "b": 1}
    assert told(tally.add(hits(a=4))) == {"a": 4, "b": 1}
    assert told(tally.add(hits(a=2, b=5))) == {"a": 6, "b": 6}
    assert told(tally.add(hits(a=2, b=5))) == {"a": 6, "b": 6}
    assert told(tally.add([])) == {"a": 6, "b": 6}


def test_counters_of_another_kind_are_others() -> None:
    """The same name under another kind or place is counted by itself."""
    tally = Tally()
    other = Ended(kind="other", place="web", what=("a",), count=7)
    tally.add([*hits(a=3), other])
    assert sorted(each.count for each in tally.add([other])) == [3, 7]


def test_another_envoy_begins_anew() -> None:
    """What one has counted is not added to another's."""
    tally = Tally()
    tally.add(hits(a=3))
    tally.begin_anew()
    assert told(tally.add(hits(a=1))) == {"a": 1}
