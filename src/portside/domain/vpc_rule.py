"""Rules of VPC networking: addresses of a subnet, names derived from them, zones, security group permissions.

Pure. AWS's words where AWS has them; `api/ec2` maps refusals to its codes.
"""

import ipaddress
from collections.abc import Collection, Iterator

from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.vpc import Eni, SecurityGroupRule

RESERVED_FIRST = 4
"""Network address, router (+1), DNS (+2), future use (+3):
https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html; the last address is the fifth."""

DEFAULT_VPC_CIDR = "172.31.0.0/16"
DEFAULT_SUBNET_CIDRS = ("172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20")
ZONE_LETTERS = ("a", "b", "c")
MAX_RULES_PER_DIRECTION = 60
"""https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html"""

_SIDES = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "central": "c",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
}
_PROTOCOLS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "icmp": "icmp", "1": "icmp", "all": "-1", "-1": "-1"}
_PROTOCOLS |= {"icmpv6": "icmpv6", "58": "icmpv6"}


def prefix_length(cidr: str) -> int:
    return ipaddress.IPv4Network(cidr).prefixlen


def gateway(cidr: str) -> str:
    """The router's address: the first after the network's own."""
    return str(ipaddress.IPv4Network(cidr)[1])


def usable_count(cidr: str) -> int:
    """How many addresses a subnet has for interfaces."""
    return max(0, ipaddress.IPv4Network(cidr).num_addresses - RESERVED_FIRST - 1)


def next_address(cidr: str, used: Collection[int], after: int = 0) -> int | None:
    """The next free address as a number, searching upwards from `after` and round; None if there is none.

    Next fit lets an address that was just released rest for as long as possible.
    """
    network = ipaddress.IPv4Network(cidr)
    first = int(network.network_address) + RESERVED_FIRST
    last = int(network.broadcast_address) - 1
    start = after + 1 if first <= after < last else first
    for number in _round(first, start, last):
        if number not in used:
            return number
    return None


def _round(first: int, start: int, last: int) -> Iterator[int]:
    yield from range(start, last + 1)
    yield from range(first, start)


def free_address(cidr: str, used: Collection[str]) -> str | None:
    """The first free address; None if there is none."""
    number = next_address(cidr, {int(ipaddress.IPv4Address(each)) for each in used})
    return None if number is None else str(ipaddress.IPv4Address(number))


def detached(eni: Eni) -> Eni:
    """The interface, available again; its addresses stay."""
    return replace(eni, owner="", attachment_id="", device_index=0, delete_on_termination=True, attached_at=None)


def is_usable(address: str, cidr: str) -> bool:
    """Whether an interface in the subnet may have the address, apart from who else has it."""
    try:
        number = int(ipaddress.IPv4Address(address))
    except ValueError:
        return False
    network = ipaddress.IPv4Network(cidr)
    return int(network.network_address) + RESERVED_FIRST <= number < int(network.broadcast_address)


def contains(outer: str, inner: str) -> bool:
    """Whether the one block holds every address of the other."""
    return ipaddress.IPv4Network(inner).subnet_of(ipaddress.IPv4Network(outer))


def overlap(one: str, other: str) -> bool:
    return ipaddress.IPv4Network(one).overlaps(ipaddress.IPv4Network(other))


def private_dns_name(address: str, region: str) -> str:
    return f"ip-{address.replace('.', '-')}.{private_domain(region)}"


def private_domain(region: str) -> str:
    """The domain of private host names."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


def resolver_address(block: str) -> str:
    """Where a VPC's resolver answers, besides the link-local address: the second address behind the network's."""
    return str(ipaddress.IPv4Network(block).network_address + 2)


def zone_id(region: str, letter: str) -> str:
    """use1-az1 for us-east-1a, and so on: AWS's abbreviation of the region, and the zone's number.

    In AWS the letter of a zone differs between accounts; here a is always 1.
    """
    area, _, rest = region.partition("-")
    if rest.startswith("gov-"):
        area, rest = "usg", rest.removeprefix("gov-")
    side, _, number = rest.rpartition("-")
    short = f"{area}{_SIDES.get(side, side)}{number}"
    return f"{short}-az{ord(letter) - ord('a') + 1}"


# --- security group rules ---


class Malformed(Exception):
    """A permission breaks a rule of EC2. `code` is EC2's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def normal_protocol(text: str) -> str:
    """tcp, udp, icmp, icmpv6, -1, or another number. Raises Malformed."""
    lower = text.lower()
    if lower in _PROTOCOLS:
        return _PROTOCOLS[lower]
    if lower.isdigit() and int(lower) <= 255:
        return str(int(lower))
    raise Malformed(
        code="InvalidPermission.Malformed", message=f'Unsupported IP protocol "{text}"  - supported: [tcp, udp, icmp]'
    )


def normal_ports(protocol: str, first: int | None, last: int | None) -> tuple[int | None, int | None]:
    """The port range (or ICMP type and code) as kept: none for all protocols and for those without ports."""
    if protocol in ("tcp", "udp"):
        if first is None or last is None:
            raise Malformed(
                code="InvalidParameterValue",
                message="Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            )
        if (first, last) == (-1, -1):
            return 0, 65535
        for port in (first, last):
            if not 0 <= port <= 65535:
                raise Malformed(code="InvalidParameterValue", message=f"Invalid value '{port}' for portRange.")
        if first > last:
            raise Malformed(
                code="InvalidParameterValue",
                message=f"Invalid TCP/UDP port range ({first}:{last})",
            )
        return first, last
    if protocol in ("icmp", "icmpv6"):
        type_, code = -1 if first is None else first, -1 if last is None else last
        for value in (type_, code):
            if not -1 <= value <= 255:
                raise Malformed(code="InvalidParameterValue", message=f"ICMP code ({value}) out of range")
        if type_ == -1 and code != -1:
            raise Malformed(code="InvalidParameterValue", message="ICMP code given for ICMP type -1 (all)")
        return type_, code
    return None, None


def normal_cidr(text: str) -> str:
    """The IPv4 block with its host bits cleared, as EC2 keeps it. Raises Malformed."""
    address, slash, length = text.partition("/")
    try:
        if not slash or not length.isdigit():
            raise ValueError(text)
        ipaddress.IPv4Address(address)
        return str(ipaddress.IPv4Network(text, strict=False))
    except ValueError:
        raise Malformed(code="InvalidParameterValue", message=f"CIDR block {text} is malformed") from None


def normal_cidr_v6(text: str) -> str:
    try:
        if "/" not in text:
            raise ValueError(text)
        return str(ipaddress.IPv6Network(text, strict=False))
    except ValueError:
        raise Malformed(code="InvalidParameterValue", message=f"CIDR block {text} is malformed") from None


def same_permission(one: SecurityGroupRule, other: SecurityGroupRule) -> bool:
    """Whether two rules allow the same; descriptions, tags and ids aside."""
    return _bare(one) == _bare(other)


def _bare(rule: SecurityGroupRule) -> SecurityGroupRule:
    return replace(rule, id="", description=None, tags=())


def permission_words(rule: SecurityGroupRule) -> str:
    """As EC2 names a rule in its error messages."""
    peer = rule.cidr or rule.cidr_v6 or rule.group_id or ""
    protocol = "ALL" if rule.protocol == "-1" else rule.protocol.upper()
    ports = "" if rule.from_port is None else f", from port: {rule.from_port}, to port: {rule.to_port}"
    return f"peer: {peer}, {protocol}{ports}, ALLOW"


def exhausted(subnet_id: str, *, public: bool) -> Refused:
    """No address is left: the reason with which a Fargate task stops."""
    word = "enabled" if public else "disabled"
    return Refused(
        RefusalKind.EXHAUSTED,
        f"Unexpected EC2 error while attempting to Create Network Interface with public IP assignment {word} "
        f"in subnet '{subnet_id}': InsufficientFreeAddressesInSubnet",
        subnet_id,
    )
