"""Snapshots of volumes: what a file held at one moment, kept so that each takes the disk only for what is new.

On a file system that shares blocks between files (FICLONE: btrfs, XFS) a snapshot is a clone of the file. Elsewhere it
is a list of chunks by the SHA-256 of their content: a chunk that any snapshot has already is not written again, and one
that no snapshot names any more is removed. So no snapshot needs another one, whatever was taken before or after it.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from portside.node import syscall

log = logging.getLogger(__name__)

CHUNK_BYTES = 512 * 1024
"""As large as a block of AWS's EBS direct APIs."""
_ZEROES = bytes(CHUNK_BYTES)
_FICLONE = 0x40049409
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY})
_MAGIC = b"portside-snapshot-1\n"
_HEAD = struct.Struct("<QQ")  # bytes of the volume, number of entries
_ENTRY = struct.Struct("<Q32s")  # number of the chunk, its SHA-256
_CLONE, _LIST, _FRESH = ".img", ".list", ".fresh"


class Damaged(OSError):
    """What a snapshot needs is missing or is not what was written; the message names it."""


class Snapshots:
    """Those of one instance. Methods block, and may be called in any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._chunks = folder, folder / "chunks"
        self._changing = threading.Lock()

    def start(self) -> None:
        """Raises OSError."""
        self._chunks.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in (*self._folder.glob(f"*{_FRESH}"), *self._chunks.glob(f"*{_FRESH}")):
            left.unlink()  # of a daemon that was killed

    def take(
        self,
        file: Path,
        snapshot_id: str,
        still: Callable[[], AbstractContextManager[None]] = nullcontext,
        reached: Callable[[str], None] = lambda moment: None,
    ) -> int:
        """Keep what the file holds while `still` is entered. Nothing, or all of it, is there afterwards. Idempotent.

        Args: still: keeps everybody from writing to the file. Returns: bytes that it holds, holes left out.
        Raises OSError."""
        with self._changing:
            found = self._full_bytes(snapshot_id)
            if found is not None:
                return found
            with still():
                reached("within-take-snapshot")
                if not self._cloned(file, snapshot_id):
                    self._take_chunks(file, snapshot_id)
            taken = self._full_bytes(snapshot_id)
            assert taken is not None
            return taken

    def restore(self, snapshot_id: str, target: Path) -> None:
        """Write all that the snapshot holds to a new file, with its size. Raises Damaged, OSError."""
        clone = self._folder / f"{snapshot_id}{_CLONE}"
        if clone.exists():
            with clone.open("rb") as reading, target.open("xb") as writing:
                fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
                os.fsync(writing.fileno())
            return
        size, entries = self._read_list(snapshot_id)
        with target.open("xb") as writing:
            os.ftruncate(writing.fileno(), size)
            for number, digest in entries:
                os.pwrite(writing.fileno(), self._chunk(snapshot_id, number, digest), number * CHUNK_BYTES)
            os.fsync(writing.fileno())

    def names(self) -> set[str]:
        kinds = (_CLONE, _LIST)
        return {each.stem for each in self._folder.iterdir() if each.suffix in kinds}

    def remove(self, snapshot_ids: Collection[str]) -> None:
        """Nothing of them is left, nor of chunks that no snapshot has. Idempotent. Raises OSError."""
        with self._changing:
            for snapshot_id in snapshot_ids:
                for kind in (_CLONE, _LIST):
                    (self._folder / f"{snapshot_id}{kind}").unlink(missing_ok=True)
            self._sweep_chunks()

    def stored_bytes(self) -> int:
        """What all snapshots together take on the disk; of clones, as if each had its blocks alone."""
        files = (*self._folder.glob(f"*{_CLONE}"), *self._chunks.glob("??/*"))
        return sum(each.stat().st_blocks * 512 for each in files)

    # --- clones

    def _cloned(self, file: Path, snapshot_id: str) -> bool:
        """Whether this file system can."""
        target = self._folder / f"{snapshot_id}{_CLONE}"
        fresh = target.with_suffix(f"{_CLONE}{_FRESH}")
        try:
            with file.open("rb") as reading, fresh.open("wb") as writing:
                fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
                os.fsync(writing.fileno())
        except OSError as error:
            fresh.unlink(missing_ok=True)
            if error.errno in _NO_CLONE:
                return False
            raise
        os.replace(fresh, target)
        _sync_folder(self._folder)
        return True

    # --- chunks

    def _take_chunks(self, file: Path, snapshot_id: str) -> None:
        entries = []
        with file.open("rb") as reading:
            size = os.fstat(reading.fileno()).st_size
            for number in _chunks_with_data(reading.fileno(), size):
                data = os.pread(reading.fileno(), CHUNK_BYTES, number * CHUNK_BYTES)
                if data == _ZEROES[: len(data)]:
                    continue
                digest = hashlib.sha256(data).digest()
                self._keep(digest, data)
                entries.append(_ENTRY.pack(number, digest))
        body = _HEAD.pack(size, len(entries)) + b"".join(entries)
        target = self._folder / f"{snapshot_id}{_LIST}"
        fresh = target.with_suffix(f"{_LIST}{_FRESH}")
        with fresh.open("wb") as writing:
            writing.write(_MAGIC + body + hashlib.sha256(body).digest())
            writing.flush()
            syscall.syncfs(writing.fileno())  # the chunks first
        os.replace(fresh, target)
        _sync_folder(self._folder)

    def _keep(self, digest: bytes, data: bytes) -> None:
        place = self._place(digest)
        with contextlib.suppress(FileNotFoundError):
            if place.stat().st_size == len(data):
                return
        place.parent.mkdir(exist_ok=True)
        fresh = self._chunks / f"{digest.hex()}{_FRESH}"
        fresh.write_bytes(data)
        os.replace(fresh, place)

    def _chunk(self, snapshot_id: str, number: int, digest: bytes) -> bytes:
        where = f"snapshot {snapshot_id} is damaged: what it holds at {number * CHUNK_BYTES // 1024**2} MiB"
        try:
            data = self._place(digest).read_bytes()
        except FileNotFoundError:
            raise Damaged(errno.EIO, f"{where} is missing ({self._place(digest)})") from None
        if hashlib.sha256(data).digest() != digest:
            raise Damaged(errno.EIO, f"{where} has changed ({self._place(digest)})")
        return data

    def _place(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._chunks / name[:2] / name

    def _read_list(self, snapshot_id: str) -> tuple[int, list[tuple[int, bytes]]]:
        """Raises Damaged."""
        path = self._folder / f"{snapshot_id}{_LIST}"
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            raise Damaged(errno.EIO, f"snapshot {snapshot_id} is damaged: {path} is missing") from None
        body, end = found[len(_MAGIC) : -32], found[-32:]
        if not found.startswith(_MAGIC) or hashlib.sha256(body).digest() != end:
            raise Damaged(errno.EIO, f"snapshot {snapshot_id} is damaged: {path} has changed")
        size, _count = _HEAD.unpack_from(body)
        return size, list(_ENTRY.iter_unpack(body[_HEAD.size :]))

    def _full_bytes(self, snapshot_id: str) -> int | None:
        """None: there is no such snapshot."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / f"{snapshot_id}{_CLONE}").stat().st_blocks * 512
        if not (self._folder / f"{snapshot_id}{_LIST}").exists():
            return None
        return len(self._read_list(snapshot_id)[1]) * CHUNK_BYTES

    def _sweep_chunks(self) -> None:
        used: set[str] = set()
        for path in self._folder.glob(f"*{_LIST}"):
            try:
                used.update(digest.hex() for _, digest in self._read_list(path.stem)[1])
            except Damaged as damaged:
                # Which chunks it has can not be told: none of them is to go with another snapshot.
                log.warning("no chunks are removed: %s", damaged)
                return
        for chunk in self._chunks.glob("??/*"):
            if chunk.name not in used:
                chunk.unlink()


def _chunks_with_data(descriptor: int, size: int) -> Iterator[int]:
    """The numbers of chunks that are not holes altogether."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # only a hole is left
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        first, last = max(begin, at) // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        yield from range(first, last + 1)
        at = (last + 1) * CHUNK_BYTES


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
