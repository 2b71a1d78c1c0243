"""What `portside top` shows and what its keys do: a state, changed by keys and data, and drawn as lines of text.

No terminal is touched here: `screen.py` does that.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from rich.text import Text

from portside.cli.top.row import LEVELS, Key, Level, Row, is_other, rows, sort_by

LINES_KEPT: Final = 5000
"""Of a log."""
HELP: Final = """\
j k ↑ ↓      one down, one up          g G      the first, the last
enter →      what is in it             esc ← h  back
l            its log, as it grows      d        all about it
s            a shell in it             /        only lines with these words
c m n        by CPU, memory, name      q        the end

CPU      processors in use; 1.00 is one of them
MEM      memory that is held
RX TX    received and sent, bytes a second
RD WR    read from and written to disks, bytes a second
RST      how often containers were started anew by their restart policy
HEALTH   by the health checks: ok, bad, or - where nothing is checked"""
_KEYS: Final = {
    "list": "enter open  l log  s shell  d describe  / filter  c m n sort  ? help  q quit",
    "log": "j k scroll  G follow  / filter  esc back  q quit",
    "page": "j k scroll  esc back  q quit",
}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
_FIXED: Final = (
    ("STATE", 8),
    ("HEALTH", 6),
    ("CPU", 5),
    ("MEM", 5),
    ("RX", 5),
    ("TX", 5),
    ("RD", 5),
    ("WR", 5),
    ("RST", 3),
)
_WIDE: Final = (("CPU%", 5), ("MEM%", 5), ("AGE", 6))
_WIDE_COLUMNS: Final = 110
"""From so many on, what is used is also told in percent of what is reserved, and the age."""


@dataclass(frozen=True)
class Act:
    """What a key asks of the world: the end, a shell in a container, the log or the description of something."""

    what: Literal["quit", "shell", "log", "describe", "back"]
    key: Key = ()


class View:
    """Feed it `document`, `events` and keys; `lines` is what is to be seen."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.trouble = ""
        """Why there are no new numbers."""
        self.said = ""
        """An answer to the last key."""
        self.mode: Literal["list", "log", "page"] = "list"
        self.level, self.above = Level.CLUSTERS, Key()
        self._began = False
        self._chosen: dict[Key, Key] = {}
        self._sort, self._filters = "name", {"list": "", "log": "", "page": ""}
        self._typing = False
        self._first = 0
        self._events: deque[tuple[str, Text]] = deque(maxlen=LINES_KEPT)
        self._colours: dict[str, str] = {}
        self._page: list[Text] = []
        self._title = ""
        self._offset = 0
        """Lines from the end of a log, from the beginning of a page."""
        self._height = 24

    # data

    def feed(self, document: dict[str, Any]) -> None:
        self.document, self.trouble = document, ""
        if not self._began:
            self._began = True
            found = rows(document, Level.CLUSTERS, ())
            if len(found) == 1:
                self.level, self.above = Level.SERVICES, found[0].key

    def add(self, events: Sequence[dict[str, Any]]) -> None:
        """Further lines of the log that is shown."""
        words = self._filters["log"].lower()
        if self._offset:
            self._offset += sum(words in each["message"].lower() for each in events)
        for each in events:
            colour = self._colours.setdefault(each["task"], _COLOURS[len(self._colours) % len(_COLOURS)])
            self._events.append((each["message"].lower(), line_of_event(each, colour)))

    def open_page(self, title: str, page: list[Text]) -> None:
        self.mode, self._title, self._page, self._offset = "page", title, page, 0
        self._filters["page"] = ""

    # keys

    def press(self, key: str) -> Act | None:
        self.said = ""
        if self._typing:
            self._type(key)
            return None
        match key:
            case "q":
                return Act("quit")
            case "/":
                self._typing, self._filters[self.mode] = True, ""
                return None
            case "?":
                self.open_page("Keys", [Text(each) for each in HELP.splitlines()])
                return None
        return self._press_list(key) if self.mode == "list" else self._press_text(key)

    def _type(self, key: str) -> None:
        words = self._filters[self.mode]
        if key == "enter":
            self._typing = False
        elif key == "esc":
            self._typing, words = False, ""
        elif key == "backspace":
            words = words[:-1]
        elif len(key) == 1 and key.isprintable():
            words += key
        self._filters[self.mode] = words
        self._offset = 0

    def _press_text(self, key: str) -> Act | None:
        if key in ("esc", "left", "h"):
            if self._filters[self.mode] and key == "esc":
                self._filters[self.mode], self._offset = "", 0
                return None
            was, self.mode = self.mode, "list"
            return Act("back") if was == "log" else None
        page, end = max(self._height - 2, 1), len(self._shown_text())
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -page, "page-down": page}.get(key, 0)
        if key in ("g", "home"):
            step = -end
        elif key in ("G", "end"):
            step = end
        self._offset += -step if self.mode == "log" else step
        self._offset = max(0, min(self._offset, end - page))
        return None

    def _press_list(self, key: str) -> Act | None:
        found = self.shown()
        chosen = self.chosen(found)
        at = next((index for index, each in enumerate(found) if chosen is not None and each.key == chosen.key), 0)
        page = max(self._height - 4, 1)
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -page, "page-down": page}.get(key)
        if key in ("g", "home"):
            step = -at
        elif key in ("G", "end"):
            step = len(found)
        if step is not None:
            if found:
                self._chosen[self.above] = found[max(0, min(at + step, len(found) - 1))].key
        elif key in ("esc", "left", "h"):
            self._up(clear_first=key == "esc")
        elif key in ("c", "m", "n"):
            self._sort = {"c": "cpu", "m": "memory", "n": "name"}[key]
        elif chosen is None:
            return None
        elif key in ("enter", "right"):
            return self._down(chosen)
        elif key in ("l", "s", "d"):
            return self._ask(key, chosen)
        return None

    def _up(self, *, clear_first: bool) -> None:
        if clear_first and self._filters["list"]:
            self._filters["list"] = ""
        elif self.level is not Level.CLUSTERS:
            self.level = LEVELS[LEVELS.index(self.level) - 1]
            # Where it came from is chosen, even if another was when it began here.
            came, self.above = self.above, self.above[: _above(self.level)]
            self._chosen[self.above] = came
            self._filters["list"] = ""

    def _down(self, chosen: Row) -> Act | None:
        if self.level is Level.CONTAINERS:
            return self._ask("l", chosen)
        self.level, self.above = LEVELS[LEVELS.index(self.level) + 1], chosen.key
        self._filters["list"] = ""
        return None

    def _ask(self, key: str, chosen: Row) -> Act | None:
        if key == "d":
            return Act("describe", chosen.key)
        if is_other(chosen.key):
            self.said = "Portside did not start it: its runtime has its log, and a shell"
            return None
        if self.level is Level.CLUSTERS:
            self.said = "choose a service, a task or a container"
            return None
        if key == "s":
            return self._shell(chosen)
        self.mode, self._offset, self._filters["log"] = "log", 0, ""
        self._title = "Log of " + "/".join((*chosen.key[2:3], *chosen.key[4:]))
        self._events.clear()
        return Act("log", chosen.key)

    def _shell(self, chosen: Row) -> Act | None:
        """In the only running container of what is chosen."""
        assert self.document is not None
        found = [chosen] if self.level is Level.CONTAINERS else rows(self.document, Level.CONTAINERS, chosen.key)
        running = [each.key for each in found if each.state == "running"]
        if len(running) == 1:
            return Act("shell", running[0])
        self.said = "choose one of its containers" if running else "nothing of it runs"
        return None

    # what is seen

    def shown(self) -> list[Row]:
        """The rows of the list, in their order."""
        if self.document is None:
            return []
        words = self._filters["list"].lower()
        found = [each for each in rows(self.document, self.level, self.above) if words in each.name.lower()]
        return sort_by(found, self._sort)

    def chosen(self, found: Sequence[Row]) -> Row | None:
        key = self._chosen.get(self.above)
        return next((each for each in found if each.key == key), found[0] if found else None)

    def lines(self, width: int, height: int) -> list[Text]:
        """Exactly `height` lines of at most `width` cells."""
        self._height = height
        body = max(height - 3, 1)
        middle = self._list(width, body) if self.mode == "list" else self._text(body)
        lines = [self._head(width), *middle]
        lines = lines[: height - 1] + [Text()] * (height - 1 - len(lines)) + [self._foot(width)]
        shown = [line.copy() for line in lines]
        for line in shown:
            line.truncate(width)
        return shown

    def _head(self, width: int) -> Text:
        if self.mode != "list":
            return Text(self._title, style="bold")
        path = [each for index, each in enumerate(self.above) if index in (2, 4)]
        path += [each[:8] for each in self.above[5:6]]
        left = Text(" › ".join([*path, self.level.name.lower()]), style="bold")
        if self.document is None:
            return left
        every = rows(self.document, self.level, self.above)
        cpu = sum(each.used.cpu or 0 for each in every)
        memory = sum(each.used.memory or 0 for each in every)
        reserved = sum(each.memory_reserved or 0 for each in every) if self.level is not Level.CONTAINERS else 0
        right = f"CPU {cpu:.2f}  MEM {size(memory)}" + (f" of {size(reserved)}" if reserved else "")
        left.truncate(max(width - len(right) - 2, 0))
        return Text.assemble(left, " " * max(width - left.cell_len - len(right), 1), (right, "dim"))

    def _foot(self, width: int) -> Text:
        words = self._filters[self.mode]
        if self._typing:
            return Text(f"/{words}▏", style="bold")
        if self.trouble:
            return Text(self.trouble, style="yellow")
        if self.said:
            return Text(self.said, style="yellow")
        keys = Text(_KEYS[self.mode], style="dim")
        if words:
            keys = Text.assemble((f"only with “{words}”  ", "yellow"), keys)
        keys.truncate(width)
        return keys

    def _list(self, width: int, body: int) -> list[Text]:
        found = self.shown()
        chosen = self.chosen(found)
        lines = [line_of_titles(self.level, width, self._sort)]
        if not found:
            words = self._filters["list"]
            said = "looking …" if self.document is None else f"nothing with “{words}”" if words else "there is nothing"
            return [*lines, Text(said, style="dim")]
        at = next(index for index, each in enumerate(found) if chosen is not None and each.key == chosen.key)
        self._first = max(min(self._first, at, max(len(found) - body, 0)), at - body + 1)
        for index, each in enumerate(found[self._first : self._first + body], self._first):
            line = line_of(each, width)
            if index == at:
                line.truncate(width, pad=True)
                line.stylize("reverse")
            lines.append(line)
        return lines

    def _shown_text(self) -> list[Text]:
        words = self._filters[self.mode].lower()
        if self.mode == "page":
            return [each for each in self._page if words in each.plain.lower()]
        return [line for message, line in self._events if words in message]

    def _text(self, body: int) -> list[Text]:
        found = self._shown_text()
        body += 1  # there are no titles
        if self.mode == "log":
            end = len(found) - min(self._offset, max(len(found) - body, 0))
            return found[max(end - body, 0) : end] or [Text("nothing yet", style="dim")]
        return found[self._offset : self._offset + body]


def _above(level: Level) -> int:
    """How long the keys are of what a level's rows are in."""
    index = LEVELS.index(level)
    return int(LEVELS[index - 1]) if index else 0


def line_of_event(event: dict[str, Any], colour: str) -> Text:
    """A log event; what would move the cursor is left out of it."""
    at = datetime.fromtimestamp(event["at"] / 1000).astimezone()
    message = event["message"].expandtabs(4)
    said = Text.from_ansi(message) if "\x1b" in message else Text(message)
    said = said if not _CONTROL.search(said.plain) else Text(_CONTROL.sub("", said.plain))
    who = event["task"][:8] + (f" {event['container']}" if event["containers"] > 1 else "")
    return Text.assemble((f"{at:%H:%M:%S} ", "dim"), (who, colour), " ", said)


def line_of_titles(level: Level, width: int, sort: str) -> Text:
    names = {"cpu": "CPU", "memory": "MEM"}
    line = Text(_cell(level.name, _name_width(width)), style="bold")
    for name, cells in _columns(width):
        line.append(" ")
        line.append(
            _cell(name, cells, right=name not in ("STATE", "HEALTH")), "underline" if names.get(sort) == name else ""
        )
    return line


def line_of(row: Row, width: int, indent: str = "") -> Text:
    """A row, in columns."""
    used = row.used
    colour = {True: "green", False: "red", None: "yellow"}[row.is_well]
    cells: dict[str, tuple[str, str]] = {
        "STATE": (row.state, colour),
        "HEALTH": (row.health, "red" if "bad" in row.health else "green" if row.health == "ok" else "dim"),
        "CPU": ("-" if used.cpu is None else f"{used.cpu:.2f}" if used.cpu < 100 else f"{used.cpu:.0f}", ""),
        "MEM": (size(used.memory), ""),
        "RX": (size(used.received), ""),
        "TX": (size(used.sent), ""),
        "RD": (size(used.read), ""),
        "WR": (size(used.written), ""),
        "RST": (str(row.restarts), "yellow" if row.restarts else "dim"),
        "CPU%": (_percent(used.cpu, row.cpu_reserved), ""),
        "MEM%": (_percent(used.memory, row.memory_reserved), ""),
        "AGE": ("-" if row.age_s is None else age(row.age_s), ""),
    }
    line = Text(_cell(indent + row.name, _name_width(width)))
    for name, columns in _columns(width):
        said, style = cells[name]
        line.append(" ")
        line.append(_cell(said, columns, right=name not in ("STATE", "HEALTH")), style)
    return line


def _columns(width: int) -> tuple[tuple[str, int], ...]:
    return (*_FIXED, *_WIDE) if width >= _WIDE_COLUMNS else _FIXED


def _name_width(width: int) -> int:
    return max(width - sum(cells + 1 for _, cells in _columns(width)), 8)


def _cell(words: str, width: int, *, right: bool = False) -> str:
    text = Text(_CONTROL.sub("", words))
    text.truncate(width, overflow="ellipsis")
    return " " * (width - text.cell_len) + text.plain if right else text.plain + " " * (width - text.cell_len)


def _percent(part: float | None, whole: float | None) -> str:
    return "-" if part is None or not whole else f"{100 * part / whole:.0f}%"


def size(number: float | None) -> str:
    """In at most five characters, in powers of 1024: `0`, `999`, `1.5K`, `1023M`."""
    if number is None:
        return "-"
    for unit in ("", "K", "M", "G", "T"):
        if number < 1023.5 or unit == "T":
            return f"{number:.1f}{unit}" if unit and number < 9.95 else f"{number:.0f}{unit}"
        number /= 1024
    raise AssertionError


def age(seconds: float) -> str:
    """In at most four characters: `59s`, `90m`, `47h`, `12d`."""
    for length, unit, most in ((1, "s", 120), (60, "m", 120), (3600, "h", 48)):
        if seconds < length * most:
            return f"{max(seconds, 0) // length:.0f}{unit}"
    return f"{seconds // 86400:.0f}d"
