"""A Classic Load Balancer in the store: its record by name, and the writes that keep what serves it as the record says.

Nothing but `writes` changes listeners and target groups of Classic Load Balancers.
"""

from portside.api.elb import error
from portside.aws.service import RequestContext
from portside.domain import classic_load_balancer_rule as rule
from portside.domain.classic_load_balancer import ClassicLoadBalancer
from portside.domain.load_balancer import LoadBalancer
from portside.domain.table import CLASSIC_LOAD_BALANCER, LISTENER, LOAD_BALANCER, TARGET, TARGET_GROUP
from portside.store.interface import Delete, Put, Store, Write


def classic(store: Store, context: RequestContext, name: str) -> ClassicLoadBalancer:
    found = store.get(CLASSIC_LOAD_BALANCER, context.prefix + name)
    if found is None:
        raise error.load_balancer_not_found(name)
    return found


def load_balancer(store: Store, balancer: ClassicLoadBalancer) -> LoadBalancer:
    """Its record with addresses, security groups and tags."""
    found = store.get(LOAD_BALANCER, f"{balancer.scope.prefix}{balancer.load_balancer_arn}")
    assert found is not None, balancer.load_balancer_arn
    return found


def writes(store: Store, before: ClassicLoadBalancer | None, after: ClassicLoadBalancer) -> list[Write]:
    """What changes with the record: listeners, target groups, and targets where a group comes or goes."""
    old = rule.plane(before) if before is not None else rule.Plane((), ())
    new = rule.plane(after)
    made: list[Write] = [Put(CLASSIC_LOAD_BALANCER, after)]
    made += [Put(LISTENER, each) for each in new.listeners if each not in old.listeners]
    kept = {each.arn for each in new.listeners}
    made += [Delete(LISTENER, LISTENER.key(each)) for each in old.listeners if each.arn not in kept]
    made += [Put(TARGET_GROUP, each) for each in new.groups if each not in old.groups]
    known = {each.arn for each in old.groups}
    for group in new.groups:
        if group.arn not in known:
            made += [Put(TARGET, each) for instance in after.instances for each in rule.targets_of(instance, [group])]
    kept = {each.arn for each in new.groups}
    for group in old.groups:
        if group.arn not in kept:
            made += [Delete(TARGET, TARGET.key(each)) for each in store.find(TARGET, "target_group", group.arn)]
            made.append(Delete(TARGET_GROUP, TARGET_GROUP.key(group)))
    return made


def removal(store: Store, balancer: ClassicLoadBalancer) -> list[Write]:
    """Everything of it."""
    plane = rule.plane(balancer)
    made: list[Write] = [Delete(LISTENER, LISTENER.key(each)) for each in plane.listeners]
    for group in plane.groups:
        made += [Delete(TARGET, TARGET.key(each)) for each in store.find(TARGET, "target_group", group.arn)]
        made.append(Delete(TARGET_GROUP, TARGET_GROUP.key(group)))
    made.append(Delete(CLASSIC_LOAD_BALANCER, CLASSIC_LOAD_BALANCER.key(balancer)))
    made.append(Delete(LOAD_BALANCER, f"{balancer.scope.prefix}{balancer.load_balancer_arn}"))
    return made
