"""Telling systemd that the daemon is ready."""

import socket
import uuid
from pathlib import Path

import pytest

from portside.cli.systemd import unit
from portside.main import tell_service_manager
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
