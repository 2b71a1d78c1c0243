"""Carries containers' output from conmon's files to where their log drivers put it, in order and to the last line.

One inotify instance serves all containers; a container that writes nothing costs nothing. The position in the file is
saved after the destination has taken the lines, so a crash in between repeats the last batch and never loses a line.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from portside.node import syscall
from portside.node.log.outlet import Kept, Outlet
from portside.node.log.sink import LogDestination

log = logging.getLogger(__name__)

BATCH_DELAY_S = 0.05
"""How long the first line of a batch waits for more."""
_CHUNK_BYTES = 128 * 1024  # at 40 bytes of overhead a line, well within CloudWatch's 10,000 events and 1 MiB
_PUNCH_BYTES = 1024 * 1024
_BLOCK_BYTES = 4096
_RETRY_MAX_S = 5.0


class _Position(Kept, frozen=True, kw_only=True):
    """How far the file has been delivered, and what the outlet has to remember."""

    offset: int = 0


@dataclass(eq=False)
class _Tail:
    container: str
    file: Path
    outlet: Outlet
    offset: int
    flush: asyncio.TimerHandle | None = None
    watch: int = -1
    dirty: bool = False
    punched: int = 0
    pending: int | None = None  # the position once the outlet has delivered
    worker: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def position_file(self) -> Path:
        return self.file.with_suffix(".position")


class LogForwarder:
    """
    Args:
        outlet: the one of a container, by its id, and with what an earlier one has kept.
    """

    def __init__(self, outlet: Callable[[str, LogDestination, Kept], Outlet]) -> None:
        self._outlet = outlet
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
        tail = _Tail(container, file, outlet, position.offset)
        self._tails[container] = tail
        self._kick(tail, delay_s=0.0)

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
                    tail.pending = tail.offset
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
        finally:
            tail.worker = None

    async def _forward(self, tail: _Tail) -> None:
        """All whole lines that are in the file now. Called with the lock held."""
        if tail.pending is not None:
            await self._deliver(tail)
        descriptor = os.open(tail.file, os.O_RDWR | os.O_CLOEXEC)
        try:
            while True:
                chunk = os.pread(descriptor, _CHUNK_BYTES, tail.offset)
                whole = chunk[: chunk.rfind(b"\n") + 1]
                if not whole:
                    return
                tail.outlet.feed(whole)
                tail.pending = tail.offset + len(whole)
                await self._deliver(tail)
                self._punch(tail, descriptor)
        finally:
            os.close(descriptor)

    async def _flush_old(self, tail: _Tail) -> None:
        """What has been gathered for long is an event as it is; what has not is looked at again."""
        wait_s = tail.outlet.ripen()
        if tail.outlet.has_more:
            tail.pending = tail.offset
            await self._deliver(tail)
        if wait_s is not None and tail.flush is None:
            tail.flush = asyncio.get_running_loop().call_later(wait_s + BATCH_DELAY_S, self._flush_later, tail)

    def _flush_later(self, tail: _Tail) -> None:
        tail.flush = None
        self._kick(tail)

    async def _deliver(self, tail: _Tail) -> None:
        assert tail.pending is not None
        await tail.outlet.deliver()
        tail.offset, tail.pending = tail.pending, None
        _save(tail)

    def _punch(self, tail: _Tail, descriptor: int) -> None:
        """Give forwarded blocks back, so that a talkative container does not fill the disk."""
        end = tail.offset - tail.offset % _BLOCK_BYTES
        if end - tail.punched < _PUNCH_BYTES:
            return
        with contextlib.suppress(OSError):  # a file system without holes: it keeps the blocks until the container goes
            syscall.punch_hole(descriptor, tail.punched, end - tail.punched)
        tail.punched = end


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
    data = msgspec.json.encode(_Position(offset=tail.offset, partial=kept.partial, held=kept.held))
    fresh = tail.position_file.with_suffix(".fresh")
    fresh.write_bytes(data)
    os.replace(fresh, tail.position_file)
