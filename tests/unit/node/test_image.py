"""Image names, and why an image could not be had."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portside.domain.image import MachineImage
from portside.domain.image_reference import parse
from portside.node.image.failure import PullFailed, pull_failed
from portside.node.image.store import ImageStore
from portside.node.interface import ImageInUse

_DIGEST = "sha256:" + "ab" * 32
_ID = "cd" * 32


@pytest.mark.parametrize(
    ("text", "local", "pulled"),
    [
        ("nginx", ("localhost/nginx:latest", "docker.io/library/nginx:latest"), "docker.io/library/nginx:latest"),
        ("me/app:2", ("localhost/me/app:2", "docker.io/me/app:2"), "docker.io/me/app:2"),
        ("localhost/web:1", ("localhost/web:1",), None),
        ("docker.io/nginx", ("docker.io/library/nginx:latest",), "docker.io/library/nginx:latest"),
        ("127.0.0.1:5000/a/b:c", ("127.0.0.1:5000/a/b:c",), "127.0.0.1:5000/a/b:c"),
        (
            "1.dkr.ecr.eu-west-1.amazonaws.com/app",
            ("1.dkr.ecr.eu-west-1.amazonaws.com/app:latest",),
            "1.dkr.ecr.eu-west-1.amazonaws.com/app:latest",
        ),
        (
            f"nginx:1@{_DIGEST}",
            (f"localhost/nginx@{_DIGEST}", f"docker.io/library/nginx@{_DIGEST}"),
            f"docker.io/library/nginx@{_DIGEST}",
        ),
    ],
)
def test_names(text: str, local: tuple[str, ...], pulled: str | None) -> None:
    """Short names are looked up under localhost/ first; what a pull asks for is the full name."""
    reference = parse(text)
    assert reference.local_names == local
    assert (reference.canonical if reference.pullable else None) == pulled


@pytest.mark.parametrize(
    ("cause", "words", "passing"),
    [
        ("Error: initializing source docker://x/y:z: reading manifest z in x/y: manifest unknown", "not found", False),
        (
            "Error: initializing source docker://x: reading manifest: errors:\ndenied: requested access to the "
            "resource is denied\nunauthorized: authentication required",
            "pull access denied, repository does not exist or may require authorization",
            False,
        ),
        ('Error: pinging registry: Get "https://r/v2/": dial tcp 10.0.0.1:443: i/o timeout', "i/o timeout", True),
        ("Error: dial tcp 10.0.0.1:443: connect: no route to host", "network is unreachable", True),
        ("Error: dial tcp: lookup registry-1.docker.io on 8.8.8.8:53: no such host", "no such host", True),
        ("Error: dial tcp 127.0.0.1:5000: connect: connection refused", "connection refused", True),
        ("Error: writing blob: storing blob: write /x: no space left on device", "no space left on device", False),
    ],
)
def test_causes(cause: str, words: str, passing: bool) -> None:
    """AWS's words first, then podman's own."""
    failure = pull_failed("docker.io/library/x:y", cause)
    start = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref"
    assert str(failure).startswith(f"{start} docker.io/library/x:y: {words}: ")
    assert cause.splitlines()[0].removeprefix("Error: ")[:60] in str(failure)
    assert failure.passing == passing


class Podman:
    """A podman of the test's own: a script that notes how it is called, and a storage folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls"
        self.index = folder / "overlay-images/images.json"
        self.fails = folder / "fails"
        (folder / "overlay/layer/diff").mkdir(parents=True)
        (folder / "overlay-layers").mkdir()
        (folder / "overlay-layers/layers.json").write_text('[{"id": "layer", "diff-size": 1000}]')
        (folder / "overlay-images").mkdir()
        self.have()
        self.program = folder / "podman"
        self.program.write_text(
            f"""#!/bin/sh
echo "$@" >> {self.calls_file}
for name; do :; done
case "$1" in
info) echo '{{"graphDriverName": "overlay", "graphRoot": "{folder}"}}';;
pull)
  [ -n "$TMPDIR" ] && echo left > "$TMPDIR/layer"
  [ -e {self.fails} ] && grep -q "^$name " {self.fails} && sed "s/^[^ ]* //" {self.fails} >&2 && exit 125
  sed "s#NAME#$name#" {folder}/template > {self.index}.new && mv {self.index}.new {self.index};;
tag) sed "s#\"$2\"#\"$2\", \"$3\"#" {self.index} > {self.index}.new && mv {self.index}.new {self.index};;
untag) sed "s#\"$2\", ##" {self.index} > {self.index}.new && mv {self.index}.new {self.index};;
image) echo '[]' > {self.index}; echo '[]' > {folder}/overlay-layers/layers.json;;
esac
"""
        )
        self.program.chmod(0o755)
        (folder / "template").write_text(json.dumps([self.entry("NAME")]))
        image = folder / "overlay-images" / _ID
        image.mkdir()
        config = {"architecture": "amd64", "config": {"Cmd": ["run"], "Entrypoint": None, "StopSignal": "SIGQUIT"}}
        (image / ("=" + base64.b64encode(f"sha256:{_ID}".encode()).decode())).write_text(json.dumps(config))
        (image / "manifest").write_text(json.dumps({"config": {"digest": f"sha256:{_ID}"}}))

    def entry(self, *names: str, digest: str = _DIGEST) -> dict[str, Any]:
        return {
            "id": _ID,
            "digest": digest,
            "names": list(names),
            "layer": "layer",
            "created": "2026-01-02T03:04:05.123456789Z",
            "big-data-digests": {"manifest": digest},
        }

    def have(self, *names: str) -> None:
        """The image is here under these names."""
        self.index.write_text(json.dumps([self.entry(*names)] if names else []))

    def fail(self, name: str, message: str) -> None:
        self.fails.write_text(f"{name} {message}\n")

    def store(self, **more: Any) -> ImageStore:
        return ImageStore(self.folder / "portside", podman=str(self.program), **more)

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    @property
    def pulls(self) -> list[str]:
        return [each for each in self.calls if each.startswith("pull")]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 -- nothing tells it
            await asyncio.sleep(0.001)


async def held(store: ImageStore) -> list[MachineImage]:
    return [each for each in await store.images() if each.holding is not None]


HUB = "docker.io/library/nginx:latest"


def test_one_pull_for_many(tmp_path: Path) -> None:
    """Ten tasks that ask at once share one pull, however they spell the name; who asks later runs nothing."""
    podman = Podman(tmp_path)

    async def body() -> None:
        store = podman.store()
        names = ["nginx", "docker.io/nginx", HUB, "index.docker.io/library/nginx"]
        found = await asyncio.gather(*(store.ensure(names[each % 4]) for each in range(10)))
        assert {each.image.digest for each in found} == {_DIGEST}
        assert podman.pulls == [f"pull {HUB}"]
        before = len(podman.calls)
        assert (await store.ensure("nginx")).image.stop_signal == "SIGQUIT"
        assert (await store.get("nginx", _DIGEST)).image.command == ("run",)
        assert len(podman.calls) == before

    asyncio.run(body())


def test_a_pull_can_be_watched_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """While it runs a pull tells who waits for it; afterwards it is gone, and so is what it fetched into."""
    podman = Podman(tmp_path)

    async def body() -> None:
        store = podman.store()
        waiting = [asyncio.get_running_loop().create_task(store.ensure(each)) for each in ("nginx", HUB)]
        await until(lambda: bool(store.pulls()) and len(store.pulls()[0].names) == 2)
        (pull,) = store.pulls()
        assert (pull.reference, pull.names) == (HUB, tuple(sorted(("nginx", HUB))))
        first, _ = await asyncio.gather(*waiting)
        assert first.how.endswith(f"from {HUB}")
        assert store.pulls() == ()
        assert list((tmp_path / "portside/pull").iterdir()) == []

    asyncio.run(body())


@pytest.mark.parametrize("name", ["nginx:1.25", f"nginx@sha256:{'12' * 32}"])
def test_another_digest_is_pulled_by_its_own_name(tmp_path: Path, name: str) -> None:
    """An image that a name does not stand for is asked for by repository and digest, whatever the name ended with."""
    podman = Podman(tmp_path)
    podman.have("docker.io/library/nginx:1.25")
    wanted = f"sha256:{'34' * 32}"
    (tmp_path / "template").write_text(json.dumps([podman.entry("NAME", digest=wanted)]))

    async def body() -> None:
        assert (await podman.store().get(name, wanted)).image.digest == wanted
        assert podman.pulls == [f"pull docker.io/library/nginx@{wanted}"]

    asyncio.run(body())


def test_a_change_of_storage_is_seen(tmp_path: Path) -> None:
    """After an image was built or removed, what is known is looked up again."""
    podman = Podman(tmp_path)
    podman.have("localhost/nginx:latest")

    async def body() -> None:
        store = podman.store()
        assert (await store.ensure("nginx")).how == ""
        podman.have()
        assert (await store.ensure("nginx")).how != ""

    asyncio.run(body())


def test_a_local_image_wins(tmp_path: Path) -> None:
    """An image that is here is not pulled; if asked for anew it is, and a failure falls back to what is here."""
    podman = Podman(tmp_path)
    podman.have(HUB)
    podman.fail(HUB, "Error: dial tcp: connect: connection refused")

    async def body() -> None:
        store = podman.store()
        await store.ensure("nginx")
        assert podman.pulls == []
        assert (await store.ensure("nginx", pull_anew=True)).image.digest == _DIGEST
        assert podman.pulls

    asyncio.run(body())


def test_a_failed_pull_is_tried_once_more(tmp_path: Path) -> None:
    """What the registry refuses is asked for twice, as the message says; a task that is stopped ends nobody else's."""
    podman = Podman(tmp_path)
    podman.fail(HUB, "Error: reading manifest: manifest unknown")

    async def body() -> None:
        store = podman.store()
        first = asyncio.get_running_loop().create_task(store.ensure("nginx"))
        second = asyncio.get_running_loop().create_task(store.ensure("nginx"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(PullFailed, match="has been retried 1 time"):
            await second
        assert len(podman.pulls) == 2

    asyncio.run(body())


def test_a_mirror_is_asked_first(tmp_path: Path) -> None:
    """An image comes from its registry's mirror, without TLS on loopback, and has the name that was asked for."""
    podman = Podman(tmp_path)

    async def body() -> None:
        store = podman.store(mirrors={"docker.io": "127.0.0.1:1/hub"})
        found = await store.ensure("nginx")
        assert found.how.endswith("from 127.0.0.1:1/hub/library/nginx:latest")
        assert podman.pulls == ["pull --tls-verify=false 127.0.0.1:1/hub/library/nginx:latest"]
        assert json.loads(podman.index.read_bytes())[0]["names"] == [HUB]
        assert [each.names for each in await held(store)] == [(HUB,)]

    asyncio.run(body())


def test_the_registry_is_asked_where_its_mirror_fails(tmp_path: Path) -> None:
    """A mirror that does not have an image, or does not answer, is asked once; then the registry is."""
    podman = Podman(tmp_path)
    podman.fail("127.0.0.1:1/library/nginx:latest", "Error: dial tcp: connect: connection refused")

    async def body() -> None:
        found = await podman.store(mirrors={"docker.io": "127.0.0.1:1"}).ensure("nginx")
        assert found.how.endswith(f"from {HUB}")
        assert podman.pulls == ["pull --tls-verify=false 127.0.0.1:1/library/nginx:latest", f"pull {HUB}"]

    asyncio.run(body())


def test_a_mirror_that_is_down_is_not_waited_for(tmp_path: Path) -> None:
    """podman tries a registry that it does not reach again and again; of a mirror the first failure counts."""
    podman = Podman(tmp_path)
    script = podman.program.read_text()
    retrying = "Failed, retrying in 1s ... (1/3). Error: dial tcp: connect: connection refused"
    waits = f'pull)\n  case "$name" in 127*) echo "{retrying}" >&2; exec sleep 1000;; esac'
    podman.program.write_text(script.replace("pull)", waits))

    async def body() -> None:
        async with asyncio.timeout(9):
            found = await podman.store(mirrors={"docker.io": "127.0.0.1:1"}).ensure("nginx")
        assert found.how.endswith(f"from {HUB}")

    asyncio.run(body())


def test_a_registry_that_hangs(tmp_path: Path) -> None:
    """A pull that does not end in time is ended, and says so."""
    podman = Podman(tmp_path)
    podman.program.write_text(podman.program.read_text().replace("pull)", "pull)\n  exec sleep 1000"))

    async def body() -> None:
        with pytest.raises(PullFailed, match=r"CannotPullContainerError: .*: i/o timeout: timeout: podman pull took"):
            await podman.store(pull_timeout_s=0.2).ensure("nginx")

    asyncio.run(body())


def test_a_registry_that_never_answers(tmp_path: Path) -> None:
    """A registry that takes a connection and says nothing is given up long before the pull's own limit."""
    podman = Podman(tmp_path)
    podman.program.write_text(podman.program.read_text().replace("pull)", "pull)\n  exec sleep 1000"))

    async def body() -> None:
        with pytest.raises(PullFailed, match=r"i/o timeout: timeout: no answer of docker.io"):
            await podman.store(answer_timeout_s=0.2).ensure("docker.io/nginx")
        assert list((tmp_path / "portside/pull").iterdir()) == []

    asyncio.run(body())


def test_only_what_was_pulled_is_held(tmp_path: Path) -> None:
    """An image that was here before is nobody's to remove; one that was pulled is held, with its last use, for good."""
    podman = Podman(tmp_path)
    podman.have(HUB)

    async def body() -> None:
        await podman.store().ensure("nginx")
        await podman.store().ensure("nginx", pull_anew=True)
        assert await held(podman.store()) == []
        podman.have()
        await podman.store().ensure("nginx")
        (image,) = await held(podman.store())
        assert image.holding is not None
        assert (image.id, image.names, image.size_bytes, image.holding.origin) == (_ID, (HUB,), 1000, "pulled")
        later = image.holding.last_used_at + timedelta(hours=5)
        await podman.store().note_use({_DIGEST: later}, [], later)
        assert [each.holding.last_used_at for each in await held(podman.store()) if each.holding] == [later]

    asyncio.run(body())


def test_a_pull_whose_end_was_not_noted(tmp_path: Path) -> None:
    """After a crash between the pull and its note, what came is held all the same, and what it left is removed."""
    podman = Podman(tmp_path)
    podman.have(HUB)

    async def body() -> None:
        store = podman.store()
        store.ledger.begin(HUB, "")
        left = tmp_path / "portside/pull/1-1-0"
        left.mkdir(parents=True)
        await store.start()
        assert [each.names for each in await held(store)] == [(HUB,)]
        assert store.ledger.intents() == []
        assert not left.exists()

    asyncio.run(body())


def test_a_removal(tmp_path: Path) -> None:
    """Names that Portside gave go, and the image with the last one; what a task was given since then stays."""
    podman = Podman(tmp_path)

    async def body() -> None:
        store = podman.store()
        await store.ensure("nginx")
        (image,) = await held(store)
        assert image.holding is not None
        await store.ensure("nginx")
        with pytest.raises(ImageInUse, match="given to a task"):
            await store.remove(image.id, as_of=image.holding.last_used_at)
        removing = asyncio.get_running_loop().create_task(store.remove(image.id, as_of=datetime.now(UTC)))
        await asyncio.sleep(0)
        again = asyncio.get_running_loop().create_task(store.ensure("nginx"))
        assert await removing == 1000
        assert await held(store) == []
        with contextlib.suppress(PullFailed):
            await again  # the fake's storage has lost its layer
        assert podman.calls.index(f"image rm {HUB}") < podman.calls.index(f"pull {HUB}", 3)

    asyncio.run(body())


def test_what_another_instance_uses_stays(tmp_path: Path) -> None:
    """Instances of a machine share its images, and do not know each other's tasks: marks say what each one uses."""
    podman = Podman(tmp_path)

    async def body() -> None:
        ours, theirs = (podman.store(holds=tmp_path / "run" / each / "images") for each in ("ours", "theirs"))
        await ours.ensure("nginx")
        await theirs.ensure("nginx")
        (image,) = await held(ours)
        with pytest.raises(ImageInUse, match="another instance"):
            await ours.remove(image.id, as_of=datetime.now(UTC))
        await theirs.note_use({}, [image.id], datetime.now(UTC))
        with pytest.raises(ImageInUse, match="another instance"):
            await ours.remove(image.id, as_of=datetime.now(UTC))
        await theirs.note_use({}, [], datetime.now(UTC))
        assert await ours.remove(image.id, as_of=datetime.now(UTC)) == 1000

    asyncio.run(body())


def test_other_names_stay(tmp_path: Path) -> None:
    """An image that somebody has named otherwise loses the name that Portside gave it, and stays."""
    podman = Podman(tmp_path)

    async def body() -> None:
        store = podman.store()
        await store.ensure("nginx")
        podman.have("localhost/mine:1")
        (image,) = await held(store)
        assert await store.remove(image.id, as_of=datetime.now(UTC)) == 0
        assert not [each for each in podman.calls if each.startswith("image rm")]
        assert await held(store) == []

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("127.0.0.1:5000/a:1", True),
        ("127.0.0.1/a:1", True),
        ("localhost:5000/a:1", True),
        ("127.evil.example:5000/a:1", False),
        ("127.0.0.1.evil.example/a:1", False),
        ("registry.example/a:1", False),
        ("a:1", False),
    ],
)
def test_only_addresses_of_this_machine_are_on_loopback(name: str, expected: bool) -> None:
    """A name that begins like a loopback address is no loopback address: TLS is checked there."""
    assert parse(name).on_loopback is expected


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("dial tcp 127.0.0.1:40311: connect: connection refused", ": connection refused: "),
        ("lookup registry.example: no such host sha256:aa404bb", ": no such host: "),
        ("reading manifest: StatusCode: 403, forbidden", ": pull access denied"),
        ("unexpected status code 404 (Not Found)", ": not found: "),
    ],
)
def test_a_status_is_no_part_of_a_number(said: str, cause: str) -> None:
    """Digits of ports and digests are not taken for an HTTP status."""
    assert cause in str(pull_failed("r/a:1", f"Error: {said}"))
