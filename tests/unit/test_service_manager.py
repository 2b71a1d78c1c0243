"""What Portside tells systemd and asks of it."""

import os
import socket
import sys
import uuid
from pathlib import Path

import pytest

from portside.cli import halt
from portside.cli.systemd import unit
from portside.main import tell_service_manager
from portside.node import teardown
from portside.settings import Settings


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_is_told(tmp_path: Path, abstract: bool) -> None:
    """The message arrives at the socket that the environment names, be it a file or an abstract name."""
    name = f"@portside-test-{uuid.uuid4().hex}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        tell_service_manager("READY=1", {"NOTIFY_SOCKET": name})
        assert manager.recv(100) == b"READY=1"


def test_nobody_to_tell(tmp_path: Path) -> None:
    """Without a service manager nothing is sent; one that is gone is no reason to fail."""
    tell_service_manager("READY=1", {})
    tell_service_manager("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_the_unit_waits_for_it(tmp_path: Path) -> None:
    """What comes after the unit finds Portside serving."""
    assert "Type=notify" in unit(Settings(data_dir=tmp_path)).splitlines()


@pytest.mark.parametrize(("state", "ended"), [("running", False), ("degraded", False), ("stopping", True), ("", False)])
def test_containers_end_only_with_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, ended: bool
) -> None:
    """When only the daemon ends, or nobody knows, containers are left alone; when the machine halts they are ended."""
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\necho {state}\nexit 1\n" if state else "#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    calls = []
    monkeypatch.setattr(
        teardown, "end_containers", lambda settings, *, grace_s: calls.append((settings.data_dir, grace_s))
    )
    assert halt.main(str(tmp_path / "data")) == 0
    assert calls == ([(tmp_path / "data", halt.GRACE_S)] if ended else [])


def test_the_unit_ends_containers_with_the_machine(tmp_path: Path) -> None:
    """Its last step knows the data folder, also one with a blank, and is given more time than containers are."""
    lines = unit(Settings(data_dir=tmp_path / "my data")).splitlines()
    assert f'ExecStopPost=-{sys.executable} -m portside.cli.halt "{tmp_path}/my data"' in lines
    (timeout,) = [line.partition("=")[2] for line in lines if line.startswith("TimeoutStopSec=")]
    assert int(timeout) > halt.GRACE_S + teardown._GONE_TIMEOUT_S
