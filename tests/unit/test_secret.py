"""What `valueFrom` means, and versions of a secret under any sequence of changes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import secret as rule
from portside.domain.record import Scope
from portside.domain.secret import CURRENT, PREVIOUS, Secret
from portside.domain.secret_reference import (
    FromParameter,
    FromSecret,
    Unresolvable,
    login_member,
    member,
    parsed,
    registry_login,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:app/db-AbCdEf"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("name", FromParameter(text="name")),
        ("/a/b:3", FromParameter(text="/a/b:3")),
        (
            "arn:aws:ssm:eu-west-1:000000000000:parameter/a/b",
            FromParameter(text="arn:aws:ssm:eu-west-1:000000000000:parameter/a/b", region="eu-west-1"),
        ),
        (ARN, FromSecret(secret_id=ARN, region="eu-west-1")),
        (f"{ARN}:user::", FromSecret(secret_id=ARN, region="eu-west-1", json_key="user")),
        (f"{ARN}::AWSPREVIOUS:", FromSecret(secret_id=ARN, region="eu-west-1", stage="AWSPREVIOUS")),
        (f"{ARN}:k::v", FromSecret(secret_id=ARN, region="eu-west-1", json_key="k", version_id="v")),
    ],
)
def test_value_from(text: str, meant: FromParameter | FromSecret) -> None:
    """Names and ARNs of parameters, and ARNs of secrets with key, stage and version."""
    assert parsed(text) == meant


def test_members_of_a_json_secret() -> None:
    """A string is given as it is, anything else as JSON; a missing key and what is no JSON are told."""
    content = '{"user": "me", "port": 5432, "on": true}'
    assert [member("x", content, key) for key in ("user", "port", "on")] == ["me", "5432", "true"]
    for text, words in (
        (content, "did not contain json key other"),
        ("plain", "is not JSON"),
        ("[1]", "json key other"),
    ):
        with pytest.raises(Unresolvable, match=words):
            member("x", text, "other")


def test_a_registry_login_names_a_secret() -> None:
    """By ARN or by name, never a parameter; a user name or password that is empty is no login."""
    assert registry_login("login") == FromSecret(secret_id="login", region=None)
    assert registry_login(ARN) == FromSecret(secret_id=ARN, region="eu-west-1")
    content = '{"username": "me", "password": ""}'
    assert login_member("x", content, "username") == "me"
    with pytest.raises(Unresolvable, match="the secret's password is empty"):
        login_member("x", content, "password")


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([(CURRENT,), ("AWSPENDING",), (CURRENT, "mine"), ()])),
        st.tuples(st.just("move"), st.tuples(st.sampled_from([CURRENT, "AWSPENDING", "mine"]), st.integers(0, 30))),
    ),
    max_size=40,
)


@given(CHANGES)
def test_stages_under_any_changes(changes: list[tuple[str, object]]) -> None:
    """Each stage is on one version at most, the current one stays there, and the previous one is another version."""
    secret = Secret(
        scope=Scope(account="0" * 12, region="r"), name="s", suffix="AbCdEf", created_at=NOW, changed_at=NOW
    )
    secret = rule.with_version(secret, "first", (CURRENT,), now=NOW)
    for number, (kind, what) in enumerate(changes):
        now = NOW + timedelta(seconds=number)
        if kind == "put":
            secret = rule.with_version(secret, f"v{number}", what, now=now)  # type: ignore[arg-type]
        else:
            stage, at = what  # type: ignore[misc]
            secret = rule.moved(secret, stage, secret.versions[at % len(secret.versions)].id, now=now)
        held = [stage for each in secret.versions for stage in each.stages]
        assert len(held) == len(set(held))
        assert CURRENT in held
        current = rule.version(secret, version_id=None, stage=None)
        assert current is not None
        assert PREVIOUS not in current.stages


def test_deprecated_versions_go() -> None:
    """Of versions without a stage the oldest go when there are more than a hundred."""
    secret = Secret(
        scope=Scope(account="0" * 12, region="r"), name="s", suffix="AbCdEf", created_at=NOW, changed_at=NOW
    )
    for number in range(150):
        secret = rule.with_version(secret, f"v{number}", (CURRENT,), now=NOW)
    assert [each.id for each in secret.versions] == [f"v{number}" for number in range(50, 150)]
