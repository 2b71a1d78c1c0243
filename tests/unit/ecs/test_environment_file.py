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
        ("arn:aws:s3:::bucket/one.txt", RefusalKind.INVALID),
        ("arn:aws:s3:::bucket", RefusalKind.INVALID),
        ("arn:aws:s3:::bucket/", RefusalKind.INVALID),
        ("arn:aws:s3:::bucket/../other/one.env", RefusalKind.INVALID),
        ("arn:aws:s3:eu-west-3::Bucket/one.env", RefusalKind.INVALID),
        ("file:///one.txt", RefusalKind.INVALID),
        ("file://one.env", RefusalKind.INVALID),
        ("/one.env", RefusalKind.INVALID),
        ("file:///a\0.env", RefusalKind.INVALID),
        ("", RefusalKind.INVALID),
    ],
)
def test_what_is_refused(value: str, kind: RefusalKind) -> None:
    """Anything but the ARN of an object or an absolute path, that end in .env, is invalid."""
    with pytest.raises(Refused) as caught:
        environment_file.check([EnvironmentFile(type="s3", value=value)])
    assert caught.value.kind is kind


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_an_object_of_s3(partition: str) -> None:
    """Its ARN is taken in every partition, and read as bucket and key."""
    value = f"arn:{partition}:s3:::my.bucket-1/some folder/é.env"
    environment_file.check([EnvironmentFile(type="s3", value=value)])
    assert environment_file.object_of(value) == ("my.bucket-1", "some folder/é.env")


def test_as_docker_reads_them() -> None:
    """A byte order mark and blanks before a name are passed over, values are taken as they stand; blanks in a name and
    a line of more than 64 KiB are errors."""
    found = environment_file.variables('\ufeffA= 1 \n  B="x"\n  # no\nC=')
    assert [(each.name, each.value) for each in found] == [("A", " 1 "), ("B", '"x"'), ("C", "")]
    for text, why in (("A B=1", "line 1 is not"), ("A=1\nB=" + "x" * 65536, "line 2 is longer than 65536 bytes")):
        with pytest.raises(environment_file.Malformed, match=why):
            environment_file.variables(text)


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
