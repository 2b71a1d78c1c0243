"""What integration tests share: a data folder of their own, images, and a check that nothing is left behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from network_lab import Host, world

from portside.node.teardown import teardown
from portside.settings import Settings
from portside.testing import leak
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import Instance

if TYPE_CHECKING:  # a browser's driver is there for the console's tests alone
    from console_lab import Console
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def busybox() -> str:
    return ensure_busybox_image()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monitors of containers write into the folder they were started in when memory runs out: not into the clone."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an instance of the test's own, which may not reach anything."""
    return Settings(data_dir=tmp_path / "data", egress="none", hosts_file=None)


@pytest.fixture
def no_leaks(settings: Settings) -> Iterator[Settings]:
    """Settings of an instance; the test fails if anything of it is left after the test has removed what it made.

    What a failed test leaves is removed all the same."""
    words = (settings.instance_id, str(settings.data_dir))
    before = leak.snapshot(*words)
    # The instance's own top cgroup and its folder of pins are there from its start to its teardown.
    own = leak.Leaks(
        cgroups=frozenset(str(root / f"portside-{settings.instance_id}") for root in leak.cgroup_roots()),
        mounts=frozenset({str(settings.run_dir / "netns")}),
    )
    yield settings
    left = leak.wait_for_none(own, *words, timeout_s=5)
    teardown(settings)
    after = leak.wait_for_none(before, *words, timeout_s=5)
    assert not left, f"left behind: {left}"
    assert not after, f"left behind by teardown: {after}"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Host]:
    """A namespace that plays the world outside, with 203.0.113.1 in it."""
    with world(tmp_path) as host:
        yield host


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from console_lab import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: "Browser", portside: Instance) -> "Iterator[Callable[..., Console]]":
    """Opens pages of the console of the module's own `portside`; nothing may have gone wrong in any at the end."""
    from console_lab import Console

    opened: list[Console] = []

    def one(**how: bool | int) -> Console:
        opened.append(Console(browser, portside, **how))  # type: ignore[arg-type]
        return opened[-1]

    yield one
    for each in opened:
        each.close()


@pytest.fixture
def console(visit: "Callable[..., Console]") -> "Console":
    """One page, as most look at it."""
    return visit()
