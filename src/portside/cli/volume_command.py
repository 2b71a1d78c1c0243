"""The words of `portside volume`; what they do is in `volume.py`, imported when one of them runs."""

from collections.abc import Callable
from typing import Any

import typer


def add(app: typer.Typer, settings: Callable[..., Any], *, data_dir: Any, as_json: Any) -> None:
    """Add the group. Args: data_dir, as_json: options as other commands have them."""
    volumes = typer.Typer(
        name="volume", help="Storage that outlives tasks.", no_args_is_help=True, rich_markup_mode=None
    )
    app.add_typer(volumes)

    @volumes.callback()
    def group() -> None:
        pass

    @volumes.command(name="ls")
    def list_them(as_json: as_json = False, data_dir: data_dir = None) -> None:
        """The file systems of EFS: what they hold, and which tasks use them."""
        from portside.cli import volume

        volume.ls(settings(data_dir=data_dir), as_json=as_json)
