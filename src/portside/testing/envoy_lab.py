"""The real Envoy in a namespace of its own, with servers beside it: for tests of what it does with requests."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from portside.balancer.envoy import EnvoyBalancer
from portside.domain import load_balancer_rule as rule
from portside.domain.listener_condition import check_conditions
from portside.settings import Settings
from portside.testing.balancer_lab import LEG, Balancer, Reports
from portside.testing.netns_lab import Answer, Netns, WebServer, request

ONE, TWO = "10.0.1.10", "10.0.1.11"


class Lab:
    """One namespace with the balancer's leg and two servers, and one data plane."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(data_dir=data_dir, hosts_file=data_dir.parent / "hosts", egress="none", **settings)
        self.netns = Netns()
        self.netns.add_address(LEG, ONE, TWO)
        self.reports = Reports()
        self.envoy = EnvoyBalancer(self.settings)
        self.servers: list[WebServer] = []
        self.web = Balancer("web", self.netns.path)

    async def serve(self, *addresses: str) -> None:
        for number, address in enumerate(addresses):
            self.servers.append(await WebServer(self.netns.path, address, 8080, f"server-{number + 1}").start())

    async def apply(self) -> None:
        """What the rules are not allowed to be is refused, as by the API."""
        for each in self.web.rules:
            check_conditions(each.conditions)
            rule.check_action(each.action)
        await self.envoy.apply([self.web.config()])

    async def ask(self, path: str = "/", method: str = "GET", host: str = "any.example", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await request(LEG, 80, path, host=host, netns=self.netns.path, headers=named, method=method)


def in_lab(tmp_path: Path, body: Callable[[Lab], Awaitable[None]], **settings: Any) -> None:
    """Args: settings: of the data plane, besides where it is."""

    async def run() -> None:
        lab = Lab(tmp_path / "data", **settings)
        try:
            await lab.envoy.start(lab.reports)
            await body(lab)
        finally:
            await lab.envoy.stop()
            for server in lab.servers:
                await server.close()
            lab.netns.close()

    asyncio.run(run())
