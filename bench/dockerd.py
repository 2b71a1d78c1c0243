"""A Docker daemon of the benchmark's own (Debian's docker.io), with the same image, removed at the end."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import run
from portside.testing.wait import end, wait_for

IMAGE = "portside-bench:1"


class DockerMissing(Exception):
    """No docker.io on this machine: the comparison is left out and says so."""


class Docker:
    def __init__(self, host: str) -> None:
        self.host = host
        self.pid = 0

    def __call__(self, *arguments: str, check: bool = True) -> str:
        return run("/usr/bin/docker", "-H", self.host, *arguments, check=check)


NAMESPACE = "portside-bench-docker"
"""The daemon has a network namespace of its own: it changes the firewall and the forwarding of the one it runs in."""
BRIDGE = "pbench0"


@contextlib.contextmanager
def docker() -> Iterator[Docker]:
    """A running daemon with the benchmark's image loaded. Raises DockerMissing."""
    if not Path("/usr/sbin/dockerd").exists() or not Path("/usr/bin/docker").exists():
        raise DockerMissing("install docker.io to compare with Docker")
    with tempfile.TemporaryDirectory(prefix="portside-bench-docker-") as folder, _namespace() as enter:
        host = f"unix://{folder}/docker.sock"
        command_line = [*enter, "/usr/sbin/dockerd", "-H", host, "--data-root", f"{folder}/data"]
        command_line += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid", "--bridge", BRIDGE]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command_line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        command = Docker(host)
        command.pid = process.pid
        try:
            wait_for(lambda: _up(command, process), timeout_s=60, pause_s=0.2, what="dockerd")
            _import(command, folder)
            yield command
        finally:
            for name in command("ps", "-aq", check=False).split():
                command("rm", "-f", name, check=False)
            end(process, timeout_s=60)


@contextlib.contextmanager
def _namespace() -> Iterator[list[str]]:
    """A namespace with the bridge that the containers hang on; yields the words that run a command in it."""
    run("ip", "netns", "add", NAMESPACE)
    enter = ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
    try:
        run(*enter, "ip", "link", "set", "lo", "up")
        run(*enter, "ip", "link", "add", BRIDGE, "type", "bridge")
        run(*enter, "ip", "addr", "add", "10.231.0.1/16", "dev", BRIDGE)
        run(*enter, "ip", "link", "set", BRIDGE, "up")
        yield enter
    finally:
        run("ip", "netns", "del", NAMESPACE, check=False)


def _up(command: Docker, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError("dockerd ended at its start")
    return bool(command("version", "--format", "{{.Server.Version}}", check=False).strip())


def _import(command: Docker, folder: str) -> None:
    root = Path(folder, "root")
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in run("/bin/busybox", "--list").split():
        if applet != "busybox":
            os.symlink("busybox", root / "bin" / applet)
    archive = f"{folder}/image.tar"
    run("tar", "-C", str(root), "-cf", archive, ".")
    command("import", archive, IMAGE)
