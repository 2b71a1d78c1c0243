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
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path

from portside.node import syscall

log = logging.getLogger(__name__)

CHUNK_BYTES = 512 * 1024
"""As large as a block of AWS's EBS direct APIs."""
_HASHERS = min(4, os.cpu_count() or 1)
_AT_ONCE = 256
"""Chunks in one round of the hashers."""
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
        still: Callable[[], AbstractContextManager[None]] | None = None,
        reached: Callable[[str], None] = lambda moment: None,
    ) -> int:
        """Keep what the file holds while `still` is entered. Nothing, or all of it, is there afterwards. Idempotent.

        Args: still: keeps those who write to the file from it; None: nobody does. Returns: bytes that it holds, holes
            left out. Raises OSError."""
        with self._changing:
            found = self._full_bytes(snapshot_id)
            if found is not None:
                return found
            clone, fresh = self._folder / f"{snapshot_id}{_CLONE}", set[bytes]()
            if still is not None and not self._clones(file):
                # Most of the work, while the writers go on: what they change meanwhile is looked at again.
                with file.open("rb") as reading:
                    for _ in self._kept_chunks(reading.fileno(), fresh):
                        pass
                    syscall.syncfs(reading.fileno())
            listed: list[bytes] | None = None
            with still() if still is not None else nullcontext():
                reached("within-take-snapshot")
                size = file.stat().st_size
                if not self._cloned(file, clone):
                    with file.open("rb") as reading:
                        listed = list(self._kept_chunks(reading.fileno(), set()))
            if listed is not None:
                self._write_list(snapshot_id, size, listed)
                for digest in fresh - {_ENTRY.unpack(each)[1] for each in listed}:
                    self._place(digest).unlink(missing_ok=True)  # overwritten since it was read
            taken = self._full_bytes(snapshot_id)
            assert taken is not None
            return taken

    def copy(self, source_id: str, snapshot_id: str) -> int:
        """Another snapshot of the same, which takes the disk for its list alone, or is a clone. Idempotent.

        Returns: bytes that it holds. Raises Damaged, OSError."""
        with self._changing:
            found = self._full_bytes(snapshot_id)
            if found is not None:
                return found
            clone = self._folder / f"{source_id}{_CLONE}"
            if not clone.exists():
                size, entries = self._read_list(source_id)
                self._write_list(snapshot_id, size, [_ENTRY.pack(*each) for each in entries])
            elif not self._cloned(clone, self._folder / f"{snapshot_id}{_CLONE}"):
                raise OSError(errno.EOPNOTSUPP, f"{clone} can not be cloned any more")
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

    def _clones(self, file: Path) -> bool:
        """Whether this file system can, tried with a file."""
        trial = self._folder / f"trial{_FRESH}"
        try:
            return self._cloned(file, trial)
        finally:
            trial.unlink(missing_ok=True)

    def _cloned(self, file: Path, target: Path) -> bool:
        """False: this file system can not. Raises OSError."""
        fresh = target.with_name(f"{target.name}{_FRESH}")
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
        sync_folder(self._folder)
        return True

    # --- chunks

    def _kept_chunks(self, reading: int, fresh: set[bytes]) -> Iterator[bytes]:
        """Keep each chunk of a file that is not zeroes; its entry, in the order of the file.

        Args: fresh: gets the digests of those that no snapshot had."""
        size = os.fstat(reading).st_size

        def kept(number: int) -> bytes | None:
            data = os.pread(reading, CHUNK_BYTES, number * CHUNK_BYTES)
            if data == _ZEROES[: len(data)]:
                return None
            digest = hashlib.sha256(data).digest()
            if self._keep(digest, data):
                fresh.add(digest)
            return _ENTRY.pack(number, digest)

        numbers = _chunks_with_data(reading, size)
        with ThreadPoolExecutor(_HASHERS, thread_name_prefix="snapshot") as hashers:
            while some := list(islice(numbers, _AT_ONCE)):
                yield from (each for each in hashers.map(kept, some) if each is not None)

    def _write_list(self, snapshot_id: str, size: int, entries: Sequence[bytes]) -> None:
        body = _HEAD.pack(size, len(entries)) + b"".join(entries)
        target = self._folder / f"{snapshot_id}{_LIST}"
        fresh = target.with_name(f"{target.name}{_FRESH}")
        with fresh.open("wb") as writing:
            writing.write(_MAGIC + body + hashlib.sha256(body).digest())
            writing.flush()
            syscall.syncfs(writing.fileno())  # the chunks, too
        os.replace(fresh, target)
        sync_folder(self._folder)

    def _keep(self, digest: bytes, data: bytes) -> bool:
        """Whether it was not there."""
        place = self._place(digest)
        with contextlib.suppress(FileNotFoundError):
            if place.stat().st_size == len(data):
                return False
        place.parent.mkdir(exist_ok=True)
        fresh = self._chunks / f"{digest.hex()}-{threading.get_ident()}{_FRESH}"
        fresh.write_bytes(data)
        os.replace(fresh, place)
        return True

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


def sync_folder(folder: Path) -> None:
    """What was renamed there is so also after the end of the machine. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
