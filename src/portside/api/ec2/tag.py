"""Tags of EC2's resources, by resource id."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from portside.api.ec2.selection import answer, merged, page, parse_tags, selected
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain.record import Tag, Tags, replace
from portside.domain.table import (
    EBS_SNAPSHOT,
    EBS_VOLUME,
    ELASTIC_ADDRESS,
    ENI,
    INSTANCE,
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    NETWORK_ACL,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from portside.store.interface import Put, Store

_KINDS: dict[str, tuple[Any, str, str]] = {
    "vpc": (VPC, "vpc", "InvalidVpcID"),
    "subnet": (SUBNET, "subnet", "InvalidSubnetID"),
    "sg": (SECURITY_GROUP, "security-group", "InvalidGroup"),
    "i": (INSTANCE, "instance", "InvalidInstanceID"),
    "eni": (ENI, "network-interface", "InvalidNetworkInterfaceID"),
    "rtb": (ROUTE_TABLE, "route-table", "InvalidRouteTableID"),
    "igw": (INTERNET_GATEWAY, "internet-gateway", "InvalidInternetGatewayID"),
    "nat": (NAT_GATEWAY, "natgateway", "InvalidNatGatewayID"),
    "acl": (NETWORK_ACL, "network-acl", "InvalidNetworkAclID"),
    "vol": (EBS_VOLUME, "volume", "InvalidVolume"),
    "snap": (EBS_SNAPSHOT, "snapshot", "InvalidSnapshot"),
    "eipalloc": (ELASTIC_ADDRESS, "elastic-ip", "InvalidAllocationID"),
}
"""Id prefix -> kind of record, resource type, stem of the error codes."""


@dataclass(frozen=True)
class _Row:
    resource_id: str
    resource_type: str
    tag: Tag

    @property
    def key(self) -> str:
        return f"{self.resource_id}/{self.tag.key}"


class TagHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def create_tags(self, context: RequestContext, params: Params) -> Result:
        new = parse_tags(params.get("Tags") or ())
        self._change(context, params, lambda old: merged(old, new))
        return {}

    def delete_tags(self, context: RequestContext, params: Params) -> Result:
        """A tag given with a value goes only if it has that value; without tags, all go."""
        given = params.get("Tags") or ()

        def left(old: Tags) -> Tags:
            if not given:
                return ()
            return tuple(
                tag
                for tag in old
                if not any(
                    each.get("Key") == tag.key and (each.get("Value") is None or each["Value"] == tag.value)
                    for each in given
                )
            )

        self._change(context, params, left)
        return {}

    def describe_tags(self, context: RequestContext, params: Params) -> Result:
        rows = selected(self._rows(context), params, _FIELDS)
        found, token = page(rows, params, lambda row: row.key)
        wire = [
            {
                "Key": row.tag.key,
                "Value": row.tag.value,
                "ResourceId": row.resource_id,
                "ResourceType": row.resource_type,
            }
            for row in found
        ]
        return answer("Tags", wire, token)

    def _rows(self, context: RequestContext) -> Iterator[_Row]:
        for kind, resource_type, _stem in _KINDS.values():
            for record in self._store.scan(kind, context.prefix):
                for tag in record.tags:
                    yield _Row(record.id, resource_type, tag)
        for group in self._store.scan(SECURITY_GROUP, context.prefix):
            for rule in group.rules:
                for tag in rule.tags:
                    yield _Row(rule.id, "security-group-rule", tag)

    def _change(self, context: RequestContext, params: Params, change: Callable[[Tags], Tags]) -> None:
        """All resources of the request in one commit, or none."""
        records: dict[tuple[str, str], tuple[Any, Any]] = {}
        for resource_id in params.get("Resources") or ():
            if resource_id.startswith("sgr-"):
                group = self._group_of_rule(context, resource_id, records)
                rules = tuple(
                    replace(rule, tags=change(rule.tags)) if rule.id == resource_id else rule for rule in group.rules
                )
                records["sg", group.id] = (SECURITY_GROUP, replace(group, rules=rules))
                continue
            prefix = resource_id.partition("-")[0]
            if prefix not in _KINDS:
                raise ServiceError("InvalidID", f"The ID '{resource_id}' is not valid")
            kind, _type, stem = _KINDS[prefix]
            found = records.get((prefix, resource_id))
            record = found[1] if found is not None else self._store.get(kind, context.prefix + resource_id)
            if record is None:
                raise ServiceError(f"{stem}.NotFound", f"The ID '{resource_id}' does not exist")
            records[prefix, resource_id] = (kind, replace(record, tags=change(record.tags)))
        self._store.transact(*(Put(kind, record) for kind, record in records.values()))

    def _group_of_rule(
        self, context: RequestContext, rule_id: str, records: dict[tuple[str, str], tuple[Any, Any]]
    ) -> Any:
        for group in self._store.scan(SECURITY_GROUP, context.prefix):
            if any(rule.id == rule_id for rule in group.rules):
                return records.get(("sg", group.id), (None, group))[1]
        raise ServiceError(
            "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{rule_id}' does not exist"
        )


_FIELDS = {
    "key": lambda row: [row.tag.key],
    "value": lambda row: [row.tag.value],
    "resource-id": lambda row: [row.resource_id],
    "resource-type": lambda row: [row.resource_type],
}
