"""`portside up`, `down` and `logs`."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.cli.launcher import command_name
from portside.settings import Settings

OURS = ("state.db", "lock", "portside.log")
"""A folder that holds one of these is Portside's, and may be purged."""


def up(settings: Settings, *, detach: bool) -> None:
    """Start the daemon: in this process, or in the background and wait until it is ready."""
    running = daemon.find(settings)
    if running is not None:
        if detach:
            _announce(running, settings, "runs already")
            if unlike := daemon.unlike(running, settings):
                print(
                    f"It does not run with these settings: {' '.join(unlike)}\n"
                    "They count from its next start: portside down, then portside up.",
                    file=sys.stderr,
                )
            return
        raise Failure(
            f"Portside runs already (pid {running.pid}) at {running.url}, with the data in {settings.data_dir}",
            "A second one needs its own: portside up --port PORT --data-dir DIR",
        )
    if detach:
        _announce(daemon.start(settings), settings, "is up")
        return
    if os.geteuid() != 0:
        raise Failure("running containers and networks needs root", "Run: sudo portside up")
    arguments = daemon.arguments(settings)
    sys.stdout.flush()
    os.execv(arguments[0], arguments)


def _announce(running: daemon.Instance, settings: Settings, how: str) -> None:
    print(f"Portside {how}: {running.url} (pid {running.pid}, data in {settings.data_dir})")
    print(f"The console, in a browser: {running.url}/")
    print(f'To use it in this shell: eval "$({command_name()} env{_data_dir_option(settings)})"')


def _data_dir_option(settings: Settings) -> str:
    return "" if settings.data_dir == Settings().data_dir else f" --data-dir {settings.data_dir}"


def down(settings: Settings, *, purge: bool) -> None:
    """End the daemon, then everything that it left running: containers, networks, the load balancers' process.

    Effects: with `purge` its data folder goes, too.
    Raises: Failure if something can not be ended, or the folder is not Portside's.
    """
    if os.geteuid() != 0:
        raise Failure("stopping containers and networks needs root", "Run: sudo portside down")
    if purge:
        _check_ours(settings.data_dir)
    running = daemon.find(settings)
    if running is not None:
        daemon.stop(running)
    _tear_down(settings)
    daemon.note_path(settings).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        settings.run_dir.rmdir()
    print("Portside is down." if running else "Portside did not run; nothing of it is left.")
    if purge:
        _remove(settings.data_dir)
        print(f"Its state in {settings.data_dir} is removed.")


def _tear_down(settings: Settings) -> None:
    """The proxy goes first: what remembers it lies among what goes next. Raises: Failure with what is left."""
    from portside.balancer.process import stop
    from portside.node.interface import NodeUnusable
    from portside.node.teardown import StillThere, teardown

    try:
        stop(settings)
        teardown(settings)
    except (StillThere, NodeUnusable, OSError) as error:
        message = f"not everything could be removed: {error}"
        raise Failure(message, "Run it again; see also: portside doctor") from error


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        message = f"{folder} could not be removed whole: {error}"
        raise Failure(message, "Is something mounted there? See: mount") from error


def _check_ours(folder: Path) -> None:
    """Raises: Failure for a folder that some other program may own."""
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / name).exists() for name in OURS):
        raise Failure(f"{folder} does not look like Portside's data folder; it is not removed", "Remove it by hand.")


def logs(settings: Settings, *, follow: bool, lines: int) -> None:
    """Show the end of the daemon's log; with `follow`, go on until interrupted.

    Raises: Failure when there is none.
    """
    path = daemon.log_path(settings)
    if not path.exists():
        advice = "Under systemd it is in the journal: journalctl -u portside"
        raise Failure(f"there is no log at {path}", "It is written by: portside up --detach", advice)
    command = ["tail", "-n", str(lines)] + (["-F"] if follow else []) + [str(path)]
    code = subprocess.run(command, check=False).returncode
    if code not in (0, 130):
        raise Failure(f"{path} could not be read")
