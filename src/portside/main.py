"""The composition root: wires the rooms together and runs them. The only place that knows all of them.

    python -m portside.main --data-dir DIR --port 4566

Order of a start: lock the data folder, load the store, answer on the port, then look at the machine (containers,
networks, proxy), then let the loops run. Calls that arrive in between are recorded and carried out afterwards.
On SIGTERM everything is closed and containers, networks and the proxy run on.
"""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import random
import resource
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from portside import __version__, credential, folder
from portside.api.acm.service import acm_service
from portside.api.autoscaling.service import autoscaling_service
from portside.api.cloudwatch.service import cloudwatch_service
from portside.api.console import place
from portside.api.console.changes import Changes
from portside.api.console.role_use import role_use
from portside.api.console.sign_in import SignIns
from portside.api.console.site import Site
from portside.api.console.visit import Visits
from portside.api.ec2.default_network import with_default_network
from portside.api.ec2.instance_request import NATIVE_ARCHITECTURE
from portside.api.ec2.service import PUBLIC_BLOCK, ec2_service
from portside.api.ecs.data_channel import serve_session
from portside.api.ecs.event import detail_of
from portside.api.ecs.execute_command import DATA_CHANNEL, ExecSessions
from portside.api.ecs.placement import ClusterCapacities
from portside.api.ecs.service import ecs_service
from portside.api.efs.file_system import Meter
from portside.api.efs.service import efs_service
from portside.api.elb.service import elb_service
from portside.api.elbv2.service import elbv2_service
from portside.api.events.service import events_service
from portside.api.iam.service import iam_service
from portside.api.logs.service import logs_service
from portside.api.metadata.endpoint import MetadataEndpoint
from portside.api.metadata.instance import InstanceMetadata
from portside.api.portside import (
    fullness,
    image,
    inside,
    interruption,
    listener_route,
    load_balancer,
    network,
    problem,
    prometheus,
    reach,
    scheduled_service,
    story,
    usage,
    volume,
)
from portside.api.portside import log as output
from portside.api.portside import otlp as otlp_endpoint
from portside.api.portside.meter import Meters
from portside.api.portside.status import status
from portside.api.secretsmanager.service import secretsmanager_service
from portside.api.servicediscovery.service import servicediscovery_service
from portside.api.sns.service import sns_service
from portside.api.sns.subscription import Subscriptions
from portside.api.ssm.service import ssm_service
from portside.api.sts.recognition import secret_of_session
from portside.api.sts.service import sts_service
from portside.aws.gateway import INTERNAL, Gateway
from portside.aws.request import WebSocket
from portside.aws.server import listen, make_server
from portside.aws.service import RequestContext, Service, ServiceError
from portside.aws.signature import Secret, SignatureVerifier
from portside.balancer.envoy import EnvoyBalancer
from portside.balancer.interface import Balancer, BalancerRefused
from portside.control.alarms import AlarmLoop
from portside.control.autoscaling import AutoScalingLoop
from portside.control.balancer_metrics import BalancerMetricLoop
from portside.control.balancers import BalancerLoop
from portside.control.block_storage import EbsLoop
from portside.control.clock import RandomIds, SystemClock
from portside.control.cloud_map import CloudMapLoop
from portside.control.definitions import DefinitionLoop
from portside.control.discovery import DiscoveryLoop
from portside.control.enis import Enis
from portside.control.events import DeliveryLoop, EventLoop, ScheduleLoop
from portside.control.file_systems import FileSystemLoop
from portside.control.images import ImageLoop
from portside.control.insights import ContainerInsights
from portside.control.insights_queries import QueryRunner
from portside.control.instance_folders import InstanceFolderLoop
from portside.control.instances import InstanceLoop
from portside.control.log_exports import ExportLoop
from portside.control.logsink import ControlLogSink
from portside.control.loop import spawn
from portside.control.managed_volumes import ManagedVolumes
from portside.control.metric_filters import MetricFilters
from portside.control.metrics import MetricLoop
from portside.control.names import Names, alias_of
from portside.control.nat_gateways import NatGatewayLoop
from portside.control.other_metrics import OtherMetricLoop
from portside.control.otlp import OtlpExporter, otlp_headers
from portside.control.retention import RetentionLoop
from portside.control.secret_resolver import VaultResolver
from portside.control.secrets import SecretLoop
from portside.control.services import ServiceLoop
from portside.control.sessions import SessionLoop
from portside.control.targets import Targets
from portside.control.tasks import TaskLoop
from portside.control.topics import TopicLoop
from portside.control.vpcs import VpcLoop
from portside.control.ways_out import WaysOut
from portside.dns import lookup
from portside.dns.forward import Forwarder
from portside.dns.server import DnsServer
from portside.domain import arn, pace, topic
from portside.domain.clock import Clock, Ids
from portside.domain.cloud_map import DiscoveryInstance
from portside.domain.docker_volume import DISKS, KeptVolume, LocalMount, local_mount
from portside.domain.flow import FlowCounts
from portside.domain.image import CleanupPolicy
from portside.domain.instance_identity import InstanceIdentities
from portside.domain.load_balancer_metric import GroupCounts, with_flows
from portside.domain.log import INFREQUENT_ACCESS
from portside.domain.other_insight import Machine
from portside.domain.record import Scope
from portside.domain.table import KINDS, LOG_GROUP, VAULT_KEY
from portside.domain.task.record import Task
from portside.domain.vault import VaultKey
from portside.node.interface import Node, NodeUnusable
from portside.node.linux import LinuxNode
from portside.node.log import json_file
from portside.node.network.network import Network, public_addresses
from portside.node.network.outside import Outside
from portside.node.network.uplink import outside_socket, public_block
from portside.node.rootfs.file_system import FileSystemFolders
from portside.node.rootfs.instance_folder import CONTAINERS, InstanceFolders
from portside.node.rootfs.tmpfs_volume import TmpfsVolumes
from portside.session.issue import StsSessions, document
from portside.session.key import SessionKeys
from portside.settings import Settings, parse_mirrors, server_address
from portside.store.interface import Put, Store, StoreUnavailable
from portside.store.sqlite import SqliteStore
from portside.task_endpoint import TaskEndpoints
from portside.telemetry.embedded import EmbeddedMetrics
from portside.telemetry.insights import InsightsQueries
from portside.telemetry.interface import LogStore, LogsUnavailable, StoredEvent
from portside.telemetry.live_tail import LiveTails
from portside.telemetry.metric import MetricStore, SqliteMetricStore
from portside.telemetry.sqlite import SqliteLogStore
from portside.vault import key
from portside.vault.aes import AesVault, fingerprint
from portside.vault.authority import Signer
from portside.vault.interface import Vault

log = logging.getLogger("portside")

NOFILE_WANTED = 65536


class StartRefused(Exception):
    """Portside can not start; the message says why and what to do."""


def api_services(
    store: Store,
    logs: LogStore,
    metrics: MetricStore,
    clock: Clock,
    ids: Ids,
    vault: Vault,
    sts: StsSessions,
    sessions: ExecSessions | None = None,
    public_block: str = PUBLIC_BLOCK,
    identities: InstanceIdentities | None = None,
    meter: Meter = lambda file_system_id: 0,
    queries: InsightsQueries | None = None,
    tails: LiveTails | None = None,
    capacities: ClusterCapacities | None = None,
) -> tuple[Service, ...]:
    """Every AWS service that is answered, in one visible list."""

    return (
        with_default_network(ecs_service(store, clock, ids, sessions, identities, capacities), store, clock, ids),
        ec2_service(store, clock, ids, public_block),
        with_default_network(elbv2_service(store, clock, ids), store, clock, ids),
        with_default_network(elb_service(store, clock, ids), store, clock, ids),
        logs_service(
            *(store, logs, clock, ids),
            queries or QueryRunner(Path("unused"), clock, ids),
            tails or LiveTails(lambda: 0),
        ),
        cloudwatch_service(store, metrics, clock, ids),
        autoscaling_service(store, clock, ids),
        with_default_network(efs_service(store, clock, ids, meter), store, clock, ids),
        iam_service(store, vault, clock, ids),
        sts_service(sts),
        ssm_service(store, vault, clock),
        secretsmanager_service(store, vault, clock, ids),
        servicediscovery_service(store, clock, ids),
        acm_service(store, vault, clock, ids),
        events_service(store, clock, ids),
        sns_service(store, clock, ids),
    )


def _is_watched(store: Store, scope: Scope, group: str) -> bool:
    """Whether metrics are made of a log group's events."""
    found = store.get(LOG_GROUP, f"{scope.prefix}{group}")
    return found is None or found.log_class != INFREQUENT_ACCESS


def _service_error(error: Exception) -> ServiceError | None:
    if isinstance(error, StoreUnavailable | LogsUnavailable):
        return ServiceError(INTERNAL, f"{error}. Nothing was changed; free space and try again.", 500)
    return None


def _volume_meters(
    node: LinuxNode,
    file_systems: FileSystemFolders,
    instances: InstanceFolders,
    in_memory: TmpfsVolumes,
    disks: TmpfsVolumes,
) -> Meters:
    def used(kept: KeptVolume) -> int | tuple[int, int] | None:
        local = local_mount(kept.name, kept.driver_opts)
        if local.kind == "folder":
            return instances.used_bytes(kept.instance_id, kept.id)
        return mounted(kept.id, local)

    def mounted(own_id: str, local: LocalMount) -> tuple[int, int] | None:
        if local.kind == "tmpfs":
            return in_memory.fill(own_id)
        # A server of NFS may not answer: nobody waits for it here.
        return disks.fill(own_id) if local.file_system in DISKS else None

    def place(kept: KeptVolume) -> str:
        is_folder = local_mount(kept.name, kept.driver_opts).kind == "folder"
        return str(instances.volume(kept.instance_id, kept.id)) if is_folder else ""

    return Meters(
        file_system=file_systems.used_bytes,
        docker_volume=used,
        block_storage=node.block_storage.usage,
        place=place,
        ephemeral=node.ephemeral_storage,
        task_volume=node.volume_bytes,
        mounted=mounted,
        instance_path=instances.path_bytes,
    )


async def _instance_files(
    places: InstanceFolders,
    instance_id: str,
    container: str,
    *,
    start_ms: int | None,
    after: str | None,
    from_head: bool,
    limit: int,
) -> list[StoredEvent]:
    """Fulfils `output.InstanceFiles`."""

    def look() -> list[json_file.Found]:
        try:
            folder = places.open_directory(instance_id, f"{CONTAINERS}/{container}", is_made=False)
        except OSError:
            return []
        try:
            return json_file.found(folder, container, start_ms=start_ms, after=after, from_head=from_head, limit=limit)
        finally:
            os.close(folder)

    return [
        StoredEvent(id=each.id, stream=container, at_ms=each.at_ms, ingested_ms=each.at_ms, message=each.message)
        for each in await asyncio.to_thread(look)
    ]


class Daemon:
    """A running Portside. `run()` returns after `stop()` or a signal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clock, self._ids = SystemClock(), RandomIds()
        self._stopping = asyncio.Event()
        self._ready = False
        self._problem = ""

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Raises StartRefused."""
        settings = self.settings
        if settings.host not in ("127.0.0.1", "localhost", "::1") and not settings.auth:
            raise StartRefused(
                f"refusing to listen on {settings.host} without signature checks: anyone who reaches this address could"
                " run containers as root here. Add --auth, or listen on 127.0.0.1."
            )
        if settings.egress not in ("host", "none") and not Path(settings.egress).exists():
            raise StartRefused(
                f"--egress is host, none or the path of a network namespace, and {settings.egress} does not exist"
            )
        envoy = settings.envoy_path
        if envoy is not None and not (envoy.is_file() and os.access(envoy, os.X_OK)):
            raise StartRefused(f"--envoy-path is a program, and {envoy} is no executable file")
        self._prepare_folders()
        with self._lock():
            sock = self._listen()
            await self._serve(sock)

    def _prepare_folders(self) -> None:
        for path in (self.settings.data_dir, self.settings.run_dir):
            try:
                if folder.make(path):
                    log.warning(
                        "every user of this machine may look into %s, where what tasks are and what they write is "
                        "kept. Close it: chmod 700 %s",
                        path,
                        path,
                    )
                probe = path / f".probe-{os.getpid()}"
                probe.write_bytes(b"x")
                probe.unlink()
            except OSError as error:
                raise StartRefused(
                    f"can not write to {path}: {folder.told(path, error)}. Give another --data-dir."
                ) from error
        # Not where the user happens to be: the monitors inherit this folder, and write a file into it when a container
        # runs out of memory.
        os.chdir(self.settings.run_dir)

    @contextlib.contextmanager
    def _lock(self) -> Any:
        """One daemon a data folder; the kernel drops the lock whatever becomes of the process."""
        path = self.settings.data_dir / "lock"
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StartRefused(f"another Portside uses {self.settings.data_dir} already") from error
            yield

    def _listen(self) -> socket.socket:
        try:
            return listen(self.settings.host, self.settings.port)
        except OSError as error:
            raise StartRefused(
                f"can not listen on {self.settings.host}:{self.settings.port}: {error.strerror}."
                f" Give another --{'host' if error.errno == errno.EADDRNOTAVAIL else 'port'}."
            ) from error

    async def _serve(self, sock: socket.socket) -> None:
        settings, clock, ids = self.settings, self._clock, self._ids
        try:
            store = SqliteStore(settings.data_dir / "state.db", KINDS, durability=settings.durability)
        except StoreUnavailable as error:
            raise StartRefused(str(error)) from error
        secret = self._vault_key(store)
        vault = AesVault(secret)
        sts = StsSessions(store, clock, SessionKeys(key.derived(secret, "sts session keys")))
        metrics = SqliteMetricStore(settings.data_dir / "metrics.db")
        metric_filters = MetricFilters(store, metrics, clock)
        tails = LiveTails(lambda: int(clock.now().timestamp() * 1000))
        receivers = [EmbeddedMetrics(metrics, partial(_is_watched, store)).take, metric_filters.take, tails.take]
        otlp = self._otlp(lambda: self._families(store, watch, calls))
        if otlp is not None:
            receivers.append(otlp.take)
        logs = SqliteLogStore(settings.data_dir / "logs.db", on_put=receivers)
        queries = QueryRunner(settings.data_dir / "logs.db", clock, ids)
        # What is served at the tasks' link-local address comes last; no network is made before.
        vpc_networks = Network(
            settings,
            lambda vpc_id, opened: endpoints.sockets(vpc_id, opened),
            lambda vpc_id, opened: resolver_server.sockets(vpc_id, opened),
        )
        sink = ControlLogSink(store, logs, clock)
        node = LinuxNode(settings, vpc_networks, sink, lookup.addresses)
        balancer = EnvoyBalancer(settings)
        enis = Enis(store, ids, public_addresses(settings))
        vpcs = VpcLoop(store, clock, node)
        nats = NatGatewayLoop(store, clock, vpcs)
        targets = Targets(store, clock, pace=settings.pace)
        resolver = VaultResolver(store, vault)
        retention_s = settings.stopped_task_retention_s
        images = ImageLoop(
            *(store, clock, node),
            policy=CleanupPolicy(
                minimum_age=timedelta(seconds=settings.image_minimum_age_s),
                most=settings.image_cleanup_count,
                disk_percent=settings.image_disk_percent,
            ),
            interval=timedelta(seconds=settings.image_cleanup_interval_s),
        )
        discovery = DiscoveryLoop(store, clock)
        places = InstanceFolders(settings.data_dir / "instances")
        block_storage = EbsLoop(store, clock, node.block_storage, places)
        tasks = TaskLoop(
            *(store, clock, ids, node, enis, vpcs, targets, resolver),
            discovery=discovery,
            volumes=ManagedVolumes(store, clock, ids, block_storage.until_made),
            room=images,
            way_out=WaysOut(store) if settings.strict_pulls else None,
            retention_s=retention_s,
        )
        services = ServiceLoop(store, clock, ids, retention_s=settings.stopped_task_retention_s, pace=settings.pace)
        instances = InstanceLoop(store, clock, ids, node, enis, vpcs, architecture=NATIVE_ARCHITECTURE)
        balancers = BalancerLoop(store, clock, ids, node, balancer, enis, vpcs, vault, pace=settings.pace)
        definitions = DefinitionLoop(store, clock)
        retention = RetentionLoop(store, logs, clock)
        exports = ExportLoop(store, logs, clock, settings.data_dir / "exports")
        insights = ContainerInsights(store, logs, metrics, node.ephemeral_storage, places.disk_percent)
        meter = MetricLoop(store, metrics, clock, node.usage, insights)
        balancer_meter = BalancerMetricLoop(store, metrics, clock, balancer, node)
        autoscaling = AutoScalingLoop(store, metrics, clock, ids)
        alarms = AlarmLoop(store, metrics, clock, ids)
        secrets = SecretLoop(store, clock)
        expiry = SessionLoop(store, clock)
        cloud_map = CloudMapLoop(store, clock)
        folders = FileSystemFolders(settings.data_dir / "efs")
        file_systems = FileSystemLoop(store, clock, folders)
        instance_folders = InstanceFolderLoop(store, clock, places)
        in_memory = TmpfsVolumes(settings.run_dir / "volumes")
        extend = node.block_storage.extend
        disks = TmpfsVolumes(settings.run_dir / "mounts")
        meters = _volume_meters(node, folders, places, in_memory, disks)

        sessions = ExecSessions(clock)

        async def exec_session(sock: WebSocket) -> None:
            await serve_session(sock, sessions, node.open_exec)

        identities = InstanceIdentities(key.derived(secret, "instance identity"))
        block = public_block(settings.instance_id)
        services_served = api_services(
            *(store, logs, metrics, clock, ids, vault, sts, sessions, block, identities, folders.used_bytes),
            queries=queries,
            tails=tails,
            capacities=services.instances,
        )
        events = EventLoop(store, clock, ids, partial(detail_of, store))
        schedules = ScheduleLoop(store, clock)
        deliveries = DeliveryLoop(store, clock, sink, partial(_run_task, services_served[0], ids))
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
        host = f"[{host}]" if ":" in host else host
        received = otlp_endpoint.OtlpReceiver(metrics, sink, clock)
        notifier = TopicLoop(store, clock, Outside(settings), f"http://{host}:{settings.port}")
        subscriptions = Subscriptions(store, clock, ids)
        calls: Counter[tuple[str, str]] = Counter()
        make_gateway = partial(
            Gateway,
            services_served,
            max_body_bytes=settings.max_body_bytes,
            auth=self._verifier(sts, accepts_unknown=not settings.auth),
            default_account=settings.account,
            default_region=settings.region,
            error_mapper=_service_error,
            free=[topic.CONFIRM_PATH],
            receivers=received.paths,
            sockets={DATA_CHANNEL: exec_session},
            calls=calls,
        )
        changes = Changes(store)
        site = Site(
            settings.console_dir,
            changes,
            Visits(key.derived(secret, "console visits"), settings.instance_id),
            {
                "account": settings.account,
                "region": settings.region,
                "instance": settings.instance_id,
                "version": __version__,
            },
            sign_ins=SignIns(self._secret_of(sts), clock.now, account=settings.account, instance=settings.instance_id)
            if settings.auth
            else None,
            places=lambda: place.places(store),
            role_use=lambda account, region, arn: role_use(store, Scope(account=account, region=region), arn),
        )
        health = {
            "/_portside/health": self._health,
            topic.CONFIRM_PATH: lambda _method, _path, query, _body: self._sns_link(subscriptions, query),
        }
        others = node.other_containers if settings.other_containers else None
        watch = usage.Watch(store, clock, node.usage, node.ephemeral_storage, others)
        received_by = dict.fromkeys(received.paths, credential.otlp_token(settings.data_dir))
        scrape_token = credential.scrape_token(settings.data_dir) if settings.auth else ""
        gateway = make_gateway(
            extensions=health
            | {
                "/_portside/status": lambda *_: self._status(store, balancer, node, meters, in_memory),
                "/_portside/problems": lambda *_: self._problems(store, balancer, node, meters, in_memory),
                "/_portside/tasks/": lambda method, path, query, _body: self._story(store, node, method, path, query),
                "/_portside/services/": lambda _method, path, query, _body: self._service(store, path, query),
                "/_portside/logs": lambda _method, _path, _query, body: self._output(store, logs, places, body),
                "/_portside/lb": lambda _method, _path, query, _body: self._load_balancers(
                    store, balancer, node, query
                ),
                "/_portside/lb/route": lambda _method, _path, _query, body: self._route(store, body),
                "/_portside/usage": lambda *_: self._usage(store, watch),
                "/_portside/metrics": lambda *_: self._metrics(store, watch, calls),
                "/_portside/network": lambda *_: self._network(store),
                "/_portside/reach": lambda _method, _path, query, _body: self._reach(store, query),
                "/_portside/reach/of": lambda _method, _path, query, _body: self._reach_of(store, query),
                "/_portside/ca": lambda *_: self._ca(store, vault),
                "/_portside/volumes": lambda method, _path, query, _body: self._volumes(
                    store, meters, extend, method, "", query
                ),
                "/_portside/volumes/": lambda method, path, query, _body: self._volumes(
                    store, meters, extend, method, path, query
                ),
                "/_portside/images": lambda method, *_: self._images(images, method, ""),
                "/_portside/images/": lambda method, path, _query, _body: self._images(images, method, path),
            },
            tokens=received_by | ({"/_portside/metrics": scrape_token} if settings.auth else {}),
            site=site,
        )
        # What tells of other tasks asks for no signature, so it is not for tasks.
        task_gateway = make_gateway(
            extensions=health,
            auth=self._verifier(sts, accepts_unknown=settings.task_endpoint and not settings.auth),
            tokens=received_by,
        )

        def role_credentials(task: Task) -> Mapping[str, Any]:
            task_arn = arn.task(task.scope, task.cluster, task.id)
            return document(sts.task_credentials(task_arn, task.task_role_arn or ""))

        metadata = MetadataEndpoint(store, clock, node.usage, node.ephemeral_storage, role_credentials)
        instance_metadata = InstanceMetadata(
            store, clock, lambda owner, role: document(sts.task_credentials(owner, role)), identities
        )
        endpoints = TaskEndpoints(metadata.for_place, instance_metadata.for_instance, task_gateway)
        forwarder = Forwarder(outside_socket(settings.egress), blocks=settings.egress != "host")
        resolver_server = DnsServer(Names(store, _picked), alias_of, forwarder)
        server = make_server(gateway)
        serving = spawn("http", server.serve(sockets=[sock]))
        serving.add_done_callback(lambda _: self.stop())  # a Portside that no longer answers is none
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._announce()

        running: list[Any] = []
        optional: list[Any] = [otlp] if otlp is not None else []
        if others is not None:
            scope = Scope(account=settings.account, region=settings.region)
            optional.append(OtherMetricLoop(metrics, clock, others, _machine(), scope))
        try:
            # tasks first: it makes the machine ready and looks at what runs
            for part in (
                tasks,
                vpcs,
                nats,
                instances,
                balancers,
                services,
                definitions,
                retention,
                metric_filters,
                exports,
                secrets,
                expiry,
                images,
                meter,
                balancer_meter,
                autoscaling,
                alarms,
                events,
                schedules,
                deliveries,
                notifier,
                cloud_map,
                discovery,
                file_systems,
                instance_folders,
                block_storage,
                *optional,
            ):
                await part.start()
                running.append(part)
            self._ready = True
            log.info("ready")
            tell_service_manager("READY=1")
            await self._stopping.wait()
        except NodeUnusable as error:
            raise StartRefused(str(error)) from error
        finally:
            tails.end()
            changes.end()
            server.stop()
            for part in reversed(running):
                await part.close()
            await serving
            await endpoints.close()
            await resolver_server.close()
            await balancer.close()
            await node.close()
            await queries.close()
            await logs.close()
            await metrics.close()
            store.close()
            (settings.run_dir / "daemon.json").unlink(missing_ok=True)
            log.info("stopped; containers, networks and the proxy run on")

    def _vault_key(self, store: Store) -> bytes:
        known = store.get(VAULT_KEY, "vault")
        try:
            secret = key.ensure(self.settings.data_dir, is_known=known is not None)
        except key.KeyUnusable as error:
            store.close()
            raise StartRefused(str(error)) from error
        found = VaultKey(fingerprint=fingerprint(secret).hex())
        if known is None:
            try:
                store.transact(Put(VAULT_KEY, found))
            except StoreUnavailable as error:
                store.close()
                raise StartRefused(str(error)) from error
        elif known != found:
            store.close()
            raise StartRefused(
                f"{self.settings.data_dir / key.FILE} is not the key that sealed this instance's secrets. Put the "
                "right one back."
            )
        return secret

    def _verifier(self, sts: StsSessions, *, accepts_unknown: bool) -> SignatureVerifier:
        """Of sessions' keys in any case, and of the instance's own if signatures are checked."""
        return SignatureVerifier(self._secret_of(sts), self._clock.now, accepts_unknown=accepts_unknown)

    def _secret_of(self, sts: StsSessions) -> Callable[[str], Secret | None]:
        own: dict[str, Secret] = {}
        if self.settings.auth:
            key = credential.ensure(self.settings.data_dir)
            own[key.access_key_id] = Secret(key.secret_access_key)

        def secret_of(access_key_id: str) -> Secret | None:
            return own.get(access_key_id) or secret_of_session(sts, access_key_id)

        return secret_of

    def _announce(self) -> None:
        """Leave a note for the command line: who serves this data folder, and where."""
        note = {"pid": os.getpid(), "port": self.settings.port, "host": self.settings.host, "version": __version__}
        path = self.settings.run_dir / "daemon.json"
        path.with_suffix(".tmp").write_text(json.dumps(note | {"data_dir": str(self.settings.data_dir)}))
        path.with_suffix(".tmp").rename(path)
        log.info(
            "listening on http://%s:%s, data in %s", self.settings.host, self.settings.port, self.settings.data_dir
        )

    async def _health(self, *_: Any) -> tuple[int, str, bytes]:
        answer = {
            "status": "ok" if self._ready else "starting",
            "version": __version__,
            "pid": os.getpid(),
            "instance": self.settings.instance_id,
        }
        return 200, "application/json", json.dumps(answer).encode()

    async def _status(
        self, store: Store, balancer: EnvoyBalancer, node: Node, meters: Meters, in_memory: TmpfsVolumes
    ) -> tuple[int, str, bytes]:
        problems = [each for each in (self._problem, balancer.problem) if each]
        problems += self._nearly_full(store, node, meters, in_memory)
        return (
            200,
            "application/json",
            json.dumps(status(store, problems, node.pulls(), pace=self.settings.pace)).encode(),
        )

    def _nearly_full(self, store: Store, node: Node, meters: Meters, in_memory: TmpfsVolumes) -> Iterator[str]:
        disk = shutil.disk_usage(self.settings.data_dir)
        return fullness.problems(
            store,
            disk=(disk.used, disk.used + disk.free),
            of_task=node.ephemeral_storage,
            in_memory=lambda kept: in_memory.fill(kept.id),
            of_ebs=meters.block_storage,
        )

    async def _problems(
        self, store: Store, balancer: EnvoyBalancer, node: Node, meters: Meters, in_memory: TmpfsVolumes
    ) -> tuple[int, str, bytes]:
        machine = [*([self._problem] if self._problem else []), *self._nearly_full(store, node, meters, in_memory)]
        found = problem.document(store, self._clock, machine, balancer.problem, balancer.taken)
        return 200, "application/json", json.dumps(found).encode()

    async def _volumes(
        self,
        store: Store,
        meters: Meters,
        extend: Callable[[str], None],
        method: str,
        path: str,
        query: Mapping[str, str],
    ) -> tuple[int, str, bytes]:
        named = unquote(path.removeprefix("/_portside/volumes/"))
        code, document = await volume.answer(
            *(store, meters, extend, method, named, query.get("kind", "")), looks=query.get("sizes") != "no"
        )
        return code, "application/json", json.dumps(document).encode()

    async def _images(self, images: ImageLoop, method: str, path: str) -> tuple[int, str, bytes]:
        status, document = await image.answer(images, method, unquote(path.removeprefix("/_portside/images/")))
        return status, "application/json", json.dumps(document).encode()

    async def _usage(self, store: Store, watch: usage.Watch) -> tuple[int, str, bytes]:
        return 200, "application/json", json.dumps(usage.document(store, await watch.look())).encode()

    async def _metrics(
        self, store: Store, watch: usage.Watch, calls: Counter[tuple[str, str]]
    ) -> tuple[int, str, bytes]:
        families = await self._families(store, watch, calls)
        return 200, prometheus.CONTENT_TYPE, prometheus.text(families).encode()

    async def _families(
        self, store: Store, watch: usage.Watch, calls: Counter[tuple[str, str]]
    ) -> list[prometheus.Family]:
        own = prometheus.of_portside(
            version=__version__,
            calls=calls,
            cpu_seconds=time.process_time(),
            resident_bytes=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        )
        return [*prometheus.families(store, await watch.look()), *own]

    def _otlp(self, metrics: Callable[[], Awaitable[list[prometheus.Family]]]) -> OtlpExporter | None:
        if not self.settings.otlp_endpoint:
            return None
        try:
            headers = otlp_headers(self.settings.otlp_headers)
        except ValueError as error:
            raise StartRefused(f"PORTSIDE_OTLP_HEADERS: {error}") from None
        own = {f"http://{host}:{self.settings.port}" for host in (self.settings.host, "127.0.0.1", "localhost")}
        if self.settings.otlp_endpoint in own:
            raise StartRefused("--otlp-endpoint is this Portside itself: it would tell itself without end")
        return OtlpExporter(self.settings.otlp_endpoint, __version__, self._clock, metrics, headers=headers)

    async def _network(self, store: Store) -> tuple[int, str, bytes]:
        return 200, "application/json", json.dumps(network.network(store)).encode()

    async def _output(
        self, store: Store, logs: LogStore, places: InstanceFolders, body: bytes
    ) -> tuple[int, str, bytes]:
        try:
            code, document = await output.answer(store, logs, partial(_instance_files, places), body)
        except LogsUnavailable as error:
            code, document = 503, {"error": str(error)}
        return code, "application/json", json.dumps(document).encode()

    async def _sns_link(self, subscriptions: Subscriptions, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        code, document = subscriptions.visit(query)
        return code, "text/xml", document.encode()

    async def _load_balancers(
        self, store: Store, balancer: Balancer, node: Node, query: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        counts: Mapping[tuple[str, str], GroupCounts]
        hits: Mapping[str, int]
        try:
            counts, hits = await balancer.counts(), await balancer.hits()
        except BalancerRefused:
            counts, hits = {}, {}  # it is being started: the rest is as true
        flows: dict[tuple[str, str], FlowCounts] = {}
        for owner, each in (await node.flow_counts()).items():
            key = owner.load_balancer_arn, owner.target_group_arn
            flows[key] = flows.get(key, FlowCounts()) + each
        counts = {**counts, **{key: with_flows(counts.get(key, GroupCounts()), each) for key, each in flows.items()}}
        code, document = load_balancer.document(store, counts, hits, query.get("name", ""))
        return code, "application/json", json.dumps(document).encode()

    async def _route(self, store: Store, body: bytes) -> tuple[int, str, bytes]:
        code, document = await listener_route.answer(store, body)
        return code, "application/json", json.dumps(document).encode()

    async def _service(self, store: Store, path: str, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        named = unquote(path.removeprefix("/_portside/services/"))
        code, document = scheduled_service.answer(
            store, self._clock, named, query.get("cluster", ""), pace=self.settings.pace
        )
        return code, "application/json", json.dumps(document).encode()

    async def _reach(self, store: Store, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        code, document = reach.answer(store, query, leads_out=self.settings.egress != "none")
        return code, "application/json", json.dumps(document).encode()

    async def _reach_of(self, store: Store, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        code, document = reach.others(store, query)
        return code, "application/json", json.dumps(document).encode()

    async def _ca(self, store: Store, vault: Vault) -> tuple[int, str, bytes]:
        root = Signer(store, vault).root(self._clock.now())
        return 200, "application/json", json.dumps({"certificate": root.pem}).encode()

    async def _story(
        self, store: Store, node: Node, method: str, path: str, query: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        named, _, rest = path.removeprefix("/_portside/tasks/").rpartition("/")
        found = (404, {"error": f"there is nothing at {path}"})
        if named and rest == "story":
            found = story.answer(store, self._clock, unquote(named), query.get("cluster", ""), node.pulls())
        elif named and rest == "interruption":
            found = interruption.answer(
                *(store, self._clock, method, unquote(named), query.get("cluster", "")), pace=self.settings.pace
            )
        elif named and rest == "network":
            found = inside.answer(store, node.process, unquote(named), query.get("cluster", ""))
        return found[0], "application/json", json.dumps(found[1]).encode()


async def _run_task(ecs: Service, ids: Ids, scope: Scope, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """RunTask as the account's root asks for it. Raises ServiceError."""
    context = RequestContext(
        account=scope.account,
        region=scope.region,
        service="ecs",
        operation="RunTask",
        request_id=ids.uuid(),
        access_key_id=scope.account,
    )
    answer = ecs.handlers["RunTask"](context, parameters)
    found = await answer if isawaitable(answer) else answer
    return found if isinstance(found, dict) else {}


def _machine() -> Machine:
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(name=socket.gethostname(), cpus=os.cpu_count() or 1, memory_bytes=memory_bytes)


def _picked(instances: Sequence[DiscoveryInstance], most: int) -> Sequence[DiscoveryInstance]:
    return random.sample(instances, min(most, len(instances)))


def tell_service_manager(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """One message to systemd, if it started this process and waits for one. Source: sd_notify(3)."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)
    except OSError as error:
        log.warning("the service manager at %s can not be told %s: %s", address, state, error)


def _raise_limits() -> None:
    """Each task takes some descriptors; take what the hard limit gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = NOFILE_WANTED if hard == resource.RLIM_INFINITY else min(hard, NOFILE_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def settings_from(environment: Mapping[str, str], arguments: argparse.Namespace) -> Settings:
    """The command line over the environment (PORTSIDE_*) over the defaults."""
    known: dict[str, Any] = {
        name: environment.get(f"PORTSIDE_{name.upper()}", "")
        for name in ("failpoint", "s3_access_key_id", "s3_secret_access_key", "otlp_headers")
    }
    for name, convert in SETTINGS_FROM_OUTSIDE.items():
        given = getattr(arguments, name, None)
        if given is None:
            given = environment.get(f"PORTSIDE_{name.upper()}")
        if given is not None:
            known[name] = convert(given)
    return Settings(**known)


def _path_or_none(text: str) -> Path | None:
    return Path(text).absolute() if text else None


def _durability(text: str) -> str:
    if text not in ("normal", "full"):
        raise StartRefused(f"--durability is normal or full, not {text!r}")
    return text


def _server_of(option: str) -> Callable[[str], str]:
    def address(text: str) -> str:
        try:
            return server_address(text) if text else ""
        except ValueError as error:
            raise StartRefused(f"{option}: {error}") from None

    return address


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise StartRefused(f"a setting is to be 1 or more, not {text!r}")
    return number


def _pace(text: str | float) -> float:
    try:
        return pace.parse(str(text))
    except ValueError as error:
        raise StartRefused(f"--pace: {error}") from None


def _mirrors(text: str) -> tuple[tuple[str, str], ...]:
    try:
        return parse_mirrors(text)
    except ValueError as error:
        raise StartRefused(str(error)) from error


def _truth(text: str | bool) -> bool:
    return text if isinstance(text, bool) else text.lower() in ("1", "true", "yes")


SETTINGS_FROM_OUTSIDE: dict[str, Any] = {
    "data_dir": lambda text: Path(text).absolute(),
    "host": str,
    "port": int,
    "egress": lambda text: text if text in ("host", "none") else str(Path(text).absolute()),
    "envoy_path": _path_or_none,
    "auth": _truth,
    "task_endpoint": _truth,
    "strict_pulls": _truth,
    "pace": _pace,
    "other_containers": _truth,
    "ebs_rates": _truth,
    "account": str,
    "region": str,
    "hosts_file": _path_or_none,
    "durability": _durability,
    "stopped_task_retention_s": int,
    "s3_endpoint": _server_of("--s3-endpoint"),
    "otlp_endpoint": _server_of("--otlp-endpoint"),
    "console_dir": lambda text: Path(text).absolute(),
    "mirrors": _mirrors,
    "image_minimum_age_s": int,
    "image_cleanup_interval_s": _positive,
    "image_cleanup_count": int,
    "image_disk_percent": int,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="portside-daemon", description=__doc__, allow_abbrev=False)
    for name in SETTINGS_FROM_OUTSIDE:
        flag = f"--{name.replace('_', '-')}"
        if name in ("auth", "task_endpoint", "strict_pulls", "other_containers", "ebs_rates"):
            parser.add_argument(flag, action="store_true", default=None)
        else:
            parser.add_argument(flag, dest=name, metavar=name.upper())
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    _raise_limits()
    try:
        import uvloop

        settings = settings_from(os.environ, parser.parse_args(argv))
        uvloop.run(Daemon(settings).run())
    except StartRefused as refusal:
        print(f"portside: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
