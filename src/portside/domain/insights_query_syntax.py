"""The language of Logs Insights queries: from text to what is to be done with rows. Pure.

Source: CloudWatch Logs user guide, "CloudWatch Logs Insights language query syntax".
"""

import base64
import binascii
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import msgspec

from portside.domain import log_need
from portside.domain.insights_query_function import AGGREGATES, FUNCTIONS, Aggregate, Percentile, tidy
from portside.domain.insights_query_row import SYSTEM, Row, Run, Trait, Values, discovered, document_of
from portside.domain.insights_query_value import UNIT_OF, Period, Time, Value, compare, equal, number, text, truth
from portside.domain.log_need import Needs

LIMIT: Final = 10_000
"""Rows of a result, unless the query or the request says otherwise."""
LIMIT_MOST: Final = 100_000
NESTED_MOST: Final = 30
CHAIN_MOST: Final = 150
"""Operators in a row: each is a call within a call."""
STATS_MOST: Final = 2
UNSUPPORTED: Final = (
    *("diff", "unmask", "unnest", "anomaly", "source", "filterindex", "lookup", "join", "head", "tail"),
    *("jsonparse", "jsonstringify"),
)
"""AWS has them."""
PATTERN_FIELDS: Final = ("@pattern", "@ratio", "@sampleCount", "@severityLabel")
"""Of the rows that `pattern` makes."""

_KEYWORDS: Final = frozenset(["and", "or", "not", "like", "in", "as", "by", "asc", "desc"])
_SPACE: Final = re.compile(r"(?:\s|#[^\n]*)*")
_WORD: Final = re.compile(r"(?:[@A-Za-z_][\w@]*|`[^`\n]+`)(?:\.(?:[\w@-]+|`[^`\n]+`))*")
_NUMBER: Final = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PERIOD: Final = re.compile(r"(\d{1,9})\s*([A-Za-z]+)")
_GROUP_NAME: Final = re.compile(r"\(\?<([A-Za-z_@][\w@]*)>")


class Malformed(Exception):
    """The query is none: what is wrong, and from which character to which."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message, self.start, self.end = message, start, end


class Column(msgspec.Struct, frozen=True):
    """`name`: the alias, or as the query has it."""

    name: str
    run: Run


class Compute(msgspec.Struct, frozen=True):
    """`fields` and `display`: columns that rows have from here on; `is_display`: these alone are shown."""

    columns: tuple[Column, ...]
    is_display: bool


class Filter(msgspec.Struct, frozen=True):
    run: Run


class Parse(msgspec.Struct, frozen=True):
    """`take`: the values in a text, in the order of names; None if it does not fit."""

    source: Run
    names: tuple[str, ...]
    take: Callable[[str], Sequence[Value] | None]


class Sort(msgspec.Struct, frozen=True):
    """`keys`: (value, whether the greatest comes first). `by_time`: whether descending, where it is by @timestamp."""

    keys: tuple[tuple[Run, bool], ...]
    by_time: bool | None


class Limit(msgspec.Struct, frozen=True):
    count: int


class Dedup(msgspec.Struct, frozen=True):
    keys: tuple[Run, ...]


class Stats(msgspec.Struct, frozen=True):
    """`inputs`: what each aggregate is made of and takes; `outputs`: columns over their results; `by`: the groups."""

    inputs: tuple[tuple[Callable[[], Aggregate], Run], ...]
    outputs: tuple[Column, ...]
    by: tuple[Column, ...]


class Patterned(msgspec.Struct, frozen=True):
    """`pattern`: of what."""

    run: Run


Command = Compute | Filter | Parse | Sort | Limit | Dedup | Stats | Patterned


def commands(query: str) -> tuple[list[Command], Mapping[Run, Trait]]:
    """With what is known of the expressions in them.

    Raises:
        Malformed: it is no query, or one of a kind that is not built.
    """
    parser = _Parser(query)
    return parser.whole(), parser.traits


def flattened(message: str, most: int = 1000) -> dict[str, Value]:
    """The fields that a message has if it is JSON: scalars by the way to them."""
    found: dict[str, Value] = {}
    left: list[tuple[str, Any]] = [("", document_of(message))]
    while left and len(found) < most:
        name, value = left.pop()
        if isinstance(value, dict | list):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{name}.{key}" if name else str(key), each) for key, each in pairs][::-1]
        elif isinstance(value, str | int | float) and name:
            found[f"@{name}" if name.startswith("@") else name] = value
    return found


def event_of(pointer: str) -> tuple[str, str, str] | None:
    """Account, group and number of the event that a pointer points to; None if it is none."""
    try:
        parts = base64.b64decode(pointer, altchars=b"-_", validate=True).decode().split(":")
    except (binascii.Error, ValueError):
        return None
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdecimal()) or len(parts[2]) > 18:
        return None
    return parts[0], parts[1], parts[2]


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._at = 0
        self._depth = 0
        self._aggregates: list[tuple[Callable[[], Aggregate], Run]] | None = None
        """Not None within `stats`: what is met there."""
        self.traits: dict[Run, Trait] = {}
        self._made: set[str] = set()
        """Names that the query has given to values of its own."""

    # Commands

    def whole(self) -> list[Command]:
        found = [self._command()]
        while self._take("|"):
            found.append(self._command())
        if self._peek():
            self._unexpected()
        if sum(isinstance(each, Stats) for each in found) > STATS_MOST:
            self._fail(f"at most {STATS_MOST} stats commands are allowed", 0, len(self._query))
        if sum(isinstance(each, Patterned) for each in found) > 1:
            self._fail("at most one pattern command is allowed", 0, len(self._query))
        return found

    def _command(self) -> Command:
        self._skip()
        start = self._at
        name = self._word().lower()
        match name:
            case "fields" | "display":
                return Compute(tuple(self._list(self._column)), name == "display")
            case "filter" | "where":
                return Filter(self._expression())
            case "parse":
                return self._parse()
            case "sort" | "order":
                self._take_word("by")
                return self._sort()
            case "limit":
                return self._limit()
            case "dedup":
                return Dedup(tuple(self._list(self._expression)))
            case "stats":
                return self._stats()
            case "pattern":
                found = Patterned(self._expression())
                self._made.update(PATTERN_FIELDS)
                return found
        if name in UNSUPPORTED:
            self._fail(f"Portside does not implement the command {name}", start, self._at)
        self._at = start
        return self._unexpected()

    def _column(self) -> Column:
        self._skip()
        start = self._at
        run = self._expression()
        name = self._query[start : self._at].strip()
        shown = self._name() if self._take_word("as") else name.replace("`", "")
        if self._trait(run).name != shown:
            self._made.add(shown)
        return Column(shown, run)

    def _parse(self) -> Parse:
        source = self._field("@message") if self._peek() in ("'", '"', "/") else self._primary()
        if self._peek() == "/":
            regex = self._regex()
            names = list(regex.groupindex)
            if self._take_word("as"):
                names = self._list(self._name)
            if not names or len(names) != regex.groups:
                self._fail("the number of groups and of names differ", self._at, self._at)
            self._made.update(_plain_name(each) for each in names)
            return Parse(source, tuple(_plain_name(each) for each in names), lambda given: _groups(regex, given))
        pieces = self._string().split("*")
        if not self._take_word("as"):
            self._unexpected()
        start = self._at
        names = self._list(self._name)
        if len(names) != len(pieces) - 1:
            self._fail("the number of wildcards and of names differ", start, self._at)
        self._made.update(names)
        return Parse(source, tuple(names), lambda given: _glob(pieces, given))

    def _sort(self) -> Sort:
        keys: list[tuple[Run, bool]] = []
        first = ""
        while True:
            self._skip()
            start = self._at
            run = self._expression()
            first = first or self._query[start : self._at].strip()
            is_descending = self._take_word("desc")
            if not is_descending:
                self._take_word("asc")
            keys.append((run, is_descending))
            if not self._take(","):
                break
        return Sort(tuple(keys), keys[0][1] if first == "@timestamp" else None)

    def _limit(self) -> Limit:
        self._skip()
        match = re.compile(r"\d{1,9}").match(self._query, self._at)
        if match is None:
            return self._unexpected()
        if not 1 <= int(match[0]) <= LIMIT_MOST:
            self._fail(f"the limit is a number from 1 to {LIMIT_MOST}", self._at, match.end())
        self._at = match.end()
        return Limit(int(match[0]))

    def _stats(self) -> Stats:
        self._aggregates = []
        start = self._at
        outputs = self._list(self._column)
        inputs, self._aggregates = self._aggregates, None
        if not inputs:
            self._fail("stats needs an aggregation function", start, self._at)
        by = self._list(self._column) if self._take_word("by") else []
        return Stats(tuple(inputs), tuple(outputs), tuple(by))

    # Expressions, from the weakest operator to the strongest

    def _expression(self) -> Run:
        self._depth += 1
        if self._depth > NESTED_MOST:
            self._fail("the query is nested too deep", self._at, self._at)
        found = [self._all()]
        while self._take_word("or"):
            found.append(self._all())
        self._depth -= 1
        if len(found) == 1:
            return found[0]
        return self._known(_either(found), Trait(needs=log_need.either(self._trait(each).needs for each in found)))

    def _all(self) -> Run:
        found = [self._not()]
        while self._take_word("and"):
            found.append(self._not())
        if len(found) == 1:
            return found[0]
        needs = tuple(row for each in found for row in self._trait(each).needs)
        return self._known(_both(found), Trait(needs=needs))

    def _not(self) -> Run:
        negated = False
        while self._take_word("not"):
            negated = not negated
        found = self._comparison()
        return _negated(found) if negated else found

    def _comparison(self) -> Run:
        left = self._sum()
        for sign, holds in _COMPARISONS:
            if self._take(sign):
                if sign == "=~":
                    return self._matching(left, self._regex())
                right = self._sum()
                return self._known(holds(left, right), Trait(needs=self._compared(sign, left, right)))
        negated = self._take_word("not")
        if self._take_word("like"):
            found = self._matching(left, self._regex()) if self._peek() == "/" else self._containing(left)
        elif self._take_word("in"):
            found = self._membership(left)
        elif negated:
            self._unexpected()
        else:
            return left
        return _negated(found) if negated else found

    def _matching(self, left: Run, regex: re.Pattern[str]) -> Run:
        return self._known(_matching(left, regex), Trait(needs=self._part(left, literal_of(regex.pattern))))

    def _containing(self, left: Run) -> Run:
        part = self._primary()
        wanted = self._trait(part).constant
        return self._known(_containing(left, part), Trait(needs=self._part(left, wanted or "")))

    def _known(self, run: Run, trait: Trait) -> Run:
        self.traits[run] = trait
        return run

    def _trait(self, run: Run) -> Trait:
        return self.traits.get(run, _UNKNOWN)

    def _part(self, run: Run, text_: str) -> Needs:
        """Where that text is in the value."""
        trait = self._trait(run)
        if trait.is_message:
            return log_need.in_message(text_)
        return (log_need.part_of(text_) or _there(trait.field)) if trait.field else ()

    def _compared(self, sign: str, left: Run, right: Run) -> Needs:
        if sign == "!=":  # holds of what is missing, too
            return ()
        for one, other in ((self._trait(left), self._trait(right)), (self._trait(right), self._trait(left))):
            if sign == "=" and other.constant is not None and number(other.constant) is None:
                if one.is_message:
                    return log_need.in_message(other.constant)
                if one.field:
                    return log_need.equal_to(other.constant) or _there(one.field)
        return _there(self._trait(left).field) + _there(self._trait(right).field)

    def _membership(self, left: Run) -> Run:
        if not self._take("["):
            self._unexpected()
        if self._take("]"):
            return lambda row: False
        among = self._list(self._sum)
        if not self._take("]"):
            self._unexpected()
        return lambda row: (value := left(row)) is not None and any(equal(value, each(row)) for each in among)

    def _sum(self) -> Run:
        return self._chain(self._product, "+-")

    def _product(self) -> Run:
        return self._chain(self._power, "*/%")

    def _chain(self, operand: Callable[[], Run], signs: str) -> Run:
        found = operand()
        for _ in range(CHAIN_MOST):
            sign = self._peek()
            if not sign or sign not in signs:
                return found
            self._at += 1
            found = _arithmetic(_ARITHMETIC[sign], found, operand())
        return self._fail("the expression is too long", self._at, self._at)

    def _power(self) -> Run:
        base = self._unary()
        if not self._take("^"):
            return base
        self._depth += 1
        if self._depth > NESTED_MOST:
            self._fail("the query is nested too deep", self._at, self._at)
        found = _arithmetic(operator.pow, base, self._power())
        self._depth -= 1
        return found

    def _unary(self) -> Run:
        negative = False
        while self._take("-"):
            negative = not negative
        found = self._primary()
        return _arithmetic(operator.sub, lambda row: 0, found) if negative else found

    def _primary(self) -> Run:
        letter = self._peek()
        if letter == "(":
            self._at += 1
            found = self._expression()
            if not self._take(")"):
                self._unexpected()
            return found
        if letter in ("'", '"') and letter:
            constant = self._string()
            return self._known(lambda row: constant, Trait(constant=constant))
        digits = _NUMBER.match(self._query, self._at)
        if digits is not None:
            self._at = digits.end()
            value = tidy(float(digits[0]))
            return lambda row: value
        start = self._at
        name = self._word()
        if name.lower() in _KEYWORDS:
            self._at = start
            self._unexpected()
        if self._peek() == "(" and "." not in name and "`" not in name:
            return self._call(name, start)
        if name.lower() in ("true", "false"):
            constant_truth = name.lower() == "true"
            return lambda row: constant_truth
        return self._field(name)

    def _call(self, name: str, start: int) -> Run:
        self._at += 1
        known = name.lower()
        if known in ("bin", "datefloor", "dateceil"):
            source: Run = self._field("@timestamp")
            if known != "bin":
                source = self._expression()
                self._expect(",")
            period = self._period()
            self._expect(")")
            found = _rounded(source, period.ceil if known == "dateceil" else period.floor)
            if known == "bin" and "@timestamp" not in self._made:
                return self._known(found, Trait(values=lambda batch: period.floors(batch.ats), period=period))
            return found
        if known in AGGREGATES or known == "pct":
            return self._aggregate(known, start)
        function = FUNCTIONS.get(known)
        if function is None:
            not_built = known in UNSUPPORTED
            said = f"Portside does not implement the function {name}" if not_built else f"unknown function {name}"
            self._fail(said, start, self._at - 1)
        arguments = [] if self._peek() == ")" else self._list(self._expression)
        self._expect(")")
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            self._fail(f"invalid number of arguments for {name}", start, self._at)
        run, *_ = function
        match arguments:
            case [one]:
                return lambda row: run(one(row))
            case [one, two]:
                return lambda row: run(one(row), two(row))
        return lambda row: run(*(each(row) for each in arguments))

    def _aggregate(self, known: str, start: int) -> Run:
        outer = self._aggregates
        if outer is None:
            self._fail(f"the aggregation function {known} is allowed in stats only", start, self._at)
        self._aggregates = None  # none within another
        make = AGGREGATES.get(known)
        taken: Run = present
        if known == "count" and self._peek() in ("*", ")"):
            self._take("*")
        else:
            taken = self._expression()
        if make is None:
            self._expect(",")
            percent = self._percent()
            make = lambda: Percentile(percent)  # noqa: E731
        self._expect(")")
        self._aggregates = outer
        place = f"\0{len(outer)}"
        outer.append((make, taken))
        return lambda row: row.values.get(place)

    def _percent(self) -> float:
        self._skip()
        match = _NUMBER.match(self._query, self._at)
        if match is None or not 0 <= float(match[0]) <= 100:
            self._unexpected()
        self._at = match.end()
        return float(match[0])

    def _period(self) -> Period:
        self._skip()
        match = _PERIOD.match(self._query, self._at)
        if match is None or match[2].lower() not in UNIT_OF or int(match[1]) < 1:
            self._unexpected()
        self._at = match.end()
        return Period(int(match[1]), UNIT_OF[match[2].lower()])

    def _field(self, name: str) -> Run:
        parts = [quoted or plain for quoted, plain in re.findall(r"`([^`]+)`|([^.`]+)", name)]
        plain_name = ".".join(parts)
        system = SYSTEM.get(plain_name)
        if parts[0].startswith("@@"):
            parts[0] = parts[0][1:]  # a field of the document whose own name begins with @

        def run(row: Row) -> Value:
            values = row.values
            if plain_name in values:
                return values[plain_name]
            if row.event is None:
                return None
            if system is not None:
                return system(row.event)
            document = row.document
            return discovered(document, parts) if document is not None else None

        if plain_name in self._made:
            return run
        values: Values | None = None
        if plain_name == "@message":
            values = lambda batch: batch.messages  # noqa: E731
        elif plain_name == "@logStream":
            values = lambda batch: batch.streams  # noqa: E731
        elif plain_name == "@timestamp":
            values = lambda batch: list(map(Time, batch.ats))  # noqa: E731
        elif system is None and len(parts) == 1:
            values = lambda batch: batch.member(parts[0])  # noqa: E731
        trait = Trait(
            name=plain_name,
            field=tuple(parts) if system is None else (),
            is_message=plain_name == "@message",
            values=values,
        )
        return self._known(run, trait)

    # Words

    def _list(self, one: Callable[[], Any]) -> list[Any]:
        found = [one()]
        while self._take(","):
            found.append(one())
        return found

    def _name(self) -> str:
        return self._word().replace("`", "")

    def _word(self) -> str:
        self._skip()
        match = _WORD.match(self._query, self._at)
        if match is None:
            self._unexpected()
        self._at = match.end()
        return match[0]

    def _string(self) -> str:
        quote = self._peek()
        if quote not in ("'", '"') or not quote:
            self._unexpected()
        start, letters = self._at, list[str]()
        self._at += 1
        while self._at < len(self._query) and self._query[self._at] != quote:
            if self._query[self._at] == "\\" and self._query[self._at + 1 : self._at + 2] in (quote, "\\"):
                self._at += 1
            letters.append(self._query[self._at])
            self._at += 1
        if self._at >= len(self._query):
            self._fail("a quote is not closed", start, len(self._query))
        self._at += 1
        return "".join(letters)

    def _regex(self) -> re.Pattern[str]:
        if self._peek() != "/":
            expression = self._string()
            return self._compiled(expression, self._at)
        start = self._at
        end = start + 1
        while end < len(self._query) and self._query[end] != "/":
            end += 2 if self._query[end] == "\\" else 1
        if end >= len(self._query):
            self._fail("a regular expression is not closed", start, len(self._query))
        self._at = end + 1
        return self._compiled(self._query[start + 1 : end].replace("\\/", "/"), start)

    def _compiled(self, expression: str, start: int) -> re.Pattern[str]:
        named = _GROUP_NAME.sub(lambda match: f"(?P<{match[1].replace('@', _AT)}>", expression)
        try:
            return re.compile(named)
        except (re.error, OverflowError, RecursionError) as error:
            self._fail(f"invalid regular expression: {error}", start, self._at)

    def _skip(self) -> None:
        match = _SPACE.match(self._query, self._at)
        self._at = match.end() if match is not None else self._at

    def _peek(self) -> str:
        self._skip()
        return self._query[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        self._skip()
        if not self._query.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            self._unexpected()

    def _take_word(self, word: str) -> bool:
        self._skip()
        end = self._at + len(word)
        if self._query[self._at : end].lower() != word or re.match(r"[\w.@`]", self._query[end : end + 1]):
            return False
        self._at = end
        return True

    def _unexpected(self) -> NoReturn:
        self._skip()
        match = re.compile(r"\w+|.", re.DOTALL).match(self._query, self._at)
        found = match[0] if match is not None else "<EOF>"
        before = self._query[: self._at]
        line, position = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)
        self._fail(
            f"unexpected symbol found {found} at line {line} and position {position}",
            self._at,
            self._at + (len(found) if match is not None else 0),
        )

    def _fail(self, message: str, start: int, end: int) -> NoReturn:
        raise Malformed(message, start, end)


_AT: Final = "__at__"
_UNKNOWN: Final = Trait()


def _there(field: Sequence[str]) -> Needs:
    """Of a document that has that field: its name; numbers may be places in a list."""
    return log_need.in_string(max((each for each in field if not each.isdecimal()), key=len, default=""))


def literal_of(expression: str) -> str:
    """A text that is in whatever a regular expression of Python's matches; empty where that is not plain to see."""
    if "|" in expression or "(?" in expression:
        return ""
    plain = re.split(r"[(\\[]|(?<=\{)", expression, maxsplit=1)[0]
    pieces = re.findall(r"([^.^$*+?{}\]]+)([*+?{]?)", plain)
    return max((piece[:-1] if sign else piece for piece, sign in pieces), key=len, default="")


def _plain_name(name: str) -> str:
    return name.replace(_AT, "@")


def present(row: Row) -> Value:
    return True


def _groups(regex: re.Pattern[str], given: str) -> Sequence[Value] | None:
    match = regex.search(given)
    return match.groups() if match is not None else None


def _glob(pieces: Sequence[str], given: str) -> Sequence[Value] | None:
    """What stands between the pieces, each as near as may be."""
    at = given.find(pieces[0])
    if at < 0:
        return None
    at += len(pieces[0])
    found: list[Value] = []
    for number_of_piece, piece in enumerate(pieces[1:], 1):
        is_last = number_of_piece == len(pieces) - 1
        end = len(given) if is_last and not piece else given.find(piece, at)
        if end < 0:
            return None
        found.append(given[at:end])
        at = end + len(piece)
    return found


def _either(several: Sequence[Run]) -> Run:
    return lambda row: any(truth(each(row)) for each in several)


def _both(several: Sequence[Run]) -> Run:
    return lambda row: all(truth(each(row)) for each in several)


def _negated(run: Run) -> Run:
    return lambda row: not truth(run(row))


def _matching(left: Run, regex: re.Pattern[str]) -> Run:
    search = regex.search

    def run(row: Row) -> bool:
        value = left(row)
        return value is not None and search(value if type(value) is str else text(value)) is not None

    return run


def _containing(left: Run, part: Run) -> Run:
    def run(row: Row) -> bool:
        value, wanted = left(row), part(row)
        return value is not None and wanted is not None and text(wanted) in text(value)

    return run


def _rounded(source: Run, way: Callable[[int], Time]) -> Run:
    def run(row: Row) -> Value:
        value = source(row)
        ms = value if isinstance(value, int) else number(value)
        try:
            return way(int(ms)) if ms is not None else None
        except (OverflowError, ValueError):
            return None

    return run


def _arithmetic(way: Callable[[float, float], Any], left: Run, right: Run) -> Run:
    def run(row: Row) -> Value:
        one, other = number(left(row)), number(right(row))
        if one is None or other is None:
            return None
        try:
            found = way(one, other)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return tidy(found) if isinstance(found, float) else None

    return run


def _remainder(one: float, other: float) -> float:
    """With the sign of what is divided, as Java has it."""
    return one - other * int(one / other)


_ARITHMETIC: Final[dict[str, Callable[[float, float], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": _remainder,
}


def _equal(left: Run, right: Run) -> Run:
    return lambda row: equal(left(row), right(row))


def _unequal(left: Run, right: Run) -> Run:
    return lambda row: not equal(left(row), right(row))


def _ordered(way: Callable[[int, int], bool]) -> Callable[[Run, Run], Run]:
    def made(left: Run, right: Run) -> Run:
        def run(row: Row) -> bool:
            found = compare(left(row), right(row))
            return found is not None and way(found, 0)

        return run

    return made


_COMPARISONS: Final = (
    ("=~", _equal),
    ("!=", _unequal),
    ("<=", _ordered(operator.le)),
    (">=", _ordered(operator.ge)),
    ("=", _equal),
    ("<", _ordered(operator.lt)),
    (">", _ordered(operator.gt)),
)
