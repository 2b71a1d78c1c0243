"""What has changed, as a stream of server-sent events: pages read again what is said to be different, and only that."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Final

from portside.store.interface import Change, Store

GATHERED_S: Final = 0.15
"""Changes come in bursts (a task's start is some ten commits): those of so long a time are told at once."""

SILENCE_S: Final = 15.0
"""After so long without a change a comment is sent, so that either side notices that the other is gone."""

OF_ACCOUNT: Final = frozenset({"role", "policy", "instance_profile"})
"""Kinds of records that belong to no region: their keys are ACCOUNT/NAME."""

KEYS_MOST: Final = 100
"""So many records of a kind are named; of more it is said that any of them may be different."""


class Changes:
    """Streams of what is committed to a store, one for each open page.

    Args:
        gathered_s, silence_s: GATHERED_S and SILENCE_S, but in tests.
    """

    def __init__(self, store: Store, *, gathered_s: float = GATHERED_S, silence_s: float = SILENCE_S) -> None:
        self._store, self._gathered_s, self._silence_s = store, gathered_s, silence_s
        self._streams: set[_Stream] = set()
        self._leave: Callable[[], None] | None = None
        self._is_over = False

    @property
    def open(self) -> int:
        """How many pages listen."""
        return len(self._streams)

    def stream(
        self, account: str, region: str, holds: Callable[[], bool] = lambda: True
    ) -> AsyncGenerator[bytes, None]:
        """Events about an account's records in a region, and those of no region, from this call on.

        Args:
            holds: whether whoever listens still may; asked before each event.
        """
        stream = _Stream(account, region)
        if not self._is_over:
            self._streams.add(stream)
        if self._leave is None:
            self._leave = self._store.subscribe(self._hear)
        return self._told(stream, holds)

    def end(self) -> None:
        """End every stream, and take no more."""
        self._is_over = True
        for stream in self._streams:
            stream.woken.set()
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _hear(self, change: Change) -> None:
        for stream in self._streams:
            stream.hear(change)

    async def _told(self, stream: "_Stream", holds: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        try:
            # At once, so that the page knows that it misses nothing from here on.
            yield b"retry: 1000\nevent: ready\ndata: {}\n\n"
            while not self._is_over:
                try:
                    async with asyncio.timeout(self._silence_s):
                        await stream.woken.wait()
                except TimeoutError:
                    if not holds():
                        return
                    yield b": still here\n\n"
                    continue
                await asyncio.sleep(self._gathered_s)
                told = stream.take()
                if not holds():
                    return
                if told:
                    yield b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"
        finally:
            self._streams.discard(stream)


class _Stream:
    """What one page has not been told yet."""

    def __init__(self, account: str, region: str) -> None:
        self.woken = asyncio.Event()
        self._account, self._prefix = f"{account}/", f"{account}/{region}/"
        self._keys: dict[str, dict[str, None]] = {}

    def hear(self, change: Change) -> None:
        prefix = self._account if change.kind.name in OF_ACCOUNT else self._prefix
        if not change.key.startswith(prefix):
            return
        keys = self._keys.setdefault(change.kind.name, {})
        if len(keys) <= KEYS_MOST:
            keys[change.key.removeprefix(prefix)] = None
        self.woken.set()

    def take(self) -> dict[str, list[str] | None]:
        """The keys that changed, by kind; None for too many."""
        found, self._keys = self._keys, {}
        self.woken.clear()
        return {kind: list(keys) if len(keys) <= KEYS_MOST else None for kind, keys in found.items()}
