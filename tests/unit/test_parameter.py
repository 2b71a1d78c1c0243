"""The rules of parameters, apart from the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import parameter as rule
from portside.domain.parameter import Reference
from portside.domain.record import Scope
from portside.domain.refusal import Refused

SCOPE = Scope(account="000000000000", region="us-east-1")
PART = st.from_regex(r"[A-Za-z0-9_.\-]{1,12}", fullmatch=True)


@given(st.lists(PART, min_size=1, max_size=15), st.one_of(st.just(""), PART))
def test_an_arn_leads_back_to_the_name(parts: list[str], selector: str) -> None:
    """The ARN of a hierarchical name means that name, with the selector behind it; so does the name itself."""
    name = "/" + "/".join(parts) if len(parts) > 1 else parts[0]
    suffix = f":{selector}" if selector else ""
    assert rule.reference(rule.parameter_arn(SCOPE, name) + suffix) == Reference(name, selector)
    assert rule.reference(name + suffix) == Reference(name, selector)


@pytest.mark.parametrize("name", ["plain", "/a", "/a/b.c/d-e_F", "/" + "/".join("abcdefghijklmno")])
def test_names(name: str) -> None:
    """What AWS takes for a name passes."""
    rule.check_name(SCOPE, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("awsThing", 'can\'t be prefixed with "aws" or "ssm"'),
        ("/SSM/x/y", 'can\'t be prefixed with "ssm"'),
        ("/aws/reserved/x", "No access to reserved parameter name: /aws/reserved/x."),
        ("a b", "can be formed as a mix of letters"),
        ("/a//b", "can be formed as a mix of letters"),
        ("/a/", "can be formed as a mix of letters"),
        ("a/b", "must be a fully qualified name"),
        ("/" + "/".join("abcdefghijklmnop"), "maximum of 15 levels"),
        ("n" * 1000, "must not be longer than 1011"),
    ],
)
def test_what_is_no_name(name: str, words: str) -> None:
    """What AWS refuses is refused, in its words."""
    with pytest.raises(Refused) as caught:
        rule.check_name(SCOPE, name)
    assert words in caught.value.message


def test_labels() -> None:
    """Labels that begin with a number, aws or ssm, or hold other characters, are none."""
    good, bad = rule.valid_labels(["prod", "v1.0", "1st", "aws-x", "SSM", "a b", "x" * 101, "prod"])
    assert good == ["prod", "v1.0"]
    assert bad == ["1st", "aws-x", "SSM", "a b", "x" * 101]


def test_tiers() -> None:
    """Standard holds 4 KB, Advanced 8; Intelligent-Tiering takes what is needed; nothing goes back to Standard."""
    assert rule.chosen_tier(None, 4096, None) == "Standard"
    assert rule.chosen_tier("Intelligent-Tiering", 4097, None) == "Advanced"
    assert rule.chosen_tier(None, 10, "Advanced") == "Advanced"
    for asked, size, before in ((None, 4097, None), ("Advanced", 8193, None), ("Standard", 1, "Advanced")):
        with pytest.raises(Refused):
            rule.chosen_tier(asked, size, before)  # type: ignore[arg-type]
