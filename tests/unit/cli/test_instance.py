"""Finding a daemon by its data folder, and the settings that the command line passes on."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from portside.cli import instance
from portside.cli.failure import Failure
from portside.main import Daemon, StartRefused
from portside.settings import Settings
from portside.testing.wait import wait_for


def leave_note(monkeypatch: pytest.MonkeyPatch, folder: Path, pid: int) -> Settings:
    settings = Settings(data_dir=folder / "data")
    monkeypatch.setattr(Settings, "run_dir", property(lambda self: folder / "run"))
    (folder / "run").mkdir()
    note = {"pid": pid, "port": 4599, "host": "127.0.0.1", "version": "0.1.0"}
    instance.note_path(settings).write_text(json.dumps(note))
    return settings


def test_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a note nothing runs, and asking for it says how to start."""
    monkeypatch.setattr(Settings, "run_dir", property(lambda self: tmp_path))
    settings = Settings(data_dir=tmp_path)
    assert instance.find(settings) is None
    with pytest.raises(Failure, match=str(tmp_path)) as failure:
        instance.require(settings)
    assert "portside up --detach" in failure.value.advice[0]


def test_note_of_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note whose pid now belongs to some other program is stale."""
    assert instance.find(leave_note(monkeypatch, tmp_path, os.getpid())) is None


def test_broken_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note cut short by a crash counts as none."""
    settings = leave_note(monkeypatch, tmp_path, os.getpid())
    instance.note_path(settings).write_text('{"pid": 1')
    assert instance.find(settings) is None


def test_daemon_is_known_by_its_command_and_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs portside.main counts if it began before the note, not if it came later with the same pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", "portside.main"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"  # it runs
        now = time.time()
        assert instance.is_daemon(process.pid, now)
        assert not instance.is_daemon(process.pid, now - 3600)
        found = instance.find(leave_note(monkeypatch, tmp_path, process.pid))
        assert found is not None
        assert found.url == "http://127.0.0.1:4599"
        instance.stop(found)
        assert process.wait(timeout=10) != 0
        assert not instance.is_daemon(process.pid, now)
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
    ],
)
def test_endpoint(host: str, url: str) -> None:
    """A wildcard address is reached by loopback, and IPv6 stands in brackets."""
    assert instance.endpoint(host, 1) == url


def test_settings_precedence(tmp_path: Path) -> None:
    """The command line goes before the environment, which goes before the defaults."""
    environment = {"PORTSIDE_PORT": "5000", "PORTSIDE_EGRESS": "none", "PORTSIDE_HOSTS_FILE": ""}
    settings = instance.settings_of({"port": 6000, "data_dir": tmp_path, "egress": None}, environment)
    assert (settings.port, settings.egress, settings.data_dir) == (6000, "none", tmp_path)
    assert settings.host == Settings().host


@pytest.mark.parametrize("port", ["http", "0", "65536"])
def test_bad_environment(port: str) -> None:
    """A variable that can not be read is named."""
    with pytest.raises(Failure, match=port) as failure:
        instance.settings_of({}, {"PORTSIDE_PORT": port})
    assert "PORTSIDE_PORT" in failure.value.advice[0]


def test_daemon_understands_every_argument(tmp_path: Path) -> None:
    """What the command line hands to the daemon are options that the daemon has, and they bring the settings across."""
    import argparse

    from portside.main import SETTINGS_FROM_OUTSIDE, settings_from

    settings = Settings(
        data_dir=tmp_path,
        port=4999,
        egress="none",
        hosts_file=None,
        envoy_path=tmp_path / "envoy",
        auth=True,
        task_endpoint=True,
        strict_pulls=True,
        pace=2.5,
        other_containers=True,
        ebs_rates=True,
        durability="full",
        s3_endpoint="http://127.0.0.1:9000",
        otlp_endpoint="http://127.0.0.1:4318",
        mirrors=(("docker.io", "localhost:5000"), ("ghcr.io", "127.0.0.1:5001/ghcr")),
    )
    words = instance.arguments(settings)[3:]
    given = argparse.Namespace(**dict.fromkeys(SETTINGS_FROM_OUTSIDE))
    while words:
        name = words.pop(0).removeprefix("--").replace("-", "_")
        assert name in SETTINGS_FROM_OUTSIDE
        setattr(given, name, words.pop(0) if words and not words[0].startswith("--") else True)
    assert settings_from({}, given) == settings


@pytest.mark.parametrize("text", ["127.0.0.1:9000", "s3://bucket", "http://", "http://host/bucket"])
def test_an_s3_endpoint_that_is_none(text: str) -> None:
    """Anything but a server's address is refused, by the command line and by the daemon."""
    import argparse

    from portside.main import StartRefused, settings_from

    with pytest.raises(Failure) as failure:
        instance.settings_of({}, {"PORTSIDE_S3_ENDPOINT": text})
    assert "PORTSIDE_S3_ENDPOINT" in failure.value.advice[0]
    with pytest.raises(StartRefused, match="--s3-endpoint"):
        settings_from({"PORTSIDE_S3_ENDPOINT": text}, argparse.Namespace())


def test_the_key_of_s3_is_not_shown() -> None:
    """It comes from the environment alone, and is in no printed settings."""
    import argparse

    from portside.main import settings_from

    settings = settings_from({"PORTSIDE_S3_SECRET_ACCESS_KEY": "very-secret"}, argparse.Namespace())
    assert settings.s3_secret_access_key == "very-secret"
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize("text", ["docker.io", "docker.io=", "=x", "docker.io=http://x", "docker.io/library=x"])
def test_a_mirror_that_is_none(text: str) -> None:
    """What is no REGISTRY=PLACE is refused, with how it is written."""
    with pytest.raises(Failure) as failure:
        instance.settings_of({"mirrors": [text]})
    assert "REGISTRY=HOST" in failure.value.message


def test_every_option_of_up_counts() -> None:
    """What the command line offers is a setting that it reads, and hands to the daemon."""
    import typer

    from portside.cli.main import application

    offered = {each.name for each in typer.main.get_command(application()).commands["up"].params}  # type: ignore[attr-defined]
    assert offered - {"detach"} <= set(instance.PARSERS)
    assert instance.settings_of({"pace": "4"}, {}).pace == 4
    assert instance.settings_of({}, {"PORTSIDE_HOSTS_FILE": ""}).hosts_file is None
    assert instance.settings_of({}, {"PORTSIDE_PORT": ""}).port == Settings().port


def test_last_lines(tmp_path: Path) -> None:
    """Only what this start wrote is shown, not what an earlier one left in the log."""
    log = tmp_path / "log"
    log.write_text("old\n")
    began = log.stat().st_size
    with log.open("a") as file:
        file.write("".join(f"line {number}\n" for number in range(20)))
    assert instance.last_lines(log, began, count=2) == ["line 18", "line 19"]
    assert "old" not in instance.last_lines(log, began, count=100)
    assert instance.last_lines(tmp_path / "none") == []


def test_every_setting_is_documented() -> None:
    """Whatever can be set from outside stands in the guide's table of settings."""
    from portside.main import SETTINGS_FROM_OUTSIDE

    guide = (Path(__file__).resolve().parents[3] / "docs/guide/getting-started.md").read_text()
    assert [name for name in SETTINGS_FROM_OUTSIDE if f"`PORTSIDE_{name.upper()}`" not in guide] == []


def test_a_daemon_that_somebody_else_is_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start, while another daemon holds the lock but has left no note yet, waits for that one."""
    settings = leave_note(monkeypatch, tmp_path, os.getpid())
    settings.data_dir.mkdir()
    monkeypatch.setattr(instance.os, "geteuid", lambda: 0)
    monkeypatch.setattr(instance, "arguments", lambda settings: [sys.executable, "-c", "raise SystemExit(1)"])
    monkeypatch.setattr(instance, "health", lambda url: {"status": "ok", "pid": 77} if url.endswith(":4599") else None)
    other = instance.Instance(pid=77, host="127.0.0.1", port=4599, version="0.1.0")
    answers = iter([None, None, other])
    monkeypatch.setattr(instance, "find", lambda settings: next(answers))
    with (settings.data_dir / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert instance.start(settings) == other


def test_a_daemon_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody else holds the data folder, the daemon's last words are told."""
    settings = leave_note(monkeypatch, tmp_path, os.getpid())
    monkeypatch.setattr(instance.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        instance, "arguments", lambda settings: [sys.executable, "-c", "raise SystemExit('portside: no such port')"]
    )
    monkeypatch.setattr(instance, "health", lambda url: None)
    with pytest.raises(Failure, match="ended at once, with code 1") as failure:
        instance.start(settings)
    assert "portside: no such port" in failure.value.advice


def test_what_a_running_one_has_not() -> None:
    """Options that are asked for and that the running process was not started with; what it has besides is its own."""
    settings = Settings(data_dir=Path("/d"), port=4777, auth=True)
    line = instance.arguments(replace(settings, auth=False, port=4566, task_endpoint=True))
    with subprocess.Popen(["sh", "-c", "read wait", *line], stdin=subprocess.PIPE) as process:
        running = instance.Instance(pid=process.pid, host="127.0.0.1", port=4566, version="")
        wait_for(Path(f"/proc/{process.pid}/cmdline").read_bytes, timeout_s=10, what="the command line")
        assert instance.unlike(running, settings) == ["--auth", "--port 4777"]
        assert instance.unlike(running, replace(settings, auth=False, port=4566)) == []
        process.communicate(b"\n")


def test_an_envoy_that_is_no_program(tmp_path: Path) -> None:
    """It is refused at the start, before anything is touched."""
    with pytest.raises(StartRefused, match="--envoy-path"):
        asyncio.run(Daemon(Settings(data_dir=tmp_path / "data", envoy_path=tmp_path)).run())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("below", ["", "further/down"])
def test_a_file_in_place_of_the_data_folder(below: str, tmp_path: Path) -> None:
    """What is in the way is named, by the daemon and by the command that starts it."""
    file = tmp_path / "file"
    file.write_text("")
    settings = Settings(data_dir=file / below)
    with pytest.raises(StartRefused, match=f"{file} is no directory.*--data-dir"):
        asyncio.run(Daemon(settings).run())
    with pytest.raises(Failure, match=f"{file} is no directory") as failure:
        instance.start(settings)
    assert "--data-dir" in failure.value.advice[0]


def test_which_envoy_a_running_one_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that it was told to use; none where it was told none, or does not run."""
    settings = Settings(data_dir=tmp_path)
    assert instance.envoy_path(settings) is None
    for given in (None, Path("/opt/envoy")):
        line = instance.arguments(replace(settings, envoy_path=given))
        with subprocess.Popen(["sh", "-c", "read wait", *line], stdin=subprocess.PIPE) as process:
            running = instance.Instance(pid=process.pid, host="127.0.0.1", port=4566, version="")
            monkeypatch.setattr(instance, "find", lambda settings, found=running: found)
            wait_for(Path(f"/proc/{process.pid}/cmdline").read_bytes, timeout_s=10, what="the command line")
            assert instance.envoy_path(settings) == given
            process.communicate(b"\n")
