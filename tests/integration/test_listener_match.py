"""Generated rules through the real Envoy, and `portside lb route` on a real instance."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from portside.domain.listener_match import consider
from portside.testing import rule_oracle
from portside.testing.balancer_lab import LEG, fixed
from portside.testing.envoy_lab import Lab, in_lab
from portside.testing.instance import instance
from portside.testing.netns_lab import request

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("turns", "plain", "others"), [(8, 0, 12), (4, 85, 15)])
def test_generated_rules(tmp_path: Path, turns: int, plain: int, others: int) -> None:
    """Envoy takes each generated request by the rule that the oracle and the domain name; also where it has the rules
    in several lists, for many go by how the path begins."""
    random = Random(7)

    async def body(lab: Lab) -> None:
        listener = lab.web.listen(80, fixed(404, "default"))
        for _ in range(turns):
            drawn = [rule_oracle.plain_path(random) for _ in range(plain)]
            for each in [rule_oracle.conditions(random) for _ in range(others)]:
                drawn.insert(random.randint(0, len(drawn)), each)
            lab.web.rules = []
            for number, each in enumerate(drawn):
                lab.web.rule(listener, number + 1, fixed(200, str(number)), *each)
            await lab.apply()
            (routes,) = (lab.settings.data_dir / "envoy").glob("rds-*.json")
            assert ("prefix_match_map" in routes.read_text()) == bool(plain)
            for _ in range(40):
                sent = rule_oracle.request(random, LEG)
                expected = rule_oracle.first(drawn, sent)
                considered = consider(lab.web.rules, sent)
                assert (len(considered) - 1 if considered[-1].matches else None) == expected, (sent, drawn)
                headers = [f"{key}: {value}" for key, value in sent.headers]
                answer = await request(
                    LEG, 80, sent.target, host=sent.host, netns=lab.netns.path, method=sent.method, lines=headers
                )
                assert answer.body == ("default" if expected is None else str(expected)), (sent, drawn)

    in_lab(tmp_path, body)


def test_route_command() -> None:
    """The rule that a request would go by is named, with the condition over which each earlier one failed."""
    with instance() as portside:
        ec2, elb = portside.client("ec2"), portside.client("elbv2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        balancer = elb.create_load_balancer(Name="site", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
        listener = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=18093, DefaultActions=[answer])[
            "Listeners"
        ][0]["ListenerArn"]
        moved = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Path": "/v2/#{path}"}}
        for priority, field, values, action in (
            (10, "host-header", ["old.example"], moved),
            (20, "path-pattern", ["/api/*"], answer),
        ):
            elb.create_rule(
                ListenerArn=listener,
                Priority=priority,
                Conditions=[{"Field": field, "Values": values}],
                Actions=[action],
            )
        elb.create_rule(
            ListenerArn=listener,
            Priority=15,
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/(api|web)/v9"]}}],
            Actions=[answer],
        )

        def route(*words: str, code: int = 0) -> Any:
            given = [sys.executable, "-m", "portside.cli", "lb", "route", "site", *words]
            done = subprocess.run(
                [*given, "--data-dir", str(portside.settings.data_dir)], capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done.stderr
            return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr

        found = route("GET", "http://any.example:18093/api/x?q=1", "--json")
        assert found["rule"]["Priority"] == "20"
        assert [(each["priority"], each["conditions"][0]["why"]) for each in found["rules"]] == [
            ("10", "'any.example' does not match old.example"),
            ("15", "'/api/x' does not match ^/(api|web)/v9"),
            ("20", "'/api/x' matches /api/*"),
        ]
        assert "→ answers 404" in route("GET", "/api/x")
        said = route("POST", "/x", "-H", "Host: old.example", "--from", "10.1.2.3")
        assert "from 10.1.2.3" in said
        assert "redirects to http://old.example:18093/v2/x" in said
        assert "no rule matches" in route("GET", "/elsewhere")
        assert "no listener on port 80" in route("GET", "http://any.example/", code=1)
