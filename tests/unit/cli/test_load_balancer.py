"""What `portside lb` shows."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from portside.cli.load_balancer import render

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def shown(answer: dict[str, Any], width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    for each in render(answer, NOW):
        console.print(each)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def forward(*groups: tuple[str, int]) -> dict[str, Any]:
    return {"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]}}


ANSWER = {
    "loadBalancers": [
        {
            "name": "web",
            "type": "application",
            "scheme": "internet-facing",
            "state": "active",
            "dnsName": "web-1.elb.localhost",
            "listeners": [
                {
                    "protocol": "HTTP",
                    "port": 80,
                    "rules": [
                        {
                            "Priority": "10",
                            "Conditions": [
                                {"Field": "path-pattern", "Values": ["/a", "/b/*"]},
                                {
                                    "Field": "http-header",
                                    "HttpHeaderConfig": {"HttpHeaderName": "X-Beta", "Values": ["yes"]},
                                },
                                {
                                    "Field": "query-string",
                                    "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}, {"Value": "beta"}]},
                                },
                            ],
                            "Actions": [{"Type": "forward", **forward(("arn:a", 9), ("arn:b", 1))}],
                            "hits": 7,
                        },
                        {
                            "Priority": "20",
                            "Conditions": [{"Field": "host-header", "Values": ["old.example"]}],
                            "Actions": [
                                {
                                    "Type": "redirect",
                                    "RedirectConfig": {
                                        "StatusCode": "HTTP_301",
                                        "Protocol": "HTTPS",
                                        "Host": "#{host}",
                                        "Port": "443",
                                        "Path": "/#{path}",
                                        "Query": "#{query}",
                                    },
                                }
                            ],
                        },
                        {
                            "Priority": "default",
                            "Conditions": [],
                            "Actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
                        },
                    ],
                }
            ],
            "targetGroups": [
                {
                    "name": "a",
                    "arn": "arn:a",
                    "protocol": "HTTP",
                    "port": 80,
                    "targets": [
                        {
                            "id": "10.0.0.1",
                            "port": 80,
                            "zone": "us-east-1a",
                            "state": "healthy",
                            "reason": "",
                            "description": "",
                            "checkedAt": "2026-01-01T11:59:00+00:00",
                        },
                        {
                            "id": "10.0.0.2",
                            "port": 80,
                            "zone": "",
                            "state": "unhealthy",
                            "reason": "Target.Timeout",
                            "description": "Request timed out",
                            "checkedAt": None,
                        },
                    ],
                    "counted": {
                        "requests": 50,
                        "responses": {"2xx": 40, "3xx": 0, "4xx": 10, "5xx": 0},
                        "noTarget": 2,
                        "timeouts": 0,
                        "resets": 0,
                        "connectErrors": 0,
                        "connections": 5,
                        "openConnections": 1,
                        "bytes": 9,
                        "p50Ms": 1.25,
                        "p99Ms": 80.0,
                    },
                },
                {"name": "b", "arn": "arn:b", "protocol": "HTTP", "port": 80, "targets": [], "counted": None},
            ],
        }
    ]
}


def test_a_load_balancer() -> None:
    """Rules in their order, whatever their conditions and actions are; targets with their health and why; counts."""
    text = shown(ANSWER)
    for line in (
        "web (application, internet-facing) active",
        "path-pattern /a or /b/* and http-header X-Beta yes and query-string ",
        "v=2 or beta: to a (9), b (1)  7 requests",
        "host-header old.example: redirects (301) to https://#{host}:443/#{path}?#{query}",
        "default  answers 404",
        "50 requests: 40 2xx, 10 4xx; 2 without a target; p50 1.2 ms, p99 80.0 ms",
        "10.0.0.1:80 us-east-1a healthy  for 60 s",
        "10.0.0.2:80 unhealthy  Request timed out",
        "no targets",
    ):
        assert line in text, line
    assert text.index("path-pattern") < text.index("host-header") < text.index("answers 404")


def test_a_narrow_terminal_loses_nothing() -> None:
    """A rule that is longer than a line goes on in the next one, down to its hits."""
    words = [each.strip("│├└─ ") for each in shown(ANSWER, width=50).split()]
    assert [words[at + 1] for at, each in enumerate(words) if each == "7"] == ["requests"]


@pytest.mark.parametrize(
    ("protocol", "said"),
    [("HTTP", "0 requests; 3 without a target"), ("TCP", "5 connections, 1 open, 9 bytes")],
)
def test_no_requests(protocol: str, said: str) -> None:
    """A group without answers of targets is told of in requests if its protocol has them, else in connections."""
    balancer = ANSWER["loadBalancers"][0]
    counted = balancer["targetGroups"][0]["counted"] | {"requests": 0, "noTarget": 3, "p50Ms": None}
    counted["responses"] = dict.fromkeys(counted["responses"], 0)
    group = balancer["targetGroups"][0] | {"protocol": protocol, "targets": [], "counted": counted}
    assert said in shown({"loadBalancers": [balancer | {"targetGroups": [group]}]})


def test_none() -> None:
    """Where there is none, that is said."""
    assert shown({"loadBalancers": []}) == "There is no load balancer.\n"


def test_classic() -> None:
    """What a Classic Load Balancer leads to are instances, at a port."""
    listener = {
        "protocol": "HTTP",
        "port": 80,
        "rules": [{"Priority": "default", "Conditions": [], "Actions": [{"Type": "forward", **forward(("arn:g", 1))}]}],
    }
    target = {
        "id": "i-1",
        "port": 8080,
        "zone": "us-east-1a",
        "state": "healthy",
        "reason": "",
        "description": "",
        "checkedAt": None,
    }
    group = {"name": "old:8080", "arn": "arn:g", "protocol": "HTTP", "port": 8080, "targets": [target], "counted": None}
    balancer = {**ANSWER["loadBalancers"][0], "type": "classic", "listeners": [listener], "targetGroups": [group]}
    said = shown({"loadBalancers": [balancer]})
    assert "default  to old:8080" in said
    assert "instances old:8080 (HTTP 8080)" in said
    assert "i-1:8080 us-east-1a healthy" in said
