"""Writes docs/coverage.md from the code: `python -m portside.coverage docs/coverage.md`."""

import sys
from pathlib import Path

from portside.aws.coverage import coverage_page
from portside.control.clock import RandomIds, SystemClock
from portside.main import api_services
from portside.store.memory import MemoryStore


def page() -> str:
    """The API coverage page as markdown."""
    return coverage_page(api_services(MemoryStore(), NoLogs(), SystemClock(), RandomIds()))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
