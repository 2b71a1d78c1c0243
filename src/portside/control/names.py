"""What the resolver of each VPC knows by itself, read from the store with each question. Everything else is the
host's to resolve."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from portside.domain import dns_rule, vpc_rule
from portside.domain.cloud_map import DiscoveryInstance, Namespace
from portside.domain.dns import Answer, Code, Question, ResourceRecord, Type
from portside.domain.load_balancer import LoadBalancer, Target, TargetGroup
from portside.domain.load_balancer_rule import used_groups, zonal_name
from portside.domain.table import (
    DISCOVERY_INSTANCE,
    DISCOVERY_SERVICE,
    ENI,
    LISTENER,
    LOAD_BALANCER,
    NAMESPACE,
    RULE,
    TARGET,
    TARGET_GROUP,
    VPC,
)
from portside.domain.target_group_health import answering_zones
from portside.domain.vpc import Eni, Vpc
from portside.domain.vpc_route import cidr_blocks
from portside.store.interface import Store

BALANCER_ZONE: Final = "elb.localhost"
INSTANCE_DATA: Final = "169.254.169.254"


class Names:
    """Args: pick: as many of the instances at random, in random order."""

    def __init__(self, store: Store, pick: dns_rule.Pick) -> None:
        self._store, self._pick = store, pick

    def serves(self, vpc_id: str) -> bool:
        """Whether the VPC has a resolver: `enableDnsSupport`."""
        vpc = self._vpc(vpc_id)
        return vpc is not None and vpc.dns_support

    def answer(self, vpc_id: str, question: Question) -> Answer | None:
        """The answer of the VPC's own; None if others have to be asked.

        An alias is answered with itself alone: whoever asks follows it."""
        vpc = self._vpc(vpc_id)
        if vpc is None:
            return Answer(Code.SERVFAIL)
        name = question.name
        if name == "localhost" or name.endswith(".localhost"):
            return self._localhost(vpc, question)
        if vpc.dns_hostnames:  # as a private hosted zone asks for
            namespace = dns_rule.namespace_of(name, self._store.find(NAMESPACE, "vpc", vpc.id))
            if namespace is not None:
                return self._in_namespace(vpc, question, namespace)
        domain = vpc_rule.private_domain(vpc.scope.region)
        if name == domain or name.endswith(f".{domain}"):
            return self._host(vpc, question, domain)
        public = dns_rule.public_host_address(name) if vpc.dns_hostnames else None
        if public is not None:
            enis = [each for each in self._store.find(ENI, "vpc", vpc.id) if each.public_address == public]
            return dns_rule.of_host(question, [enis[0].address], "amazonaws.com") if enis else None
        if name.endswith(".in-addr.arpa"):
            return self._reverse(vpc, question)
        return None

    def _vpc(self, vpc_id: str) -> Vpc | None:
        found = self._store.find(VPC, "id", vpc_id)
        return found[0] if found else None

    def _localhost(self, vpc: Vpc, question: Question) -> Answer:
        """Load balancers have names below it, which lead to their interfaces here; every other one is the asker itself
        (RFC 6761)."""
        if not question.name.endswith(f".{BALANCER_ZONE}"):
            return dns_rule.of_host(question, ["127.0.0.1"], "localhost")
        return dns_rule.of_host(question, self._balancer(vpc, question.name), BALANCER_ZONE)

    def _balancer(self, vpc: Vpc, name: str) -> Sequence[str]:
        """The addresses that a load balancer has in the VPC, or the one in the zone that the name begins with."""
        found = [each for each in self._store.find(LOAD_BALANCER, "dns_name", name) if each.vpc_id == vpc.id]
        zones = [zone for each in found for zone in answering_zones(each, list(self._groups(each)), self._targets)]
        if not found:
            outer = name.partition(".")[2]
            zones = [
                zone
                for each in self._store.find(LOAD_BALANCER, "dns_name", outer)
                for zone in each.zones
                if each.vpc_id == vpc.id and zonal_name(each, zone).lower() == name
            ]
        return [zone.address for zone in zones if zone.address]

    def _groups(self, balancer: LoadBalancer) -> Iterator[TargetGroup]:
        listeners = self._store.find(LISTENER, "load_balancer", balancer.arn)
        rules = [rule for listener in listeners for rule in self._store.find(RULE, "listener", listener.arn)]
        for group_arn in used_groups(listeners, rules):
            group = self._store.get(TARGET_GROUP, f"{balancer.scope.prefix}{group_arn}")
            if group is not None:
                yield group

    def _targets(self, group_arn: str) -> Sequence[Target]:
        return self._store.find(TARGET, "target_group", group_arn)

    def _in_namespace(self, vpc: Vpc, question: Question, namespace: Namespace) -> Answer:
        zone = namespace.name.lower()
        if question.name == zone:
            return dns_rule.of_apex(question, namespace)
        inner = question.name.removesuffix(f".{zone}")
        service = self._store.find(DISCOVERY_SERVICE, "dns_name", f"{namespace.id}/{inner}")
        if service:
            instances = self._instances(service[0].id)
            return dns_rule.of_service(
                question, namespace, service[0], instances, self._pick, lambda name: self._balancer(vpc, name)
            )
        instance_id, _, outer = inner.partition(".")
        service = self._store.find(DISCOVERY_SERVICE, "dns_name", f"{namespace.id}/{outer}")
        if service:
            named = [each for each in self._instances(service[0].id) if each.id.lower() == instance_id]
            return dns_rule.of_instance(question, namespace, service[0], named[0] if named else None)
        below = (
            each.name.lower().endswith(f".{inner}") and self._instances(each.id)
            for each in self._store.find(DISCOVERY_SERVICE, "dotted", namespace.id)
        )
        return dns_rule.nothing(namespace) if any(below) else dns_rule.missing(namespace)

    def _instances(self, service_id: str) -> Sequence[DiscoveryInstance]:
        return self._store.find(DISCOVERY_INSTANCE, "service", service_id)

    def _host(self, vpc: Vpc, question: Question, domain: str) -> Answer:
        if question.name == f"instance-data.{domain}":
            return dns_rule.of_host(question, [INSTANCE_DATA], domain)
        address = dns_rule.host_address(question.name, vpc.scope.region)
        found = address is not None and self._eni(vpc, address) is not None
        return dns_rule.of_host(question, [address] if found and address is not None else [], domain)

    def _reverse(self, vpc: Vpc, question: Question) -> Answer | None:
        address = dns_rule.reverse_address(question.name)
        if address is None:
            return None
        if any(ipaddress.IPv4Address(address) in ipaddress.IPv4Network(block) for block in cidr_blocks(vpc)):
            known = self._eni(vpc, address) is not None
            host = vpc_rule.private_dns_name(address, vpc.scope.region)
            return dns_rule.of_reverse(question, host if known else None)
        return None if dns_rule.is_public(address) else dns_rule.of_reverse(question, None)

    def _eni(self, vpc: Vpc, address: str) -> Eni | None:
        """The interface that has the address, as its first or as a secondary one."""
        found = self._store.find(ENI, "place", f"{vpc.id}/{address}")
        if found:
            return found[0]
        every = self._store.find(ENI, "vpc", vpc.id)
        return next((each for each in every if address in each.secondary_addresses), None)


def alias_of(answer: Answer, question: Question) -> ResourceRecord | None:
    """The alias that the answer is, if what was asked for is not the alias itself."""
    if question.type in (Type.CNAME, Type.ANY):
        return None
    return next((each for each in answer.records if each.type is Type.CNAME), None)
