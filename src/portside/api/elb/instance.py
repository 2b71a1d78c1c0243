"""Instances of Classic Load Balancers: register, deregister, health."""

from collections.abc import Iterable

from portside.api.elb import state
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import classic_load_balancer_rule as rule
from portside.domain.classic_load_balancer import ClassicInstance, ClassicLoadBalancer
from portside.domain.clock import Clock
from portside.domain.instance import Instance, InstanceState
from portside.domain.load_balancer import Target
from portside.domain.table import CLASSIC_LOAD_BALANCER, INSTANCE, TARGET
from portside.store.interface import Put, Store, Write


class InstanceHandlers:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "RegisterInstancesWithLoadBalancer": self.register,
            "DeregisterInstancesFromLoadBalancer": self.deregister,
            "DescribeInstanceHealth": self.describe_health,
        }

    def register(self, context: RequestContext, params: Params) -> Result:
        """Those that are registered stay as they are; one that drains is registered anew."""
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        vpc_id = state.load_balancer(self._store, balancer).vpc_id
        groups = rule.plane(balancer).groups
        known = {each.id for each in balancer.instances}
        made: list[Write] = []
        for name in _ids(params):
            found = self._instance(context, name)
            if found.vpc_id != vpc_id:
                raise _invalid(f"EC2 instance {name} is not in the same VPC as ELB.")
            if found.id in known:
                continue
            fresh = ClassicInstance(
                id=found.id, address=found.address, zone=found.zone, registered_at=self._clock.now()
            )
            balancer = rule.with_instance(balancer, fresh)
            made += [Put(TARGET, each) for each in rule.targets_of(fresh, groups)]
        if made or len(balancer.instances) != len(known):
            self._store.transact(Put(CLASSIC_LOAD_BALANCER, balancer), *made)
        return _instances_to(balancer)

    def deregister(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        ids = list(_ids(params))
        for name in ids:
            self._instance(context, name)
        targets = [each for name in ids for each in self._targets(balancer, name)]
        left = rule.without_instances(balancer, ids)
        self._store.transact(
            Put(CLASSIC_LOAD_BALANCER, left),
            *(Put(TARGET, each) for each in rule.deregistered(targets, now=self._clock.now())),
        )
        return _instances_to(left)

    def describe_health(self, context: RequestContext, params: Params) -> Result:
        """Of the registered instances, or of those named."""
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        known = [each.id for each in balancer.instances]
        states: list[Result] = []
        for name in list(_ids(params)) if params.get("Instances") else known:
            instance = self._store.get(INSTANCE, context.prefix + name)
            if instance is None and name not in known:
                raise _not_found(name)
            health = rule.instance_health(
                self._targets(balancer, name), registered=name in known, drains=balancer.draining_enabled
            )
            if name in known and instance is not None and instance.state is InstanceState.STOPPED:
                health = rule.STOPPED
            states.append(
                {
                    "InstanceId": name,
                    "State": health.state,
                    "ReasonCode": health.reason,
                    "Description": health.description,
                }
            )
        return {"InstanceStates": states}

    def _targets(self, balancer: ClassicLoadBalancer, instance_id: str) -> list[Target]:
        return [
            each
            for group in rule.plane(balancer).groups
            for each in self._store.find(TARGET, "target_group", group.arn)
            if each.id == instance_id
        ]

    def _instance(self, context: RequestContext, name: str) -> Instance:
        found = self._store.get(INSTANCE, context.prefix + name)
        if found is None or found.state in (InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN):
            raise _not_found(name)
        return found


def _ids(params: Params) -> Iterable[str]:
    return dict.fromkeys(item.get("InstanceId", "") for item in params["Instances"])


def _instances_to(balancer: ClassicLoadBalancer) -> Result:
    return {"Instances": [{"InstanceId": each.id} for each in balancer.instances]}


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidEndPointException", message)


def _not_found(name: str) -> ServiceError:
    return _invalid(f"Could not find EC2 instance {name}.")
