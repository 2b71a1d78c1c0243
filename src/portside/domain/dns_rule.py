"""What the resolver of a VPC answers: Cloud Map's names, private host names, reverse lookups.

Source: Amazon VPC user guide, "DNS attributes for your VPC" and "Amazon DNS server"; Route 53 developer guide,
"Multivalue answer routing"; Cloud Map API reference, DnsConfig and DnsRecord.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from portside.domain.cloud_map import DiscoveryInstance, DiscoveryService, DnsRecord, Health, Namespace
from portside.domain.cloud_map_rule import ALIAS, CNAME, IPV4, IPV6, PORT
from portside.domain.dns import Answer, Code, Question, ResourceRecord, Soa, Srv, Type
from portside.domain.vpc_rule import private_domain

ANSWERS_MOST: Final = 8
"""Values in an answer of the multivalue policy."""
ZONE_SERVER: Final = "ns-1536.awsdns-00.co.uk"
ZONE_MAILBOX: Final = "awsdns-hostmaster.amazon.com"
ZONE_MINIMUM_S: Final = 86400
NS_TTL_S: Final = 172800
HOST_TTL_S: Final = 60
"""Of private host names and of load balancers, as AWS gives them."""
_HOST: Final = re.compile(r"ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.(.+)")
_PUBLIC_HOST: Final = re.compile(
    r"ec2-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.(?:compute-1|[a-z0-9-]+\.compute)\.amazonaws\.com"
)
_REVERSE: Final = ".in-addr.arpa"
_NOT_PUBLIC: Final = tuple(
    ipaddress.IPv4Network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10")
)

Pick = Callable[[Sequence[DiscoveryInstance], int], Sequence[DiscoveryInstance]]
"""As many of them at random, in random order."""
Addresses = Callable[[str], Sequence[str]]
"""Those of a load balancer, by its name."""


def namespace_of(name: str, namespaces: Collection[Namespace]) -> Namespace | None:
    """The namespace that a name is in: the longest one."""
    found = [each for each in namespaces if name == (zone := each.name.lower()) or name.endswith(f".{zone}")]
    return max(found, key=lambda each: len(each.name), default=None)


def soa_of(namespace: Namespace) -> ResourceRecord:
    return _soa(namespace.name.lower(), namespace.soa_ttl_s)


def of_apex(question: Question, namespace: Namespace) -> Answer:
    """The namespace's own name."""
    soa = soa_of(namespace)
    servers = ResourceRecord(namespace.name.lower(), Type.NS, NS_TTL_S, ZONE_SERVER)
    records = [each for each in (soa, servers) if question.type in (each.type, Type.ANY)]
    return _found(records, soa)


def of_service(
    question: Question,
    namespace: Namespace,
    service: DiscoveryService,
    instances: Sequence[DiscoveryInstance],
    pick: Pick,
    addresses: Addresses,
) -> Answer:
    """The name of a service: up to eight of its healthy instances, or one where they are weighted. When none is
    healthy all of them count as healthy. Without instances there is no such name. An instance that is an alias of a
    load balancer has that one's addresses."""
    if not instances:
        return missing(namespace)
    records: list[ResourceRecord] = []
    for record in service.records:
        kind = Type[record.type]
        if kind is not Type.CNAME and question.type not in (kind, Type.ANY):
            continue
        count = 1 if service.routing_policy == "WEIGHTED" else ANSWERS_MOST
        good = [each for each in instances if each.health is not Health.UNHEALTHY] or instances
        for each in pick(good, count):
            if ALIAS not in each.attributes:
                records.append(_record(question.name, kind, record, namespace, service, each))
            elif kind is Type.A:
                found = addresses(each.attributes[ALIAS].rstrip(".").lower())
                records += (ResourceRecord(question.name, kind, HOST_TTL_S, address) for address in found)
    return _found(records, soa_of(namespace))


def of_instance(
    question: Question, namespace: Namespace, service: DiscoveryService, instance: DiscoveryInstance | None
) -> Answer:
    """The name that an SRV record has for an instance: `INSTANCE.SERVICE.NAMESPACE`."""
    record = next((each for each in service.records if each.type == "SRV"), None)
    if instance is None or record is None:
        return missing(namespace)
    records = [
        ResourceRecord(question.name, kind, record.ttl_s, instance.attributes[attribute])
        for kind, attribute in ((Type.A, IPV4), (Type.AAAA, IPV6))
        if question.type in (kind, Type.ANY) and attribute in instance.attributes
    ]
    return _found(records, soa_of(namespace))


def missing(namespace: Namespace) -> Answer:
    return Answer(Code.NXDOMAIN, soa=soa_of(namespace))


def nothing(namespace: Namespace) -> Answer:
    """The name exists, for there are names below it."""
    return Answer(Code.NOERROR, soa=soa_of(namespace))


def host_address(name: str, region: str) -> str | None:
    """The address in a private host name of the region."""
    match = _HOST.fullmatch(name)
    return _address(match.groups()[:4]) if match is not None and match[5] == private_domain(region) else None


def public_host_address(name: str) -> str | None:
    """The address in a public host name of EC2."""
    match = _PUBLIC_HOST.fullmatch(name)
    return _address(match.groups()[:4]) if match is not None else None


def reverse_address(name: str) -> str | None:
    """The address that a reverse lookup is about; None for any other name."""
    if not name.endswith(_REVERSE):
        return None
    parts = name.removesuffix(_REVERSE).split(".")
    return _address(tuple(reversed(parts))) if len(parts) == 4 and all(map(str.isdecimal, parts)) else None


def is_public(address: str) -> bool:
    """Whether the world may be asked for the name of an address."""
    asked = ipaddress.IPv4Address(address)
    return not any(asked in block for block in _NOT_PUBLIC)


def of_host(question: Question, addresses: Collection[str], zone: str) -> Answer:
    """A name that has these addresses, and no records of other types; without addresses there is no such name."""
    soa = _soa(zone, HOST_TTL_S)
    if not addresses:
        return Answer(Code.NXDOMAIN, soa=soa)
    wanted = question.type in (Type.A, Type.ANY)
    return _found([ResourceRecord(question.name, Type.A, HOST_TTL_S, each) for each in addresses if wanted], soa)


def of_reverse(question: Question, host: str | None) -> Answer:
    """The host name of an address, or that there is none."""
    soa = _soa("in-addr.arpa", HOST_TTL_S)
    if host is None:
        return Answer(Code.NXDOMAIN, soa=soa)
    wanted = question.type in (Type.PTR, Type.ANY)
    return _found([ResourceRecord(question.name, Type.PTR, HOST_TTL_S, host)] if wanted else [], soa)


def _record(
    name: str,
    kind: Type,
    record: DnsRecord,
    namespace: Namespace,
    service: DiscoveryService,
    instance: DiscoveryInstance,
) -> ResourceRecord:
    attributes = instance.attributes
    data: str | Srv
    match kind:
        case Type.A:
            data = attributes[IPV4]
        case Type.AAAA:
            data = attributes[IPV6]
        case Type.CNAME:
            data = attributes[CNAME].rstrip(".").lower()
        case _:
            host = f"{instance.id}.{service.name}.{namespace.name}".lower()
            data = Srv(int(attributes[PORT]), host)
    return ResourceRecord(name, kind, record.ttl_s, data)


def _soa(zone: str, ttl_s: int) -> ResourceRecord:
    return ResourceRecord(zone, Type.SOA, ttl_s, Soa(ZONE_SERVER, ZONE_MAILBOX, ZONE_MINIMUM_S))


def _found(records: Sequence[ResourceRecord], soa: ResourceRecord) -> Answer:
    return Answer(Code.NOERROR, tuple(records), None if records else soa)


def _address(parts: Sequence[str]) -> str | None:
    numbers = [int(each) for each in parts]
    return ".".join(map(str, numbers)) if all(each <= 255 for each in numbers) else None
