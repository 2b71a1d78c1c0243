"""Connection logs of a load balancer on the real Envoy, and their way to a server that speaks S3."""

import asyncio
import contextlib
import gzip
import shlex
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portside.testing.balancer_lab import LEG, LabAuthority, eventually, fixed, forward, group, target
from portside.testing.envoy_lab import ONE, Lab, in_lab
from portside.testing.netns_lab import inside, request
from portside.testing.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, s3_server
from portside.testing.wait import free_port

pytestmark = pytest.mark.integration


def logs(kind: str) -> dict[str, str]:
    return {
        f"{kind}_logs.s3.enabled": "true",
        f"{kind}_logs.s3.bucket": "archive",
        f"{kind}_logs.s3.prefix": "web/one",
    }


async def shake(lab: Lab, context: ssl.SSLContext) -> None:
    """A connection by TLS with one request, as far as it comes."""

    def ask() -> None:
        with (
            socket.create_connection((LEG, 443), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="a.test") as secured,
        ):
            secured.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            while secured.recv(4096):
                pass

    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await asyncio.to_thread(inside, lab.netns.path, ask)


def test_connections_become_lines(tmp_path: Path) -> None:
    """Each connection is a line with AWS's fields, also one whose handshake failed; the requests of one have its id."""

    async def body(lab: Lab) -> None:
        authority = LabAuthority()
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        lab.web.listen_tls(443, fixed(200, "here"), authority.issue("a.test"))
        lab.web.attributes = logs("access") | logs("connection")
        await lab.serve(ONE)
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        now = datetime.now(UTC)
        await lab.ask("/plain")
        trusting = ssl.create_default_context(cadata=authority.root_pem)
        await shake(lab, trusting)
        old = ssl.create_default_context(cadata=authority.root_pem)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.set_ciphers("ECDHE-ECDSA-AES128-SHA256")  # which Envoy does not have
        await shake(lab, old)
        spool = tmp_path / "data" / "envoy" / "connection-lbweb.log"

        async def written() -> bool:
            return spool.exists() and spool.read_text().count("\n") >= 3

        await eventually(written)
        assert await lab.envoy.deliver_access_logs(now) == []
        files = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        found = {each.name.partition("_")[0]: gzip.decompress(each.read_bytes()).decode() for each in files}
        assert found.keys() == {"conn", "000000000000"}
        name = next(each for each in files if each.name.startswith("conn_log_")).relative_to(tmp_path / "data")
        assert name.as_posix().startswith(
            "access-logs/archive/web/one/AWSLogs/000000000000/elasticloadbalancing/us-east-1/20"
        )
        assert "conn_log_000000000000_elasticloadbalancing_us-east-1_app.web.lbweb_20" in name.name
        lines = [each.split(" ") for each in found["conn"].splitlines()]
        assert {len(each) for each in lines} == {15}
        plain, secured, failed = (
            next(each for each in lines if each[3] == "80"),
            next(each for each in lines if each[10] == "Success"),
            next(each for each in lines if each[10].startswith("Failed")),
        )
        assert plain[1] == LEG
        assert int(plain[2]) > 0
        assert plain[4:11] == ["-"] * 7
        assert plain[12:] == ["-", "app/web/lbweb", LEG]
        assert secured[3:5] == ["443", "TLSv1.2"]
        assert secured[5].startswith("ECDHE-")
        assert 0 <= float(secured[6]) < 60
        assert secured[7:11] == ["-", "-", "-", "Success"]
        assert secured[12] != "-"
        assert failed[3] == "443"
        assert failed[6:11] == ["-", "-", "-", "-", "Failed:UnmappedConnectionError"]
        asked = {shlex.split(each, posix=False)[29] for each in found["000000000000"].splitlines()}
        assert asked == {plain[11], secured[11]}

    in_lab(tmp_path, body)


def test_files_go_to_s3(tmp_path: Path) -> None:
    """With an S3 each file is an object at AWS's key, by a signed request, and no file any more; what the S3 does not
    take stays until it does."""

    with s3_server() as s3:
        s3.signed = True

        async def body(lab: Lab) -> None:
            lab.web.listen(80, fixed(200, "here"))
            lab.web.attributes = logs("access") | logs("connection")
            await lab.apply()
            now = datetime.now(UTC)
            await lab.envoy.deliver_access_logs(now)
            await lab.ask("/first")
            folder = tmp_path / "data" / "envoy"

            async def written() -> bool:
                return all((folder / f"{kind}-lbweb.log").read_text().count("\n") for kind in ("access", "connection"))

            await eventually(written)
            files = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
            root = tmp_path / "data" / "access-logs"
            keys = {each.relative_to(root / "archive").as_posix() for each in files}

            async def asked_for_all() -> bool:
                return bool(s3.asked)

            await eventually(asked_for_all)
            assert s3.objects == {}  # there is no such bucket
            assert all(each.exists() for each in files)
            s3.buckets.add("archive")
            s3.failures[:] = [500, 503]
            lab.web.attributes = {}
            await lab.apply()
            await lab.ask("/second")
            await lab.envoy.deliver_access_logs(now + timedelta(minutes=7))
            await lab.envoy.keep_buckets(now)
            assert {key for _, key in s3.objects} >= keys
            assert not list(root.iterdir())
            texts = [gzip.decompress(each).decode() for (_, key), each in s3.objects.items() if "/conn_log_" not in key]
            assert any("/first" in each for each in texts)

        in_lab(
            tmp_path,
            body,
            s3_endpoint=s3.url,
            s3_access_key_id=ACCESS_KEY_ID,
            s3_secret_access_key=SECRET_ACCESS_KEY,
        )


def test_connections_at_a_shared_port(tmp_path: Path) -> None:
    """On 127.0.0.1 connections are told of while one load balancer alone is there."""

    async def body(lab: Lab) -> None:
        port = free_port()
        lab.web.scheme = "internet-facing"
        lab.web.attributes = logs("connection")
        lab.web.listen(port, fixed(200, "here"))
        await lab.apply()
        await request("127.0.0.1", port, "/", host="any.test")
        spool = tmp_path / "data" / "envoy" / "connection-lbweb.log"

        async def written() -> bool:
            return spool.exists() and "127.0.0.1" in spool.read_text()

        await eventually(written)

    in_lab(tmp_path, body)
