"""Logs of requests, connections and health checks, from Envoy's own files to the folder where AWS's bucket has them.

Envoy writes what it knows as JSON; whenever an interval ends, the file is taken from it and told in AWS's words. What
was taken stays until its file is complete, so that a crash costs no line, and repeats none.
"""

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO, cast

from portside.domain import access_log as rule
from portside.domain.access_log import LogKind
from portside.domain.application_access_log import application_line
from portside.domain.connection_log import connection_line
from portside.domain.health_check_log import health_check_line
from portside.domain.load_balancer import LoadBalancer

CHUNK: Final = 1 << 20


class AccessLog:
    """One kind of log of one load balancer. Every call may raise OSError.

    Args:
        spool: what Envoy writes.
        folder: of all buckets.
    """

    def __init__(self, balancer: LoadBalancer, kind: LogKind, spool: Path, folder: Path) -> None:
        self._balancer, self._kind, self._spool, self._folder = balancer, kind, spool, folder
        self._taken = spool.with_suffix(".taken")

    @property
    def is_taken(self) -> bool:
        """There is something to deliver that Envoy does not write to any more, once it has opened its logs again."""
        return self._taken.exists()

    def take(self) -> bool:
        """The file is taken from Envoy, which has to open its logs again. False if there is nothing in it."""
        try:
            if self._spool.stat().st_size == 0:
                return False
        except FileNotFoundError:
            return False
        self._spool.rename(self._taken)
        return True

    @property
    def is_reopened(self) -> bool:
        return self._spool.exists()

    def deliver(self, end: datetime) -> Path:
        """What was taken, as a file of the bucket. Idempotent: the same lines have the same name."""
        digest = hashlib.sha256()
        with self._taken.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        name = rule.file_name(self._balancer, end, digest.hexdigest()[:8], self._kind)
        whole = self._folder / self._balancer.attributes[rule.attribute(self._kind, "bucket")] / name
        whole.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = whole.with_name(f".{whole.name}.partial")
        line = self._line()
        with self._taken.open(errors="replace") as lines, _opened(partial, whole.suffix == ".gz") as output:
            for text in lines:
                try:
                    told = json.loads(text)
                except ValueError:
                    continue  # cut off by the end of Envoy
                if self._kind == "health_check" and not told["route"]:
                    continue  # of a target group that checks came for no more
                output.write(line(self._balancer, told) + "\n")
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.rename(whole)
        self._taken.unlink()
        return whole

    def _line(self) -> Callable[[LoadBalancer, Mapping[str, Any]], str]:
        if self._kind == "connection":
            return connection_line
        if self._kind == "health_check":
            return health_check_line
        return rule.classic_line if self._balancer.type == "classic" else application_line

    def discard(self) -> None:
        """Nobody is to have what is left."""
        self._taken.unlink(missing_ok=True)
        self._spool.unlink(missing_ok=True)


def _opened(path: Path, compressed: bool) -> TextIO:
    return cast(TextIO, gzip.open(path, "wt", compresslevel=6)) if compressed else path.open("w")
