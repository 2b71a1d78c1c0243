"""A program at a terminal of a test's own, and what is to be seen on it."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Iterator, Sequence

from portside.testing.wait import wait_for

TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(.)", re.DOTALL)


class Terminal:
    """Understands what `portside top` writes: the cursor's moves to a place, erasures, and characters."""

    def __init__(self, leader: int, columns: int, lines: int) -> None:
        self.leader, self._columns, self._lines = leader, columns, lines
        self._cells = [[" "] * columns for _ in range(lines)]
        self._line = self._column = 0
        self._is_taken = False
        """Whether the program draws on the alternate screen, where it must not write past the end of a line."""
        self._rest = b""
        self.written = b""

    def press(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        self._columns, self._lines = columns, lines
        self._cells = [[" "] * columns for _ in range(lines)]
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def text(self) -> str:
        """What is to be seen by now."""
        while select.select([self.leader], [], [], 0.05)[0]:
            try:
                data = os.read(self.leader, 65536)
            except OSError:  # the program has ended
                break
            self.written += data
            self._take(data)
        return "\n".join("".join(each).rstrip() for each in self._cells)

    def wait(self, *words: str, without: str = "\0") -> str:
        """What is to be seen once all these words are."""

        def there() -> str | None:
            text = self.text()
            return text if all(each in text for each in words) and without not in text else None

        try:
            found = wait_for(there, timeout_s=60, what=f"{words} on the terminal")
        except Exception as error:
            raise AssertionError(f"{words} are not on the terminal:\n{self.text()}") from error
        assert found is not None
        return found

    def _take(self, data: bytes) -> None:
        data = self._rest + data
        cut = data.rfind(b"\x1b")
        whole = data if cut < 0 or re.match(rb"\x1b\[[?\d;]*[A-Za-z]", data[cut:]) else data[:cut]
        while whole and (whole[-1] & 0xC0) == 0x80 and _is_cut(whole):
            whole = whole[:-1]
        self._rest = data[len(whole) :]
        for parameters, command, character in TOKEN.findall(whole.decode(errors="replace")):
            if character:
                self._put(character)
            elif command == "H":
                line, _, column = parameters.partition(";")
                self._line, self._column = int(line or 1) - 1, int(column or 1) - 1
            elif command == "K":
                self._cells[self._line] = [" "] * self._columns
            elif command == "J" or (command in "hl" and parameters == "?1049"):
                self._line = self._column = 0
                self._is_taken = command == "h" if parameters == "?1049" else self._is_taken
                self._cells = [[" "] * self._columns for _ in range(self._lines)]

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._line = min(self._line + 1, self._lines - 1)
        elif self._line < self._lines and character.isprintable():
            if self._column >= self._columns:
                assert not self._is_taken, f"line {self._line} is longer than the terminal is wide"
                return
            self._cells[self._line][self._column] = character
            self._column += 1


def _is_cut(data: bytes) -> bool:
    try:
        data[-4:].decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


@contextlib.contextmanager
def at_terminal(
    command: Sequence[str], *, columns: int = 80, lines: int = 24
) -> Iterator[tuple[Terminal, "subprocess.Popen[bytes]"]]:
    leader, follower = pty.openpty()
    terminal = Terminal(leader, columns, lines)
    terminal.resize(columns, lines)

    def own() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    environment = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, preexec_fn=own
    ) as program:
        try:
            yield terminal, program
        finally:
            program.kill()
            os.close(follower)
            os.close(leader)
