"""Carries containers' output from conmon's files to where their log drivers put it, in order and to the last line.

One inotify instance serves all containers; a container that writes nothing costs nothing. The position in the file is
saved after the destination has taken the lines. A log store keeps with them which batch they were: after a crash in
between the next daemon finds that out and goes on behind it, so no line is lost and none comes twice. Docker's drivers
get the last batch again.

While the store takes nothing, output waits in its file. What stood there when it began to refuse stays, and in the mode
`non-blocking` as much of what is written from then on as the buffer is large: the oldest of that is given up, told and
counted. So a file takes no more of the disk than what stood in it and one buffer.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from portside.domain.task.record import LostOutput
from portside.node import syscall
from portside.node.log.cri import LineCounter
from portside.node.log.outlet import Kept, Outlet, now_ms
from portside.node.log.sink import LogDestination

log = logging.getLogger(__name__)

BATCH_DELAY_S = 0.05
"""How long the first line of a batch waits for more."""
_CHUNK_BYTES = 128 * 1024  # at 40 bytes of overhead a line, well within CloudWatch's 10,000 events and 1 MiB
_PUNCH_BYTES = 1024 * 1024
_BLOCK_BYTES = 4096
_LINE_MOST_BYTES = 16 * 1024  # of the file: conmon reads 8 KiB at once
_RETRY_MAX_S = 5.0
_LINES, _OLD, _END = "lines", "old", "end"
"""What made a batch: lines of the file; what was gathered for long; what was left at the container's end."""


class _Position(Kept, frozen=True, kw_only=True):
    """How far the file has been delivered, and what the outlet has to remember. `token`: the file's; `count`: batches
    of it that were put; `gaps`: from where to where the file is given up, ahead of the offset, at ends of lines;
    `lost`: how many lines that were, of how many bytes, since when."""

    token: str = ""
    count: int = 0
    lost: int = 0
    lost_bytes: int = 0
    lost_since_ms: int = 0
    offset: int = 0
    gaps: tuple[tuple[int, int], ...] = ()


@dataclass(eq=False)
class _Tail:
    container: str
    file: Path
    outlet: Outlet
    offset: int
    token: str
    count: int
    is_resumed: bool
    lost: int
    lost_bytes: int
    lost_since_ms: int
    gaps: list[tuple[int, int]]
    given_up: LineCounter = field(default_factory=LineCounter)
    stood: int = 0  # how long the file was when the destination began to refuse
    is_unsure: bool = False
    flush: asyncio.TimerHandle | None = None
    watch: int = -1
    dirty: bool = False
    punched: int = 0
    pending: tuple[int, str] | None = None  # the position once the outlet has delivered, and what it delivers
    worker: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def position_file(self) -> Path:
        return self.file.with_suffix(".position")


class LogForwarder:
    """
    Args:
        outlet: the one of a container, by its id, and with what an earlier one has kept.
        report: called with a container's id and all that has been given up of its output, when that has grown.
    """

    def __init__(
        self,
        outlet: Callable[[str, LogDestination, Kept], Outlet],
        report: Callable[[str, LostOutput], None] = lambda container, lost: None,
    ) -> None:
        self._outlet, self._report = outlet, report
        self._tails: dict[str, _Tail] = {}
        self._watches: dict[int, _Tail] = {}
        self._inotify = -1

    def start(self) -> None:
        """Raises OSError."""
        self._inotify = syscall.inotify_open()
        asyncio.get_running_loop().add_reader(self._inotify, self._readable)

    async def open(self, container: str, file: Path, destination: LogDestination) -> None:
        """Make the destination ready and forward what the file will hold. Raises what `Outlet.open` raises."""
        position = _load(file.with_suffix(".position"))
        outlet = self._outlet(container, destination, position)
        try:
            await outlet.open()
            file.touch()
        except BaseException:
            outlet.close()
            raise
        self._follow(container, file, outlet, position)

    def adopt(self, container: str, file: Path, destination: LogDestination) -> None:
        """Go on where an earlier daemon stopped. Idempotent."""
        if container not in self._tails:
            position = _load(file.with_suffix(".position"))
            self._follow(container, file, self._outlet(container, destination, position), position)

    def _follow(self, container: str, file: Path, outlet: Outlet, position: _Position) -> None:
        if container in self._tails:
            outlet.close()
            return
        is_new = not position.token
        token = position.token or secrets.token_hex(8)
        tail = _Tail(
            container=container,
            file=file,
            outlet=outlet,
            offset=position.offset,
            token=token,
            count=position.count,
            is_resumed=is_new,
            lost=position.lost,
            lost_bytes=position.lost_bytes,
            lost_since_ms=position.lost_since_ms,
            gaps=list(position.gaps),
        )
        if is_new:
            with contextlib.suppress(OSError):  # a full disk: batches may come twice, none is lost
                _save(tail)  # before the first batch: what is put of this file is known as that
        self._tails[container] = tail
        self._kick(tail, delay_s=0.0)

    def lost(self, container: str) -> LostOutput | None:
        """All that has been given up of its output; None if nothing was."""
        tail = self._tails.get(container)
        return _lost(tail) if tail is not None and tail.lost else None

    async def finish(self, container: str, timeout_s: float) -> bool:
        """Forward to the end of the file, the container having ended. False if not all was taken in time."""
        tail = self._tails.get(container)
        if tail is None:
            return True
        try:
            async with asyncio.timeout(timeout_s), tail.lock:
                await self._forward(tail)
                tail.outlet.end()
                if tail.outlet.has_more:
                    tail.pending = (tail.offset, _END)
                    await self._deliver(tail)
        except TimeoutError:
            return False
        await self.forget(container)
        return True

    async def forget(self, container: str) -> None:
        """Stop looking at the file."""
        tail = self._tails.pop(container, None)
        if tail is None:
            return
        self._disarm(tail)
        if tail.flush is not None:
            tail.flush.cancel()
        worker = tail.worker
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        tail.outlet.close()

    async def close(self) -> None:
        """Stop; what was not forwarded yet is forwarded by the next daemon."""
        for container in list(self._tails):
            await self.forget(container)
        if self._inotify >= 0:
            asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = -1

    # --- one wake-up -------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        for event in syscall.inotify_read(self._inotify):
            if event.mask & syscall.IN_Q_OVERFLOW:
                for tail in self._tails.values():
                    self._kick(tail)
            elif event.mask & syscall.IN_MODIFY and (found := self._watches.get(event.watch)) is not None:
                self._kick(found)

    def _arm(self, tail: _Tail) -> None:
        # One shot: a container that writes without end wakes the loop once per batch, not once per write.
        self._disarm(tail)
        tail.watch = syscall.inotify_add(self._inotify, str(tail.file), syscall.IN_MODIFY | syscall.IN_ONESHOT)
        self._watches[tail.watch] = tail

    def _disarm(self, tail: _Tail) -> None:
        if tail.watch >= 0:
            self._watches.pop(tail.watch, None)
            syscall.inotify_remove(self._inotify, tail.watch)
            tail.watch = -1

    def _kick(self, tail: _Tail, delay_s: float = BATCH_DELAY_S) -> None:
        tail.dirty = True
        if tail.worker is None:
            loop = asyncio.get_running_loop()
            tail.worker = loop.create_task(self._work(tail, delay_s), name=f"log:{tail.container}")

    async def _work(self, tail: _Tail, delay_s: float) -> None:
        failures = 0
        try:
            while tail.dirty:
                await asyncio.sleep(delay_s)
                async with tail.lock:
                    if self._tails.get(tail.container) is not tail:
                        return
                    tail.dirty = False
                    try:
                        self._arm(tail)
                        await self._forward(tail)
                        await self._flush_old(tail)
                        failures, delay_s = 0, BATCH_DELAY_S
                    except FileNotFoundError:
                        return
                    except Exception:
                        failures += 1
                        tail.dirty, delay_s = True, min(_RETRY_MAX_S, 0.1 * 2**failures)
                        log.exception("output of container %s waits: the destination refused it", tail.container)
                        with contextlib.suppress(OSError):
                            await self._give_up(tail)
        finally:
            tail.worker = None

    async def _forward(self, tail: _Tail) -> None:
        """All whole lines that are in the file now. Called with the lock held."""
        if not tail.is_resumed:
            await self._resume(tail)
        if tail.pending is not None:
            await self._deliver(tail)
        descriptor = os.open(tail.file, os.O_RDWR | os.O_CLOEXEC)
        try:
            while True:
                most = _CHUNK_BYTES
                if tail.gaps and (most := min(most, tail.gaps[0][0] - tail.offset)) <= 0:
                    await self._pass_gap(tail)
                    continue
                chunk = os.pread(descriptor, most, tail.offset)
                whole = chunk[: chunk.rfind(b"\n") + 1]
                if not whole:
                    if len(chunk) < most or (data := _past_hole(descriptor, tail.offset, chunk)) is None:
                        return
                    tail.offset = data
                    continue
                tail.outlet.feed(whole)
                tail.pending = (tail.offset + len(whole), _LINES)
                await self._deliver(tail)
                self._punch(tail, descriptor)
        finally:
            os.close(descriptor)

    async def _resume(self, tail: _Tail) -> None:
        """Go on behind a batch that the store has and the position file has not: what made it is done again, and what
        comes out is there already."""
        token, _, rest = (await tail.outlet.mark()).partition(":")
        count, _, rest = rest.partition(":")
        if token == tail.token and int(count) == tail.count + 1:
            offset, _, kind = rest.partition(":")
            if kind == _LINES:
                while tail.gaps and tail.gaps[0][0] < int(offset):  # passed, and not noted: the disk was full
                    tail.offset = tail.gaps.pop(0)[1]
                tail.outlet.feed(_between(tail.file, tail.offset, int(offset)))
                tail.offset = int(offset)
            elif kind == _END:
                tail.outlet.end()
            else:
                tail.outlet.ripen()
            tail.outlet.drop()
            tail.count += 1
            _save(tail)
        tail.is_resumed = True

    async def _pass_gap(self, tail: _Tail) -> None:
        """On behind what was given up. What it cut off, a line in parts or lines gathered for one event, ends here."""
        tail.outlet.end()
        if tail.outlet.has_more:
            tail.pending = (tail.offset, _END)
            await self._deliver(tail)
        tail.offset = tail.gaps.pop(0)[1]
        _save(tail)

    async def _give_up(self, tail: _Tail) -> None:
        """Of what was written since the destination refuses, the oldest beyond what the buffer holds."""
        most = tail.outlet.buffer_bytes
        if most is None:
            return
        size = tail.file.stat().st_size
        if tail.offset >= tail.stood:  # until that is delivered, one buffer has to do: so the file does not grow on
            tail.stood = size
        begins = max(tail.stood, tail.pending[0] if tail.pending is not None else 0)  # the batch at hand is not in it
        if size - begins <= most:
            return
        descriptor = os.open(tail.file, os.O_RDWR | os.O_CLOEXEC)
        try:
            if tail.gaps and tail.gaps[-1][1] >= begins:
                begin, end = tail.gaps[-1]
            elif (found := _end_of_line(descriptor, begins)) is not None:
                begin = end = found
            else:
                return
            lines, count = 0, 0
            before = end
            while (over := os.fstat(descriptor).st_size - end - most) > 0:
                chunk = os.pread(descriptor, min(_CHUNK_BYTES, over + _LINE_MOST_BYTES), end)
                whole = chunk[: chunk.find(b"\n", over - 1) + 1] or chunk[: chunk.rfind(b"\n") + 1]
                if not whole:
                    break
                more = tail.given_up.count(whole)
                lines, count, end = lines + more[0], count + more[1], end + len(whole)
                await asyncio.sleep(0)  # there may be much of it, and others want to be forwarded
            if end == before:
                return
            tail.gaps[:] = [*(each for each in tail.gaps if each[0] != begin), (begin, end)]
            tail.lost, tail.lost_bytes = tail.lost + lines, tail.lost_bytes + count
            tail.lost_since_ms = tail.lost_since_ms or now_ms()
            self._give_back(tail, descriptor, max(begin, before - before % _BLOCK_BYTES), end)
        finally:
            os.close(descriptor)
        if lines:
            log.warning(
                "%d lines of container %s are lost, %d so far: its log store takes nothing, and its buffer of %d bytes "
                "is full",
                *(lines, tail.container, tail.lost, most),
            )
            self._report(tail.container, _lost(tail))

    def _give_back(self, tail: _Tail, descriptor: int, begin: int, end: int) -> None:
        """Note a gap that has grown, then give its blocks back."""
        try:
            _save(tail)
        except OSError:  # the disk is full: the blocks make room for the note
            _free(descriptor, begin, end)
            with contextlib.suppress(OSError):
                _save(tail)
        else:
            _free(descriptor, begin, end)

    async def _flush_old(self, tail: _Tail) -> None:
        """What has been gathered for long is an event as it is; what has not is looked at again."""
        wait_s = tail.outlet.ripen()
        if tail.outlet.has_more:
            tail.pending = (tail.offset, _OLD)
            await self._deliver(tail)
        if wait_s is not None and tail.flush is None:
            tail.flush = asyncio.get_running_loop().call_later(wait_s + BATCH_DELAY_S, self._flush_later, tail)

    def _flush_later(self, tail: _Tail) -> None:
        tail.flush = None
        self._kick(tail)

    async def _deliver(self, tail: _Tail) -> None:
        assert tail.pending is not None
        offset, kind = tail.pending
        if tail.outlet.has_more:
            mark = f"{tail.token}:{tail.count + 1}:{offset}:{kind}"
            if tail.is_unsure and await tail.outlet.mark() == mark:
                tail.outlet.drop()  # a delivery that was cancelled has been done
            else:
                tail.is_unsure = True
                await tail.outlet.deliver(mark)
            tail.is_unsure = False
            tail.count += 1
        tail.offset, tail.pending = offset, None
        _save(tail)

    def _punch(self, tail: _Tail, descriptor: int) -> None:
        """Give forwarded blocks back, so that a talkative container does not fill the disk."""
        end = tail.offset - tail.offset % _BLOCK_BYTES
        if end - tail.punched < _PUNCH_BYTES:
            return
        _free(descriptor, tail.punched, end)
        tail.punched = end


def _free(descriptor: int, begin: int, end: int) -> None:
    with contextlib.suppress(OSError):  # a file system without holes: it keeps the blocks until the container goes
        syscall.punch_hole(descriptor, begin, end - begin)


def _end_of_line(descriptor: int, at: int) -> int | None:
    """Where the line that is written there ends: there, or behind it. None if it goes on."""
    text = os.pread(descriptor, _LINE_MOST_BYTES, max(at - 1, 0))
    if at == 0 or text[:1] == b"\0":  # given back: with the whole line
        return at
    found = text.find(b"\n")
    return at + found if found >= 0 else None


def _past_hole(descriptor: int, offset: int, chunk: bytes) -> int | None:
    """Where data begins behind a hole that the chunk, which has no end of a line, is in: of a position that was lost.
    None if it is in none."""
    if (hole := chunk.find(b"\0")) < 0:
        return None
    try:
        data = os.lseek(descriptor, offset + hole, os.SEEK_DATA)
    except OSError:
        return None  # nothing is behind it
    return data if data > offset + hole else None


def _lost(tail: _Tail) -> LostOutput:
    since = datetime.fromtimestamp(tail.lost_since_ms / 1000, UTC)
    return LostOutput(lines=tail.lost, size_bytes=tail.lost_bytes, since=since)


def _between(file: Path, begin: int, end: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(begin)
        return opened.read(end - begin)


def _load(file: Path) -> _Position:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Position)
    except FileNotFoundError:
        return _Position()
    except msgspec.DecodeError:
        log.warning("%s is not readable (the machine crashed?): the output is forwarded from its beginning", file)
        return _Position()


def _save(tail: _Tail) -> None:
    kept = tail.outlet.kept()
    position = _Position(
        token=tail.token,
        count=tail.count,
        lost=tail.lost,
        lost_bytes=tail.lost_bytes,
        lost_since_ms=tail.lost_since_ms,
        offset=tail.offset,
        gaps=tuple(tail.gaps),
        partial=kept.partial,
        held=kept.held,
    )
    data = msgspec.json.encode(position)
    fresh = tail.position_file.with_suffix(".fresh")
    fresh.write_bytes(data)
    os.replace(fresh, tail.position_file)
