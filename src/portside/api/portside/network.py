"""VPCs as one JSON document: the extension behind `portside network`, `/_portside/network`."""

from typing import Any

from portside.domain import vpc_route
from portside.domain.cloud_map import DiscoveryInstance, Health, Namespace
from portside.domain.cloud_map_rule import ALIAS, CNAME, IPV4, IPV6, PORT
from portside.domain.network_acl_rule import in_order, lets_all_pass
from portside.domain.table import (
    DISCOVERY_INSTANCE,
    DISCOVERY_SERVICE,
    ENI,
    INTERNET_GATEWAY,
    NAMESPACE,
    NAT_GATEWAY,
    NETWORK_ACL,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    TASK,
    VPC,
)
from portside.domain.vpc import Eni, NetworkAclEntry, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from portside.domain.vpc_route import ResolvedRoute, Target
from portside.store.interface import Store

_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


def network(store: Store) -> dict[str, Any]:
    """Every VPC with its subnets, what is in them, where they lead, and who may talk to whom."""
    return {"vpcs": [_vpc(store, each) for each in store.scan(VPC)]}


def _vpc(store: Store, vpc: Vpc) -> dict[str, Any]:
    names = {each.id: each.name for each in store.find(SECURITY_GROUP, "vpc", vpc.id)}
    enis = store.find(ENI, "vpc", vpc.id)
    used = {group_id for eni in enis for group_id in eni.security_group_ids}
    return {
        "account": vpc.scope.account,
        "region": vpc.scope.region,
        "id": vpc.id,
        "cidrBlocks": list(vpc_route.cidr_blocks(vpc)),
        "isDefault": vpc.is_default,
        "subnets": [_subnet(store, vpc, each, names) for each in store.find(SUBNET, "vpc", vpc.id)],
        "securityGroups": [
            _group(each, names, is_used=each.id in used) for each in store.find(SECURITY_GROUP, "vpc", vpc.id)
        ],
        "hasResolver": vpc.dns_support,
        "namespaces": [_namespace(store, vpc, each) for each in store.find(NAMESPACE, "vpc", vpc.id)],
    }


def _namespace(store: Store, vpc: Vpc, namespace: Namespace) -> dict[str, Any]:
    """`resolves`: whether the VPC's attributes let its names resolve."""
    return {
        "name": namespace.name,
        "resolves": vpc.dns_support and vpc.dns_hostnames,
        "services": [
            {
                "name": f"{each.name}.{namespace.name}",
                "records": [record.type for record in each.records],
                "instances": [
                    {"id": one.id, "value": _value(one), "isHealthy": one.health is not Health.UNHEALTHY}
                    for one in store.find(DISCOVERY_INSTANCE, "service", each.id)
                ],
            }
            for each in store.find(DISCOVERY_SERVICE, "namespace", namespace.id)
            if each.records
        ],
    }


def _value(instance: DiscoveryInstance) -> str:
    """Where an instance's name leads."""
    named = instance.attributes
    found = named.get(ALIAS) or named.get(CNAME) or named.get(IPV4) or named.get(IPV6) or ""
    return f"{found}:{named[PORT]}" if PORT in named else found


def _subnet(store: Store, vpc: Vpc, subnet: Subnet, names: dict[str, str]) -> dict[str, Any]:
    table = vpc_route.table_of(store.find(ROUTE_TABLE, "vpc", vpc.id), subnet.id)
    gateways = {each.id: each for each in store.find(INTERNET_GATEWAY, "vpc", vpc.id)}
    nats = {each.id: each for each in store.find(NAT_GATEWAY, "vpc", vpc.id)}
    acl = next(
        (
            each
            for each in store.find(NETWORK_ACL, "vpc", vpc.id)
            if any(association.subnet_id == subnet.id for association in each.associations)
        ),
        None,
    )
    return {
        "id": subnet.id,
        "cidrBlock": subnet.cidr_block,
        "zone": subnet.zone,
        "routeTable": table.id if table is not None else None,
        "routes": [
            {
                "destination": each.destination,
                "to": _target(vpc_route.resolved(each, vpc.id, gateways, nats), each.gateway_id or each.nat_gateway_id),
            }
            for each in (table.routes if table is not None else ())
        ],
        "networkAcl": acl.id if acl is not None else None,
        "entries": (
            [_entry(each) for each in in_order(acl.entries)]
            if acl is not None and not lets_all_pass(acl.entries)
            else []
        ),
        "interfaces": [_interface(store, each, names) for each in store.find(ENI, "subnet", subnet.id)],
    }


def _target(route: ResolvedRoute, target_id: str | None) -> str:
    return f"nowhere: {target_id} is gone" if route.target is Target.BLACKHOLE else target_id or ""


def _interface(store: Store, eni: Eni, names: dict[str, str]) -> dict[str, Any]:
    return {
        "id": eni.id,
        "address": eni.address,
        "publicAddress": eni.public_address,
        "owner": _owner(eni),
        "securityGroups": [names.get(each, each) for each in eni.security_group_ids],
        "securityGroupIds": list(eni.security_group_ids),
        "holder": _holder(store, eni),
    }


def _holder(store: Store, eni: Eni) -> dict[str, Any]:
    """What has it. `name` is what many of a kind have in common: the group of a task (`service:web`, `family:job`).

    Returns: {"kind": task, instance, balancer, gateway, files or none, "name", "id"}, of a task with "cluster", of an
        instance with "tasks", of which it has so many in its own network."""
    kind, _, rest = eni.owner.partition(":")
    last = rest.rsplit("/", 1)[-1]
    match kind:
        case "task":
            task = store.get(TASK, rest)
            name = task.group if task is not None and task.group else last
            return {"kind": "task", "name": name, "id": last, "cluster": rest.split("/")[-2]}
        case "loadbalancer":
            return {"kind": "balancer", "name": rest.split("/")[-2], "id": last}
        case "instance":
            placed = store.find(TASK, "on_instance", f"{eni.scope.prefix}{rest}")
            return {"kind": "instance", "name": rest, "id": rest, "tasks": sum(each.eni is None for each in placed)}
        case "natgateway":
            return {"kind": "gateway", "name": rest, "id": rest}
        case "mounttarget":
            return {"kind": "files", "name": rest, "id": rest}
        case _:
            return {"kind": "none", "name": eni.description, "id": eni.id}


def _owner(eni: Eni) -> str:
    """task 4f…, instance i-…, load balancer web, NAT gateway nat-…, or nobody."""
    kind, _, rest = eni.owner.partition(":")
    last = rest.rsplit("/", 1)[-1]
    match kind:
        case "task":
            return f"task {last}"
        case "loadbalancer":
            return f"load balancer {rest.split('/')[-2]}"
        case "instance" | "natgateway":
            return f"{'instance' if kind == 'instance' else 'NAT gateway'} {rest}"
        case _:
            return "nobody"


def _group(group: SecurityGroup, names: dict[str, str], *, is_used: bool) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "isUsed": is_used,
        "in": [_rule(each, names) for each in group.rules if not each.egress],
        "out": [_rule(each, names) for each in group.rules if each.egress],
    }


def _rule(rule: SecurityGroupRule, names: dict[str, str]) -> str:
    """tcp 80 with 10.0.0.0/8 (sgr-…)"""
    other = rule.cidr or rule.cidr_v6 or names.get(rule.group_id or "", rule.group_id or "")
    return f"{_what(rule.protocol, rule.from_port, rule.to_port)} with {other} ({rule.id})"


def _entry(entry: NetworkAclEntry) -> str:
    """in 100: allows tcp 80 with 0.0.0.0/0"""
    direction, verb = "out" if entry.egress else "in", "allows" if entry.allow else "denies"
    what = _what(entry.protocol, entry.from_port, entry.to_port)
    return f"{direction} {entry.rule_number}: {verb} {what} with {entry.cidr or entry.cidr_v6}"


def _what(protocol: str, first: int | None, last: int | None) -> str:
    name = _PROTOCOLS.get(protocol, protocol)
    if name == "-1":
        return "everything"
    if first is None or first == -1 or (first, last) == (0, 65535):
        return name
    if name == "icmp":
        return f"icmp type {first}"
    return f"{name} {first}" if first == last else f"{name} {first}-{last}"
