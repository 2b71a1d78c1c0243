"""Reading a container's environment files when it starts: files of the host, and objects of S3.

Files are read as root for whoever may call the API, so only those below one folder, which root fills, are read.
"""

import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from portside.domain import environment_file
from portside.domain.record import replace
from portside.domain.task.record import StartContainer
from portside.domain.task_definition import EnvironmentVariable
from portside.node.s3 import DownloadFailed, S3Endpoint

FILE_MAX_BYTES = 1024 * 1024


class Unreadable(Exception):
    """A file can not be used; the message names it and says why."""


async def with_files(
    effect: StartContainer, folder: Path, s3: S3Endpoint | None, run: Callable[..., Awaitable[bytes]]
) -> StartContainer:
    """The start with its files' variables in the environment. Raises Unreadable.

    Args: s3: where objects are; run: runs blocking work."""
    definition = effect.definition
    found = []
    for value in (each.value for each in definition.environment_files):
        if value.startswith("arn:"):
            data = await _object(value, s3)
        else:
            data = await run(_file, value.removeprefix(environment_file.SCHEME), folder)
        found.append(_variables(value, data))
    merged = environment_file.merged(found, definition.environment)
    return replace(effect, definition=replace(definition, environment=merged))


def as_before(effect: StartContainer, config_file: Path) -> StartContainer | None:
    """The start of another run with the environment of the last one: a container keeps its environment whatever has
    become of the files. None if that is not known. Blocking."""
    try:
        lines = json.loads(config_file.read_bytes())["process"]["env"]
    except (OSError, ValueError, KeyError):
        return None
    kept = tuple(
        EnvironmentVariable(name=name, value=value) for name, _, value in (line.partition("=") for line in lines)
    )
    return replace(effect, definition=replace(effect.definition, environment=kept))


async def _object(arn: str, s3: S3Endpoint | None) -> bytes:
    if s3 is None:
        raise Unreadable(
            f"{arn}: there is no S3 here to read it from: start Portside with --s3-endpoint URL (PORTSIDE_S3_ENDPOINT)"
        )
    bucket, key = environment_file.object_of(arn)
    try:
        return await s3.get(bucket, key, max_bytes=FILE_MAX_BYTES)
    except DownloadFailed as error:
        raise Unreadable(str(error)) from error


def _file(name: str, folder: Path) -> bytes:
    try:
        path = Path(name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            raise Unreadable(f"{name} is not below {folder}")
        # Not blocking: a FIFO without a writer must not hold the thread.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable(f"{name} is not a file")
            data = file.read(FILE_MAX_BYTES + 1)
        if len(data) > FILE_MAX_BYTES:
            raise Unreadable(f"{name} is larger than {FILE_MAX_BYTES} bytes")
        return data
    except (OSError, RuntimeError) as error:
        raise Unreadable(f"{name}: {getattr(error, 'strerror', None) or error}") from error


def _variables(name: str, data: bytes) -> tuple[EnvironmentVariable, ...]:
    try:
        return environment_file.variables(data.decode())
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} is not UTF-8") from error
    except environment_file.Malformed as error:
        raise Unreadable(f"{name}: {error}") from error
