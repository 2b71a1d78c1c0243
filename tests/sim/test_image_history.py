"""Seeded histories of tasks on a small disk whose unused images are removed all the time, never under a container."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from portside.control import images, tasks
from portside.control.discovery import DiscoveryLoop
from portside.control.secret_resolver import VaultResolver
from portside.domain import image
from portside.testing.fake_node import IMAGE_BYTES, FakeNode
from portside.testing.task_history import FakeVpcs, History
from portside.vault.aes import AesVault

HISTORIES = 100
SEEDS_FOR_A_MUTANT = 50


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class ImageHistory(History):
    """Every second whatever no task uses is removed, and a pull may find the disk full. Effects take their time."""

    removed = 0

    async def _boot(self) -> None:
        self.world.disk_bytes = 3 * IMAGE_BYTES
        self.node = FakeNode(self.world, self._check)
        self.images = images.ImageLoop(
            *(self.store, self.clock, self.node),
            policy=image.CleanupPolicy(minimum_age=timedelta(0), most=2),
            interval=timedelta(seconds=1),
        )
        secrets = VaultResolver(self.store, AesVault(bytes(32)))
        self.discovery = DiscoveryLoop(self.store, self.clock)
        self.tasks = tasks.TaskLoop(
            *(self.store, self.clock, self.ids, self.node, self.enis, FakeVpcs(), self.targets, secrets),
            discovery=self.discovery,
            volumes=self.ebs,
            room=self.images,
            retention_s=3600,
        )
        await self.tasks.start()
        await self.discovery.start()
        await self.images.start()

    async def _crash(self) -> None:
        await self.images.close()
        await super()._crash()

    async def _end(self) -> None:
        await super()._end()
        pulled = len(self.world.handed)
        self.removed = pulled - len(self.world.images)

    async def _play(self, loop: object) -> None:
        await super()._play(loop)  # type: ignore[arg-type]
        await self.images.close()


def test_no_image_goes_under_a_container() -> None:
    """Whatever fails, crashes or is stopped; and images do go."""
    removed = 0
    for seed in range(HISTORIES):
        history = ImageHistory(seed)
        assert history.run() == [], f"seed {seed}"
        removed += history.removed
    assert removed > HISTORIES / 10


@dataclass(frozen=True)
class Mutant:
    name: str
    module: ModuleType
    old: str
    new: str


MUTANTS = (
    Mutant(
        "what was resolved is not in use",
        image,
        "        if each.digest:\n            digests[each.digest] = each.words\n",
        "        if each.digest:\n            pass\n",
    ),
)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    path = Path(str(mutant.module.__file__))
    original = path.read_text()
    assert original.count(mutant.old) == 1, mutant.name
    exec(compile(original.replace(mutant.old, mutant.new), str(path), "exec"), mutant.module.__dict__)
    try:
        yield
    finally:
        exec(compile(original, str(path), "exec"), mutant.module.__dict__)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name.replace(" ", "-"))
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """Code that breaks this one rule is found out by some history."""
    with mutated(mutant):
        assert any("was removed under it" in str(ImageHistory(seed).run()) for seed in range(SEEDS_FOR_A_MUTANT))
