"""The loop of topics: what was published reaches its subscriptions, over HTTP, tried again as their policies say.

A notification is durable before it is tried. Where a connection goes is where a VPC's way out leads; to loopback
addresses, it is this machine.
"""

import asyncio
import base64
import http.client
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from portside.control.loop import Loop
from portside.domain import topic
from portside.domain.clock import Clock
from portside.domain.problem import FAILURE_MOST
from portside.domain.record import replace
from portside.domain.table import NOTIFICATION, SUBSCRIPTION, TOPIC
from portside.domain.topic import Notification
from portside.store.interface import Change, Delete, Put, Store

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 15.0
AT_ONCE: Final = 20
SWEEP_EVERY: Final = timedelta(hours=1)


class Outside(Protocol):
    def addresses(self, host: str) -> list[str]:
        """Of a name, those that may be asked. Blocks. Raises OSError."""
        ...

    def socket(self, family: int, kind: int) -> socket.socket:
        """Where a VPC's way out leads. Raises OSError: nothing may leave."""
        ...


class TopicLoop:
    """One worker per notification.

    Args:
        base_url: where this Portside answers.
    """

    def __init__(self, store: Store, clock: Clock, outside: Outside, base_url: str) -> None:
        self._store, self._clock, self._outside, self._base_url = store, clock, outside, base_url
        self._loop = Loop("topics", clock, self._step)
        self._free = asyncio.Semaphore(AT_ONCE)
        self._sweep_loop = Loop("pending subscriptions", clock, self._sweep, resync_s=2 * SWEEP_EVERY.total_seconds())
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for each in self._store.scan(NOTIFICATION):
            self._loop.wake(NOTIFICATION.key(each))
        self._sweep_loop.wake("all")

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()
        await self._sweep_loop.close()

    async def _sweep(self, _key: str) -> datetime:
        """Subscriptions that nobody has confirmed in time go, as on AWS."""
        now = self._clock.now()
        for each in list(self._store.scan(SUBSCRIPTION)):
            if not each.is_confirmed and now - each.created_at > topic.TOKEN_FOR:
                self._store.transact(Delete(SUBSCRIPTION, SUBSCRIPTION.key(each)))
        return now + SWEEP_EVERY

    def _changed(self, change: Change) -> None:
        if isinstance(change.value, Notification) and change.old is None:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        waiting = self._store.get(NOTIFICATION, key)
        if waiting is None:
            self._loop.finish(key)
            return None
        now = self._clock.now()
        if waiting.not_before is not None and waiting.not_before > now:
            return waiting.not_before
        prefix = waiting.scope.prefix
        to = self._store.get(SUBSCRIPTION, f"{prefix}{waiting.topic}/{waiting.subscription}")
        of = self._store.get(TOPIC, f"{prefix}{waiting.topic}")
        if to is None or of is None:
            self._store.transact(Delete(NOTIFICATION, key))
            return now
        headers, body = topic.request(waiting, to, self._base_url)
        async with self._free:
            error, is_final = await asyncio.to_thread(self._post, to.endpoint, headers, body)
        attempts = waiting.attempts + 1
        policy = topic.retry_of(of, to)
        pause_s = None if is_final else policy.delay_s(attempts)
        if not error or pause_s is None:
            if error:
                log.error("%s of %s is not delivered to %s: %s", waiting.kind, to.topic_arn, to.shown_endpoint, error)
            self._store.transact(Delete(NOTIFICATION, key))
            return self._clock.now()
        if attempts == 1:
            log.warning("%s does not take a message of %s yet: %s", to.shown_endpoint, to.topic_arn, error)
        not_before = self._clock.now() + timedelta(seconds=pause_s)
        tried = replace(waiting, attempts=attempts, failure=error[:FAILURE_MOST], not_before=not_before)
        self._store.transact(Put(NOTIFICATION, tried))
        return not_before

    def _post(self, endpoint: str, headers: dict[str, str], body: bytes) -> tuple[str, bool]:
        """Returns: what was wrong, "" for nothing; whether it will be the same next time."""
        parts = urlsplit(endpoint)
        host, is_tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        if parts.username is not None:
            who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = headers | {"Authorization": f"Basic {base64.b64encode(who.encode()).decode()}"}
        asked = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            asked.sock = self._connected(host, port, is_tls=is_tls)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            asked.request("POST", path, body, headers | {"Host": parts.netloc.rpartition("@")[2]})
            answer = asked.getresponse()
            answer.read(64 * 1024)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return str(error) or type(error).__name__, False
        finally:
            asked.close()
        if 200 <= answer.status < 300:
            return "", True
        return f"it answers {answer.status} {answer.reason}", topic.is_final(answer.status)

    def _connected(self, host: str, port: int, *, is_tls: bool) -> socket.socket:
        """Raises OSError, ValueError."""
        wrong: OSError = OSError(f"{host} has no address")
        for address in self._outside.addresses(host):
            parsed = ipaddress.ip_address(address)
            family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
            try:
                opened = (socket.socket if parsed.is_loopback else self._outside.socket)(family, socket.SOCK_STREAM)
            except OSError as error:
                wrong = error
                continue
            try:
                opened.settimeout(TIMEOUT_S)
                opened.connect((address, port))
                return ssl.create_default_context().wrap_socket(opened, server_hostname=host) if is_tls else opened
            except OSError as error:
                opened.close()
                wrong = error
        raise wrong
