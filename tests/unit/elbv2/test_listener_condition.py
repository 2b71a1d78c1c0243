"""Conditions and redirects: what is allowed, and what conditions mean."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import listener_condition
from portside.domain.load_balancer import Condition, QueryParameter, Redirect
from portside.domain.refusal import Refused


def query(*pairs: tuple[str, str]) -> Condition:
    return Condition(field="query-string", query=tuple(QueryParameter(key=key, value=value) for key, value in pairs))


@pytest.mark.parametrize(
    "conditions",
    [
        (),
        (Condition(field="path-pattern", values=()),),
        (Condition(field="path-pattern", values=("/a",)), Condition(field="path-pattern", values=("/b",))),
        (Condition(field="path-pattern", values=tuple("abcdef")),),
        (Condition(field="path-pattern", values=("/ü",)),),
        (Condition(field="path-pattern", values=("/a",), regex_values=("/b",)),),
        (Condition(field="path-pattern", values=("/*/*/*", "/*?/*")), query(("a*", "b"))),
        (Condition(field="host-header", values=("nodot",)),),
        (Condition(field="host-header", values=("a.b/c",)),),
        (Condition(field="host-header", values=("a." + "b" * 127,)),),
        (Condition(field="http-header", values=("x",)),),
        (Condition(field="http-header", header="Host", values=("x",)),),
        (Condition(field="http-header", header="a b", values=("x",)),),
        (Condition(field="http-request-method", values=("get",)),),
        (Condition(field="http-request-method", regex_values=("GET",)),),
        (Condition(field="source-ip", values=("10.0.0.1",)),),
        (Condition(field="source-ip", values=("10.0.0.1/8",)),),
        (Condition(field="source-ip", values=("everywhere",)),),
        (query(("a", "")),),
        (query(("a", "b c")),),
    ],
)
def test_bad_conditions(conditions: tuple[Condition, ...]) -> None:
    """Conditions are few, of one kind each but for headers and queries, and of AWS's characters."""
    with pytest.raises(Refused):
        listener_condition.check_conditions(conditions)


def test_good_conditions() -> None:
    """Headers and queries may be there several times: all of them must hold."""
    listener_condition.check_conditions(
        (
            Condition(field="http-header", header="X-A", values=("a",)),
            Condition(field="http-header", header="X-A", values=("*b",)),
            query(("a", "b")),
            query(("", "c*")),
            Condition(field="source-ip", values=("2001:db8::/32",)),
        )
    )


@pytest.mark.parametrize(
    "regex",
    [
        "(?=a)",
        "(?<!a)b",
        r"(a)\1",
        "(?>a)",
        "a++",
        r"\p{L}",
        "(",
        "[",
        "[[:alpha:]]",
        "a{1001}",
        "(a{100}){100}",
        "ü",
        r"\z",
    ],
)
def test_expressions_that_are_refused(regex: str) -> None:
    """What AWS's documentation excludes, and what could not be compiled."""
    with pytest.raises(Refused):
        listener_condition.check_regex(regex)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_networks(start: int, prefix: int, other: int, near: int) -> None:
    """An address is in a block exactly if the block's expression says so."""
    network = ipaddress.IPv4Network((start, prefix), strict=False)
    for number in (other, start ^ (other >> near)):
        address = ipaddress.IPv4Address(number)
        found = re.fullmatch(listener_condition.network_regex(str(network)), str(address))
        assert bool(found) == (address in network)


@given(st.lists(st.tuples(st.text("abc=", max_size=3), st.text("abc*", max_size=3)), max_size=4))
def test_queries(parameters: list[tuple[str, str]]) -> None:
    """A pair is found wherever it stands in a query, whole, and in any case."""
    sent = "&".join(f"{key.replace('=', '')}={value}" for key, value in parameters)
    pairs = [(key.replace("=", ""), value) for key, value in parameters]
    regex = listener_condition.condition_regex(query(("A", r"b\*"), ("c?", "a*")))
    wanted = any(
        (key, value) == ("a", "b*") or (len(key) == 2 and key[0] == "c" and value.startswith("a"))
        for key, value in pairs
    )
    assert bool(re.fullmatch(regex, f"/path?{sent}")) == wanted


@pytest.mark.parametrize(
    "parts",
    [
        {"protocol": "TCP"},
        {"port": "0"},
        {"port": "#{path}"},
        {"path": "no-slash"},
        {"path": "/#{query}"},
        {"host": "#{path}.com"},
        {"host": "a\r\nb"},
        {"query": "#{nonsense}"},
        {"path": "/" + "a" * 128},
        {"path": "/#{path}/#{path}"},
    ],
)
def test_bad_redirects(parts: dict[str, str]) -> None:
    """The parts of a redirect are valid, with AWS's keywords where AWS has them, and each once in a path."""
    with pytest.raises(Refused):
        listener_condition.check_redirect(Redirect(status_code="HTTP_301", **parts))
