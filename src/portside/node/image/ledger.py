"""Which images Portside brought to this machine itself, and when each was last used: one small file for each.

Only these may be removed without being asked to: what somebody built or pulled by hand is nobody else's to remove. A
file for each image, replaced whole: the daemon and the command line may write at the same time.
"""

import contextlib
import hashlib
import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from portside.domain.image import Origin
from portside.domain.record import R, Record, replace

USE_GRAIN = timedelta(minutes=1)
"""A use is written down again once it is this much later than what is written."""


class Entry(Record, frozen=True, kw_only=True):
    """`names`: those that Portside gave it, and only these are taken away from it. `guarded`: it is here by logins of
    tasks alone, so that its registry is asked who else may have it."""

    id: str
    names: tuple[str, ...]
    origin: Origin
    guarded: bool = False
    acquired_at: datetime
    last_used_at: datetime


class Intent(Record, frozen=True, kw_only=True):
    """A pull that has begun. `before`: the id of the image that had the name then, or empty. `guarded`: by a task's
    login."""

    name: str
    before: str
    guarded: bool = False


class Ledger:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> dict[str, Entry]:
        """By image id."""
        found = {}
        for path in self._folder.glob("*.image") if self._folder.is_dir() else ():
            entry = _read(path, Entry)
            if entry is not None:
                found[entry.id] = entry
        return found

    def get(self, image_id: str) -> Entry | None:
        return _read(self._file(image_id), Entry)

    def acquired(self, image_id: str, name: str, origin: Origin, now: datetime, *, guarded: bool = False) -> None:
        """It came just now, under that name. Raises OSError.

        Args: guarded: by a task's login. What has come once without one stays free of the registry."""
        known = self.get(image_id)
        names = known.names if known is not None else ()
        self._write(
            self._file(image_id),
            Entry(
                id=image_id,
                names=names if name in names or not name else (*names, name),
                # What a person asked for stays that, also if a task has it pulled again.
                origin=origin if known is None or origin != "pulled" else known.origin,
                guarded=guarded and (known is None or known.guarded),
                acquired_at=now,
                last_used_at=max(now, known.last_used_at) if known is not None else now,
            ),
        )

    def used(self, image_id: str, at: datetime) -> None:
        """Nothing happens for an image that is not in here. Raises OSError."""
        known = self.get(image_id)
        if known is not None and at - known.last_used_at >= USE_GRAIN:
            self._write(self._file(image_id), replace(known, last_used_at=at))

    def forget(self, image_id: str) -> None:
        self._file(image_id).unlink(missing_ok=True)

    def begin(self, name: str, before: str, *, guarded: bool = False) -> None:
        """A pull is about to begin. Raises OSError."""
        self._write(self._intent_file(name), Intent(name=name, before=before, guarded=guarded))

    def end(self, name: str) -> None:
        self._intent_file(name).unlink(missing_ok=True)

    def intents(self) -> list[Intent]:
        """Pulls that were begun, and of which no end was noted."""
        paths = self._folder.glob("*.pull") if self._folder.is_dir() else ()
        return [intent for path in paths if (intent := _read(path, Intent)) is not None]

    def _file(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.image"

    def _intent_file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()}.pull"

    def _write(self, path: Path, record: Record) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(path)


def _read(path: Path, kind: type[R]) -> R | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None
