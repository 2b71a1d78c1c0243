"""The container instances of a cluster with what is left of each, kept while tasks come and go. Pure.

A question that is asked again, the next task of a service, costs what has changed since and not what there is: for each
kind of question its candidates stay in order, and only instances on which something happened are ranked anew.

Source: ECS developer guide, "Task placement strategies".
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from portside.domain import cluster_query
from portside.domain.container_instance import ContainerInstance
from portside.domain.placement import (
    ATTRIBUTE,
    DEFAULT,
    DISTINCT,
    MEMBER_OF,
    NONE,
    Constraints,
    Demand,
    Placed,
    Room,
    Strategy,
    Wanted,
    demand,
    lacking,
    placed,
    room,
)
from portside.domain.record import replace
from portside.domain.task.record import NetworkRequest, Task, TaskStatus
from portside.domain.vpc import Subnet

KEPT: Final = 32
"""Questions whose candidates are kept; the one that was not asked for the longest goes."""
_SPAN: Final = 1 << 20

Failures = tuple[tuple[ContainerInstance, str], ...]
Rank = tuple[int, ...]


class _Home:
    """An instance, with all tasks known on it, and what is left."""

    __slots__ = ("groups", "instance", "known", "left", "live", "order")

    def __init__(self, instance: ContainerInstance, order: int) -> None:
        self.instance, self.order = instance, order
        self.known: dict[str, Task] = {}
        self.live: list[Task] = []
        self.groups: Counter[str] = Counter()
        self.left: Room = room(instance, ())

    def changed(self) -> None:
        self.live = [task for task in self.known.values() if task.last_status < TaskStatus.STOPPED]
        self.groups = Counter(task.group for task in self.live)
        self.left = room(self.instance, self.live)


class _Question(NamedTuple):
    """What decides where a task goes but for its group: many services ask the same."""

    asked: Demand
    expressions: tuple[str, ...]
    subnet_ids: tuple[str, ...] | None
    zone: str
    strategies: tuple[Strategy, ...]


class _Candidate(NamedTuple):
    """`own`: its rank by the strategies that look at the instance alone, with none of the group's tasks on it. Of an
    instance the entry of the newest `turn` is the true one."""

    own: Rank
    order: int
    turn: int
    home_id: str
    places: tuple[str | None, ...]  # what is spread over


class _Answers:
    """The candidates for a question, in order within each combination of the attributes that are spread over: those of
    one combination differ by what is on themselves only."""

    def __init__(self, question: _Question) -> None:
        self.strategies = question.strategies
        self.attributes = tuple(
            each.field.removeprefix("attribute:") for each in question.strategies if _is_spread_over_attribute(each)
        )
        self.heaps: dict[tuple[str | None, ...], list[_Candidate]] = {}
        self.candidates: dict[str, _Candidate] = {}
        self.reasons: dict[str, str] = {}  # why an instance is none
        self.dirty: set[str] = set()
        self.turn = 0
        self.at = 0  # random keys go up from here, so that all instances have their turn
        self.entries = 0

    def rank_anew(self, home_id: str, home: _Home | None, reason: str | None, luck: int) -> None:
        self.candidates.pop(home_id, None)
        self.reasons.pop(home_id, None)
        if home is None:
            return
        if reason is not None:
            self.reasons[home_id] = reason
            return
        self.turn += 1
        places = tuple(_value(home.instance, each) for each in self.attributes)
        own = self._own_rank(home, _mixed(luck, self.turn))
        found = self.candidates[home_id] = _Candidate(own, home.order, self.turn, home_id, places)
        heapq.heappush(self.heaps.setdefault(places, []), found)
        self.entries += 1
        if self.entries > 64 + 4 * len(self.candidates):
            self._forget_stale()

    def best(self, peers: Mapping[str, int], places_of: Callable[[str], tuple[str | None, ...]], distinct: bool) -> str:
        """The id of the instance that comes first; "" if there is none.

        Args:
            peers: instances with tasks of the group on them, and how many.
            distinct: not one of these.
        """
        counts: list[Counter[str | None]] = [Counter() for _ in self.attributes]
        for home_id, count in peers.items():
            for counter, value in zip(counts, places_of(home_id), strict=True):
                counter[value] += count
        firsts = [first for heap in self.heaps.values() if (first := self._first(heap, peers)) is not None]
        if not distinct:
            firsts += [self.candidates[each] for each in peers if each in self.candidates]
        if not firsts:
            return ""
        chosen = min(firsts, key=lambda each: (self._rank(each, counts, peers.get(each.home_id, 0)), each.order))
        if self.strategies[0].type == "random":
            self.at = chosen.own[0]
        return chosen.home_id

    def _first(self, heap: list[_Candidate], peers: Mapping[str, int]) -> _Candidate | None:
        """The first of a heap that has none of the group's tasks."""
        passed: list[_Candidate] = []
        found: _Candidate | None = None
        while heap:
            if self.candidates.get(heap[0].home_id) is not heap[0]:
                heapq.heappop(heap)
                self.entries -= 1
            elif heap[0].home_id in peers:
                passed.append(heapq.heappop(heap))
            else:
                found = heap[0]
                break
        for each in passed:
            heapq.heappush(heap, each)
        return found

    def _own_rank(self, home: _Home, chance: int) -> Rank:
        """The lower, the better; by chance in the end."""
        found: list[int] = []
        for each in self.strategies:
            match each.type:
                case "random":
                    found.append(self.at + chance)
                case "binpack":
                    found.append(home.left.cpu_units if each.field == "cpu" else home.left.memory_mib)
                case _ if not _is_spread_over_attribute(each):
                    found.append(0)
        return (*found, chance)

    def _rank(self, candidate: _Candidate, counts: Sequence[Counter[str | None]], peers: int) -> Rank:
        """In the order of the strategies, with what of the group is there and around."""
        own = iter(candidate.own)
        spread = iter(counter[value] for counter, value in zip(counts, candidate.places, strict=True))
        found: list[int] = []
        for each in self.strategies:
            if _is_spread_over_attribute(each):
                found.append(next(spread))
            else:
                found.append(next(own) + (peers if each.type == "spread" else 0))
        return (*found, candidate.own[-1])

    def _forget_stale(self) -> None:
        for places, heap in list(self.heaps.items()):
            kept = [entry for entry in heap if self.candidates.get(entry.home_id) is entry]
            heapq.heapify(kept)
            if kept:
                self.heaps[places] = kept
            else:
                del self.heaps[places]
        self.entries = sum(len(heap) for heap in self.heaps.values())


class Capacity:
    """
    Args:
        instances: those that may be chosen.
        tasks: container instance id -> all tasks that are known on it, also stopped ones.
        subnet: that of an id; those that requests may name.
    """

    def __init__(
        self,
        instances: Iterable[ContainerInstance] = (),
        tasks: Mapping[str, Iterable[Task]] | None = None,
        subnet: Callable[[str], Subnet | None] = lambda _: None,
    ) -> None:
        self._homes: dict[str, _Home] = {}
        self._answers: dict[_Question, _Answers] = {}
        self._with_group: dict[str, set[str]] = {}  # group -> instances with tasks of it
        self._subnet = subnet
        self._order = 0
        for each in instances:
            self.put(each, (tasks or {}).get(each.id, ()))

    # --- what happens ---

    def put(self, instance: ContainerInstance, tasks: Iterable[Task] = ()) -> None:
        """An instance that may be chosen from now on, with what is on it; or one that has changed."""
        home = self._homes.get(instance.id)
        if home is None:
            self._order += 1
            home = self._homes[instance.id] = _Home(instance, self._order)
            home.known = {task.id: task for task in tasks}
        home.instance = instance
        self._changed(home)

    def discard(self, instance_id: str) -> None:
        """It may not be chosen any more."""
        home = self._homes.pop(instance_id, None)
        if home is not None:
            home.known.clear()
            self._changed(home)

    def add(self, task: Task) -> None:
        """A task that is on its instance, or has changed there."""
        home = self._homes.get(task.placement.container_instance) if task.placement is not None else None
        if home is None:
            return
        before = home.known.get(task.id)
        home.known[task.id] = task
        if before is None or _weight(before) != _weight(task):
            self._changed(home)

    def remove(self, task: Task) -> None:
        """A task that is not remembered any more."""
        home = self._homes.get(task.placement.container_instance) if task.placement is not None else None
        if home is not None and home.known.pop(task.id, None) is not None:
            self._changed(home)

    def _changed(self, home: _Home) -> None:
        home_id, before = home.instance.id, set(home.groups)
        home.changed()
        for group in before - set(home.groups):
            self._with_group[group].discard(home_id)
            if not self._with_group[group]:
                del self._with_group[group]
        for group in set(home.groups) - before:
            self._with_group.setdefault(group, set()).add(home_id)
        for each in self._answers.values():
            each.dirty.add(home_id)

    # --- what is asked ---

    def zones(self) -> set[str]:
        return {home.instance.zone for home in self._homes.values()}

    def __len__(self) -> int:
        return len(self._homes)

    def place(
        self,
        wanted: Wanted,
        request: NetworkRequest | None,
        *,
        strategies: Sequence[Strategy] = (),
        constraints: Constraints = NONE,
        zone: str = "",
        luck: int = 0,
    ) -> Placed | Failures:
        """Where the task goes, or for each instance why it does not go there.

        Args:
            zone: only there.
            luck: a random number, for what nothing else decides; 0: the instance that came first.
        """
        question = _Question(
            asked=demand(wanted),
            expressions=(*wanted.expressions, *constraints.expressions),
            subnet_ids=None if request is None else request.subnet_ids,
            zone=zone,
            strategies=tuple(strategies) or DEFAULT,
        )
        answers = self._answers.pop(question, None)
        if answers is None:
            answers = _Answers(question)
            answers.dirty.update(self._homes)
        self._answers[question] = answers  # the newest is the last
        if len(self._answers) > KEPT:
            del self._answers[next(iter(self._answers))]
        for home_id in sorted(answers.dirty):
            home = self._homes.get(home_id)
            answers.rank_anew(home_id, home, None if home is None else self._reason(home, question), luck)
        answers.dirty.clear()
        peers = {each: self._homes[each].groups[wanted.group] for each in self._with_group.get(wanted.group, ())}

        def places(home_id: str) -> tuple[str | None, ...]:
            return tuple(_value(self._homes[home_id].instance, each) for each in answers.attributes)

        best = answers.best(peers, places, constraints.distinct)
        if not best:
            return tuple(
                (home.instance, answers.reasons.get(home_id, DISTINCT)) for home_id, home in self._homes.items()
            )
        home = self._homes[best]
        return Placed(
            placement=placed(home.instance, wanted, list(home.known.values())),
            network=None if request is None else replace(request, subnet_ids=self._there(question, home)),
        )

    def _reason(self, home: _Home, question: _Question) -> str | None:
        """Why the task does not go there; None if it may."""
        reason = lacking(home.instance, home.left, question.asked)
        if reason is not None:
            return reason
        if question.subnet_ids is not None and not self._there(question, home):
            return ATTRIBUTE
        if question.zone not in ("", home.instance.zone):
            return MEMBER_OF
        if not all(cluster_query.parsed(each)(home.instance, home.live) for each in question.expressions):
            return MEMBER_OF
        return None

    def _there(self, question: _Question, home: _Home) -> tuple[str, ...]:
        """An interface of the instance can be in subnets of its zone and VPC only."""
        instance = home.instance
        return tuple(
            each
            for each in question.subnet_ids or ()
            if (found := self._subnet(each)) is not None
            and (found.vpc_id, found.zone) == (instance.vpc_id, instance.zone)
        )


def _is_spread_over_attribute(strategy: Strategy) -> bool:
    return strategy.type == "spread" and strategy.field.startswith("attribute:")


def _value(instance: ContainerInstance, attribute: str) -> str | None:
    """What is spread over; instances without the attribute are alike."""
    if attribute == "ecs.availability-zone":
        return instance.zone
    found = instance.attribute(attribute)
    return None if found is None else found.value or ""


def _weight(task: Task) -> tuple[bool, bool]:
    """What of a task's state decides what others have: it runs (`runningTasksCount`), it is over."""
    return task.last_status is TaskStatus.RUNNING, task.last_status >= TaskStatus.STOPPED


def _mixed(luck: int, turn: int) -> int:
    """A number that looks random, from a random one."""
    if not luck:
        return 0
    return ((luck * 2_654_435_761 + turn * 2_246_822_519) ^ (luck * turn * 3_266_489_917 >> 7)) % _SPAN
