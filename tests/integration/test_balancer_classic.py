"""Classic Load Balancers on the real Envoy, in a namespace of the test's own: which instance answers, and how."""

import asyncio
import contextlib
import re
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portside.balancer.envoy import EnvoyBalancer
from portside.balancer.interface import BalancerConfig, ServerCertificate
from portside.control.loop import spawn
from portside.domain import classic_load_balancer_rule as rule
from portside.domain import classic_policy as policy_rule
from portside.domain.access_log import BUCKET, ENABLED, INTERVAL, PREFIX
from portside.domain.classic_load_balancer import (
    BackendPolicies,
    ClassicHealthCheck,
    ClassicInstance,
    ClassicListener,
    ClassicLoadBalancer,
    ClassicPolicy,
    PolicyAttribute,
)
from portside.domain.load_balancer import LoadBalancer, Target, ZoneMapping
from portside.domain.record import replace
from portside.settings import Settings
from portside.testing.balancer_lab import AT, LEG, SCOPE, LabAuthority, Reports, eventually
from portside.testing.netns_lab import Answer, Netns, WebServer, inside, listen, request

pytestmark = pytest.mark.integration

ADDRESSES = {"i-1": "10.0.1.10", "i-2": "10.0.1.11"}
ONE, TWO = ADDRESSES.values()
ALGORITHMS = {"i-1": "EC_prime256v1", "i-2": "RSA_2048"}
HTTP = ClassicListener(protocol="HTTP", port=80, instance_protocol="HTTP", instance_port=8080)
TCP = ClassicListener(protocol="TCP", port=5432, instance_protocol="TCP", instance_port=8080)
CHECK = ClassicHealthCheck(protocol="HTTP", port=8080, path="/health", interval_s=1, timeout_s=1)
"""More often than AWS allows, so that tests are quick."""


class Lab:
    """One namespace with the balancer's leg and two instances, and one data plane."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        settings = Settings(data_dir=data_dir, hosts_file=data_dir.parent / "hosts", egress="none")
        self.netns = Netns()
        self.netns.add_address(LEG, ONE, TWO)
        self.reports = Reports()
        self.envoy = EnvoyBalancer(settings)
        self.servers: dict[str, WebServer] = {}
        self.plane = LoadBalancer(
            scope=SCOPE,
            arn="arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/classic/web/0123456789abcdef",
            name="web",
            type="classic",
            scheme="internal",
            dns_name="internal-web-1.us-east-1.elb.localhost",
            vpc_id="vpc-1",
            zones=(ZoneMapping(zone="us-east-1a", subnet_id="s", address=LEG),),
            attributes={"routing.http2.enabled": "false"},
            created_at=AT,
        )
        instances = tuple(
            ClassicInstance(id=name, address=address, zone="us-east-1a", registered_at=AT)
            for name, address in ADDRESSES.items()
        )
        self.classic = ClassicLoadBalancer(
            scope=SCOPE,
            name="web",
            load_balancer_arn=self.plane.arn,
            listeners=(HTTP,),
            health_check=CHECK,
            instances=instances,
            created_at=AT,
        )

    async def serve(self, port: int = 8080) -> None:
        for name, address in ADDRESSES.items():
            self.servers[address] = await WebServer(self.netns.path, address, port, name).start()

    def targets(self) -> list[Target]:
        """As the control plane hands them over: by address."""
        groups = rule.plane(self.classic).groups
        found = [each for instance in self.classic.instances for each in rule.targets_of(instance, groups)]
        return [replace(each, id=each.address) for each in found]

    async def apply(
        self, targets: list[Target] | None = None, certificates: tuple[ServerCertificate, ...] = ()
    ) -> None:
        await self.envoy.apply([self.config(targets, certificates)])

    def config(
        self, targets: list[Target] | None = None, certificates: tuple[ServerCertificate, ...] = ()
    ) -> BalancerConfig:
        listeners, groups = rule.plane(self.classic)
        return BalancerConfig(
            load_balancer=self.plane,
            netns_path=self.netns.path,
            listeners=listeners,
            rules=(),
            target_groups=groups,
            targets=tuple(self.targets() if targets is None else targets),
            certificates=certificates,
        )

    async def ask(self, path: str = "/", **headers: str) -> Answer:
        return await request(LEG, 80, path, netns=self.netns.path, headers=headers)

    async def who(self, **headers: str) -> str:
        return (await self.ask(**headers)).body.partition("\n")[0]

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        def make() -> socket.socket:
            made = socket.create_connection((LEG, port), timeout=10)
            made.setblocking(False)
            return made

        return await asyncio.open_connection(sock=await asyncio.to_thread(inside, self.netns.path, make))

    async def listen(
        self,
        address: str,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        context: ssl.SSLContext | None = None,
    ) -> asyncio.Server:
        return await asyncio.start_server(serve, sock=await listen(self.netns.path, address, 8080), ssl=context)


async def _reached(server: WebServer) -> None:
    await server.holding.wait()


def in_lab(tmp_path: Path, body: Callable[[Lab], Awaitable[None]]) -> None:
    async def run() -> None:
        lab = Lab(tmp_path / "data")
        try:
            await lab.envoy.start(lab.reports)
            await body(lab)
        finally:
            await lab.envoy.stop()
            for server in lab.servers.values():
                await server.close()
            lab.netns.close()

    asyncio.run(run())


def test_who_answers(tmp_path: Path) -> None:
    """Requests go to both instances, not to one that fails its checks, and to none if both do: that is a 503."""

    async def body(lab: Lab) -> None:
        await lab.serve()
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        assert {await lab.who() for _ in range(20)} == {"i-1", "i-2"}
        answer = await lab.ask("/x")
        head = answer.body.lower()
        assert f"x-forwarded-for: {LEG}" in head
        assert "x-forwarded-proto: http" in head
        assert "x-forwarded-port: 80" in head
        lab.servers[ONE].health = 500
        report = await lab.reports.wait(ONE, "unhealthy")
        assert report.detail == "Health checks failed with these codes: [500]"
        assert {await lab.who() for _ in range(10)} == {"i-2"}
        lab.servers[TWO].health = 500
        await lab.reports.wait(TWO, "unhealthy")
        assert (await lab.ask()).status == 503
        lab.servers[ONE].health = 200
        await lab.reports.wait(ONE, "healthy", timeout_s=60)
        assert {await lab.who() for _ in range(5)} == {"i-1"}

    in_lab(tmp_path, body)


def test_drained(tmp_path: Path) -> None:
    """A deregistered instance gets no new request; the one under way is counted, ends well, and then none is."""

    async def body(lab: Lab) -> None:
        await lab.serve()
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        slow = spawn("slow request", lab.ask("/slow"))
        waiting = [spawn("reached", _reached(server)) for server in lab.servers.values()]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        leaving = next(address for address, server in lab.servers.items() if server.holding.is_set())
        stays = next(name for name, address in ADDRESSES.items() if address != leaving)
        (group,) = rule.plane(lab.classic).groups
        healthy = [replace(each, checked="healthy") for each in lab.targets()]
        gone = rule.deregistered([each for each in healthy if each.id == leaving], now=AT)
        await lab.apply([*(each for each in healthy if each.id != leaving), *gone])

        async def only_the_other() -> bool:
            return {await lab.who() for _ in range(6)} == {stays}

        await eventually(only_the_other)
        assert (await lab.envoy.open_requests(group.arn))[(leaving, 8080)] == 1
        lab.servers[leaving].hold.set()
        assert (await slow).status == 200

        async def drained() -> bool:
            return (await lab.envoy.open_requests(group.arn)).get((leaving, 8080), 0) == 0

        await eventually(drained)

    in_lab(tmp_path, body)


@pytest.mark.parametrize("seconds", ["60", ""])
def test_stickiness(tmp_path: Path, seconds: str) -> None:
    """The cookie of the first answer leads to the same instance, for its time or while the browser runs, until that
    instance leaves. A listener without the policy has none."""

    async def body(lab: Lab) -> None:
        attributes = (PolicyAttribute(name=policy_rule.EXPIRATION, value=seconds),) if seconds else ()
        policy = ClassicPolicy(name="sticky", type_name=policy_rule.LB_COOKIE, attributes=attributes)
        lab.classic = replace(
            lab.classic,
            policies=(policy,),
            listeners=(replace(HTTP, policy_names=("sticky",)), replace(HTTP, port=81)),
        )
        await lab.serve()
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        first = await lab.ask()
        cookie = first.headers["set-cookie"]
        assert re.fullmatch(r"AWSELB=[^;]+;" + (r" Max-Age=60;" if seconds else "") + r" Path=/; HttpOnly", cookie)
        name = first.body.partition("\n")[0]
        held = cookie.partition(";")[0]
        assert [await lab.who(cookie=held) for _ in range(8)] == [name] * 8
        assert {await lab.who() for _ in range(20)} == {"i-1", "i-2"}
        assert "set-cookie" not in (await request(LEG, 81, netns=lab.netns.path)).headers
        lab.classic = rule.without_instances(lab.classic, [name])
        await lab.apply()
        assert await lab.who(cookie=held) != name

    in_lab(tmp_path, body)


def test_tcp_goes_round(tmp_path: Path) -> None:
    """Connections of a TCP listener go to the instances in turn."""

    async def body(lab: Lab) -> None:
        lab.classic = replace(lab.classic, listeners=(TCP,))
        await lab.serve()
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")

        async def who() -> str:
            reader, writer = await lab.connect(5432)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            name = (await reader.readline()).decode().strip()
            assert head.startswith(b"HTTP/1.1 200")
            writer.close()
            return name

        found = [await who() for _ in range(40)]
        # each of Envoy's two workers goes round by itself
        assert found.count("i-1") in range(10, 31)

    in_lab(tmp_path, body)


def test_proxy_protocol(tmp_path: Path) -> None:
    """With the policy for the port each connection begins with a line that names the client; checks do not."""

    async def body(lab: Lab) -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                if data := await reader.read():
                    got.put_nowait(data)
                writer.close()

        server = await lab.listen(ONE, serve)
        policy = ClassicPolicy(
            name="proxy",
            type_name=policy_rule.PROXY_PROTOCOL,
            attributes=(PolicyAttribute(name="ProxyProtocol", value="true"),),
        )
        lab.classic = replace(
            lab.classic,
            listeners=(TCP,),
            instances=lab.classic.instances[:1],
            policies=(policy,),
            backend_policies=(BackendPolicies(instance_port=8080, policy_names=("proxy",)),),
            health_check=replace(CHECK, protocol="TCP", path=""),
        )
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        _, writer = await lab.connect(5432)
        here = writer.get_extra_info("sockname")
        writer.write(b"hello")
        writer.write_eof()
        async with asyncio.timeout(20):
            assert await got.get() == f"PROXY TCP4 {LEG} {LEG} {here[1]} 5432\r\nhello".encode()
        writer.close()
        server.close()

    in_lab(tmp_path, body)


@pytest.mark.parametrize(
    ("inside_protocol", "check"),
    [("HTTPS", "HTTPS:8080/health"), ("SSL", "SSL:8080"), ("HTTPS", "HTTP:8081/health"), ("HTTP", "HTTPS:8081/health")],
)
def test_tls_to_instances(tmp_path: Path, inside_protocol: str, check: str) -> None:
    """Instances are spoken to by TLS where the listener says so, whatever their certificates, and checked by TLS where
    the health check says so."""

    async def body(lab: Lab) -> None:
        certificate = LabAuthority().issue("instance.test")
        pem = tmp_path / "instance.pem"
        pem.write_text(certificate.chain_pem + certificate.key_pem)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        spoken = rule.protocol(inside_protocol)
        http = policy_rule.is_http(spoken)
        outside = HTTP if http else replace(HTTP, protocol="TCP")
        check_protocol, port, path = rule.check_target(check)
        lab.classic = replace(
            lab.classic,
            listeners=(replace(outside, instance_protocol=spoken),),
            instances=lab.classic.instances[:1],
            health_check=replace(CHECK, protocol=check_protocol, port=port, path=path),
        )

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                await writer.drain()
                writer.close()

        servers = [await lab.listen(ONE, serve, context if policy_rule.is_secured(spoken) else None)]
        if port != 8080:
            own = context if policy_rule.is_secured(check_protocol) else None

            def make() -> socket.socket:
                made = socket.create_server((ONE, port))
                made.setblocking(False)
                return made

            listening = await asyncio.to_thread(inside, lab.netns.path, make)
            servers.append(await asyncio.start_server(serve, sock=listening, ssl=own))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        answer = await lab.ask()
        assert (answer.status, answer.body) == (200, "ok")
        for server in servers:
            server.close()

    in_lab(tmp_path, body)


def test_stickiness_by_an_applications_cookie(tmp_path: Path) -> None:
    """The load balancer's cookie comes with the application's, has its lifetime, holds while the client has both, and
    is made anew when its instance leaves."""

    async def body(lab: Lab) -> None:
        policy = ClassicPolicy(
            name="session",
            type_name=policy_rule.APP_COOKIE,
            attributes=(PolicyAttribute(name=policy_rule.COOKIE_NAME, value="JSESSIONID"),),
        )
        lab.classic = replace(lab.classic, policies=(policy,), listeners=(replace(HTTP, policy_names=("session",)),))
        servers = []
        for name, address in ADDRESSES.items():

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    head = await reader.readuntil(b"\r\n\r\n")
                    extra = ""
                    if b" /login" in head:
                        extra = "Set-Cookie: a=b\r\nSet-Cookie: JSESSIONID=7; Max-Age=60; Path=/app\r\n"
                    text = f"{name} {head.decode()}"
                    own = f"{extra}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
                    writer.write(f"HTTP/1.1 200 OK\r\n{own}{text}".encode())
                    await writer.drain()
                    writer.close()

            servers.append(await lab.listen(address, serve))
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")

        def cookies(answer: Answer) -> list[str]:
            return [line.partition(":")[2].strip() for line in answer.raw_headers if line.lower().startswith("set-c")]

        async def name(**headers: str) -> str:
            return (await lab.ask(**headers)).body.partition(" ")[0]

        assert cookies(await lab.ask()) == []
        login = await lab.ask("/login")
        plain, session, own = cookies(login)
        assert (plain, session) == ("a=b", "JSESSIONID=7; Max-Age=60; Path=/app")
        assert re.fullmatch(r"AWSELB=[^;]+; Path=/; Max-Age=60", own)
        first, held = login.body.partition(" ")[0], own.partition(";")[0]
        both = f"x=y; JSESSIONID=7; {held}"
        assert {await name(cookie=both) for _ in range(10)} == {first}
        answer = await lab.ask(cookie=both)
        assert cookies(answer) == []
        assert f"cookie: {both}" in answer.body.lower().replace(both.lower(), both)
        renewed = cookies(await lab.ask("/login", cookie=both))
        assert renewed[-1] == own
        assert {await name(cookie=f"x=y; {held}") for _ in range(20)} == {"i-1", "i-2"}
        assert {await name(cookie=held) for _ in range(20)} == {"i-1", "i-2"}
        lab.classic = rule.without_instances(lab.classic, [first])
        await lab.apply()
        moved = await lab.ask(cookie=both)
        assert moved.body.partition(" ")[0] != first
        (own,) = cookies(moved)
        assert re.fullmatch(r"AWSELB=[^;]+; Path=/", own)
        assert own.partition(";")[0] != held
        for server in servers:
            server.close()

    in_lab(tmp_path, body)


def test_authentication_of_instances(tmp_path: Path) -> None:
    """With policies of public keys an instance gets requests only if it has one of the keys."""

    async def body(lab: Lab) -> None:
        authority = LabAuthority()
        keys = {name: authority.issue(f"{name}.test", algorithm=algorithm) for name, algorithm in ALGORITHMS.items()}
        servers = []
        for name, address in ADDRESSES.items():
            pem = tmp_path / f"{name}.pem"
            pem.write_text(keys[name].chain_pem + keys[name].key_pem)
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(pem)

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{name}".encode())
                    await writer.drain()
                    writer.close()

            servers.append(await lab.listen(address, serve, context))

        def public_key(name: str) -> str:
            said = subprocess.run(
                ["openssl", "x509", "-noout", "-pubkey"],
                input=keys[name].chain_pem.encode(),
                check=True,
                capture_output=True,
                timeout=30,
            ).stdout.decode()
            return "\n".join(said.strip().splitlines()[1:-1])

        def policies(*names: str) -> tuple[ClassicPolicy, ...]:
            made = [
                policy_rule.made_policy(
                    name, policy_rule.PUBLIC_KEY, [PolicyAttribute(name=policy_rule.KEY, value=public_key(name))]
                )
                for name in names
            ]
            named = [PolicyAttribute(name=policy_rule.KEY_POLICY, value=name) for name in names]
            return (*made, policy_rule.made_policy("auth", policy_rule.BACKEND_AUTHENTICATION, named))

        lab.classic = replace(
            lab.classic,
            listeners=(replace(HTTP, instance_protocol="HTTPS"),),
            health_check=replace(CHECK, protocol="TCP", path=""),
            policies=policies("i-1"),
            backend_policies=(BackendPolicies(instance_port=8080, policy_names=("auth",)),),
        )
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        found = [await lab.ask() for _ in range(10)]
        # one that lacks the key is tried, and the other one instead
        assert {each.body for each in found if each.status == 200} == {"i-1"}
        assert not any(each.body == "i-2" for each in found)
        lab.classic = replace(lab.classic, policies=policies("i-1", "i-2"))
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        assert {(await lab.ask()).body for _ in range(20)} == {"i-1", "i-2"}
        for server in servers:
            server.close()

    in_lab(tmp_path, body)


def test_a_security_policy_of_ones_own(tmp_path: Path) -> None:
    """Clients agree on the versions and ciphers that the policy names, or on nothing."""

    async def body(lab: Lab) -> None:
        authority = LabAuthority()
        certificate = authority.issue("web.test", algorithm="RSA_2048")
        attributes = [
            PolicyAttribute(name=name, value="true")
            for name in ("Protocol-TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")
        ]
        policy = policy_rule.made_policy("own", policy_rule.SSL_NEGOTIATION, attributes)
        lab.classic = replace(
            lab.classic,
            policies=(policy,),
            listeners=(
                ClassicListener(
                    protocol="HTTPS",
                    port=443,
                    instance_protocol="HTTP",
                    instance_port=8080,
                    certificate_arn=certificate.arn,
                    policy_names=("own",),
                ),
            ),
        )
        await lab.serve()
        await lab.apply(certificates=(certificate,))

        async def agreed(ciphers: str) -> str:
            context = ssl.create_default_context(cadata=authority.root_pem)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
            _, writer = await lab.connect(443)
            await writer.start_tls(context, server_hostname="web.test")
            chosen = writer.get_extra_info("cipher")[0]
            writer.close()
            return str(chosen)

        small, large = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"
        # the client's order counts
        assert await agreed(f"{small}:{large}") == small
        assert await agreed(f"{large}:{small}") == large
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await agreed("ECDHE-RSA-AES128-SHA")

    in_lab(tmp_path, body)


def test_zones_keep_to_themselves(tmp_path: Path) -> None:
    """Without cross-zone load balancing each zone's address leads to its own instances, and to none if it has none in
    service; with it, each leads to all."""

    async def body(lab: Lab) -> None:
        other = "10.0.1.6"
        lab.netns.add_address(other)
        zones = (
            ZoneMapping(zone="us-east-1a", subnet_id="s", address=LEG),
            ZoneMapping(zone="us-east-1b", subnet_id="t", address=other),
        )
        first, second = lab.classic.instances
        lab.classic = replace(
            lab.classic,
            listeners=(HTTP, replace(TCP, instance_port=8081)),
            instances=(first, replace(second, zone="us-east-1b")),
        )
        alone = {**lab.plane.attributes, "load_balancing.cross_zone.enabled": "false"}
        lab.plane = replace(lab.plane, zones=zones, attributes=alone)
        await lab.serve()
        more = [await WebServer(lab.netns.path, address, 8081, name).start() for name, address in ADDRESSES.items()]
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")

        async def who(leg: str, port: int) -> set[str]:
            found = [await request(leg, port, netns=lab.netns.path) for _ in range(20)]
            return {each.body.partition("\n")[0] for each in found}

        async def apart() -> bool:
            found = [await who(leg, port) for leg in (LEG, other) for port in (80, 5432)]
            return found == [{"i-1"}, {"i-1"}, {"i-2"}, {"i-2"}]

        await eventually(apart)
        lab.servers[TWO].health = 500
        await lab.reports.wait(TWO, "unhealthy")
        assert (await request(other, 80, netns=lab.netns.path)).status == 503
        assert await who(LEG, 80) == {"i-1"}
        lab.servers[TWO].health = 200
        lab.plane = replace(lab.plane, attributes={**alone, "load_balancing.cross_zone.enabled": "true"})
        await lab.apply()

        async def together() -> bool:
            return [await who(leg, 80) for leg in (LEG, other)] == [{"i-1", "i-2"}] * 2

        await eventually(together, timeout_s=60)
        for server in more:
            await server.close()

    in_lab(tmp_path, body)


def test_zones_change_without_a_failed_request(tmp_path: Path) -> None:
    """Requests go on while cross-zone load balancing is turned on and off."""

    async def body(lab: Lab) -> None:
        await lab.serve()
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        statuses: list[int] = []
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                statuses.append((await lab.ask()).status)

        clients = [spawn(f"client {number}", ask()) for number in range(4)]
        for turn in range(6):
            attributes = {**lab.plane.attributes, "load_balancing.cross_zone.enabled": ("false", "true")[turn % 2]}
            lab.plane = replace(lab.plane, attributes=attributes)
            await lab.apply()
            seen = len(statuses)

            async def more(seen: int = seen) -> bool:
                return len(statuses) > seen + 20 or any(each.done() for each in clients)

            await eventually(more)
        done.set()
        await asyncio.gather(*clients)
        assert set(statuses) == {200}

    in_lab(tmp_path, body)


def test_access_log(tmp_path: Path) -> None:
    """Requests and connections are lines in a file of the bucket's folder once their interval has ended; the next ones
    are in the next file, and what came before the log was turned off in a last one."""

    async def body(lab: Lab) -> None:
        logs = {ENABLED: "true", BUCKET: "logs", PREFIX: "app", INTERVAL: "5"}
        plain = lab.plane
        lab.plane = replace(plain, attributes={**plain.attributes, **logs})
        lab.classic = replace(lab.classic, listeners=(HTTP, replace(TCP, instance_port=8081)))
        await lab.serve()
        others = [await WebServer(lab.netns.path, address, 8081, name).start() for name, address in ADDRESSES.items()]
        await lab.apply()
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")
        now = datetime.now(UTC)
        assert await lab.envoy.deliver_access_logs(now) == []
        await lab.ask("/a?b=c", **{"user-agent": 'quote"d'})
        await request(LEG, 5432, "/tcp", netns=lab.netns.path)
        spool = tmp_path / "data" / "envoy" / "access-0123456789abcdef.log"

        async def written(count: int) -> bool:
            return spool.exists() and spool.read_text().count("\n") >= count

        await eventually(lambda: written(2))
        assert await lab.envoy.deliver_access_logs(now) == []
        (first,) = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        assert first.parent.parent.parent.parent.relative_to(tmp_path / "data" / "access-logs") == Path(
            "logs/app/AWSLogs/000000000000/elasticloadbalancing/us-east-1"
        )
        lines = sorted(first.read_text().splitlines(), key=lambda line: "- - -" in line)
        assert re.fullmatch(
            rf"\S+Z web {LEG}:\d+ 10\.0\.1\.1[01]:8080 0\.\d{{6}} 0\.\d{{6}} 0\.\d{{6}} 200 200 0 \d+ "
            r'"GET http://test\.example:80/a\?b=c HTTP/1\.1" "quote\\x22d" - -',
            lines[0],
        )
        assert re.fullmatch(
            rf'\S+Z web {LEG}:\d+ 10\.0\.1\.1[01]:8081 \S+ \S+ \S+ - - \d+ \d+ "- - - " "-" - -', lines[1]
        )
        assert len(lines) == 2
        await lab.ask("/second")
        await eventually(lambda: written(1))
        lab.plane = plain
        await lab.apply()
        (last,) = await lab.envoy.deliver_access_logs(now + timedelta(minutes=8))
        assert "/second" in last.read_text()
        assert not spool.exists()
        assert await lab.envoy.deliver_access_logs(now + timedelta(minutes=20)) == []
        for server in others:
            await server.close()

    in_lab(tmp_path, body)


def test_desync_mode(tmp_path: Path) -> None:
    """The strictest mode refuses what the others hand on; the change ends no request."""

    async def body(lab: Lab) -> None:
        await lab.serve()
        plain = lab.plane
        for mode, status in (("monitor", 200), ("strictest", 400), ("defensive", 200)):
            attributes = {**plain.attributes, "routing.http.desync_mitigation_mode": mode}
            lab.plane = replace(plain, attributes=attributes)
            await lab.apply()
            for address in ADDRESSES.values():
                await lab.reports.wait(address, "healthy")
            answer = await lab.ask("/", **{"content-length": "0"})
            assert answer.status == status
            assert (await lab.ask("/")).status == 200

    in_lab(tmp_path, body)


def test_access_log_of_a_shared_port(tmp_path: Path) -> None:
    """On 127.0.0.1, where load balancers share a port, each one's requests are in its own log alone."""

    async def body(lab: Lab) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        await lab.serve()
        logs = {ENABLED: "true", BUCKET: "logs", INTERVAL: "5"}
        plain = lab.plane
        first = replace(plain, scheme="internet-facing", attributes={**plain.attributes, **logs})
        classic = replace(lab.classic, listeners=(replace(HTTP, port=port),))
        configs: list[BalancerConfig] = []
        for number, name in enumerate(("one", "two", "three")):
            leg = f"10.0.1.{20 + number}"
            lab.netns.add_address(leg)
            zones = (replace(first.zones[0], address=leg),)
            arn = f"arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/classic/{name}/{name}"
            attributes = plain.attributes if name == "three" else first.attributes
            lab.plane = replace(first, name=name, arn=arn, dns_name=f"{name}.test", attributes=attributes, zones=zones)
            lab.classic = replace(classic, name=name, load_balancer_arn=arn)
            configs.append(lab.config())
        await lab.envoy.apply(configs)
        for address in ADDRESSES.values():
            await lab.reports.wait(address, "healthy")

        async def all_answer() -> bool:
            found = [await request("127.0.0.1", port, "/", host=f"{name}.test") for name in ("one", "two", "three")]
            return {each.status for each in found} == {200}

        await eventually(all_answer)
        now = datetime.now(UTC)
        await lab.envoy.deliver_access_logs(now)
        for name in ("one", "two", "three"):
            await request("127.0.0.1", port, f"/of/{name}", host=f"{name}.test")
        directory = tmp_path / "data" / "envoy"

        async def written() -> bool:
            return all(f"/of/{name}" in (directory / f"access-{name}.log").read_text() for name in ("one", "two"))

        await eventually(written)
        files = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        said = {file.name.split("_")[3]: file.read_text() for file in files}
        assert said.keys() == {"one", "two"}
        for name, text in said.items():
            assert f"/of/{name}" in text
            assert all(f" {name} " in line and f"//{name}.test:" in line for line in text.splitlines())

    in_lab(tmp_path, body)
