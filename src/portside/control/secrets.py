"""The secret loop: a secret whose recovery window is over is removed, with all that it holds."""

from collections.abc import Callable
from datetime import datetime

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.secret import Secret
from portside.domain.table import SECRET, SECRET_VALUE
from portside.store.interface import Change, Delete, Store


class SecretLoop:
    """One worker per secret that is to be deleted."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._loop = Loop("secret", clock, self._step)
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for secret in self._store.scan(SECRET):
            if secret.delete_at is not None:
                self._loop.wake(SECRET.key(secret))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        if isinstance(change.value, Secret) and change.value.delete_at is not None:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(SECRET, key)
        if stored is None or stored.value.delete_at is None:
            self._loop.finish(key)
            return None
        secret, due = stored.value, stored.value.delete_at
        if self._clock.now() < due:
            return due
        held = self._store.scan(SECRET_VALUE, f"{key}-{secret.suffix}/")
        values = [Delete(SECRET_VALUE, SECRET_VALUE.key(each)) for each in held]
        self._store.transact(*values, Delete(SECRET, key, stored.version))
        self._loop.finish(key)
        return None
