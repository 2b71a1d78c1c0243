"""Which rule a request goes by, against an oracle of its own, and what is said of those that it does not."""

import re
from random import Random

import pytest

from portside.domain.listener_condition import check_conditions, condition_regex
from portside.domain.listener_match import Question, Request, consider, find, is_like, location, questions
from portside.domain.load_balancer import Condition, QueryParameter, Redirect, Rule
from portside.testing import rule_oracle
from portside.testing.balancer_lab import Balancer, fixed, hosts, paths


def rules(*each: tuple[Condition, ...]) -> list[Rule]:
    made = Balancer("web", "")
    listener = made.listen(80, fixed(404))
    return [made.rule(listener, 10 * number, fixed(200), *one) for number, one in enumerate(each, 1)]


@pytest.mark.parametrize("seed", range(40))
def test_generated(seed: int) -> None:
    """Of generated rules the same one is found as by the oracle; every expression that is asked for was announced."""
    random = Random(seed)
    drawn = [rule_oracle.conditions(random) for _ in range(random.randint(1, 12))]
    for each in drawn:
        check_conditions(each)
    listener_rules = rules(*drawn)
    for _ in range(100):
        request = rule_oracle.request(random, random.choice(("10.0.1.5", "10.0.1.3", "192.168.0.1")))
        answers = {question for question in questions(listener_rules, request) if find(question)}
        considered = consider(reversed(listener_rules), request, answers.__contains__)
        expected = rule_oracle.first(drawn, request)
        found = len(considered) - 1 if considered and considered[-1].matches else None
        assert found == expected, (request, drawn)
        assert all(not each.matches for each in considered[:-1])


@pytest.mark.parametrize("seed", range(40))
def test_what_envoy_is_told(seed: int) -> None:
    """A condition's expression for Envoy holds of a request exactly where the oracle says so."""
    random = Random(seed)
    for _ in range(300):
        request = rule_oracle.request(random, "10.0.1.5")
        for condition in rule_oracle.conditions(random):
            seen = {
                "path-pattern": [request.path],
                "host-header": [request.host],
                "http-header": request.header(condition.header),
                "http-request-method": [request.method],
                "query-string": [request.target],
                "source-ip": [request.source],
            }[condition.field]
            # Python takes flags within an expression at its beginning only
            regex = condition_regex(condition).replace("(?i)", "", 1)
            flags = re.IGNORECASE if "(?i" in condition_regex(condition) else 0
            found = any(re.fullmatch(regex, text, flags) for text in seen)
            assert found == rule_oracle.holds(condition, request), (condition, request)


def test_reasons() -> None:
    """Each condition of a rule that does not match says what it looked at and what it wanted."""
    considered = consider(
        rules(
            (paths("/a", "/b"), hosts("*.example.com")),
            (Condition(field="http-header", header="X-Kind", values=("beta",)),),
            (Condition(field="query-string", query=(QueryParameter(key="v", value="2"),)),),
            (Condition(field="path-pattern", regex_values=("^/c",)),),
            (paths("/*"),),
        ),
        Request(method="GET", host="www.example.com:8080", path="/c", headers=(("x-kind", "alpha"),)),
    )
    assert [(each.holds, each.why) for one in considered for each in one.conditions] == [
        (False, "'/c' matches none of /a, /b"),
        (True, "'www.example.com' matches *.example.com"),
        (False, "'alpha' does not match beta"),
        (False, "nothing does not match v=2"),
        (True, "'/c' matches ^/c"),
    ]


def test_a_header_that_is_not_sent() -> None:
    """No pattern holds of a header that is not there, though one does of an empty one."""
    rule = rules((Condition(field="http-header", header="X-A", values=("*",)),))
    (considered,) = consider(rule, Request(method="GET", host="a"))
    assert not considered.matches
    assert considered.conditions[0].why == "the request has no header X-A"
    (considered,) = consider(rule, Request(method="GET", host="a", headers=(("x-a", ""),)))
    assert considered.matches


def test_hosts_of_any_case_have_expressions_of_any_case() -> None:
    """Expressions of hosts take letters of any case, others do not."""
    both = (
        Condition(field="host-header", regex_values=("^WWW",)),
        Condition(field="path-pattern", regex_values=("^/A",)),
    )
    request = Request(method="GET", host="www.x", path="/a")
    (considered,) = consider(rules(both), request)
    assert [each.holds for each in considered.conditions] == [True, False]
    assert questions(rules(both), request) == {Question("^WWW", "www.x", True), Question("^/A", "/a", False)}


def test_long_texts_take_no_time() -> None:
    """Five wildcards over a long text are weighed in steps that do not multiply."""
    assert not is_like("a" * 8000, "*a*a*a*a*ab")
    assert is_like("a" * 8000 + "b", "*a*a*a*a*ab")


def test_locations() -> None:
    """A redirect's location is made of the request's parts, with the port always named."""
    request = Request(method="GET", host="ex.com:8080", path="/old/x", query="q=#{host}")
    moved = Redirect(status_code="HTTP_301", host="new.#{host}", path="/v2/#{path}", query="a&#{query}")
    assert location(moved, request, protocol="HTTP", port=80) == "http://new.ex.com:80/v2/old/x?a&q=#{host}"
    plain = Redirect(status_code="HTTP_302", protocol="HTTPS", port="443", query="")
    assert location(plain, request, protocol="HTTP", port=80) == "https://ex.com:443/old/x"
