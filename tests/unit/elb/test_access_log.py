"""Access logs of Classic Load Balancers: where they may go, what a line says, and what a file is called."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import access_log as rule
from portside.domain.load_balancer import LoadBalancer, ZoneMapping
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused

NOW = datetime(2026, 5, 13, 23, 42, 7, tzinfo=UTC)
BALANCER = LoadBalancer(
    scope=Scope(account="123456789012", region="us-east-1"),
    arn="arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/classic/web/0123456789abcdef",
    name="web",
    type="classic",
    dns_name="d",
    vpc_id="v",
    zones=(ZoneMapping(zone="a", subnet_id="s", address="172.160.1.7"),),
    attributes={rule.ENABLED: "true", rule.BUCKET: "logs", rule.PREFIX: "my/app", rule.INTERVAL: "5"},
    created_at=NOW,
)
HTTP: dict[str, Any] = {
    "at": "2026-05-13T23:39:43.945958Z",
    "client": "192.168.131.39:2817",
    "target": "10.0.0.1:80",
    "to_target_us": 73,
    "target_us": 1048,
    "from_target_us": 57,
    "status": 200,
    "details": "via_upstream",
    "received": 0,
    "sent": 29,
    "method": "GET",
    "scheme": "http",
    "host": "www.example.com",
    "port": "80",
    "path": "/",
    "protocol": "HTTP/1.1",
    "agent": "curl/7.38.0",
    "cipher": None,
    "version": None,
}


def test_lines() -> None:
    """As in AWS's guide: an HTTP request, one over TLS, one that no instance answered, and a TCP connection."""
    line = rule.classic_line
    assert line(BALANCER, HTTP) == (
        "2026-05-13T23:39:43.945958Z web 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "
        '"GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -'
    )
    tls = {**HTTP, "scheme": "https", "port": "443", "cipher": "ECDHE-RSA-AES128-GCM-SHA256", "version": "TLSv1.2"}
    assert line(BALANCER, tls).endswith(
        '"GET https://www.example.com:443/ HTTP/1.1" "curl/7.38.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2'
    )
    alone = {**HTTP, "status": 503, "details": "no_healthy_upstream", "target": None, "host": "a:81", "agent": None}
    alone |= dict.fromkeys(("to_target_us", "target_us", "from_target_us"))
    assert line(BALANCER, alone) == (
        '2026-05-13T23:39:43.945958Z web 192.168.131.39:2817 - -1 -1 -1 503 - 0 29 "GET http://a:81/ HTTP/1.1" "" - -'
    )
    tcp = dict.fromkeys(HTTP) | {name: HTTP[name] for name in ("at", "client", "target", "received", "sent")}
    tcp |= {"to_target_us": 1069, "target_us": 28, "from_target_us": 41, "status": 0}
    assert line(BALANCER, tcp) == (
        "2026-05-13T23:39:43.945958Z web 192.168.131.39:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - 0 29 "
        '"- - - " "-" - -'
    )


@given(st.text(), st.text())
def test_one_line_whatever_was_sent(agent: str, path: str) -> None:
    """No client can end its line or its quotes."""
    said = rule.classic_line(BALANCER, {**HTTP, "agent": agent, "path": f"/{path}"})
    assert len(said.splitlines()) == 1
    assert said.count('"') == 4
    assert said.isascii()


def test_names_of_files() -> None:
    """By account, region, day, load balancer and the end of the interval."""
    end = rule.boundary(BALANCER, NOW)
    assert end == datetime(2026, 5, 13, 23, 40, tzinfo=UTC)
    assert rule.file_name(BALANCER, end, "20sg8hgm") == (
        "my/app/AWSLogs/123456789012/elasticloadbalancing/us-east-1/2026/05/13/"
        "123456789012_elasticloadbalancing_us-east-1_web_20260513T2340Z_172.160.1.7_20sg8hgm.log"
    )
    hourly = replace(BALANCER, attributes={**BALANCER.attributes, rule.INTERVAL: "60", rule.PREFIX: ""})
    assert rule.boundary(hourly, NOW) == datetime(2026, 5, 13, 23, tzinfo=UTC)
    assert rule.file_name(hourly, end, "x").startswith("AWSLogs/123456789012/")


@pytest.mark.parametrize(
    ("bucket", "prefix", "minutes"),
    [
        ("", "", 5),
        ("UPPER", "", 5),
        ("a/b", "", 5),
        ("a..b", "", 5),
        ("logs", "../x", 5),
        ("logs", "/x", 5),
        ("logs", "x//y", 5),
        ("logs", ".", 5),
        ("logs", "AWSLogs", 5),
        ("logs", "", 10),
    ],
)
def test_places_that_can_not_be(bucket: str, prefix: str, minutes: int) -> None:
    """Nothing leaves its bucket's folder."""
    with pytest.raises(Refused):
        rule.check(bucket, prefix, minutes)


def test_places() -> None:
    """What AWS takes."""
    rule.check("my-logs.2026", "my/app", 60)
    rule.check("logs", "", 5)
