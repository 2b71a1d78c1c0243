"""Lines of access logs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from portside.domain.access_log import file_name
from portside.domain.application_access_log import FIELDS, application_line
from portside.domain.load_balancer import LoadBalancer, ZoneMapping
from portside.domain.record import Scope

LB = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/50dc6c495c0c9188"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/73e2d6bc24d8a067"


BALANCER = LoadBalancer(
    scope=Scope(account="000000000000", region="us-east-1"),
    arn=LB,
    name="web",
    dns_name="web-1.elb.localhost",
    vpc_id="vpc-1",
    zones=(ZoneMapping(zone="us-east-1a", subnet_id="s", address="10.0.0.4"),),
    attributes={"access_logs.s3.prefix": "site"},
    created_at=datetime(2018, 1, 1, tzinfo=UTC),
)


def entry(**more: Any) -> dict[str, Any]:
    route = {
        "priority": "3",
        "action": "forward",
        "groups": {"73e2d6bc24d8a067": GROUP},
        "certificate": "arn:aws:acm:us-east-1:000000000000:certificate/1",
    }
    return {
        "route": route,
        "began": "1530570180.000001",
        "ended": "1530570180.186641",
        "client": "192.168.131.39:2817",
        "port": 443,
        "connection": 31,
        "node": "10.0.0.4",
        "target": "10.0.0.1:80",
        "cluster": "50dc6c495c0c9188_73e2d6bc24d8a067",
        "to_target_us": 86_400,
        "target_us": 48_000,
        "from_target_us": 37_000,
        "status": 200,
        "details": "via_upstream",
        "wire_received": 0,
        "wire_sent": 57,
        "method": "GET",
        "scheme": "https",
        "host": "www.example.com:443",
        "path": "/",
        "protocol": "HTTP/1.1",
        "agent": "curl/7.46.0",
        "trace": "Root=1-58337281-1d84f3d73c47ec4e58577259",
        "upgrade": None,
        "content_type": None,
        "location": "/elsewhere",
        "version": "TLSv1.2",
        "cipher": "ECDHE-RSA-AES128-GCM-SHA256",
        "name": "www.example.com",
        **more,
    }


def test_the_line_of_the_documentation() -> None:
    """AWS's own example, with what is Portside's at its end."""
    assert application_line(BALANCER, entry()) == (
        "https 2018-07-02T22:23:00.186641Z app/web/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 "
        '200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 '
        f'{GROUP} "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" '
        '"arn:aws:acm:us-east-1:000000000000:certificate/1" 3 2018-07-02T22:23:00.000001Z "forward" "-" "-" '
        '"10.0.0.1:80" "200" "-" "-" TID_0000000000000000000000000000001f "-" "-" "-" 10.0.0.4'
    )


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "https"),
        ({"version": None}, "http"),
        ({"protocol": "HTTP/2"}, "h2"),
        ({"protocol": "HTTP/2", "content_type": "application/grpc+proto"}, "grpcs"),
        ({"upgrade": "WebSocket"}, "wss"),
        ({"upgrade": "websocket", "version": None}, "ws"),
    ],
)
def test_types(more: dict[str, Any], kind: str) -> None:
    """What a connection is comes first."""
    assert application_line(BALANCER, entry(**more)).split()[0] == kind


def test_odd_characters() -> None:
    """Nothing that a client sends can end a field or a line."""
    text = application_line(BALANCER, entry(agent='a"b\\c\n\u00fc', path='/"x'))
    assert r'"a\x22b\x5cc\x0a\xc3\xbc"' in text
    assert r'"GET https://www.example.com:443/\x22x HTTP/1.1"' in text
    assert "\n" not in text


def test_what_had_no_rule() -> None:
    """A request that was refused before any rule was looked for is told, too."""
    bare = dict.fromkeys(FIELDS) | {"began": "1530570180.0", "ended": "1530570180.1", "connection": 1, "status": 400}
    text = application_line(BALANCER, bare)
    assert " - -1 -1 -1 400 - " in text
    assert ' -1 2018-07-02T22:23:00.000000Z "-" ' in text


def test_places() -> None:
    """Files are by day, named after the load balancer, the end of their time and the address."""
    assert file_name(BALANCER, datetime(2018, 7, 2, 22, 25, tzinfo=UTC), "1a2b3c4d") == (
        "site/AWSLogs/000000000000/elasticloadbalancing/us-east-1/2018/07/02/"
        "000000000000_elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188_20180702T2225Z_10.0.0.4_1a2b3c4d.log.gz"
    )
