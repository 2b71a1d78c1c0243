"""The doctor's judgements, on what other machines look like."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portside.cli import doctor
from portside.cli import instance as daemon
from portside.cli.doctor import Finding, Grade, judge_cgroups, judge_envoy, judge_proxies
from portside.settings import Settings

V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
V1 = "".join(
    f"cgroup /sys/fs/cgroup/{name} cgroup rw,{name} 0 0\n" for name in ("cpu", "memory", "pids", "freezer", "devices")
)


@pytest.mark.parametrize(
    ("mounts", "controllers", "left", "grade", "words"),
    [
        (V2, "cpuset cpu io memory pids", [], Grade.OK, "version 2"),
        (V2, "cpuset cpu io pids", [], Grade.MISSING, "without memory"),
        (V2, "", [], Grade.MISSING, "without cpu, memory, pids"),
        (V1, "", [], Grade.OK, "version 1"),
        (V1, "", ["hugetlb"], Grade.WARNING, "hugetlb on version 2"),
        (V1.replace("memory", "blkio"), "", [], Grade.MISSING, "without memory"),
        ("proc /proc proc rw 0 0\n", "", [], Grade.MISSING, "without"),
    ],
)
def test_cgroups(mounts: str, controllers: str, left: list[str], grade: Grade, words: str) -> None:
    """Both versions are judged by the controllers that limits need, and whatever is wrong has its mending."""
    finding = judge_cgroups(mounts, controllers, left)
    assert finding.grade is grade
    assert words in finding.detail
    assert bool(finding.mend) == (grade is not Grade.OK)


def test_old_envoy() -> None:
    """An Envoy that has lain there for long is worth a warning that says how to get another."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert judge_envoy("1.40.0", now - timedelta(days=5), now).grade is Grade.OK
    old = judge_envoy("1.40.0", now - timedelta(days=400), now)
    assert old.grade is Grade.WARNING
    assert "--envoy-path" in old.mend


def program(place: Path, version: str) -> Path:
    place.write_text(f"#!/bin/sh\necho envoy version: x/{version}/Clean\n")
    place.chmod(0o755)
    return place


def test_the_envoy_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is named is judged, with its place; else that of the running daemon."""
    named, running = program(tmp_path / "named", "9.8.7"), program(tmp_path / "running", "6.5.4")
    monkeypatch.setattr(daemon, "envoy_path", lambda settings: running)
    found = doctor.check_envoy(Settings(data_dir=tmp_path, envoy_path=named))
    assert (found.grade, found.detail) == (Grade.OK, f"9.8.7, installed 0 days ago ({named})")
    assert doctor.check_envoy(Settings(data_dir=tmp_path)).detail == f"6.5.4, installed 0 days ago ({running})"
    gone = doctor.check_envoy(Settings(data_dir=tmp_path, envoy_path=tmp_path / "none"))
    assert gone.grade is Grade.MISSING
    assert str(tmp_path / "none") in gone.detail


@pytest.mark.parametrize(
    ("environment", "grade"),
    [
        ({}, Grade.OK),
        ({"HTTP_PROXY": "http://proxy:3128"}, Grade.WARNING),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,127.0.0.1"}, Grade.OK),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "*"}, Grade.OK),
    ],
)
def test_proxies(environment: dict[str, str], grade: Grade) -> None:
    """A proxy without an exception for loopback is named before it makes calls fail."""
    assert judge_proxies(environment).grade is grade


@pytest.mark.parametrize(("grade", "code"), [(Grade.OK, 0), (Grade.WARNING, 0), (Grade.MISSING, 1)])
def test_exit_code(
    grade: Grade, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Only something essential that is missing makes the command fail, and the mending is printed."""
    monkeypatch.setattr(doctor, "CHECKS", (lambda settings: Finding("thing", grade, "as it is", "mend it thus"),))
    assert doctor.show(Settings(data_dir=tmp_path), as_json=False) == code
    assert "mend it thus" in capsys.readouterr().out


def test_program_that_is_not_there(tmp_path: Path) -> None:
    """A missing program is essential, and its package is named."""
    finding = doctor.program_check("portside-no-such-program", "--version")(Settings(data_dir=tmp_path))
    assert finding.grade is Grade.MISSING
    assert "apt-get install" in finding.mend


def test_sizes_that_can_not_be_enforced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without loop devices the doctor warns that a task may fill the disk, and says how to mend it."""
    monkeypatch.setattr(doctor.ephemeral, "problem", lambda: "no loop devices (modprobe loop): No such file")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    finding = doctor.check_ephemeral_storage(Settings(data_dir=tmp_path))
    assert finding.grade is Grade.WARNING
    assert "may fill" in finding.detail
    assert "modprobe loop" in finding.mend
