"""Event patterns, by AWS's examples and against a plain oracle."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import event_pattern
from portside.domain.refusal import Refused

EVENT = {
    "source": "aws.ecs",
    "detail-type": "ECS Task State Change",
    "resources": ["arn:one", "arn:two"],
    "detail": {
        "lastStatus": "STOPPED",
        "exit": 137,
        "share": 0.5,
        "group": "service:Web",
        "address": "10.0.3.7",
        "note": None,
        "empty": "",
        "none": [],
        "is-essential": True,
        "containers": [{"name": "app", "code": 1}, {"name": "side", "code": 0}],
    },
}


def matches(pattern: Any, event: Any = EVENT) -> bool:
    return event_pattern.parsed(json.dumps(pattern)).matches(json.dumps(event))


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({"lastStatus": ["RUNNING", "STOPPED"]}, True),
        ({"lastStatus": ["stopped"]}, False),
        ({"lastStatus": [{"equals-ignore-case": "stopped"}]}, True),
        ({"lastStatus": [{"prefix": "STOP"}]}, True),
        ({"lastStatus": [{"prefix": {"equals-ignore-case": "stop"}}]}, True),
        ({"lastStatus": [{"suffix": "PED"}]}, True),
        ({"lastStatus": [{"suffix": {"equals-ignore-case": "ped"}}]}, True),
        ({"group": [{"wildcard": "service:*"}]}, True),
        ({"group": [{"wildcard": "*:W*b"}]}, True),
        ({"group": [{"wildcard": "service:*x"}]}, False),
        ({"group": [{"wildcard": "service\\*"}]}, False),
        ({"lastStatus": [{"anything-but": "RUNNING"}]}, True),
        ({"lastStatus": [{"anything-but": ["RUNNING", "STOPPED"]}]}, False),
        ({"lastStatus": [{"anything-but": {"prefix": "RUN"}}]}, True),
        ({"lastStatus": [{"anything-but": {"suffix": ["ED", "ING"]}}]}, False),
        ({"lastStatus": [{"anything-but": {"equals-ignore-case": ["stopped"]}}]}, False),
        ({"lastStatus": [{"anything-but": {"wildcard": "*OPP*"}}]}, False),
        ({"missing": [{"anything-but": "x"}]}, False),
        ({"exit": [137]}, True),
        ({"exit": [137.0]}, False),
        ({"exit": ["137"]}, False),
        ({"exit": [{"numeric": [">", 100, "<=", 137]}]}, True),
        ({"exit": [{"numeric": ["=", 1.37e2]}]}, True),
        ({"exit": [{"numeric": ["<", 137]}]}, False),
        ({"exit": [{"anything-but": [0, 1]}]}, True),
        ({"lastStatus": [{"numeric": [">", 0]}]}, False),
        ({"address": [{"cidr": "10.0.0.0/16"}]}, True),
        ({"address": [{"cidr": "10.1.0.0/16"}]}, False),
        ({"group": [{"cidr": "10.1.0.0/16"}]}, False),
        ({"note": [None]}, True),
        ({"empty": [""]}, True),
        ({"empty": [None]}, False),
        ({"is-essential": [True]}, True),
        ({"is-essential": [1]}, False),
        ({"note": [{"exists": True}]}, True),
        ({"missing": [{"exists": False}]}, True),
        ({"missing": [{"exists": True}]}, False),
        ({"missing": {"deep": [{"exists": False}]}}, True),
        ({"none": [{"exists": True}]}, True),
        ({"containers": {"name": ["app"], "code": [1]}}, True),
        ({"containers": {"name": ["app"], "code": [0]}}, False),
        ({"$or": [{"exit": [0]}, {"group": [{"prefix": "service:"}]}]}, True),
        ({"$or": [{"exit": [0]}, {"exit": [1]}]}, False),
        ({"lastStatus": ["STOPPED"], "$or": [{"exit": [137]}, {"exit": [1]}]}, True),
    ],
)
def test_operators(detail: Any, expected: bool) -> None:
    """Each comparison that the guide lists, true and false."""
    assert matches({"detail": detail}) is expected


def test_arrays_and_other_members() -> None:
    """One element of an array is enough; what a pattern does not name is of no account."""
    assert matches({"source": ["aws.ecs"], "resources": ["arn:two"]})
    assert not matches({"source": ["aws.ecs"], "resources": ["arn:three"]})
    assert matches({"resources": [{"prefix": "arn:"}], "detail-type": [{"wildcard": "ECS * Change"}]})


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"a": "b"}',
        '{"a": []}',
        '{"a": {}}',
        '{"a": [["b"]]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"prefix": "b", "suffix": "c"}]}',
        '{"a": [{"like": "b"}]}',
        '{"a": [{"numeric": [">"]}]}',
        '{"a": [{"numeric": ["~", 1]}]}',
        '{"a": [{"numeric": [">", "1"]}]}',
        '{"a": [{"cidr": "ten"}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"a": [{"anything-but": []}]}',
        '{"a": [{"anything-but": ["b", 1]}]}',
        '{"a": [{"anything-but": {"numeric": [">", 1]}}]}',
        '{"a": [{"anything-but": {"prefix": ""}}]}',
        '{"a": [{"wildcard": "b**"}]}',
        '{"a": [{"wildcard": "b\\\\c"}]}',
        '{"a": [1], "a": [2]}',
        '{"a": [NaN]}',
        "[" * 100_000,
        '{"a": ["' + "b" * 5000 + '"]}',
    ],
)
def test_no_patterns(pattern: str) -> None:
    """What is none is refused as such, however deep or long it is."""
    with pytest.raises(Refused, match=r"Event pattern is not valid\. Reason: "):
        event_pattern.parsed(pattern)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(st.sampled_from(["x", "xy", "yx", "X"]), st.integers(0, 3), st.booleans(), st.none())
EVENTS = st.recursive(
    st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=3),
    lambda inner: st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=3), inner), max_size=3),
    max_leaves=6,
)
MATCHERS = st.one_of(
    VALUES,
    st.builds(lambda text: {"prefix": text}, st.sampled_from(["x", "y"])),
    st.builds(lambda text: {"suffix": text}, st.sampled_from(["x", "y"])),
    st.builds(lambda there: {"exists": there}, st.booleans()),
    st.builds(lambda limit: {"numeric": [">=", limit]}, st.integers(0, 3)),
    st.builds(lambda texts: {"anything-but": texts}, st.lists(st.sampled_from(["x", "xy"]), min_size=1)),
)
PATTERNS = st.recursive(
    st.dictionaries(NAMES, st.lists(MATCHERS, min_size=1, max_size=3), min_size=1, max_size=3),
    lambda inner: st.dictionaries(
        NAMES, st.one_of(st.lists(MATCHERS, min_size=1, max_size=3), inner), min_size=1, max_size=3
    ),
    max_leaves=6,
)
ABSENT = object()


def oracle(pattern: Any, event: Any) -> bool:
    """Written anew, by the sentences of the guide."""
    for name, wanted in pattern.items():
        found = event.get(name, ABSENT) if isinstance(event, dict) else ABSENT
        if isinstance(wanted, dict):
            several = found if isinstance(found, list) else [found]
            candidates = [each for each in several if isinstance(each, dict)] or [{}]
            if not any(oracle(wanted, each) for each in candidates):
                return False
            continue
        values = found if isinstance(found, list) and found else [found]
        if not any(is_one(matcher, value) for matcher in wanted for value in values):
            return False
    return True


def is_one(matcher: Any, value: Any) -> bool:
    if not isinstance(matcher, dict):
        return type(matcher) is type(value) and matcher == value
    ((name, operand),) = matcher.items()
    if name == "exists":
        return not isinstance(value, dict) and (value is not ABSENT) == operand
    if name == "anything-but":
        return value is not ABSENT and not isinstance(value, dict | list) and value not in operand
    if name == "numeric":
        return isinstance(value, int) and not isinstance(value, bool) and value >= operand[1]
    return isinstance(value, str) and (value.startswith(operand) if name == "prefix" else value.endswith(operand))


@given(PATTERNS, EVENTS)
def test_against_an_oracle(pattern: Any, event: Any) -> None:
    """Any pattern of the plain operators over any event."""
    assert matches(pattern, event) is oracle(pattern, event)
