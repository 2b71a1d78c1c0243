"""Security group rules between EC2's shapes and records: one permission on the wire is several rules."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.selection import tag_list
from portside.aws.service import Params, ServiceError
from portside.domain import vpc_rule
from portside.domain.vpc import SecurityGroup, SecurityGroupRule

FindGroup = Callable[[str | None, str | None], SecurityGroup]
"""(group id, group name) -> the group of the same VPC, or a service error."""


def requested_rules(params: Params, *, egress: bool, find_group: FindGroup) -> list[SecurityGroupRule]:
    """The rules that a request names, without ids, in `IpPermissions` or in the older flat parameters.

    Raises: ServiceError for what EC2 would not take.
    """
    try:
        rules = [
            rule
            for permission in _permissions(params)
            for rule in _rules_of(permission, egress=egress, find_group=find_group)
        ]
    except vpc_rule.Malformed as malformed:
        raise ServiceError(malformed.code, malformed.message) from None
    for index, rule in enumerate(rules):
        if any(vpc_rule.same_permission(rule, other) for other in rules[:index]):
            raise error.invalid_value("The same permission must not appear multiple times")
    return rules


def _permissions(params: Params) -> list[Mapping[str, Any]]:
    given = list(params.get("IpPermissions") or ())
    flat = {name: params[name] for name in ("IpProtocol", "FromPort", "ToPort") if params.get(name) is not None}
    cidr, source = params.get("CidrIp"), params.get("SourceSecurityGroupName")
    if cidr or source or flat:
        if given:
            raise ServiceError(
                "InvalidParameterCombination",
                "The parameter IpPermissions can not be used together with CidrIp, IpProtocol, FromPort or ToPort",
            )
        if source and "IpProtocol" not in flat:
            flat = {"IpProtocol": "-1"}
        if cidr:
            flat["IpRanges"] = [{"CidrIp": cidr}]
        if source:
            flat["UserIdGroupPairs"] = [{"GroupName": source}]
        given = [flat]
    if not given:
        raise error.missing_parameter("ipPermissions")
    return given


def _rules_of(permission: Mapping[str, Any], *, egress: bool, find_group: FindGroup) -> Iterable[SecurityGroupRule]:
    if not permission.get("IpProtocol"):
        raise error.missing_parameter("ipProtocol")
    protocol = vpc_rule.normal_protocol(str(permission["IpProtocol"]))
    first, last = vpc_rule.normal_ports(protocol, permission.get("FromPort"), permission.get("ToPort"))

    def rule(
        description: str | None, *, cidr: str | None = None, cidr_v6: str | None = None, group_id: str | None = None
    ) -> SecurityGroupRule:
        return SecurityGroupRule(
            id="",
            egress=egress,
            protocol=protocol,
            from_port=first,
            to_port=last,
            description=_description(description),
            cidr=cidr,
            cidr_v6=cidr_v6,
            group_id=group_id,
        )

    rules = [
        *(rule(each.get("Description"), cidr=_cidr(each)) for each in permission.get("IpRanges") or ()),
        *(
            rule(each.get("Description"), cidr_v6=vpc_rule.normal_cidr_v6(each.get("CidrIpv6") or ""))
            for each in permission.get("Ipv6Ranges") or ()
        ),
        *(
            rule(each.get("Description"), group_id=find_group(each.get("GroupId"), each.get("GroupName")).id)
            for each in permission.get("UserIdGroupPairs") or ()
        ),
    ]
    for each in permission.get("PrefixListIds") or ():
        raise ServiceError(
            "InvalidPrefixListID.NotFound", f"The prefix list ID '{each.get('PrefixListId')}' does not exist"
        )
    if not rules:
        raise error.invalid_value(
            "Invalid value for ipPermissions: a range, a prefix list or a security group is needed"
        )
    return rules


def _cidr(each: Mapping[str, Any]) -> str:
    return vpc_rule.normal_cidr(each.get("CidrIp") or "")


def _description(text: str | None) -> str | None:
    if text is not None and len(text) > 255:
        raise error.invalid_value("Invalid rule description. Valid descriptions are strings less than 256 characters")
    return text


def requested_rule(wire: Mapping[str, Any], *, egress: bool, find_group: FindGroup) -> SecurityGroupRule:
    """The one rule that a SecurityGroupRuleRequest describes, without its id. Raises: ServiceError."""
    others = [name for name in ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId") if wire.get(name)]
    if len(others) != 1:
        raise ServiceError(
            "InvalidParameterCombination",
            "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be given.",
        )
    value = {"Description": wire.get("Description")}
    permission = {name: wire.get(name) for name in ("IpProtocol", "FromPort", "ToPort")} | {
        "CidrIpv4": {"IpRanges": [value | {"CidrIp": wire.get("CidrIpv4")}]},
        "CidrIpv6": {"Ipv6Ranges": [value | {"CidrIpv6": wire.get("CidrIpv6")}]},
        "PrefixListId": {"PrefixListIds": [{"PrefixListId": wire.get("PrefixListId")}]},
        "ReferencedGroupId": {"UserIdGroupPairs": [value | {"GroupId": wire.get("ReferencedGroupId")}]},
    }[others[0]]
    (rule,) = requested_rules({"IpPermissions": [permission]}, egress=egress, find_group=find_group)
    return rule


def permissions_to_wire(rules: Iterable[SecurityGroupRule], account: str, *, egress: bool) -> list[dict[str, Any]]:
    """Rules of one direction, those of a protocol and port range together."""
    grouped: dict[tuple[str, int | None, int | None], dict[str, Any]] = {}
    for rule in rules:
        if rule.egress != egress:
            continue
        permission = grouped.get((rule.protocol, rule.from_port, rule.to_port))
        if permission is None:
            permission = {
                "IpProtocol": rule.protocol,
                "IpRanges": [],
                "Ipv6Ranges": [],
                "PrefixListIds": [],
                "UserIdGroupPairs": [],
            }
            if rule.from_port is not None:
                permission |= {"FromPort": rule.from_port, "ToPort": rule.to_port}
            grouped[rule.protocol, rule.from_port, rule.to_port] = permission
        described = {"Description": rule.description} if rule.description is not None else {}
        if rule.cidr is not None:
            permission["IpRanges"].append({"CidrIp": rule.cidr, **described})
        elif rule.cidr_v6 is not None:
            permission["Ipv6Ranges"].append({"CidrIpv6": rule.cidr_v6, **described})
        else:
            permission["UserIdGroupPairs"].append({"GroupId": rule.group_id, "UserId": account, **described})
    return list(grouped.values())


def rule_to_wire(group: SecurityGroup, rule: SecurityGroupRule) -> dict[str, Any]:
    """A rule as DescribeSecurityGroupRules shows it; -1 for ports where there are none."""
    wire: dict[str, Any] = {
        "SecurityGroupRuleId": rule.id,
        "SecurityGroupRuleArn": (
            f"arn:aws:ec2:{group.scope.region}:{group.scope.account}:security-group-rule/{rule.id}"
        ),
        "GroupId": group.id,
        "GroupOwnerId": group.scope.account,
        "IsEgress": rule.egress,
        "IpProtocol": rule.protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "Tags": tag_list(rule.tags),
    }
    if rule.cidr is not None:
        wire["CidrIpv4"] = rule.cidr
    if rule.cidr_v6 is not None:
        wire["CidrIpv6"] = rule.cidr_v6
    if rule.group_id is not None:
        wire["ReferencedGroupInfo"] = {"GroupId": rule.group_id, "UserId": group.scope.account}
    if rule.description is not None:
        wire["Description"] = rule.description
    return wire
