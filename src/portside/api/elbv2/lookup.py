"""What the handlers of Elastic Load Balancing read of the store: records by ARN and what hangs together."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from portside.api.elbv2 import error, wire
from portside.aws.service import RequestContext, ServiceError
from portside.domain.certificate import Certificate
from portside.domain.iam import ServerCertificate
from portside.domain.instance import InstanceState
from portside.domain.load_balancer import Action, Listener, LoadBalancer, Rule, Target, TargetGroup, TargetState
from portside.domain.load_balancer_rule import (
    GROUP_PROTOCOLS,
    STOPPED,
    TARGET_GROUPS_PER_LOAD_BALANCER,
    TargetHealth,
    check_proxied,
    drains_unhealthy,
    forwarded_groups,
    target_health,
    used_groups,
)
from portside.domain.record import Scope
from portside.domain.table import INSTANCE, LISTENER, LOAD_BALANCER, RULE, TARGET_GROUP
from portside.store.interface import Store
from portside.vault.authority import served_certificate

SERVED_KEYS: Final = ("RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1")
"""What Envoy can serve."""

_RESOURCES: Final = {
    "load balancer": "loadbalancer/",
    "target group": "targetgroup/",
    "listener": "listener/",
    "listener rule": "listener-rule/",
}
"""How the last part of an ARN begins."""


def scope(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def load_balancer(store: Store, context: RequestContext, arn: str) -> LoadBalancer:
    found = store.get(LOAD_BALANCER, context.prefix + arn)
    if found is None or found.type == "classic":
        check_arn(arn, "load balancer")
        raise error.load_balancer_not_found(arn)
    return found


def target_group(store: Store, context: RequestContext, arn: str) -> TargetGroup:
    found = store.get(TARGET_GROUP, context.prefix + arn)
    if found is None or found.classic is not None:
        check_arn(arn, "target group")
        raise error.target_group_not_found(arn)
    return found


def listener(store: Store, context: RequestContext, arn: str) -> Listener:
    found = store.get(LISTENER, context.prefix + arn)
    if found is None or is_classic(arn):
        check_arn(arn, "listener")
        raise error.listener_not_found(arn)
    return found


def rule(store: Store, context: RequestContext, arn: str) -> Rule:
    found = store.get(RULE, context.prefix + arn)
    if found is None:
        check_arn(arn, "listener rule")
        raise error.rule_not_found(arn)
    return found


def listener_of_default(store: Store, context: RequestContext, rule_arn: str) -> Listener | None:
    """The listener whose default rule has this ARN."""
    listener_arn = rule_arn.rpartition("/")[0].replace(":listener-rule/", ":listener/")
    found = store.get(LISTENER, context.prefix + listener_arn)
    return found if found is not None and wire.default_rule_arn(found.arn) == rule_arn else None


def certificate(store: Store, context: RequestContext, arn: str) -> Certificate | ServerCertificate:
    """One that a listener can have."""
    found = served_certificate(store, context.prefix, arn)
    if found is None:
        raise error.certificate_not_found(arn)
    if found.key_algorithm not in SERVED_KEYS:
        raise ServiceError(
            "UnsupportedCertificate", f"The key of certificate '{arn}' ({found.key_algorithm}) is not supported"
        )
    return found


def is_classic(arn: str) -> bool:
    """Whether a load balancer or listener of this ARN is for the other API."""
    return arn.split(":", 5)[-1].startswith(("loadbalancer/classic/", "listener/classic/"))


def check_arn(arn: str, what: str) -> None:
    """Raises ServiceError: it is no ARN, or one of something else. What it names need not be there."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "elasticloadbalancing" or not parts[5].startswith(_RESOURCES[what]):
        raise error.invalid(f"'{arn}' is not a valid {what} ARN")


def listeners_of(store: Store, balancer_arn: str) -> list[Listener]:
    return store.find(LISTENER, "load_balancer", balancer_arn)


def rules_of(store: Store, listeners: Iterable[Listener]) -> list[Rule]:
    return [each for listener in listeners for each in store.find(RULE, "listener", listener.arn)]


def groups_of(store: Store, balancer: LoadBalancer, listeners: Sequence[Listener]) -> list[TargetGroup]:
    """The target groups that its listeners and their rules send requests to, by ARN."""
    used = used_groups(listeners, rules_of(store, listeners))
    found = (store.get(TARGET_GROUP, f"{balancer.scope.prefix}{arn}") for arn in sorted(used))
    return [each for each in found if each is not None]


def balancers_by_group(store: Store, context: RequestContext) -> dict[str, list[str]]:
    """Target group ARN -> ARNs of the load balancers that send requests to it."""
    found: dict[str, list[str]] = {}
    for balancer in store.scan(LOAD_BALANCER, context.prefix):
        listeners = listeners_of(store, balancer.arn)
        for group_arn in used_groups(listeners, rules_of(store, listeners)):
            found.setdefault(group_arn, []).append(balancer.arn)
    return found


def health_of(store: Store, group: TargetGroup, now: datetime) -> Callable[[Target], TargetHealth]:
    """What is told of the health of a group's targets."""
    prefix = group.scope.prefix
    in_vpc = [each for each in store.scan(LOAD_BALANCER, prefix) if each.vpc_id == group.vpc_id]
    legs = {zone.address for each in in_vpc for zone in each.zones}
    balancers = [each for each in in_vpc if group in groups_of(store, each, listeners_of(store, each.arn))]

    def told(target: Target) -> TargetHealth:
        instance = store.get(INSTANCE, prefix + target.id) if group.target_type == "instance" else None
        if instance is not None and instance.state is InstanceState.STOPPED:
            return STOPPED
        health = target_health(target, balancers, legs)
        if health.state is TargetState.UNHEALTHY and drains_unhealthy(group, target, now):
            return health._replace(state=TargetState.UNHEALTHY_DRAINING)
        return health

    return told


def together_with(store: Store, group: TargetGroup) -> list[tuple[str, list[TargetGroup]]]:
    """Of the listeners that send to a target group by themselves: the protocol, and all target groups that they have,
    this one as given."""
    found: list[tuple[str, list[TargetGroup]]] = []
    for listener in store.scan(LISTENER, group.scope.prefix):
        named = forwarded_groups(listener.default_action)
        if group.arn in named:
            others = (store.get(TARGET_GROUP, group.scope.prefix + arn) for arn in named if arn != group.arn)
            found.append((listener.protocol, [group, *(each for each in others if each is not None)]))
    return found


def check_versions(store: Store, context: RequestContext, protocol: str, action: Action) -> None:
    """Target groups that speak HTTP/2 or gRPC are for HTTPS listeners."""
    for arn in forwarded_groups(action) if protocol == "HTTP" else ():
        group = target_group(store, context, arn)
        if group.protocol_version in ("HTTP2", "GRPC"):
            raise error.invalid_action(
                f"Listener protocol 'HTTP' is not supported with a target group with the protocol-version "
                f"'{group.protocol_version}'"
            )


def check_group_count(listeners: Iterable[Listener], rules: Iterable[Rule]) -> None:
    """Args: listeners, rules: all of a load balancer as they are to be."""
    most = TARGET_GROUPS_PER_LOAD_BALANCER
    if len(used_groups(listeners, rules)) > most:
        raise ServiceError(
            "TooManyUniqueTargetGroupsPerLoadBalancerException",
            f"A load balancer can send requests to at most '{most}' target groups",
        )


def check_forward(store: Store, context: RequestContext, balancer: LoadBalancer, action: Action, protocol: str) -> None:
    """The target groups of an action are there, fit the load balancer, and are no other one's."""
    arns = forwarded_groups(action)
    if not arns:
        return
    groups = [target_group(store, context, arn) for arn in arns]
    for group in groups:
        if group.vpc_id != balancer.vpc_id:
            raise ServiceError(
                "InvalidConfigurationRequestException",
                f"Target group '{group.arn}' is not in the VPC '{balancer.vpc_id}' of the load balancer",
            )
        if group.protocol not in GROUP_PROTOCOLS[protocol]:
            raise ServiceError(
                "IncompatibleProtocolsException",
                f"Listener protocol '{protocol}' is not supported with a target group with the protocol "
                f"'{group.protocol}'",
            )
    check_proxied(protocol, groups)
    users = balancers_by_group(store, context)
    for arn in arns:
        if any(user != balancer.arn for user in users.get(arn, ())):
            raise ServiceError(
                "TargetGroupAssociationLimitException",
                "The following target groups cannot be associated with more than one load balancer: " + arn,
            )
