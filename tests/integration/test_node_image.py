"""Images of the real storage, and pulls that fail, in the words of AWS."""

import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import pytest

from portside.domain.record import replace
from portside.domain.task.record import ImagePulled, StartFailed
from portside.node.image.storage import NATIVE_ARCHITECTURE
from portside.settings import Settings
from portside.testing.image import BUSYBOX_IMAGE, ensure_busybox_image, remove_image
from portside.testing.node_lab import NodeLab, lab_task
from portside.testing.registry import push, registry
from portside.testing.wait import free_port

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("busybox")]


def test_names_of_a_local_image(no_leaks: Settings) -> None:
    """An image built here is found by its full name, by its short one, and by its digest."""

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            full = await lab.do(lab_task("", image=BUSYBOX_IMAGE).pull)
            assert isinstance(full, ImagePulled)
            short = BUSYBOX_IMAGE.removeprefix("localhost/")
            for name in (short, f"{short.partition(':')[0]}@{full.digest}", f"localhost/portside-test@{full.digest}"):
                assert await lab.do(lab_task("", image=name).pull) == full

    asyncio.run(body())


def test_an_image_that_is_nowhere(no_leaks: Settings) -> None:
    """Under localhost/ there is nothing to pull; a registry that does not listen is named, with the cause."""
    registry = f"127.0.0.1:{free_port()}"

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            fact = await lab.node.execute(lab_task("", image="localhost/no-such:1").pull)
            assert isinstance(fact, StartFailed)
            assert fact.container == "main"
            assert fact.reason == (
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
                "localhost/no-such:1: not found: no such image in local storage"
            )
            fact = await lab.node.execute(lab_task("", image=f"{registry}/no/such:1").pull)
            assert isinstance(fact, StartFailed)
            assert f"failed to resolve ref {registry}/no/such:1: connection refused: " in fact.reason

    asyncio.run(body())


def test_an_image_that_is_removed_meanwhile(no_leaks: Settings) -> None:
    """A start after `podman image rm` fails for want of the image, not with a broken file system."""
    name = ensure_busybox_image("localhost/portside-test-removed:1", changes=["ENV REMOVED=yes"])

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            task = lab_task("true", image=name)
            await lab.do(task.pull)
            await asyncio.to_thread(remove_image, name)
            fact = await lab.node.execute(task.start)
            assert isinstance(fact, StartFailed)
            assert "CannotPullContainerError" in fact.reason
            await lab.do(task.remove)

    asyncio.run(body())


def test_a_digest_outlives_its_name(no_leaks: Settings) -> None:
    """A task that is held to a digest gets that image, also after its tag has gone to a newer build."""
    name = "localhost/portside-test-moving:1"
    remove_image(name)
    ensure_busybox_image(name, changes=["ENV BUILD=1"])

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            pull = lab_task("", image=name).pull
            before = await lab.do(pull)
            assert isinstance(before, ImagePulled)
            kept = "localhost/portside-test-kept:1"  # keeps the layers, as a running container would
            await asyncio.to_thread(podman, "tag", name, kept)
            await asyncio.to_thread(podman, "untag", name)
            await asyncio.to_thread(ensure_busybox_image, name, changes=["ENV BUILD=2"])
            try:
                newer = await lab.do(pull)
                assert isinstance(newer, ImagePulled)
                assert newer.digest != before.digest
                assert await lab.do(replace(pull, digest=before.digest)) == before
                missing = await lab.node.execute(replace(pull, digest=f"sha256:{'0' * 64}"))
                assert isinstance(missing, StartFailed)
                assert "CannotPullContainerError" in missing.reason
            finally:
                await asyncio.to_thread(remove_image, kept)
                await asyncio.to_thread(remove_image, name)

    asyncio.run(body())


def test_another_architecture(no_leaks: Settings) -> None:
    """An image of another architecture, and a task that asks for one, end with the reason."""
    name, foreign = "localhost/portside-test-foreign:1", "s390x"
    remove_image(name)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "root.tar")
        archive.write_bytes(bytes(10240))  # an empty one
        podman("import", "--quiet", "--arch", foreign, str(archive), name)

    async def body() -> None:
        async with NodeLab(no_leaks) as lab:
            fact = await lab.node.execute(lab_task("", image=name).pull)
            assert isinstance(fact, StartFailed)
            assert fact.reason == (
                "CannotPullContainerError: image Manifest does not contain descriptor matching platform "
                f"'linux/{NATIVE_ARCHITECTURE}'"
            )
            asked: Literal["X86_64", "ARM64"] = "ARM64" if NATIVE_ARCHITECTURE == "amd64" else "X86_64"
            fact = await lab.node.execute(replace(lab_task("", image=BUSYBOX_IMAGE).pull, cpu_architecture=asked))
            assert isinstance(fact, StartFailed)
            assert f"runtimePlatform asks for {asked}" in fact.reason

    try:
        asyncio.run(body())
    finally:
        remove_image(name)


def podman(*arguments: str) -> None:
    subprocess.run(["podman", *arguments], check=True, capture_output=True, timeout=60)


def test_pulls_from_a_registry(no_leaks: Settings) -> None:
    """An image is pulled from a registry by tag and by digest, once for all tasks that want it; what is not there is
    not found."""

    async def body(host: str) -> None:
        name = await asyncio.to_thread(push, BUSYBOX_IMAGE, host, "team/app:1")
        async with NodeLab(no_leaks) as lab:
            pulls = [lab.do(lab_task("", image=name).pull) for _ in range(5)]
            first, *others = await asyncio.gather(*pulls)
            assert isinstance(first, ImagePulled)
            assert set(others) <= {first}
            task = lab_task("echo hello", image=f"{host}/team/app@{first.digest}")
            await lab.run(task)
            await lab.do(task.remove)
            assert lab.sink.lines(task.stream) == ["hello"]
            for missing in ("team/app:2", "team/other:1"):
                fact = await lab.node.execute(lab_task("", image=f"{host}/{missing}").pull)
                assert isinstance(fact, StartFailed)
                assert fact.reason.startswith("CannotPullContainerError: ")
                assert "not found" in fact.reason
        await asyncio.to_thread(remove_image, name)

    with registry() as host:
        asyncio.run(body(host))
