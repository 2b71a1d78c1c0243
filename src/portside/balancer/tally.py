"""Envoy's counters of how requests ended, over the listeners that had them.

With the last of a listener Envoy forgets the counters that nothing counted on meanwhile, and what is counted later
begins at nought. What had been counted is kept here."""

from collections import Counter
from collections.abc import Iterable

from portside.balancer.hit import Ended, Kind

_Key = tuple[Kind, str, tuple[str, ...]]


class Tally:
    """Numbers that only grow, as long as one Envoy runs."""

    def __init__(self) -> None:
        self._last: Counter[_Key] = Counter()
        self._forgotten: Counter[_Key] = Counter()

    def add(self, ended: Iterable[Ended]) -> list[Ended]:
        """All that was counted so far. Args: ended: what Envoy has now; looks come in the order in which they were
        made."""
        now: Counter[_Key] = Counter()
        for each in ended:
            now[each.kind, each.place, each.what] += each.count
        for key, count in self._last.items():
            if now[key] < count:
                self._forgotten[key] += count
        self._last = now
        return [
            Ended(kind=kind, place=place, what=what, count=count)
            for (kind, place, what), count in (now + self._forgotten).items()
        ]

    def begin_anew(self) -> None:
        self._last.clear()
        self._forgotten.clear()
