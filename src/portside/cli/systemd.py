"""`portside unit`: the systemd unit, which lies beside this module, with this machine's paths."""

import sys
from importlib import resources
from pathlib import Path

from portside.cli.instance import arguments
from portside.settings import Settings


def unit(settings: Settings) -> str:
    """The unit's text."""
    template = resources.files(__package__).joinpath("portside.service").read_text()
    command = " ".join(quoted(argument) for argument in arguments(settings))
    values = {
        "CLONE": str(Path(__file__).resolve().parents[3]),
        "COMMAND": command,
        "PYTHON": quoted(sys.executable),
        "DATA_DIR": quoted(str(settings.data_dir)),
    }
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def quoted(argument: str) -> str:
    """An argument of ExecStart as systemd.service(5) reads it: `%` and `$` doubled, in quotes where needed."""
    argument = argument.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{argument}"' if not argument or any(c.isspace() for c in argument) else argument
