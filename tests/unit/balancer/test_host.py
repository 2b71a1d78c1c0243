"""The host's side: the hosts file's block, the loopback addresses, and telling processes apart."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from portside.balancer.address import HostAddresses, is_free, nth_address
from portside.balancer.hosts import lines, with_block, write_block
from portside.balancer.process import find_binary, start_time
from portside.domain.load_balancer import ZoneMapping
from portside.domain.record import replace
from portside.testing.balancer_lab import Balancer

BEFORE = "127.0.0.1\tlocalhost\n\n# mine\n10.0.0.1 x\n"


def test_names_of_load_balancers() -> None:
    """A name leads to all of its load balancer's addresses; a Network Load Balancer's zones have names besides."""
    lab = Balancer("lb", "/netns", host_address="127.66.1.1")
    lab.further_zones = (ZoneMapping(zone="us-east-1b", subnet_id="t", host_address="127.66.1.2"),)
    config = lab.config()
    name = config.load_balancer.dns_name
    assert lines([config]) == [f"127.66.1.1\t{name}", f"127.66.1.2\t{name}"]
    first = config.load_balancer.zones[0].zone
    network = dataclasses.replace(config, load_balancer=replace(config.load_balancer, type="network"))
    assert lines([network]) == sorted(
        [*lines([config]), f"127.66.1.1\t{first}.{name}", f"127.66.1.2\tus-east-1b.{name}"]
    )


def test_block_is_added_replaced_and_removed() -> None:
    """Everything outside of the instance's block stays as it is, other instances' blocks included."""
    one = with_block(BEFORE, "aaaa", ["127.66.1.1\tn.elb.localhost"])
    assert one.startswith(BEFORE)
    both = with_block(one, "bbbb", ["127.66.1.2\tm.elb.localhost"])
    changed = with_block(both, "aaaa", ["127.66.1.3\tn.elb.localhost"])
    assert "127.66.1.1" not in changed
    assert "127.66.1.2" in changed
    assert "127.66.1.3" in changed
    assert with_block(with_block(changed, "aaaa", []), "bbbb", []) == BEFORE


def test_block_without_end_takes_nothing_with_it() -> None:
    """If the end marker was lost, only our names go, not the rest of the file."""
    broken = f"# BEGIN portside aaaa\n127.66.1.1\tn.r.elb.localhost\n{BEFORE}"
    assert with_block(broken, "aaaa", []) == BEFORE


def test_hosts_file_is_written_only_when_it_changes(tmp_path: Path) -> None:
    """The file keeps its mode, is left alone when nothing changes, and is not made for nothing."""
    path, lock = tmp_path / "hosts", tmp_path / "lock"
    assert write_block(path, lock, "aaaa", []) is False
    assert not path.exists()
    path.write_text(BEFORE)
    path.chmod(0o640)
    assert write_block(path, lock, "aaaa", ["127.66.1.1\tn.elb.localhost"]) is True
    assert path.stat().st_mode & 0o777 == 0o640
    assert write_block(path, lock, "aaaa", ["127.66.1.1\tn.elb.localhost"]) is False
    assert write_block(path, lock, "aaaa", []) is True
    assert path.read_text() == BEFORE
    assert {entry.name for entry in tmp_path.iterdir()} == {"hosts", "lock"}


def test_a_file_that_is_no_utf8(tmp_path: Path) -> None:
    """A comment in another encoding is kept byte by byte, and holds up nothing."""
    path, lock = tmp_path / "hosts", tmp_path / "lock"
    before = "127.0.0.1\tlocalhost # B\xfcro\n".encode("latin-1")
    path.write_bytes(before)
    assert write_block(path, lock, "aaaa", ["127.66.1.1\tn.elb.localhost"]) is True
    assert path.read_bytes().startswith(before)
    assert b"n.elb.localhost" in path.read_bytes()
    assert write_block(path, lock, "aaaa", []) is True
    assert path.read_bytes() == before


def test_addresses_are_shared_out(tmp_path: Path) -> None:
    """Two instances never get one address, a dead one's claims can be taken, and a release is for one's own."""
    one_home, two_home = tmp_path / "one", tmp_path / "two"
    one_home.mkdir()
    two_home.mkdir()
    one, two = (HostAddresses(tmp_path / "claims", home) for home in (one_home, two_home))
    first = one.claim("lb", "a")
    assert one.claim("lb", "a") == first
    assert two.claim("lb", "a", first) != first
    two.release("")
    assert one.claim("lb", "a") == first
    one_home.rmdir()
    assert two.claim("other", "a", first) == first


def test_a_claim_that_was_cut_short_is_nobodys(tmp_path: Path) -> None:
    """Whoever was killed while it claimed an address has not taken it from all others."""
    home = tmp_path / "one"
    home.mkdir()
    one = HostAddresses(tmp_path / "claims", home)
    first = one.claim("lb", "a")
    (tmp_path / "claims" / first).write_text("")
    assert one.claim("lb", "a") == first
    assert one.claim("lb", "b") != first
    assert [each.name for each in (tmp_path / "claims").iterdir() if each.name.startswith(".")] == []


def test_address_range() -> None:
    """Addresses are inside of 127.66.0.0/16 and never end in 0 or 255."""
    for index in (0, 253, 254, 254 * 254 - 1, 254 * 254):
        octets = [int(part) for part in nth_address(index).split(".")]
        assert octets[:2] == [127, 66]
        assert all(1 <= part <= 254 for part in octets[2:])


def test_port_that_is_taken_is_not_free() -> None:
    """A port with a listener is seen as taken although that one would share it."""
    import socket

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)


def test_start_time_tells_processes_apart() -> None:
    """A live process has a start time, an ended one none, not even before it was waited for."""
    assert start_time(os.getpid()) is not None
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(child.pid) is None
    child.wait()
    assert start_time(child.pid) is None


def test_binary_is_found_in_its_package() -> None:
    """The Envoy of the Python package is found without importing it."""
    assert find_binary(None).name == "envoy"
    assert os.access(find_binary(None), os.X_OK)
