"""`portside ca`: the root certificate of the instance's own authority, for those who are to trust it."""

import sys

from portside.cli import instance as daemon
from portside.settings import Settings


def show(settings: Settings) -> None:
    """Its PEM text on stdout. Raises: Failure when the daemon does not run."""
    _, answer = daemon.ask(settings, "/_portside/ca")
    sys.stdout.write(str(answer["certificate"]))
