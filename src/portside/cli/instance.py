"""Finding, starting and stopping the daemon of one data folder.

A running daemon leaves a note, `run_dir/daemon.json` (pid, host, port, version). A note outlives a crash, and its pid
may since belong to another process: so a note counts only if that process is a Portside that began before the note
was written. Two instances with different data folders do not see each other.
"""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portside import credential, folder
from portside.cli.failure import Failure
from portside.credential import AccessKey
from portside.domain import pace
from portside.settings import DEFAULT_REGION, Settings, parse_mirrors, server_address

DAEMON_MODULE = "portside.main"
CHANGE_TIMEOUT_S = 90.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_KEPT_BYTES = 20 * 1024 * 1024
"""A log longer than this is set aside as `portside.log.1` when the daemon starts."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A daemon that runs. `url`: where its API answers, reachable from this machine."""

    pid: int
    host: str
    port: int
    version: str

    @property
    def url(self) -> str:
        return endpoint(self.host, self.port)


def endpoint(host: str, port: int) -> str:
    """The API's address as a client on this machine uses it: a wildcard address is reached by loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{port}"


def settings_of(given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings as the daemon itself would see them: the command line over PORTSIDE_* over the defaults.

    Args: given: options by name of the setting; None means not given.
    Raises: Failure for a value that can not be read.
    """
    known: dict[str, Any] = {}
    for name, parse in PARSERS.items():
        text = given.get(name)
        if text is None:
            text = environment.get(f"PORTSIDE_{name.upper()}")
            if text == "" and name != "hosts_file":  # which is nowhere then
                continue
        if text is None:
            continue
        try:
            known[name] = parse(text)
        except ValueError as error:
            raise Failure(
                f"{text!r} is no value for {name}: {error}", f"See PORTSIDE_{name.upper()} and --help."
            ) from None
    return Settings(**known)


def _port(text: str | int) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(text)
    return port


def _truth(text: str | bool) -> bool:
    return text if isinstance(text, bool) else text.lower() in ("1", "true", "yes")


def _durability(text: str) -> str:
    if text not in ("normal", "full"):
        raise ValueError(text)
    return text


PARSERS: dict[str, Callable[[Any], Any]] = {
    "data_dir": lambda text: Path(text).expanduser().absolute(),
    "host": str,
    "port": _port,
    "egress": str,
    "auth": _truth,
    "task_endpoint": _truth,
    "strict_pulls": _truth,
    "pace": lambda text: pace.parse(str(text)),
    "other_containers": _truth,
    "ebs_rates": _truth,
    "account": str,
    "region": str,
    "hosts_file": lambda text: Path(text) if text else None,
    "envoy_path": lambda text: Path(text).expanduser().absolute(),
    "durability": _durability,
    "s3_endpoint": lambda text: server_address(text) if text else "",
    "otlp_endpoint": lambda text: server_address(text) if text else "",
    "mirrors": lambda given: parse_mirrors(given if isinstance(given, str) else " ".join(given)),
}


def note_path(settings: Settings) -> Path:
    return settings.run_dir / "daemon.json"


def log_path(settings: Settings) -> Path:
    """Where a detached daemon writes its log."""
    return settings.data_dir / "portside.log"


def find(settings: Settings) -> Instance | None:
    """The daemon of this data folder, or None. A stale note is recognised, and left alone."""
    path = note_path(settings)
    try:
        note = json.loads(path.read_bytes())
        written_at_s = path.stat().st_mtime
        instance = Instance(
            pid=int(note["pid"]), host=str(note["host"]), port=int(note["port"]), version=str(note["version"])
        )
    except PermissionError as error:
        raise Failure(f"{path} can not be read: {error.strerror}", "Run this as root.") from error
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return instance if is_daemon(instance.pid, written_at_s) else None


def is_daemon(pid: int, before_s: float, proc: Path = Path("/proc")) -> bool:
    """Whether this pid is a Portside that began before the given time (seconds since the epoch).

    Source: proc(5): field 22 of /proc/PID/stat is the start in clock ticks since boot.
    """
    try:
        command = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        stat = (proc / str(pid) / "stat").read_text()
        booted_at_s = next(
            int(line.split()[1]) for line in (proc / "stat").read_text().splitlines() if line.startswith("btime ")
        )
    except (OSError, StopIteration, ValueError):
        return False
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":
        return False
    started_at_s = booted_at_s + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # btime is whole seconds, and the clock may have been set meanwhile: a little play.
    return DAEMON_MODULE.encode() in command and started_at_s <= before_s + 2


def require(settings: Settings) -> Instance:
    """Raises: Failure when nothing runs."""
    instance = find(settings)
    if instance is None:
        raise Failure(
            f"Portside does not run with the data in {settings.data_dir}",
            "Start it: portside up --detach",
            "Another data folder is named by --data-dir or PORTSIDE_DATA_DIR.",
        )
    return instance


def fetch(
    url: str,
    path: str,
    *,
    key: AccessKey | None = None,
    method: str = "GET",
    body: bytes | None = None,
    timeout_s: float = 5.0,
) -> Any:
    """The JSON that the daemon answers to a request, signed if there is a key. Raises: OSError, ValueError."""
    headers = {} if key is None else _signed(method, url + path, key, body)
    request = urllib.request.Request(url + path, data=body, headers=headers, method=method)
    with _opener.open(request, timeout=timeout_s) as answer:
        return json.loads(answer.read())


def ask(
    settings: Settings, path: str, *hints: str, method: str = "GET", body: bytes | None = None
) -> tuple[Instance, Any]:
    """The daemon of the data folder, and what it answers to a request.

    Args: hints: what to do, where the answer is a refusal.
    Raises: Failure when it does not run, does not answer, or refuses."""
    running = require(settings)
    try:
        return running, fetch(
            running.url,
            path,
            key=credential.read(settings.data_dir),
            method=method,
            body=body,
            timeout_s=5.0 if method == "GET" else CHANGE_TIMEOUT_S,
        )
    except urllib.error.HTTPError as error:
        try:
            message = str(json.loads(error.read())["error"])
        except (ValueError, KeyError, TypeError):
            raise Failure(f"Portside answered with {error.code} {error.reason}", "See: portside logs") from error
        raise Failure(message, *hints) from error
    except (OSError, ValueError) as error:
        raise Failure(
            f"Portside (pid {running.pid}) does not answer at {running.url}: {error}", "See: portside logs"
        ) from error


def _signed(method: str, url: str, key: AccessKey, body: bytes | None) -> dict[str, str]:
    from botocore.auth import SigV4Auth  # 0.1 s, and hardly ever needed
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, url, data=body)
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "portside", DEFAULT_REGION).add_auth(request)
    return dict(request.headers.items())


# Whatever proxy the environment names, the daemon is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def health(url: str) -> dict[str, Any] | None:
    """The daemon's own word on how it is, or None if nothing of ours answers there."""
    try:
        answer = fetch(url, "/_portside/health", timeout_s=2.0)
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) and "status" in answer else None


def arguments(settings: Settings) -> list[str]:
    """The daemon's command line."""
    given = [sys.executable, "-m", DAEMON_MODULE, "--data-dir", str(settings.data_dir), "--host", settings.host]
    given += ["--port", str(settings.port), "--egress", settings.egress]
    given += ["--account", settings.account, "--region", settings.region]
    given += ["--hosts-file", str(settings.hosts_file or ""), "--durability", settings.durability]
    if settings.s3_endpoint:
        given += ["--s3-endpoint", settings.s3_endpoint]
    if settings.otlp_endpoint:
        given += ["--otlp-endpoint", settings.otlp_endpoint]
    if settings.envoy_path:
        given += ["--envoy-path", str(settings.envoy_path)]
    if settings.mirrors:
        given += ["--mirrors", ",".join(f"{registry}={place}" for registry, place in settings.mirrors)]
    if settings.pace != 1:
        given += ["--pace", f"{settings.pace:g}"]
    for name in ("auth", "task_endpoint", "strict_pulls", "other_containers", "ebs_rates"):
        if getattr(settings, name):
            given.append(f"--{name.replace('_', '-')}")
    return given


def unlike(running: Instance, settings: Settings) -> list[str]:
    """The options that a daemon would have by these settings, and that the running one has not. Empty where that can
    not be told."""
    line = _command_line(running)
    if not line:
        return []
    has, wanted = _options(line), _options(arguments(settings))
    return [" ".join(filter(None, each)) for each in sorted(wanted.items()) if has.get(each[0]) != each[1]]


def envoy_path(settings: Settings) -> Path | None:
    """Which Envoy the running daemon was told to use; None if there is no daemon, or it was told none."""
    running = find(settings)
    named = _options(_command_line(running)).get("--envoy-path") if running is not None else None
    return Path(named) if named else None


def _command_line(running: Instance) -> list[str]:
    """Empty where it can not be told."""
    try:
        return Path(f"/proc/{running.pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def _options(line: Sequence[str]) -> dict[str, str]:
    """By name; those without a value have an empty one."""
    found: dict[str, str] = {}
    for word, after in zip(line, [*line[1:], ""], strict=True):
        if word.startswith("--"):
            found[word] = "" if after.startswith("--") else after
    return found


def start(settings: Settings, *, waiting: Callable[[], None] = lambda: None) -> Instance:
    """Start the daemon in the background and wait until it is ready. One that is just being started by somebody else
    is waited for in its place.

    Effects: a process in a session of its own, its output in `log_path`.
    Raises: Failure with the daemon's last words if it dies, or the log's end if it is not ready in time.
    """
    if os.geteuid() != 0:
        raise Failure("running containers and networks needs root", "Run: sudo portside up --detach")
    log = log_path(settings)
    try:
        folder.make(settings.data_dir)
        if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        output = log.open("ab")
    except OSError as error:
        raise Failure(
            f"{settings.data_dir} can not be written: {folder.told(settings.data_dir, error)}",
            "Name another --data-dir.",
        ) from error
    with output:
        began = output.tell()
        process = subprocess.Popen(
            arguments(settings), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
    url, deadline = endpoint(settings.host, settings.port), time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            other = _await_other(settings, deadline, waiting)
            if other is not None:
                return other
            raise Failure(f"Portside ended at once, with code {code}", *last_lines(log, began), f"The whole log: {log}")
        answer = health(url)
        if answer and answer.get("pid") == process.pid and answer["status"] == "ok":
            return Instance(
                pid=process.pid, host=settings.host, port=settings.port, version=str(answer.get("version", ""))
            )
        waiting()
        time.sleep(0.01)
    raise Failure(
        f"Portside (pid {process.pid}) is not ready after {START_TIMEOUT_S:.0f} s",
        *last_lines(log, began),
        f"It is left running; the whole log: {log}",
    )


def _await_other(settings: Settings, deadline: float, waiting: Callable[[], None]) -> Instance | None:
    """The daemon that holds the data folder's lock, once it is ready; None if there is none. It writes its note some
    time after taking the lock, so until then only the lock tells that it is there."""
    while time.monotonic() < deadline and locked(settings):
        other = find(settings)
        answer = health(other.url) if other else None
        if other and answer and answer.get("pid") == other.pid and answer["status"] == "ok":
            return other
        waiting()
        time.sleep(0.05)
    return None


def locked(settings: Settings) -> bool:
    """Whether a daemon holds the data folder. To be asked only when one was refused for it: the lock is tried."""
    try:
        with (settings.data_dir / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def last_lines(log: Path, began: int = 0, count: int = 8) -> list[str]:
    """The end of a log, of what was written after the given offset in bytes."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(began, file.tell() - 16384))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def stop(instance: Instance) -> None:
    """End the daemon: SIGTERM, then SIGKILL when it does not end in time. Its containers run on.

    Raises: Failure if this user may not.
    """
    try:
        handle = os.pidfd_open(instance.pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
                return
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Failure(f"Portside (pid {instance.pid}) belongs to another user", "Run this as root.") from error
    finally:
        os.close(handle)
    raise Failure(f"Portside (pid {instance.pid}) does not end", "See: portside logs")
