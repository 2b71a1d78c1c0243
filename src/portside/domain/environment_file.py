"""Files of environment variables: which may be named, and what is in them.

Source: ECS developer guide, "Pass an individual environment variable to a container", on `environmentFiles`, and how
Docker reads its `--env-file`, as which Fargate takes them. `file://`, which AWS does not have, names a file of the
host.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import EnvironmentFile, EnvironmentVariable

SCHEME: Final = "file://"
FILES_MAX: Final = 10
"""In a task definition, and of a container's override."""
_PATH_MAX_CHARS: Final = 1024
_LINE_MAX_BYTES: Final = 65536
"""Docker reads no longer ones; the kernel takes no variable of twice as much."""
_OBJECT: Final = re.compile(r"arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")


class Malformed(Exception):
    """A line is no variable."""


def check(files: Sequence[EnvironmentFile]) -> None:
    """
    Raises:
        Refused: INVALID.
    """
    if len(files) > FILES_MAX:
        raise _invalid(f"Too many environment files: {len(files)}. At most {FILES_MAX} are allowed.")
    for file in files:
        if file.type != "s3":
            raise _invalid(f"Invalid environment file type '{file.type}'.")
        found = _OBJECT.fullmatch(file.value)
        if found is not None:
            path = f"/{found[2]}"
            is_named = not {".", ".."} & set(found[2].split("/"))
        else:
            path = file.value.removeprefix(SCHEME)
            is_named = path != file.value and path.startswith("/")
        if not is_named or len(path) > _PATH_MAX_CHARS or not path.isprintable():
            raise _invalid("Invalid 'environmentFiles' setting: a value is neither an S3 ARN nor file:///PATH.")
        if not path.endswith(".env"):
            raise _invalid("Invalid 'environmentFiles' setting: the file must have a .env file extension.")


def object_of(value: str) -> tuple[str, str]:
    """Bucket and key of the ARN of an object, which `check` has passed."""
    found = _OBJECT.fullmatch(value)
    if found is None:
        raise ValueError(value)
    return found[1], found[2]


def variables(text: str) -> tuple[EnvironmentVariable, ...]:
    """`NAME=VALUE` line by line. Empty lines and those that begin with # say nothing; values are taken as they stand.

    Raises:
        Malformed: with the number of the line, never its content: it may be a secret.
    """
    found: list[EnvironmentVariable] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        if len(line.encode()) > _LINE_MAX_BYTES:
            raise Malformed(f"line {number} is longer than {_LINE_MAX_BYTES} bytes")
        name, equals, value = line.partition("=")
        if not equals or not name or any(each.isspace() for each in name) or "\0" in line:
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
