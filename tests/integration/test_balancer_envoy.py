"""The real Envoy in namespaces of the test's own: rules, headers, errors, health, changes under load, and its life."""

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from portside.balancer.admin import Admin
from portside.balancer.envoy import EnvoyBalancer
from portside.balancer.interface import BalancerRefused
from portside.balancer.process import admin_socket, find_binary, shared_memory, start_time
from portside.domain.load_balancer import Condition, HealthCheck
from portside.domain.record import replace
from portside.settings import Settings
from portside.testing.balancer_lab import (
    AT,
    LEG,
    Balancer,
    Reports,
    eventually,
    fixed,
    forward,
    group,
    hosts,
    paths,
    target,
)
from portside.testing.full_disk import fill
from portside.testing.netns_lab import Netns, WebServer, envoys, inside, request

pytestmark = pytest.mark.integration

ONE, TWO, THREE = "10.0.1.10", "10.0.1.11", "10.0.1.12"


class Lab:
    """One namespace with the balancer's leg and three servers, and one data plane."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(data_dir=data_dir, hosts_file=data_dir.parent / "hosts", egress="none")
        self.netns = Netns()
        self.netns.add_address(LEG, ONE, TWO, THREE)
        self.reports = Reports()
        self.envoy = EnvoyBalancer(self.settings)
        self.servers: dict[str, WebServer] = {}
        self.web = Balancer("web", self.netns.path)

    async def serve(self, *addresses: str) -> None:
        for number, address in enumerate(addresses):
            self.servers[address] = await WebServer(self.netns.path, address, 8080, f"server-{number + 1}").start()

    async def apply(self, *balancers: Balancer) -> None:
        await self.envoy.apply([balancer.config() for balancer in balancers or (self.web,)])

    async def get(self, path: str = "/", host: str = "any.example", port: int = 80, **more: object) -> str:
        """Status and the first line of the answer."""
        answer = await request(LEG, port, path, host=host, netns=self.netns.path, **more)  # type: ignore[arg-type]
        return f"{answer.status} {answer.body.splitlines()[0] if answer.body else ''}".strip()

    async def close(self) -> None:
        await self.envoy.stop()
        for server in self.servers.values():
            await server.close()
        self.netns.close()
        assert envoys(self.settings.data_dir) == []
        assert not self.settings.run_dir.exists()
        assert not shared_memory(self.settings).exists()


@contextlib.asynccontextmanager
async def lab_at(path: Path) -> AsyncIterator[Lab]:
    lab = Lab(path)
    try:
        await lab.envoy.start(lab.reports)
        yield lab
    finally:
        await lab.close()


def in_lab(tmp_path: Path, body: Callable[[Lab], Awaitable[None]]) -> None:
    async def run() -> None:
        async with lab_at(tmp_path / "data") as lab:
            await body(lab)

    asyncio.run(run())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_envoy_that_does_not_start(tmp_path: Path) -> None:
    """That is a problem, with its words, until one starts."""
    program = tmp_path / "envoy"
    program.write_text("#!/bin/sh\necho no such option >&2\nexit 1\n")
    program.chmod(0o755)
    settings = Settings(data_dir=tmp_path / "data", hosts_file=tmp_path / "hosts", egress="none", envoy_path=program)
    settings.data_dir.mkdir()

    async def run() -> None:
        envoy = EnvoyBalancer(settings)
        try:
            with pytest.raises(BalancerRefused, match="no such option"):
                await envoy.start(Reports())
            assert "Envoy does not start" in envoy.problem
            assert "no such option" in envoy.problem
            program.unlink()
            program.symlink_to(find_binary(None))
            await envoy.start(Reports())
            assert envoy.problem == ""
        finally:
            await envoy.stop()
        assert envoys(settings.data_dir) == []

    asyncio.run(run())


def test_rules(tmp_path: Path) -> None:
    """Patterns, ANDed conditions, ORed values, priorities, fixed answers and the default choose as on AWS."""

    async def body(lab: Lab) -> None:
        web = lab.web
        listener = web.listen(80, fixed(404, "default"))
        web.rule(listener, 1, fixed(200, "first"), paths("/img/*.png"))
        web.rule(listener, 2, fixed(200, "or"), paths("/a", "/b?"))
        web.rule(listener, 3, fixed(200, "and"), hosts("*.example.com", "shop.?rg"), paths("/both/*"))
        web.rule(listener, 4, fixed(200, "host"), hosts("Only.Example.COM"))
        web.rule(listener, 50, fixed(200, "late"), paths("/img/*"))
        web.rule(listener, 51, fixed(503, '{"down": true}', "application/json"), paths("/json"))
        await lab.apply()
        expected = {
            ("/img/x.png", "h"): "200 first",
            ("/img/deep/er.png?q=1", "h"): "200 first",
            ("/img/x.gif", "h"): "200 late",
            ("/img/x.png.gif", "h"): "200 late",
            ("/a", "h"): "200 or",
            ("/a/", "h"): "404 default",
            ("/A", "h"): "404 default",
            ("/bx", "h"): "200 or",
            ("/b", "h"): "404 default",
            ("/both/1", "www.example.com"): "200 and",
            ("/both/1", "WWW.Example.Com:8080"): "200 and",
            ("/both/1", "shop.org"): "200 and",
            ("/both/1", "example.com"): "404 default",
            ("/other", "www.example.com"): "404 default",
            ("/x", "only.example.com"): "200 host",
            ("/x", "only-example.com"): "404 default",
            ("/q?path=/a", "h"): "404 default",
        }
        found = {(path, host): await lab.get(path, host) for path, host in expected}
        assert found == expected
        answer = await request(LEG, 80, "/json", netns=lab.netns.path)
        assert (answer.status, answer.body) == (503, '{"down": true}')
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["server"] == "awselb/2.0"

    in_lab(tmp_path, body)


def test_long_patterns_fit(tmp_path: Path) -> None:
    """Five patterns of 128 characters with many wildcards are taken, and match."""

    async def body(lab: Lab) -> None:
        listener = lab.web.listen(80, fixed(404, "default"))
        patterns = [f"/{letter}" + "*x?" * 42 for letter in "abcde"]
        lab.web.rule(listener, 1, fixed(200, "long"), paths(*patterns))
        await lab.apply()
        assert await lab.get("/c" + "--x-" * 42) == "200 long"
        assert await lab.get("/c") == "404 default"

    in_lab(tmp_path, body)


def test_forwarded_request_and_answer(tmp_path: Path) -> None:
    """Targets see the X-Forwarded headers and nothing of Envoy; clients get the target's own headers in their case."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        answer = await request(
            LEG, 80, "/x?y=1", host="h.example:80", netns=lab.netns.path, headers={"X-Forwarded-For": "192.0.2.7"}
        )
        name, first, *lines = answer.body.splitlines()
        assert (answer.status, name, first) == (200, "server-1", "GET /x?y=1 HTTP/1.1")
        sent = dict(line.split(": ", 1) for line in lines if line)
        assert sent["Host"] == "h.example:80"
        assert [part.strip() for part in sent["X-Forwarded-For"].split(",")] == ["192.0.2.7", LEG]
        assert sent["X-Forwarded-Proto"] == "http"
        assert sent["X-Forwarded-Port"] == "80"
        assert not [key for key in sent if "envoy" in key.lower() or "request-id" in key.lower()]
        assert "X-Own-Case: 1" in answer.raw_headers
        assert answer.headers["server"] == "own"
        assert not [key for key in answer.headers if "envoy" in key]

    in_lab(tmp_path, body)


def test_errors_are_those_of_aws(tmp_path: Path) -> None:
    """No target: 503. Nothing listens: 502. The target breaks off: 502. It is silent for the idle time-out: 504."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        breaker = await asyncio.start_server(lambda _, writer: writer.close(), sock=await _listen(lab, TWO, 8080))
        empty, refused, broken, silent = group("empty"), group("refused"), group("broken"), group("silent")
        lab.web.groups = [empty, refused, broken, silent]
        lab.web.targets = [target(refused, ONE, 81), target(broken, TWO), target(silent, ONE)]
        lab.web.attributes = {"idle_timeout.timeout_seconds": "1"}
        listener = lab.web.listen(80, forward(empty))
        for priority, (path, g) in enumerate([("/refused", refused), ("/broken", broken), ("/slow", silent)], 1):
            lab.web.rule(listener, priority, forward(g), paths(path))
        await lab.apply()
        answer = await request(LEG, 80, "/", netns=lab.netns.path)
        assert (answer.status, answer.headers["server"], answer.headers["content-type"]) == (
            503,
            "awselb/2.0",
            "text/html",
        )
        assert "<h1>503 Service Temporarily Unavailable</h1>" in answer.body
        assert (await request(LEG, 80, "/refused", netns=lab.netns.path)).status == 502
        assert (await request(LEG, 80, "/broken", netns=lab.netns.path)).status == 502
        answer = await request(LEG, 80, "/slow", netns=lab.netns.path)
        assert (answer.status, "504 Gateway Time-out" in answer.body) == (504, True)
        breaker.close()

    in_lab(tmp_path, body)


def test_methods(tmp_path: Path) -> None:
    """Methods of one's own reach rules and targets; TRACE is refused, whatever the rules say; what is none is, too."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        own = Condition(field="http-request-method", values=("PURGE-ALL", "TRACE"))
        lab.web.rule(lab.web.listen(80, forward(g)), 1, fixed(202, "by rule"), own)
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        assert await lab.get(method="PURGE-ALL") == "202 by rule"
        assert await lab.get(method="PROPFIND") == "200 server-1"
        assert await lab.get(method="OWN_ONE") == "200 server-1"
        answer = await request(LEG, 80, "/", method="TRACE", netns=lab.netns.path)
        assert (answer.status, answer.headers["server"]) == (405, "awselb/2.0")
        assert "<h1>405 Method Not Allowed</h1>" in answer.body
        assert (await lab.get(method="G@T")).startswith("400")

    in_lab(tmp_path, body)


async def _listen(lab: Lab, address: str, port: int) -> socket.socket:
    made = await asyncio.to_thread(inside, lab.netns.path, lambda: socket.create_server((address, port)))
    made.setblocking(False)
    return made


def test_health_has_aws_reasons(tmp_path: Path) -> None:
    """One success makes a target healthy; one failure makes none unhealthy; the reasons are AWS's; traffic follows."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        lab.servers[TWO].health = 503
        g = group("g")
        lab.web.groups = [g]
        lab.web.targets = [target(g, ONE), target(g, TWO), target(g, THREE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        assert (await lab.reports.wait(ONE, "healthy")).reason_code == ""
        assert [report for report in lab.reports.all if report.target_id == TWO] == []
        two = await lab.reports.wait(TWO, "unhealthy")
        assert (two.reason_code, two.detail) == (
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [503]",
        )
        three = await lab.reports.wait(THREE, "unhealthy")
        assert (three.reason_code, three.detail) == ("Target.FailedHealthChecks", "Health checks failed")
        assert {await lab.get() for _ in range(10)} == {"200 server-1"}

    in_lab(tmp_path, body)


def test_one_bad_answer_ejects_nobody(tmp_path: Path) -> None:
    """A healthy target that answers one check wrongly stays in; it goes after as many as the threshold says."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        server = lab.servers[ONE]
        g = group("g", health_check=HealthCheck(path="/health", interval_s=1, timeout_s=1, matcher="200-299,302"))
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        server.health, checks = 500, server.checks

        async def one_more() -> bool:
            return server.checks == checks + 1

        await eventually(one_more, timeout_s=15)
        server.health = 302
        await eventually(lambda: _at_least(server, checks + 2), timeout_s=15)
        assert [report.state for report in lab.reports.all] == ["healthy"]
        server.health = 500
        await lab.reports.wait(ONE, "unhealthy", timeout_s=25)
        assert await lab.get() == "200 server-1", "with no healthy target, all get requests"

    in_lab(tmp_path, body)


async def _slow_from(lab: Lab, name: str) -> str:
    """Ask until the answer is that server's."""
    while True:
        answer = await lab.get("/slow")
        if answer.endswith(name):
            return answer


async def _at_least(server: WebServer, checks: int) -> bool:
    return server.checks >= checks


def test_changes_under_load_lose_no_request(tmp_path: Path) -> None:
    """Targets come and go, and are stopped once drained, while wrk asks all the time: not one request fails."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        lab.web.groups = [g]
        both = [target(g, ONE, checked="healthy"), target(g, TWO, checked="healthy")]
        lab.web.targets = list(both)
        listener = lab.web.listen(80, forward(g))
        await lab.apply()
        wrk = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={lab.netns.path}", "wrk", "-t1", "-c16", "-d5s", f"http://{LEG}/"),
            stdout=asyncio.subprocess.PIPE,
        )
        changes = 0
        while wrk.returncode is None and changes < 12:
            leaving, staying = both[changes % 2], both[1 - changes % 2]
            lab.web.targets = [staying, replace(leaving, deregistered_at=AT)]
            await lab.apply()

            async def drained(key: tuple[str, int] = (leaving.id, leaving.port)) -> bool:
                return (await lab.envoy.open_requests(g.arn)).get(key, 0) == 0

            await eventually(drained)
            lab.web.targets = [staying]
            if changes % 3 == 2:
                # rules and listeners change as well
                lab.web.rule(listener, changes + 1, fixed(200, "r"), paths(f"/r{changes}"))
                lab.web.listen(9000 + changes, forward(g))
            await lab.apply()
            await lab.servers[leaving.id].close()
            lab.servers[leaving.id] = await WebServer(lab.netns.path, leaving.id, 8080, "again").start()
            lab.web.targets = list(both)
            await lab.apply()
            changes += 1
        output = (await wrk.communicate())[0].decode()
        assert changes >= 3
        assert "Socket errors" not in output, output
        assert "Non-2xx" not in output, output
        requests = re.search(r"(\d+) requests in", output)
        assert requests is not None
        assert int(requests[1]) > 100, output

    in_lab(tmp_path, body)


@pytest.mark.parametrize("left", [True, False], ids=["beside another", "the last one"])
def test_open_requests_outlive_a_change_of_the_check(tmp_path: Path, left: bool) -> None:
    """A target with a request under way whose group's health check changes, and that is deregistered then, counts as
    busy until that request is answered."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        others = [target(g, TWO)] if left else []
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        async with asyncio.TaskGroup() as tasks:
            slow = tasks.create_task(lab.get("/slow"))
            await lab.servers[ONE].holding.wait()
            lab.web.targets = [target(g, ONE), *others]
            lab.web.groups = [replace(g, health_check=replace(g.health_check, path="/health?changed"))]
            await lab.apply()
            if left:
                await lab.reports.wait(TWO, "healthy")
            draining = target(g, ONE, checked="healthy", deregistered_at=AT)
            lab.web.targets = [draining, *(replace(each, checked="healthy") for each in others)]
            await lab.apply()
            for _ in range(10):
                assert (await lab.envoy.open_requests(g.arn))[(ONE, 8080)] >= 1
            lab.servers[ONE].hold.set()
            assert await slow == "200 server-1"

            async def idle() -> bool:
                return (await lab.envoy.open_requests(g.arn)).get((ONE, 8080), 0) == 0

            await eventually(idle)

    in_lab(tmp_path, body)


def test_open_requests_of_draining_targets(tmp_path: Path) -> None:
    """A request under way is counted until it is answered: beside a healthy target, and also when the last one
    leaves."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        lab.web.groups = [g]
        lab.web.listen(80, forward(g))
        for others in ([target(g, TWO, checked="healthy")], []):
            lab.web.targets = [*others, target(g, ONE)]
            await lab.apply()
            await lab.reports.wait(ONE, "healthy")
            if others:
                await lab.reports.wait(TWO, "healthy")
            server = lab.servers[ONE]
            lab.servers[TWO].hold.set()
            server.hold.clear()
            server.holding.clear()
            async with asyncio.TaskGroup() as tasks:
                # the other one answers at once
                slow = tasks.create_task(_slow_from(lab, "server-1"))
                await asyncio.wait_for(server.holding.wait(), 10)
                lab.web.targets = [*others, target(g, ONE, deregistered_at=AT)]
                await lab.apply()
                assert (await lab.envoy.open_requests(g.arn))[(ONE, 8080)] == 1
                if others:
                    assert {await lab.get() for _ in range(6)} == {"200 server-2"}
                else:
                    assert (await lab.get()).startswith("503")
                server.hold.set()
                assert await slow == "200 server-1"

            async def idle() -> bool:
                return (await lab.envoy.open_requests(g.arn))[(ONE, 8080)] == 0

            await eventually(idle)

    in_lab(tmp_path, body)


def test_killed_envoy_comes_back(tmp_path: Path) -> None:
    """Envoy killed is started again with the same configuration, and further changes reach it."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        (before,) = envoys(lab.settings.data_dir)
        os.kill(before, signal.SIGKILL)

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                return await lab.get() == "200 server-1"
            return False

        await eventually(answers)
        (after,) = envoys(lab.settings.data_dir)
        assert after != before
        lab.web.targets = [target(g, TWO)]
        await lab.apply()
        assert await lab.get() == "200 server-2"
        await lab.reports.wait(TWO, "healthy")

    in_lab(tmp_path, body)


@pytest.mark.parametrize("harm", ["removed", "replaced", "emptied"])
def test_health_goes_on_without_its_log(tmp_path: Path, harm: str) -> None:
    """A health log that somebody removes, replaces or empties is written anew, and health is reported as before."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        log = lab.settings.data_dir / "envoy" / "health.log"
        match harm:
            case "removed":
                log.unlink()
            case "replaced":
                log.rename(log.with_suffix(".1"))
                log.touch()
            case _:
                os.truncate(log, 0)
        lab.web.targets = [target(g, ONE), target(g, TWO)]
        await lab.apply()
        await lab.reports.wait(TWO, "healthy")
        lab.servers[TWO].health = 500
        await lab.reports.wait(TWO, "unhealthy")

    in_lab(tmp_path, body)


def test_hung_envoy_is_reported(tmp_path: Path) -> None:
    """An Envoy that runs and does not answer is named as a problem, with what to do, until it answers again."""

    async def body(lab: Lab) -> None:
        (pid,) = envoys(lab.settings.data_dir)
        assert lab.envoy.problem == ""
        os.kill(pid, signal.SIGSTOP)
        try:

            async def reported() -> bool:
                return lab.envoy.problem == f"Envoy (process {pid}) is stopped: kill -CONT {pid}"

            await eventually(reported, timeout_s=20)
        finally:
            os.kill(pid, signal.SIGCONT)

        async def well() -> bool:
            return lab.envoy.problem == ""

        await eventually(well, timeout_s=20)

    in_lab(tmp_path, body)


def test_apply_survives_a_kill_in_its_midst(tmp_path: Path) -> None:
    """A change given while Envoy is dead arrives once it is back."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "one"))
        await lab.apply()
        (pid,) = envoys(lab.settings.data_dir)
        os.kill(pid, signal.SIGKILL)
        lab.web.listeners = [replace(lab.web.listeners[0], default_action=fixed(200, "two"))]
        await lab.apply()
        assert await lab.get() == "200 two"

    in_lab(tmp_path, body)


def test_restart_of_portside_adopts_envoy(tmp_path: Path) -> None:
    """Envoy goes on while nobody supervises it; the next process adopts it, learns what changed, and applies."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        before = envoys(lab.settings.data_dir)
        await lab.envoy.close()
        assert (await lab.get()).startswith("200 server-")
        lab.servers[TWO].health = 500
        log = lab.settings.data_dir / "envoy" / "health.log"

        async def noticed() -> bool:
            return '"eject_unhealthy_event"' in log.read_text()

        await eventually(noticed, timeout_s=20)
        reports = Reports()
        lab.envoy = EnvoyBalancer(lab.settings)
        await lab.envoy.start(reports)
        assert envoys(lab.settings.data_dir) == before
        await lab.apply()
        await reports.wait(ONE, "healthy")
        assert (await reports.wait(TWO, "unhealthy")).reason_code == "Target.ResponseCodeMismatch"
        lab.web.targets = [target(g, TWO)]
        await lab.apply()
        assert await lab.get() == "200 server-2"

    in_lab(tmp_path, body)


@pytest.mark.parametrize("lost", ["missing", "empty", "another's"])
def test_envoy_whose_pid_file_was_lost(tmp_path: Path, lost: str) -> None:
    """It is found by its socket and followed by another one, which requests do not notice; none is left over."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "before"))
        await lab.apply()
        (before,) = envoys(lab.settings.data_dir)
        await lab.envoy.close()
        file = lab.settings.run_dir / "envoy.json"
        if lost == "missing":
            file.unlink()
        else:
            file.write_text("" if lost == "empty" else json.dumps({"pid": os.getpid(), "start_time": 1}))
        lab.envoy = EnvoyBalancer(lab.settings)
        await lab.envoy.start(Reports())
        lab.web.listeners.clear()
        lab.web.listen(80, fixed(200, "after"))
        await lab.apply()
        assert await lab.get() == "200 after"
        (after,) = {*envoys(lab.settings.data_dir)} - {before}
        known = json.loads(file.read_text())
        assert known["pid"] == after
        assert [pid for pid, _ in known["before"]] == [before]

    in_lab(tmp_path, body)


def test_envoy_is_renewed_in_place(tmp_path: Path) -> None:
    """A Portside that starts with another Envoy has it take over from the one that runs: no request fails on kept
    connections or new ones, in the VPC or on the host, and what is under way is answered."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE, TWO)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        port = free_port()
        lab.web.scheme = "internet-facing"
        lab.web.host_address = address = lab.envoy.claim_host_address("lbweb", "us-east-1a")
        lab.web.listen(port, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        server = lab.servers[ONE]
        inside_vpc, on_host = f"http://{LEG}:{port}/", f"http://{address}:{port}/"
        enter = ("nsenter", f"--net={lab.netns.path}")
        load = [
            await asyncio.create_subprocess_exec(
                *(*where, "wrk", "-t1", "-c4", "-d30s", *how, url), stdout=asyncio.subprocess.PIPE
            )
            for where, url in ((enter, inside_vpc), ((), on_host))
            for how in ((), ("-H", "Connection: close"))
        ]

        def by_age() -> list[int]:
            return sorted(envoys(lab.settings.data_dir), key=lambda pid: start_time(pid) or 0)

        for number in range(2):
            server.hold.clear()
            server.holding.clear()
            (*_, before) = by_age()
            program = tmp_path / f"envoy-{number}"
            program.symlink_to(find_binary(None))
            async with asyncio.TaskGroup() as tasks:
                under_way = tasks.create_task(lab.get("/slow", port=port))
                await asyncio.wait_for(server.holding.wait(), 10)
                await lab.envoy.close()
                lab.envoy = EnvoyBalancer(dataclasses.replace(lab.settings, envoy_path=program))
                await lab.envoy.start(lab.reports)

                async def one_is_left(which: int = before) -> bool:
                    return by_age()[:-1] == [which]

                await eventually(one_is_left, timeout_s=30)  # what that one had followed ends
                await lab.apply()
                assert await lab.get(port=port) == "200 server-1"
                server.hold.set()
            assert under_way.result() == "200 server-1"
        lab.web.targets = [target(g, TWO, checked="healthy")]
        await lab.apply()
        assert await lab.get(port=port) == "200 server-2"
        asked = 0
        for wrk in load:
            wrk.send_signal(signal.SIGINT)
            output = (await wrk.communicate())[0].decode()
            assert "Socket errors" not in output, output
            assert "Non-2xx" not in output, output
            requests = re.search(r"(\d+) requests in", output)
            assert requests is not None
            asked += int(requests[1])
        assert asked > 100

    in_lab(tmp_path, body)


def test_counts_outlive_the_envoy_that_counted(tmp_path: Path) -> None:
    """The one that follows goes on from where the other one's counts were."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        for _ in range(7):
            assert await lab.get() == "200 server-1"
        program = tmp_path / "envoy"
        program.symlink_to(find_binary(None))
        await lab.envoy.close()
        lab.envoy = EnvoyBalancer(dataclasses.replace(lab.settings, envoy_path=program))
        await lab.envoy.start(lab.reports)
        await lab.apply()
        for _ in range(4):
            assert await lab.get() == "200 server-1"

        async def counted() -> bool:
            (counts,) = (await lab.envoy.counts()).values()
            return counts.requests == 11

        await eventually(counted, timeout_s=30)

    in_lab(tmp_path, body)


@pytest.mark.parametrize("text", ["#!/bin/sh\necho no such option; exit 1\n", "no program"])
def test_envoy_that_would_not_start_is_not_tried(tmp_path: Path, text: str) -> None:
    """The Envoy that runs goes on where the one that should follow it does not take the configuration."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "good"))
        await lab.apply()
        before = envoys(lab.settings.data_dir)
        program = tmp_path / "envoy"
        program.write_text(text)
        program.chmod(0o755)
        await lab.envoy.close()
        lab.envoy = EnvoyBalancer(dataclasses.replace(lab.settings, envoy_path=program))
        await lab.envoy.start(lab.reports)
        assert envoys(lab.settings.data_dir) == before
        lab.web.listen(81, fixed(200, "more"))
        await lab.apply()
        assert await lab.get(port=81) == "200 more"

    in_lab(tmp_path, body)


@pytest.mark.parametrize(
    "spoilt",
    [b"\xff\xfe{", b"", b"[]", b"null", b'{"resources":["a"]}', b'{"resources":[{"@type":"b","name":"a"}]}'],
    ids=["no text", "empty", "list", "null", "no resources", "of no kind"],
)
def test_files_that_something_has_spoilt(tmp_path: Path, spoilt: bytes) -> None:
    """If the files of the configuration are not what they were when the next process comes, they are written anew."""

    async def run() -> None:
        async with lab_at(tmp_path / "data") as lab:
            g = group("g")
            lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
            lab.web.rule(lab.web.listen(80, fixed(200, "before")), 1, forward(g), paths("/g"))
            await lab.apply()
            await lab.envoy.close()
            for pid in envoys(lab.settings.data_dir):
                os.kill(pid, signal.SIGKILL)
            for file in (lab.settings.data_dir / "envoy").glob("?ds*.json"):
                file.write_bytes(spoilt)
            after = EnvoyBalancer(lab.settings)
            await after.start(lab.reports)
            try:
                lab.web.listeners.clear()
                lab.web.listen(80, fixed(200, "after"))
                await after.apply([lab.web.config()])
                assert after.problem == ""
                assert await lab.get() == "200 after"
            finally:
                await after.close()

    asyncio.run(run())


def test_an_envoy_that_ends_on_a_full_disk(tmp_path: Path) -> None:
    """It comes back from the files that are there; a change waits for room and is a problem until then."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "portside-test", str(disk)], check=True)

    async def run() -> None:
        async with lab_at(disk / "data") as lab:
            lab.web.listen(80, fixed(200, "before"))
            await lab.apply()
            filler = fill(disk)
            (pid,) = envoys(lab.settings.data_dir)
            os.kill(pid, signal.SIGKILL)

            async def serves() -> bool:
                with contextlib.suppress(OSError):
                    return await lab.get() == "200 before"
                return False

            await eventually(serves, timeout_s=60)
            lab.web.listen(81, fixed(200, "more"))
            with pytest.raises(BalancerRefused, match="No space left"):
                await lab.apply()
            assert "No space left" in lab.envoy.problem
            filler.unlink()
            await lab.apply()
            assert lab.envoy.problem == ""
            assert await lab.get(port=81) == "200 more"

    try:
        asyncio.run(run())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_change_that_can_not_be_written(tmp_path: Path) -> None:
    """That is a problem until it can; what was there before serves on."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "before"))
        await lab.apply()
        folder = lab.settings.data_dir / "envoy"
        folder.rename(kept := folder.with_name("kept"))
        lab.web.listen(81, fixed(200, "more"))
        with pytest.raises(BalancerRefused, match="No such file"):
            await lab.apply()
        assert lab.envoy.problem.startswith("No change of a load balancer is carried out: ")
        assert await lab.get() == "200 before"
        kept.rename(folder)
        await lab.apply()
        assert lab.envoy.problem == ""
        assert await lab.get(port=81) == "200 more"

    in_lab(tmp_path, body)


def test_refusal_says_why_and_changes_nothing(tmp_path: Path) -> None:
    """What Envoy rejects raises BalancerRefused with its reason; the old configuration serves on, also after a
    restart."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "good"))
        await lab.apply()
        good = lab.web.listeners
        lab.web.listeners = [replace(good[0], default_action=fixed(9999, "bad"))]
        with pytest.raises(BalancerRefused, match=r"(?i)status"):
            await lab.apply()
        assert await lab.get() == "200 good"
        (pid,) = envoys(lab.settings.data_dir)
        os.kill(pid, signal.SIGKILL)

        async def back() -> bool:
            with contextlib.suppress(OSError):
                return await lab.get() == "200 good"
            return False

        await eventually(back)
        lab.web.listeners = [replace(good[0], default_action=fixed(200, "better"))]
        await lab.apply()
        assert await lab.get() == "200 better"

    in_lab(tmp_path, body)


def test_one_impossible_balancer_does_not_keep_out_the_others(tmp_path: Path) -> None:
    """A balancer whose namespace is gone is named in the refusal; the others get their changes, and it its own
    later."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200, "web"))
        lost = Balancer("lost", lab.netns.path + "-gone")
        lost.listen(80, fixed(200, "lost"))
        with pytest.raises(BalancerRefused, match=r"netns") as caught:
            await lab.apply(lost, lab.web)
        assert caught.value.load_balancers == {lost.record.arn}
        assert await lab.get() == "200 web"
        lost.netns_path, lost.leg = lab.netns.path, ONE
        await lab.apply(lost, lab.web)
        assert (await request(ONE, 80, netns=lab.netns.path)).body == "lost"

    in_lab(tmp_path, body)


def test_host_addresses_and_names(tmp_path: Path) -> None:
    """An internet-facing balancer answers on its own loopback address and, by its name, on 127.0.0.1; the hosts file
    names it while it exists; an internal one is not on the host at all."""

    async def body(lab: Lab) -> None:
        hosts_file = lab.settings.hosts_file
        assert hosts_file is not None
        hosts_file.write_text("127.0.0.1\tlocalhost\n")
        port = free_port()
        lab.web.scheme = "internet-facing"
        lab.web.host_address = lab.envoy.claim_host_address("lbweb", "us-east-1a")
        lab.web.listen(port, fixed(200, "web"))
        shop = Balancer("shop", lab.netns.path, leg=ONE, scheme="internet-facing")
        shop.host_address = lab.envoy.claim_host_address("lbshop", "us-east-1a")
        shop.rule(shop.listen(port, fixed(200, "shop")), 1, fixed(200, "by host"), hosts("www.shop.example"))
        inner = Balancer("inner", lab.netns.path, leg=TWO)
        inner.listen(port + 1, fixed(200, "inner"))
        await lab.apply(lab.web, shop, inner)
        for balancer, answer in ((lab.web, "web"), (shop, "shop")):
            assert (await request(balancer.host_address, port)).body == answer
            shared = await request("127.0.0.1", port, host=f"{balancer.record.dns_name.upper()}:{port}")
            assert shared.body == answer
        assert (await request("127.0.0.1", port, host="www.shop.example")).body == "by host"
        unknown = await request("127.0.0.1", port, host="nobody.example")
        assert (unknown.status, lab.web.record.dns_name in unknown.body) == (404, True)
        with pytest.raises(ConnectionRefusedError):
            await request("127.0.0.1", port + 1)
        text = hosts_file.read_text()
        assert text.startswith("127.0.0.1\tlocalhost\n")
        assert f"{shop.host_address}\t{shop.record.dns_name}" in text
        await lab.apply(lab.web, inner)
        assert shop.record.dns_name not in hosts_file.read_text()
        assert (await request("127.0.0.1", port, host="anything")).body == "web"
        await lab.apply()
        await lab.envoy.stop()
        assert hosts_file.read_text() == "127.0.0.1\tlocalhost\n"

    in_lab(tmp_path, body)


def test_a_port_that_something_else_has(tmp_path: Path) -> None:
    """It is named while that is so, and taken once it is free, without a change of any load balancer."""

    async def body(lab: Lab) -> None:
        port = free_port()
        lab.web.scheme = "internet-facing"
        lab.web.host_address = lab.envoy.claim_host_address("lbweb", "us-east-1a")
        lab.web.listen(port, fixed(200, "web"))
        with socket.create_server(("127.0.0.1", port)):
            await lab.apply()
            assert lab.envoy.taken == [("127.0.0.1", port)]
            assert (await request(lab.web.host_address, port)).body == "web"

        async def is_taken_up() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                return (await request("127.0.0.1", port)).body == "web"
            return False

        await eventually(is_taken_up, timeout_s=60)
        assert lab.envoy.taken == []

    in_lab(tmp_path, body)


def test_two_instances_side_by_side(tmp_path: Path) -> None:
    """Two data planes with equal addresses in their namespaces and one port on the host do not touch each other."""

    async def run() -> None:
        async with lab_at(tmp_path / "one" / "data") as one, lab_at(tmp_path / "two" / "data") as two:
            port = free_port()
            for lab, name in ((one, "one"), (two, "two")):
                lab.web.scheme = "internet-facing"
                lab.web.host_address = lab.envoy.claim_host_address("lbweb", "us-east-1a")
                lab.web.listen(port, fixed(200, name))
                await lab.apply()
            assert one.web.host_address != two.web.host_address
            for lab, name in ((one, "one"), (two, "two")):
                assert await lab.get(port=port) == f"200 {name}"
                assert (await request(lab.web.host_address, port)).body == name
            # the port of 127.0.0.1 belongs to the first; the second does without it until it is free
            assert {(await request("127.0.0.1", port)).body for _ in range(8)} == {"one"}
            await one.apply(Balancer("none", one.netns.path))
            await two.apply()

            async def taken_over() -> bool:
                await two.apply()
                with contextlib.suppress(OSError):
                    return (await request("127.0.0.1", port)).body == "two"
                return False

            await eventually(taken_over, timeout_s=20)

    asyncio.run(run())


def test_removed_balancer_leaves_nothing(tmp_path: Path) -> None:
    """With its load balancers gone, Envoy listens nowhere and no file of theirs is left; targets may come back
    later."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        g = group("g")
        lab.web.groups, lab.web.targets = [g], [target(g, ONE)]
        lab.web.listen(80, forward(g))
        await lab.apply()
        assert await lab.get() == "200 server-1"
        await lab.envoy.apply([])

        async def refused() -> bool:
            try:
                await lab.get()
            except ConnectionRefusedError:
                return True
            return False

        await eventually(refused)
        left = {path.name for path in (lab.settings.data_dir / "envoy").glob("*ds*.json")}
        assert left == {"cds.json", "lds.json"}
        await lab.apply()
        assert await lab.get() == "200 server-1"

    in_lab(tmp_path, body)


async def _connect(lab: Lab, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    def make() -> socket.socket:
        made = socket.create_connection((LEG, port), timeout=10)
        made.setblocking(False)
        return made

    return await asyncio.open_connection(sock=await asyncio.to_thread(inside, lab.netns.path, make))


async def _echo(lab: Lab, address: str) -> asyncio.Server:
    """Answers with its address and what it gets, until the other side is done."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(address.encode() + b" " + data)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, sock=await _listen(lab, address, 8080))


def test_envoy_is_nobodys_child(tmp_path: Path) -> None:
    """An Envoy that can be followed asks the kernel for its end with its parent's: it has none, and so outlives whoever
    started it."""

    async def body(lab: Lab) -> None:
        lab.web.listen(80, fixed(200))
        await lab.apply()
        (pid,) = envoys(lab.settings.data_dir)
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert parent != os.getpid()

    in_lab(tmp_path, body)


def test_tcp_listener(tmp_path: Path) -> None:
    """TCP goes to healthy targets, checked by TCP; a deregistered one gets no new connection and keeps the open one,
    which is counted until it ends."""

    async def body(lab: Lab) -> None:
        servers = [await _echo(lab, ONE), await _echo(lab, TWO)]
        check = HealthCheck(protocol="TCP", path="", matcher="", interval_s=1, timeout_s=1)
        g = group("g", protocol="TCP", protocol_version="", health_check=check)
        lab.web.groups, lab.web.targets = [g], [target(g, ONE), target(g, TWO), target(g, THREE)]
        lab.web.listen_tcp(5432, forward(g))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        await lab.reports.wait(TWO, "healthy")
        assert (await lab.reports.wait(THREE, "unhealthy")).reason_code == "Target.FailedHealthChecks"

        async def ask() -> bytes:
            reader, writer = await _connect(lab, 5432)
            writer.write(b"hello")
            answer = await reader.read(100)
            writer.close()
            return answer

        assert {await ask() for _ in range(8)} == {f"{ONE} hello".encode(), f"{TWO} hello".encode()}
        reader, writer = await _connect(lab, 5432)
        writer.write(b"open")
        stays = (await reader.read(100)).split()[0].decode()
        other = TWO if stays == ONE else ONE
        lab.web.targets = [
            target(g, stays, checked="healthy", deregistered_at=AT),
            target(g, other, checked="healthy"),
        ]
        await lab.apply()

        async def only_the_other() -> bool:
            return {await ask() for _ in range(6)} == {f"{other} hello".encode()}

        await eventually(only_the_other)
        assert (await lab.envoy.open_requests(g.arn))[(stays, 8080)] == 1
        writer.write(b"still")
        assert await reader.read(100) == f"{stays} still".encode()
        writer.close()

        async def drained() -> bool:
            return (await lab.envoy.open_requests(g.arn)).get((stays, 8080), 0) == 0

        await eventually(drained)
        for server in servers:
            server.close()

    in_lab(tmp_path, body)


def test_what_is_counted(tmp_path: Path) -> None:
    """Requests, answers by class, response times and what the load balancer answered itself, against what was sent."""

    async def body(lab: Lab) -> None:
        await lab.serve(ONE)
        web, here = lab.web, group("web")
        web.groups.append(here)
        web.targets.append(target(here, ONE))
        web.listen(80, forward(here))
        await lab.apply()
        await lab.reports.wait(ONE, "healthy")
        for _ in range(30):
            assert (await lab.get("/")).startswith("200")
        lab.servers[ONE].health = 404
        for _ in range(10):
            assert (await lab.get("/health-of-mine")).startswith("404")
        lab.servers[ONE].health = 200
        key = (web.record.arn, here.arn)

        async def are_counted() -> bool:
            # Response times come with Envoy's next flush.
            return sum((await lab.envoy.counts())[key].times_ms.values()) > 0

        await eventually(are_counted, timeout_s=20)
        counts = (await lab.envoy.counts())[key]
        assert (counts.requests, counts.no_target) == (40, 0)
        assert dict(counts.responses) == {2: 30, 3: 0, 4: 10, 5: 0}
        assert counts.bytes > 40 * 100
        web.targets[:] = [replace(web.targets[0], deregistered_at=AT)]
        await lab.apply()

        async def is_refused() -> bool:
            return (await lab.get("/")).startswith("503")

        await eventually(is_refused)
        after = (await lab.envoy.counts())[key]
        assert after.no_target >= 1
        assert after.responses[5] == 0

    in_lab(tmp_path, body)


def test_hits_outlast_the_listener_that_counted(tmp_path: Path) -> None:
    """Requests of before a change of the load balancer's attributes count on, of whatever rule, once Envoy has given
    up the listener that had them."""

    async def body(lab: Lab) -> None:
        web = lab.web
        rule = web.rule(web.listen(80, fixed(200)), 1, fixed(201), paths("/a"))
        await lab.apply()
        for _ in range(3):
            assert (await lab.get("/a")).startswith("201")
        web.attributes |= {"connection_logs.s3.enabled": "true", "connection_logs.s3.bucket": "kept"}
        await lab.apply()

        async def is_forgotten() -> bool:
            return not any(each.kind == "hits" for each in await Admin(admin_socket(lab.settings)).ended())

        await eventually(is_forgotten, timeout_s=60)
        assert (await lab.envoy.hits())[rule.arn] == 3
        assert (await lab.get("/a")).startswith("201")

        async def goes_on() -> bool:
            return (await lab.envoy.hits())[rule.arn] == 4

        await eventually(goes_on)

    in_lab(tmp_path, body)
