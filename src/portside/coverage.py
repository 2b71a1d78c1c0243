"""Writes docs/coverage.md from the code: `python -m portside.coverage docs/coverage.md`."""

import sys
from pathlib import Path

from portside.aws.coverage import coverage_page
from portside.control.clock import RandomIds, SystemClock
from portside.main import api_services
from portside.session.issue import StsSessions
from portside.session.key import SessionKeys
from portside.store.memory import MemoryStore
from portside.telemetry.metric import SqliteMetricStore
from portside.telemetry.sqlite import SqliteLogStore
from portside.vault.aes import KEY_BYTES, AesVault


def page() -> str:
    """The API coverage page as markdown. Nothing is opened: the log store makes its file at its first use."""
    store, clock = MemoryStore(), SystemClock()
    sts = StsSessions(store, clock, SessionKeys(bytes(KEY_BYTES)))
    return coverage_page(
        api_services(
            store,
            SqliteLogStore(Path("unused")),
            SqliteMetricStore(Path("unused")),
            clock,
            RandomIds(),
            AesVault(bytes(KEY_BYTES)),
            sts,
        )
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
