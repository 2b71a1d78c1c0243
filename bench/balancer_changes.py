"""What changes cost requests: targets changed five times a second and a rule once a second under wrk and, where it is
installed (Debian: nghttp2-client), h2load; and Envoy killed.

All in a namespace of its own, with servers beside the load balancer.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from portside.domain.record import replace
from portside.testing.balancer_lab import AT, LEG, fixed, forward, group, paths, target
from portside.testing.envoy_lab import ONE, TWO, Lab, in_lab
from portside.testing.netns_lab import envoys

PERIOD_S = 0.2


def bench(quick: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"

        async def body(lab: Lab) -> None:
            result["changes"] = await _changes(lab, 3 if quick else 60)
            result["killed"] = await _killed(lab, data_dir, 1 if quick else 10)

        in_lab(Path(folder), body)
    return result


async def _changes(lab: Lab, seconds: int) -> dict[str, Any]:
    g = group("g")
    both = [target(g, ONE), target(g, TWO)]
    lab.web.groups, lab.web.targets = [g], list(both)
    listener = lab.web.listen(80, forward(g))
    await lab.serve(ONE, TWO)
    await lab.apply()
    for address in (ONE, TWO):
        await lab.reports.wait(address, "healthy")
    both = [replace(each, checked="healthy") for each in both]
    asking = [
        await asyncio.create_subprocess_exec(
            "nsenter", f"--net={lab.netns.path}", *command, f"http://{LEG}/", stdout=asyncio.subprocess.PIPE
        )
        for command in (
            ("wrk", "-t1", "-c32", f"-d{seconds}s", "--latency"),
            ("h2load", "-t1", "-c4", "-m8", f"-D{seconds}"),
        )
        if shutil.which(command[0])
    ]
    took: list[float] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        number = len(took)
        staying, leaving = both[number % 2], both[1 - number % 2]
        lab.web.targets = both if number % 3 == 2 else [staying, replace(leaving, deregistered_at=AT)]
        if number % 5 == 4:
            lab.web.rules = []
            lab.web.rule(listener, 1 + number % 50, fixed(404), paths(f"/rule-{number}"))
        at = time.monotonic()
        await lab.apply()
        took.append(time.monotonic() - at)
        await asyncio.sleep(max(0.0, began + PERIOD_S * len(took) - time.monotonic()))
    said = "\n".join([(await each.communicate())[0].decode() for each in asking])
    answered = [r"(\d+) requests in", r"requests: \d+ total, \d+ started, (\d+) done"]
    unwanted = [
        r"Non-2xx or 3xx responses: (\d+)",
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)",
        r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx",
        r"(\d+) errored, (\d+) timeout",
    ]
    return {
        "changes_per_s": len(took) / seconds,
        "apply_ms": statistics.median(took) * 1000,
        "requests": _sum(answered, said),
        "failed": _sum(unwanted, said),
    }


def _sum(patterns: list[str], text: str) -> int:
    return sum(int(each) for pattern in patterns for found in re.finditer(pattern, text) for each in found.groups())


async def _killed(lab: Lab, data_dir: Path, rounds: int) -> dict[str, float]:
    lab.web.rules = []
    lab.web.rule(lab.web.listeners[0], 1, fixed(200, "here"), paths("/here"))
    await lab.apply()
    took: list[float] = []
    for _ in range(rounds):
        (pid,) = envoys(data_dir)
        os.kill(pid, signal.SIGKILL)
        at = time.monotonic()
        while True:
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                if (await lab.ask("/here")).body == "here":
                    break
            await asyncio.sleep(0.005)
        took.append(time.monotonic() - at)
        # its supervisor waits longer for one that keeps ending
        await asyncio.sleep(11 if rounds > 1 else 0)
    return {"back_s": statistics.median(took), "back_s_max": max(took)}
