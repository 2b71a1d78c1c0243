"""Health check logs of a load balancer on the real Envoy: from checks to AWS's lines."""

import asyncio
import gzip
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portside.domain.load_balancer import HealthCheck
from portside.testing.balancer_lab import CHECK, LEG, LabAuthority, eventually, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.http2_lab import GrpcServer
from portside.testing.netns_lab import listen

pytestmark = pytest.mark.integration

LOGS = {"health_check_logs.s3.enabled": "true", "health_check_logs.s3.bucket": "archive"}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    writer.close()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


def test_checks_become_lines(tmp_path: Path) -> None:
    """Each check of each target is a line with AWS's fields: those that pass, a wrong code, an error, a silent target,
    a connection that is reset, HTTPS and gRPC. Health is what it is without the log."""

    async def body(lab: Lab) -> None:
        authority = LabAuthority()
        own = authority.issue("target.test")
        (tmp_path / "target.pem").write_text(own.chain_pem + own.key_pem)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tmp_path / "target.pem")
        plain = group("plain")
        secured = group(
            "secured",
            protocol="HTTPS",
            health_check=HealthCheck(protocol="HTTPS", matcher="200-299", interval_s=1, timeout_s=1),
        )
        broken = group("broken", health_check=HealthCheck(interval_s=1, timeout_s=1))
        serving = group(
            "serving",
            protocol_version="GRPC",
            health_check=HealthCheck(path="/grpc.health.v1.Health/Check", matcher="0", interval_s=1, timeout_s=1),
        )
        lab.web.groups = [plain, secured, broken, serving]
        lab.web.targets = [
            target(plain, ONE),
            target(plain, TWO),
            target(secured, ONE, 8443),
            target(broken, ONE, 8081),
            target(serving, ONE, 50051),
        ]
        listener = lab.web.listen(80, forward(plain))
        for priority, each in enumerate((secured, broken, serving), 1):
            lab.web.rule(listener, priority, forward(each), paths(f"/{each.name}"))
        await lab.serve(ONE, TWO)
        one, two = lab.servers
        two.health = 503
        servers = [
            await asyncio.start_server(_answer, sock=await listen(lab.netns.path, ONE, 8443), ssl=tls),
            await asyncio.start_server(_reset, sock=await listen(lab.netns.path, ONE, 8081)),
        ]
        talks = await GrpcServer(lab.netns.path, ONE, 50051).start()
        await lab.apply()
        await lab.reports.wait(TWO, "unhealthy")
        lab.web.attributes = LOGS
        lab.reports.all.clear()
        await lab.apply()
        failed = await lab.reports.wait(TWO, "unhealthy")
        assert failed.detail == "Health checks failed with these codes: [503]"
        now = datetime.now(UTC)
        await lab.envoy.deliver_access_logs(now)
        spool = tmp_path / "data" / "envoy" / "health_check-lbweb.log"

        def told(*words: str) -> bool:
            lines = spool.read_text().splitlines() if spool.exists() else []
            return any(all(word in line for word in words) for line in lines)

        async def first_round() -> bool:
            return told('"plain"', ":200,") and told('"secured"', ":204,") and told('"broken"') and told('"serving"')

        await eventually(first_round)
        one.health = 404

        async def second_round() -> bool:
            return told('"plain"', ":404,")

        await eventually(second_round)
        one.health, talks.silent = 200, True

        async def third_round() -> bool:
            return told('"serving"', '"DC"')

        await eventually(third_round)
        talks.silent, talks.message = False, b"\0\0\0\0\x02\x08\x02"  # NOT_SERVING

        async def fourth_round() -> bool:
            return told('"serving"', ":598,")

        await eventually(fourth_round)
        (file,) = await lab.envoy.deliver_access_logs(now + timedelta(minutes=6))
        assert file.name.startswith("health_check_log_000000000000_elasticloadbalancing_us-east-1_app.web.lbweb_20")
        lines = [each.split(" ") for each in gzip.decompress(file.read_bytes()).decode().splitlines()]
        assert {len(each) for each in lines} == {10}
        assert {tuple(each[8:]) for each in lines} == {("app/web/lbweb", LEG)}
        assert all(0 <= float(each[2]) < 30 for each in lines)
        found = {(each[0], *each[3:8]) for each in lines}
        assert found >= {
            ("http", f"{ONE}:8080", "plain", "PASS", "200", "-"),
            ("http", f"{ONE}:8080", "plain", "FAIL", "404", "ResponseCodeMismatch"),
            ("http", f"{TWO}:8080", "plain", "FAIL", "503", "TargetError"),
            ("https", f"{ONE}:8443", "secured", "PASS", "204", "-"),
            ("http", f"{ONE}:8081", "broken", "FAIL", "-", "ConnectionReset"),
            ("grpc", f"{ONE}:50051", "serving", "PASS", "0", "-"),
            ("grpc", f"{ONE}:50051", "serving", "FAIL", "-", "TimedOut"),
        }
        answer = await lab.ask("/any")
        assert answer.status == 200
        assert "x-portside-check" not in answer.body
        lab.web.attributes = {}
        lab.reports.all.clear()
        two.health = 200
        await lab.apply()
        await lab.reports.wait(TWO, "healthy")
        for server in servers:
            server.close()
        await talks.close()

    in_lab(tmp_path, body)


def test_own_port_of_checks(tmp_path: Path) -> None:
    """A check at another port than the traffic's is told with that port, and sees no header that it would not see
    without the log."""

    async def body(lab: Lab) -> None:
        heads: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        g = group("g", health_check=HealthCheck(path="/health", port="9000", interval_s=1, timeout_s=1))
        assert CHECK.port != g.health_check.port
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        server = await asyncio.start_server(serve, sock=await listen(lab.netns.path, ONE, 9000))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        direct = heads[-1]
        heads.clear()
        lab.web.attributes = LOGS
        lab.reports.all.clear()
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")

        async def checked() -> bool:
            return bool(heads)

        await eventually(checked)
        assert {line for line in heads[-1].splitlines() if line} == {line for line in direct.splitlines() if line}
        server.close()

    in_lab(tmp_path, body)
