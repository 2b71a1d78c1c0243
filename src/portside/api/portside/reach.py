"""Whether a packet would pass, and why: the extension behind `portside reach`, `/_portside/reach`; and with whom one
interface may talk at all, `/_portside/reach/of`."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from portside.domain import arn, network_acl_rule, reach, reach_span, vpc_route
from portside.domain.reach import Member, NatView, Network, Probe, SubnetView, Verdict
from portside.domain.table import (
    ENI,
    INSTANCE,
    INTERNET_GATEWAY,
    LOAD_BALANCER,
    NAT_GATEWAY,
    NETWORK_ACL,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    TASK,
    VPC,
)
from portside.domain.vpc import Eni, NatGatewayState, Vpc
from portside.store.interface import Store

_PROTOCOLS = ("tcp", "udp", "icmp")


class _Unknown(Exception):
    """Nothing, or nothing with an interface, is meant. The message says what."""


def answer(store: Store, query: Mapping[str, str], *, leads_out: bool) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        query: `from` and `to` (a task's id or its beginning, an instance, an interface, the name of a load balancer, or
            an address), `protocol` (tcp, udp, icmp), `port`.
        leads_out: whether anything is beyond internet gateways here.
    """
    protocol, port = query.get("protocol") or "tcp", query.get("port") or ""
    if protocol not in _PROTOCOLS:
        return 400, {"error": f"the protocol is tcp, udp or icmp, not {protocol}"}
    if protocol != "icmp" and not (port.isdigit() and 0 < int(port) < 65536):
        return 400, {"error": "a port from 1 to 65535 is needed"}
    probe = Probe(protocol=protocol, port=int(port) if protocol != "icmp" else 0)
    try:
        source, target = (_endpoint(store, query.get(name) or "") for name in ("from", "to"))
        source, target = _inside(store, source, target), _inside(store, target, source)
        verdict = _verdict(store, source, target, probe, leads_out=leads_out)
    except _Unknown as unknown:
        return 404, {"error": str(unknown)}
    return 200, {
        "from": _shown(source),
        "to": _shown(target),
        "protocol": protocol,
        "port": probe.port or None,
        "passes": verdict.passes,
        "why": list(verdict.why),
    }


def others(store: Store, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """HTTP status and document: what security groups let one interface and each other one of its VPC say to each other.

    Args:
        query: `from`, as for `answer`, but no address.

    Returns: {"interfaces": [{"id", "out": ["tcp 80"], "in": [...], "hasLists"}], "outside": {"out": [...], "in":
        [...]}}. `hasLists`: network ACLs that do not let all pass stand between the two, so `answer` is to be asked.
        `outside`: what rules say of blocks of addresses beyond the VPC.
    """
    try:
        source = _endpoint(store, query.get("from") or "")
        if isinstance(source, str):
            raise _Unknown("a task, an instance, an interface or a load balancer is needed, not an address")
        network = _network(store, source, leads_out=True)
    except _Unknown as unknown:
        return 404, {"error": str(unknown)}
    here = _member(source)
    strict = {
        each.subnet.id
        for each in network.subnets
        if each.acl is not None and not network_acl_rule.lets_all_pass(each.acl)
    }
    found = []
    for eni in store.find(ENI, "vpc", source.vpc_id):
        if eni.id == source.id:
            continue
        there, between = _member(eni), {source.subnet_id, eni.subnet_id}
        found.append(
            {
                "id": eni.id,
                "out": [each.words for each in reach_span.between(network, here, there)],
                "in": [each.words for each in reach_span.between(network, there, here)],
                "hasLists": len(between) > 1 and bool(between & strict),
            }
        )
    return 200, {"interfaces": found, "outside": _outside(network, here)}


def _outside(network: Network, member: Member) -> dict[str, list[str]]:
    """`tcp 443 with 0.0.0.0/0`, of rules about addresses that the VPC does not have."""
    inside = [ipaddress.IPv4Network(each) for each in network.cidr_blocks]
    found: dict[str, list[str]] = {"in": [], "out": []}
    for group_id in member.group_ids:
        group = network.groups.get(group_id)
        for rule in group.rules if group is not None else ():
            if rule.cidr is None or any(ipaddress.IPv4Network(rule.cidr).subnet_of(each) for each in inside):
                continue
            words = f"{reach_span.span_of(rule).words} with {rule.cidr}"
            side = found["out" if rule.egress else "in"]
            if words not in side:
                side.append(words)
    return found


def _verdict(store: Store, source: Eni | str, target: Eni | str, probe: Probe, *, leads_out: bool) -> Verdict:
    if isinstance(source, Eni):
        network = _network(store, source, leads_out=leads_out)
        if isinstance(target, str):
            return reach.to_world(network, _member(source), target, probe)
        if target.vpc_id != source.vpc_id:
            said = (
                f"{source.id} is in {source.vpc_id} and {target.id} in {target.vpc_id}: VPCs do not know of each other"
            )
            return Verdict(passes=False, why=(said,))
        return reach.between(network, _member(source), _member(target), probe)
    if isinstance(target, Eni):
        return reach.from_world(_network(store, target, leads_out=leads_out), source, _member(target), probe)
    raise _Unknown("one of the two must be in a VPC: a task, an instance, an interface or a load balancer")


def _endpoint(store: Store, named: str) -> Eni | str:
    """The interface that is meant, or the address as it is. Raises _Unknown."""
    try:
        return str(ipaddress.IPv4Address(named))
    except ValueError:
        pass
    if not named:
        raise _Unknown("where from and where to is needed")
    if named.startswith("eni-"):
        return _only(named, [each for each in store.scan(ENI) if each.id == named])
    if named.startswith("i-"):
        homes = [each.eni_id for each in store.scan(INSTANCE) if each.id == named]
        return _only(named, [each for each in store.scan(ENI) if each.id in homes])
    balancers = {f"loadbalancer:{each.arn}" for each in store.scan(LOAD_BALANCER) if named in (each.name, each.arn)}
    if balancers:
        return _only(named, [each for each in store.scan(ENI) if each.owner in balancers][:1])
    tasks = [
        task
        for task in store.scan(TASK)
        if task.id.startswith(named) or arn.task(task.scope, task.cluster, task.id) == named
    ]
    ids = {task.eni.eni_id for task in tasks if task.eni is not None}
    instances = {task.placement.instance_id for task in tasks if task.placement is not None and task.eni is None}
    ids |= {each.eni_id for each in store.scan(INSTANCE) if each.id in instances}
    return _only(named, [each for each in store.scan(ENI) if each.id in ids])


def _only(named: str, found: list[Eni]) -> Eni:
    if not found:
        raise _Unknown(f"{named} is no task, instance, load balancer or interface that has a network here")
    if len(found) > 1:
        raise _Unknown(f"{named} stands for several: {', '.join(each.id for each in found[:5])}")
    return found[0]


def _inside(store: Store, endpoint: Eni | str, other: Eni | str) -> Eni | str:
    """An address of the other end's VPC is the interface that has it. Raises _Unknown if none has."""
    if isinstance(endpoint, Eni) or not isinstance(other, Eni):
        return endpoint
    vpc = _vpc(store, other)
    if not vpc_route.is_local(vpc, f"{endpoint}/32"):
        return endpoint
    found = store.find(ENI, "place", f"{vpc.id}/{endpoint}")
    if not found:
        raise _Unknown(f"nobody in {vpc.id} has the address {endpoint}")
    return found[0]


def _vpc(store: Store, eni: Eni) -> Vpc:
    vpc = store.get(VPC, eni.scope.prefix + eni.vpc_id)
    if vpc is None:
        raise _Unknown(f"the VPC {eni.vpc_id} is gone")
    return vpc


def _member(eni: Eni) -> Member:
    return Member(name=eni.id, address=eni.address, group_ids=eni.security_group_ids, public_address=eni.public_address)


def _shown(endpoint: Eni | str) -> dict[str, Any]:
    if isinstance(endpoint, str):
        return {"address": endpoint}
    return {
        "address": endpoint.address,
        "publicAddress": endpoint.public_address,
        "networkInterfaceId": endpoint.id,
        "subnetId": endpoint.subnet_id,
        "vpcId": endpoint.vpc_id,
        "securityGroupIds": list(endpoint.security_group_ids),
    }


def _network(store: Store, eni: Eni, *, leads_out: bool) -> Network:
    vpc = _vpc(store, eni)
    tables = store.find(ROUTE_TABLE, "vpc", vpc.id)
    gateways = {each.id: each for each in store.find(INTERNET_GATEWAY, "vpc", vpc.id)}
    nats = {
        each.id: each
        for each in store.find(NAT_GATEWAY, "vpc", vpc.id)
        if each.state in (NatGatewayState.PENDING, NatGatewayState.AVAILABLE)
    }
    acls = {
        association.subnet_id: acl for acl in store.find(NETWORK_ACL, "vpc", vpc.id) for association in acl.associations
    }
    views = []
    for subnet in store.find(SUBNET, "vpc", vpc.id):
        table, acl = vpc_route.table_of(tables, subnet.id), acls.get(subnet.id)
        views.append(
            SubnetView(
                subnet=subnet,
                routes=tuple(
                    vpc_route.resolved(route, vpc.id, gateways, nats)
                    for route in (table.routes if table is not None else ())
                ),
                route_table_id=table.id if table is not None else "",
                acl=network_acl_rule.in_order(acl.entries) if acl is not None else None,
                acl_id=acl.id if acl is not None else "",
            )
        )
    return Network(
        vpc_id=vpc.id,
        cidr_blocks=vpc_route.cidr_blocks(vpc),
        subnets=tuple(views),
        groups={each.id: each for each in store.find(SECURITY_GROUP, "vpc", vpc.id)},
        nats=tuple(
            NatView(id=each.id, address=each.address, public_address=each.public_address or None)
            for each in nats.values()
        ),
        leads_out=leads_out,
    )
