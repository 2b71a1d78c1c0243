"""The demonstration's two ways to Portside: the real `aws` command, shown as a person would type it, for whatever is
made; and botocore in this process, for looking at what is there (a process of `aws` costs half a second)."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from portside.cli.failure import Failure

COMMAND_TIMEOUT_S = 120
PARALLEL = 4
LINE_CHARACTERS = 96


@dataclass(frozen=True)
class Done:
    """One `aws` command that succeeded. `output` is what it printed, stripped."""

    arguments: tuple[str, ...]
    output: str
    took_s: float


class Aws:
    """Args: variables: what `portside env` prints."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def run(self, *arguments: str) -> Done:
        """Run `aws ARGUMENTS`. Raises: Failure with its own words."""
        began = time.monotonic()
        # Profiles of the user's own must not lead these commands to the real AWS.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(
            [sys.executable, "-m", "awscli", *arguments],
            env={**kept, **self._variables, "AWS_CONFIG_FILE": os.devnull, "AWS_PAGER": "", "NO_PROXY": "*"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-4:]
            raise Failure(f"this command failed: {' '.join(typed(arguments, wide=True))}", *words, "See: portside logs")
        return Done(arguments, done.stdout.strip(), time.monotonic() - began)

    def run_together(self, commands: Sequence[Sequence[str]]) -> list[Done]:
        """Several commands that do not depend on each other, at the same time; in the given order.

        Raises: Failure of the first that failed, once all have ended."""
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            return list(pool.map(lambda command: self.run(*command), commands))

    def client(self, service: str) -> Any:
        """A botocore client, for reading."""
        import botocore.config
        import botocore.session

        if self._session is None:
            self._session = botocore.session.Session(profile=None)
        if service not in self._clients:
            self._clients[service] = self._session.create_client(
                service,
                region_name=self._variables["AWS_DEFAULT_REGION"],
                endpoint_url=self._variables["AWS_ENDPOINT_URL"],
                aws_access_key_id=self._variables["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self._variables["AWS_SECRET_ACCESS_KEY"],
                config=botocore.config.Config(proxies={}, connect_timeout=5, read_timeout=30),
            )
        return self._clients[service]


def typed(arguments: Sequence[str], *, wide: bool = False) -> list[str]:
    """A command as a person types it; a long one on several lines, each option beside its values."""
    groups: list[str] = ["aws"]
    for argument in arguments:
        if argument.startswith("--") and not wide:
            groups.append(shlex.quote(argument))
        else:
            groups[-1] += f" {shlex.quote(argument)}"
    lines = [groups[0]]
    for group in groups[1:]:
        if len(lines[-1]) + 1 + len(group) <= LINE_CHARACTERS - 2:
            lines[-1] += f" {group}"
        else:
            lines[-1] += " \\"
            lines.append(f"    {group}")
    return lines
