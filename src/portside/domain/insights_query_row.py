"""Events on their way through a Logs Insights query: one by one, and many at once by columns. Pure."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from portside.domain.insights_query_value import Period, Time, Value
from portside.domain.log_need import Needs

_UNREAD: Final = object()


class Row:
    """An event or a group on its way through a query. `values`: what the query made itself."""

    __slots__ = ("_document", "at", "event", "values")

    def __init__(self, event: "Event | None", at: Value) -> None:
        self.event, self.at = event, at
        self.values: dict[str, Value] = {}
        self._document: Any = _UNREAD

    @property
    def document(self) -> Any:
        if self._document is _UNREAD:
            self._document = document_of(self.event.message) if self.event is not None else None
        return self._document


class Event(msgspec.Struct, frozen=True):
    """A log event as queries see it. `log`: account and group; `number`: the event's in the log store."""

    at_ms: int
    message: str
    stream: str
    log: str
    ingested_ms: int
    number: int

    @property
    def ptr(self) -> str:
        """By what GetLogRecord finds it."""
        return base64.urlsafe_b64encode(f"{self.log}:{self.number}".encode()).decode()


SYSTEM: Final[dict[str, Callable[[Event], Value]]] = {
    "@message": lambda event: event.message,
    "@timestamp": lambda event: Time(event.at_ms),
    "@ingestionTime": lambda event: Time(event.ingested_ms),
    "@logStream": lambda event: event.stream,
    "@log": lambda event: event.log,
    "@ptr": lambda event: event.ptr,
}

Run = Callable[[Row], Value]


def discovered(document: Any, parts: Sequence[str]) -> Value:
    """A member of a JSON document, by the names (and numbers) on the way to it; None for what is no scalar."""
    for at, part in enumerate(parts):
        if isinstance(document, dict):
            if part in document:
                document = document[part]
                continue
            for end in range(len(parts), at + 1, -1):  # names that have dots in them
                whole = ".".join(parts[at:end])
                if whole in document:
                    return discovered(document[whole], parts[end:])
            return None
        if isinstance(document, list) and part.isdecimal() and len(part) < 10 and int(part) < len(document):
            document = document[int(part)]
            continue
        return None
    return document if isinstance(document, str | int | float) else None


def document_of(message: str) -> Any:
    if message.lstrip()[:1] != "{":
        return None
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


_EMPTY: Final[dict[str, Any]] = {}
_SCALARS: Final = frozenset([str, int, float, bool])


class Batch:
    """Events of a log group as columns, all of one length. `streams`: their names."""

    __slots__ = ("_documents", "_rows", "ats", "ingested", "log", "messages", "numbers", "streams")

    def __init__(
        self,
        log: str,
        ats: Sequence[int],
        messages: Sequence[str],
        streams: Sequence[str],
        ingested: Sequence[int],
        numbers: Sequence[int],
    ) -> None:
        self.log, self.ats, self.messages, self.streams = log, ats, messages, streams
        self.ingested, self.numbers = ingested, numbers
        self._documents: list[Any] | None = None
        self._rows: list[Row] | None = None

    def __len__(self) -> int:
        return len(self.ats)

    @property
    def rows(self) -> list[Row]:
        if self._rows is None:
            columns = zip(self.ats, self.messages, self.streams, self.ingested, self.numbers, strict=True)
            log = self.log
            self._rows = [Row(Event(at, message, stream, log, *rest), at) for at, message, stream, *rest in columns]
        return self._rows

    def kept(self, places: Sequence[int]) -> "Batch":
        """Those at these places alone."""
        columns = (self.ats, self.messages, self.streams, self.ingested, self.numbers)
        found = Batch(self.log, *([column[each] for each in places] for column in columns))  # type: ignore[arg-type]
        found._rows = [self.rows[each] for each in places]
        return found

    def row(self, place: int) -> Row:
        if self._rows is not None:
            return self._rows[place]
        at = self.ats[place]
        rest = (self.streams[place], self.log, self.ingested[place], self.numbers[place])
        return Row(Event(at, self.messages[place], *rest), at)

    def member(self, name: str) -> list[Value]:
        """Of each document; None for what is no scalar."""
        if self._documents is None:
            if self._rows is not None:
                self._documents = [_EMPTY if (read := row.document) is None else read for row in self._rows]
            else:
                self._documents = _documents_of(self.messages)
        scalars = _SCALARS
        return [value if (value := document.get(name)).__class__ in scalars else None for document in self._documents]


def _documents_of(messages: Sequence[str]) -> list[Any]:
    """As `document_of`, without a call for each; an empty one for what is none."""
    found: list[Any] = []
    add, decode = found.append, msgspec.json.decode
    for message in messages:
        if message[:1] == "{":
            try:
                add(decode(message))
                continue
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                pass
        elif (document := document_of(message)) is not None:
            add(document)
            continue
        add(_EMPTY)
    return found


Values = Callable[[Batch], Sequence[Value]]


class Trait(msgspec.Struct, frozen=True):
    """What is known of an expression before any row. `name`: of what it is, where it is nothing but a field;
    `constant`: its text; `field`: the way to it in a document; `needs`: what a message has of which it holds; `values`:
    itself for many events at once; `period`: of `bin`."""

    name: str = ""
    constant: str | None = None
    field: tuple[str, ...] = ()
    is_message: bool = False
    needs: Needs = ()
    values: Values | None = None
    period: Period | None = None
