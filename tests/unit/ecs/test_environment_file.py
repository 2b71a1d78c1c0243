"""Files of environment variables: which may be named, and how they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.domain import environment_file
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import EnvironmentFile, EnvironmentVariable


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("arn:aws:s3:::bucket/one.env", RefusalKind.UNSUPPORTED),
        ("file:///one.txt", RefusalKind.INVALID),
        ("file://one.env", RefusalKind.INVALID),
        ("/one.env", RefusalKind.INVALID),
        ("file:///a\0.env", RefusalKind.INVALID),
        ("", RefusalKind.INVALID),
    ],
)
def test_what_is_refused(value: str, kind: RefusalKind) -> None:
    """S3 objects are not supported; anything but an absolute path that ends in .env is invalid."""
    with pytest.raises(Refused) as caught:
        environment_file.check([EnvironmentFile(type="s3", value=value)])
    assert caught.value.kind is kind


def test_at_most_ten() -> None:
    """Ten files pass, eleven do not."""
    files = [EnvironmentFile(type="s3", value="file:///one.env")] * 11
    environment_file.check(files[:10])
    with pytest.raises(Refused):
        environment_file.check(files)


@given(st.text())
def test_any_text_is_variables_or_malformed(text: str) -> None:
    """Whatever a file holds: variables with names, or Malformed, and nothing else."""
    try:
        found = environment_file.variables(text)
    except environment_file.Malformed:
        return
    assert all(each.name.strip() for each in found)


def test_a_malformed_line_is_not_told() -> None:
    """The error names the line by its number: the line may hold a secret."""
    with pytest.raises(environment_file.Malformed) as caught:
        environment_file.variables("A=1\nsecret")
    assert str(caught.value) == "line 2 is not NAME=VALUE"


@given(st.text(), st.text())
def test_any_name_passes_or_is_refused(value: str, kind: str) -> None:
    """Nothing but a refusal comes of any value."""
    try:
        environment_file.check([EnvironmentFile(type=kind, value=value)])
    except Refused:
        pass


def test_who_wins() -> None:
    """The definition over the files, the first file over the second, the last line within a file."""

    def of(**values: str) -> tuple[EnvironmentVariable, ...]:
        return tuple(EnvironmentVariable(name=name, value=value) for name, value in values.items())

    twice = (*of(B="1"), *of(B="2"))
    found = environment_file.merged([twice, of(A="file", B="3", C="4")], of(A="own"))
    assert {each.name: each.value for each in found} == {"A": "own", "B": "2", "C": "4"}
