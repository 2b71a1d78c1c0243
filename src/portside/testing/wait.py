"""Waiting for a fact, with a bound: what tests and benchmarks do instead of sleeping."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, timeout_s: float, pause_s: float = 0.02, what: str = "condition") -> T:
    """The first true answer of `condition`. Raises TimeoutError."""
    until = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {timeout_s} s; the last answer was {answer!r}")
        time.sleep(pause_s)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def http_get(url: str, *, timeout_s: float = 5) -> bytes:
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return bytes(answer.read())


def answers(url: str) -> bool:
    try:
        http_get(url, timeout_s=2)
    except OSError:
        return False
    return True


def end(process: subprocess.Popen[Any], *, timeout_s: float = 20) -> None:
    """Terminate a process that we started; kill it if it does not go."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
