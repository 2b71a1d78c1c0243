"""An HTTP request as the gateway's steps see it, and its answer."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from portside.aws.service import Principal


@dataclass(slots=True)
class Request:
    """A request whose body has been read, still as it came over the wire.

    Args:
        path: as sent, percent-encoded.
        query: the raw query string, without the question mark.
        headers: lower-case names; repeated ones joined by a comma.
        body: as sent (the signature covers it so); `content` is the body after decoding.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    content: bytes = b""


@dataclass(slots=True)
class Answer:
    """A response. `body` may be a stream, sent chunk by chunk until it ends or the client goes away."""

    status: int
    content_type: str
    body: bytes | AsyncIterator[bytes]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WebSocket:
    """An accepted WebSocket. `receive` gives None once the client is gone."""

    path: str
    receive: Callable[[], Awaitable[str | bytes | None]]
    send: Callable[[bytes], Awaitable[None]]


SocketExtension = Callable[[WebSocket], Awaitable[None]]
"""An endpoint that speaks WebSocket; the connection is closed when it returns."""

ExtensionAnswer = tuple[int, str, bytes | AsyncIterator[bytes]]
Extension = Callable[[str, str, Mapping[str, str], bytes], Awaitable[ExtensionAnswer]]
"""An endpoint of Portside's own: (method, path, query, body) -> (status, content type, body or stream)."""

Receiver = Callable[[Request, str, str], Awaitable[ExtensionAnswer]]
"""An endpoint of a protocol that is not AWS's, posted to: (request, account, region) -> as an extension."""


@dataclass(frozen=True, slots=True)
class Caller:
    """In whose name the site calls.

    Args:
        access_key_id: the key that was proved, or the account where none is asked for.
        principal: the session that the key is of; without one, the account's root.
    """

    account: str
    access_key_id: str
    principal: Principal | None = None


class Inside(Protocol):
    """The gateway as the site calls it, which has found out itself who asks."""

    async def call(self, service: str, operation: str, region: str, caller: Caller, request: Request) -> Answer:
        """An operation of a service (botocore's name), with the request's body as its parameters: JSON both ways."""
        ...

    async def own(self, path: str, request: Request) -> Answer:
        """One of Portside's own endpoints, with the request's method, query and body."""
        ...


class Site(Protocol):
    """What people's browsers are shown at the endpoint's address."""

    def takes(self, request: Request) -> bool:
        """Whether a request is for the site and not for the API."""
        ...

    async def answer(self, request: Request, inside: Inside, foreign: str | None) -> Answer:
        """Args:
        inside: answers for whom the site has found to ask; the site asks for proof that its own page wants it.
        foreign: why the request must come from a page of another site, or None.
        """
        ...
