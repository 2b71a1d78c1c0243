"""Reading a container's environment files when it starts.

Files are read as root for whoever may call the API, so only those below one folder, which root fills, are read.
"""

import os
import stat
from pathlib import Path

from portside.domain import environment_file
from portside.domain.record import replace
from portside.domain.task.record import StartContainer
from portside.domain.task_definition import EnvironmentVariable

FILE_MAX_BYTES = 1024 * 1024


class Unreadable(Exception):
    """A file can not be used; the message names it and says why."""


def with_files(effect: StartContainer, folder: Path) -> StartContainer:
    """The start with its files' variables in the environment. Blocking. Raises Unreadable."""
    definition = effect.definition
    names = [each.value.removeprefix(environment_file.SCHEME) for each in definition.environment_files]
    merged = environment_file.merged([_variables(name, folder) for name in names], definition.environment)
    return replace(effect, definition=replace(definition, environment=merged))


def _variables(name: str, folder: Path) -> tuple[EnvironmentVariable, ...]:
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
        return environment_file.variables(data.decode())
    except (OSError, RuntimeError) as error:
        raise Unreadable(f"{name}: {getattr(error, 'strerror', None) or error}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} is not UTF-8") from error
    except environment_file.Malformed as error:
        raise Unreadable(f"{name}: {error}") from error
