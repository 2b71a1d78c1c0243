"""The networks of one instance on one machine: VPC namespaces, task namespaces, load balancers' namespaces.

Every namespace is pinned below `run_dir/netns`: `vpc-…` routers, `task-…` tasks, `lb-…` load balancers, `ec2-…`
container instances, `bridged-…` containers on an instance's bridge, `nat-…` NAT gateways. Blocking work runs in two
named threads: more of them gain nothing, since the kernel takes one lock for all of rtnetlink (measured).
"""

import asyncio
import errno
import hashlib
import logging
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from portside.domain import vpc_rule
from portside.domain.flow import Flow, FlowCounts, FlowOwner
from portside.domain.task.record import EniAttachment, Placement
from portside.node import failpoint
from portside.node.interface import EniConfig, VpcConfig
from portside.node.network import instance_interface, nat_gateway, netns, probe, rtnetlink
from portside.node.network.bridge import InstanceNamespace
from portside.node.network.door import Door, remove_doors
from portside.node.network.firewall import UNGUARDED
from portside.node.network.flow_file import FlowFile
from portside.node.network.link_local import (
    ADDRESS,
    INSTANCE_METADATA_ADDRESS,
    METADATA_PORT,
    RESOLVER_ADDRESS,
    SocketListener,
)
from portside.node.network.netlink import Message, NetlinkError, NetlinkSocket
from portside.node.network.router import ROUTER_MAC, Router
from portside.node.network.uplink import Uplink, public_block, remove_outside
from portside.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

_TASK_INDEX = 2
_LEG_TABLE = 100
_LEG_RULE_PRIORITY = 1000
_CLIENTS_TABLE, _CLIENTS_RULE_PRIORITY = 99, 900
AGENT_PORTS = (51679, 51678)
"""Reserved on instances for the ECS agent: no task is placed that wants them."""


class VpcNotReady(Exception):
    """The VPC has no namespace yet: `apply_vpc` comes first. Passing."""


class InstanceNotReady(Exception):
    """The instance has no namespace yet: `apply_instance` comes first. Passing."""


class Network:
    """See `node/interface.py` for the promises. `start` first; nothing is undone by `close`."""

    def __init__(
        self, settings: Settings, on_sockets: SocketListener | None = None, on_resolver: SocketListener | None = None
    ) -> None:
        """`on_sockets` is given the sockets of each VPC at the link-local address, `on_resolver` those of its resolver,
        a few at a time; they close them."""
        self._settings, self._on_sockets, self._on_resolver = settings, on_sockets, on_resolver
        self._folder = settings.run_dir / "netns"
        self._routers: dict[str, Router] = {}
        self._applied: dict[str, VpcConfig] = {}
        self._attached: dict[str, EniAttachment] = {}
        self._balancers: dict[str, tuple[EniConfig, ...]] = {}
        self._instances: dict[str, InstanceNamespace] = {}
        self._instance_enis: dict[str, tuple[EniAttachment, Mapping[int, EniAttachment]]] = {}
        self._opening = threading.Lock()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="network")

    async def start(self) -> None:
        """Prepare the folder of pins and take over the VPCs of an earlier process."""
        await self._run(self._start)

    async def close(self) -> None:
        """Close sockets and threads. All networks go on."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for router in self._routers.values():
            router.close()
        self._routers.clear()
        for instance in self._instances.values():
            instance.close()
        self._instances.clear()

    async def apply_vpc(self, config: VpcConfig) -> None:
        """The VPC's namespace exists, with groups, lists, routes and NAT gateways as given. Costs nothing if nothing
        changed."""
        if self._applied.get(config.vpc.id) == config:
            return
        await self._run(lambda: self._apply_vpc(config))
        self._applied[config.vpc.id] = config

    async def remove_vpc(self, vpc_id: str) -> None:
        """The namespace of the VPC is dropped, with every link in it."""
        self._applied.pop(vpc_id, None)
        await self._run(lambda: self._remove_vpc(vpc_id))

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        """The namespaces of other VPCs are dropped."""
        for pin in list(self._folder.glob("vpc-*")):
            if pin.name not in vpc_ids:
                await self.remove_vpc(pin.name)

    async def attach_task(self, task_key: str, eni: EniAttachment) -> Path:
        """The task's namespace, with eth0, address, route and security groups. Idempotent.

        Returns: the path of the pinned namespace.
        Raises: VpcNotReady; NetlinkError or OSError with what the kernel refused.
        """
        if self._attached.get(task_key) == eni:
            return self.netns_path(task_key)
        return await self._run(lambda: self._attach(task_key, eni))

    async def release_task(self, task_key: str, eni: EniAttachment | None) -> None:
        """Nothing of the task's network is left (the kernel takes the links down within some 40 ms). Idempotent."""
        await self._run(lambda: self._release(task_key, eni))

    def netns_path(self, task_key: str) -> Path:
        """Where the task's namespace is pinned, whether it is there or not."""
        return self._folder / _pin_name("task", task_key)

    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
        """A namespace with eth0, eth1, … for these interfaces; what has an interface's address as source leaves by it.

        Returns: the path of the pinned namespace.
        """
        path = self._folder / _pin_name("lb", name)
        if self._balancers.get(name) != tuple(enis):
            await self._run(lambda: self._apply_balancer(path, vpc_id, enis))
            self._balancers[name] = tuple(enis)
        return str(path)

    async def remove_balancer_network(self, name: str) -> None:
        enis = self._balancers.pop(name, ())
        await self._run(lambda: self._remove_balancer(name, enis))

    async def apply_flows(self, vpc_id: str, flows: Sequence[Flow]) -> None:
        """These flows are led to their targets in the VPC, and no others; standing ones go on. Raises VpcNotReady."""

        def apply() -> None:
            try:
                router = self._router(vpc_id)
            except VpcNotReady:
                if flows:
                    raise
            else:
                router.apply_flows(tuple(flows))

        await self._run(apply)

    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        def count() -> dict[FlowOwner, FlowCounts]:
            return {key: each for router in list(self._routers.values()) for key, each in router.flow_counts().items()}

        return await self._run(count)

    async def standing_flows(self, target_group_arn: str) -> Mapping[tuple[str, int], int]:
        """How many flows are open by target."""

        def count() -> Counter[tuple[str, int]]:
            return Counter(
                flow.target
                for router in list(self._routers.values())
                for owner, flow in router.standing_flows()
                if owner.target_group_arn == target_group_arn
            )

        return await self._run(count)

    async def end_flows(self, target_group_arn: str, address: str, port: int) -> None:
        """Those to a target are forgotten. Idempotent."""

        def end() -> None:
            for router in list(self._routers.values()):
                router.end_flows(target_group_arn, address, port)

        await self._run(end)

    async def apply_instance(
        self, instance_id: str, eni: EniAttachment, further: Mapping[int, EniAttachment] = MappingProxyType({})
    ) -> None:
        """The instance's namespace, with eth0, its security groups and its bridge, and the interfaces attached besides,
        by device index. Idempotent. Raises VpcNotReady."""
        if self._instance_enis.get(instance_id) != (eni, further):
            await self._run(lambda: self._apply_instance(instance_id, eni, further))

    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        """Nothing of the instance's network is left. Idempotent."""
        await self._run(lambda: self._remove_instance(instance_id, eni))

    async def attach_placed(self, task_key: str, placement: Placement) -> None:
        """What the task has of its instance's network: a namespace for each container on the bridge, and its ports.
        Idempotent. Raises InstanceNotReady."""
        await self._run(lambda: self._attach_placed(task_key, placement))

    async def release_placed(self, task_key: str, placement: Placement) -> None:
        """Nothing of it is left. Idempotent."""
        await self._run(lambda: self._release_placed(task_key, placement))

    def instance_netns_path(self, instance_id: str) -> Path:
        """Where the instance's namespace is pinned, whether it is there or not."""
        return self._folder / f"ec2-{instance_id}"

    def container_netns_path(self, task_key: str, container: str) -> Path:
        """Where the namespace of a container on its instance's bridge is pinned, whether it is there or not."""
        return self._folder / _pin_name("bridged", f"{task_key}-{container}")

    async def recover(
        self,
        enis_by_task: Mapping[str, EniAttachment],
        balancer_names: Collection[str],
        placements_by_task: Mapping[str, Placement],
    ) -> None:
        """After a restart: drop namespaces of tasks and load balancers that are no more, complete those that are.
        Instances stay as they are; their ports are those of these tasks."""
        await self._run(lambda: self._recover(enis_by_task, balancer_names))
        await self._run(lambda: self._recover_placed(placements_by_task))

    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool:
        """Whether a TCP connection from that namespace is accepted within a second."""
        return await probe.accepts(Path(netns_path), address, port, self._run)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # --- in worker threads ---

    def _start(self) -> None:
        netns.prepare_folder(self._folder)
        for pin in self._folder.glob("vpc-*"):
            if netns.is_pinned(pin):
                self._router(pin.name, make=True)
            else:
                pin.unlink()

    def _router(self, vpc_id: str, *, make: bool = False) -> Router:
        router = self._routers.get(vpc_id)
        if router is not None:
            return router
        with self._opening:
            router = self._routers.get(vpc_id)
            if router is None:
                pin = self._folder / vpc_id
                if not make and not netns.is_pinned(pin):
                    raise VpcNotReady(f"the network of {vpc_id} is not there yet")
                router = self._routers[vpc_id] = Router(
                    vpc_id, pin, self._uplink(vpc_id), FlowFile(self._flow_file(vpc_id)), self._door(vpc_id)
                )
                self._open_sockets(router)
                self._open_resolver(router, RESOLVER_ADDRESS)
        return router

    def _open_resolver(self, router: Router, address: str) -> None:
        if self._on_resolver is None:
            return
        try:
            opened = router.listen_for_names(address)
        except OSError as error:
            log.error("%s has no resolver at %s: %s", router.vpc_id, address, error)
            return
        if opened:
            self._on_resolver(router.vpc_id, opened)

    def _open_sockets(self, router: Router) -> None:
        if self._on_sockets is None:
            return
        ports = [METADATA_PORT, self._settings.port]
        try:
            self._on_sockets(router.vpc_id, router.listen(ports))
        except OSError as error:
            log.error("tasks in %s have no metadata endpoint: %s", router.vpc_id, error)

    def _uplink(self, vpc_id: str) -> Uplink | None:
        if self._settings.egress == "none":
            return None
        return Uplink(self._settings.instance_id, vpc_id, _outside(self._settings))

    def _door(self, vpc_id: str) -> Door:
        return Door(self._settings.instance_id, vpc_id)

    def _flow_file(self, vpc_id: str) -> Path:
        return self._settings.run_dir / "flows" / f"{vpc_id}.json"

    def _remove_vpc(self, vpc_id: str) -> None:
        router = self._routers.pop(vpc_id, None)
        if router is not None:
            if self._on_sockets is not None:
                self._on_sockets(vpc_id, ())  # an open socket would keep the namespace
            if self._on_resolver is not None:
                self._on_resolver(vpc_id, ())
            router.close()
        if self._flow_file(vpc_id).exists():
            self._door(vpc_id).remove()
        for pin in self._folder.glob(f"nat-{vpc_id}-*"):
            netns.drop(pin)
        netns.drop(self._folder / vpc_id)
        self._flow_file(vpc_id).unlink(missing_ok=True)

    def _apply_vpc(self, config: VpcConfig) -> None:
        router = self._router(config.vpc.id, make=True)
        router.apply(config)
        self._open_resolver(router, vpc_rule.resolver_address(config.vpc.cidr_block))
        pins = {self._nat_pin(config.vpc.id, each.nat_gateway_id): each for each in config.nat_gateways}
        for pin, nat in pins.items():
            self._ensure_nat(router, pin, nat.eni)
        router.apply_routes(config)
        for pin in self._folder.glob(f"nat-{config.vpc.id}-*"):
            if pin not in pins:
                netns.drop(pin)

    def _nat_pin(self, vpc_id: str, nat_gateway_id: str) -> Path:
        return self._folder / f"nat-{vpc_id}-{nat_gateway_id.removeprefix('nat-')}"

    @staticmethod
    def _ensure_nat(router: Router, pin: Path, eni: EniConfig) -> None:
        if netns.is_pinned(pin):
            if eni.address in _addresses_in(pin) and router.has_leg(eni.eni_id):
                return
            netns.drop(pin)  # half made when an earlier process ended
        rt, fd = netns.create(pin, nat_gateway.inside)
        try:
            leg = router.add_leg(eni.eni_id, eni.address, eni.mac_address, netns_fd=fd)
            rt.request(
                [
                    rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX),
                    rtnetlink.add_address(_TASK_INDEX, eni.address, eni.prefix_length),
                    rtnetlink.link_up(_TASK_INDEX),
                    rtnetlink.permanent_neighbour(_TASK_INDEX, eni.gateway, ROUTER_MAC),
                    rtnetlink.default_route(eni.gateway, _TASK_INDEX, source=eni.address),
                ]
            )
            router.settle(leg)
        except OSError:
            netns.drop(pin)
            raise
        finally:
            rt.close()
            os.close(fd)

    def _attach(self, task_key: str, eni: EniAttachment) -> Path:
        pin = self.netns_path(task_key)
        router = self._router(eni.vpc_id)
        router.admit(eni.eni_id, eni.address, eni.security_group_ids, eni.public_address)
        if netns.is_pinned(pin):
            if eni.address in _addresses_in(pin) and router.has_leg(eni.eni_id):
                self._attached[task_key] = eni
                return pin
            netns.drop(pin)  # half made when an earlier process ended
        rt, fd = netns.create(pin, _inside_of_task)
        try:
            leg = router.add_leg(eni.eni_id, eni.address, eni.mac_address, netns_fd=fd)
            failpoint.reach(self._settings.failpoint, "within-create-network")
            rt.request(
                [
                    rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX),
                    rtnetlink.add_address(_TASK_INDEX, eni.address, eni.prefix_length),
                    rtnetlink.link_up(_TASK_INDEX),
                    rtnetlink.permanent_neighbour(_TASK_INDEX, eni.gateway, ROUTER_MAC),
                    rtnetlink.default_route(eni.gateway, _TASK_INDEX, source=eni.address),
                ]
            )
            router.settle(leg)
        except OSError:
            netns.drop(pin)
            router.expel(eni.eni_id, eni.address)
            raise
        finally:
            rt.close()
            os.close(fd)
        self._attached[task_key] = eni
        return pin

    def _release(self, task_key: str, eni: EniAttachment | None) -> None:
        known = self._attached.pop(task_key, None)
        for each in {known, eni} - {None}:
            assert each is not None
            with suppress(VpcNotReady):
                self._router(each.vpc_id).expel(each.eni_id, each.address)
        failpoint.reach(self._settings.failpoint, "within-release-network")
        netns.drop(self.netns_path(task_key))

    def _apply_balancer(self, pin: Path, vpc_id: str, enis: Sequence[EniConfig]) -> None:
        router = self._router(vpc_id)
        for eni in enis:
            router.admit(eni.eni_id, eni.address, eni.security_group_ids or (UNGUARDED,))
            router.lead_public(eni.address, eni.prefix_length, eni.public_address)
        if netns.is_pinned(pin):
            rt, fd = netns.within(pin, _sockets_inside)
        else:
            rt, fd = netns.create(pin, _inside_of_balancer)
        try:
            rt.request([rtnetlink.link_up(rtnetlink.LOOPBACK_INDEX)])
            present = {address: index for index, address in rtnetlink.addresses(rt)}
            names = {link.index: link.name for link in rtnetlink.links(rt)}
            wanted = {eni.address for eni in enis}
            for address, index in present.items():
                if address not in wanted and index != rtnetlink.LOOPBACK_INDEX:
                    router.expel_address(address)
                    rt.request([rtnetlink.delete_link(names.pop(index))])
            for eni in enis:
                index = present.get(eni.address, 0)
                if not index or not router.has_leg(eni.eni_id):
                    index = next(i for i in range(_TASK_INDEX, _TASK_INDEX + 100) if i not in names)
                    names[index] = f"eth{index - _TASK_INDEX}"
                    leg = router.add_leg(
                        eni.eni_id,
                        eni.address,
                        eni.mac_address,
                        netns_fd=fd,
                        peer_name=names[index],
                        peer_index=index,
                    )
                    self._configure_leg(rt, eni, index)
                    router.settle(leg)
            if not enis:
                return
            present = {address: index for index, address in rtnetlink.addresses(rt)}
            for eni in enis:
                if eni.keeps_clients:
                    self._take_as_clients(rt, names[present[eni.address]])
                router.keep_clients(eni.eni_id, eni.address, kept=eni.keeps_clients)
            first = enis[0]
            rt.request([rtnetlink.default_route(first.gateway, present[first.address], source=first.address)])
        finally:
            rt.close()
            os.close(fd)

    @staticmethod
    def _configure_leg(rt: NetlinkSocket, eni: EniConfig, index: int) -> None:
        table = _LEG_TABLE + index
        messages: list[Message] = [
            rtnetlink.add_address(index, eni.address, eni.prefix_length),
            rtnetlink.link_up(index),
            rtnetlink.permanent_neighbour(index, eni.gateway, ROUTER_MAC),
            rtnetlink.default_route(eni.gateway, index, source=eni.address, table=table),
        ]
        rt.request(messages)
        _ensure_rule(rt, rtnetlink.block_rule(f"{eni.address}/32", table, _LEG_RULE_PRIORITY + index, add=True))

    @staticmethod
    def _take_as_clients(rt: NetlinkSocket, link: str) -> None:
        """Whatever comes by this link is for the proxy's sockets here, whoever's address it is sent to."""
        rt.request(
            [
                rtnetlink.put_route(
                    rtnetlink.Route(
                        table=_CLIENTS_TABLE,
                        destination="0.0.0.0/0",
                        kind=rtnetlink.RTN_LOCAL,
                        index=rtnetlink.LOOPBACK_INDEX,
                    )
                )
            ]
        )
        _ensure_rule(rt, rtnetlink.link_rule(link, _CLIENTS_TABLE, _CLIENTS_RULE_PRIORITY))

    def _remove_balancer(self, name: str, enis: Sequence[EniConfig]) -> None:
        pin = self._folder / _pin_name("lb", name)
        for eni in enis:
            with suppress(VpcNotReady):
                self._router(eni.vpc_id).expel(eni.eni_id, eni.address)
        netns.drop(pin)

    def _recover(self, enis_by_task: Mapping[str, EniAttachment], balancer_names: Collection[str]) -> None:
        wanted = {_pin_name("task", key) for key in enis_by_task} | {_pin_name("lb", name) for name in balancer_names}
        live: dict[str, set[str]] = {}
        for pin in self._folder.iterdir():
            if pin.name.startswith(("task-", "lb-")) and pin.name not in wanted:
                netns.drop(pin)
        for eni in enis_by_task.values():
            live.setdefault(eni.vpc_id, set()).add(eni.address)
        # A load balancer's legs are known by its name only; its addresses can not be those of another VPC's members
        # that matter here: keeping one too many in a set harms nobody, forgetting one cuts a load balancer off.
        pins = (*self._folder.glob("lb-*"), *self._folder.glob("ec2-*"))
        legs = {address for pin in pins for address in _addresses_in(pin)}
        for vpc_id, router in self._routers.items():
            router.expel_others(live.get(vpc_id, set()) | legs)
        for task_key, eni in enis_by_task.items():
            try:
                self._attach(task_key, eni)
            except (OSError, VpcNotReady) as error:
                log.warning("network of task %s could not be taken over: %s", task_key, error)

    # --- container instances, in worker threads ---

    def _apply_instance(self, instance_id: str, eni: EniAttachment, further: Mapping[int, EniAttachment]) -> None:
        router = self._router(eni.vpc_id)
        router.admit(eni.eni_id, eni.address, eni.security_group_ids, eni.public_address)
        pin = self.instance_netns_path(instance_id)
        instance = self._instance(instance_id, make=True)
        if not (instance.is_whole() and router.has_leg(eni.eni_id)):
            if instance.is_whole() or rtnetlink.links(instance.rt)[1:]:
                # Half made when an earlier process ended, or its VPC was made anew.
                self._close_instance(instance_id)
                netns.drop(pin)
                instance = self._instance(instance_id, make=True)
            instance.make_bridge()
            leg = router.add_leg(eni.eni_id, eni.address, eni.mac_address, netns_fd=instance.fd)
            instance.rt.request(
                [
                    rtnetlink.add_address(_TASK_INDEX, eni.address, eni.prefix_length),
                    rtnetlink.link_up(_TASK_INDEX),
                    rtnetlink.permanent_neighbour(_TASK_INDEX, eni.gateway, ROUTER_MAC),
                    rtnetlink.default_route(eni.gateway, _TASK_INDEX, source=eni.address),
                ]
            )
            router.settle(leg)
        instance_interface.apply(router, instance.rt, instance.fd, eni, further)
        self._instance_enis[instance_id] = eni, further

    def _instance(self, instance_id: str, *, make: bool = False) -> InstanceNamespace:
        with self._opening:
            instance = self._instances.get(instance_id)
            if instance is None:
                pin = self.instance_netns_path(instance_id)
                if not make and not netns.is_pinned(pin):
                    raise InstanceNotReady(f"the network of {instance_id} is not there yet")
                instance = self._instances[instance_id] = InstanceNamespace(pin, self._instance_endpoints())
                if self._on_sockets is not None:
                    try:
                        self._on_sockets(instance_id, instance.listen())
                    except OSError as error:
                        log.error("tasks on %s have no metadata endpoint: %s", instance_id, error)
        return instance

    def _instance_endpoints(self) -> dict[tuple[str, int], int]:
        """The tasks' metadata, the instance's, and the API."""
        return {
            (ADDRESS, METADATA_PORT): AGENT_PORTS[0],
            (INSTANCE_METADATA_ADDRESS, METADATA_PORT): AGENT_PORTS[0],
            (ADDRESS, self._settings.port): AGENT_PORTS[1],
        }

    def _close_instance(self, instance_id: str) -> None:
        self._instance_enis.pop(instance_id, None)
        instance = self._instances.pop(instance_id, None)
        if instance is not None:
            if self._on_sockets is not None:
                self._on_sockets(instance_id, ())  # an open socket would keep the namespace
            instance.close()

    def _remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        known, further = self._instance_enis.get(instance_id, (None, {}))
        for each in {known, eni, *further.values()} - {None}:
            assert each is not None
            with suppress(VpcNotReady):
                router = self._router(each.vpc_id)
                for address in (each.address, *each.secondary_addresses):
                    router.expel(each.eni_id, address)
        pin = self.instance_netns_path(instance_id)
        if eni is not None:
            with suppress(VpcNotReady):
                router = self._router(eni.vpc_id)
                for address in _addresses_in(pin):  # also of what an earlier process attached
                    router.expel_address(address)
        self._close_instance(instance_id)
        netns.drop(pin)

    def _attach_placed(self, task_key: str, placement: Placement) -> None:
        instance = self._instance(placement.instance_id)
        if not instance.is_whole():
            raise InstanceNotReady(f"the network of {placement.instance_id} is not there yet")
        for endpoint in placement.endpoints:
            instance.connect(endpoint, self.container_netns_path(task_key, endpoint.container))
        if placement.endpoints and placement.bindings:
            instance.publish(task_key, placement)

    def _release_placed(self, task_key: str, placement: Placement) -> None:
        with suppress(InstanceNotReady):
            self._instance(placement.instance_id).withdraw(task_key)
        for endpoint in placement.endpoints:
            netns.drop(self.container_netns_path(task_key, endpoint.container))

    def _recover_placed(self, placements_by_task: Mapping[str, Placement]) -> None:
        wanted = {
            self.container_netns_path(key, each.container)
            for key, placement in placements_by_task.items()
            for each in placement.endpoints
        }
        for pin in self._folder.glob("bridged-*"):
            if pin not in wanted:
                netns.drop(pin)
        for pin in self._folder.glob("ec2-*"):
            if not netns.is_pinned(pin):
                pin.unlink()
                continue
            instance_id = pin.name.removeprefix("ec2-")
            here = {key: each for key, each in placements_by_task.items() if each.instance_id == instance_id}
            try:
                instance = self._instance(instance_id)
                if instance.is_whole():
                    instance.adopt({key: each for key, each in here.items() if each.endpoints and each.bindings})
            except OSError as error:
                log.warning("network of instance %s could not be taken over: %s", instance_id, error)


def _ensure_rule(rt: NetlinkSocket, rule: Message) -> None:
    """Args: rule: one that is to be added."""
    try:
        rt.request([rule])
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise


def teardown(settings: Settings) -> None:
    """Remove every namespace, link and table of the instance. For a Portside that does not run; needs no daemon.

    Containers that still run keep their own namespace, without a network.
    """
    netns.remove_folder(settings.run_dir / "netns")
    shutil.rmtree(settings.run_dir / "flows", ignore_errors=True)
    remove_doors(settings.instance_id)
    if settings.egress != "none":
        with suppress(FileNotFoundError):
            remove_outside(settings.instance_id, _outside(settings))
    with suppress(OSError):  # others of the instance are there, too
        settings.run_dir.rmdir()


def public_addresses(settings: Settings) -> str | None:
    """The block from which tasks get public addresses; None where there is no way out."""
    return None if settings.egress == "none" else public_block(settings.instance_id)


def _outside(settings: Settings) -> Path | None:
    return None if settings.egress == "host" else Path(settings.egress)


def _pin_name(kind: str, key: str) -> str:
    """A file name that tells people what it is and is unique for the key."""
    readable = re.sub(r"[^A-Za-z0-9-]", "-", key.rsplit("/", 1)[-1])[:64]
    return f"{kind}-{readable}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _addresses_in(pin: Path) -> set[str]:
    """All addresses in a pinned namespace but the loopback's; empty if it is not one."""
    if not netns.is_pinned(pin):
        return set()

    def inside() -> set[str]:
        rt = rtnetlink.rt_socket()
        try:
            return instance_interface.addresses(rt)
        finally:
            rt.close()

    return netns.within(pin, inside)


def _sockets_inside() -> tuple[NetlinkSocket, int]:
    return rtnetlink.rt_socket(), os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _inside_of_task() -> tuple[NetlinkSocket, int]:
    # The loopback device keeps ::1, which programs bind to; eth0, made later, gets no IPv6.
    with suppress(FileNotFoundError):
        netns.write_sysctl("ipv6/conf/default/disable_ipv6", "1")
    return _sockets_inside()


def _inside_of_balancer() -> tuple[NetlinkSocket, int]:
    with suppress(FileNotFoundError):
        netns.write_sysctl("ipv6/conf/default/disable_ipv6", "1")
    for name in ("all", "default"):
        netns.write_sysctl(f"ipv4/conf/{name}/rp_filter", "0")
    return _sockets_inside()
