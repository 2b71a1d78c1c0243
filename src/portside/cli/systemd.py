"""`portside unit`: the systemd unit, which lies beside this module, with this machine's paths."""

from importlib import resources
from pathlib import Path

from portside.cli.instance import arguments
from portside.settings import Settings


def unit(settings: Settings) -> str:
    """The unit's text."""
    template = resources.files(__package__).joinpath("portside.service").read_text()
    command = " ".join(quoted(argument) for argument in arguments(settings))
    return template.replace("@CLONE@", str(Path(__file__).resolve().parents[3])).replace("@COMMAND@", command)


def quoted(argument: str) -> str:
    """An argument of ExecStart as systemd.service(5) reads it: `%` and `$` doubled, in quotes where needed."""
    argument = argument.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{argument}"' if not argument or any(c.isspace() for c in argument) else argument
