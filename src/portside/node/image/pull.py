"""One pull of an image, by podman, which fetches several layers at once; how far it is can be asked at any moment.

podman writes each layer, as it comes, to a file of its own below TMPDIR. Each pull has a TMPDIR to itself, so the
sizes of these files tell what has arrived, and what a pull that was killed leaves is found and removed.
"""

import asyncio
import contextlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from portside.domain.image import PullProgress
from portside.domain.image_reference import DEFAULT_REGISTRY, Reference
from portside.node import process
from portside.node.image.storage import NATIVE_ARCHITECTURE

PULL_TIMEOUT_S = 1800.0  # a large image on a slow line
ANSWER_TIMEOUT_S = 180.0
"""For the first answer of the registry. podman tries four times for up to 30 s to connect, and then waits for ever."""
MIRROR_TIMEOUT_S = 10.0
"""For a mirror's first answer."""
MANIFEST_TIMEOUT_S = 30.0
SIZES_AFTER_S = 1.0
"""How long a pull takes before the registry is asked for the sizes of its layers: shorter ones nobody watches."""
DIE_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL", "--")
"""A pull that nobody waits for any more ends: the next daemon begins its own."""
_numbers = count()


class Pull:
    """What is known of a pull, from its begin to its end. `names`: of those who wait, as they spell it. `by_login`: by
    one of a task, not the host's own."""

    def __init__(self, reference: Reference, name: str, present: Collection[str], *, by_login: bool = False) -> None:
        self.reference, self.names, self.by_login = reference, {name}, by_login
        self.source = reference.canonical
        self.started_at = datetime.now(UTC)
        self._began_s = time.monotonic()
        self._present = frozenset(present)
        self._announced: set[str] = set()
        self._sizes: dict[str, int] | None = None
        self._folder: Path | None = None
        self._answered = asyncio.Event()
        self._is_patient = True
        self._retried = ""

    def progress(self) -> PullProgress:
        layers = self._sizes.keys() if self._sizes is not None else self._announced
        missing = [each for each in layers if each not in self._present]
        arrived = self._arrived()
        done, came = len(layers) - len(missing), sum(arrived)
        total = None
        if self._sizes is not None:
            sizes = [self._sizes[each] for each in missing]
            total = sum(sizes)
            came = min(came, total)
            done += (Counter(arrived) & Counter(sizes)).total()
        return PullProgress(
            reference=self.reference.canonical,
            source=self.source,
            names=tuple(sorted(self.names)),
            started_at=self.started_at,
            layers_done=done,
            layers_total=len(layers) or None,
            bytes_done=came,
            bytes_total=total,
        )

    def summary(self, layers: Mapping[str, int], before: Collection[str]) -> str:
        """What was fetched, from where and in which time, for the story of a task.

        Args: layers: of the image, with their bytes. before: layers that were here when it began."""
        fetched = [size for layer, size in layers.items() if layer not in before]
        were_here = f" ({len(layers) - len(fetched)} were here)" if len(fetched) < len(layers) else ""
        took_s = time.monotonic() - self._began_s
        return f"{len(layers)} layers{were_here}, {sum(fetched) / 1e6:.1f} MB in {took_s:.2f} s from {self.source}"

    async def run(
        self,
        podman: str,
        folder: Path,
        source: Reference,
        options: tuple[str, ...],
        *,
        timeout_s: float,
        answer_timeout_s: float,
        is_patient: bool = True,
    ) -> process.Output:
        """Fetch from there.

        Args:
            options: of podman, and of skopeo where it asks for the sizes.
            is_patient: podman may try again, after 1, 2 and 4 s, where the network is at fault.
        Raises: OSError.
        """
        self.source = source.canonical
        if source.on_loopback:
            options = (*options, "--tls-verify=false")
        self._folder = scratch_folder(folder)
        self._announced.clear()
        self._sizes = None
        asking = asyncio.get_running_loop().create_task(self._ask_sizes(source, options))
        self._answered.clear()
        self._retried, self._is_patient = "", is_patient
        command = process.run(
            (*DIE_WITH_US, podman, "pull", *options, source.canonical),
            timeout_s=timeout_s,
            environment=os.environ | {"TMPDIR": str(self._folder)},
            heard=self._hear,
        )
        pulling = asyncio.get_running_loop().create_task(command)
        answer = asyncio.get_running_loop().create_task(self._answered.wait())
        try:
            done, _ = await asyncio.wait(
                [pulling, answer], timeout=answer_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done and not self._arrived():
                return process.Output(124, "", f"timeout: no answer of {source.registry} in {answer_timeout_s:.0f} s")
            if self._retried and not is_patient:
                return process.Output(125, "", self._retried)
            return await pulling
        except TimeoutError:
            return process.Output(124, "", f"timeout: podman pull took longer than {timeout_s:.0f} s")
        except FileNotFoundError as error:
            return process.Output(127, "", f"{error.filename} is not installed")
        finally:
            answer.cancel()
            pulling.cancel()
            await asyncio.gather(answer, pulling, return_exceptions=True)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _hear(self, line: str) -> None:
        words = line.split()
        if words[:2] == ["Getting", "image"] or words[:1] == ["Copying"]:
            self._answered.set()
        if "Failed, retrying" in line:
            self._retried = line
            if not self._is_patient:
                self._answered.set()
        if words[:2] == ["Copying", "blob"]:
            self._announced.add(words[2])

    def _arrived(self) -> list[int]:
        """Sizes of the layers' files so far."""
        sizes = []
        if self._folder is not None:
            for path, _, names in os.walk(self._folder):
                for name in names:
                    with contextlib.suppress(OSError):
                        sizes.append(os.stat(os.path.join(path, name)).st_size)
        return sizes

    async def _ask_sizes(self, source: Reference, options: tuple[str, ...]) -> None:
        """Beside the pull, which does not wait for it. Not of Docker Hub, which counts each question as a pull."""
        if source.registry in (None, DEFAULT_REGISTRY):
            return
        await asyncio.sleep(SIZES_AFTER_S)
        manifest = await _manifest(source.canonical, options)
        if "manifests" in manifest:
            chosen = [each for each in manifest["manifests"] if _is_native(each.get("platform") or {})]
            if not chosen:
                return
            name = f"{source.registry}/{source.repository}@{chosen[0]['digest']}"
            manifest = await _manifest(name, options)
        self._sizes = {str(each["digest"]): int(each["size"]) for each in manifest["layers"]}


async def ask(source: Reference, options: tuple[str, ...], *, timeout_s: float) -> process.Output:
    """One request for the manifest, which the registry gives to those who may have the image. Raises OSError."""
    if source.on_loopback:
        options = (*options, "--tls-verify=false")
    try:
        return await _inspect(source.canonical, options, timeout_s)
    except TimeoutError:
        return process.Output(124, "", f"timeout: no manifest within {timeout_s:.0f} s")


async def _manifest(name: str, options: tuple[str, ...]) -> dict[str, Any]:
    """Raises OSError, TimeoutError, ValueError or KeyError."""
    return dict(json.loads((await _inspect(name, options, MANIFEST_TIMEOUT_S)).out))


async def _inspect(name: str, options: tuple[str, ...], timeout_s: float) -> process.Output:
    command = (*DIE_WITH_US, "skopeo", "inspect", "--raw", *options, f"docker://{name}")
    return await process.run(command, timeout_s=timeout_s)


def _is_native(platform: Mapping[str, Any]) -> bool:
    return platform.get("os") == "linux" and platform.get("architecture") == NATIVE_ARCHITECTURE


def scratch_folder(folder: Path) -> Path:
    """A folder for what one program fetches, named after this process, which is to remove it."""
    path = folder / f"{os.getpid()}-{process.start_time(os.getpid())}-{next(_numbers)}"
    path.mkdir(parents=True)
    return path


def remove_scratch(folder: Path) -> None:
    """What processes that are gone have left."""
    for path in folder.iterdir() if folder.is_dir() else ():
        pid, started, *_ = (*path.name.split("-"), "", "")
        if not pid.isdigit() or not started.isdigit() or process.start_time(int(pid)) != int(started):
            shutil.rmtree(path, ignore_errors=True)
