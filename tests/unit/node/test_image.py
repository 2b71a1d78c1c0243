"""Image names, and why an image could not be had."""

import asyncio
import json
from pathlib import Path

import pytest

from portside.node.image.failure import PullFailed, pull_failed
from portside.node.image.reference import parse
from portside.node.image.store import ImageStore

_DIGEST = "sha256:" + "ab" * 32


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
        (folder / "overlay-images").mkdir()
        (folder / "overlay/1/diff").mkdir(parents=True)
        self.index = folder / "overlay-images/images.json"
        self.index.write_text("[]")
        self.program = folder / "podman"
        self.program.write_text(
            f'#!/bin/sh\necho "$@" >> {self.calls_file}\n'
            f'case "$1" in\n'
            f"image) [ -e {folder}/present ] && cat {folder}/inspect && exit 0\n"
            f'  echo "Error: inspecting object: $3: image not known" >&2; exit 125;;\n'
            f"pull) [ -e {folder}/fails ] && cat {folder}/fails >&2 && exit 125; touch {folder}/present;;\n"
            "esac\n"
        )
        self.program.chmod(0o755)
        (folder / "inspect").write_text(
            json.dumps(
                [
                    {
                        "Id": "cd" * 32,
                        "Digest": _DIGEST,
                        "GraphDriver": {"Data": {"UpperDir": str(folder / "overlay/1/diff")}},
                        "Config": {"Cmd": ["run"], "Entrypoint": None, "StopSignal": "SIGQUIT"},
                    }
                ]
            )
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


def test_one_pull_for_many(tmp_path: Path) -> None:
    """Ten tasks that ask at once share one pull; who asks later runs nothing."""
    podman = Podman(tmp_path)

    async def body() -> None:
        store = ImageStore(str(podman.program))
        images = await asyncio.gather(*(store.ensure("nginx") for _ in range(10)))
        assert {each.digest for each in images} == {_DIGEST}
        assert [each for each in podman.calls if each.startswith("pull")] == [
            "pull --quiet docker.io/library/nginx:latest"
        ]
        before = len(podman.calls)
        assert (await store.ensure("nginx")).stop_signal == "SIGQUIT"
        assert (await store.get("nginx", _DIGEST)).command == ("run",)
        assert len(podman.calls) == before

    asyncio.run(body())


@pytest.mark.parametrize("name", ["nginx:1.25", f"nginx@sha256:{'12' * 32}"])
def test_another_digest_is_pulled_by_its_own_name(tmp_path: Path, name: str) -> None:
    """An image that a name does not stand for is asked for by repository and digest, whatever the name ended with."""
    podman = Podman(tmp_path)
    (tmp_path / "present").touch()
    wanted = f"sha256:{'34' * 32}"

    async def body() -> None:
        await ImageStore(str(podman.program)).get(name, wanted)
        assert podman.calls[-1].endswith(f"nginx@{wanted}")
        assert podman.calls[-1].count("@") == 1

    asyncio.run(body())


def test_a_change_of_storage_is_seen(tmp_path: Path) -> None:
    """After an image was built or removed, what is known is looked up again."""
    podman = Podman(tmp_path)
    (tmp_path / "present").touch()

    async def body() -> None:
        store = ImageStore(str(podman.program))
        await store.ensure("nginx")
        before = len(podman.calls)
        podman.index.write_text("[{}]")
        await store.ensure("nginx")
        assert len(podman.calls) > before

    asyncio.run(body())


def test_a_local_image_wins(tmp_path: Path) -> None:
    """An image that is here is not pulled; if asked for anew it is, and a failure falls back to what is here."""
    podman = Podman(tmp_path)
    (tmp_path / "present").touch()
    (tmp_path / "fails").write_text("Error: dial tcp: connect: connection refused")

    async def body() -> None:
        store = ImageStore(str(podman.program))
        await store.ensure("nginx")
        assert not [each for each in podman.calls if each.startswith("pull")]
        assert (await store.ensure("nginx", pull_anew=True)).digest == _DIGEST
        assert [each for each in podman.calls if each.startswith("pull")]

    asyncio.run(body())


def test_a_failed_pull_is_tried_once_more(tmp_path: Path) -> None:
    """What the registry refuses is asked for twice, as the message says; a task that is stopped ends nobody else's."""
    podman = Podman(tmp_path)
    (tmp_path / "fails").write_text("Error: reading manifest: manifest unknown")

    async def body() -> None:
        store = ImageStore(str(podman.program))
        first = asyncio.get_running_loop().create_task(store.ensure("nginx"))
        second = asyncio.get_running_loop().create_task(store.ensure("nginx"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(PullFailed, match="has been retried 1 time"):
            await second
        assert len([each for each in podman.calls if each.startswith("pull")]) == 2

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
