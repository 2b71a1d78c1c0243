"""Whether a target group has enough healthy targets, and what comes of it if it has not: traffic goes to all of its
targets, or a zone leaves the load balancer's name. Pure.

Source: Elastic Load Balancing guides, "Target group health".
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from portside.domain.load_balancer import LoadBalancer, Target, TargetGroup, ZoneMapping
from portside.domain.load_balancer_rule import DNS_FAILOVER, ROUTING, is_enabled, is_zonal


def least_healthy(group: TargetGroup, action: str, registered: int) -> int:
    """How many of so many registered targets must be healthy; 0 if nothing comes of it when none is. With both a count
    and a percentage each must be met."""
    count = group.attributes.get(f"{action}.count", "1")
    percentage = group.attributes.get(f"{action}.percentage", "off")
    by_count = 0 if count == "off" else int(count)
    by_percentage = 0 if percentage == "off" else max(1, -(-int(percentage) * registered // 100))
    return max(by_count, by_percentage)


def has_enough(group: TargetGroup, action: str, targets: Iterable[Target]) -> bool:
    """Args: targets: those of the group that one address of a load balancer may lead to."""
    registered = [each for each in targets if each.deregistered_at is None]
    healthy = sum(each.checked == "healthy" for each in registered)
    return healthy >= least_healthy(group, action, len(registered))


def chosen_targets(group: TargetGroup, targets: Iterable[Target]) -> list[Target]:
    """Where new traffic goes: to the healthy ones, or to all that are registered if those are too few."""
    registered = [each for each in targets if each.deregistered_at is None]
    if not has_enough(group, ROUTING, registered):
        return registered
    return [each for each in registered if each.checked == "healthy"]


def within_reach(balancer: LoadBalancer, group: TargetGroup, zone: str, targets: Iterable[Target]) -> list[Target]:
    """The targets of a group that the load balancer's address in a zone may lead to."""
    if not is_zonal(balancer, group):
        return list(targets)
    return [each for each in targets if each.zone in (zone, "all")]


def pools(balancer: LoadBalancer, group: TargetGroup, targets: Sequence[Target]) -> list[list[Target]]:
    """The targets that are counted together: those of each zone, or of all where zones do not keep to themselves."""
    zones = balancer.zones if is_zonal(balancer, group) else balancer.zones[:1]
    return [within_reach(balancer, group, each.zone, targets) for each in zones]


def answering_zones(
    balancer: LoadBalancer, groups: Collection[TargetGroup], targets: Callable[[str], Iterable[Target]]
) -> tuple[ZoneMapping, ...]:
    """The zones whose addresses its name leads to: those where each group has enough healthy targets. All zones if that
    leaves none.

    Args: targets: those of a group, by its ARN."""
    known = {group.arn: [each for each in targets(group.arn) if is_enabled(each, [balancer])] for group in groups}
    answering = tuple(
        zone
        for zone in balancer.zones
        if all(
            has_enough(group, DNS_FAILOVER, within_reach(balancer, group, zone.zone, known[group.arn]))
            for group in groups
        )
    )
    return answering or balancer.zones
