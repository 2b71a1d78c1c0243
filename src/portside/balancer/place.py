"""Whose the requests are that Envoy has counted: from names to load balancers, zones and target groups. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from portside.balancer.hit import CONNECTIONS, Ended, default_name
from portside.balancer.interface import BalancerConfig
from portside.balancer.xds import cluster_name, shared_name, zone_name
from portside.domain.load_balancer_metric import ANSWERS, Answer, Seen
from portside.domain.load_balancer_rule import suffix

_NO_FAULT: Final = frozenset({"408", "431"})
"""Answers to what was begun as it should be."""


def seen_of(configs: Sequence[BalancerConfig], ended: Iterable[Ended]) -> Iterator[tuple[Seen, int]]:
    """What is of a load balancer, target group or rule that is gone is left out."""
    whose = _Whose(configs)
    for each in ended:
        if each.kind in ("hits", "other") and each.place:
            yield from whose.requests(each)
        elif each.kind == "own":
            cluster, status = each.what
            yield from whose.seen(each, cluster, "own", status)
        elif each.kind == "odd":
            cluster, status, details = each.what[:3]
            if status not in _NO_FAULT and each.what[3:5] != ("HTTP", "2"):
                yield from whose.seen(each, cluster, "odd", status)
            if details == "lua_response":  # refused by the script, which sets no flag
                yield from whose.seen(each, cluster, "own", status)


class _Whose:
    def __init__(self, configs: Sequence[BalancerConfig]) -> None:
        self.groups: dict[str, tuple[BalancerConfig, str]] = {}
        self.rules: dict[str, BalancerConfig] = {}
        self.places: dict[str, tuple[BalancerConfig, str]] = {}
        shared: dict[str, list[BalancerConfig]] = {}
        for config in configs:
            balancer = config.load_balancer
            for group in config.target_groups:
                self.groups[cluster_name(balancer.arn, group.arn)] = config, group.arn
            self.rules |= {suffix(rule.arn): config for rule in config.rules}
            for listener in config.listeners:
                self.rules[default_name(listener.arn)] = config
                for zone in balancer.zones:
                    self.places[zone_name(listener.arn, zone.zone)] = config, zone.zone
                if balancer.scheme == "internet-facing":
                    shared.setdefault(shared_name(listener.port), []).append(config)
        self.places |= {name: (several[0], "") for name, several in shared.items() if len(several) == 1}

    def requests(self, ended: Ended) -> Iterator[tuple[Seen, int]]:
        """Those that a rule led somewhere, or answered."""
        if ended.place == CONNECTIONS:
            address, cluster = ended.what
            if cluster in self.groups:
                config, group_arn = self.groups[cluster]
                zones = [z.zone for z in config.load_balancer.zones if address in (z.address, z.host_address)]
                yield _seen(ended, config, "".join(zones), group_arn, "request"), ended.count
            return
        name, *more = ended.what
        rule, _, onward = name.partition("_")
        if rule not in self.rules:
            return
        config = self.rules[rule]
        _, zone = self.places.get(ended.place, (config, ""))
        if onward in ANSWERS.values():
            if ended.kind == "hits":
                what: Answer = "redirect" if onward == "redirect" else "fixed-response"
                yield _seen(ended, config, zone, "", what), ended.count
            return
        cluster = (more[0] if more else "") or f"{suffix(config.load_balancer.arn)}_{onward}"
        if cluster not in self.groups:
            return
        config, group_arn = self.groups[cluster]
        if ended.kind == "hits":
            yield _seen(ended, config, zone, group_arn, "request"), ended.count
        else:
            yield _seen(ended, config, zone, group_arn, "other", int(more[1] or 0)), ended.count

    def seen(self, ended: Ended, cluster: str, what: Answer, status: str) -> Iterator[tuple[Seen, int]]:
        """Of a place that nobody can tell whose it is, a cluster tells."""
        config, zone = self.places.get(ended.place, (None, ""))
        of_group = self.groups.get(cluster)
        if of_group is not None:
            config = of_group[0]
        if config is not None:
            yield _seen(ended, config, zone, of_group[1] if of_group else "", what, int(status or 0)), ended.count


def _seen(ended: Ended, config: BalancerConfig, zone: str, group_arn: str, what: Answer, status: int = 0) -> Seen:
    return Seen(
        load_balancer_arn=config.load_balancer.arn,
        zone=zone,
        target_group_arn=group_arn,
        what=what,
        status=status,
        counter="/".join((ended.kind, ended.place, *ended.what)),
    )
