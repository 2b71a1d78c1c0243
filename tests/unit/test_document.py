"""The documents say what the code does."""

import re
from pathlib import Path

from portside.api.ecs import field
from portside.coverage import page

CLONE = Path(__file__).resolve().parents[2]


def test_coverage_page_is_current() -> None:
    """docs/coverage.md is what `portside coverage` prints."""
    assert (CLONE / "docs/coverage.md").read_text() == page(), "run: ./portside coverage > docs/coverage.md"


def test_coverage_page_lists_members() -> None:
    """Every member of RegisterTaskDefinition and RunTask that is taken or refused stands once in its table."""
    text = (CLONE / "docs/coverage.md").read_text()
    for operation, supported, refused in (
        ("RegisterTaskDefinition", field.SUPPORTED, field.REFUSED),
        ("RunTask", field.RUN_SUPPORTED, field.RUN_REFUSED),
    ):
        table = text.partition(f"### Members of {operation}\n")[2].partition("\n#")[0]
        for path in (*supported, *refused):
            assert table.count(f"\n| {path} | ") == 1, path


def test_links_lead_somewhere() -> None:
    """Every relative link of every document names a file that is there."""
    pages = [*CLONE.glob("*.md"), *CLONE.glob("docs/**/*.md")]
    assert len(pages) > 10
    broken = [
        f"{page.relative_to(CLONE)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
