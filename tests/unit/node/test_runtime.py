"""What the runtime's refusals mean."""

import pytest

from portside.node.container.runtime import CreateFailed


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("executable file `x` not found in $PATH: No such file or directory", 127),
        ("open executable: Permission denied", 126),  # crun 1.8
        ("the path `/etc/passwd` exists but it is not executable: Operation not permitted", 126),  # crun 1.21
        ("exec container process `/bin/x`: Exec format error", 126),
        ("writing file `memory.max`: Device or resource busy", 128),
    ],
)
def test_exit_codes_of_refusals(words: str, code: int) -> None:
    """127 when the command is not there, 126 when it can not be run, 128 for all else, in the words of any crun."""
    assert CreateFailed(words).exit_code == code
