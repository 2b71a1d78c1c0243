"""`portside image`: the images of this machine, which Portside and podman share.

Pulling, loading and building need no daemon. What is removed is removed by it, since it knows what is in use.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.domain.image import MachineImage, PullProgress, find
from portside.domain.image_reference import parse
from portside.node.image.failure import PullFailed
from portside.node.image.store import ImageStore
from portside.settings import Settings

DOCKER = "docker:"
"""Before the name of an image of a running Docker daemon."""
_CHUNK = 1024 * 1024
_PAUSE_S = 0.2


# --- ls --------------------------------------------------------------------------------------------------------------


def ls(settings: Settings, *, as_json: bool) -> None:
    """Print the images of this machine. Raises: Failure."""
    _need_root("looking at images")
    images = asyncio.run(_images(settings))
    users: dict[str, str] = {}
    running = daemon.find(settings)
    if running is not None:
        users = daemon.ask(settings, "/_portside/images")[1]["users"]
    documents = [_document(each, users.get(each.id)) for each in images]
    if as_json:
        print(json.dumps(documents, indent=2))
    else:
        Console(highlight=False).print(render(documents, datetime.now(UTC)))
        if running is None:
            print("Portside does not run: who uses these images is not known.", file=sys.stderr)


def render(documents: Sequence[dict[str, Any]], now: datetime) -> Table:
    """A table that fits 80 columns; names are folded, never cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("image", "id", "size", "age", "from", "used by"):
        is_fixed = column in ("id", "size", "age", "from")
        table.add_column(column, header_style="dim", overflow="fold", no_wrap=is_fixed)
    for each in documents:
        for name in each["names"] or ["<none>"]:
            table.add_row(
                *(name, each["id"][:12], _size(each["sizeBytes"]), _age(each["createdAt"], now)),
                *(each["origin"] or "elsewhere", _short(each["usedBy"])),
            )
    return table


async def _images(settings: Settings) -> list[MachineImage]:
    async with _store(settings) as store:
        return await store.images()


def _document(image: MachineImage, user: str | None) -> dict[str, Any]:
    holding = image.holding
    return {
        "id": image.id,
        "digest": image.digest,
        "names": list(image.names),
        "sizeBytes": image.size_bytes,
        "createdAt": image.created_at.isoformat(),
        "origin": holding.origin if holding else None,
        "acquiredAt": holding.acquired_at.isoformat() if holding else None,
        "lastUsedAt": holding.last_used_at.isoformat() if holding else None,
        "usedBy": user,
    }


def _short(user: str | None) -> str:
    words = (user or "").split()
    return f"{words[0]} {words[1][:8] if words[0] == 'task' else words[1]}" if words else ""


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _age(text: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(text)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


# --- pull ------------------------------------------------------------------------------------------------------------


def pull(settings: Settings, name: str) -> None:
    """Pull an image, also if it is here already, and print its digest. Raises: Failure."""
    _need_root("pulling an image")
    if not parse(name).pullable:
        raise Failure(f"{name} can not be pulled: images under localhost/ exist on this machine alone")

    async def work() -> str:
        async with _store(settings) as store:
            pulling = asyncio.get_running_loop().create_task(store.ensure(name, pull_anew=True))
            with _bar(parse(name).canonical) as show:
                while not (await asyncio.wait([pulling], timeout=_PAUSE_S))[0]:
                    for progress in store.pulls():
                        show(progress)
            obtained = await pulling
            if "could not be pulled" in obtained.how:
                raise Failure(f"{name} {obtained.how}", "The log above says why.")
            print(f"{parse(name).canonical}: {obtained.how}", file=sys.stderr)
            return obtained.image.digest

    try:
        print(asyncio.run(work()))
    except PullFailed as error:
        raise Failure(str(error)) from error


@contextmanager
def _bar(title: str) -> Iterator[Callable[[PullProgress], None]]:
    """Progress on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=None, words="")

        def show(told: PullProgress) -> None:
            progress.update(bar, total=told.bytes_total, completed=told.bytes_done, words=told.words)

        yield show


# --- load ------------------------------------------------------------------------------------------------------------


def load(settings: Settings, source: str) -> None:
    """Take images out of an archive (`docker save`, OCI), standard input or a Docker daemon; print their names.

    Args: source: a file, `-`, or `docker:NAME`. Raises: Failure."""
    _need_root("loading an image")
    before = asyncio.run(_images(settings))
    if source.startswith(DOCKER):
        names = _load_from_docker(source.removeprefix(DOCKER))
    elif source == "-":
        if sys.stdin.isatty():
            raise Failure("there is no archive on standard input", "docker save IMAGE | portside image load -")
        names = _load(sys.stdin.buffer, None, "standard input")
    else:
        try:
            with open(source, "rb") as file:
                names = _load(file, os.fstat(file.fileno()).st_size, source)
        except OSError as error:
            raise Failure(
                f"{source} can not be read: {error.strerror}", f"An image of Docker's is named {DOCKER}NAME."
            ) from error
    asyncio.run(_take_note(settings, names, before))
    for name in names:
        print(name)


def _load_from_docker(name: str) -> list[str]:
    if shutil.which("docker") is None:
        raise Failure("the command docker is not installed", "Copy an archive from where it is: docker save NAME")
    looked = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", name], capture_output=True, text=True, check=False
    )
    if looked.returncode:
        raise Failure(f"Docker has no image {name}, or does not answer: {_last(looked.stderr)}")
    size = int(looked.stdout) if looked.stdout.strip().isdigit() else None
    with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        assert saving.stderr is not None
        # Few words: they fit the pipe, and are read once it has ended.
        try:
            names = _load(saving.stdout, size, f"{name} of Docker")
        except Failure as failure:
            saving.kill()
            raise failure
        words = saving.stderr.read().decode(errors="replace")
    if saving.returncode:
        raise Failure(f"docker save {name} failed: {_last(words)}")
    return names


def _load(archive: IO[bytes], size: int | None, what: str) -> list[str]:
    """Feed an archive to podman. Returns the names, or ids, of its images."""
    said: list[bytes] = []
    with subprocess.Popen(
        ["podman", "load", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as loading:
        assert loading.stdin is not None
        assert loading.stdout is not None
        assert loading.stderr is not None
        readers = [
            threading.Thread(target=lambda stream=stream: said.append(stream.read()))
            for stream in (loading.stdout, loading.stderr)
        ]
        for reader in readers:
            reader.start()
        with _byte_bar(what, size) as show:
            try:
                while chunk := archive.read(_CHUNK):
                    loading.stdin.write(chunk)
                    show(len(chunk))
                loading.stdin.close()
            except BrokenPipeError:
                pass  # it says why
            show(0, "unpacking")
            for reader in readers:
                reader.join()
    words = b"\n".join(said).decode(errors="replace")
    if loading.returncode:
        raise Failure(f"{what} can not be loaded: {_last(words)}", "It is to be what `docker save` or podman makes.")
    return re.findall(r"^Loaded image(?:\(s\))?: *(\S+)", words, re.MULTILINE)


async def _take_note(settings: Settings, names: Sequence[str], before: Sequence[MachineImage]) -> None:
    """What was here under that name already stays somebody else's."""
    known = {(each.id, name) for each in before for name in each.names if each.holding is None}
    async with _store(settings) as store:
        images = await store.images()
        for name in names:
            image = find(images, name)
            if image is not None and (image.id, name) not in known:
                store.ledger.acquired(image.id, name if name in image.names else "", "loaded", datetime.now(UTC))


@contextmanager
def _byte_bar(title: str, size: int | None) -> Iterator[Callable[..., None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=size, words="")
        came = 0

        def show(count: int, words: str = "") -> None:
            nonlocal came
            came += count
            progress.update(bar, advance=count, words=words or _size(came))

        yield show


# --- build -----------------------------------------------------------------------------------------------------------


def build(
    folder: Path, *, tag: str, file: Path | None, arguments: Sequence[str], target: str | None, network: str | None
) -> None:
    """Build an image from a folder with a Dockerfile, by podman, whose words are shown. Raises: Failure."""
    _need_root("building an image")
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder", "portside image build -t NAME FOLDER")
    recipe = file or next((folder / name for name in ("Dockerfile", "Containerfile") if (folder / name).exists()), None)
    if recipe is None or not recipe.is_file():
        raise Failure(f"there is no {recipe or folder / 'Dockerfile'}", "Another one is named by --file.")
    command = ["podman", "build", "--tag", tag, "--file", str(recipe)]
    command += [word for each in arguments for word in ("--build-arg", each)]
    command += ["--target", target] if target else []
    command += ["--network", network] if network else []
    done = subprocess.run([*command, str(folder)], stdout=sys.stderr, check=False)
    if done.returncode:
        raise Failure(f"the image {tag} could not be built", "The words above are podman's.")
    print(parse(tag).local_names[0])


# --- rm --------------------------------------------------------------------------------------------------------------


def rm(settings: Settings, names: Sequence[str]) -> None:
    """Remove images by name, digest or id. Raises: Failure for the first that is in use or not here."""
    for name in names:
        _, gone = daemon.ask(
            settings, f"/_portside/images/{quote(name, safe='')}", "Images: portside image ls", method="DELETE"
        )
        print(f"{name}: {_size(gone['freedBytes'])} freed")


# --- all -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[ImageStore]:
    """The machine's images, by the settings of the instance."""
    store = ImageStore(settings.data_dir / "node", mirrors=dict(settings.mirrors), origin="asked")
    try:
        await store.open()
        yield store
    except OSError as error:
        raise Failure(f"images can not be looked at: {error}", "See: portside doctor") from error
    finally:
        await store.close()


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise Failure(f"{what} needs root: they are the images that root's podman has", "Run it with sudo.")


def _last(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it says nothing"
