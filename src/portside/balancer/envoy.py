"""The load balancers' data plane: one Envoy per instance, driven by xDS files.

Order of a change: endpoints, clusters, (warm), routes, listeners; removal in reverse; each step confirmed through
the admin socket before the next. What Envoy refuses is put back on disk, so that it can always restart from the last
good files.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from portside.balancer import checker, hosts, process
from portside.balancer.access_log import AccessLog
from portside.balancer.address import is_free
from portside.balancer.admin import Admin, AdminUnavailable, Subscription
from portside.balancer.health import CheckedGroup, HealthTracker, HostKey, LogTail, parse
from portside.balancer.hit import Ended, by_rule, default_name, failed_connections
from portside.balancer.interface import BalancerConfig, BalancerRefused, HealthListener, HealthReport
from portside.balancer.log_folder import LogFolder
from portside.balancer.namespace import end_connections, open_connections, reserve_ports
from portside.balancer.place import seen_of
from portside.balancer.process import DRAIN_S, EnvoyMissing, EnvoyProcess, descriptor_limit, find_binary, validate
from portside.balancer.tally import Tally
from portside.balancer.xds import (
    Options,
    Resource,
    Resources,
    bootstrap,
    cluster_name,
    endpoint_file,
    fronts,
    render,
    route_file,
    route_name,
    secret_file,
    shared_name,
    zone_name,
)
from portside.domain import access_log
from portside.domain.access_log import LogKind
from portside.domain.complaint import Complaint
from portside.domain.flow import FlowCounts
from portside.domain.load_balancer import LoadBalancer
from portside.domain.load_balancer_metric import GroupCounts, ListenerCounts, Seen
from portside.domain.load_balancer_rule import suffix, used_groups
from portside.node.s3 import endpoint_of
from portside.settings import Settings

log = logging.getLogger(__name__)

READY_TIMEOUT_S: Final = 60.0
CONFIRM_TIMEOUT_S: Final = 10.0
TAIL_INTERVAL_S: Final = 0.1
ACCESS_INTERVAL_S: Final = 5.0
"""How often it is looked whether an access log's interval has ended."""
REOPEN_TIMEOUT_S: Final = 10.0
BUCKETS_INTERVAL_S: Final = 60.0
"""How often it is tried again to deliver what an S3 did not take."""
WATCH_INTERVAL_S: Final = 2.0
"""How often Envoy is asked whether it answers."""
LOG_LIMIT_BYTES: Final = 8 << 20
WATCHES_SPARE: Final = 64
INOTIFY_WANTED: Final = 8192
_KINDS: Final = {"cds.json": ".v3.Cluster", "lds.json": ".v3.Listener"}
_UNDONE: Final = "No change of a load balancer is carried out"
_LISTENER_REFUSED: Final = re.compile(r"lds: listener '([^']+)' config rejected: ([^/]*(?:/[^ /][^/]*)*)")
INOTIFY_LIMIT: Final = Path("/proc/sys/fs/inotify/max_user_instances")


def max_connections() -> int:
    """Of clients, with all load balancers: each leads to one more, to a target."""
    return max(1024, descriptor_limit() // 2 - 512)


class EnvoyBalancer:
    """Fulfils `balancer.interface.Balancer`.

    Effects: files in `data_dir/envoy` and `run_dir`, a process, a block of the hosts file, claims of host addresses.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.data_dir / "envoy"
        self._run_dir = settings.run_dir
        self._log_file = self._directory / "envoy.log"
        self._options = Options(directory=self._directory, health_log=self._directory / "health.log")
        self._socket = process.admin_socket(settings)
        self._admin = Admin(self._socket)
        self._process: EnvoyProcess | None = None
        self._addresses = process.host_addresses(settings)
        self._tracker = HealthTracker()
        self._tail = LogTail(self._options.health_log, self._read_health)
        self._listener: HealthListener = lambda report: None
        self._catching_up = True
        self._configured: tuple[BalancerConfig, ...] | None = None
        self._hidden: dict[str, list[tuple[str, int]]] = {}
        self._written: dict[str, str] = {}
        self._reserved: dict[str, tuple[int, ...]] = {}
        self._skipped: set[tuple[str, int]] = set()
        self._applying = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._problem, self._undone, self._full, self._why_not = "", "", "", ""
        # by ARN and kind, with the start of the log's interval
        self._logged: dict[tuple[str, LogKind], tuple[LoadBalancer, datetime]] = {}
        self._buckets = LogFolder(settings.data_dir / "access-logs", endpoint_of(settings))
        self._delivered, self._keeping = asyncio.Event(), asyncio.Lock()
        self._tally, self._tallying = Tally(), asyncio.Lock()

    @property
    def problem(self) -> str:
        """What a person should know: Envoy does not run, does not answer, has not taken the last change, or takes no
        more connections. Empty if all is well."""
        return self._problem or self._undone or self._full

    @property
    def taken(self) -> list[tuple[str, int]]:
        """Places on the host that listeners are to have and something else has."""
        return sorted(self._skipped)

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self, listener: HealthListener) -> None:
        """Raises: EnvoyMissing; BalancerRefused if Envoy does not come up, with its words."""
        self._listener = listener
        try:
            await self._adopt_or_launch()
        except (EnvoyMissing, BalancerRefused, OSError) as error:
            self._problem = f"Envoy does not start, so no load balancer works: {error}"
            raise
        self._problem = ""
        self._own("envoy supervision", self._supervise())
        self._own("envoy health events", self._follow_health())
        self._own("envoy watch", self._watch())
        self._own("access logs", self._follow_access())
        self._own("buckets", self._keep_buckets())

    async def _adopt_or_launch(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._process = EnvoyProcess(find_binary(self._settings.envoy_path), self._settings, self._log_file)
        if self._process.adopt() and await self._admin.ready():
            log.info("adopted the running Envoy, process %d", self._process.pid)
            if self._tail.lost or not self._options.health_log.exists():
                await self._admin.reopen_logs()
            if self._process.made_of not in ("", self._made_of()):
                await self._renew()
        else:
            await self._process.kill()
            await self._launch()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            self._process.release()
            self._process = None

    async def stop(self) -> None:
        await self.close()
        await asyncio.to_thread(process.stop, self._settings)

    def claim_host_address(self, balancer: str, zone: str, preferred: str = "") -> str:
        return self._addresses.claim(balancer, zone, preferred)

    def release_host_addresses(self, balancer: str) -> None:
        self._addresses.release(balancer)

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _launch(self) -> None:
        """Start Envoy from the files on disk and wait until it answers."""
        assert self._process is not None
        self._ensure_watches(len(list(self._directory.glob("?ds-*.json"))))
        for name in ("cds", "lds"):
            if not (self._directory / f"{name}.json").exists():
                self._write(f"{name}.json", _document([]))
        self._write_bootstrap()
        self._cap_log()
        await self._begin(self._process.start)
        log.info("Envoy runs, process %d", self._process.pid)

    def _write_bootstrap(self) -> None:
        """Only where it is another: an Envoy that ends on a full disk comes back."""
        text = self._bootstrap()
        try:
            if (self._directory / "bootstrap.json").read_text(errors="replace") == text:
                return
        except FileNotFoundError:
            pass
        self._write("bootstrap.json", text)

    def _bootstrap(self) -> str:
        return json.dumps(bootstrap(self._options, self._socket, max_connections=max_connections()))

    def _arguments(self) -> list[str]:
        return [
            "--config-path",
            str(self._directory / "bootstrap.json"),
            "--concurrency",
            "2",
            "--log-level",
            "warning",
            "--drain-time-s",
            str(DRAIN_S),
            "--drain-strategy",
            "immediate",
            # health events reach their file within this time (the default is 10 s)
            "--file-flush-interval-msec",
            "100",
        ]

    def _made_of(self) -> str:
        """Changes when another program would run, or the same one otherwise. Raises: OSError."""
        assert self._process is not None
        program = self._process.binary.stat()
        parts = [str(self._process.binary), program.st_size, program.st_mtime_ns, self._arguments(), self._bootstrap()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    async def _renew(self) -> None:
        """The Envoy of now follows the one that was adopted: it takes over the sockets, and the other one finishes what
        is under way. One that would not start is not tried, and the other goes on.

        Raises: BalancerRefused: it failed all the same, and the other one is gone, too."""
        assert self._process is not None
        self._write_bootstrap()
        if words := await validate(self._process.binary, self._directory / "bootstrap.json"):
            log.error("Envoy is not renewed, %s would not start: %s", self._process.binary, words)
            return
        followed = self._process.pid
        try:
            await self._begin(self._process.follow)
        except BalancerRefused as error:
            log.error("Envoy could not be renewed: %s", error)
            await self._process.kill()
            await self._launch()
            return
        log.info("Envoy runs anew, process %d; process %d finishes what is under way", self._process.pid, followed)

    async def _begin(self, start: Callable[[Sequence[str], str], None]) -> None:
        """Start a process from the files on disk and wait until it answers.

        Raises: BalancerRefused: it ended, or took too long."""
        assert self._process is not None
        said = self._log_size()
        self._tracker.forget()
        start(self._arguments(), self._made_of())
        ended = asyncio.get_running_loop().create_task(self._process.ended(), name="envoy start")
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while await self._admin.live_epoch() != self._process.epoch:
                    if ended.done():
                        raise BalancerRefused(f"Envoy did not start: {self._words_since(said)}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise BalancerRefused(
                f"Envoy did not answer within {READY_TIMEOUT_S:.0f} s: {self._words_since(said)}"
            ) from None
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        self._tally.begin_anew()

    async def _supervise(self) -> None:
        """Start Envoy again whenever it ends. The files hold the last good configuration."""
        pause_s, ends, failures = 0.0, Complaint(), Complaint()
        while True:
            assert self._process is not None
            began = asyncio.get_running_loop().time()
            await self._process.ended()
            lived_s = asyncio.get_running_loop().time() - began
            pause_s = 0.0 if lived_s > 10 else min(5.0, pause_s * 2 or 0.1)
            if lived_s > 10:
                ends.end()
            if ends.is_due("", time.monotonic()):
                log.warning("Envoy (process %d) ended; starting it again", self._process.pid)
            await asyncio.sleep(pause_s)
            try:
                await self._launch()
                async with self._applying:
                    if self._configured is not None:
                        # A listener may have been refused at the start for a passing cause (a namespace made anew).
                        await self._apply(self._configured)
                failures.end()
                self._why_not = ""
            except (BalancerRefused, EnvoyMissing, OSError) as error:
                self._why_not = f": {error}"
                if failures.is_due(str(error), time.monotonic()):
                    log.error("Envoy was started again, but: %s", error)
            except Exception:
                log.exception("Envoy was started again, but its supervisor failed")

    async def _watch(self) -> None:
        """Notice an Envoy that runs and does not answer. It is left alone: its workers may still serve requests."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if await self._admin.ready():
                if self._problem:
                    log.info("Envoy answers again")
                self._problem = ""
                await self._look_for_room()
                if any(is_free(*place) for place in self._skipped):
                    await self._take_what_is_free()
                continue
            assert self._process is not None
            state = process.state(self._process.pid)
            if state is None:
                said = f"Envoy does not run{self._why_not}"
            elif state == "T":
                said = f"Envoy (process {self._process.pid}) is stopped: kill -CONT {self._process.pid}"
            else:
                said = (
                    f"Envoy (process {self._process.pid}) does not answer: no change of a load balancer is carried out."
                    f" If requests hang, too: kill -9 {self._process.pid}, it is started again at once"
                )
            if said != self._problem:
                log.error("%s", said)
                self._problem = said

    async def _look_for_room(self) -> None:
        limit = max_connections()
        try:
            is_full = await self._admin.connections() >= limit
        except AdminUnavailable:
            return
        said = f"Clients hold {limit} connections to load balancers, the most there may be, and others are refused"
        if is_full and not self._full:
            log.warning("%s", said)
        mend = "see who does (`ss -tn`), or raise the limit of open files (`ulimit -n`) and start Portside anew"
        self._full = f"{said}: {mend}" if is_full else ""

    async def _take_what_is_free(self) -> None:
        try:
            async with self._applying:
                await self._apply(self._configured or ())
        except (BalancerRefused, OSError) as error:
            log.warning("what listeners were to have on the host is free, and not theirs: %s", error)
        except Exception:
            log.exception("can not take what is free on the host")

    # --- configuration ----------------------------------------------------------------------------------------------

    async def apply(self, configs: Sequence[BalancerConfig]) -> None:
        async with self._applying:
            await self._apply(configs)

    async def _apply(self, configs: Sequence[BalancerConfig]) -> None:
        try:
            await self._carry_out(configs)
        except BalancerRefused as refusal:
            # those that are named have it in their state
            self._undone = "" if refusal.load_balancers else f"{_UNDONE}: {refusal}"
            raise
        except OSError as error:
            self._undone = f"{_UNDONE}: {error}"
            raise BalancerRefused(str(error)) from error
        except Exception as error:
            self._undone = f"{_UNDONE}: {error!r}"
            raise
        self._undone = ""

    async def _carry_out(self, configs: Sequence[BalancerConfig]) -> None:
        resources = render(configs, self._options)
        self._ensure_watches(len(resources.clusters) + len(resources.routes) + len(resources.secrets))
        await self._reserve_ports(configs)
        for attempt in (1, 2, 3):
            try:
                refused = await self._deliver(resources)
                break
            except AdminUnavailable as error:
                # Envoy died under our hands: its supervisor brings it back.
                if attempt == 3:
                    raise BalancerRefused(f"Envoy does not answer: {error}") from error
                await self._until_ready()
        self._configured = tuple(configs)
        self._write_hosts_file(configs)
        self._follow(configs, resources)
        concerned = frozenset(
            config.load_balancer.arn
            for config in configs
            for listener in config.listeners
            if checker.listener_name(config.load_balancer.arn) in refused
            or any(f"{name}_legs" in refused for name, _, _ in fronts(config, listener))
        )
        if concerned:
            raise BalancerRefused(" / ".join(sorted(set(refused.values()))), concerned)

    async def _deliver(self, resources: Resources) -> dict[str, str]:
        """Returns: the listeners that Envoy did not take, each with Envoy's words. Everything else was taken."""
        before = await self._admin.subscriptions()
        listeners = await self._possible_listeners(resources)
        old_clusters = self._resources_on_disk("cds.json")
        old_listeners = self._resources_on_disk("lds.json")
        clusters = {name: _warming(resource, old_clusters.get(name)) for name, resource in resources.clusters.items()}
        for name, resource in clusters.items():
            if name in old_clusters and old_clusters[name] != resource:
                self._tracker.forget(name)

        endpoints = {
            f"eds.{name}": (endpoint_file(name), _document([resource]))
            for name, resource in resources.endpoints.items()
        }
        checks = {
            name: each
            for name, each in listeners.items()
            if checker.is_listener(name) and old_listeners.get(name) != each
        }
        if checks:  # before anything is checked by them
            await self._take_listeners({**old_listeners, **checks}, old_listeners)
            old_listeners = self._resources_on_disk("lds.json")
        await self._take(endpoints, before, wait_for={f"eds.{name}" for name in old_clusters})
        grown = {**{name: old for name, old in old_clusters.items() if name not in clusters}, **clusters}
        await self._take({"cds": ("cds.json", _document(list(grown.values())))}, before)
        await self._confirm({name: _version(text) for name, (_, text) in endpoints.items()}, before)

        known = _routes_of(old_listeners.values())
        served = _routes_of(listeners.values())
        routes = {
            f"rds.{name}": (route_file(name), _document([resource]))
            for name, resource in resources.routes.items()
            if name in served
        }
        await self._take(routes, before, wait_for={f"rds.{name}" for name in known})
        secrets = {
            f"sds.{name}": (secret_file(name), _document([resource])) for name, resource in resources.secrets.items()
        }
        await self._take(secrets, before, wait_for=set(before))
        refused = await self._take_listeners(listeners, old_listeners)
        served = _routes_of(listeners.values())
        await self._confirm(
            {name: _version(text) for name, (_, text) in routes.items() if name.removeprefix("rds.") in served}, before
        )

        await self._take({"cds": ("cds.json", _document(list(clusters.values())))}, before)
        self._sweep({file for file, _ in (*endpoints.values(), *routes.values(), *secrets.values())})
        return refused

    async def _take_listeners(self, listeners: dict[str, Resource], old: Mapping[str, Resource]) -> dict[str, str]:
        """One listener that can not be (its namespace is gone, its port taken) must not keep out the others: it
        stays as it was, or is left out of `listeners`.

        Returns: those, with Envoy's words."""
        refused: dict[str, str] = {}
        if any(listeners.get(name) != each for name, each in old.items()):
            with contextlib.suppress(BalancerRefused):
                await self._ended()
            self._own("counters of drained listeners", self._tally_drained())
        while True:
            before = await self._admin.subscriptions()
            try:
                await self._take({"lds": ("lds.json", _document(list(listeners.values())))}, before)
            except BalancerRefused as refusal:
                blamed = {name: why for name, why in _LISTENER_REFUSED.findall(str(refusal)) if name in listeners}
                if not blamed:
                    raise
                for name, why in blamed.items():
                    if name not in refused and name in old and old[name] != listeners[name]:
                        listeners[name] = old[name]
                    else:
                        del listeners[name]
                    if name not in refused:
                        log.warning("Envoy does not take %s: %s", name, why)
                    refused[name] = why
            else:
                return refused

    async def _possible_listeners(self, resources: Resources) -> dict[str, Resource]:
        """The listeners without those of the host whose ports something else has."""
        listeners = dict(resources.listeners)
        held = await self._admin.host_bindings() if resources.host_bindings else set()
        taken: set[tuple[str, int]] = set()
        for name, bindings in resources.host_bindings.items():
            for binding in bindings:
                if binding not in held and not is_free(*binding):
                    taken.add(binding)
                    listeners.pop(name, None)
        for address, port in sorted(taken - self._skipped):
            log.warning("%s:%d is taken by another program: load balancers are not reachable there", address, port)
        self._skipped = taken
        return listeners

    async def _take(
        self,
        files: Mapping[str, tuple[str, str]],
        before: Mapping[str, Subscription],
        *,
        wait_for: set[str] | None = None,
    ) -> None:
        """Write the files that Envoy does not have yet, and wait for it to take them (those in `wait_for`, if given:
        others are not subscribed to yet).

        Raises: BalancerRefused, with the files as they were."""
        previous: dict[str, str | None] = {}
        expected: dict[str, str] = {}
        said = self._log_size()
        for name, (file, text) in files.items():
            had = before.get(name)
            on_disk = self._on_disk(file)
            if on_disk == text and (had is None or had.version == _version(text)):
                continue
            previous[file] = on_disk
            self._write(file, text)
            if wait_for is None or name in wait_for:
                expected[name] = _version(text)
        try:
            await self._confirm(expected, before, said)
        except BalancerRefused:
            for file, text_before in previous.items():
                if text_before is not None:
                    self._write(file, text_before)
            raise

    async def _confirm(
        self, expected: Mapping[str, str], before: Mapping[str, Subscription], said: int | None = None
    ) -> None:
        """Wait until Envoy has taken these versions.

        Raises: BalancerRefused with Envoy's own words."""
        if not expected:
            return
        said = self._log_size() if said is None else said
        pause_s = 0.001
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                while True:
                    now = await self._admin.subscriptions()
                    missing = [name for name, version in expected.items() if _taken(now.get(name)) != version]
                    if not missing:
                        return
                    for name in missing:
                        if (entry := now.get(name)) and entry.refused > (before[name].refused if name in before else 0):
                            raise BalancerRefused(f"Envoy refused {name}: {self._words_since(said)}")
                    await asyncio.sleep(pause_s)
                    pause_s = min(0.05, pause_s * 2)
        except TimeoutError:
            raise BalancerRefused(
                f"Envoy did not take {', '.join(sorted(missing))} within {CONFIRM_TIMEOUT_S:.0f} s: "
                f"{self._words_since(said)}"
            ) from None

    async def _until_ready(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await self._admin.ready():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def _reserve_ports(self, configs: Sequence[BalancerConfig]) -> None:
        """Connections to targets must not take a listener's port as their own in the balancer's namespace."""
        served = {config.netns_path for config in configs}
        self._reserved = {path: ports for path, ports in self._reserved.items() if path in served}
        for config in configs:
            ports = tuple(sorted({listener.port for listener in config.listeners}))
            if not config.netns_path or self._reserved.get(config.netns_path) == ports:
                continue
            try:
                await asyncio.to_thread(reserve_ports, Path(config.netns_path), ports)
            except OSError as error:
                log.warning("%s: can not reserve the listeners' ports: %s", config.netns_path, error)
                continue
            self._reserved[config.netns_path] = ports

    def _ensure_watches(self, files: int) -> None:
        """Envoy takes an inotify instance per file and ends if it gets none; the usual limit is 128 for all of root."""
        limit = 128
        try:
            limit = int(INOTIFY_LIMIT.read_text())
            if limit < INOTIFY_WANTED:
                INOTIFY_LIMIT.write_text(str(INOTIFY_WANTED))
                limit = INOTIFY_WANTED
                log.info("raised %s to %d", INOTIFY_LIMIT, limit)
        except (OSError, ValueError) as error:
            log.warning("%s can not be raised: %s", INOTIFY_LIMIT, error)
        if files + WATCHES_SPARE > limit:
            raise BalancerRefused(f"{files} files to watch, but fs.inotify.max_user_instances is {limit}: raise it")

    def _write(self, file: str, text: str) -> None:
        temporary = self._directory / f".{file}.new"
        temporary.unlink(missing_ok=True)
        # some hold private keys
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
        temporary.replace(self._directory / file)
        self._written[file] = text

    def _on_disk(self, file: str) -> str | None:
        if file not in self._written:
            try:
                # what is no text was not written here, and is no document either
                self._written[file] = (self._directory / file).read_text(errors="replace")
            except FileNotFoundError:
                return None
        return self._written[file]

    def _resources_on_disk(self, file: str) -> dict[str, Resource]:
        """Of a file that something has spoilt, none."""
        try:
            resources = {each["name"]: each for each in json.loads(self._on_disk(file) or "{}")["resources"]}
            return {name: each for name, each in resources.items() if each["@type"].endswith(_KINDS[file])}
        except (ValueError, KeyError, TypeError):
            return {}

    def _sweep(self, needed: set[str]) -> None:
        for path in self._directory.glob("?ds-*.json"):
            if path.name not in needed:
                path.unlink(missing_ok=True)
                self._written.pop(path.name, None)

    def _write_hosts_file(self, configs: Sequence[BalancerConfig]) -> None:
        try:
            process.write_hosts(self._settings, hosts.lines(configs))
        except OSError as error:
            log.warning("%s: can not write the load balancers' names: %s", self._settings.hosts_file, error)

    # --- Envoy's log ------------------------------------------------------------------------------------------------

    def _log_size(self) -> int:
        try:
            return self._log_file.stat().st_size
        except FileNotFoundError:
            return 0

    def _words_since(self, offset: int) -> str:
        """What Envoy said since its log had that size, without prefixes."""
        try:
            with self._log_file.open("rb") as file:
                file.seek(offset)
                text = file.read(64 << 10).decode(errors="replace")
        except OSError:
            return "its log can not be read"
        lines = [line.rpartition("] ")[2] if line.startswith("[") else line for line in text.splitlines()]
        return " / ".join(line.strip() for line in lines if line.strip())[:2000] or f"see {self._log_file}"

    def _cap_log(self) -> None:
        if self._log_size() > LOG_LIMIT_BYTES:
            shutil.copyfile(self._log_file, self._log_file.with_suffix(".log.1"))
            os.truncate(self._log_file, 0)

    # --- health -----------------------------------------------------------------------------------------------------

    def _follow(self, configs: Sequence[BalancerConfig], resources: Resources) -> None:
        """Tell the tracker what is checked now, and report again what a re-registered target's record lost."""
        groups: dict[str, CheckedGroup] = {}
        checked: set[HostKey] = set()
        for name, endpoint in resources.endpoints.items():
            for locality in endpoint["endpoints"]:
                for entry in locality["lb_endpoints"]:
                    place = entry["endpoint"]["address"]["socket_address"]
                    checked.add((name, place["address"], place["port_value"]))
        self._hidden = {}
        again: list[HealthReport] = []
        for config in configs:
            used = used_groups(config.listeners, config.rules)
            for group in config.target_groups:
                if group.arn not in used:
                    continue
                name = cluster_name(config.load_balancer.arn, group.arn)
                has_codes = group.protocol_version == "GRPC" and checker.is_needed(config.load_balancer, group)
                groups[name] = CheckedGroup(
                    target_group_arn=group.arn,
                    unhealthy_threshold=group.health_check.unhealthy_threshold,
                    codes_from=checker.GRPC if has_codes else 0,
                )
                for target in config.targets:
                    if target.target_group_arn != group.arn:
                        continue
                    key = (name, target.id, target.port)
                    if key not in checked:
                        self._hidden.setdefault(name, []).append((target.id, target.port))
                    known = self._tracker.known(key)
                    if known is not None and target.checked == "unknown" and target.deregistered_at is None:
                        again.append(known)
        self._tracker.configure(groups, checked)
        for report in again:
            if not self._catching_up:
                self._listener(report)

    def _read_health(self, line: str) -> None:
        event = parse(line)
        report = self._tracker.fold(event) if event is not None else None
        if report is not None and not self._catching_up:
            self._listener(report)

    async def _follow_health(self) -> None:
        while True:
            await asyncio.sleep(TAIL_INTERVAL_S)
            if self._configured is None:
                continue
            try:
                if self._tail.lost:
                    log.warning("%s was removed or replaced: Envoy writes it anew", self._options.health_log)
                    await self._admin.reopen_logs()
                    self._tail.find()
                    self._catching_up = True
                if self._catching_up:
                    await self._catch_up()
                self._tail.read()
                self._tail.shorten()
                self._cap_log()
            except AdminUnavailable:
                continue
            except OSError as error:
                log.warning("can not read the targets' health: %s", error)
            except Exception:
                log.exception("can not follow the targets' health")

    async def _catch_up(self) -> None:
        """Read the events of the time when nobody did, check them against Envoy's own list, and report the outcome."""
        self._tail.read()
        for cluster, entries in (await self._admin.hosts()).items():
            for entry in entries:
                place = entry["address"]["socket_address"]
                status = entry.get("health_status", {})
                self._tracker.found(
                    (cluster, place["address"], int(place["port_value"])),
                    healthy=not status.get("failed_active_health_check", False),
                    pending=bool(status.get("pending_active_hc", False)),
                )
        self._catching_up = False
        for report in self._tracker.reports():
            self._listener(report)

    # --- access logs ------------------------------------------------------------------------------------------------

    async def _follow_access(self) -> None:
        while True:
            await asyncio.sleep(ACCESS_INTERVAL_S)
            try:
                await self.deliver_access_logs(datetime.now(UTC))
            except (AdminUnavailable, OSError, TimeoutError) as error:
                log.warning("access logs are not delivered: %s", error)
            except Exception:
                log.exception("can not deliver access logs")

    async def deliver_access_logs(self, now: datetime) -> list[Path]:
        """Files of the intervals that have ended since the last call.

        Raises: AdminUnavailable, OSError, TimeoutError; what is undone is done by the next call."""
        if self._configured is None:
            return []
        logged: dict[tuple[str, LogKind], tuple[LoadBalancer, datetime]] = {}
        for balancer in (each.load_balancer for each in self._configured):
            for kind in access_log.KINDS:
                if access_log.is_logged(balancer, kind):
                    key = balancer.arn, kind
                    _, began = self._logged.get(key, (None, access_log.boundary(balancer, now)))
                    logged[key] = (balancer, began)
        ended = {key: known for key, known in self._logged.items() if key not in logged}
        self._logged = logged | ended
        made: list[Path] = []
        for key, (balancer, began) in list(self._logged.items()):
            arn, kind = key
            end = now if key in ended else access_log.boundary(balancer, now)
            file = AccessLog(balancer, kind, self._options.access_log(arn, kind), self._buckets.path)
            if file.is_taken or (end > began and file.take()):
                if key in logged:
                    await self._reopened(file)
                made.append(await asyncio.to_thread(file.deliver, end))
            if key in ended:
                file.discard()
                del self._logged[key]
            else:
                self._logged[key] = (balancer, max(began, end))
        if made:
            self._delivered.set()
        return made

    async def keep_buckets(self, now: datetime) -> None:
        """What is in the folder goes to S3, or goes when it is too old.

        Raises: OSError"""
        async with self._keeping:
            await self._buckets.keep(now)

    async def _keep_buckets(self) -> None:
        """What is in the folder goes to S3 as it comes, and what that does not take is tried again."""
        while True:
            self._delivered.clear()
            try:
                await self.keep_buckets(datetime.now(UTC))
            except OSError as error:
                log.warning("%s can not be kept: %s", self._buckets.path, error)
            except Exception:
                log.exception("can not keep the folder of access logs")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUCKETS_INTERVAL_S):
                    await self._delivered.wait()

    async def _reopened(self, file: AccessLog) -> None:
        """Envoy writes to a new file."""
        assert self._process is not None
        await self._admin.reopen_logs()
        self._process.reopen_logs_before()
        async with asyncio.timeout(REOPEN_TIMEOUT_S):
            while not file.is_reopened:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def counts(self) -> Mapping[tuple[str, str], GroupCounts]:
        try:
            found = await self._admin.cluster_statistics()
        except AdminUnavailable as error:
            raise BalancerRefused(str(error)) from error
        return {
            (config.load_balancer.arn, group.arn): _counts(found[cluster])
            for config in self._configured or ()
            for group in config.target_groups
            if (cluster := cluster_name(config.load_balancer.arn, group.arn)) in found
        }

    async def listener_counts(self) -> Mapping[str, ListenerCounts]:
        try:
            found = await self._admin.listener_statistics()
        except AdminUnavailable as error:
            raise BalancerRefused(str(error)) from error
        counted: dict[str, ListenerCounts] = {}
        shared: dict[int, list[str]] = {}
        for config in self._configured or ():
            for listener in config.listeners:
                if config.load_balancer.scheme == "internet-facing":
                    shared.setdefault(listener.port, []).append(listener.arn)
                own = [
                    _listener_counts(numbers)
                    for name, numbers in found.items()
                    if name.startswith(f"{route_name(listener.arn)}_")
                ]
                counted[listener.arn] = sum(own, ListenerCounts())
        for port, arns in shared.items():
            if len(arns) == 1 and (numbers := found.get(shared_name(port))):
                counted[arns[0]] += _listener_counts(numbers)
        return counted

    async def hits(self) -> Mapping[str, int]:
        found = by_rule(await self._ended())
        counted: dict[str, int] = {}
        for config in self._configured or ():
            counted |= {rule.arn: found.get(suffix(rule.arn), 0) for rule in config.rules}
            spoken = [each for each in config.listeners if each.protocol in ("HTTP", "HTTPS")]
            counted |= {each.arn: found.get(default_name(each.arn), 0) for each in spoken}
        return counted

    async def zone_flows(self) -> Mapping[tuple[str, str], FlowCounts]:
        try:
            found, carried = await self._admin.listener_statistics(), await self._admin.carried_bytes()
        except AdminUnavailable as error:
            raise BalancerRefused(str(error)) from error
        lost = failed_connections(await self._ended())
        counted: dict[tuple[str, str], FlowCounts] = {}
        for config in self._configured or ():
            if config.load_balancer.type != "network":
                continue
            for listener in config.listeners:
                for zone in config.load_balancer.zones:
                    name = zone_name(listener.arn, zone.zone)
                    own = [_listener_counts(found.get(f"{name}_{place}", {})) for place in ("legs", "host")]
                    counts = sum(own, ListenerCounts())
                    counted[listener.arn, zone.zone] = FlowCounts(
                        new=counts.connections,
                        lost=lost[name],
                        active=counts.connections_active,
                        bytes=carried.get(name, 0),
                        tls_errors=counts.tls_errors,
                    )
        return counted

    async def ended_requests(self) -> Mapping[Seen, int]:
        if self._configured is None:
            raise BalancerRefused("nothing is configured yet, so nobody knows whose the requests are")
        return dict(seen_of(self._configured, await self._ended()))

    async def _ended(self) -> list[Ended]:
        try:
            async with self._tallying:  # one after the other, so that numbers do not seem to fall
                return self._tally.add(await self._admin.ended())
        except AdminUnavailable as error:
            raise BalancerRefused(str(error)) from error

    async def _tally_drained(self) -> None:
        """Look once more before Envoy forgets the counters of listeners that were replaced, and once after."""
        for pause_s in (DRAIN_S - 0.5, 1.5):
            await asyncio.sleep(pause_s)
            with contextlib.suppress(BalancerRefused):
                await self._ended()

    async def open_requests(self, target_group_arn: str) -> dict[tuple[str, int], int]:
        """A changed cluster (another health check) begins to count anew, and of targets that it was told to forget
        Envoy counts nothing. What is still under way there is seen by its connections: beyond those that Envoy counts
        they are as many."""
        counts: dict[tuple[str, int], int] = {}
        for config in self._configured or ():
            for group in config.target_groups:
                if group.arn != target_group_arn:
                    continue
                cluster = cluster_name(config.load_balancer.arn, group.arn)
                there = await self._connections(config.netns_path)
                for entry in (await self._admin.hosts()).get(cluster, []):
                    place = entry["address"]["socket_address"]
                    key = place["address"], int(place["port_value"])
                    stats = {stat["name"]: int(stat.get("value", 0)) for stat in entry.get("stats", [])}
                    uncounted = max(0, there[key] - stats.get("cx_active", 0))
                    counts[key] = counts.get(key, 0) + (stats.get("rq_active", 0) or uncounted)
                for key in self._hidden.get(cluster, []):
                    counts[key] = counts.get(key, 0) + there[key]
        return counts

    async def end_connections(self, target_group_arn: str, address: str, port: int) -> None:
        for config in self._configured or ():
            if any(group.arn == target_group_arn for group in config.target_groups):
                try:
                    await asyncio.to_thread(end_connections, Path(config.netns_path), address, port)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise BalancerRefused(f"connections to {address}:{port} can not be ended: {error}") from error

    async def _connections(self, netns_path: str) -> Counter[tuple[str, int]]:
        """From a load balancer's namespace; none without one."""
        try:
            return await asyncio.to_thread(open_connections, Path(netns_path))
        except FileNotFoundError:
            return Counter()


def _listener_counts(numbers: Mapping[str, int]) -> ListenerCounts:
    refused = ("downstream_cx_overflow", "downstream_cx_overload_reject", "downstream_global_cx_overflow")
    return ListenerCounts(
        connections=numbers.get("downstream_cx_total", 0),
        connections_active=numbers.get("downstream_cx_active", 0),
        rejected=sum(numbers.get(name, 0) for name in refused),
        tls_errors=numbers.get("ssl.connection_error", 0),
    )


def _document(resources: list[Resource]) -> str:
    body = json.dumps(sorted(resources, key=lambda r: str(r.get("name"))), sort_keys=True, separators=(",", ":"))
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    return f'{{"version_info":"{version}","resources":{body}}}'


def _version(document: str) -> str:
    return str(document.split('"', 4)[3])


def _taken(entry: Subscription | None) -> str:
    return entry.version if entry is not None else ""


def _warming(resource: Resource, old: Resource | None) -> Resource:
    """A changed cluster takes over only once its targets were checked; a new one serves at once."""
    if old is None:
        return resource
    if {**old, "wait_for_warm_on_init": False} == resource:
        return old
    return {**resource, "wait_for_warm_on_init": True}


def _routes_of(listeners: Iterable[Resource]) -> set[str]:
    """The names of their routes; those of TCP have none."""
    chains = [chain for listener in listeners for chain in listener.get("filter_chains", ())]
    managers = [chain["filters"][0]["typed_config"] for chain in chains]
    return {str(manager["rds"]["route_config_name"]) for manager in managers if "rds" in manager}


def _counts(found: Mapping[str, Any]) -> GroupCounts:
    """Of a cluster's statistics. Answers that Envoy made itself are among those of the cluster: they are taken off."""

    def number(*names: str) -> int:
        return sum(int(found.get(f"upstream_{name}", 0)) for name in names)

    no_target = number("cx_none_healthy", "rq_pending_overflow")
    timeouts = number("rq_timeout")
    resets = number("rq_rx_reset", "rq_pending_failure_eject")
    responses = {digit: number(f"rq_{digit}xx") for digit in (2, 3, 4, 5)}
    responses[5] = max(0, responses[5] - no_target - timeouts - resets)
    return GroupCounts(
        requests=number("rq_total"),
        responses=responses,
        no_target=no_target,
        timeouts=timeouts,
        resets=resets,
        connect_errors=number("cx_connect_fail", "cx_connect_timeout"),
        connections=number("cx_total"),
        connections_active=number("cx_active"),
        bytes=number("cx_rx_bytes_total", "cx_tx_bytes_total"),
        fail_open=int(found.get("lb_healthy_panic", 0)),
        times_ms=found.get("upstream_rq_time", {}),
    )
