"""Addresses of 127.66.0.0/16 for load balancers on the host, shared out among all instances on the machine.

A claim is a file that names its owner; an owner whose data directory is gone has lost its claims, and a claim that
names nobody is nobody's. Instances take turns. Claims do not outlive a reboot: an instance claims its addresses again
when it starts, and takes others if it must.
"""

import hashlib
import json
import socket
from pathlib import Path
from typing import Final

from portside.balancer.lock import held

NETWORK: Final = "127.66"
_SIZE: Final = 254 * 254


class AddressesExhausted(Exception):
    """Every address of the range is taken."""


def nth_address(index: int) -> str:
    """The index-th of 254 x 254 addresses; 0 and 255 are left out of both octets."""
    high, low = divmod(index % _SIZE, 254)
    return f"{NETWORK}.{high + 1}.{low + 1}"


class HostAddresses:
    """
    Args:
        directory: the same for all instances of a machine.
        owner: the data directory of this instance.
    """

    def __init__(self, directory: Path, owner: Path) -> None:
        self._directory, self._owner = directory, owner

    def claim(self, balancer: str, zone: str, preferred: str = "") -> str:
        """An address that is this leg's alone; the same one again if it has one.

        Raises: AddressesExhausted, OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        mine = {"owner": str(self._owner), "balancer": balancer, "zone": zone}
        first = int(hashlib.sha256(f"{self._owner}/{balancer}/{zone}".encode()).hexdigest()[:12], 16)
        candidates = [preferred] if preferred.startswith(f"{NETWORK}.") else []
        candidates += [nth_address(first + step) for step in range(1000)]
        with held(self._directory):
            for path in self._directory.iterdir():
                if self._read(path) == mine and not path.name.startswith("."):
                    return path.name
            for address in candidates:
                if self._take(self._directory / address, mine):
                    return address
        raise AddressesExhausted(f"no address of {NETWORK}.0.0/16 is free: see {self._directory}")

    def release(self, balancer: str) -> None:
        """Give back all addresses of a load balancer; "" means of every one of this instance."""
        if not self._directory.is_dir():
            return
        for path in self._directory.iterdir():
            claim = self._read(path)
            if claim.get("owner") == str(self._owner) and balancer in ("", claim.get("balancer")):
                path.unlink(missing_ok=True)

    def _take(self, path: Path, mine: dict[str, str]) -> bool:
        owner = self._read(path).get("owner", "")
        if owner and Path(owner).is_dir():
            return False
        # in one step: a claim that is cut short names nobody
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(json.dumps(mine))
        temporary.replace(path)
        return True

    @staticmethod
    def _read(path: Path) -> dict[str, str]:
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def is_free(address: str, port: int) -> bool:
    """Whether nothing listens there: binding must succeed without SO_REUSEPORT."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
    return True
