"""Target groups: create, describe, modify, delete, attributes."""

from portside.api.elbv2 import error, lookup, wire
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn as arns
from portside.domain import load_balancer_rule as rule
from portside.domain.clock import Clock, Ids
from portside.domain.load_balancer import TargetGroup
from portside.domain.record import replace
from portside.domain.table import TARGET, TARGET_GROUP, VPC
from portside.store.interface import ABSENT, Delete, Put, Store, Write


class TargetGroupHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateTargetGroup": self.create,
            "DescribeTargetGroups": self.describe,
            "ModifyTargetGroup": self.modify,
            "DeleteTargetGroup": self.delete,
            "DescribeTargetGroupAttributes": self.describe_attributes,
            "ModifyTargetGroupAttributes": self.modify_attributes,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        name = params["Name"]
        rule.check_name(name, "target group")
        kind = params.get("TargetType", "instance")
        if kind not in ("instance", "ip"):
            raise error.invalid(
                f"A target group with target type '{kind}' is not supported yet by Portside: use 'instance' or 'ip'"
            )
        protocol = params.get("Protocol")
        version = params.get("ProtocolVersion", "HTTP1" if protocol not in rule.NETWORK_PROTOCOLS else "")
        if protocol is None:
            raise error.invalid("A protocol must be specified")
        if protocol in rule.NETWORK_PROTOCOLS and version:
            raise error.invalid(f"Protocol version cannot be specified for target groups with protocol '{protocol}'")
        if protocol not in ("HTTP", "HTTPS", *rule.NETWORK_PROTOCOLS):
            raise error.unsupported(f"A target group with protocol '{protocol}'")
        if protocol not in rule.NETWORK_PROTOCOLS and version not in ("HTTP1", "HTTP2", "GRPC"):
            raise error.invalid(f"Protocol version '{version}' must be one of 'HTTP1, HTTP2, GRPC'")
        for member, what in (("Port", "port"), ("VpcId", "VPC ID")):
            if member not in params:
                raise error.invalid(f"A {what} must be specified")
        if params.get("IpAddressType", "ipv4") != "ipv4":
            raise error.unsupported(f"The IP address type '{params['IpAddressType']}'")
        if "TargetControlPort" in params:
            raise error.unsupported("The parameter TargetControlPort")
        if self._store.get(VPC, context.prefix + params["VpcId"]) is None:
            raise error.invalid(f"The VPC ID '{params['VpcId']}' is not found")
        base = rule.default_health_check(protocol, params.get("HealthCheckProtocol"), version)
        check = wire.health_check_from(params, base, version)
        rule.check_health_check(check, protocol, version)
        tags = wire.tags_from(params.get("Tags"))
        scope = lookup.scope(context)
        group = TargetGroup(
            scope=scope,
            arn=arns.target_group(scope, name, self._ids.hex(16)),
            name=name,
            protocol=protocol,
            protocol_version=version,
            port=params["Port"],
            vpc_id=params["VpcId"],
            target_type=kind,
            health_check=check,
            tags=tags,
            created_at=self._clock.now(),
        )
        known = next((g for g in self._store.scan(TARGET_GROUP, context.prefix) if g.name == name), None)
        if known is not None:
            wanted_tags = tags if "Tags" in params else known.tags
            if replace(group, arn=known.arn, created_at=known.created_at, tags=wanted_tags) != replace(
                known, attributes={}
            ):
                raise ServiceError(
                    "DuplicateTargetGroupNameException",
                    f"A target group with the same name '{name}' exists, but with different settings",
                )
            return {"TargetGroups": [self._shown(context, known)]}
        if len(list(self._store.scan(TARGET_GROUP, context.prefix))) >= rule.TARGET_GROUPS_PER_REGION:
            raise ServiceError(
                "TooManyTargetGroupsException", "The maximum number of target groups has been reached for this account"
            )
        self._store.transact(Put(TARGET_GROUP, group, ABSENT))
        return {"TargetGroups": [self._shown(context, group)]}

    def _shown(self, context: RequestContext, group: TargetGroup) -> Result:
        return wire.target_group_to(group, lookup.balancers_by_group(self._store, context).get(group.arn, ()))

    def describe(self, context: RequestContext, params: Params) -> Result:
        all_of_them = (each for each in self._store.scan(TARGET_GROUP, context.prefix) if each.classic is None)
        groups = sorted(all_of_them, key=lambda g: (g.created_at, g.arn))
        if sum(bool(params.get(each)) for each in ("LoadBalancerArn", "TargetGroupArns", "Names")) > 1:
            raise error.invalid(
                "Only one of a load balancer ARN, target group ARNs and target group names can be specified"
            )
        users = lookup.balancers_by_group(self._store, context)
        if balancer_arn := params.get("LoadBalancerArn"):
            lookup.load_balancer(self._store, context, balancer_arn)
            groups = [group for group in groups if balancer_arn in users.get(group.arn, ())]
        if wanted := params.get("TargetGroupArns"):
            for arn in wanted:
                lookup.check_arn(arn, "target group")
            groups = [group for group in groups if group.arn in wanted]
            if len(groups) < len(set(wanted)):
                raise ServiceError("TargetGroupNotFoundException", "One or more target groups not found")
        if names := params.get("Names"):
            groups = [group for group in groups if group.name in names]
            if len(groups) < len(set(names)):
                raise ServiceError("TargetGroupNotFoundException", "One or more target groups not found")
        shown, more = page(groups, params)
        return {"TargetGroups": [wire.target_group_to(group, users.get(group.arn, ())) for group in shown], **more}

    def modify(self, context: RequestContext, params: Params) -> Result:
        group = lookup.target_group(self._store, context, params["TargetGroupArn"])
        spoken = params.get("HealthCheckProtocol", group.health_check.protocol)
        base = rule.checked_by(group, spoken)
        check = wire.health_check_from(params, base, group.protocol_version)
        rule.check_health_check(check, group.protocol, group.protocol_version)
        changed = replace(group, health_check=check)
        self._store.transact(Put(TARGET_GROUP, changed))
        return {"TargetGroups": [self._shown(context, changed)]}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Its targets go with it. What is not there is deleted already, as on AWS."""
        arn = params["TargetGroupArn"]
        group = self._store.get(TARGET_GROUP, context.prefix + arn)
        if group is None or group.classic is not None:
            lookup.check_arn(arn, "target group")
            return {}
        if lookup.balancers_by_group(self._store, context).get(arn):
            raise ServiceError(
                "ResourceInUseException", f"Target group '{arn}' is currently in use by a listener or a rule"
            )
        writes: list[Write] = [
            Delete(TARGET, TARGET.key(target)) for target in self._store.find(TARGET, "target_group", arn)
        ]
        self._store.transact(*writes, Delete(TARGET_GROUP, TARGET_GROUP.key(group)))
        return {}

    def describe_attributes(self, context: RequestContext, params: Params) -> Result:
        group = lookup.target_group(self._store, context, params["TargetGroupArn"])
        shown = rule.attributes_with_defaults(
            group.attributes, rule.target_group_attributes(group.protocol, group.target_type)
        )
        return {"Attributes": wire.attributes_to(shown)}

    def modify_attributes(self, context: RequestContext, params: Params) -> Result:
        group = lookup.target_group(self._store, context, params["TargetGroupArn"])
        changes = {item.get("Key", ""): item.get("Value", "") for item in params["Attributes"]}
        for key, value in changes.items():
            rule.check_target_group_attribute(key, value, group.protocol, group.target_type)
        attributes = {**group.attributes, **changes}
        rule.check_target_group_attributes(attributes, group.protocol)
        changed = replace(group, attributes=attributes)
        if changes.get(rule.CROSS_ZONE) == "false" and group.protocol not in rule.NETWORK_PROTOCOLS:
            targets = self._store.find(TARGET, "target_group", group.arn)
            if any(each.zone == "all" for each in targets if each.deregistered_at is None):
                raise ServiceError(
                    "InvalidConfigurationRequestException",
                    "Cross-zone load balancing cannot be turned off while a target has the Availability Zone 'all'",
                )
        for protocol, groups in lookup.together_with(self._store, changed):
            rule.check_proxied(protocol, groups)
        self._store.transact(Put(TARGET_GROUP, changed))
        return {"Attributes": wire.attributes_to(changes)}
