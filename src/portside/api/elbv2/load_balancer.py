"""Load balancers: create, describe, delete, attributes, security groups, subnets."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from portside.api.elbv2 import error, lookup, subnet_mapping, wire
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import access_log
from portside.domain import arn as arns
from portside.domain import load_balancer_rule as rule
from portside.domain.clock import Clock, Ids
from portside.domain.elastic_address import promised
from portside.domain.load_balancer import LoadBalancer
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.domain.table import (
    ELASTIC_ADDRESS,
    INTERNET_GATEWAY,
    LISTENER,
    LOAD_BALANCER,
    RULE,
    SECURITY_GROUP,
    SUBNET,
)
from portside.domain.vpc import ElasticAddress, Subnet
from portside.store.interface import ABSENT, Delete, Put, Store, Write

DESCRIBED: Final = 20
"""ARNs in one call. Source: DescribeLoadBalancers, member LoadBalancerArns."""

_PLACE: Final[tuple[Literal["bucket", "prefix"], ...]] = ("bucket", "prefix")


class LoadBalancerHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateLoadBalancer": self.create,
            "DescribeLoadBalancers": self.describe,
            "DeleteLoadBalancer": self.delete,
            "DescribeLoadBalancerAttributes": self.describe_attributes,
            "ModifyLoadBalancerAttributes": self.modify_attributes,
            "SetSecurityGroups": self.set_security_groups,
            "SetSubnets": self.set_subnets,
            "SetIpAddressType": self.set_ip_address_type,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        name, scheme = params["Name"], params.get("Scheme", "internet-facing")
        kind = params.get("Type", "application")
        if kind not in ("application", "network"):
            raise ServiceError(
                "OperationNotPermittedException", f"Load balancers of type '{kind}' are not implemented yet by Portside"
            )
        _check_address_type(params)
        for member in ("CustomerOwnedIpv4Pool", "IpamPools"):
            if params.get(member):
                raise error.unsupported(f"The parameter {member}")
        rule.check_name(name, "load balancer")
        tags = wire.tags_from(params.get("Tags"))
        asked = subnet_mapping.wanted(params, kind, scheme)
        subnets = self._subnets(context, params, kind)
        vpc_id = subnets[0].vpc_id
        if scheme == "internet-facing" and not self._store.find(INTERNET_GATEWAY, "vpc", vpc_id):
            raise ServiceError("InvalidSubnetException", f"VPC {vpc_id} has no internet gateway")
        groups: tuple[str, ...] = ()
        if kind != "network" or params.get("SecurityGroups"):
            groups = self._security_groups(context, vpc_id, params.get("SecurityGroups"))
        known = next((b for b in self._store.scan(LOAD_BALANCER, context.prefix) if b.name == name), None)
        if known is not None:
            same = (
                (known.type, known.scheme) == (kind, scheme)
                and {zone.subnet_id for zone in known.zones} == {subnet.id for subnet in subnets}
                and set(known.security_group_ids) == set(groups)
                and {each.subnet_id: each.static_address for each in known.zones if each.static_address}
                == asked.addresses
                and {each.subnet_id: each.allocation_id for each in known.zones if each.allocation_id}
                == asked.allocations
                and ("Tags" not in params or known.tags == tags)
            )
            if not same:
                raise ServiceError(
                    "DuplicateLoadBalancerNameException",
                    f"A load balancer with the same name '{name}' exists, but with different settings",
                )
            return {"LoadBalancers": [wire.load_balancer_to(known)]}
        others = [each for each in self._store.scan(LOAD_BALANCER, context.prefix) if each.type == kind]
        if len(others) >= rule.LOAD_BALANCERS_PER_REGION:
            raise ServiceError(
                "TooManyLoadBalancersException",
                "The maximum number of load balancers has been reached for this account",
            )
        scope = lookup.scope(context)
        subnet_mapping.check_free(self._store, scope, subnets, asked.addresses)
        elastic = subnet_mapping.elastic_addresses(self._store, scope, subnets, asked.allocations)
        balancer = LoadBalancer(
            scope=scope,
            arn=arns.load_balancer(scope, name, self._ids.hex(16), "net" if kind == "network" else "app"),
            name=name,
            type="network" if kind == "network" else "application",
            scheme=scheme,
            dns_name=rule.dns_name(name, self._ids.number(10), context.region, scheme),
            vpc_id=vpc_id,
            zones=subnet_mapping.zone_mappings(subnets, asked.addresses, elastic),
            security_group_ids=groups,
            tags=tags,
            created_at=self._clock.now(),
        )
        self._store.transact(*_promises(elastic, balancer), Put(LOAD_BALANCER, balancer, ABSENT))
        return {"LoadBalancers": [wire.load_balancer_to(balancer)]}

    def _subnets(self, context: RequestContext, params: Params, kind: str) -> list[Subnet]:
        mappings = params.get("SubnetMappings", ())
        if params.get("Subnets") and mappings:
            raise error.invalid("Only one of subnets or subnet mappings can be specified")
        ids = list(params.get("Subnets", ())) or [mapping["SubnetId"] for mapping in mappings]
        if not ids:
            raise error.invalid("You must specify subnets")
        if len(set(ids)) != len(ids):
            raise error.invalid("A subnet cannot be specified more than once")
        subnets: list[Subnet] = []
        for subnet_id in ids:
            subnet = self._store.get(SUBNET, context.prefix + subnet_id)
            if subnet is None:
                raise ServiceError("SubnetNotFoundException", f"The subnet ID '{subnet_id}' does not exist")
            subnets.append(subnet)
        if len({subnet.vpc_id for subnet in subnets}) > 1:
            raise ServiceError("InvalidSubnetException", "All subnets must belong to the same VPC")
        zones = [subnet.zone for subnet in subnets]
        if len(set(zones)) != len(zones):
            raise ServiceError(
                "InvalidConfigurationRequestException",
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            )
        if len(zones) < 2 and kind == "application":
            raise error.invalid("At least two subnets in two different Availability Zones must be specified")
        return subnets

    def _security_groups(self, context: RequestContext, vpc_id: str, given: Sequence[str] | None) -> tuple[str, ...]:
        """The groups of the request, else the VPC's default group."""
        if not given:
            default = [group.id for group in self._store.find(SECURITY_GROUP, "vpc", vpc_id) if group.name == "default"]
            return tuple(default[:1])
        if len(set(given)) > rule.SECURITY_GROUPS_PER_LOAD_BALANCER:
            raise ServiceError(
                "InvalidConfigurationRequestException",
                f"A load balancer can have at most '{rule.SECURITY_GROUPS_PER_LOAD_BALANCER}' security groups",
            )
        for group_id in given:
            group = self._store.get(SECURITY_GROUP, context.prefix + group_id)
            if group is None:
                raise ServiceError("InvalidSecurityGroupException", f"The security group '{group_id}' does not exist")
            if group.vpc_id != vpc_id:
                raise ServiceError(
                    "InvalidConfigurationRequestException",
                    f"One or more security groups are invalid: '{group_id}' is not in the VPC '{vpc_id}'",
                )
        return tuple(dict.fromkeys(given))

    def describe(self, context: RequestContext, params: Params) -> Result:
        all_of_them = (each for each in self._store.scan(LOAD_BALANCER, context.prefix) if each.type != "classic")
        balancers = sorted(all_of_them, key=lambda b: (b.created_at, b.arn))
        if params.get("LoadBalancerArns") and params.get("Names"):
            raise error.invalid("Load balancer names and load balancer ARNs cannot be specified at the same time")
        if len(params.get("LoadBalancerArns", ())) > DESCRIBED:
            raise error.invalid(f"At most '{DESCRIBED}' load balancer ARNs can be specified")
        if wanted := params.get("LoadBalancerArns"):
            balancers = [balancer for balancer in balancers if balancer.arn in wanted]
            for arn in wanted:
                lookup.check_arn(arn, "load balancer")
            if len(balancers) < len(set(wanted)):
                raise ServiceError("LoadBalancerNotFoundException", "One or more load balancers not found")
        if names := params.get("Names"):
            balancers = [balancer for balancer in balancers if balancer.name in names]
            if missing := [name for name in names if name not in {balancer.name for balancer in balancers}]:
                raise ServiceError(
                    "LoadBalancerNotFoundException", f"Load balancers '[{', '.join(missing)}]' not found"
                )
        shown, more = page(balancers, params)
        return {"LoadBalancers": [wire.load_balancer_to(balancer) for balancer in shown], **more}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Listeners and rules go with it. What is not there is deleted already, as on AWS."""
        balancer = self._store.get(LOAD_BALANCER, context.prefix + params["LoadBalancerArn"])
        if balancer is None or balancer.type == "classic":
            lookup.check_arn(params["LoadBalancerArn"], "load balancer")
            return {}
        if balancer.attributes.get("deletion_protection.enabled") == "true":
            raise ServiceError(
                "OperationNotPermittedException",
                f"Load balancer '{balancer.arn}' cannot be deleted because deletion protection is enabled",
            )
        listeners = lookup.listeners_of(self._store, balancer.arn)
        writes: list[Write] = [Delete(RULE, RULE.key(each)) for each in lookup.rules_of(self._store, listeners)]
        writes += [Delete(LISTENER, LISTENER.key(each)) for each in listeners]
        self._store.transact(*writes, Delete(LOAD_BALANCER, LOAD_BALANCER.key(balancer)))
        return {}

    def describe_attributes(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        shown = rule.attributes_with_defaults(balancer.attributes, rule.load_balancer_attributes(balancer.type))
        return {"Attributes": wire.attributes_to(shown)}

    def modify_attributes(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        changes = {item.get("Key", ""): item.get("Value", "") for item in params["Attributes"]}
        for key, value in changes.items():
            rule.check_load_balancer_attribute(key, value, balancer.type)
        attributes = {**balancer.attributes, **changes}
        for kind in access_log.KINDS:
            if attributes.get(access_log.attribute(kind, "enabled")) != "true":
                continue
            bucket, prefix = (attributes.get(access_log.attribute(kind, what), "") for what in _PLACE)
            try:
                access_log.check(bucket, prefix, 5)
            except Refused as refused:
                raise ServiceError("InvalidConfigurationRequestException", str(refused)) from refused
        self._store.transact(Put(LOAD_BALANCER, replace(balancer, attributes=attributes)))
        return {"Attributes": wire.attributes_to(changes)}

    def set_security_groups(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        if balancer.type == "network" and not balancer.security_group_ids:
            raise ServiceError(
                "InvalidConfigurationRequestException",
                "You cannot associate security groups with a Network Load Balancer that was created without any",
            )
        enforced = params.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic")
        if enforced is not None and balancer.type != "network":
            raise error.invalid(
                "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic can be specified for Network Load Balancers only"
            )
        if not params["SecurityGroups"]:
            raise error.invalid("At least one security group must be specified")
        groups = self._security_groups(context, balancer.vpc_id, params["SecurityGroups"])
        changed = replace(
            balancer, security_group_ids=groups, private_link_groups=enforced or balancer.private_link_groups
        )
        self._store.transact(Put(LOAD_BALANCER, changed))
        shown: Result = {"SecurityGroupIds": list(groups)}
        if balancer.type == "network":
            shown["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = changed.private_link_groups
        return shown

    def set_subnets(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        _check_address_type(params)
        subnets = self._subnets(context, params, balancer.type)
        if subnets[0].vpc_id != balancer.vpc_id:
            raise ServiceError(
                "InvalidSubnetException", f"The subnets must be in the VPC '{balancer.vpc_id}' of the load balancer"
            )
        asked = subnet_mapping.wanted(params, balancer.type, balancer.scheme)
        kept = subnet_mapping.kept_zones(balancer, subnets, asked)
        new = [subnet for subnet in subnets if subnet.id not in kept]
        subnet_mapping.check_free(self._store, balancer.scope, new, asked.addresses)
        elastic = subnet_mapping.elastic_addresses(self._store, balancer.scope, new, asked.allocations)
        fresh = {zone.subnet_id: zone for zone in subnet_mapping.zone_mappings(new, asked.addresses, elastic)}
        zones = tuple({**fresh, **kept}[subnet.id] for subnet in subnets)
        changed = replace(balancer, zones=zones)
        self._store.transact(*_promises(elastic, changed), Put(LOAD_BALANCER, changed))
        return {"AvailabilityZones": wire.zones_to(changed), "IpAddressType": "ipv4"}

    def set_ip_address_type(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        _check_address_type(params)
        return {"IpAddressType": balancer.ip_address_type}


def _check_address_type(params: Params) -> None:
    """Raises: ServiceError."""
    if params.get("IpAddressType", "ipv4") != "ipv4":
        raise error.unsupported(f"The IP address type '{params['IpAddressType']}'")


def _promises(elastic: Mapping[str, ElasticAddress], balancer: LoadBalancer) -> list[Write]:
    return [Put(ELASTIC_ADDRESS, promised(each, balancer.arn)) for each in elastic.values()]
