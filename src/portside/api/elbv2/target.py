"""Targets: register, deregister, health."""

import ipaddress

from portside.api.elbv2 import error, lookup
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import load_balancer_rule as rule
from portside.domain.clock import Clock
from portside.domain.instance import Instance, InstanceState
from portside.domain.load_balancer import Target, TargetGroup
from portside.domain.record import replace
from portside.domain.table import INSTANCE, SUBNET, TARGET, VPC
from portside.store.interface import Put, Store


class TargetHandlers:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "RegisterTargets": self.register,
            "DeregisterTargets": self.deregister,
            "DescribeTargetHealth": self.describe_health,
        }

    def register(self, context: RequestContext, params: Params) -> Result:
        group = lookup.target_group(self._store, context, params["TargetGroupArn"])
        now = self._clock.now()
        is_alone = group.attributes.get(rule.CROSS_ZONE) == "false"
        fresh: dict[str, Target] = {}
        for item in params["Targets"]:
            if "QuicServerId" in item:
                raise error.unsupported("The parameter QuicServerId")
            instance_address = ""
            if group.target_type == "instance":
                instance = self._instance(context, group, item["Id"])
                zone, instance_address = instance.zone, instance.address
            else:
                rule.check_target_address(item["Id"])
                zone = self._zone(context, group, item["Id"], item.get("AvailabilityZone"))
                if zone == "all" and is_alone and group.protocol not in rule.NETWORK_PROTOCOLS:
                    raise error.invalid(
                        "The Availability Zone 'all' is not supported when cross-zone load balancing is off"
                    )
            target = Target(
                scope=group.scope,
                target_group_arn=group.arn,
                id=item["Id"],
                port=item.get("Port", group.port),
                instance_address=instance_address,
                zone=zone,
                registered_at=now,
            )
            known = self._store.get(TARGET, TARGET.key(target))
            if known is None or known.deregistered_at is not None:
                fresh[TARGET.key(target)] = target
        there = {TARGET.key(target) for target in self._store.find(TARGET, "target_group", group.arn)}
        if len(fresh.keys() | there) > rule.TARGETS_PER_TARGET_GROUP:
            raise ServiceError(
                "TooManyTargetsException",
                f"A target group can have at most '{rule.TARGETS_PER_TARGET_GROUP}' targets",
            )
        if fresh:
            self._store.transact(*(Put(TARGET, target) for target in fresh.values()))
        return {}

    def _instance(self, context: RequestContext, group: TargetGroup, named: str) -> Instance:
        """Raises: ServiceError InvalidTarget, for an instance that is not there, does not run, or is elsewhere."""
        found = self._store.get(INSTANCE, context.prefix + named)
        if found is None:
            raise ServiceError("InvalidTargetException", f"Instance ID '{named}' is not valid")
        if found.state is not InstanceState.RUNNING:
            raise ServiceError(
                "InvalidTargetException",
                f"The following targets are not in a running state and cannot be registered: '{named}'",
            )
        if found.vpc_id != group.vpc_id:
            raise ServiceError(
                "InvalidTargetException",
                f"The following targets are not in the target group VPC '{group.vpc_id}': '{named}'",
            )
        return found

    def _zone(self, context: RequestContext, group: TargetGroup, address: str, given: str | None) -> str:
        """The zone of the subnet an address is in; "all" for one outside of the VPC, which must be said."""
        parsed = ipaddress.IPv4Address(address)
        for subnet in self._store.find(SUBNET, "vpc", group.vpc_id):
            if parsed in ipaddress.IPv4Network(subnet.cidr_block):
                if given not in (None, subnet.zone):
                    raise error.invalid(
                        f"The Availability Zone '{given}' is not the one of the IP address '{address}': '{subnet.zone}'"
                    )
                return subnet.zone
        if given == "all" and group.protocol in ("UDP", "TCP_UDP"):
            raise error.invalid(
                f"The IP address '{address}' must be in the VPC for a target group with protocol '{group.protocol}'"
            )
        if given == "all":
            if not parsed.is_private:
                raise error.invalid(f"The IP address '{address}' must be in a private address range")
            return "all"
        vpc = self._store.get(VPC, context.prefix + group.vpc_id)
        if vpc is not None and parsed in ipaddress.IPv4Network(vpc.cidr_block):
            raise error.invalid(f"The IP address '{address}' is not within a subnet of the VPC '{group.vpc_id}'")
        raise error.invalid(
            f"The IP address '{address}' is outside of the VPC: you must specify the Availability Zone 'all'"
        )

    def deregister(self, context: RequestContext, params: Params) -> Result:
        """Targets that are not registered are passed over, as on AWS."""
        group = lookup.target_group(self._store, context, params["TargetGroupArn"])
        targets = self._store.find(TARGET, "target_group", group.arn)
        now = self._clock.now()
        writes: list[Put] = []
        for item in params["Targets"]:
            for target in _meant(item, targets, group.port):
                if target.deregistered_at is None:
                    writes.append(Put(TARGET, replace(target, deregistered_at=now)))
        if writes:
            self._store.transact(*writes)
        return {}

    def describe_health(self, context: RequestContext, params: Params) -> Result:
        group = lookup.target_group(self._store, context, params["TargetGroupArn"])
        if params.get("Include"):
            raise error.unsupported("The parameter Include")
        health_of = lookup.health_of(self._store, group, self._clock.now())
        targets = sorted(
            self._store.find(TARGET, "target_group", group.arn), key=lambda t: (t.registered_at, t.id, t.port)
        )

        def shown(target: Target) -> Result:
            place: Result = {"Id": target.id, "Port": target.port}
            if target.zone:
                place["AvailabilityZone"] = target.zone
            port = str(rule.check_port(target, group.health_check))
            return {"Target": place, "HealthCheckPort": port, "TargetHealth": _health(health_of(target))}

        if "Targets" not in params:
            return {"TargetHealthDescriptions": [shown(target) for target in targets]}
        descriptions: list[Result] = []
        for item in params["Targets"]:
            found = _meant(item, targets, group.port)
            descriptions += [shown(target) for target in found]
            if not found:
                place = {"Id": item["Id"], "Port": item.get("Port", group.port)}
                descriptions.append({"Target": place, "TargetHealth": _health(rule.NOT_REGISTERED)})
        return {"TargetHealthDescriptions": descriptions}


def _health(health: rule.TargetHealth) -> Result:
    shown: Result = {"State": str(health.state)}
    if health.reason:
        shown |= {"Reason": health.reason, "Description": health.description}
    return shown


def _meant(item: Params, targets: list[Target], default_port: int) -> list[Target]:
    """The registered targets that a request names: without a port, the one at the group's port, else all of the
    address."""
    of_address = [target for target in targets if target.id == item["Id"]]
    if "Port" in item:
        return [target for target in of_address if target.port == item["Port"]]
    return [target for target in of_address if target.port == default_port] or of_address
