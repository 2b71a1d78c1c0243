"""The flows of Network Load Balancers as nftables text: translations in a VPC's router, judged by security groups.

A new flow to a load balancer's address and port is judged twice. Before the translation, as any other: by the client's
groups and by the load balancer's. After it: by the load balancer's groups towards the target, and by the target's
towards the client, or towards the load balancer where its address takes the client's place. Rules of a target that
name a group mean the load balancer's groups, never the client's, as on AWS. Then the flow is tracked, and its
packets pass: a bit of its mark says that it is balanced, the upper bits whose it is.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from portside.domain.flow import Flow, FlowBackend, FlowOwner, owner_of

BALANCED, HIDES_CLIENT, TRANSPARENT = 4, 8, 16
"""Bits of a flow's mark beside those of untracked flows. The last one: a proxy's that sends as its client."""
TRANSPARENT_EGRESS: Final = "transparent_egress"
NUMBER_SHIFT: Final = 8
DOOR: Final = "door"
"""The link by which programs of the host come: as the load balancer, like those that come by its proxy."""
TARGET_MAP = "balanced_target_of"
_LISTENERS, _LEADS, _LEGS = "balanced_listeners", "balanced_leads", "balanced_legs"
_COUNTERS: Final = {"bytes": "balanced_bytes_of", "client_reset": "client_reset_of", "target_reset": "target_reset_of"}


def links_of_group(group_id: str) -> str:
    """The set of the links to the group's legs whose proxies send as their clients."""
    return f"links_{group_id.replace('-', '_')}"


Numbers = Mapping[FlowOwner, int]
"""The number in the marks of their flows. Never given twice."""


def base(table: str, egress_map: str, uplink: str, nat_legs: str) -> list[str]:
    """The chains that are there as long as a VPC has such flows; without packets' ways changed by them alone."""
    key = "ip daddr . meta l4proto . th dport"
    whose = f"ct mark and {0xFFFFFFFF & ~3:#x}"
    return f"""
add map inet {table} {TARGET_MAP} {{ type ipv4_addr : verdict; }}
add set inet {table} {_LISTENERS} {{ type ipv4_addr . inet_proto . inet_service; }}
add map inet {table} {_LEADS} {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
add map inet {table} {_LEGS} {{ type ipv4_addr : ipv4_addr; }}
add map inet {table} {TRANSPARENT_EGRESS} {{ type ifname : verdict; }}
add map inet {table} {_COUNTERS["bytes"]} {{ type mark : counter; }}
add map inet {table} {_COUNTERS["client_reset"]} {{ type mark : counter; }}
add map inet {table} {_COUNTERS["target_reset"]} {{ type mark : counter; }}
add chain inet {table} to_balancer
add rule inet {table} to_balancer iifname "{DOOR}" accept
add rule inet {table} to_balancer iifname "{uplink}" goto inbound
add rule inet {table} to_balancer iifname @{nat_legs} goto inbound
add rule inet {table} to_balancer ip saddr vmap @{egress_map}
add rule inet {table} to_balancer drop
add chain inet {table} balanced_entry {{ type filter hook prerouting priority dstnat - 10; policy accept; }}
add rule inet {table} balanced_entry ct state new {key} @{_LISTENERS} goto to_balancer
add chain inet {table} balanced_lead {{ type nat hook prerouting priority dstnat - 5; policy accept; }}
add rule inet {table} balanced_lead {key} vmap @{_LEADS}
add chain inet {table} balanced_leave {{ type nat hook postrouting priority srcnat - 5; policy accept; }}
add rule inet {table} balanced_leave ct mark and {HIDES_CLIENT} != 0 snat ip to ct original ip daddr map @{_LEGS}
add chain inet {table} balanced_reset
add rule inet {table} balanced_reset ct direction original counter name {whose} map @{_COUNTERS["client_reset"]}
add rule inet {table} balanced_reset ct direction reply counter name {whose} map @{_COUNTERS["target_reset"]}
add chain inet {table} balanced_stands
add rule inet {table} balanced_stands tcp flags & rst == rst jump balanced_reset
add rule inet {table} balanced_stands counter name {whose} map @{_COUNTERS["bytes"]}
add rule inet {table} balanced_stands accept
""".strip().splitlines()


def forward(table: str) -> list[str]:
    """Rules of the forward chain, before all others that judge standing flows."""
    return [
        f"add rule inet {table} forward ct mark and {BALANCED} != 0 ct state established goto balanced_stands",
    ]


def forward_new(table: str, egress_map: str) -> list[str]:
    """Rules of the forward chain, before those that judge new flows."""
    return [
        f'add rule inet {table} forward iifname "{DOOR}" ct mark and {BALANCED} == 0 drop',
        f'add rule inet {table} forward iifname "{DOOR}" ct mark set ct mark or {HIDES_CLIENT}',
        f"add rule inet {table} forward ct mark and {TRANSPARENT} != 0 iifname vmap @{TRANSPARENT_EGRESS}",
        f"add rule inet {table} forward ct mark and {BALANCED} != 0 ct original ip daddr vmap @{egress_map}",
        f"add rule inet {table} forward ct mark and {BALANCED} != 0 drop",
    ]


def inbound(table: str) -> list[str]:
    """Rules at the begin of `inbound`: a balanced flow has chains of its own at its target."""
    return [
        f"add rule inet {table} inbound ct mark and {BALANCED} != 0 ip daddr vmap @{TARGET_MAP}",
        f"add rule inet {table} inbound ct mark and {BALANCED} != 0 drop",
    ]


def target_rules(other: str, protocol: str, *, group_id: str | None) -> list[str]:
    """The matches of an ingress rule for a balanced flow.

    Args:
        other: the nft match of the source, with `ip saddr` in front; empty for any.
        group_id: of a rule that names a group.
    """
    original = other.replace("ip saddr", "ct original ip daddr")
    if group_id is not None:
        return [
            f"ct mark and {TRANSPARENT} == 0 {original} {protocol}",
            f"ct mark and {TRANSPARENT} != 0 iifname @{links_of_group(group_id)} {protocol}",
        ]
    if not other:
        return [protocol]
    return [
        f"ct mark and {HIDES_CLIENT} == 0 {other} {protocol}",
        f"ct mark and {HIDES_CLIENT} != 0 {original} {protocol}",
    ]


def lead_chain(flow: Flow) -> str:
    return f"lead_{flow.address.replace('.', '_')}_{flow.protocol}_{flow.port}"


def backend_chain(flow: Flow, number: int) -> str:
    return f"{lead_chain(flow)}_{number}"


def chains(flows: Iterable[Flow], numbers: Numbers) -> set[str]:
    """The chains of these flows alone."""
    found: set[str] = set()
    for flow in flows:
        if used := _used(flow):
            found.add(lead_chain(flow))
            found.update(backend_chain(flow, numbers[owner_of(flow, each)]) for each, _ in used)
    return found


def leads(table: str, flows: Sequence[Flow], numbers: Numbers, known: Collection[int], stale: Iterable[str]) -> str:
    """All flows, replacing what was there, in one transaction; counters stay.

    Args:
        known: the numbers whose counters are there.
        stale: chains to take away.
    """
    lines = [f"flush {kind} inet {table} {name}" for kind, name in (("set", _LISTENERS), ("map", _LEADS))]
    lines.append(f"flush map inet {table} {_LEGS}")
    for number in sorted({number for number in numbers.values() if number not in known}):
        for what, by_mark in _COUNTERS.items():
            lines.append(f"add counter inet {table} {what}_{number}")
            for bits in (BALANCED, BALANCED | HIDES_CLIENT):
                mark = (number << NUMBER_SHIFT) | bits
                lines.append(f'add element inet {table} {by_mark} {{ {mark:#x} : "{what}_{number}" }}')
        lines.append(f"add counter inet {table} new_{number}")
    for address in sorted({flow.address for flow in flows}):
        lines.append(f"add element inet {table} {_LEGS} {{ {address} : {address} }}")
    for flow in flows:
        lines += _lead(table, flow, numbers)
    stale = sorted(stale)
    lines += [f"flush chain inet {table} {each}" for each in stale]
    lines += [f"delete chain inet {table} {each}" for each in stale]
    return "\n".join(lines) + "\n"


def _lead(table: str, flow: Flow, numbers: Numbers) -> list[str]:
    used = _used(flow)
    if not used:
        return []
    key = f"{flow.address} . {flow.protocol} . {flow.port}"
    chain, lines, choices = lead_chain(flow), [], []
    idle = f"idle_{flow.protocol}_{flow.idle_s}"
    policy = f"established : {flow.idle_s}" if flow.protocol == "tcp" else f"replied : {flow.idle_s}"
    lines.append(
        f"add ct timeout inet {table} {idle} {{ protocol {flow.protocol}; l3proto ip; policy = {{ {policy} }}; }}"
    )
    at = 0
    for backend, weight in used:
        number = numbers[owner_of(flow, backend)]
        name = backend_chain(flow, number)
        lines += [f"add chain inet {table} {name}", f"flush chain inet {table} {name}"]
        lines.append(f"add rule inet {table} {name} {_translation(flow, backend, number, idle)}")
        choices.append((at, at + weight - 1, name))
        at += weight
    lines += [f"add chain inet {table} {chain}", f"flush chain inet {table} {chain}"]
    if len(choices) == 1:
        lines.append(f"add rule inet {table} {chain} goto {choices[0][2]}")
    else:
        by_weight = ", ".join(
            f"{first} : goto {name}" if first == last else f"{first}-{last} : goto {name}"
            for first, last, name in choices
        )
        hashed = f"meta l4proto {flow.protocol} {_hash(flow, at, 'group')}"
        lines.append(f"add rule inet {table} {chain} {hashed} vmap {{ {by_weight} }}")
    lines.append(f"add element inet {table} {_LISTENERS} {{ {key} }}")
    lines.append(f"add element inet {table} {_LEADS} {{ {key} : goto {chain} }}")
    return lines


def _used(flow: Flow) -> list[tuple[FlowBackend, int]]:
    """The backends that lead somewhere, with their weights."""
    return [(each, each.weight) for each in flow.backends if each.targets and each.weight]


def _translation(flow: Flow, backend: FlowBackend, number: int, idle: str) -> str:
    mark = (number << NUMBER_SHIFT) | BALANCED | (0 if backend.keeps_client else HIDES_CLIENT)
    if len(backend.targets) == 1:
        ((address, port),) = backend.targets
        where = f"{address}:{port}"
    else:
        what = "jhash ip saddr" if backend.by_source else ""
        hashed = (
            f"{what} mod {len(backend.targets)} seed {_seed('source'):#x}"
            if what
            else _hash(flow, len(backend.targets), "target")
        )
        choices = ", ".join(f"{at} : {address} . {port}" for at, (address, port) in enumerate(backend.targets))
        where = f"{hashed} map {{ {choices} }}"
    return (
        f'meta l4proto {flow.protocol} ct mark set {mark:#x} ct timeout set "{idle}" '
        f'counter name "new_{number}" dnat ip to {where}'
    )


def _hash(flow: Flow, modulus: int, salt: str) -> str:
    """A flow's five parts to a number below the modulus."""
    parts = f"ip saddr . {flow.protocol} sport . ip daddr . {flow.protocol} dport"
    return f"jhash {parts} mod {modulus} seed {_seed(salt):#x}"


def _seed(salt: str) -> int:
    return int.from_bytes(hashlib.sha256(salt.encode()).digest()[:4])
