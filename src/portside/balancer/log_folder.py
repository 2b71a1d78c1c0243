"""The folder of all buckets: what load balancers logged, on its way to an S3 if there is one, else kept for a while."""

import asyncio
import logging
from datetime import datetime
from pathlib import Path

from portside.domain.access_log import KEPT, KEPT_BYTES, StoredFile, outdated
from portside.node.s3 import S3Endpoint, UploadFailed

log = logging.getLogger(__name__)


class LogFolder:
    """
    Args:
        path: has a folder for each bucket. Files whose names begin with a dot are not complete yet.
        s3: where the buckets are; None if the folder is all there is.
    """

    def __init__(self, path: Path, s3: S3Endpoint | None = None) -> None:
        self.path, self._s3 = path, s3
        self._said: dict[str, str] = {}

    async def keep(self, now: datetime) -> list[str]:
        """Deliver what is there, oldest first; what is delivered is here no more. Then what is too old, or too much,
        goes, delivered or not.

        Returns: what was delivered. Raises: OSError"""
        files = await asyncio.to_thread(self._files)
        delivered = await self._deliver(self._s3, files) if self._s3 is not None else []
        left = [each for each in files if each.path not in delivered]
        for each in outdated(left, now):
            await asyncio.to_thread(self._remove, self.path / each.path)
            log.info(
                "%s is older than %d days, or more than %d bytes are there: removed", each.path, KEPT.days, KEPT_BYTES
            )
        return delivered

    def _files(self) -> list[StoredFile]:
        found: list[StoredFile] = []
        for path in self.path.rglob("*"):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                status = path.stat()
                found.append(StoredFile(str(path.relative_to(self.path)), status.st_mtime, status.st_size))
        return sorted(found, key=lambda each: (each.changed_at, each.path))

    async def _deliver(self, s3: S3Endpoint, files: list[StoredFile]) -> list[str]:
        """A bucket that takes one no more does not hold up the others."""
        delivered: list[str] = []
        refusing: dict[str, str] = {}
        for each in files:
            bucket, _, key = each.path.partition("/")
            if bucket in refusing:
                continue
            try:
                await s3.put(bucket, key, self.path / each.path)
            except UploadFailed as failed:
                refusing[bucket] = str(failed)
                if self._said.get(bucket) != str(failed):
                    log.warning("access logs stay in %s: %s", self.path / bucket, failed)
                continue
            delivered.append(each.path)
            await asyncio.to_thread(self._remove, self.path / each.path)
        self._said = refusing
        return delivered

    def _remove(self, path: Path) -> None:
        """With the folders that are empty then."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.path:
                break
            try:
                folder.rmdir()
            except OSError:
                break
