"""The domain is given the time, identifiers and chance. Import contracts keep modules out; this, the clock."""

import ast
from collections.abc import Iterator
from pathlib import Path

from portside import domain

CLOCK = {"now", "today", "utcnow"}


def clock_reads(source: str) -> Iterator[int]:
    """The lines that ask a date or datetime class for the present."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK:
            yield node.lineno


def test_the_domain_reads_no_clock() -> None:
    """No module of the domain asks what time it is."""
    files = sorted(Path(domain.__path__[0]).rglob("*.py"))
    assert len(files) > 20
    assert [f"{file.name}:{line}" for file in files for line in clock_reads(file.read_text())] == []


def test_a_clock_that_is_read_is_found() -> None:
    """The check sees each way of asking."""
    source = "import datetime as d\nd.datetime.now(d.UTC)\nd.date.today()\nd.datetime.utcnow()\nnow(1)\n"
    assert list(clock_reads(source)) == [2, 3, 4]
