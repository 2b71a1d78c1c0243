"""The real Envoy with every kind of rule: conditions, redirects, stickiness, and what attributes do to headers."""

import asyncio
import re
import socket
import struct
from pathlib import Path
from random import Random

import pytest

from portside.domain.listener_condition import check_conditions
from portside.domain.load_balancer import Condition, HealthCheck, QueryParameter, Redirect
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.testing.balancer_lab import LEG, by_cookie, eventually, fixed, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.netns_lab import inside, request

pytestmark = pytest.mark.integration


def test_every_condition(tmp_path: Path) -> None:
    """Header, method, query, source address and regular expressions choose a rule as on AWS."""

    async def body(lab: Lab) -> None:
        web = lab.web
        listener = web.listen(80, fixed(404, "default"))
        conditions = {
            "header": Condition(field="http-header", header="X-Kind", values=("*beta?", "exact")),
            "method": Condition(field="http-request-method", values=("DELETE", "PURGE")),
            "query": Condition(
                field="query-string", query=(QueryParameter(key="ver*", value="v?"), QueryParameter(value="a\\*b"))
            ),
            "path regex": Condition(field="path-pattern", regex_values=("^/api/v[1-3]/[0-9]+$", "legacy")),
            "host regex": Condition(field="host-header", regex_values=(r"^(www|shop)\.example\.com$",)),
            "header regex": Condition(field="http-header", header="x-id", regex_values=("^[0-9]{3}$",)),
            "nobody": Condition(field="source-ip", values=("10.9.0.0/16", "2001:db8::/32")),
        }
        for priority, (name, condition) in enumerate(conditions.items(), 1):
            web.rule(listener, priority, fixed(200, name), condition)
        here = Condition(field="source-ip", values=("10.0.1.4/31",))
        web.rule(listener, 90, fixed(200, "source"), here, paths("/from"))
        await lab.apply()

        async def chosen(path: str = "/", method: str = "GET", host: str = "any.example", **headers: str) -> str:
            return (await lab.ask(path, method, host, **headers)).body

        assert await chosen(x_kind="My-BETA2") == "header"
        assert await chosen(X_Kind="exact") == "header"
        assert await chosen(x_kind="exactly") == "default"
        assert await chosen(method="PURGE") == "method"
        assert await chosen(method="POST") == "default"
        assert await chosen("/?a=1&Version=V2") == "query"
        assert await chosen("/?version=v22") == "default"
        assert await chosen("/?x=a*b&y=2") == "query"
        assert await chosen("/?x=aXb") == "default"
        assert await chosen("/version=v2") == "default"
        assert await chosen("/api/v2/17?x=1") == "path regex"
        assert await chosen("/api/v4/17") == "default"
        assert await chosen("/old/legacy/page") == "path regex"
        assert await chosen(host="WWW.example.com:8080") == "host regex"
        assert await chosen(host="shop.example.com") == "host regex"
        assert await chosen(host="shop.example.com.evil.net") == "default"
        assert await chosen(x_id="123") == "header regex"
        assert await chosen(x_id="1234") == "default"
        assert await chosen("/from") == "source"
        # what a client says of itself in the header that routes go by does not count
        for name in ("x_envoy_external_address", "x_forwarded_for"):
            assert await chosen(**{name: "10.9.1.1"}) == "default"
            assert await chosen("/from", **{name: "10.9.1.1"}) == "source"

    in_lab(tmp_path, body)


def test_redirects(tmp_path: Path) -> None:
    """A location is made of the request's parts and the rule's, always with its port; nothing is sent to a target."""

    async def body(lab: Lab) -> None:
        web = lab.web
        listener = web.listen(80, Redirect(status_code="HTTP_301", protocol="HTTPS", port="443"))
        moved = Redirect(status_code="HTTP_302", host="new.#{host}", path="/v2/#{path}", query="from=#{host}&#{query}")
        web.rule(listener, 1, moved, paths("/old/*"))
        web.rule(listener, 2, Redirect(status_code="HTTP_302", path="/100%/#{port}", query=""), paths("/plain"))
        await lab.apply()
        answer = await lab.ask("/a/b?x=1&y=%20", host="ex.com:80")
        assert (answer.status, answer.headers["location"]) == (301, "https://ex.com:443/a/b?x=1&y=%20")
        assert answer.headers["server"] == "awselb/2.0"
        assert "301 Moved Permanently" in answer.body
        assert (await lab.ask("/", host="ex.com")).headers["location"] == "https://ex.com:443/"
        answer = await lab.ask("/old/x?q=1", host="ex.com")
        assert (answer.status, answer.headers["location"]) == (
            302,
            "http://new.ex.com:80/v2/old/x?from=ex.com&q=1",
        )
        assert (await lab.ask("/plain?q=1", host="ex.com")).headers["location"] == "http://ex.com:80/100%/80"

    in_lab(tmp_path, body)


def test_a_client_stays_with_its_target(tmp_path: Path) -> None:
    """With stickiness the cookie of the first answer leads to the same target, until that target leaves; also an odd
    request."""

    async def body(lab: Lab) -> None:
        g = group("one", attributes={"stickiness.enabled": "true", "stickiness.lb_cookie.duration_seconds": "60"})
        lab.web.groups = [g]
        lab.web.targets = [target(g, ONE), target(g, TWO)]
        await lab.serve(ONE, TWO)
        lab.web.listen(80, forward(g))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        first = await lab.ask()
        cookie = first.headers["set-cookie"]
        assert re.match(r"AWSALB=[^;]+; Max-Age=60; Path=/", cookie)
        name = first.body.splitlines()[0]
        held = cookie.partition(";")[0]
        again = [(await lab.ask(cookie=held)).body.splitlines()[0] for _ in range(6)]
        assert again == [name] * 6
        odd = [(await lab.ask(cookie=held, content_length="0")).body.splitlines()[0] for _ in range(6)]
        assert odd == [name] * 6
        without = {(await lab.ask()).body.splitlines()[0] for _ in range(6)}
        assert without == {"server-1", "server-2"}
        lab.web.targets = [target(g, TWO if name == "server-1" else ONE)]
        await lab.apply()
        other = await lab.ask(cookie=held)
        assert other.body.splitlines()[0] != name
        assert other.headers["set-cookie"].startswith("AWSALB=")

    in_lab(tmp_path, body)


def test_a_client_stays_by_the_cookie_of_its_application(tmp_path: Path) -> None:
    """The load balancer's cookie comes with the application's, for its own time, and leads nowhere without it."""

    async def body(lab: Lab) -> None:
        g = group("one", attributes=by_cookie("SESSION"))
        lab.web.groups = [g]
        lab.web.targets = [target(g, ONE), target(g, TWO)]
        await lab.serve(ONE, TWO)
        lab.web.listen(80, forward(g))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        assert not [each for each in (await lab.ask()).raw_headers if each.lower().startswith("set-cookie")]
        for server in lab.servers:
            server.cookie = "SESSION=abc; Path=/; HttpOnly"
        first = await lab.ask()
        cookies = [each.partition(": ")[2] for each in first.raw_headers if each.lower().startswith("set-cookie")]
        assert cookies[0] == "SESSION=abc; Path=/; HttpOnly"
        own = re.fullmatch(r"(AWSALBAPP-0=[^;]+); Path=/; Max-Age=90", cookies[1])
        assert own is not None
        held = f"SESSION=abc; {own[1]}"
        name = first.body.splitlines()[0]
        assert {(await lab.ask(cookie=held)).body.splitlines()[0] for _ in range(6)} == {name}
        assert {(await lab.ask(cookie=held, content_length="0")).body.splitlines()[0] for _ in range(6)} == {name}
        assert len({(await lab.ask(cookie=own[1])).body.splitlines()[0] for _ in range(6)}) == 2
        assert len({(await lab.ask(cookie=own[1], content_length="0")).body.splitlines()[0] for _ in range(6)}) == 2

    in_lab(tmp_path, body)


def test_a_client_stays_with_its_target_group(tmp_path: Path) -> None:
    """With stickiness of a weighted action the cookie leads to the same group, even against the weights."""

    async def body(lab: Lab) -> None:
        a, b = group("a"), group("b")
        lab.web.groups = [a, b]
        lab.web.targets = [target(a, ONE), target(b, TWO)]
        await lab.serve(ONE, TWO)
        listener = lab.web.listen(80, fixed(404))
        weighted = replace(forward(a, b, weights=(1, 1)), sticky_s=30)
        lab.web.rule(listener, 1, weighted, paths("/*"))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        first = await lab.ask()
        assert re.fullmatch(r"AWSALBTG=tg[ab]; Max-Age=30; Path=/", first.headers["set-cookie"])
        held = first.headers["set-cookie"].partition(";")[0]
        names = {(await lab.ask(cookie=f"x=1; {held}")).body.splitlines()[0] for _ in range(12)}
        assert names == {first.body.splitlines()[0]}

    in_lab(tmp_path, body)


def test_rules_are_counted(tmp_path: Path) -> None:
    """Each rule's requests are counted, also those that no target sees and those that stay with their target group, and
    go on being counted when something changes."""

    async def body(lab: Lab) -> None:
        a, b = group("a"), group("b")
        lab.web.groups = [a, b]
        lab.web.targets = [target(a, ONE), target(b, TWO)]
        await lab.serve(ONE, TWO)
        listener = lab.web.listen(80, fixed(404))
        split = lab.web.rule(listener, 1, replace(forward(a, b), sticky_s=30), paths("/split"))
        closed = lab.web.rule(listener, 2, fixed(503), paths("/closed"))
        other = lab.web.rule(listener, 3, Redirect(status_code="HTTP_301", path="/"), paths("/moved"))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")
        held = (await lab.ask("/split")).headers["set-cookie"].partition(";")[0]
        for _ in range(2):
            await lab.ask("/split", cookie=held)
        await lab.ask("/split", cookie=held, content_length="0")
        await lab.ask("/closed", content_length="0")
        await lab.ask("/")
        await lab.ask("/nowhere")

        async def counted(**expected: int) -> None:
            named = {"split": split.arn, "closed": closed.arn, "other": other.arn, "default": listener.arn}

            async def as_expected() -> bool:
                found = await lab.envoy.hits()
                return {name: found[arn] for name, arn in named.items()} == expected

            await eventually(as_expected)

        await counted(split=4, closed=1, other=0, default=2)
        lab.web.attributes = {"idle_timeout.timeout_seconds": "61"}
        await lab.apply()
        await lab.ask("/moved")
        await counted(split=4, closed=1, other=1, default=2)

    in_lab(tmp_path, body)


def test_attributes_of_headers(tmp_path: Path) -> None:
    """What the attributes say of X-Forwarded-For, invalid names, answers' headers and the server's name holds."""

    async def body(lab: Lab) -> None:
        g = group("one", attributes={"slow_start.duration_seconds": "30"})
        lab.web.groups = [g]
        lab.web.targets = [target(g, ONE)]
        await lab.serve(ONE)
        listener = lab.web.listen(80, forward(g))
        lab.web.rule(listener, 1, fixed(503, "closed"), paths("/closed"))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")

        async def seen(**headers: str) -> str:
            return (await lab.ask(**headers)).body.lower()  # type: ignore[arg-type]

        assert f"x-forwarded-for: 1.2.3.4,{LEG}" in await seen(x_forwarded_for="1.2.3.4")
        for name in ("external_address", "internal", "upstream_rq_timeout_ms", "retry_on"):
            assert "x-envoy" not in await seen(**{f"x_envoy_{name}": "1"})

        lab.web.attributes = {
            "routing.http.xff_client_port.enabled": "true",
            "routing.http.drop_invalid_header_fields.enabled": "true",
            "client_keep_alive.seconds": "60",
        }
        lab.web.listeners[0] = replace(
            listener,
            attributes={
                "routing.http.response.server.enabled": "false",
                "routing.http.response.x_frame_options.header_value": "DENY",
                "routing.http.response.content_security_policy.header_value": "default-src 'self'; x 100%",
            },
        )
        await lab.apply()
        answer = await request(LEG, 80, "/", netns=lab.netns.path, headers={"X_Bad": "1", "X!Bad": "1", "X-Good1": "1"})
        told = answer.body.lower()
        assert re.search(rf"x-forwarded-for: {LEG}:\d+\r\n", told)
        assert "bad:" not in told
        assert "x-good1: 1" in told
        assert "server" not in answer.headers
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"] == "default-src 'self'; x 100%"
        closed = await lab.ask("/closed")
        assert (closed.status, "server" in closed.headers) == (503, False)

        for mode, expected in (("preserve", "x-forwarded-for: 1.2.3.4\r\n"), ("remove", None)):
            lab.web.attributes = {"routing.http.xff_header_processing.mode": mode}
            await lab.apply()
            told = await seen(x_forwarded_for="1.2.3.4")
            assert (expected in told) if expected else ("x-forwarded-for" not in told)

    in_lab(tmp_path, body)


async def _recorder(lab: Lab, address: str, got: asyncio.Queue[bytes]) -> asyncio.Server:
    """Puts what a connection sends until its end, or the end of an HTTP request's head, and answers."""

    def listen() -> socket.socket:
        made = socket.create_server((address, 8080))
        made.setblocking(False)
        return made

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while not data.endswith(b"\r\n\r\n") and (more := await reader.read(65536)):
            data += more
        if data:
            got.put_nowait(data)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if b"GET /" in data else b"answer")
        writer.close()

    return await asyncio.start_server(serve, sock=await asyncio.to_thread(inside, lab.netns.path, listen))


@pytest.mark.parametrize("check", ["TCP", "HTTP"])
def test_proxy_protocol(tmp_path: Path, check: str) -> None:
    """A connection to a target begins with the client's address and port, then come the client's bytes; checks begin
    with a header that names no client."""

    async def body(lab: Lab) -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()
        path, matcher = ("", "") if check == "TCP" else ("/", "200")
        health = HealthCheck(protocol=check, path=path, matcher=matcher, interval_s=1, timeout_s=1)
        g = group(
            "g",
            protocol="TCP",
            protocol_version="",
            health_check=health,
            attributes={"proxy_protocol_v2.enabled": "true"},
        )
        server = await _recorder(lab, ONE, got)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen_tcp(5432, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")

        def connect() -> socket.socket:
            made = socket.create_connection((LEG, 5432), timeout=10)
            made.setblocking(False)
            return made

        client = await asyncio.to_thread(inside, lab.netns.path, connect)
        here = client.getsockname()
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"answer"
        signature = b"\r\n\r\n\0\r\nQUIT\n"
        addresses = socket.inet_aton(here[0]) + socket.inet_aton(LEG) + struct.pack("!HH", here[1], 5432)
        async with asyncio.timeout(20):
            while (data := await got.get()) != signature + b"\x21\x11" + struct.pack("!H", 12) + addresses + b"hello":
                assert data.startswith(signature + b"\x20\x00\x00\x00"), data
        writer.close()
        server.close()

    in_lab(tmp_path, body)


def test_sources_stay_with_their_target(tmp_path: Path) -> None:
    """With stickiness by source all connections of an address go to one target, and to another one if it fails."""

    async def body(lab: Lab) -> None:
        health = HealthCheck(protocol="HTTP", path="/health", interval_s=1, timeout_s=1)
        g = group(
            "g", protocol="TCP", protocol_version="", health_check=health, attributes={"stickiness.enabled": "true"}
        )
        await lab.serve(ONE, TWO)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO)]
        lab.web.listen_tcp(80, forward(g))
        await lab.apply()
        for address in (ONE, TWO):
            await lab.reports.wait(address, "healthy")

        async def names() -> set[str]:
            return {(await lab.ask()).body.splitlines()[0] for _ in range(8)}

        (name,) = await names()
        lab.servers[int(name[-1]) - 1].health = 503
        await lab.reports.wait(ONE if name == "server-1" else TWO, "unhealthy")
        (other,) = await names()
        assert {name, other} == {"server-1", "server-2"}

    in_lab(tmp_path, body)


def test_large_expressions_are_taken(tmp_path: Path) -> None:
    """The largest regular expressions that are allowed are not too large for Envoy."""

    async def body(lab: Lab) -> None:
        listener = lab.web.listen(80, fixed(404, "default"))
        wide = "(" + "[^a-f]" * 18 + "|x.y){40}"
        long = r"^/([0-9a-f]+(-|_|\.)?)*" + "(/[^/]+)?" * 10 + "$"
        lab.web.rule(
            listener,
            1,
            fixed(200, "one"),
            Condition(field="path-pattern", regex_values=(wide, long)),
            Condition(field="http-header", header="x", regex_values=(wide,)),
        )
        await lab.apply()
        assert (await lab.ask("/x")).body == "default"

    in_lab(tmp_path, body)


def test_envoy_takes_every_expression_that_passes(tmp_path: Path) -> None:
    """One expression that Envoy does not take would hold up the changes of every load balancer: of a
    thousand random ones that pass the check, all are taken."""
    random = Random(1)
    parts = [
        "a",
        ".",
        "\\d",
        "[^x-z]",
        "(",
        ")",
        "|",
        "*",
        "+",
        "?",
        "{3}",
        "{2,}",
        "^",
        "$",
        "(?i)",
        "[",
        "]",
        "{",
        "\\.",
    ]
    parts += [
        "(?:",
        "(?P<n>",
        "}",
        "{,3}",
        "-",
        "\\",
        ",",
        "{40}",
        "\\b",
        "(?i:",
        "[]",
        "[^]",
        "[[:",
        ":]",
        "&&",
        "\\Q",
        "9",
    ]
    passed: list[str] = []
    while len(passed) < 1000:
        regex = "".join(random.choice(parts) for _ in range(random.randint(1, 9)))
        try:
            check_conditions((Condition(field="http-header", header="x", regex_values=(regex,)),))
        except Refused:
            continue
        passed.append(regex)

    async def body(lab: Lab) -> None:
        listener = lab.web.listen(80, fixed(404, "default"))
        for priority, regex in enumerate(passed, 1):
            for offset, condition in enumerate(
                (
                    Condition(field="path-pattern", regex_values=(regex,)),
                    Condition(field="host-header", regex_values=(regex, "a$")),
                )
            ):
                lab.web.rule(listener, 2 * priority + offset, fixed(200, "one"), condition)
        await lab.apply()

    in_lab(tmp_path, body)
