"""Images of this machine, in containers/storage, as podman, buildah and skopeo make them.

The hot path (an image that was asked for before) runs no program: one stat(2) says whether storage has changed.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from portside.domain.task.record import Login
from portside.node import process
from portside.node.image.failure import PullFailed, pull_failed
from portside.node.image.reference import DEFAULT_REGISTRY, Reference, parse

log = logging.getLogger(__name__)

INSPECT_TIMEOUT_S = 60.0
PULL_TIMEOUT_S = 1800.0  # a large image on a slow line; a registry that hangs is given up earlier by podman itself
_RETRY_DELAY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a container needs of an image. `layers`: directories, the top one first."""

    id: str
    digest: str
    layers: tuple[Path, ...]
    environment: tuple[str, ...] = ()
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    stop_signal: str = ""
    architecture: str = ""
    volumes: tuple[str, ...] = ()


NATIVE_ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
"""What this machine runs, in OCI's name for it."""


class ImageStore:
    """Finds and pulls. One pull of an image runs at a time, however many tasks wait for it."""

    def __init__(self, podman: str = "podman") -> None:
        self._podman = podman
        self._by_name: dict[str, Image] = {}
        self._by_digest: dict[str, Image] = {}
        self._index: Path | None = None
        self._index_state: tuple[int, int, int] | None = None
        self._pending: dict[str, asyncio.Task[Image]] = {}

    async def ensure(self, name: str, *, pull_anew: bool = False, login: Login | None = None) -> Image:
        """The image, pulled if it is not here (or again, where asked for and possible). Raises PullFailed.

        Args: login: for its registry, in place of the host's own (root's `podman login` or `docker login`)."""
        if not pull_anew:
            found = self._cached(name)
            if found is not None:
                return found
        # Who enters by a login of its own neither fails nor succeeds by another's.
        entered = hashlib.sha256(f"{login.username}:{login.password}".encode()).hexdigest() if login else ""
        key = f"{'pull' if pull_anew else 'find'} {name} {entered}"
        pending = self._pending.get(key)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = loop.create_task(self._ensure(name, pull_anew, login), name=f"image {name}")
            self._pending[key] = pending
            pending.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: one task that is stopped does not end the pull that others wait for.
        return await asyncio.shield(pending)

    async def get(self, name: str, digest: str, login: Login | None = None) -> Image:
        """The very image that a pull has named by digest, also if the name has moved on since. Raises PullFailed."""
        self._check()
        found = self._by_digest.get(digest)
        if found is not None:
            return found
        image = await self.ensure(name, login=login)
        if not digest or image.digest == digest:
            return image
        unnamed = await self._find_digest(digest)
        if unnamed is not None:
            return self._keep(f"{name}@{digest}", unnamed)
        return await self.ensure(replace(parse(name), digest=digest).canonical, login=login)

    async def close(self) -> None:
        pending = list(self._pending.values())
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _forget(self, key: str, done: asyncio.Task[Image]) -> None:
        self._pending.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even if every waiter was cancelled

    def _cached(self, name: str) -> Image | None:
        self._check()
        return self._by_name.get(name)

    def _check(self) -> None:
        """Forget everything if storage has changed: an image may have been built, tagged or removed."""
        if self._index is not None and self._index_state != _state(self._index):
            self._by_name.clear()
            self._by_digest.clear()
            self._index = self._index_state = None

    async def _ensure(self, name: str, pull_anew: bool, login: Login | None) -> Image:
        reference = parse(name)
        local = await self._find(reference)
        if local is not None and not (pull_anew and reference.pullable):
            return self._keep(name, local)
        if reference.pullable:
            try:
                await self._pull(reference, login)
            except PullFailed:
                if local is None:
                    raise
                log.warning("%s could not be pulled again; the image that is here is used", reference.canonical)
                return self._keep(name, local)
            local = await self._find(reference)
        if local is None:
            raise pull_failed(reference.canonical, "no such image in local storage", not_found=True)
        return self._keep(name, local)

    def _keep(self, name: str, image: Image) -> Image:
        # <root>/overlay/<layer>/diff, and <root>/overlay-images/images.json beside it.
        index = image.layers[0].parents[2] / "overlay-images" / "images.json"
        state = _state(index)
        if self._index is None:
            self._index, self._index_state = index, state
        if state is not None and state == self._index_state:
            self._by_name[name] = image
            self._by_digest[image.digest] = image
        return image

    async def _find(self, reference: Reference) -> Image | None:
        for candidate in reference.local_names:
            output = await self._run("image", "inspect", candidate, timeout_s=INSPECT_TIMEOUT_S)
            if output.code == 0:
                return _image(json.loads(output.out)[0])
            if "no such image" not in output.err and "image not known" not in output.err:
                raise pull_failed(reference.canonical, output.err)
        return None

    async def _find_digest(self, digest: str) -> Image | None:
        """An image that has lost its name to a newer one: podman finds such only by their ids."""
        listed = await self._run("images", "--all", "--format", "{{.Digest}} {{.ID}}", timeout_s=INSPECT_TIMEOUT_S)
        for line in listed.out.splitlines():
            found, _, image_id = line.partition(" ")
            if found == digest:
                output = await self._run("image", "inspect", image_id, timeout_s=INSPECT_TIMEOUT_S)
                return _image(json.loads(output.out)[0]) if output.code == 0 else None
        return None

    async def _pull(self, reference: Reference, login: Login | None) -> None:
        options = ("--quiet", "--tls-verify=false") if reference.on_loopback else ("--quiet",)
        for attempt in range(2):
            with _authfile(reference, login) as entry:
                output = await self._run("pull", *options, *entry, reference.canonical, timeout_s=PULL_TIMEOUT_S)
            if output.code == 0:
                return
            failure = pull_failed(reference.canonical, output.err)
            # podman has tried again by itself where the network was at fault.
            if attempt or failure.passing:
                raise failure
            await asyncio.sleep(_RETRY_DELAY_S)

    async def _run(self, *arguments: str, timeout_s: float) -> process.Output:
        try:
            return await process.run((self._podman, *arguments), timeout_s=timeout_s)
        except TimeoutError:
            return process.Output(124, "", f"timeout: podman {arguments[0]} took longer than {timeout_s:.0f} s")
        except FileNotFoundError:
            return process.Output(127, "", f"{self._podman} is not installed: apt-get install podman")


@contextlib.contextmanager
def _authfile(reference: Reference, login: Login | None) -> Iterator[tuple[str, ...]]:
    """The options that let podman enter a registry: a file that only root can read and that no disk holds, since a
    command line would show to everybody."""
    if login is None:
        yield ()
        return
    entry = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    registry = reference.registry or DEFAULT_REGISTRY
    descriptor = os.memfd_create("portside-registry-auth", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, json.dumps({"auths": {registry: {"auth": entry}}}).encode())
        yield ("--authfile", f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _state(index: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = index.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size
    return None


def _image(inspected: Mapping[str, Any]) -> Image:
    """From the answer of `podman image inspect`, whose fields may be null or missing."""
    data = inspected["GraphDriver"]["Data"]
    lower = [each for each in (data.get("LowerDir") or "").split(":") if each]
    config = inspected.get("Config") or {}
    return Image(
        id=inspected["Id"],
        digest=inspected.get("Digest") or f"sha256:{inspected['Id']}",
        layers=tuple(Path(each) for each in (data["UpperDir"], *lower)),
        environment=tuple(config.get("Env") or ()),
        entry_point=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        working_directory=config.get("WorkingDir") or "",
        user=config.get("User") or "",
        stop_signal=config.get("StopSignal") or "",
        architecture=inspected.get("Architecture") or "",
        volumes=tuple(config.get("Volumes") or ()),
    )
