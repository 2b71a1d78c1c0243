"""Lines of health check logs, and the codes of gRPC that a matcher takes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.balancer import checker
from portside.domain.health_check_log import health_check_line
from portside.domain.load_balancer import HealthCheck, LoadBalancer, TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import grpc_ranges
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused

AT = datetime(2025, 10, 31, tzinfo=UTC)
SCOPE = Scope(account="000000000000", region="us-east-1")
BALANCER = LoadBalancer(
    scope=SCOPE,
    arn="arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/50dc6c495c0c9188",
    name="web",
    dns_name="web-1.elb.localhost",
    vpc_id="vpc-1",
    zones=(ZoneMapping(zone="us-east-1a", subnet_id="s", address="10.0.0.4"),),
    created_at=AT,
)
GROUP = TargetGroup(scope=SCOPE, arn="a/b", name="g", created_at=AT)


def entry(status: int, flags: str = "-", kind: str = "http", matcher: str = "200", **more: Any) -> dict[str, Any]:
    return {
        "began": "2025-10-31T12:44:59.875678Z",
        "took_us": 19_584,
        "took_ms": 20,
        "host": "172.31.20.97:80",
        "status": status,
        "flags": flags,
        "route": {"group": "web", "matcher": matcher, "type": kind},
        **more,
    }


def test_lines() -> None:
    """As in AWS's guide."""
    assert health_check_line(BALANCER, entry(200)) == (
        "http 2025-10-31T12:44:59.875678Z 0.019584000 172.31.20.97:80 web PASS 200 - app/web/50dc6c495c0c9188 10.0.0.4"
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (entry(502), ["FAIL", "502", "TargetError"]),
        (entry(404, matcher="200-299"), ["FAIL", "404", "ResponseCodeMismatch"]),
        (entry(302, matcher="200,302"), ["PASS", "302", "-"]),
        (entry(599, "UF,URX"), ["FAIL", "-", "ConnectionReset"]),
        (entry(599, "UC"), ["FAIL", "-", "ConnectionReset"]),
        (entry(0, "DC", took_us=None), ["FAIL", "-", "TimedOut"]),
        (entry(412, kind="grpc", matcher="12"), ["PASS", "12", "-"]),
        (entry(414, kind="grpc", matcher="0-12"), ["FAIL", "14", "GRPCUnexpectedStatus"]),
        (entry(599, kind="grpc", matcher="0-99"), ["FAIL", "-", "GRPCStatusHeaderEmpty"]),
    ],
)
def test_outcomes(told: dict[str, Any], said: list[str]) -> None:
    """Whether a check passed, the target's own code, and AWS's reason."""
    assert health_check_line(BALANCER, told).split(" ")[5:8] == said


@given(st.sets(st.integers(0, 99), min_size=1))
def test_every_set_of_codes(codes: set[int]) -> None:
    """A matcher takes the codes that it lists, and no others."""
    ranges = grpc_ranges(",".join(map(str, codes)))
    assert {code for start, end in ranges for code in range(start, end)} == codes
    check = HealthCheck(path="/x", matcher=",".join(map(str, codes)))
    shifted = checker.expected(replace(GROUP, protocol_version="GRPC", health_check=check))
    assert {status - 400 for start, end in shifted for status in range(start, end)} == codes


@pytest.mark.parametrize("matcher", ["", "-1", "100", "5-4", "0-100", "a", "1,", "0x1"])
def test_codes_that_are_none(matcher: str) -> None:
    """They are refused."""
    with pytest.raises(Refused):
        grpc_ranges(matcher)


def test_which_checks_go_round() -> None:
    """Those of gRPC but its own health service, and all that are logged."""
    health = HealthCheck(path="/grpc.health.v1.Health/Check", matcher="0")
    logged = replace(BALANCER, attributes={"health_check_logs.s3.enabled": "true"})
    grpc = replace(GROUP, protocol_version="GRPC", health_check=health)
    other = replace(grpc, health_check=replace(health, matcher="0-1"))
    assert [checker.is_needed(BALANCER, each) for each in (GROUP, grpc, other)] == [False, False, True]
    assert all(checker.is_needed(logged, each) for each in (GROUP, grpc, other))
    assert not checker.is_needed(replace(BALANCER, type="network"), other)
