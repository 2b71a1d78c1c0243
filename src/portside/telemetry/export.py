"""The files of exports: one compressed file a stream, in a folder that appears when it is complete."""

import gzip
import shutil
from collections.abc import Iterable
from pathlib import Path

from portside.domain.log_export import ExportTask, folder_of, line
from portside.telemetry.interface import StoredEvent


class ExportFolder:
    """
    Args:
        folder: of all exports.

    Every call may raise OSError.
    """

    def __init__(self, folder: Path, task: ExportTask) -> None:
        self._whole = folder / task.bucket / task.prefix / task.id
        self._partial = self._whole.with_name(f".partial-{task.id}")

    def begin(self) -> None:
        """What an earlier attempt left is gone."""
        self.discard()
        self._partial.mkdir(parents=True, mode=0o700)

    def file_of(self, stream: str) -> Path:
        """A new file for a stream; two streams may share a folder."""
        folder = self._partial / folder_of(stream)
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder / f"{sum(1 for _ in folder.iterdir()):06d}.gz"

    def append(self, file: Path, events: Iterable[StoredEvent]) -> None:
        with gzip.open(file, "ab", compresslevel=6) as output:
            output.write(b"".join(line(each.at_ms, each.message) for each in events))

    def finish(self) -> None:
        self._partial.rename(self._whole)

    def discard(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
