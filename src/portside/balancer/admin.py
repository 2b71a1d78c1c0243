"""Envoy's admin interface, spoken over its Unix socket. Nothing else in Portside talks to it."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from portside.balancer import hit

TIMEOUT_S: Final = 5.0

_STAT = re.compile(
    r"^(?:(listener_manager\.lds|cluster_manager\.cds)|cluster\.([^.]+)|http\.[^.]+\.(rds\.[^.]+)|(sds\.[^.]+))"
    r"\.(version_text|update_rejected|update_failure): (.*)$"
)
_STAT_FILTER: Final = (
    r"^(listener_manager\.lds|cluster_manager\.cds|cluster\.[^.]+|http\.[^.]+\.rds\.[^.]+|sds\.[^.]+)"
    r"\.(version_text|update_rejected|update_failure)$"
)


_CLUSTER_FILTER: Final = (
    r"^cluster\.[^.]+\.(upstream_(rq_(total|[2345]xx|time|timeout|rx_reset|pending_overflow|pending_failure_eject)"
    r"|cx_(total|active|none_healthy|connect_fail|connect_timeout|rx_bytes_total|tx_bytes_total))|lb_healthy_panic)$"
)


_LISTENER_FILTER: Final = (
    r"^listener\.[^.]+\.(downstream_(cx_(total|active|overflow|overload_reject)|global_cx_overflow)"
    r"|ssl\.connection_error)$"
)


_BYTES_FILTER: Final = r"^tcp\.[^.]+\.downstream_cx_(rx|tx)_bytes_total$"


class AdminUnavailable(Exception):
    """Envoy does not answer on its admin socket."""


class Subscription:
    """How far one xDS file has come: the version Envoy took last, and how often it refused one."""

    __slots__ = ("refused", "version")

    def __init__(self) -> None:
        self.version, self.refused = "", 0


class Admin:
    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def get(self, path: str, *, method: str = "GET") -> str:
        """The body of an answer.

        Raises: AdminUnavailable, also for an answer other than 200."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._exchange(path, method)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise AdminUnavailable(f"Envoy's admin socket {self._socket}: {error!r}") from error
        if status != 200:
            raise AdminUnavailable(f"Envoy's admin interface answered {path} with {status}: {body[:200]}")
        return body

    async def _exchange(self, path: str, method: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            request = f"{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split(" ", 2)[1])
            if "transfer-encoding: chunked" not in head:
                return status, (await reader.read()).decode()
            body = bytearray()
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            return status, body.decode()
        finally:
            writer.close()

    async def ready(self) -> bool:
        try:
            return (await self.get("/ready")).strip() == "LIVE"
        except AdminUnavailable:
            return False

    async def live_epoch(self) -> int | None:
        """How many others the Envoy that answers has followed; None until it serves."""
        try:
            answer = json.loads(await self.get("/server_info"))
        except AdminUnavailable:
            return None
        return int(answer["command_line_options"]["restart_epoch"]) if answer["state"] == "LIVE" else None

    async def subscriptions(self) -> dict[str, Subscription]:
        """By `lds`, `cds`, `eds.CLUSTER`, `rds.ROUTES` and `sds.CERTIFICATE`."""
        found: dict[str, Subscription] = {}
        text = await self.get("/stats?filter=" + _quote(_STAT_FILTER))
        for line in text.splitlines():
            matched = _STAT.match(line)
            if not matched:
                continue
            manager, cluster, routes, secret, what, value = matched.groups()
            name = manager.rpartition(".")[2] if manager else routes or secret or f"eds.{cluster}"
            entry = found.setdefault(name, Subscription())
            if what == "version_text":
                entry.version = value.strip('"')
            else:
                entry.refused += int(value)
        return found

    async def connections(self) -> int:
        """Of clients, that are open.

        Raises: AdminUnavailable"""
        text = await self.get("/stats?filter=" + _quote(r"^server\.total_connections$"))
        return int(text.partition(": ")[2] or 0)

    async def host_bindings(self) -> set[tuple[str, int]]:
        """The (address, port) pairs of 127.0.0.0/8 that Envoy's listeners have."""
        answer = json.loads(await self.get("/listeners?format=json"))
        bound: set[tuple[str, int]] = set()
        for status in answer.get("listener_statuses", []):
            for place in [status.get("local_address"), *status.get("additional_local_addresses", [])]:
                socket = (place or {}).get("socket_address", {})
                if str(socket.get("address", "")).startswith("127."):
                    bound.add((socket["address"], int(socket["port_value"])))
        return bound

    async def hosts(self) -> dict[str, list[dict[str, Any]]]:
        """The hosts of each cluster as `/clusters` shows them."""
        answer = json.loads(await self.get("/clusters?format=json"))
        return {entry["name"]: entry.get("host_statuses", []) for entry in answer.get("cluster_statuses", [])}

    async def cluster_statistics(self) -> dict[str, dict[str, Any]]:
        """By cluster: numbers by name, and under `upstream_rq_time` how often which time in milliseconds was seen."""
        answer = json.loads(
            await self.get(f"/stats?format=json&histogram_buckets=detailed&filter={_quote(_CLUSTER_FILTER)}")
        )
        found: dict[str, dict[str, Any]] = {}
        for entry in answer["stats"]:
            for histogram in entry.get("histograms", {}).get("details", ()):
                _, cluster, name = histogram["name"].split(".", 2)
                times = {each["lower_bound"] + each["width"] / 2: each["count"] for each in histogram["totals"]}
                found.setdefault(cluster, {})[name] = times
            if "name" in entry:
                _, cluster, name = entry["name"].split(".", 2)
                found.setdefault(cluster, {})[name] = entry["value"]
        return found

    async def listener_statistics(self) -> dict[str, dict[str, int]]:
        """By the name of a listener: numbers by theirs."""
        answer = json.loads(await self.get(f"/stats?format=json&filter={_quote(_LISTENER_FILTER)}"))
        found: dict[str, dict[str, int]] = {}
        for entry in answer["stats"]:
            if "name" in entry:
                _, listener, name = entry["name"].split(".", 2)
                found.setdefault(listener, {})[name] = int(entry["value"])
        return found

    async def carried_bytes(self) -> dict[str, int]:
        """By the name of a proxy of connections: what it has had from clients and given them."""
        found: dict[str, int] = {}
        for line in (await self.get(f"/stats?filter={_quote(_BYTES_FILTER)}")).splitlines():
            name, _, count = line.rpartition(": ")
            _, proxy, _ = name.split(".", 2)
            found[proxy] = found.get(proxy, 0) + int(count)
        return found

    async def ended(self) -> list[hit.Ended]:
        """How requests ended."""
        return list(hit.read(await self.get("/stats?filter=" + _quote(hit.FILTER))))

    async def reopen_logs(self) -> None:
        await self.get("/reopen_logs", method="POST")


def _quote(text: str) -> str:
    return quote(text, safe="")
