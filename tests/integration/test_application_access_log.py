"""Access logs of a load balancer on the real Envoy: from requests to AWS's files."""

import asyncio
import gzip
import shlex
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portside.domain.load_balancer import Redirect
from portside.testing.balancer_lab import LEG, LabAuthority, eventually, fixed, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.netns_lab import inside

pytestmark = pytest.mark.integration

ATTRIBUTES = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "archive", "access_logs.s3.prefix": "web/one"}


def test_requests_become_lines(tmp_path: Path) -> None:
    """Each request is a line with AWS's fields, whatever its answer was; without the attribute there are none."""

    async def body(lab: Lab) -> None:
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        listener = lab.web.listen(80, forward(g))
        lab.web.rule(listener, 7, fixed(403, "no"), paths("/closed"))
        lab.web.rule(listener, 8, Redirect(status_code="HTTP_301", path="/new"), paths("/old"))
        await lab.serve(ONE)
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        await lab.ask("/unlogged")
        lab.web.attributes = ATTRIBUTES
        await lab.apply()
        await lab.ask("/a?b=1", user_agent='say "hello"\\', x_amzn_trace_id="Root=1-2-3")
        await lab.ask("/closed")
        await lab.ask("/old", host="Any.example:80")
        lab.web.targets = [target(g, TWO)]
        await lab.apply()
        await lab.ask("/down")

        spool = tmp_path / "data" / "envoy" / "access-lbweb.log"

        async def written() -> bool:
            return spool.exists() and spool.read_text().count("\n") >= 4

        await eventually(written)
        now = datetime.now(UTC)
        assert await lab.envoy.deliver_access_logs(now) == []
        (file,) = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        lines = [shlex.split(each, posix=False) for each in gzip.decompress(file.read_bytes()).decode().splitlines()]
        assert len(lines) == 4
        assert not any("unlogged" in word for each in lines for word in each)
        forwarded, closed, moved, down = lines[:4]
        assert len(forwarded) == 34
        kind, ended, elb, client, to = forwarded[:5]
        assert (kind, elb, to) == ("http", "app/web/lbweb", f"{ONE}:8080")
        assert client.startswith(f"{LEG}:")
        assert ended.endswith("Z")
        assert all(0 <= float(each) < 10 for each in forwarded[5:8])
        assert forwarded[8:10] == ["200", "200"]
        assert forwarded[12:21] == [
            '"GET http://any.example:80/a?b=1 HTTP/1.1"',
            r'"say \x22hello\x22\x5c"',
            "-",
            "-",
            g.arn,
            '"Root=1-2-3"',
            '"-"',
            '"-"',
            "0",
        ]
        assert forwarded[22:26] == ['"forward"', '"-"', '"-"', f'"{ONE}:8080"']
        assert forwarded[29].startswith("TID_")
        assert forwarded[33] == LEG
        assert closed[4:10] == ["-", "-1", "-1", "-1", "403", "-"]
        assert (closed[20], closed[22]) == ("7", '"fixed-response"')
        assert (moved[20], moved[22:24]) == ("8", ['"redirect"', '"http://Any.example:80/new"'])
        assert (down[8:10], down[16]) == (["502", "-"], g.arn)
        place = file.relative_to(tmp_path / "data" / "access-logs").as_posix()
        assert place.startswith("archive/web/one/AWSLogs/000000000000/elasticloadbalancing/us-east-1/20")
        assert file.name.startswith("000000000000_elasticloadbalancing_us-east-1_app.web.lbweb_20")
        assert f"_{LEG}_" in file.name

    in_lab(tmp_path, body)


def test_names_that_clients_ask_for(tmp_path: Path) -> None:
    """A line of an HTTPS listener tells the name of the client's handshake, and none where the client gave none."""

    async def body(lab: Lab) -> None:
        authority = LabAuthority()
        lab.web.listen_tls(443, fixed(200, "all"), authority.issue("a.test", "b.test"))
        lab.web.attributes = ATTRIBUTES
        await lab.apply()
        context = ssl.create_default_context(cadata=authority.root_pem)
        context.check_hostname = False
        for name in ("b.test", None):
            connection = await asyncio.to_thread(inside, lab.netns.path, lambda: socket.create_connection((LEG, 443)))
            reader, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname=name or "")
            writer.write(b"GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        spool = tmp_path / "data" / "envoy" / "access-lbweb.log"

        async def written() -> bool:
            return spool.exists() and spool.read_text().count("\n") == 2

        await eventually(written)
        now = datetime.now(UTC)
        assert await lab.envoy.deliver_access_logs(now) == []
        (file,) = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        lines = [shlex.split(each, posix=False) for each in gzip.decompress(file.read_bytes()).decode().splitlines()]
        assert [each[18] for each in lines] == ['"b.test"', '"-"']

    in_lab(tmp_path, body)
