"""The words of `portside volume`; what they do is in `volume.py`, imported when one of them runs."""

from collections.abc import Callable
from typing import Annotated, Any

import typer


def add(app: typer.Typer, settings: Callable[..., Any], *, data_dir: Any, as_json: Any) -> None:
    """Add the group. Args: data_dir, as_json: options as other commands have them."""
    volumes = typer.Typer(
        name="volume", help="All storage: who uses it, how full it is.", no_args_is_help=True, rich_markup_mode=None
    )
    app.add_typer(volumes)

    @volumes.callback()
    def group() -> None:
        pass

    @volumes.command(name="ls")
    def list_them(
        kind: Annotated[
            list[str] | None,
            typer.Option(help="Only these: efs, docker, ebs, ephemeral, task, host. More than once for several."),
        ] = None,
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """File systems of EFS, Docker volumes, volumes of EBS; what each task can write, its volumes, and the paths of
        instances that tasks have: how full they are, and which tasks use them."""
        from portside.cli import volume

        volume.ls(settings(data_dir=data_dir), kinds=kind or (), as_json=as_json)

    @volumes.command()
    def inspect(
        name: Annotated[str, typer.Argument(metavar="VOLUME", help="An id, or a name that only one has.")],
        data_dir: data_dir = None,
    ) -> None:
        """All that is known of one: where its files are, its options, its labels."""
        from portside.cli import volume

        volume.inspect(settings(data_dir=data_dir), name)

    @volumes.command()
    def grow(
        name: Annotated[str, typer.Argument(metavar="VOLUME", help="An id, or a name that only one has.")],
        data_dir: data_dir = None,
    ) -> None:
        """Let the file system of a volume of EBS, which a task has, take all of it, after ModifyVolume."""
        from portside.cli import volume

        volume.grow(settings(data_dir=data_dir), name)

    @volumes.command()
    def export(
        name: Annotated[
            str, typer.Argument(metavar="FILE_SYSTEM", help="Of EFS: its id, or a name that only one has.")
        ],
        address: Annotated[str, typer.Option(help="Of this machine, to answer at.")],
        clients: Annotated[str, typer.Option(help="Who may mount it: an address or a block, as 192.168.1.0/24.")],
        port: Annotated[int, typer.Option(help="TCP.")] = 2049,
        access_point: Annotated[str, typer.Option(help="Its directory only, and every client as its POSIX user.")] = "",
        read_only: Annotated[bool, typer.Option("--read-only", help="Clients can not write.")] = False,
        network_namespace: Annotated[str, typer.Option(help="Of `ip netns`, where the address is.")] = "",
        data_dir: data_dir = None,
    ) -> None:
        """Serve a file system of EFS to other machines by NFS 4, in the foreground (nfs-ganesha of Debian)."""
        from portside.cli import volume_export

        volume_export.export(
            settings(data_dir=data_dir),
            name,
            address=address,
            port=port,
            clients=clients,
            access_point=access_point,
            read_only=read_only,
            network_namespace=network_namespace,
        )

    @volumes.command()
    def rm(
        names: Annotated[list[str], typer.Argument(metavar="VOLUME…", help="Ids, or names that only one has.")],
        data_dir: data_dir = None,
    ) -> None:
        """Remove Docker volumes that no task uses, and what is in them."""
        from portside.cli import volume

        volume.rm(settings(data_dir=data_dir), names)
