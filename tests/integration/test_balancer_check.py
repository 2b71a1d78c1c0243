"""Checks of Network Load Balancers' targets that speak another protocol than their traffic, through real Envoy."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest
from test_balancer_tls import ONE, Lab, in_lab

from portside.domain.load_balancer import HealthCheck
from portside.testing.balancer_lab import LabAuthority, forward, group, target
from portside.testing.netns_lab import inside

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_checked_by_https_at_another_port(tmp_path: Path, protocol: str) -> None:
    """Targets of TCP or datagrams are checked by HTTPS at a port of its own, whatever certificate they show; with an
    answer that is none of those wanted they are unhealthy."""

    async def body(lab: Lab) -> None:
        certificate = LabAuthority().issue("elsewhere.test")
        pem = tmp_path / "target.pem"
        pem.write_text(certificate.chain_pem + certificate.key_pem)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        status = "200 OK"

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                asked = await reader.readuntil(b"\r\n\r\n")
                assert asked.startswith(b"GET /up ")
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                writer.close()

        def make() -> socket.socket:
            made = socket.create_server((ONE, 8443))
            made.setblocking(False)
            return made

        listening = await asyncio.to_thread(inside, lab.netns.path, make)
        server = await asyncio.start_server(serve, sock=listening, ssl=context)
        check = HealthCheck(protocol="HTTPS", port="8443", path="/up", matcher="200-399", interval_s=1, timeout_s=1)
        g = group("g", protocol=protocol, protocol_version="", health_check=check)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen_tcp(5432, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        status = "503 Service Unavailable"
        assert (await lab.reports.wait(ONE, "unhealthy")).reason_code == "Target.ResponseCodeMismatch"
        server.close()

    in_lab(tmp_path, body)
