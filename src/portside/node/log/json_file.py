"""Docker's driver `json-file`: an object a line, in files that are put aside when they are long.

They are where Docker has them, `/var/lib/docker/containers/ID/ID-json.log` of the container instance, so that what
mounts that directory to read other containers' output finds it.
"""

import asyncio
import contextlib
import gzip
import io
import json
import os
import shutil
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from portside.domain.log_driver import JsonFile
from portside.node.log.docker import DockerOutlet, Line
from portside.node.log.outlet import Kept

_ESCAPED: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_GZIP: Final = ".gz"


class Found(NamedTuple):
    """A line that was written. `id` sorts within a container."""

    at_ms: int
    id: str
    message: str


class JsonFileOutlet(DockerOutlet):
    """
    Args:
        folder: opens the container's directory, made if need be; blocks; raises OSError.
    """

    def __init__(
        self, container: str, wanted: JsonFile, attributes: Mapping[str, str], folder: Callable[[], int], kept: Kept
    ) -> None:
        super().__init__(kept)
        self._name, self._wanted, self._folder = f"{container}-json.log", wanted, folder
        self._attributes = _text(dict(sorted(attributes.items()))) if attributes else ""

    async def open(self) -> None:
        await asyncio.to_thread(lambda: os.close(self._folder()))

    def close(self) -> None:
        pass

    def _deliver_all(self) -> None:
        folder = self._folder()
        try:
            while self._pending:
                self._fill(folder)
        finally:
            os.close(folder)

    def _fill(self, folder: int) -> None:
        """Write to the file as much as it takes. Lines are pending until they are in it."""
        file = _opened(folder, self._name)
        try:
            size = os.fstat(file).st_size
            most = self._wanted.size_bytes
            if most is not None and size >= most:
                self._put_aside(folder, file)
                if self._wanted.files > 1:
                    return
                size = 0
            taken, text = 0, bytearray()
            for line in self._pending:
                if most is not None and size + len(text) >= most:
                    break
                text += self._entry(line)
                taken += 1
            try:
                _write_all(file, text)
            except OSError:
                os.ftruncate(file, size)  # a full disk: none of them, so that they can be written again
                raise
            for _ in range(taken):
                self._pending.popleft()
        finally:
            os.close(file)

    def _put_aside(self, folder: int, file: int) -> None:
        if self._wanted.files < 2:
            os.ftruncate(file, 0)
            return
        if self._wanted.is_compressed:
            self._compress(folder)  # what a killed daemon left
        ending = _GZIP if self._wanted.is_compressed else ""
        for number in range(self._wanted.files - 1, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                self._rename(folder, f".{number - 1}{ending}", f".{number}{ending}")
        self._rename(folder, "", ".1")
        if self._wanted.is_compressed:
            self._compress(folder)

    def _compress(self, folder: int) -> None:
        """The first of those put aside, if it is not yet; whole or not at all."""
        try:
            plain = os.open(f"{self._name}.1", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return
        with os.fdopen(plain, "rb") as source:
            packed = _opened(folder, f"{self._name}.1{_GZIP}.new")
            with os.fdopen(packed, "wb") as output:
                output.truncate(0)
                with gzip.GzipFile(fileobj=output, mode="wb") as zipped:
                    shutil.copyfileobj(source, zipped, 1024 * 1024)
        self._rename(folder, f".1{_GZIP}.new", f".1{_GZIP}")
        os.unlink(f"{self._name}.1", dir_fd=folder)

    def _rename(self, folder: int, old: str, new: str) -> None:
        os.rename(f"{self._name}{old}", f"{self._name}{new}", src_dir_fd=folder, dst_dir_fd=folder)

    def _entry(self, line: Line) -> bytes:
        content = line.content.decode(errors="replace") + ("\n" if line.is_whole else "")
        attributes = f',"attrs":{self._attributes}' if self._attributes else ""
        at = line.at[:-1].rstrip("0").rstrip(".") + "Z"
        return f'{{"log":{_text(content)},"stream":"{line.stream}"{attributes},"time":"{at}"}}\n'.encode()


def found(
    folder: int, container: str, *, start_ms: int | None, after: str | None, from_head: bool, limit: int
) -> list[Found]:
    """Lines of a container, in order: the first `limit` from a time or after an id on, or the last ones.

    Args: folder: the container's directory. Raises OSError."""
    since_ns = int(after.partition(".")[0]) if after is not None else (start_ms or 0) * 1_000_000
    name = f"{container}-json.log"
    numbers = sorted(_aside(folder, name), reverse=True)
    lines: deque[Found] = deque(maxlen=None if from_head else limit)
    name_line = _Names()
    for each in [*(file for _, file in numbers), name]:
        for line in _lines(folder, each, since_ns, name_line, last=None if from_head else limit):
            if after is not None and line.id <= after:
                continue
            lines.append(line)
            if from_head and len(lines) >= limit:
                return list(lines)
    return list(lines)


class _Entry(msgspec.Struct):
    log: str
    time: str


class _Names:
    """Gives lines their ids: their time, and the how manieth of it they are, over all files."""

    def __init__(self) -> None:
        self._before, self._count = 0, 0

    def __call__(self, at_ns: int) -> str:
        self._count = self._count + 1 if at_ns == self._before else 0
        self._before = at_ns
        return f"{at_ns:020d}.{self._count:06d}"


def _lines(folder: int, name: str, since_ns: int, name_line: _Names, *, last: int | None) -> Iterator[Found]:
    """Lines of one file from a time on, parts joined. `last`: no more are needed than so many of the last."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return  # put further aside this moment
    raw = os.fdopen(opened, "rb")
    with raw:
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            return
        file: io.BufferedIOBase = raw
        if name.endswith(_GZIP):
            file = gzip.GzipFile(fileobj=raw)
        elif last is not None and not since_ns:
            _seek_last(raw, last)
        else:
            _seek_time(raw, since_ns)
        open_text = ""
        for line in _whole_lines(file):
            entry = _decoded(line)
            if entry is None:
                continue
            at_ns = _ns(entry.time)
            if at_ns < since_ns:
                open_text = ""
                continue
            open_text += entry.log
            if entry.log.endswith("\n"):
                yield Found(at_ns // 1_000_000, name_line(at_ns), open_text[:-1])
                open_text = ""


def _whole_lines(file: io.BufferedIOBase) -> Iterator[bytes]:
    with contextlib.suppress(EOFError, gzip.BadGzipFile, zlib.error):  # somebody else's file
        yield from file


def _seek_last(file: io.BufferedReader, last: int) -> None:
    """To the beginning of a line, with at least so many to come, if there are."""
    end = file.seek(0, io.SEEK_END)
    reach = 64 * 1024
    while reach < end:
        file.seek(end - reach)
        if file.read(reach).count(b"\n") > last + 1:
            file.seek(end - reach)
            file.readline()
            return
        reach *= 4
    file.seek(0)


def _seek_time(file: io.BufferedReader, since_ns: int) -> None:
    """To the first line that is not older. Lines are in order of time."""
    low, high = 0, file.seek(0, io.SEEK_END)
    while low < high:
        middle = (low + high) // 2
        file.seek(max(middle - 1, 0))
        if middle:
            file.readline()
        at = file.tell()
        line = file.readline()
        entry = _decoded(line)
        if line and entry is not None and _ns(entry.time) < since_ns:
            low = at + len(line)
        else:
            high = middle
    file.seek(low)


def _aside(folder: int, name: str) -> Iterator[tuple[int, str]]:
    # A descriptor that was opened with O_PATH can not be listed itself.
    for each in os.listdir(f"/proc/self/fd/{folder}"):
        number = each.removeprefix(f"{name}.").removesuffix(_GZIP)
        if each.startswith(f"{name}.") and number.isascii() and number.isdigit():
            yield int(number), each


def _decoded(line: bytes) -> _Entry | None:
    try:
        return msgspec.json.decode(line, type=_Entry)
    except msgspec.MsgspecError:
        return None  # the last one, half written


def _ns(text: str) -> int:
    """Raises ValueError."""
    second, _, fraction = text.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(f"{second}+00:00").timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _opened(folder: int, name: str) -> int:
    """A file to append to. What else is there by that name, put there by a task that mounts the directory, goes."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(2):
        with contextlib.suppress(OSError):
            file = os.open(name, flags, 0o640, dir_fd=folder)
            if stat.S_ISREG(os.fstat(file).st_mode):
                return file
            os.close(file)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
    return os.open(name, flags, 0o640, dir_fd=folder)


def _write_all(file: int, text: bytes | bytearray) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]


def _text(value: object) -> str:
    """JSON as Go's encoder writes it."""
    found = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escaped in _ESCAPED.items():
        if character in found:
            found = found.replace(character, escaped)
    return found
