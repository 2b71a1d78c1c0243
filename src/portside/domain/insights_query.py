"""Logs Insights queries: events in, rows out, in bounded memory. Pure.

A query is cut into segments, each ending with what needs all rows: `limit`, `dedup`, `stats`, `pattern`, or its end.
Events go through the first segment one by one, rows through the others when all events have been seen.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, Final

from portside.domain.insights_query_function import Aggregate, Count
from portside.domain.insights_query_row import Batch, Event, Row, Run, Trait
from portside.domain.insights_query_syntax import (
    LIMIT,
    LIMIT_MOST,
    PATTERN_FIELDS,
    Column,
    Command,
    Compute,
    Dedup,
    Filter,
    Limit,
    Malformed,
    Parse,
    Patterned,
    Sort,
    Stats,
    commands,
    event_of,
    flattened,
    present,
)
from portside.domain.insights_query_value import Time, Value, sort_key, sort_keys, text, truth
from portside.domain.log_need import Needs
from portside.domain.message_pattern import Patterns

__all__ = ["LIMIT", "LIMIT_MOST", "Batch", "Event", "Malformed", "Query", "TooMany", "event_of", "flattened"]

GROUPS_MOST: Final = 200_000
"""Groups of `stats`, and keys of `dedup`, that are kept in memory."""

_UNKNOWN: Final = Trait()


class TooMany(Exception):
    """The query would take more memory than a query may."""


class _Segment:
    """Commands on single rows, then one on all of them."""

    def __init__(self, steps: Sequence[Compute | Filter | Parse], sort: Sort | None, end: Command | None) -> None:
        self.steps, self.sort, self.end = steps, sort, end


class Query:
    """
    Args:
        limit: rows at most, besides what the query says itself.

    Raises:
        Malformed: it is no query, or one of a kind that is not built.
    """

    def __init__(self, query: str, limit: int = LIMIT) -> None:
        listed, self._traits = commands(query)
        self._segments = _segments(listed, limit)
        self._shown = _shown(listed)
        self.finds_patterns = any(isinstance(each, Patterned) for each in listed)
        self._has_groups = self.finds_patterns or any(isinstance(each, Stats) for each in listed)
        self._first = _taker(self._segments[0], is_first=True)
        self.matched = 0
        steps = self._segments[0].steps
        self.needs: Needs = tuple(
            row for each in steps if isinstance(each, Filter) for row in self._trait(each.run).needs
        )
        """What a message has that comes through; no other need be given."""
        self._is_by_columns = all(self._keeps_values(each) for each in steps)

    def _trait(self, run: Run) -> Trait:
        return self._traits.get(run, _UNKNOWN)

    def _keeps_values(self, step: Compute | Filter | Parse) -> bool:
        """Whether every field has the same value before it and behind it."""
        if isinstance(step, Compute):
            return all(self._trait(column.run).name == column.name for column in step.columns)
        return isinstance(step, Filter)

    @property
    def counted_by_ms(self) -> int | None:
        """Where the query asks no more than how many events there are, in all (0) or in each period of so many
        milliseconds; None for any other."""
        stats = self._segments[0].end
        if self._segments[0].steps or not isinstance(stats, Stats) or len(stats.by) > 1:
            return None
        if any(make is not Count or run is not present for make, run in stats.inputs):
            return None
        period = self._trait(stats.by[0].run).period if stats.by else None
        return 0 if not stats.by else (period and period.plain_ms) or None

    @property
    def needs_rows(self) -> bool:
        """Whether more is looked at than times, messages and streams."""
        first = self._segments[0]
        match first.end:
            case Patterned(run=run):
                runs = [run]
            case Stats(inputs=inputs, by=by):
                runs = [*(run for _, run in inputs if run is not present), *(column.run for column in by)]
            case _:
                return True
        return bool(first.steps) or any(self._trait(run).values is None for run in runs)

    @property
    def wants_oldest_first(self) -> bool:
        """In which order events are best given."""
        sort = self._segments[0].sort
        return sort is not None and sort.by_time is False

    @property
    def needs_order(self) -> bool:
        """Whether the order of events decides which rows there are."""
        return not isinstance(self._segments[0].end, Stats | Patterned)

    @property
    def is_satisfied(self) -> bool:
        """Whether further events, given in that order, change nothing."""
        return self._first.is_satisfied

    def take(self, event: Event) -> None:
        """Raises TooMany."""
        row = Row(event, event.at_ms)
        if _pass(self._segments[0].steps, row):
            self.matched += 1
            self._first.take(row)

    def take_batch(self, batch: Batch) -> int:
        """As each of them, until it is satisfied: how many were taken. Raises TooMany."""
        if not (self._is_by_columns and self._first.is_by_columns):
            for number, row in enumerate(batch.rows, 1):
                if _pass(self._segments[0].steps, row):
                    self.matched += 1
                    self._first.take(row)
                    if self._first.is_satisfied:
                        return number
            return len(batch)
        given = len(batch)
        for step in self._segments[0].steps:
            if isinstance(step, Filter):
                run = step.run
                batch = batch.kept([place for place, row in enumerate(batch.rows) if truth(run(row))])
        self.matched += len(batch)
        if len(batch):
            self._first.take_batch(batch, self)
        return given

    def take_count(self, at_ms: int, events: int) -> None:
        """So many of the period that begins then, of a query that asks no more. Raises TooMany."""
        assert isinstance(self._first, _Grouped)
        self.matched += events
        self._first.take_count(Time(at_ms), events)

    def values_of(self, run: Run, batch: Batch) -> Sequence[Value]:
        known = self._trait(run).values
        return known(batch) if known is not None else [run(row) for row in batch.rows]

    def row_of(self, batch: Batch, place: int) -> Row:
        """With what the query made."""
        row = batch.row(place)
        _pass(self._segments[0].steps, row)
        return row

    def rows(self) -> list[list[tuple[str, str]]]:
        """The result: fields with their values, as they are shown; what a row has not is left out."""
        rows = self._first.rows()
        for segment in self._segments[1:]:
            taker = _taker(segment, is_first=False)
            for row in rows:
                if _pass(segment.steps, row):
                    taker.take(row)
            rows = taker.rows()
        return [self._shown_row(row) for row in rows]

    def _shown_row(self, row: Row) -> list[tuple[str, str]]:
        found = [(column.name, column.run(row)) for column in self._shown]
        if not self._has_groups and row.event is not None:
            found.append(("@ptr", row.event.ptr))
        return [(name, text(value)) for name, value in found if value is not None]


def _segments(listed: Sequence[Command], limit: int) -> list[_Segment]:
    found: list[_Segment] = []
    steps: list[Compute | Filter | Parse] = []
    sort: Sort | None = None
    for each in listed:
        if isinstance(each, Sort):
            sort = each
        elif isinstance(each, Compute | Filter | Parse):
            steps.append(each)
        else:
            found.append(_Segment(steps, sort, each))
            steps, sort = [], None
    found.append(_Segment(steps, sort, Limit(limit)))
    return found


def _shown(listed: Sequence[Command]) -> list[Column]:
    """The columns of the result: of the last `display`, or of `stats` and of all `fields` that come after it."""
    columns: list[Column] = []
    display: list[Column] | None = None
    for each in listed:
        if isinstance(each, Patterned):
            columns, display = [_kept(name) for name in PATTERN_FIELDS], None
        elif isinstance(each, Stats):
            columns, display = [_kept(column.name) for column in (*each.by, *each.outputs)], None
        elif isinstance(each, Compute) and each.is_display:
            display = [_kept(column.name) for column in each.columns]
        elif isinstance(each, Compute):
            columns += [_kept(column.name) for column in each.columns]
    chosen = columns if display is None else display
    if not chosen:
        chosen = [
            Column("@timestamp", lambda row: Time(row.event.at_ms) if row.event is not None else None),
            Column("@message", lambda row: row.event.message if row.event is not None else None),
        ]
    unique: dict[str, Column] = {}
    for column in chosen:
        unique.setdefault(column.name, column)
    return list(unique.values())


def _kept(name: str) -> Column:
    return Column(name, lambda row: row.values.get(name))


def _pass(steps: Iterable[Compute | Filter | Parse], row: Row) -> bool:
    """Whether the row comes through; it has then what was computed."""
    for step in steps:
        if type(step) is Filter:
            if not truth(step.run(row)):
                return False
        elif type(step) is Compute:
            for column in step.columns:
                row.values[column.name] = column.run(row)
        elif type(step) is Parse:
            source = step.source(row)
            taken = step.take(text(source)) if source is not None else None
            if taken is not None:
                row.values.update(zip(step.names, taken, strict=True))
    return True


class _Taker:
    """Takes rows; gives rows when all are taken."""

    is_satisfied = is_by_columns = False

    def take(self, row: Row) -> None:
        raise NotImplementedError

    def take_batch(self, batch: Batch, query: "Query") -> None:
        """As each of them; of those that are `is_by_columns`."""
        raise NotImplementedError

    def rows(self) -> list[Row]:
        raise NotImplementedError


class _Ordered:
    """A key by which rows are ordered: what a sort says, then as they came."""

    __slots__ = ("_keys", "_number")

    def __init__(self, keys: list[tuple[Any, bool]], number: int) -> None:
        self._keys, self._number = keys, number

    @property
    def first(self) -> Any:
        return self._keys[0][0]

    def __lt__(self, other: "_Ordered") -> bool:
        for (mine, is_descending), (theirs, _) in zip(self._keys, other._keys, strict=True):
            if mine != theirs:
                return bool(mine > theirs) if is_descending else bool(mine < theirs)
        return self._number < other._number


class _Reversed:
    """The last of an order as the first of a heap."""

    __slots__ = ("order", "row")

    def __init__(self, order: _Ordered, row: Row) -> None:
        self.order, self.row = order, row

    def __lt__(self, other: "_Reversed") -> bool:
        return other.order < self.order


class _Sorter:
    """`is_given`: whether rows come in the order that is wanted."""

    def __init__(self, sort: Sort | None, *, is_first: bool) -> None:
        self.keys = sort.keys if sort is not None else ()
        self.is_given = sort is None or (is_first and sort.by_time is not None and len(sort.keys) == 1)
        self._count = 0

    def order(self, row: Row) -> _Ordered:
        self._count += 1
        keys: list[tuple[Any, bool]] = []
        if not self.is_given:
            keys = [(sort_key(run(row)), is_descending) for run, is_descending in self.keys]
        return _Ordered(keys, self._count)

    def order_of(self, key: tuple[Any, ...]) -> _Ordered:
        """Of a row with that one key."""
        self._count += 1
        return _Ordered([(key, self.keys[0][1])], self._count)


class _First(_Taker):
    """The first so many in order."""

    def __init__(self, sorter: _Sorter, count: int) -> None:
        self._sorter, self._most = sorter, count
        self._heap: list[_Reversed] = []
        self._in_order: list[Row] = []
        self.is_by_columns = not sorter.is_given and len(sorter.keys) == 1

    def take(self, row: Row) -> None:
        if self._sorter.is_given:
            if len(self._in_order) < self._most:
                self._in_order.append(row)
            self.is_satisfied = len(self._in_order) >= self._most
            return
        self._push(_Reversed(self._sorter.order(row), row))

    def take_batch(self, batch: Batch, query: "Query") -> None:
        ((run, is_descending),) = self._sorter.keys
        for place, key in enumerate(sort_keys(query.values_of(run, batch))):
            if len(self._heap) == self._most:
                last = self._heap[0].order.first
                if key <= last if is_descending else key >= last:
                    continue  # of equal ones the first that came
            self._push(_Reversed(self._sorter.order_of(key), query.row_of(batch, place)))

    def _push(self, entry: _Reversed) -> None:
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif self._heap[0] < entry:
            heapq.heapreplace(self._heap, entry)

    def rows(self) -> list[Row]:
        return self._in_order or [each.row for each in sorted(self._heap, reverse=True)]


class _Distinct(_Taker):
    """The first in order of those with the same keys; those that lack a key are all kept."""

    def __init__(self, sorter: _Sorter, keys: Sequence[Run]) -> None:
        self._sorter, self._keys = sorter, keys
        self._kept: dict[tuple[Any, ...], _Reversed] = {}

    def take(self, row: Row) -> None:
        values = [run(row) for run in self._keys]
        order = self._sorter.order(row)
        key: tuple[Any, ...] = tuple(map(text, values)) if None not in values else (None, len(self._kept))
        known = self._kept.get(key)
        if known is None and len(self._kept) >= GROUPS_MOST:
            raise TooMany(f"dedup keeps more than {GROUPS_MOST} events")
        if known is None or order < known.order:
            self._kept[key] = _Reversed(order, row)

    def rows(self) -> list[Row]:
        return [each.row for each in sorted(self._kept.values(), reverse=True)]


class _Grouped(_Taker):
    is_by_columns = True

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._groups: dict[tuple[str | Time | None, ...], tuple[list[Value], list[Aggregate]]] = {}

    def take(self, row: Row) -> None:
        values = [column.run(row) for column in self._stats.by]
        # Times are told apart by their number: to show each takes longer than all else here.
        key = tuple([value if value is None or isinstance(value, str | Time) else text(value) for value in values])
        for aggregate, (_, run) in zip(self._group(key, values), self._stats.inputs, strict=True):
            aggregate.add(run(row), row.at)

    def take_batch(self, batch: Batch, query: "Query") -> None:
        inputs = [None if run is present else query.values_of(run, batch) for _, run in self._stats.inputs]
        columns = [query.values_of(column.run, batch) for column in self._stats.by]
        places: dict[Any, list[int]] = {}
        for place, key in enumerate(zip(*map(_keys, columns), strict=True)):
            if key in places:
                places[key].append(place)
            else:
                places[key] = [place]
        if not columns:
            places = {(): list(range(len(batch)))}
        for key, those in places.items():
            group = self._group(key, [column[those[0]] for column in columns])
            ats = [batch.ats[place] for place in those]
            for aggregate, values in zip(group, inputs, strict=True):
                aggregate.add_many(ats if values is None else [values[place] for place in those], ats)

    def take_count(self, at: Time, events: int) -> None:
        key = (at,) if self._stats.by else ()
        for aggregate in self._group(key, list(key)):
            assert isinstance(aggregate, Count)
            aggregate.count(events)

    def _group(self, key: tuple[str | Time | None, ...], values: list[Value]) -> list[Aggregate]:
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS_MOST:
                raise TooMany(f"stats makes more than {GROUPS_MOST} groups")
            group = self._groups[key] = (values, [make() for make, _ in self._stats.inputs])
        return group[1]

    def rows(self) -> list[Row]:
        if not self._groups and not self._stats.by:
            self._groups[()] = ([], [make() for make, _ in self._stats.inputs])
        found: list[Row] = []
        for values, aggregates in self._groups.values():
            row = Row(None, None)
            row.values.update({f"\0{number}": each.result() for number, each in enumerate(aggregates)})
            for column, value in zip(self._stats.by, values, strict=True):
                row.values[column.name] = value
                if isinstance(value, Time):
                    row.at = value
            for column in self._stats.outputs:
                row.values[column.name] = column.run(row)
            found.append(row)
        return found


class _Recurring(_Taker):
    """`pattern`: the most frequent first."""

    is_by_columns = True

    def __init__(self, run: Run) -> None:
        self._run = run
        self._patterns = Patterns()

    def take(self, row: Row) -> None:
        self._take(self._run(row))

    def take_batch(self, batch: Batch, query: "Query") -> None:
        for value in query.values_of(self._run, batch):
            self._take(value)

    def _take(self, value: Value) -> None:
        if value is not None:
            self._patterns.take(text(value))

    def rows(self) -> list[Row]:
        found: list[Row] = []
        total = self._patterns.total
        for pattern in self._patterns.found():
            row = Row(None, None)
            told = (pattern.text, round(pattern.count / total, 4), pattern.count, pattern.severity or None)
            row.values.update(zip(PATTERN_FIELDS, told, strict=True))
            found.append(row)
        return found


_TOLD_APART: Final = frozenset([str, Time, type(None)])


def _keys(column: Sequence[Value]) -> Sequence[str | Time | None]:
    if {*map(type, column)} <= _TOLD_APART:
        return column
    return [each if type(each) in _TOLD_APART else text(each) for each in column]


def _taker(segment: _Segment, *, is_first: bool) -> _Taker:
    sorter = _Sorter(segment.sort, is_first=is_first)
    match segment.end:
        case Stats() as stats:
            return _Grouped(stats)
        case Patterned() as patterned:
            return _Recurring(patterned.run)
        case Dedup() as dedup:
            return _Distinct(sorter, dedup.keys)
        case Limit() as limit:
            return _First(sorter, limit.count)
    raise AssertionError(segment.end)
