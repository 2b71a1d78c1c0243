"""HTTPS listeners on the real Envoy, in a namespace of the test's own: certificates, names, policies, HTTP/2."""

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from portside.api.elbv2.lookup import SERVED_KEYS
from portside.balancer.envoy import EnvoyBalancer
from portside.control.loop import spawn
from portside.domain.load_balancer import HealthCheck
from portside.domain.load_balancer_metric import ListenerCounts
from portside.domain.record import replace
from portside.domain.ssl_policy import POLICIES
from portside.settings import Settings
from portside.testing.balancer_lab import (
    LEG,
    Balancer,
    LabAuthority,
    Reports,
    eventually,
    fixed,
    forward,
    group,
    target,
)
from portside.testing.netns_lab import Netns, WebServer, envoys, inside, listen

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")]

ONE = "10.0.1.10"


class Lab:
    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True)
        self.settings = Settings(data_dir=data_dir, hosts_file=data_dir.parent / "hosts", egress="none")
        self.netns = Netns()
        self.netns.add_address(LEG, ONE)
        self.envoy = EnvoyBalancer(self.settings)
        self.authority = LabAuthority()
        self.reports = Reports()
        self.web = Balancer("web", self.netns.path)

    async def apply(self) -> None:
        await self.envoy.apply([self.web.config()])

    def context(
        self, *, versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None, alpn: tuple[str, ...] = ()
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.root_pem)
        if versions is not None:
            context.minimum_version, context.maximum_version = versions
            context.set_ciphers("ALL:@SECLEVEL=0")
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    async def open(
        self, name: str, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, ssl.SSLObject]:
        """A connection that has checked the certificate for this name."""

        def make() -> socket.socket:
            made = socket.create_connection((LEG, 443), timeout=10)
            made.setblocking(False)
            return made

        connection = await asyncio.to_thread(inside, self.netns.path, make)
        try:
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=context or self.context(), server_hostname=name
            )
        except BaseException:
            connection.close()
            raise
        return reader, writer, writer.get_extra_info("ssl_object")

    async def get(self, name: str, path: str = "/") -> str:
        """The whole answer to a request of its own connection."""
        reader, writer, _ = await self.open(name)
        return await ask(reader, writer, name, path, close=True)

    async def serial(self, name: str) -> str:
        """That of the certificate which this name gets."""
        _, writer, tls = await self.open(name)
        found = tls.getpeercert()
        writer.close()
        assert found is not None
        return str(found["serialNumber"])

    async def close(self) -> None:
        await self.envoy.stop()
        self.netns.close()
        assert envoys(self.settings.data_dir) == []
        assert not self.settings.run_dir.exists()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, path: str = "/", *, close: bool = False
) -> str:
    end = "Connection: close\r\n" if close else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n{end}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length"))
    body = (await reader.readexactly(length)).decode()
    if close:
        writer.close()
    return head + body


def in_lab(tmp_path: Path, body: Callable[[Lab], Awaitable[None]]) -> None:
    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[Lab]:
        lab = Lab(tmp_path / "data")
        try:
            await lab.envoy.start(lab.reports)
            yield lab
        finally:
            await lab.close()

    async def run() -> None:
        async with made() as lab:
            await body(lab)

    asyncio.run(run())


def test_each_name_gets_its_certificate(tmp_path: Path) -> None:
    """Clients get the certificate of the name that they ask for, with wildcards, and the default one for any other; the
    target hears that the request came by HTTPS, and nobody but root can read the keys."""

    async def body(lab: Lab) -> None:
        server = await WebServer(lab.netns.path, ONE, 8080, "server-1").start()
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        issue = lab.authority.issue
        lab.web.listen_tls(443, forward(g), issue("a.test"), issue("*.b.test"), issue("c.test", algorithm="RSA_2048"))
        await lab.apply()
        answer = await lab.get("a.test")
        assert answer.startswith("HTTP/1.1 200")
        assert "X-Forwarded-Proto: https" in answer
        assert "X-Forwarded-Port: 443" in answer
        for name in ("x.b.test", "c.test"):
            assert (await lab.get(name)).startswith("HTTP/1.1 200")
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.test"):
            await lab.get("other.test")
        for file in (lab.settings.data_dir / "envoy").glob("sds-*.json"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(list((lab.settings.data_dir / "envoy").glob("sds-*.json"))) == 3
        await server.close()

    in_lab(tmp_path, body)


def test_certificates_change_without_a_failed_request(tmp_path: Path) -> None:
    """Twenty renewals and additions while clients ask without pause: every request is answered, connections that were
    open go on, and new ones get the new certificate as soon as the change is taken."""

    async def body(lab: Lab) -> None:
        listener = lab.web.listen_tls(443, fixed(200, "here"), lab.authority.issue("a.test"))
        await lab.apply()
        done, count = asyncio.Event(), 0

        async def client() -> None:
            nonlocal count
            while not done.is_set():
                assert (await lab.get("a.test")).endswith("here")
                count += 1

        clients = [spawn(f"client {number}", client()) for number in range(4)]
        reader, writer, _ = await lab.open("a.test")
        before = await lab.serial("a.test")
        for _ in range(10):
            lab.web.certificates = [lab.authority.issue("a.test")]
            await lab.apply()
            after = await lab.serial("a.test")
            assert after != before
            before = after
            assert (await ask(reader, writer, "a.test")).endswith("here")
        writer.close()
        others = [lab.authority.issue(f"n{number}.test") for number in range(10)]
        for number, other in enumerate(others):
            lab.web.certificates.append(other)
            arns = tuple(each.arn for each in others[: number + 1])
            lab.web.listeners[0] = replace(listener, certificate_list=arns)
            await lab.apply()
            assert (await lab.get(f"n{number}.test")).endswith("here")
        done.set()
        await asyncio.gather(*clients)
        assert count > 0

    in_lab(tmp_path, body)


def test_http2_is_agreed_by_alpn(tmp_path: Path) -> None:
    """Clients that offer it get HTTP/2, others HTTP/1.1; none does where the attribute forbids it."""

    async def body(lab: Lab) -> None:
        lab.web.listen_tls(443, fixed(200, "here"), lab.authority.issue("a.test"))

        async def agreed(*offered: str) -> str | None:
            _, writer, tls = await lab.open("a.test", lab.context(alpn=offered))
            writer.close()
            return tls.selected_alpn_protocol()

        await lab.apply()
        assert await agreed("h2", "http/1.1") == "h2"
        assert await agreed("http/1.1") == "http/1.1"
        lab.web.attributes = {"routing.http2.enabled": "false"}
        await lab.apply()
        assert await agreed("h2", "http/1.1") == "http/1.1"

    in_lab(tmp_path, body)


def test_policies_are_enforced(tmp_path: Path) -> None:
    """Every policy is taken by Envoy, and a client gets exactly the protocol versions that the policy names."""
    versions = {
        "TLSv1": ssl.TLSVersion.TLSv1,
        "TLSv1.1": ssl.TLSVersion.TLSv1_1,
        "TLSv1.2": ssl.TLSVersion.TLSv1_2,
        "TLSv1.3": ssl.TLSVersion.TLSv1_3,
    }

    async def body(lab: Lab) -> None:
        certificate = lab.authority.issue("a.test", algorithm="RSA_2048")
        for policy in POLICIES.values():
            lab.web.listeners = []
            lab.web.listen_tls(443, fixed(200, "here"), certificate, policy=policy.name)
            await lab.apply()
            spoken = []
            for name, version in versions.items():
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    _, writer, tls = await lab.open("a.test", lab.context(versions=(version, version)))
                    spoken.append(name)
                    assert tls.cipher()[0] in policy.ciphers  # type: ignore[index]
                    writer.close()
            assert (policy.name, tuple(spoken)) == (policy.name, policy.versions)

    in_lab(tmp_path, body)


def test_every_key_is_served(tmp_path: Path) -> None:
    """A listener serves each kind of key that the API lets it have."""

    async def body(lab: Lab) -> None:
        names = {algorithm: f"{algorithm.lower().replace('_', '-')}.test" for algorithm in SERVED_KEYS}
        issued = [lab.authority.issue(name, algorithm=algorithm) for algorithm, name in names.items()]
        lab.web.listen_tls(443, fixed(200, "here"), *issued)
        await lab.apply()
        for name in names.values():
            assert (await lab.get(name)).endswith("here")

    in_lab(tmp_path, body)


def test_tls_listener_hands_on_what_was_inside(tmp_path: Path) -> None:
    """A TLS listener ends TLS and sends the bytes to the target; it agrees to speak what its ALPN policy says."""

    async def body(lab: Lab) -> None:
        server = await WebServer(lab.netns.path, ONE, 8080, "server-1").start()
        check = HealthCheck(protocol="TCP", path="", matcher="", interval_s=1, timeout_s=1)
        g = group("g", protocol="TCP", protocol_version="", health_check=check)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        certificate = lab.authority.issue("a.test")
        listener = lab.web.listen_tls_tcp(443, forward(g), certificate, "HTTP1Only")
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        reader, writer, tls = await lab.open("a.test", lab.context(alpn=("h2", "http/1.1")))
        assert tls.selected_alpn_protocol() == "http/1.1"
        answer = await ask(reader, writer, "a.test", "/", close=True)
        assert "server-1" in answer
        assert "x-forwarded" not in answer.lower()
        lab.web.listeners[0] = replace(listener, alpn_policy="")
        await lab.apply()

        async def agrees_on_nothing() -> bool:
            _, writer, tls = await lab.open("a.test", lab.context(alpn=("h2", "http/1.1")))
            writer.close()
            return tls.selected_alpn_protocol() is None

        await eventually(agrees_on_nothing)
        await server.close()

    in_lab(tmp_path, body)


def test_clients_are_counted(tmp_path: Path) -> None:
    """Connections by listener, those that are open, and those that do not agree on TLS."""

    async def body(lab: Lab) -> None:
        listener = lab.web.listen_tls(443, fixed(200, "hello"), lab.authority.issue("a.test"))
        other = lab.web.listen(80, fixed(200, "hello"))
        await lab.apply()
        for _ in range(3):
            assert "hello" in await lab.get("a.test")
        with pytest.raises(ssl.SSLError):
            await lab.open("a.test", lab.context(versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)))
        _, writer, _ = await lab.open("a.test")

        async def are_counted() -> bool:
            counts = (await lab.envoy.listener_counts())[listener.arn]
            return counts == ListenerCounts(connections=5, connections_active=1, tls_errors=1)

        await eventually(are_counted)
        assert (await lab.envoy.listener_counts())[other.arn] == ListenerCounts()
        writer.close()

    in_lab(tmp_path, body)


def test_connections_to_a_target_are_ended(tmp_path: Path) -> None:
    """Those behind a TLS listener that lead there break off; the others, and new ones, go on."""

    async def body(lab: Lab) -> None:
        other = "10.0.1.11"
        lab.netns.add_address(other)
        servers = [
            await WebServer(lab.netns.path, address, 8080, f"server-{address}").start() for address in (ONE, other)
        ]
        check = HealthCheck(protocol="TCP", path="", matcher="", interval_s=1, timeout_s=1)
        g = group("g", protocol="TCP", protocol_version="", health_check=check)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen_tls_tcp(443, forward(g), lab.authority.issue("a.test"), "None")
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        leaving = await lab.open("a.test")
        assert f"server-{ONE}" in await ask(*leaving[:2], "a.test", "/")
        lab.web.targets = [target(g, other)]
        await lab.apply()
        await lab.reports.wait(other, "healthy")
        staying = await lab.open("a.test")
        assert f"server-{other}" in await ask(*staying[:2], "a.test", "/")
        await lab.envoy.end_connections(g.arn, ONE, 8080)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(leaving[0].read(), 10) == b""
        assert f"server-{other}" in await ask(*staying[:2], "a.test", "/")
        await lab.envoy.end_connections(g.arn, ONE, 8080)
        for _, writer, _ in (leaving, staying):
            writer.close()
        for server in servers:
            await server.close()

    in_lab(tmp_path, body)


@pytest.mark.parametrize("checked_by", ["TCP", "HTTPS"])
def test_tls_target_groups(tmp_path: Path, checked_by: str) -> None:
    """What was inside a TLS listener's connections goes to the targets of a TLS group in TLS of its own, whatever their
    certificate is; checks connect, or speak TLS, as they are told."""

    async def body(lab: Lab) -> None:
        own = lab.authority.issue("target.test")
        (tmp_path / "target.pem").write_text(own.chain_pem + own.key_pem)
        secured = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        secured.load_cert_chain(tmp_path / "target.pem")

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                told = f"by {writer.get_extra_info('ssl_object').version()}"
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n{told}".encode())
            writer.close()

        server = await asyncio.start_server(answer, sock=await listen(lab.netns.path, ONE, 8080), ssl=secured)
        has_path = checked_by == "HTTPS"
        check = HealthCheck(
            protocol=checked_by,
            path="/" if has_path else "",
            matcher="200" if has_path else "",
            interval_s=1,
            timeout_s=1,
        )
        g = group("g", protocol="TLS", protocol_version="", health_check=check)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen_tls_tcp(443, forward(g), lab.authority.issue("a.test"), "None")
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        assert (await lab.get("a.test")).endswith("by TLSv1.2")
        server.close()

    in_lab(tmp_path, body)
