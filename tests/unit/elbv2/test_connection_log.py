"""Lines and files of connection logs, and the folder in which logs of all kinds wait."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from portside.balancer.log_folder import LogFolder
from portside.domain.access_log import KEPT, KEPT_BYTES, StoredFile, file_name, is_logged, outdated
from portside.domain.connection_log import FIELDS, connection_line
from portside.domain.load_balancer import LoadBalancer, ZoneMapping
from portside.domain.record import Scope, replace
from portside.node.s3 import S3Endpoint
from portside.testing.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, s3_server

NOW = datetime(2026, 5, 13, 23, 40, tzinfo=UTC)
BALANCER = LoadBalancer(
    scope=Scope(account="000000000000", region="us-east-1"),
    arn="arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/50dc6c495c0c9188",
    name="web",
    dns_name="web-1.elb.localhost",
    vpc_id="vpc-1",
    zones=(ZoneMapping(zone="us-east-1a", subnet_id="s", address="10.0.0.4"),),
    attributes={"connection_logs.s3.enabled": "true", "connection_logs.s3.prefix": "site"},
    created_at=NOW,
)
SECURED: dict[str, Any] = {
    "began": "2023-10-04T17:05:15.514108Z",
    "client_address": "203.0.113.1",
    "client_port": 36280,
    "port": 443,
    "version": "TLSv1.2",
    "cipher": "ECDHE-RSA-AES128-GCM-SHA256",
    "handshake_ms": 4036,
    "group": "X25519",
    "failure": None,
    "connection": 31,
    "node": "10.0.0.4",
    "secured": "true",
}


def test_lines() -> None:
    """As in AWS's guide: a connection by TLS, one whose handshake failed, and one without TLS."""
    assert connection_line(BALANCER, SECURED) == (
        "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 - - - Success "
        f"TID_{31:032x} X25519 app/web/50dc6c495c0c9188 10.0.0.4"
    )
    failed = SECURED | dict.fromkeys(("version", "cipher", "handshake_ms", "group")) | {"failure": "TLS_error"}
    assert connection_line(BALANCER, failed).split(" ")[4:13] == [
        *("-", "-", "-", "-", "-", "-", "Failed:UnmappedConnectionError", f"TID_{31:032x}", "-"),
    ]
    plain = dict.fromkeys(FIELDS) | {name: SECURED[name] for name in ("began", "client_address", "client_port", "node")}
    plain |= {"port": 80, "secured": "false", "connection": 32}
    assert connection_line(BALANCER, plain) == (
        f"2023-10-04T17:05:15.514108Z 203.0.113.1 36280 80 - - - - - - - TID_{32:032x} - app/web/50dc6c495c0c9188 "
        "10.0.0.4"
    )


def test_which_are_asked_for() -> None:
    """Each kind has a bucket and a prefix of its own, and a name."""
    assert is_logged(BALANCER, "connection")
    assert not is_logged(BALANCER)
    assert not is_logged(replace(BALANCER, type="network"), "connection")
    assert file_name(BALANCER, NOW, "20sg8hgm", "connection") == (
        "site/AWSLogs/000000000000/elasticloadbalancing/us-east-1/2026/05/13/conn_log_000000000000_"
        "elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188_20260513T2340Z_10.0.0.4_20sg8hgm.log.gz"
    )


def test_what_goes() -> None:
    """Files that are older than the bound, and the oldest ones while there is too much."""
    old = StoredFile("old", (NOW - KEPT - timedelta(seconds=1)).timestamp(), 1)
    big = StoredFile("big", (NOW - timedelta(days=2)).timestamp(), KEPT_BYTES)
    new = StoredFile("new", NOW.timestamp(), 10)
    assert outdated([new, big, old], NOW) == [old, big]
    assert outdated([new, old], NOW) == [old]
    assert outdated([new, replace_size(big, KEPT_BYTES - 10)], NOW) == []


def replace_size(file: StoredFile, size: int) -> StoredFile:
    return file._replace(size=size)


def test_delivery(tmp_path: Path) -> None:
    """A bucket that is not there holds up its own files alone; a file under way is left; nothing is sent unsigned."""

    def written(name: str, text: str = "x") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    async def body(url: str) -> None:
        kept = written("lost/a.log")
        partial = written("logs/AWSLogs/.b.log.partial")
        written("logs/AWSLogs/b c.log.gz", "b" * 200_000)
        s3 = S3Endpoint(url=url, region="us-east-1", access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY)
        folder = LogFolder(tmp_path, s3)
        assert await folder.keep(datetime.now(UTC)) == ["logs/AWSLogs/b c.log.gz"]
        assert kept.exists()
        assert partial.exists()
        server.buckets.add("lost")
        server.failures.append(503)
        assert await folder.keep(datetime.now(UTC)) == ["lost/a.log"]
        assert not kept.parent.exists()

    with s3_server() as server:
        server.signed = True
        server.buckets.add("logs")
        asyncio.run(body(server.url))
        assert server.objects == {("logs", "AWSLogs/b c.log.gz"): b"b" * 200_000, ("lost", "a.log"): b"x"}


def test_nobody_takes_them(tmp_path: Path) -> None:
    """Without an S3, and where there is none at its address, files stay until they are too old."""
    path = tmp_path / "logs" / "a.log"
    path.parent.mkdir()
    path.write_text("x")
    nowhere = S3Endpoint(url="http://127.0.0.1:1", region="us-east-1")
    for s3 in (None, nowhere):
        assert asyncio.run(LogFolder(tmp_path, s3).keep(datetime.now(UTC))) == []
        assert path.exists()
    then = (datetime.now(UTC) - KEPT - timedelta(hours=1)).timestamp()
    os.utime(path, (then, then))
    asyncio.run(LogFolder(tmp_path).keep(datetime.now(UTC)))
    assert not path.parent.exists()
