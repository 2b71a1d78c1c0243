"""Keeps the load balancers' data plane as the store has it, and the targets' health as the data plane sees it.

Four kinds of workers, each serial: one per load balancer for its interfaces and namespace; one for the configuration
of all of them (so that changes that come together are applied together); one for health reports; one for draining
targets.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Set
from datetime import datetime, timedelta
from typing import Final, Literal

from portside.balancer.interface import Balancer, BalancerConfig, BalancerRefused, HealthReport, ServerCertificate
from portside.control.arrivals import Arrivals
from portside.control.enis import Enis
from portside.control.loop import Loop
from portside.control.vpcs import VpcLoop
from portside.domain import arn, elastic_address
from portside.domain.certificate import Certificate
from portside.domain.clock import Clock, Ids
from portside.domain.complaint import Complaint
from portside.domain.flow import Flow, abandoned_targets, flows, kernel_listeners, transparent_listeners
from portside.domain.iam import ServerCertificate as IamCertificate
from portside.domain.load_balancer import Listener, LoadBalancer, Rule, Target, TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import (
    NOT_ENABLED,
    deregistration_delay_s,
    forwarded_groups,
    is_enabled,
    is_usable,
    suffix,
    terminates,
    used_groups,
)
from portside.domain.pace import REAL, shortened
from portside.domain.record import Scope, replace
from portside.domain.refusal import Refused
from portside.domain.table import (
    ELASTIC_ADDRESS,
    ENI,
    LISTENER,
    LOAD_BALANCER,
    RULE,
    TARGET,
    TARGET_GROUP,
    VPC,
)
from portside.domain.task.record import EniAttachment, NetworkRequest
from portside.domain.vpc import Eni
from portside.node.interface import EniConfig, Node
from portside.store.interface import ANY, Change, Conflict, Delete, Put, Store, Write
from portside.vault.authority import private_key, served_certificate
from portside.vault.interface import Vault, VaultError

log = logging.getLogger(__name__)

CONFIG: Final = "config"
HEALTH: Final = "health"
DRAIN: Final = "drain"
TOLD: Final = "told"
OWNER: Final = "loadbalancer:"

POLL: Final = timedelta(milliseconds=200)
"""How often open requests are counted while something drains."""
SETTLE: Final = timedelta(milliseconds=100)
"""Between a target's removal and the first count: Envoy's workers take a change a moment after its main thread did."""
RETRY: Final = timedelta(seconds=2)
PROXIED: Final = ("TLS", "TCP", "TCP_UDP")
"""Protocols of listeners that a proxy may carry."""
TOLD_AFTER: Final = timedelta(seconds=1)
"""How long a target may be without a result before it is recorded that its checks go on."""


class BalancerLoop:
    """
    Args:
        node: makes the balancers' namespaces.
        balancer: the data plane; started and fed here, closed by its owner.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        node: Node,
        balancer: Balancer,
        enis: Enis,
        vpcs: VpcLoop,
        vault: Vault,
        *,
        pace: float = REAL,
    ) -> None:
        self._pace = pace
        self._store, self._clock, self._ids = store, clock, ids
        self._node, self._balancer, self._enis, self._vpcs = node, balancer, enis, vpcs
        self._vault = vault
        self._loop = Loop("balancer", clock, self._step)
        self._arrivals = Arrivals(clock, node.accepts_connections, lambda: self._loop.wake(CONFIG))
        self._netns: dict[str, str] = {}  # by load balancer ARN
        self._keeping: set[str] = set()  # ARNs whose legs are such that the proxy may send as its clients
        self._visited: set[str] = set()  # ARNs whose interfaces and namespace were looked at, with success or without
        self._served: set[str] = set()  # ARNs in the configuration that the data plane has
        self._serving: set[str] = set()  # ARNs in the one that it is being given
        self._led: set[str] = set()  # VPCs whose routers lead flows
        self._applied = False  # once since our start: before that, it may have any of an earlier process
        self._abandoned: set[tuple[str, str, int]] = set()  # group, address, port whose flows were ended
        self._draining: dict[str, datetime] = {}  # target key -> since when the data plane knows
        self._told: dict[tuple[str, str, int], datetime] = {}  # group, address, port -> since when the data plane knows
        self._reports: dict[str, HealthReport] = {}  # target key -> report not yet recorded
        self._started = False
        self._complaint = Complaint()
        self._end: Callable[[], None] | None = None

    async def start(self) -> None:
        """Take everything up again, level-triggered. An unusable data plane is logged and tried again."""
        self._end = self._store.subscribe(self._changed)
        for balancer in self._store.scan(LOAD_BALANCER):
            self._loop.wake(balancer.arn)
        for eni in self._store.scan(ENI):
            if eni.owner.startswith(OWNER):
                self._loop.wake(eni.owner.removeprefix(OWNER))
        for address in self._store.scan(ELASTIC_ADDRESS):
            if address.load_balancer_arn:
                self._loop.wake(address.load_balancer_arn)
        self._loop.wake(CONFIG)

    async def close(self) -> None:
        """Stop following the store. The data plane runs on; `balancer` is closed by its owner."""
        if self._end is not None:
            self._end()
            self._end = None
        await self._arrivals.close()
        await self._loop.close()

    # --- what wakes whom --------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        record = change.value or change.old
        if isinstance(record, LoadBalancer):
            self._loop.wake(record.arn)
            self._loop.wake(CONFIG)
        elif isinstance(change.old, Target) and change.value == replace(change.old, is_being_checked=True):
            return  # nothing for the data plane
        elif isinstance(record, Listener | Rule | TargetGroup | Target | Certificate | IamCertificate):
            self._loop.wake(CONFIG)
            if isinstance(record, Listener | TargetGroup):
                self._wake_proxies(record)
            if change.kind == TARGET and change.value is None:
                self._arrivals.forget(change.key)

    def _wake_proxies(self, record: Listener | TargetGroup) -> None:
        """Load balancers whose proxies may have to connect as their clients from now on, for which legs are made."""
        if isinstance(record, TargetGroup):
            listeners = [
                each
                for each in self._store.scan(LISTENER, record.scope.prefix)
                if each.protocol in PROXIED and record.arn in forwarded_groups(each.default_action)
            ]
        else:
            listeners = [record] if record.protocol in PROXIED else []
        for each in listeners:
            if self._store.get(LOAD_BALANCER, f"{each.scope.prefix}{each.load_balancer_arn}") is not None:
                self._loop.wake(each.load_balancer_arn)

    def _report(self, report: HealthReport) -> None:
        prefix = f"{_scope(report.target_group_arn).prefix}{report.target_group_arn}/"
        key = f"{prefix}{report.target_id}:{report.port}"
        if self._store.get(TARGET, key) is None:  # an instance, which the data plane knows by its address
            for target in self._store.find(TARGET, "target_group", report.target_group_arn):
                if (target.address, target.port) == (report.target_id, report.port):
                    key = TARGET.key(target)
        self._reports[key] = report
        self._loop.wake(HEALTH)

    async def _step(self, key: str) -> datetime | None:
        match key:
            case "config":
                return await self._configure()
            case "health":
                self._record_health()
                self._loop.finish(key)
                return None
            case "told":
                wake_at = self._record_told()
                if wake_at is None:
                    self._loop.finish(key)
                return wake_at
            case "drain":
                wake_at = await self._watch_draining()
                if wake_at is None:
                    self._loop.finish(key)
                return wake_at
            case balancer_arn:
                return await self._network(balancer_arn)

    # --- interfaces and namespace -----------------------------------------------------------------------------------

    async def _network(self, balancer_arn: str) -> datetime | None:
        try:
            return await self._connect(balancer_arn)
        finally:
            if balancer_arn not in self._visited:
                self._visited.add(balancer_arn)
                if not self._applied:
                    self._loop.wake(CONFIG)

    async def _connect(self, balancer_arn: str) -> datetime | None:
        scope = _scope(balancer_arn)
        balancer = self._store.get(LOAD_BALANCER, f"{scope.prefix}{balancer_arn}")
        if balancer is None:
            return await self._remove(scope, balancer_arn)
        try:
            attachments = self._legs(balancer)
            await self._vpcs.ensure(scope, balancer.vpc_id)
        except Refused as refusal:
            self._set_state(balancer_arn, "failed", refusal.message)
            return self._clock.now() + RETRY
        # once they do they go on to, as far as the node is concerned: so no change is out of step with the data plane's
        keeps_clients = balancer_arn in self._keeping or self._keeps_clients(balancer)
        netns = await self._node.apply_balancer_network(
            suffix(balancer_arn),
            balancer.vpc_id,
            [_eni_config(attachment, keeps_clients=keeps_clients) for attachment in attachments],
        )
        if keeps_clients and balancer_arn not in self._keeping:
            self._keeping.add(balancer_arn)
            self._loop.wake(CONFIG)
        if self._netns.get(balancer_arn) != netns:
            self._netns[balancer_arn] = netns
            self._loop.wake(CONFIG)
        surplus = self._surplus(balancer)
        if surplus:
            for eni in surplus:
                self._enis.release(scope, eni.id)
        current = self._store.get(LOAD_BALANCER, LOAD_BALANCER.key(balancer))
        if current is not None:
            self._free_elastic_addresses(balancer_arn, {zone.allocation_id for zone in current.zones})
        return None

    def _keeps_clients(self, balancer: LoadBalancer) -> bool:
        listeners = self._store.find(LISTENER, "load_balancer", balancer.arn)
        groups = [
            group
            for group_arn in used_groups(listeners, ())
            if (group := self._store.get(TARGET_GROUP, f"{balancer.scope.prefix}{group_arn}")) is not None
        ]
        targets = [each for group in groups for each in self._store.find(TARGET, "target_group", group.arn)]
        return bool(transparent_listeners(balancer, listeners, groups, targets))

    def _legs(self, balancer: LoadBalancer) -> list[EniAttachment]:
        """One interface per zone, recorded; with the balancer's groups. Raises Refused."""
        enis = {eni.subnet_id: eni for eni in self._owned(balancer.arn)}
        attachments: list[EniAttachment] = []
        zones: list[ZoneMapping] = []
        for zone in balancer.zones:
            eni = enis.get(zone.subnet_id)
            if eni is None:
                attachment = self._enis.allocate(
                    scope=balancer.scope,
                    request=NetworkRequest(
                        subnet_ids=(zone.subnet_id,), security_group_ids=balancer.security_group_ids
                    ),
                    owner=OWNER + balancer.arn,
                    description=f"ELB {_described(balancer)}",
                    zone_load={},
                    now=self._clock.now(),
                    attachment_id="",
                    interface_type="load_balancer",
                    address=zone.static_address,
                    unguarded=not balancer.security_group_ids,
                )
            else:
                if eni.security_group_ids != balancer.security_group_ids:
                    eni = replace(eni, security_group_ids=balancer.security_group_ids)
                    self._store.transact(Put(ENI, eni))
                attachment = self._enis.attachment(eni)
            if zone.allocation_id:
                attachment = self._with_elastic_address(balancer, zone, attachment)
            attachments.append(attachment)
            host = ""
            if balancer.scheme == "internet-facing":
                host = self._balancer.claim_host_address(suffix(balancer.arn), zone.zone, zone.host_address)
            zones.append(replace(zone, eni_id=attachment.eni_id, address=attachment.address, host_address=host))
        if tuple(zones) != balancer.zones:
            key = LOAD_BALANCER.key(balancer)
            stored = self._store.read(LOAD_BALANCER, key)
            if stored is None:
                raise Conflict(LOAD_BALANCER.name, key, ANY, 0)
            if [z.subnet_id for z in stored.value.zones] == [z.subnet_id for z in zones]:
                self._store.transact(Put(LOAD_BALANCER, replace(stored.value, zones=tuple(zones)), stored.version))
        return attachments

    def _with_elastic_address(
        self, balancer: LoadBalancer, zone: ZoneMapping, attachment: EniAttachment
    ) -> EniAttachment:
        """The interface with the address that the load balancer was given for this zone; recorded."""
        address = self._store.get(ELASTIC_ADDRESS, balancer.scope.prefix + zone.allocation_id)
        eni = self._store.get(ENI, balancer.scope.prefix + attachment.eni_id)
        if address is None or eni is None or address.load_balancer_arn != balancer.arn:
            return attachment
        if address.eni_id != eni.id:
            given, eni = elastic_address.associated(address, eni, f"eipassoc-0{self._ids.hex(16)}")
            self._store.transact(Put(ELASTIC_ADDRESS, given), Put(ENI, eni))
        return self._enis.attachment(eni)

    def _free_elastic_addresses(self, balancer_arn: str, kept: Container[str] = ()) -> None:
        """Those that the load balancer has, or was to have, are nobody's again, and may be given to others."""
        held = self._store.find(ELASTIC_ADDRESS, "load_balancer", balancer_arn)
        writes = [Put(ELASTIC_ADDRESS, elastic_address.disassociated(each)) for each in held if each.id not in kept]
        if writes:
            self._store.transact(*writes)

    def _surplus(self, balancer: LoadBalancer) -> list[Eni]:
        """Interfaces in subnets that the balancer has left, once its namespace is without them."""
        current = self._store.get(LOAD_BALANCER, LOAD_BALANCER.key(balancer))
        subnets = {zone.subnet_id for zone in (current or balancer).zones}
        return [eni for eni in self._owned(balancer.arn) if eni.subnet_id not in subnets]

    async def _remove(self, scope: Scope, balancer_arn: str) -> datetime | None:
        """Listeners first, then the namespace, then the interfaces: no address is free while something answers on
        it."""
        if balancer_arn in self._served | self._serving or not self._applied:
            self._loop.wake(CONFIG)
            return self._clock.now() + RETRY
        self._netns.pop(balancer_arn, None)
        self._visited.discard(balancer_arn)
        self._keeping.discard(balancer_arn)
        await self._node.remove_balancer_network(suffix(balancer_arn))
        self._balancer.release_host_addresses(suffix(balancer_arn))
        for eni in self._owned(balancer_arn):
            self._enis.release(scope, eni.id)
        self._free_elastic_addresses(balancer_arn)
        self._loop.finish(balancer_arn)
        return None

    def _owned(self, balancer_arn: str) -> list[Eni]:
        return self._store.find(ENI, "owner", OWNER + balancer_arn)

    def _set_state(self, balancer_arn: str, state: Literal["active", "failed"], reason: str = "") -> None:
        stored = self._store.read(LOAD_BALANCER, f"{_scope(balancer_arn).prefix}{balancer_arn}")
        if stored is None or (stored.value.state, stored.value.state_reason) == (state, reason):
            return
        changed = replace(stored.value, state=state, state_reason=reason)
        self._store.transact(Put(LOAD_BALANCER, changed, stored.version))

    # --- configuration ----------------------------------------------------------------------------------------------

    async def _configure(self) -> datetime | None:
        if not self._started:
            try:
                await self._balancer.start(self._report)
            except Exception as error:
                if self._complaint.is_due(str(error), self._clock.now().timestamp()):
                    log.error("the load balancers' data plane does not start, it is tried again: %s", error)
                for balancer in list(self._store.scan(LOAD_BALANCER)):
                    self._set_state(balancer.arn, "failed", str(error))
                return self._clock.now() + RETRY
            self._started = True
        if not self._applied and not self._surveyed():
            return None
        configs = self._configs()
        await self._end_overdue_flows()
        draining = self._due()
        not_led = await self._lead_flows(configs)
        self._serving = {config.load_balancer.arn for config in configs}
        try:
            await self._balancer.apply(configs)
        except BalancerRefused as refusal:
            if self._complaint.is_due(str(refusal), self._clock.now().timestamp()):
                log.error("the load balancers' data plane refused a change: %s", refusal)
            concerned = refusal.load_balancers or (self._serving - self._served)
            if refusal.load_balancers:
                self._applied = True
                self._serve(self._serving, failed=concerned)
                self._follow_draining(draining)
            for balancer_arn in concerned:
                self._set_state(balancer_arn, "failed", str(refusal))
            return self._clock.now() + RETRY
        self._applied = True
        self._complaint.end()
        self._note_told(configs)
        self._serve(self._serving, failed=not_led)
        await self._end_abandoned_flows(configs)
        wake_at = self._follow_draining(draining)
        if not_led:
            retry_at = self._clock.now() + RETRY
            return min(wake_at, retry_at) if wake_at is not None else retry_at
        return wake_at

    def _surveyed(self) -> bool:
        """Whether each load balancer that may be served since an earlier process was looked at. A configuration made
        before that would take it away from under its clients."""
        return all(
            balancer.arn in self._visited
            for balancer in self._store.scan(LOAD_BALANCER)
            if all(zone.address for zone in balancer.zones)
        )

    def _configs(self) -> list[BalancerConfig]:
        """Every load balancer that has its addresses and namespace."""
        configs: list[BalancerConfig] = []
        legs: dict[str, set[str]] = {}  # by VPC
        for balancer in self._store.scan(LOAD_BALANCER):
            legs.setdefault(balancer.vpc_id, set()).update(zone.address for zone in balancer.zones)
        for balancer in self._store.scan(LOAD_BALANCER):
            netns = self._netns.get(balancer.arn)
            if netns is None or not all(zone.address for zone in balancer.zones):
                continue
            listeners = tuple(self._store.find(LISTENER, "load_balancer", balancer.arn))
            rules = tuple(rule for listener in listeners for rule in self._store.find(RULE, "listener", listener.arn))
            groups: list[TargetGroup] = []
            targets: list[Target] = []
            for group_arn in sorted(used_groups(listeners, rules)):
                group = self._store.get(TARGET_GROUP, f"{balancer.scope.prefix}{group_arn}")
                if group is not None:
                    groups.append(group)
                    targets += self._arrived_targets(group, netns, balancer, legs)
            configs.append(
                BalancerConfig(
                    load_balancer=balancer,
                    netns_path=netns,
                    listeners=listeners,
                    rules=rules,
                    target_groups=tuple(groups),
                    targets=tuple(targets),
                    in_kernel=kernel_listeners(balancer, listeners, groups, targets),
                    transparent=transparent_listeners(balancer, listeners, groups, targets)
                    if balancer.arn in self._keeping
                    else frozenset(),
                    certificates=self._certificates(balancer.scope, listeners),
                )
            )
        return configs

    async def _lead_flows(self, configs: Iterable[BalancerConfig]) -> set[str]:
        """The routers of VPCs lead what needs no proxy. One that can not holds up nobody else.

        Returns: the ARNs of load balancers whose flows are not led as they should be."""
        wanted: dict[str, list[Flow]] = {}
        for config in configs:
            balancer = config.load_balancer
            listeners = [each for each in config.listeners if each.arn in config.in_kernel]
            if listeners:
                wanted.setdefault(balancer.vpc_id, []).extend(
                    flows(balancer, listeners, config.target_groups, config.targets)
                )
        led = self._led if self._applied else {vpc.id for vpc in self._store.scan(VPC)}
        for vpc_id in led - wanted.keys():
            await self._node.apply_flows(vpc_id, ())
        failed: set[str] = set()
        for vpc_id, several in wanted.items():
            try:
                await self._node.apply_flows(vpc_id, several)
            except Exception as error:
                log.error("the router of %s does not lead the flows of its load balancers: %s", vpc_id, error)
                for balancer_arn in {each.load_balancer_arn for each in several}:
                    failed.add(balancer_arn)
                    self._set_state(balancer_arn, "failed", str(error))
        self._led = set(wanted)
        return failed

    def _certificates(self, scope: Scope, listeners: Iterable[Listener]) -> tuple[ServerCertificate, ...]:
        """Of all listeners, opened. One that can not be opened is left out, and said."""
        arns = {arn for each in listeners for arn in (each.certificate_arn, *each.certificate_list) if arn}
        found: list[ServerCertificate] = []
        for certificate_arn in sorted(arns):
            certificate = served_certificate(self._store, scope.prefix, certificate_arn)
            if certificate is None:
                continue
            try:
                key_pem = private_key(self._vault, certificate)
            except VaultError as error:
                log.error("the private key of %s can not be read: %s", certificate_arn, error)
                continue
            chain_pem = certificate.pem + certificate.chain_pem
            found.append(ServerCertificate(arn=certificate_arn, chain_pem=chain_pem, key_pem=key_pem))
        return tuple(found)

    def _arrived_targets(
        self, group: TargetGroup, netns: str, balancer: LoadBalancer, legs: Mapping[str, Set[str]]
    ) -> list[Target]:
        """As the data plane knows them: by address. What is in no zone of the load balancer's gets nothing."""
        found: list[Target] = []
        for target in self._store.find(TARGET, "target_group", group.arn):
            if not is_enabled(target, [balancer]) or not is_usable(target, legs[balancer.vpc_id]):
                continue
            by_address = replace(target, id=target.address)
            if self._arrivals.is_here(TARGET.key(target), by_address, group, netns):
                found.append(by_address)
        return found

    def _serve(self, now_served: set[str], failed: Set[str] = frozenset()) -> None:
        gone, self._served = self._served - now_served, now_served
        for balancer_arn in gone:
            self._loop.wake(balancer_arn)
        for balancer_arn in now_served - failed:
            self._set_state(balancer_arn, "active")
        live = {balancer.arn for balancer in self._store.scan(LOAD_BALANCER)}
        for eni in self._store.scan(ENI):
            owner = eni.owner.removeprefix(OWNER)
            if eni.owner.startswith(OWNER) and owner not in live:
                self._loop.wake(owner)

    # --- registration -----------------------------------------------------------------------------------------------

    def _note_told(self, configs: Iterable[BalancerConfig]) -> None:
        """The data plane has these targets, and checks them. Most are healthy a moment later: only the others are worth
        a write."""
        now = self._clock.now()
        waiting = {
            (each.target_group_arn, each.address, each.port)
            for config in configs
            for each in config.targets
            if each.checked == "unknown" and not each.is_being_checked and each.deregistered_at is None
        }
        self._told = {place: self._told.get(place, now) for place in waiting}
        if self._told:
            self._loop.wake(TOLD)

    def _record_told(self) -> datetime | None:
        now = self._clock.now()
        writes: list[Write] = []
        for place, since in list(self._told.items()):
            if now - since < TOLD_AFTER:
                continue
            del self._told[place]
            for target in self._store.find(TARGET, "target_group", place[0]):
                is_meant = (target.address, target.port) == place[1:] and target.checked == "unknown"
                if is_meant and not target.is_being_checked and target.deregistered_at is None:
                    writes.append(Put(TARGET, replace(target, is_being_checked=True)))
        if writes:
            self._store.transact(*writes)
        return min(self._told.values()) + TOLD_AFTER if self._told else None

    # --- draining ---------------------------------------------------------------------------------------------------

    async def _end_overdue_flows(self) -> None:
        """Of targets whose deregistration delay is over, where their groups say that connections end with it."""
        now = self._clock.now()
        for target in list(self._store.scan(TARGET)):
            deadline = self._deadline(target)
            if deadline is None or now < deadline or target.drained_at is not None:
                continue
            group = self._store.get(TARGET_GROUP, f"{target.scope.prefix}{target.target_group_arn}")
            if group is not None and terminates(group):
                await self._end_flows(group.arn, target.address, target.port)

    async def _end_abandoned_flows(self, configs: Iterable[BalancerConfig]) -> None:
        """Of targets that became unhealthy, once new flows go elsewhere."""
        abandoned: set[tuple[str, str, int]] = set()
        for each in configs:
            abandoned |= abandoned_targets(each.load_balancer, each.target_groups, each.targets)
        for place in sorted(abandoned - self._abandoned):
            await self._end_flows(*place)
        self._abandoned = abandoned

    async def _end_flows(self, group_arn: str, address: str, port: int) -> None:
        await self._node.end_flows(group_arn, address, port)
        try:
            await self._balancer.end_connections(group_arn, address, port)
        except BalancerRefused as error:
            log.warning("%s", error)

    def _due(self) -> set[str]:
        """End what has drained long enough; returns the keys of targets that still drain.

        A target of a group that no load balancer uses has nothing to wait for."""
        now = self._clock.now()
        writes: list[Write] = []
        draining: set[str] = set()
        used = self._used()
        for target in self._store.scan(TARGET):
            key = TARGET.key(target)
            in_use = target.target_group_arn in used
            is_used = in_use and is_enabled(target, used[target.target_group_arn])
            if target.deregistered_at is not None:
                deadline = self._deadline(target)
                if not is_used or deadline is None or now >= deadline:
                    writes.append(Delete(TARGET, key))
                elif target.drained_at is None:
                    draining.add(key)
            elif not is_used or target.failure_code == NOT_ENABLED.reason:
                # nothing checks it any more, or yet: when it is used, it is checked from the start
                unknown = replace(
                    target,
                    checked="unknown",
                    checked_at=None,
                    is_being_checked=False,
                    failure_code=NOT_ENABLED.reason if in_use and not is_used else "",
                    failure_detail=NOT_ENABLED.description if in_use and not is_used else "",
                )
                if unknown != target:
                    writes.append(Put(TARGET, unknown))
        if writes:
            self._store.transact(*writes)
        return draining

    def _used(self) -> dict[str, list[LoadBalancer]]:
        """By target group: the load balancers that use it."""
        balancers = {each.arn: each for each in self._store.scan(LOAD_BALANCER)}
        listeners = {each.arn: each for each in self._store.scan(LISTENER)}
        actions = [(each.arn, each.default_action) for each in listeners.values()]
        actions += [(each.listener_arn, each.action) for each in self._store.scan(RULE)]
        found: dict[str, dict[str, LoadBalancer]] = {}
        for listener_arn, action in actions:
            listener = listeners.get(listener_arn)
            balancer = balancers.get(listener.load_balancer_arn) if listener is not None else None
            for group_arn in forwarded_groups(action):
                used = found.setdefault(group_arn, {})
                if balancer is not None:
                    used[balancer.arn] = balancer
        return {group_arn: list(used.values()) for group_arn, used in found.items()}

    def _deadline(self, target: Target) -> datetime | None:
        group = self._store.get(TARGET_GROUP, f"{target.scope.prefix}{target.target_group_arn}")
        if group is None or target.deregistered_at is None:
            return None
        return target.deregistered_at + shortened(deregistration_delay_s(group), target.pace or self._pace)

    def _follow_draining(self, draining: set[str]) -> datetime | None:
        """The data plane has taken these as draining: count their requests from now on. Returns when the next one
        ends."""
        now = self._clock.now()
        self._draining = {key: self._draining.get(key, now) for key in draining}
        if self._draining:
            self._loop.wake(DRAIN)
        deadlines = [
            deadline
            for target in self._store.scan(TARGET)
            if target.deregistered_at is not None and (deadline := self._deadline(target)) is not None
        ]
        return min(deadlines, default=None)

    async def _watch_draining(self) -> datetime | None:
        now = self._clock.now()
        ready: dict[str, list[Target]] = {}
        for key, since in list(self._draining.items()):
            target = self._store.get(TARGET, key)
            if target is None or target.deregistered_at is None or target.drained_at is not None:
                self._draining.pop(key, None)
            elif now - since >= SETTLE:
                ready.setdefault(target.target_group_arn, []).append(target)
        for group_arn, targets in ready.items():
            try:
                open_requests = await self._balancer.open_requests(group_arn)
                open_flows = await self._node.standing_flows(group_arn)
            except Exception as error:
                log.warning("can not count the open requests of %s: %s", group_arn, error)
                continue
            for target in targets:
                place = target.address, target.port
                if open_requests.get(place, 0) + open_flows.get(place, 0) == 0:
                    self._drained(target)
        return self._clock.now() + POLL if self._draining else None

    def _drained(self, target: Target) -> None:
        key = TARGET.key(target)
        stored = self._store.read(TARGET, key)
        if stored is not None and stored.value.deregistered_at == target.deregistered_at:
            self._store.transact(Put(TARGET, replace(stored.value, drained_at=self._clock.now()), stored.version))
        self._draining.pop(key, None)

    # --- health -----------------------------------------------------------------------------------------------------

    def _record_health(self) -> None:
        """Write all reports that came in, in one commit. What can not be written stays for the next try."""
        now = self._clock.now()
        writes: list[Write] = []
        taken = dict(self._reports)
        for key, report in taken.items():
            stored = self._store.read(TARGET, key)
            if stored is None or stored.value.deregistered_at is not None:
                continue
            known = stored.value
            if (known.checked, known.failure_code, known.failure_detail) == (
                report.state,
                report.reason_code,
                report.detail,
            ):
                continue
            changed = replace(
                known,
                checked=report.state,
                checked_at=known.checked_at if known.checked == report.state else now,
                failure_code=report.reason_code,
                failure_detail=report.detail,
            )
            writes.append(Put(TARGET, changed, stored.version))
        if writes:
            self._store.transact(*writes)
        for key, report in taken.items():
            if self._reports.get(key) is report:
                del self._reports[key]


def _described(balancer: LoadBalancer) -> str:
    """As interfaces name it, on AWS, too."""
    return balancer.name if balancer.type == "classic" else balancer.arn.partition(":loadbalancer/")[2]


def _scope(balancer_arn: str) -> Scope:
    parsed = arn.parse(balancer_arn)
    assert parsed is not None, balancer_arn
    return Scope(account=parsed.account, region=parsed.region)


def _eni_config(attachment: EniAttachment, *, keeps_clients: bool) -> EniConfig:
    return EniConfig(
        eni_id=attachment.eni_id,
        vpc_id=attachment.vpc_id,
        address=attachment.address,
        prefix_length=attachment.prefix_length,
        gateway=attachment.gateway,
        mac_address=attachment.mac_address,
        security_group_ids=attachment.security_group_ids,
        public_address=attachment.public_address,
        keeps_clients=keeps_clients,
    )
