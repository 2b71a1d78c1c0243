"""containers/storage as it lies on disk, read without running a program: which images are here, and their layers.

Its files are replaced whole by those that write them, layers before the image that has them: a reader needs no lock.
Source: https://github.com/containers/storage, images.go and layers.go (`images.json`, `layers.json`, "big data").
"""

import base64
import contextlib
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from portside.domain.image import ImageLayer, MachineImage

NATIVE_ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
"""What this machine runs, in OCI's name for it."""

State = tuple[tuple[int, int, int] | None, ...]


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


class _ImageEntry(msgspec.Struct, rename="kebab"):
    id: str
    layer: str = ""
    digest: str = ""
    names: list[str] | None = None
    big_data_digests: dict[str, str] | None = None
    created: str = ""

    @property
    def digests(self) -> frozenset[str]:
        """Of its manifest, and of the list of manifests that it was chosen from."""
        known = {value for name, value in (self.big_data_digests or {}).items() if name.startswith("manifest")}
        return frozenset(known | ({self.digest} if self.digest else set()) | {f"sha256:{self.id}"})


class _LayerEntry(msgspec.Struct, rename="kebab"):
    id: str
    parent: str = ""
    compressed_diff_digest: str = ""
    compressed_size: int = 0
    diff_digest: str = ""
    diff_size: int = 0


class Storage:
    """The stores of this machine: the first is written to, the others are looked up, too."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)

    @property
    def root(self) -> Path:
        return self.roots[0]

    def state(self) -> State:
        """Changes whenever an image was made, tagged or removed."""
        return tuple(_state(root / "overlay-images/images.json") for root in self.roots)

    def named(self, names: Sequence[str]) -> Image | None:
        """The image with one of these full names, an earlier one of them preferred."""
        entries = list(self._entries())
        for name in names:
            for root, entry in entries:
                if name in (entry.names or ()):
                    return self._image(root, entry)
        return None

    def with_digest(self, digest: str) -> Image | None:
        """The very image, whatever its names are, or were."""
        for root, entry in self._entries():
            if digest in entry.digests:
                return self._image(root, entry)
        return None

    def images(self) -> list[MachineImage]:
        """All that are here, newest first."""
        found = []
        for root in self.roots:
            layers = self._layers(root)
            for entry in _read(root / "overlay-images/images.json", list[_ImageEntry]) or []:
                chain = _chain(layers, entry.layer)
                found.append(
                    MachineImage(
                        id=entry.id,
                        digest=entry.digest or f"sha256:{entry.id}",
                        digests=entry.digests,
                        names=tuple(entry.names or ()),
                        size_bytes=sum(layer.diff_size for layer in chain),
                        created_at=_time(entry.created),
                        layers=tuple(
                            ImageLayer(digest=each.diff_digest or each.id, size_bytes=each.diff_size)
                            for each in reversed(chain)
                        ),
                    )
                )
        return sorted(found, key=lambda each: each.created_at, reverse=True)

    def blobs(self) -> frozenset[str]:
        """Digests of layers that are here, as registries have them: a pull does not fetch these."""
        return frozenset(
            digest
            for root in self.roots
            for layer in self._layers(root).values()
            for digest in (layer.compressed_diff_digest, layer.diff_digest)
            if digest
        )

    def blob_sizes(self, image_id: str) -> dict[str, int]:
        """The layers of an image by id, each with its bytes as a registry gave it."""
        for root in self.roots:
            for entry in _read(root / "overlay-images/images.json", list[_ImageEntry]) or []:
                if entry.id == image_id:
                    chain = _chain(self._layers(root), entry.layer)
                    return {each.id: each.compressed_size or each.diff_size for each in chain}
        return {}

    def layer_sizes(self) -> dict[str, int]:
        """Bytes of each layer of the store that is written to, by its id."""
        return {each.id: each.diff_size for each in self._layers(self.root).values()}

    def _entries(self) -> Iterator[tuple[Path, _ImageEntry]]:
        for root in self.roots:
            for entry in _read(root / "overlay-images/images.json", list[_ImageEntry]) or []:
                yield root, entry

    @staticmethod
    def _layers(root: Path) -> dict[str, _LayerEntry]:
        return {each.id: each for each in _read(root / "overlay-layers/layers.json", list[_LayerEntry]) or []}

    def _image(self, root: Path, entry: _ImageEntry) -> Image | None:
        """None for an image that is being removed at this moment, or has no layer at all."""
        folder = root / "overlay-images" / entry.id
        manifest = _read(folder / "manifest", dict[str, Any]) or {}
        name = str((manifest.get("config") or {}).get("digest") or f"sha256:{entry.id}")
        known = _read(folder / _file_name(name), dict[str, Any])
        layers = tuple(root / "overlay" / each.id / "diff" for each in _chain(self._layers(root), entry.layer))
        if known is None or not layers or not all(each.is_dir() for each in layers):
            return None
        config = known.get("config") or {}
        return Image(
            id=entry.id,
            digest=entry.digest or f"sha256:{entry.id}",
            layers=layers,
            environment=tuple(config.get("Env") or ()),
            entry_point=_words(config.get("Entrypoint")),
            command=_words(config.get("Cmd")),
            working_directory=config.get("WorkingDir") or "",
            user=config.get("User") or "",
            stop_signal=config.get("StopSignal") or "",
            architecture=known.get("architecture") or "",
            volumes=tuple(config.get("Volumes") or ()),
        )


def _chain(layers: dict[str, _LayerEntry], top: str) -> list[_LayerEntry]:
    """From the top layer down. Empty if one of them is missing."""
    chain: list[_LayerEntry] = []
    while top:
        layer = layers.get(top)
        if layer is None or len(chain) > len(layers):
            return []
        chain.append(layer)
        top = layer.parent
    return chain


def _words(given: Any) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _file_name(key: str) -> str:
    """Of a piece of "big data": as it is where that is a harmless name, else in base64."""
    return key if re.fullmatch(r"[a-z0-9._-]+", key) else "=" + base64.b64encode(key.encode()).decode()


def _read(path: Path, kind: type[Any]) -> Any:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None


def _state(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size
    return None


def _time(text: str) -> datetime:
    """Go writes nanoseconds, Python reads microseconds."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC)
    return datetime.fromtimestamp(0, UTC)
