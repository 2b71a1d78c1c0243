"""Docker's driver `syslog`: each line a datagram or a piece of a stream, from where the container's instance is.

Formats and framing: RFC 3164, RFC 5424, RFC 5425, as Docker's driver writes them. A receiver that is away costs lines:
a line is tried twice, with a new connection, and dropped then.
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final

from portside.domain import log_driver
from portside.domain.log_driver import Syslog
from portside.node import syscall
from portside.node.log.docker import DockerOutlet, Line
from portside.node.log.outlet import CannotLog, Kept

log = logging.getLogger(__name__)

LOCAL: Final = ("/dev/log", "/var/run/syslog", "/var/run/log")
_TIMEOUT_S: Final = 5.0
_ERROR: Final = 3
_INFO: Final = 6


class SyslogOutlet(DockerOutlet):
    """
    Args:
        root: opens the "/" of the container's instance; raises OSError.
        within: runs something where its network is; raises OSError.
        addresses: of a name, as it is known there; raises OSError.
    """

    def __init__(
        self,
        wanted: Syslog,
        tag: str,
        hostname: str,
        kept: Kept,
        *,
        root: Callable[[], int],
        within: Callable[[Callable[[], socket.socket]], socket.socket],
        addresses: Callable[[str], list[str]],
    ) -> None:
        super().__init__(kept)
        self._addresses = addresses
        self._wanted, self._tag, self._hostname = wanted, tag, hostname
        self._root, self._within = root, within
        self._is_closed = False
        self._socket: socket.socket | None = None
        self._is_away = False

    async def open(self) -> None:
        try:
            self._socket = await asyncio.to_thread(self._connected)
        except (OSError, ValueError) as error:
            raise CannotLog(f"failed to initialize logging driver: {self._said(error)}") from error

    def feed(self, lines: bytes) -> None:
        self._pending += [each for each in self._lines.feed(lines) if each.content]

    def close(self) -> None:
        self._is_closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _deliver_all(self) -> None:
        dropped = 0
        while self._pending:
            if not self._sent(message(self._wanted, self._pending[0], self._tag, self._hostname)):
                dropped = self.drop()
                break
            self._pending.popleft()
        if dropped and not self._is_away:
            log.warning("the syslog receiver %s is away: lines are dropped, %d by now", self._where, dropped)
        self._is_away = bool(dropped)

    def _sent(self, text: bytes) -> bool:
        for _ in range(0 if self._is_closed else 2):
            try:
                if self._socket is None:
                    self._socket = self._connected()
                self._socket.sendall(text)
            except (OSError, ValueError):
                self._disconnect()
                continue
            return True
        return False

    def _connected(self) -> socket.socket:
        """Raises OSError, ValueError."""
        wanted = self._wanted
        if not wanted.transport:
            return self._local()
        if wanted.transport in ("unix", "unixgram"):
            kind = socket.SOCK_STREAM if wanted.transport == "unix" else socket.SOCK_DGRAM
            return self._of_path(wanted.host, kind)
        is_datagram = wanted.transport == "udp"
        host = wanted.host if log_driver.is_address(wanted.host) else self._addresses(wanted.host)[0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def connect() -> socket.socket:
            made = socket.socket(family, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM)
            return _to(made, (host, wanted.port))

        made = self._within(connect)
        if wanted.transport != "tcp+tls":
            return made
        try:
            return self._context().wrap_socket(made, server_hostname=wanted.host)
        except BaseException:
            made.close()
            raise

    def _local(self) -> socket.socket:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for path in LOCAL:
                with contextlib.suppress(OSError):
                    return self._of_path(path, kind)
        raise OSError(0, "Unix syslog delivery error")

    def _of_path(self, path: str, kind: int) -> socket.socket:
        opened = self._opened(path, os.O_PATH)
        try:
            return _to(socket.socket(socket.AF_UNIX, kind), f"/proc/self/fd/{opened}")
        finally:
            os.close(opened)

    def _opened(self, path: str, flags: int) -> int:
        """Of the instance's files, whatever links are there."""
        root = self._root()
        try:
            return syscall.open_in_root(root, path, flags)
        finally:
            os.close(root)

    def _context(self) -> ssl.SSLContext:
        wanted = self._wanted
        context = ssl.create_default_context()
        if wanted.ca_file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            with os.fdopen(self._opened(wanted.ca_file, os.O_RDONLY), encoding="ascii", errors="replace") as file:
                context.load_verify_locations(cadata=file.read())
        if wanted.is_unverified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if wanted.certificate_file and wanted.key_file:
            certificate = self._opened(wanted.certificate_file, os.O_RDONLY)
            try:
                key = self._opened(wanted.key_file, os.O_RDONLY)
                try:
                    context.load_cert_chain(f"/proc/self/fd/{certificate}", f"/proc/self/fd/{key}")
                finally:
                    os.close(key)
            finally:
                os.close(certificate)
        return context

    @property
    def _where(self) -> str:
        wanted = self._wanted
        if not wanted.transport:
            return LOCAL[0]
        port = f":{wanted.port}" if wanted.port else ""
        return f"{wanted.transport}://{wanted.host}{port}"

    def _said(self, error: Exception) -> str:
        """As Go's network library."""
        wanted = self._wanted
        words = ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
        if not wanted.transport:
            return words if "unix syslog" not in words else "Unix syslog delivery error"
        if wanted.transport in ("unix", "unixgram"):
            return f"dial {wanted.transport} {wanted.host}: connect: {words}"
        if words.startswith("lookup "):
            return f"dial {wanted.transport.removesuffix('+tls')}: {words}"
        return f"dial {wanted.transport.removesuffix('+tls')} {wanted.host}:{wanted.port}: connect: {words}"


def message(wanted: Syslog, line: Line, tag: str, hostname: str) -> bytes:
    """What is sent of a line."""
    priority = wanted.facility * 8 + (_ERROR if line.stream == "stderr" else _INFO)
    second = f"{line.at[:19]}Z"
    at = datetime.fromisoformat(f"{line.at[:19]}+00:00")
    stamp, pid = f"{at:%b} {at.day:2d} {at:%H:%M:%S}", os.getpid()
    match wanted.style:
        case "":
            head = f"<{priority}>{stamp} {tag}[{pid}]: "
        case "rfc3164":
            head = f"<{priority}>{stamp} {hostname} {tag}[{pid}]: "
        case "rfc5424":
            head = f"<{priority}>1 {second} {hostname} {tag} {pid} {tag} - "
        case _:
            head = f"<{priority}>1 {line.at[:26]}Z {hostname} {tag} {pid} {tag} - "
    text = head.encode() + line.content
    text += b"" if text.endswith(b"\n") else b"\n"
    is_framed = wanted.transport == "tcp+tls" and wanted.style.startswith("rfc5424")
    return f"{len(text)} ".encode() + text if is_framed else text


def _to(made: socket.socket, address: tuple[str, int] | str) -> socket.socket:
    try:
        made.settimeout(_TIMEOUT_S)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made
