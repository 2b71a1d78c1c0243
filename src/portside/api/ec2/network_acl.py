"""Network ACLs and their entries, which the VPC's router has as stateless rules."""

from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.default_network import new_id
from portside.api.ec2.lookup import asked, dependency, found, repeated, scope_of
from portside.api.ec2.selection import answer, flag, page, selected, tag_list, tags_for
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import network_acl_rule, vpc_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import replace
from portside.domain.table import NETWORK_ACL, VPC
from portside.domain.vpc import NetworkAcl, NetworkAclEntry
from portside.store.interface import ABSENT, Delete, Put, Store


class NetworkAclHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateNetworkAcl": self.create,
            "DeleteNetworkAcl": self.delete,
            "DescribeNetworkAcls": self.describe,
            "CreateNetworkAclEntry": self.create_entry,
            "ReplaceNetworkAclEntry": self.replace_entry,
            "DeleteNetworkAclEntry": self.delete_entry,
            "ReplaceNetworkAclAssociation": self.replace_association,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        vpc = found(self._store, context, VPC, params.get("VpcId"))
        token = params.get("ClientToken") or ""
        acl = repeated(self._store, context, NETWORK_ACL, token)
        if acl is None:
            acl = NetworkAcl(
                scope=scope_of(context),
                id=new_id(self._ids, "acl"),
                vpc_id=vpc.id,
                client_token=token,
                tags=tags_for(params, "network-acl"),
                created_at=self._clock.now(),
            )
            self._store.transact(Put(NETWORK_ACL, acl, expect=ABSENT))
        return {"NetworkAcl": _to_wire(acl)} | ({"ClientToken": token} if token else {})

    def delete(self, context: RequestContext, params: Params) -> Result:
        acl = found(self._store, context, NETWORK_ACL, params.get("NetworkAclId"))
        if acl.is_default:
            raise error.invalid_value(f"cannot delete default network ACL {acl.id}")
        if acl.associations:
            raise dependency(f"The networkAcl '{acl.id}' has dependencies and cannot be deleted.")
        self._store.transact(Delete(NETWORK_ACL, NETWORK_ACL.key(acl)))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        acls = asked(self._store, context, NETWORK_ACL, params.get("NetworkAclIds"))
        rows, token = page(selected(acls, params, _FIELDS, lambda a: a.tags), params, lambda a: a.id)
        return answer("NetworkAcls", [_to_wire(each) for each in rows], token)

    def create_entry(self, context: RequestContext, params: Params) -> Result:
        acl = found(self._store, context, NETWORK_ACL, params.get("NetworkAclId"))
        entry = _entry(params)
        if any(_same_place(each, entry) for each in acl.entries):
            raise ServiceError(
                "NetworkAclEntryAlreadyExists",
                f"The network acl entry identified by {entry.rule_number} already exists.",
            )
        if sum(each.egress == entry.egress for each in acl.entries) >= network_acl_rule.MAX_ENTRIES:
            raise ServiceError(
                "NetworkAclEntryLimitExceeded", f"The networkAcl '{acl.id}' has reached its limit of entries."
            )
        self._store.transact(Put(NETWORK_ACL, replace(acl, entries=(*acl.entries, entry))))
        return {}

    def replace_entry(self, context: RequestContext, params: Params) -> Result:
        acl = found(self._store, context, NETWORK_ACL, params.get("NetworkAclId"))
        entry = _entry(params)
        if not any(_same_place(each, entry) for each in acl.entries):
            raise _no_entry(acl, entry.rule_number)
        entries = tuple(entry if _same_place(each, entry) else each for each in acl.entries)
        self._store.transact(Put(NETWORK_ACL, replace(acl, entries=entries)))
        return {}

    def delete_entry(self, context: RequestContext, params: Params) -> Result:
        acl = found(self._store, context, NETWORK_ACL, params.get("NetworkAclId"))
        place = (params.get("RuleNumber"), bool(params.get("Egress")))
        left = tuple(each for each in acl.entries if (each.rule_number, each.egress) != place)
        if left == acl.entries:
            raise _no_entry(acl, params.get("RuleNumber") or 0)
        self._store.transact(Put(NETWORK_ACL, replace(acl, entries=left)))
        return {}

    def replace_association(self, context: RequestContext, params: Params) -> Result:
        acl = found(self._store, context, NETWORK_ACL, params.get("NetworkAclId"))
        wanted = params.get("AssociationId") or ""
        for before in self._store.scan(NETWORK_ACL, context.prefix):
            association = next((each for each in before.associations if each.id == wanted), None)
            if association is None:
                continue
            if before.vpc_id != acl.vpc_id:
                raise error.invalid_value(f"Network ACL {acl.id} and the subnet belong to different networks")
            made = replace(association, id=new_id(self._ids, "aclassoc"))
            left = tuple(each for each in before.associations if each is not association)
            if before.id == acl.id:
                self._store.transact(Put(NETWORK_ACL, replace(acl, associations=(*left, made))))
            else:
                self._store.transact(
                    Put(NETWORK_ACL, replace(before, associations=left)),
                    Put(NETWORK_ACL, replace(acl, associations=(*acl.associations, made))),
                )
            return {"NewAssociationId": made.id}
        raise ServiceError("InvalidAssociationID.NotFound", f"The association ID '{wanted}' does not exist")


def _same_place(one: NetworkAclEntry, other: NetworkAclEntry) -> bool:
    return (one.rule_number, one.egress) == (other.rule_number, other.egress)


def _no_entry(acl: NetworkAcl, number: int) -> ServiceError:
    return ServiceError(
        "InvalidNetworkAclEntry.NotFound", f"The networkAcl '{acl.id}' has no entry with the rule number {number}"
    )


def _entry(params: Params) -> NetworkAclEntry:
    """The entry of a request. Raises: ServiceError, in EC2's words."""
    number = params.get("RuleNumber")
    if number is None:
        raise error.missing_parameter("ruleNumber")
    if not 1 <= number <= network_acl_rule.LAST_NUMBER:
        raise error.invalid_value(
            f"Value ({number}) for parameter ruleNumber is invalid. It must be between 1 and 32766."
        )
    protocol = network_acl_rule.normal_protocol(str(params.get("Protocol") or ""))
    if protocol is None:
        raise error.invalid_value(f"Invalid value '{params.get('Protocol')}' for protocol")
    cidr, cidr_v6 = params.get("CidrBlock"), params.get("Ipv6CidrBlock")
    if bool(cidr) == bool(cidr_v6):
        raise error.missing_parameter("cidrBlock")
    action = str(params.get("RuleAction") or "").lower()
    if action not in ("allow", "deny"):
        raise error.invalid_value(f"Value ({params.get('RuleAction')}) for parameter ruleAction is invalid.")
    first, last = _ports(protocol, params)
    try:
        return NetworkAclEntry(
            rule_number=number,
            egress=bool(params.get("Egress")),
            protocol=protocol,
            allow=action == "allow",
            cidr=vpc_rule.normal_cidr(cidr) if cidr else None,
            cidr_v6=vpc_rule.normal_cidr_v6(cidr_v6) if cidr_v6 else None,
            from_port=first,
            to_port=last,
        )
    except vpc_rule.Malformed as malformed:
        raise ServiceError(malformed.code, malformed.message) from None


def _ports(protocol: str, params: Params) -> tuple[int | None, int | None]:
    """The range of ports, or type and code of ICMP; none where the protocol has neither."""
    if protocol in ("6", "17"):
        ports = params.get("PortRange") or {}
        if ports.get("From") is None or ports.get("To") is None:
            raise error.missing_parameter("portRange")
        first, last = ports["From"], ports["To"]
        if not 0 <= first <= last <= 65535:
            raise error.invalid_value(f"Invalid value '{first}-{last}' for portRange.")
        return first, last
    if protocol in ("1", "58"):
        kind = params.get("IcmpTypeCode") or {}
        if kind.get("Type") is None or kind.get("Code") is None:
            raise error.missing_parameter("icmpTypeCode")
        if not (-1 <= kind["Type"] <= 255 and -1 <= kind["Code"] <= 255):
            raise error.invalid_value(f"ICMP type and code ({kind['Type']}, {kind['Code']}) out of range")
        return kind["Type"], kind["Code"]
    return None, None


def _to_wire(acl: NetworkAcl) -> dict[str, Any]:
    last = [
        NetworkAclEntry(
            rule_number=network_acl_rule.DENY_NUMBER, egress=egress, protocol="-1", allow=False, cidr="0.0.0.0/0"
        )
        for egress in (True, False)
    ]
    return {
        "NetworkAclId": acl.id,
        "VpcId": acl.vpc_id,
        "OwnerId": acl.scope.account,
        "IsDefault": acl.is_default,
        "Entries": [_entry_to_wire(each) for each in network_acl_rule.in_order((*acl.entries, *last))],
        "Associations": [
            {"NetworkAclAssociationId": each.id, "NetworkAclId": acl.id, "SubnetId": each.subnet_id}
            for each in acl.associations
        ],
        "Tags": tag_list(acl.tags),
    }


def _entry_to_wire(entry: NetworkAclEntry) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "RuleNumber": entry.rule_number,
        "Egress": entry.egress,
        "Protocol": entry.protocol,
        "RuleAction": "allow" if entry.allow else "deny",
    }
    if entry.cidr is not None:
        wire["CidrBlock"] = entry.cidr
    if entry.cidr_v6 is not None:
        wire["Ipv6CidrBlock"] = entry.cidr_v6
    if entry.protocol in ("6", "17"):
        wire["PortRange"] = {"From": entry.from_port, "To": entry.to_port}
    if entry.protocol in ("1", "58"):
        wire["IcmpTypeCode"] = {"Type": entry.from_port, "Code": entry.to_port}
    return wire


def _of_entries(value: Any) -> Any:
    return lambda a: [text for each in a.entries if (text := value(each)) is not None]


_FIELDS: dict[str, Any] = {
    "network-acl-id": lambda a: [a.id],
    "vpc-id": lambda a: [a.vpc_id],
    "owner-id": lambda a: [a.scope.account],
    "default": lambda a: flag(a.is_default),
    "association.association-id": lambda a: [each.id for each in a.associations],
    "association.network-acl-id": lambda a: [a.id] if a.associations else [],
    "association.subnet-id": lambda a: [each.subnet_id for each in a.associations],
    "entry.cidr": _of_entries(lambda e: e.cidr),
    "entry.egress": _of_entries(lambda e: "true" if e.egress else "false"),
    "entry.ipv6-cidr": _of_entries(lambda e: e.cidr_v6),
    "entry.protocol": _of_entries(lambda e: e.protocol),
    "entry.rule-action": _of_entries(lambda e: "allow" if e.allow else "deny"),
    "entry.rule-number": _of_entries(lambda e: str(e.rule_number)),
    "entry.port-range.from": _of_entries(lambda e: str(e.from_port) if e.protocol in ("6", "17") else None),
    "entry.port-range.to": _of_entries(lambda e: str(e.to_port) if e.protocol in ("6", "17") else None),
    "entry.icmp.type": _of_entries(lambda e: str(e.from_port) if e.protocol in ("1", "58") else None),
    "entry.icmp.code": _of_entries(lambda e: str(e.to_port) if e.protocol in ("1", "58") else None),
}
