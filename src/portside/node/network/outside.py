"""Connections of Portside's own to the outside: where a VPC's way out leads, and nowhere else."""

import ipaddress
import socket
from pathlib import Path

from portside.node.network.uplink import outside_socket
from portside.settings import Settings


class Outside:
    def __init__(self, settings: Settings) -> None:
        self._open = outside_socket(settings.egress)
        self._asks_host = settings.egress == "host"
        self._names = settings.hosts_file if settings.hosts_file is not None else Path("/etc/hosts")

    def addresses(self, host: str) -> list[str]:
        """Of an address itself, a name in the hosts file (load balancers are there), or, where the way out is this
        machine's, one that its resolver knows. Blocks. Raises OSError."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        if found := self._listed(host):
            return found
        if host == "localhost" or host.endswith(".localhost"):
            return ["127.0.0.1"]
        if not self._asks_host:
            raise OSError(f"{host} is not resolved: the way out is not this machine's")
        asked = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in asked))

    def socket(self, family: int, kind: int) -> socket.socket:
        """Raises OSError: nothing may leave, or the namespace is not there."""
        if self._open is None:
            raise OSError("nothing may leave: --egress is none")
        return self._open(family, kind)

    def _listed(self, host: str) -> list[str]:
        try:
            lines = self._names.read_text(errors="replace").splitlines()
        except OSError:
            return []
        parts = [each.partition("#")[0].split() for each in lines]
        return [each[0] for each in parts if host.lower() in (name.lower() for name in each[1:])]
