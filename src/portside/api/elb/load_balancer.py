"""Classic Load Balancers: create, describe, delete, subnets and zones, security groups, attributes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from portside.api.elb import error, state, wire
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import access_log
from portside.domain import arn as arns
from portside.domain import classic_load_balancer_rule as rule
from portside.domain.classic_load_balancer import AccessLogSettings, ClassicLoadBalancer
from portside.domain.clock import Clock, Ids
from portside.domain.load_balancer import LoadBalancer, ZoneMapping
from portside.domain.load_balancer_rule import CROSS_ZONE, DESYNC_MODES, dns_name
from portside.domain.record import Scope, replace
from portside.domain.table import (
    CLASSIC_LOAD_BALANCER,
    INTERNET_GATEWAY,
    LOAD_BALANCER,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from portside.domain.vpc import Subnet
from portside.store.interface import ABSENT, Put, Store, Write
from portside.vault.authority import served_certificate

DESYNC: Final = "elb.http.desyncmitigationmode"


class LoadBalancerHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateLoadBalancer": self.create,
            "DescribeLoadBalancers": self.describe,
            "DeleteLoadBalancer": self.delete,
            "ApplySecurityGroupsToLoadBalancer": self.apply_security_groups,
            "AttachLoadBalancerToSubnets": self.attach,
            "DetachLoadBalancerFromSubnets": self.detach,
            "EnableAvailabilityZonesForLoadBalancer": self.enable_zones,
            "DisableAvailabilityZonesForLoadBalancer": self.disable_zones,
            "DescribeLoadBalancerAttributes": self.describe_attributes,
            "ModifyLoadBalancerAttributes": self.modify_attributes,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        name = params["LoadBalancerName"]
        rule.check_name(name)
        scheme = params.get("Scheme", "internet-facing")
        if scheme not in ("internet-facing", "internal"):
            raise ServiceError("InvalidSchemeException", f"Scheme '{scheme}' must be internet-facing or internal")
        if not params["Listeners"]:
            raise error.invalid("Listeners cannot be empty")
        listeners = [wire.listener_from(item) for item in params["Listeners"]]
        for listener in listeners:
            check_certificate(self._store, context, listener.certificate_arn)
        tags = wire.tags_from(params.get("Tags"))
        subnets = self._subnets_or_zones(context, params)
        vpc_id = subnets[0].vpc_id
        if scheme == "internet-facing" and not self._store.find(INTERNET_GATEWAY, "vpc", vpc_id):
            raise ServiceError("InvalidSubnetException", f"VPC {vpc_id} has no internet gateway")
        groups = self._security_groups(context, vpc_id, params.get("SecurityGroups"))
        scope = Scope(account=context.account, region=context.region)
        plane = LoadBalancer(
            scope=scope,
            arn=arns.load_balancer(scope, name, self._ids.hex(16), "classic"),
            name=name,
            type="classic",
            scheme="internal" if scheme == "internal" else "internet-facing",
            dns_name=dns_name(name, self._ids.number(10), context.region, scheme),
            vpc_id=vpc_id,
            zones=tuple(ZoneMapping(zone=subnet.zone, subnet_id=subnet.id) for subnet in subnets),
            security_group_ids=groups,
            tags=tags,
            created_at=self._clock.now(),
        )
        made = ClassicLoadBalancer(
            scope=scope,
            name=name,
            load_balancer_arn=plane.arn,
            listeners=(),
            health_check=rule.default_health_check(listeners[0]),
            created_at=plane.created_at,
        )
        plane = replace(plane, attributes=_plane_attributes(made))
        for listener in listeners:
            made = rule.with_listener(made, listener)
        rule.check_listeners(made.listeners)
        known = next((each for each in self._store.scan(LOAD_BALANCER, context.prefix) if each.name == name), None)
        if known is not None:
            return self._again(context, known, plane, made)
        if len(list(self._store.scan(CLASSIC_LOAD_BALANCER, context.prefix))) >= rule.LOAD_BALANCERS_PER_REGION:
            raise ServiceError(
                "TooManyAccessPointsException",
                f"The limit of {rule.LOAD_BALANCERS_PER_REGION} load balancers of this account is reached",
            )
        self._store.transact(Put(LOAD_BALANCER, plane, ABSENT), *state.writes(self._store, None, made))
        return {"DNSName": plane.dns_name}

    def _again(
        self, context: RequestContext, known: LoadBalancer, asked: LoadBalancer, made: ClassicLoadBalancer
    ) -> Result:
        """The same load balancer asked for once more is answered as it was."""
        classic = self._store.get(CLASSIC_LOAD_BALANCER, context.prefix + known.name)
        same = (
            classic is not None
            and known.type == "classic"
            and known.scheme == asked.scheme
            and {each.subnet_id for each in known.zones} == {each.subnet_id for each in asked.zones}
            and set(known.security_group_ids) == set(asked.security_group_ids)
            and classic.listeners == made.listeners
        )
        if not same:
            raise ServiceError(
                "DuplicateAccessPointNameException",
                f"Load Balancer named '{known.name}' already exists and it is configured with different parameters.",
            )
        return {"DNSName": known.dns_name}

    def describe(self, context: RequestContext, params: Params) -> Result:
        if names := params.get("LoadBalancerNames"):
            balancers = [state.classic(self._store, context, name) for name in dict.fromkeys(names)]
        else:
            balancers = list(self._store.scan(CLASSIC_LOAD_BALANCER, context.prefix))
        balancers.sort(key=lambda each: each.name)
        shown, more = page(balancers, params)
        return {"LoadBalancerDescriptions": [self._shown(each) for each in shown], **more}

    def _shown(self, balancer: ClassicLoadBalancer) -> Result:
        plane = state.load_balancer(self._store, balancer)
        prefix = balancer.scope.prefix
        groups = [self._store.get(SECURITY_GROUP, prefix + each) for each in plane.security_group_ids]
        return wire.load_balancer_to(balancer, plane, [group.name for group in groups if group is not None])

    def delete(self, context: RequestContext, params: Params) -> Result:
        """What is not there is deleted already, as on AWS."""
        balancer = self._store.get(CLASSIC_LOAD_BALANCER, context.prefix + params["LoadBalancerName"])
        if balancer is not None:
            self._store.transact(*state.removal(self._store, balancer))
        return {}

    # --- where it is ------------------------------------------------------------------------------------------------

    def _subnets_or_zones(self, context: RequestContext, params: Params) -> list[Subnet]:
        zones, ids = params.get("AvailabilityZones"), params.get("Subnets")
        if zones and ids:
            raise error.invalid("Only one of SubnetIds or AvailabilityZones parameter may be specified")
        if ids:
            found = self._subnets(context, ids)
        elif zones:
            found = [self._default_subnet(context, zone) for zone in dict.fromkeys(zones)]
        else:
            raise error.invalid("Either AvailabilityZones or SubnetIds must be specified")
        _check_zones(found)
        return found

    def _subnets(self, context: RequestContext, ids: Iterable[str]) -> list[Subnet]:
        found: list[Subnet] = []
        for subnet_id in dict.fromkeys(ids):
            subnet = self._store.get(SUBNET, context.prefix + subnet_id)
            if subnet is None:
                raise ServiceError("SubnetNotFoundException", f"The subnet ID '{subnet_id}' does not exist")
            found.append(subnet)
        return found

    def _default_subnet(self, context: RequestContext, zone: str) -> Subnet:
        """Of the default VPC: what a zone means where no subnet is named."""
        for vpc in self._store.scan(VPC, context.prefix):
            if vpc.is_default:
                for subnet in self._store.find(SUBNET, "vpc", vpc.id):
                    if subnet.zone == zone and subnet.default_for_zone:
                        return subnet
        raise error.invalid(f"Requested Availability Zone {zone} is either constrained or does not exist")

    def attach(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        added = self._subnets(context, params["Subnets"])
        return {"Subnets": [zone.subnet_id for zone in self._with_subnets(balancer, added).zones]}

    def enable_zones(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        added = [self._default_subnet(context, zone) for zone in params["AvailabilityZones"]]
        return {"AvailabilityZones": [zone.zone for zone in self._with_subnets(balancer, added).zones]}

    def _with_subnets(self, balancer: ClassicLoadBalancer, added: Sequence[Subnet]) -> LoadBalancer:
        plane = state.load_balancer(self._store, balancer)
        there = {zone.subnet_id for zone in plane.zones}
        fresh = [subnet for subnet in added if subnet.id not in there]
        for subnet in fresh:
            if subnet.vpc_id != plane.vpc_id:
                raise ServiceError(
                    "InvalidSubnetException", f"The subnet '{subnet.id}' is not in the VPC '{plane.vpc_id}'"
                )
        known = [zone.zone for zone in plane.zones]
        _check_zones(fresh, known)
        zones = (*plane.zones, *(ZoneMapping(zone=subnet.zone, subnet_id=subnet.id) for subnet in fresh))
        changed = replace(plane, zones=zones)
        self._store.transact(Put(LOAD_BALANCER, changed))
        return changed

    def detach(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        left = self._without(balancer, lambda zone: zone.subnet_id in params["Subnets"])
        return {"Subnets": [zone.subnet_id for zone in left.zones]}

    def disable_zones(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        left = self._without(balancer, lambda zone: zone.zone in params["AvailabilityZones"])
        return {"AvailabilityZones": [zone.zone for zone in left.zones]}

    def _without(self, balancer: ClassicLoadBalancer, leaves: Callable[[ZoneMapping], bool]) -> LoadBalancer:
        plane = state.load_balancer(self._store, balancer)
        zones = tuple(zone for zone in plane.zones if not leaves(zone))
        if not zones:
            raise error.conflict("A load balancer must be attached to at least one subnet")
        changed = replace(plane, zones=zones)
        self._store.transact(Put(LOAD_BALANCER, changed))
        return changed

    # --- security groups --------------------------------------------------------------------------------------------

    def apply_security_groups(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        plane = state.load_balancer(self._store, balancer)
        if not params["SecurityGroups"]:
            raise error.conflict("At least one security group must be specified")
        groups = self._security_groups(context, plane.vpc_id, params["SecurityGroups"])
        self._store.transact(Put(LOAD_BALANCER, replace(plane, security_group_ids=groups)))
        return {"SecurityGroups": list(groups)}

    def _security_groups(self, context: RequestContext, vpc_id: str, given: Sequence[str] | None) -> tuple[str, ...]:
        """The groups of the request, else the VPC's default group."""
        if not given:
            default = [group.id for group in self._store.find(SECURITY_GROUP, "vpc", vpc_id) if group.name == "default"]
            return tuple(default[:1])
        for group_id in given:
            group = self._store.get(SECURITY_GROUP, context.prefix + group_id)
            if group is None:
                raise ServiceError("InvalidSecurityGroupException", f"The security group '{group_id}' does not exist")
            if group.vpc_id != vpc_id:
                raise error.conflict(
                    f"One or more security groups are invalid: '{group_id}' is not in the VPC '{vpc_id}'"
                )
        groups = tuple(dict.fromkeys(given))
        if len(groups) > rule.SECURITY_GROUPS_PER_LOAD_BALANCER:
            raise error.conflict(
                f"A load balancer can have at most {rule.SECURITY_GROUPS_PER_LOAD_BALANCER} security groups"
            )
        return groups

    # --- attributes -------------------------------------------------------------------------------------------------

    def describe_attributes(self, context: RequestContext, params: Params) -> Result:
        balancer = state.classic(self._store, context, params["LoadBalancerName"])
        return {"LoadBalancerAttributes": _attributes_to(balancer)}

    def modify_attributes(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        given = params["LoadBalancerAttributes"]
        for item in given.get("AdditionalAttributes", ()):
            if item.get("Key") != DESYNC:
                raise ServiceError(
                    "LoadBalancerAttributeNotFoundException", f"Attribute '{item.get('Key')}' is not recognized"
                )
            if item.get("Value") not in DESYNC_MODES:
                raise error.conflict(
                    f"Value '{item.get('Value')}' of {DESYNC} must be one of {', '.join(DESYNC_MODES)}"
                )
        modes = [item["Value"] for item in given.get("AdditionalAttributes", ())]
        after = replace(before, desync_mode=modes[-1]) if modes else before
        if (logs := given.get("AccessLog")) is not None:
            after = replace(after, access_log=_access_log_from(logs))
        if (across := given.get("CrossZoneLoadBalancing")) is not None:
            after = replace(after, cross_zone=across["Enabled"])
        if (settings := given.get("ConnectionSettings")) is not None:
            if not 1 <= settings["IdleTimeout"] <= 4000:
                raise error.invalid("ConnectionSettings IdleTimeout must be between 1 and 4000")
            after = replace(after, idle_timeout_s=settings["IdleTimeout"])
        if (draining := given.get("ConnectionDraining")) is not None:
            seconds = draining.get("Timeout", after.draining_timeout_s)
            if not 1 <= seconds <= 3600:
                raise error.invalid("ConnectionDraining Timeout must be between 1 and 3600")
            after = replace(after, draining_enabled=draining["Enabled"], draining_timeout_s=seconds)
        made: list[Write] = state.writes(self._store, before, after)
        plane = state.load_balancer(self._store, before)
        attributes = {**plane.attributes, **_plane_attributes(after)}
        if attributes != plane.attributes:
            made.append(Put(LOAD_BALANCER, replace(plane, attributes=attributes)))
        self._store.transact(*made)
        shown = _attributes_to(after)
        return {
            "LoadBalancerName": after.name,
            "LoadBalancerAttributes": {name: shown[name] for name in given if name in shown},
        }


def _attributes_to(balancer: ClassicLoadBalancer) -> Result:
    return {
        "CrossZoneLoadBalancing": {"Enabled": balancer.cross_zone},
        "AccessLog": _access_log_to(balancer.access_log),
        "ConnectionDraining": {"Enabled": balancer.draining_enabled, "Timeout": balancer.draining_timeout_s},
        "ConnectionSettings": {"IdleTimeout": balancer.idle_timeout_s},
        "AdditionalAttributes": [{"Key": DESYNC, "Value": balancer.desync_mode}],
    }


def _access_log_from(given: Params) -> AccessLogSettings | None:
    if not given["Enabled"]:
        return None
    bucket, prefix, minutes = (
        given.get("S3BucketName", ""),
        given.get("S3BucketPrefix", ""),
        given.get("EmitInterval", 60),
    )
    access_log.check(bucket, prefix, minutes)
    return AccessLogSettings(bucket=bucket, prefix=prefix, interval_minutes=minutes)


def _access_log_to(settings: AccessLogSettings | None) -> Result:
    if settings is None:
        return {"Enabled": False}
    return {
        "Enabled": True,
        "S3BucketName": settings.bucket,
        "S3BucketPrefix": settings.prefix,
        "EmitInterval": settings.interval_minutes,
    }


def _plane_attributes(balancer: ClassicLoadBalancer) -> dict[str, str]:
    """Of the record that the data plane has. A Classic Load Balancer speaks HTTP/1.1 alone."""
    logs = balancer.access_log
    return {
        "idle_timeout.timeout_seconds": str(balancer.idle_timeout_s),
        "routing.http2.enabled": "false",
        CROSS_ZONE: "true" if balancer.cross_zone else "false",
        "routing.http.desync_mitigation_mode": balancer.desync_mode,
        access_log.ENABLED: "true" if logs is not None else "false",
        access_log.BUCKET: logs.bucket if logs is not None else "",
        access_log.PREFIX: logs.prefix if logs is not None else "",
        access_log.INTERVAL: str(logs.interval_minutes) if logs is not None else "",
    }


def _check_zones(subnets: Sequence[Subnet], taken: Sequence[str] = ()) -> None:
    zones = [*taken, *(subnet.zone for subnet in subnets)]
    if len(set(zones)) < len(zones):
        raise error.conflict("ELB cannot be attached to multiple subnets in the same AZ.")
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise ServiceError("InvalidSubnetException", "All subnets must belong to the same VPC")


def check_certificate(store: Store, context: RequestContext, arn: str) -> None:
    if arn and served_certificate(store, context.prefix, arn) is None:
        raise ServiceError("CertificateNotFoundException", f"Server Certificate not found for the key: {arn}")
