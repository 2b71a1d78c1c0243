"""Security groups and their rules. The kernel follows: a loop wakes on every change committed here."""

import re
from collections.abc import Callable
from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id, open_egress
from portside.api.ec2.permission import FindGroup, permissions_to_wire, requested_rule, requested_rules, rule_to_wire
from portside.api.ec2.selection import answer, page, selected, tag_list, tags_for
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import Scope, replace
from portside.domain.table import ENI, SECURITY_GROUP, VPC
from portside.domain.vpc import SecurityGroup, SecurityGroupRule, Vpc
from portside.store.interface import ABSENT, Delete, Put, Store

_NAME = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*")
_GROUP_ID = re.compile(r"sg-[0-9a-f]{8}(?:[0-9a-f]{9})?")


class SecurityGroupHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def describe_security_groups(self, context: RequestContext, params: Params) -> Result:
        for group_id in params.get("GroupIds") or ():
            self._by_id(context, group_id)
        for name in params.get("GroupNames") or ():
            self._by_name(context, name)
        asked = {
            *(params.get("GroupIds") or ()),
            *(self._by_name(context, name).id for name in params.get("GroupNames") or ()),
        }
        groups = [each for each in self._store.scan(SECURITY_GROUP, context.prefix) if not asked or each.id in asked]
        rows, token = page(selected(groups, params, _GROUP_FIELDS, lambda g: g.tags), params, lambda g: g.id)
        return answer("SecurityGroups", [_group_to_wire(each) for each in rows], token)

    def describe_security_group_rules(self, context: RequestContext, params: Params) -> Result:
        every = [(group, rule) for group in self._store.scan(SECURITY_GROUP, context.prefix) for rule in group.rules]
        asked = set(params.get("SecurityGroupRuleIds") or ())
        missing = asked - {rule.id for _group, rule in every}
        if missing:
            raise error.rule_not_found(min(missing))
        rows = [row for row in every if not asked or row[1].id in asked]
        found, token = page(selected(rows, params, _RULE_FIELDS, lambda r: r[1].tags), params, lambda r: r[1].id)
        return answer("SecurityGroupRules", [rule_to_wire(group, rule) for group, rule in found], token)

    def create_security_group(self, context: RequestContext, params: Params) -> Result:
        name, description = params.get("GroupName") or "", params.get("Description") or ""
        _check_text("GroupName", name)
        _check_text("GroupDescription", description)
        if name.startswith("sg-"):
            raise error.invalid_value(f"Invalid value '{name}' for groupName. Group names may not start with 'sg-'")
        if name == "default":
            raise error.invalid_value("Cannot use reserved security group name: default")
        vpc = self._vpc(context, params.get("VpcId"))
        if any(each.name == name for each in self._store.find(SECURITY_GROUP, "vpc", vpc.id)):
            raise ServiceError(
                "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'"
            )
        group = SecurityGroup(
            scope=_scope(context),
            id=new_id(self._ids, "sg"),
            vpc_id=vpc.id,
            name=name,
            description=description,
            rules=(open_egress(self._ids),),
            tags=tags_for(params, "security-group"),
            created_at=self._clock.now(),
        )
        self._store.transact(Put(SECURITY_GROUP, group, expect=ABSENT))
        return {"GroupId": group.id, "SecurityGroupArn": _arn(group), "Tags": tag_list(group.tags)}

    def delete_security_group(self, context: RequestContext, params: Params) -> Result:
        group = self._target(context, params)
        if group.name == "default":
            raise ServiceError(
                "CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
            )
        in_use = any(group.id in eni.security_group_ids for eni in self._store.find(ENI, "vpc", group.vpc_id))
        referenced = any(
            rule.group_id == group.id
            for other in self._store.find(SECURITY_GROUP, "vpc", group.vpc_id)
            if other.id != group.id
            for rule in other.rules
        )
        if in_use or referenced:
            raise ServiceError("DependencyViolation", f"resource {group.id} has a dependent object")
        self._store.transact(Delete(SECURITY_GROUP, context.prefix + group.id))
        return {"Return": True, "GroupId": group.id}

    def authorize_ingress(self, context: RequestContext, params: Params) -> Result:
        return self._authorize(context, params, egress=False)

    def authorize_egress(self, context: RequestContext, params: Params) -> Result:
        return self._authorize(context, params, egress=True)

    def revoke_ingress(self, context: RequestContext, params: Params) -> Result:
        return self._revoke(context, params, egress=False)

    def revoke_egress(self, context: RequestContext, params: Params) -> Result:
        return self._revoke(context, params, egress=True)

    def describe_ingress(self, context: RequestContext, params: Params) -> Result:
        return self._update_descriptions(context, params, egress=False)

    def describe_egress(self, context: RequestContext, params: Params) -> Result:
        return self._update_descriptions(context, params, egress=True)

    def modify_rules(self, context: RequestContext, params: Params) -> Result:
        """All rules of the request in one commit, or none. Each keeps its id, direction and tags."""
        if not params.get("GroupId"):
            raise error.missing_parameter("groupId")
        group = self._by_id(context, params["GroupId"])
        rules = {rule.id: rule for rule in group.rules}
        find = self._finder(context, group)
        for each in params.get("SecurityGroupRules") or ():
            rule_id = each.get("SecurityGroupRuleId") or ""
            if rule_id not in rules:
                raise error.rule_not_found(rule_id)
            old = rules[rule_id]
            new = requested_rule(each.get("SecurityGroupRule") or {}, egress=old.egress, find_group=find)
            if any(vpc_rule.same_permission(new, other) for other in rules.values() if other.id != rule_id):
                raise ServiceError(
                    "InvalidPermission.Duplicate",
                    f'the specified rule "{vpc_rule.permission_words(new)}" already exists',
                )
            rules[rule_id] = replace(new, id=rule_id, tags=old.tags)
        self._put(replace(group, rules=tuple(rules.values())))
        return {"Return": True}

    def _authorize(self, context: RequestContext, params: Params, *, egress: bool) -> Result:
        group = self._target(context, params)
        wanted = self._requested(context, params, group, egress=egress)
        for rule in wanted:
            if any(vpc_rule.same_permission(rule, other) for other in group.rules):
                raise ServiceError(
                    "InvalidPermission.Duplicate",
                    f'the specified rule "{vpc_rule.permission_words(rule)}" already exists',
                )
        tags = tags_for(params, "security-group-rule")
        added = tuple(replace(rule, id=new_id(self._ids, "sgr"), tags=tags) for rule in wanted)
        count = sum(rule.egress == egress for rule in (*group.rules, *added))
        if count > vpc_rule.MAX_RULES_PER_DIRECTION:
            raise ServiceError(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            )
        self._put(replace(group, rules=group.rules + added))
        return {"Return": True, "SecurityGroupRules": [rule_to_wire(group, rule) for rule in added]}

    def _revoke(self, context: RequestContext, params: Params, *, egress: bool) -> Result:
        group = self._target(context, params)
        unknown: list[SecurityGroupRule] = []
        if params.get("SecurityGroupRuleIds"):
            if params.get("IpPermissions"):
                raise ServiceError(
                    "InvalidParameterCombination",
                    "The parameters securityGroupRuleIds and ipPermissions can not be used together",
                )
            gone = self._rules_by_id(group, params["SecurityGroupRuleIds"], egress=egress)
        else:
            gone = []
            for rule in self._requested(context, params, group, egress=egress):
                found = next((each for each in group.rules if vpc_rule.same_permission(rule, each)), None)
                if found is None:
                    unknown.append(rule)
                else:
                    gone.append(found)
            vpc = self._store.get(VPC, context.prefix + group.vpc_id)
            if unknown and not (vpc is not None and vpc.is_default):
                raise error.permission_not_found()
        if gone:
            self._put(replace(group, rules=tuple(rule for rule in group.rules if rule not in gone)))
        return {
            "Return": True,
            "RevokedSecurityGroupRules": [_revoked_to_wire(group, rule) for rule in gone],
            "UnknownIpPermissions": permissions_to_wire(unknown, context.account, egress=egress),
        }

    def _update_descriptions(self, context: RequestContext, params: Params, *, egress: bool) -> Result:
        group = self._target(context, params)
        described: dict[str, str | None] = {}
        if params.get("SecurityGroupRuleDescriptions"):
            for each in params["SecurityGroupRuleDescriptions"]:
                (rule,) = self._rules_by_id(group, [each.get("SecurityGroupRuleId") or ""], egress=egress)
                described[rule.id] = each.get("Description")
        else:
            for wanted in self._requested(context, params, group, egress=egress):
                found = next((each for each in group.rules if vpc_rule.same_permission(wanted, each)), None)
                if found is None:
                    raise error.permission_not_found()
                described[found.id] = wanted.description
        self._put(
            replace(
                group,
                rules=tuple(
                    replace(rule, description=described[rule.id]) if rule.id in described else rule
                    for rule in group.rules
                ),
            )
        )
        return {"Return": True}

    def _requested(
        self, context: RequestContext, params: Params, group: SecurityGroup, *, egress: bool
    ) -> list[SecurityGroupRule]:
        return requested_rules(params, egress=egress, find_group=self._finder(context, group))

    def _finder(self, context: RequestContext, group: SecurityGroup) -> FindGroup:
        """Finds the groups that rules of this one may name: those of its VPC."""

        def find(group_id: str | None, name: str | None) -> SecurityGroup:
            if group_id:
                found = self._by_id(context, group_id)
                if found.vpc_id != group.vpc_id:
                    raise error.group_not_found(group_id)
                return found
            if not name:
                raise error.missing_parameter("groupId")
            same_vpc = self._store.find(SECURITY_GROUP, "vpc", group.vpc_id)
            named = next((each for each in same_vpc if each.name == name), None)
            if named is None:
                raise error.group_not_found(name)
            return named

        return find

    def _rules_by_id(self, group: SecurityGroup, rule_ids: list[str], *, egress: bool) -> list[SecurityGroupRule]:
        rules = {rule.id: rule for rule in group.rules if rule.egress == egress}
        for rule_id in rule_ids:
            if rule_id not in rules:
                raise error.rule_not_found(rule_id)
        return [rules[rule_id] for rule_id in dict.fromkeys(rule_ids)]

    def _put(self, group: SecurityGroup) -> None:
        self._store.transact(Put(SECURITY_GROUP, group))

    def _target(self, context: RequestContext, params: Params) -> SecurityGroup:
        if params.get("GroupId"):
            return self._by_id(context, params["GroupId"])
        if params.get("GroupName"):
            return self._by_name(context, params["GroupName"])
        raise ServiceError("MissingParameter", "The request must contain the parameter groupName or groupId")

    def _by_id(self, context: RequestContext, group_id: str) -> SecurityGroup:
        if not _GROUP_ID.fullmatch(group_id):
            raise error.group_id_malformed(group_id)
        group = self._store.get(SECURITY_GROUP, context.prefix + group_id)
        if group is None:
            raise error.group_not_found(group_id)
        return group

    def _by_name(self, context: RequestContext, name: str) -> SecurityGroup:
        """Names are looked up in the default VPC, as EC2 does."""
        vpc = next((each for each in self._store.scan(VPC, context.prefix) if each.is_default), None)
        groups = self._store.find(SECURITY_GROUP, "vpc", vpc.id) if vpc is not None else []
        for group in groups:
            if group.name == name:
                return group
        where = f" in default VPC '{vpc.id}'" if vpc is not None else ""
        raise ServiceError("InvalidGroup.NotFound", f"The security group '{name}' does not exist{where}")

    def _vpc(self, context: RequestContext, vpc_id: str | None) -> Vpc:
        if vpc_id:
            vpc = self._store.get(VPC, context.prefix + vpc_id)
            if vpc is None:
                raise error.vpc_not_found(vpc_id)
            return vpc
        vpc = next((each for each in self._store.scan(VPC, context.prefix) if each.is_default), None)
        if vpc is None:
            raise ServiceError("VPCIdNotSpecified", "No default VPC for this user")
        return vpc


def _scope(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def _arn(group: SecurityGroup) -> str:
    return f"arn:aws:ec2:{group.scope.region}:{group.scope.account}:security-group/{group.id}"


def _check_text(parameter: str, text: str) -> None:
    if not text:
        raise error.missing_parameter(parameter)
    if len(text) > 255:
        raise error.invalid_value(
            f"Value ({text}) for parameter {parameter} is invalid. The maximum length is 255 characters."
        )
    if not _NAME.fullmatch(text):
        raise error.invalid_value(
            f"Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
            if not text.isascii()
            else f"Invalid security group {'name' if parameter == 'GroupName' else 'description'}. "
            "Valid characters are a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*"
        )


def _group_to_wire(group: SecurityGroup) -> dict[str, Any]:
    return {
        "GroupId": group.id,
        "SecurityGroupArn": _arn(group),
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": group.scope.account,
        "VpcId": group.vpc_id,
        "IpPermissions": permissions_to_wire(group.rules, group.scope.account, egress=False),
        "IpPermissionsEgress": permissions_to_wire(group.rules, group.scope.account, egress=True),
        "Tags": tag_list(group.tags),
    }


def _revoked_to_wire(group: SecurityGroup, rule: SecurityGroupRule) -> dict[str, Any]:
    wire = rule_to_wire(group, rule)
    shown = {
        name: wire[name]
        for name in (
            "SecurityGroupRuleId",
            "GroupId",
            "IsEgress",
            "IpProtocol",
            "FromPort",
            "ToPort",
            "CidrIpv4",
            "CidrIpv6",
            "Description",
        )
        if name in wire
    }
    return shown | ({"ReferencedGroupId": rule.group_id} if rule.group_id is not None else {})


def _permission_fields(prefix: str, *, egress: bool) -> dict[str, Callable[[SecurityGroup], list[str]]]:
    def of(value: Callable[[SecurityGroupRule], str | int | None]) -> Callable[[SecurityGroup], list[str]]:
        return lambda group: [
            str(value(rule)) for rule in group.rules if rule.egress == egress and value(rule) is not None
        ]

    return {
        f"{prefix}cidr": of(lambda rule: rule.cidr),
        f"{prefix}ipv6-cidr": of(lambda rule: rule.cidr_v6),
        f"{prefix}group-id": of(lambda rule: rule.group_id),
        f"{prefix}protocol": of(lambda rule: rule.protocol),
        f"{prefix}from-port": of(lambda rule: rule.from_port),
        f"{prefix}to-port": of(lambda rule: rule.to_port),
    }


_GROUP_FIELDS: dict[str, Callable[[SecurityGroup], list[str]]] = {
    "group-id": lambda g: [g.id],
    "group-name": lambda g: [g.name],
    "description": lambda g: [g.description],
    "owner-id": lambda g: [g.scope.account],
    "vpc-id": lambda g: [g.vpc_id],
    **_permission_fields("ip-permission.", egress=False),
    **_permission_fields("egress.ip-permission.", egress=True),
}
_RULE_FIELDS: dict[str, Callable[[tuple[SecurityGroup, SecurityGroupRule]], list[str]]] = {
    "group-id": lambda row: [row[0].id],
    "security-group-rule-id": lambda row: [row[1].id],
}
