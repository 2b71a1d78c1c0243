"""The words of `portside image`; what they do is in `image.py`, imported when one of them runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def add(app: typer.Typer, settings: Callable[..., Any], *, data_dir: Any, as_json: Any, mirrors: Any) -> None:
    """Add the group. Args: data_dir, as_json, mirrors: options as other commands have them."""
    images = typer.Typer(
        name="image",
        help="The images of this machine: list, pull, load, build, remove.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.add_typer(images)

    @images.command()
    def ls(as_json: as_json = False, data_dir: data_dir = None) -> None:
        """What is here, where it came from, and which tasks and services use it."""
        from portside.cli import image

        image.ls(settings(data_dir=data_dir), as_json=as_json)

    @images.command()
    def pull(
        name: Annotated[str, typer.Argument(metavar="IMAGE", help="As a task definition names it.")],
        mirrors: mirrors = None,
        data_dir: data_dir = None,
    ) -> None:
        """Pull an image from its registry, also if it is here already."""
        from portside.cli import image

        image.pull(settings(data_dir=data_dir, mirrors=mirrors or None), name)

    @images.command()
    def load(
        source: Annotated[
            str, typer.Argument(metavar="FILE|-|docker:NAME", help="An archive, standard input, or Docker's image.")
        ],
        data_dir: data_dir = None,
    ) -> None:
        """Load what `docker save` or podman wrote, an OCI archive, or an image of a running Docker daemon."""
        from portside.cli import image

        image.load(settings(data_dir=data_dir), source)

    @images.command()
    def build(
        folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With a Dockerfile in it.")],
        tag: Annotated[str, typer.Option("--tag", "-t", metavar="NAME", help="What it is to be called.")],
        file: Annotated[Path | None, typer.Option("--file", "-f", help="Another Dockerfile.")] = None,
        arguments: Annotated[
            list[str] | None, typer.Option("--build-arg", metavar="NAME=VALUE", help="May be repeated.")
        ] = None,
        target: Annotated[str | None, typer.Option("--target", help="The stage to end with.")] = None,
        network: Annotated[
            str | None, typer.Option("--network", metavar="none|host|…", help="Of RUN instructions; as podman has it.")
        ] = None,
    ) -> None:
        """Build an image from a folder: portside image build -t app:1 ."""
        from portside.cli import image

        image.build(folder, tag=tag, file=file, arguments=arguments or [], target=target, network=network)

    @images.command()
    def rm(
        names: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Names, digests or ids.")],
        data_dir: data_dir = None,
    ) -> None:
        """Remove images that no task and no service uses."""
        from portside.cli import image

        image.rm(settings(data_dir=data_dir), names)
