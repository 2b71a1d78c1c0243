"""Conditions of policy statements."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain.condition import holds, like

KNOWN = {
    "sts:externalid": "tenant-7",
    "aws:principalarn": "arn:aws:iam::111111111111:role/app/worker",
    "aws:flag": "true",
}


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ({}, True),
        ({"StringEquals": {"sts:ExternalId": "tenant-7"}}, True),
        ({"StringEquals": {"STS:externalID": ["x", "tenant-7"]}}, True),
        ({"StringEquals": {"sts:ExternalId": "TENANT-7"}}, False),
        ({"StringEqualsIgnoreCase": {"sts:ExternalId": "TENANT-7"}}, True),
        ({"StringNotEquals": {"sts:ExternalId": ["x", "tenant-7"]}}, False),
        ({"StringNotEquals": {"sts:ExternalId": "x"}}, True),
        ({"StringLike": {"sts:ExternalId": "tenant-?"}}, True),
        ({"StringNotLike": {"sts:ExternalId": "tenant*"}}, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}, True),
        ({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/app/worker"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:*worker"}}, False),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}, True),
        ({"Bool": {"aws:flag": True}}, True),
        ({"Bool": {"aws:flag": "False"}}, False),
        # a key of which nothing is known
        ({"StringEquals": {"aws:none": "x"}}, False),
        ({"StringEqualsIfExists": {"aws:none": "x"}}, True),
        ({"StringNotEquals": {"aws:none": "x"}}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, False),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}, True),
        ({"Null": {"aws:none": "true"}}, True),
        ({"Null": {"sts:ExternalId": True}}, False),
        ({"ForAllValues:StringEquals": {"aws:none": "x"}}, True),
        ({"ForAnyValue:StringEquals": {"aws:none": "x"}}, False),
        ({"ForAnyValue:StringNotEquals": {"aws:none": "x"}}, False),
        ({"ForAnyValue:StringLike": {"sts:ExternalId": "t*"}}, True),
        # all of them must hold
        ({"StringEquals": {"sts:ExternalId": "tenant-7", "aws:none": "x"}}, False),
        ({"StringEquals": {"sts:ExternalId": "tenant-7"}, "Bool": {"aws:flag": "true"}}, True),
        # what can not be decided
        ({"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}, None),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, None),
        ({"StringEquals": {"sts:ExternalId": "${aws:username}"}}, None),
        ({"StringEquals": {"sts:ExternalId": {"a": 1}}}, None),
        ({"StringEquals": "x"}, None),
        ({"Any:StringEquals": {"sts:ExternalId": "tenant-7"}}, None),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "StringEquals": {"sts:ExternalId": "x"}}, False),
        ([], None),
    ],
)
def test_operators(condition: Any, result: bool | None) -> None:
    """Operators as IAM has them: keys in any case, one of several values, and keys that are absent."""
    assert holds(condition, KNOWN) is result


@given(st.text("ab?.", max_size=8), st.text("ab*?.", max_size=6))
def test_patterns(value: str, pattern: str) -> None:
    """A star is any run of characters, a question mark is one, anything else is itself."""
    plain = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    assert like(value, pattern) is (re.fullmatch(plain, value, re.DOTALL) is not None)


def test_a_pattern_of_many_stars_ends() -> None:
    """The time does not explode with the number of stars."""
    assert not like("a" * 1000, "*a" * 40 + "b")
