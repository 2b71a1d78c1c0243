"""Files of environment variables: which may be named, and what is in them.

Source: ECS developer guide, "Pass an individual environment variable to a container", on `environmentFiles`. S3 objects
are not supported; `file://`, which AWS does not have, names a file of the host.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from portside.domain.fargate import unsupported
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import EnvironmentFile, EnvironmentVariable

SCHEME: Final = "file://"
FILES_MAX: Final = 10
"""In a task definition, and of a container's override."""
_PATH_MAX_CHARS: Final = 1024


class Malformed(Exception):
    """A line is no variable."""


def check(files: Sequence[EnvironmentFile]) -> None:
    """
    Raises:
        Refused: INVALID, or UNSUPPORTED for an S3 object.
    """
    if len(files) > FILES_MAX:
        raise _invalid(f"Too many environment files: {len(files)}. At most {FILES_MAX} are allowed.")
    for file in files:
        if file.type != "s3":
            raise _invalid(f"Invalid environment file type '{file.type}'.")
        if file.value.startswith("arn:"):
            raise unsupported("environmentFiles in S3")
        path = file.value.removeprefix(SCHEME)
        if path == file.value or not path.startswith("/") or len(path) > _PATH_MAX_CHARS or not path.isprintable():
            raise _invalid("Invalid 'environmentFiles' setting: a value is neither an S3 ARN nor file:///PATH.")
        if not path.endswith(".env"):
            raise _invalid("Invalid 'environmentFiles' setting: the file must have a .env file extension.")


def variables(text: str) -> tuple[EnvironmentVariable, ...]:
    """`NAME=VALUE` line by line. Empty lines and those that begin with # say nothing; values are taken as they stand.

    Raises:
        Malformed: with the number of the line, never its content: it may be a secret.
    """
    found: list[EnvironmentVariable] = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or "\0" in line:
            raise Malformed(f"line {number} is not NAME=VALUE")
        found.append(EnvironmentVariable(name=name, value=value))
    return tuple(found)


def merged(
    files: Iterable[Iterable[EnvironmentVariable]], own: Iterable[EnvironmentVariable]
) -> tuple[EnvironmentVariable, ...]:
    """Each name once: the definition's own win over the files, an earlier file over a later one."""
    found: dict[str, EnvironmentVariable] = {each.name: each for each in own}
    for file in files:
        for name, variable in {each.name: each for each in file}.items():
            found.setdefault(name, variable)
    return tuple(found.values())


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "environmentFiles")
