"""A terminal taken over for a while: raw keys in, whole lines out, everything as it was at the end."""

import codecs
import os
import select
import sys
import termios
import tty
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from portside.cli.top.key import keys

_ESCAPE_S: Final = 0.05
"""So long after an escape more of a key's sequence may come."""
_BEGIN: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
_END: Final = "\x1b[?25h\x1b[?1049l"


class Screen:
    """The alternate screen of the terminal at standard input and output.

    Args: wake: a file descriptor; when it can be read, `keys` returns.
    Cleanup: `close`; after it `open` takes the terminal again.
    """

    def __init__(self, wake: int) -> None:
        self._wake = wake
        self._input = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._pending = ""
        self._lines: list[Text] = []
        self._drawn_for = (0, 0)
        self._before: list[Any] | None = None
        self._console = Console(highlight=False, soft_wrap=False)

    def open(self) -> None:
        self._before = termios.tcgetattr(self._input)
        tty.setcbreak(self._input)
        settings = termios.tcgetattr(self._input)
        settings[6][termios.VSUSP] = b"\x00"  # stopped it would leave the terminal as it is now
        termios.tcsetattr(self._input, termios.TCSANOW, settings)
        self._drawn_for = (0, 0)
        _write(_BEGIN)

    def close(self) -> None:
        if self._before is not None:
            _write(_END)
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)
            self._before = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        columns, lines = os.get_terminal_size(self._input)
        return max(columns or 80, 20), max(lines or 24, 4)

    def draw(self, lines: Sequence[Text]) -> None:
        """Only lines that changed are sent."""
        width = self.size[0]
        output = []
        if self._drawn_for != (width, len(lines)):
            output.append("\x1b[2J")
            self._lines = []
            self._drawn_for = (width, len(lines))
        for number, line in enumerate(lines):
            if number < len(self._lines) and self._lines[number] == line:
                continue
            with self._console.capture() as capture:
                self._console.print(line, end="", no_wrap=True, overflow="crop", width=width)
            # Erased before: behind a full line the cursor still stands on its last column.
            output.append(f"\x1b[{number + 1};1H\x1b[0m\x1b[2K{capture.get()}")
        self._lines = list(lines)
        if output:
            _write("".join(output))

    def keys(self, wait_s: float) -> list[str] | None:
        """Keys that were pressed, as soon as there is one; none when woken or after a while.

        Returns: None when there is no terminal any more."""
        ready, _, _ = select.select([self._input, self._wake], [], [], wait_s)
        if self._wake in ready:
            os.read(self._wake, 4096)
        if self._input not in ready:
            return []
        found: list[str] = []
        while True:
            try:
                data = os.read(self._input, 4096)
            except OSError:
                return None
            if not data:
                return None
            more, self._pending = keys(self._pending + self._decoder.decode(data), is_all=False)
            found += more
            if not self._pending:
                return found
            if not select.select([self._input], [], [], _ESCAPE_S)[0]:
                more, self._pending = keys(self._pending, is_all=True)
                return found + more


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
