"""Network interfaces as the control plane gives them out: which subnet, which address, which names."""

import ipaddress
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from portside.domain import vpc_rule
from portside.domain.clock import Ids
from portside.domain.record import Scope, replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import ELASTIC_ADDRESS, ENI, SECURITY_GROUP, SUBNET
from portside.domain.task.record import EniAttachment, NetworkRequest
from portside.domain.vpc import ElasticAddress, Eni, SecurityGroup, Subnet
from portside.store.interface import ABSENT, Change, Delete, Put, Store

_REST = timedelta(seconds=1)
"""How long a released address rests: the kernel takes the old interface down within some 40 ms (measured)."""


class Enis:
    """Allocates and releases interfaces. Synchronous: between the choice and its commit nothing else happens.

    The addresses in use are kept in memory, fed by the store's changes, so that an allocation costs the same with one
    interface as with thousands.
    """

    def __init__(self, store: Store, ids: Ids, public_block: str | None = None) -> None:
        """
        Args:
            public_block: the addresses given to interfaces that ask for a public one; None where nothing leads out.
        """
        self._store, self._ids = store, ids
        self._public_block = public_block
        self._public_used: set[int] = set()
        self._public_cursor = 0
        self._used: dict[str, set[int]] = {}
        self._cursor: dict[str, int] = {}
        self._resting: deque[tuple[str, int, datetime | None]] = deque()
        self._elastic_used: set[int] = set()
        for eni in store.scan(ENI):
            self._take(eni)
        for address in store.scan(ELASTIC_ADDRESS):
            self._elastic_used.add(_number(address.public_address))
        self.close = store.subscribe(self._changed)

    def allocate(
        self,
        *,
        scope: Scope,
        request: NetworkRequest,
        owner: str,
        description: str,
        zone_load: Mapping[str, int],
        now: datetime,
        attachment_id: str = "",
        interface_type: Literal["interface", "load_balancer"] = "interface",
        address: str = "",
        unguarded: bool = False,
    ) -> EniAttachment:
        """Take an address in one of the subnets and record the interface, in one commit.

        The subnet is one in the zone with the least load (`zone_load`: zone -> what runs there already), then the one
        with the most free addresses. Without security groups in the request, the VPC's default group is used, or none
        if it is to be `unguarded`. `address`: the one to take, else the next free one.

        Raises:
            Refused: NOT_FOUND for a subnet or security group that is not there, INVALID for subnets of several VPCs,
                EXHAUSTED if no subnet or public block has an address left, in the words in which a Fargate task stops.
        """
        subnets = [self._subnet(scope, subnet_id) for subnet_id in request.subnet_ids]
        if not subnets:
            raise Refused(RefusalKind.INVALID, "subnets can not be empty.", "subnets")
        vpc_ids = {subnet.vpc_id for subnet in subnets}
        if len(vpc_ids) > 1:
            raise Refused(RefusalKind.INVALID, "All subnets must belong to the same VPC.", "subnets")
        vpc_id = subnets[0].vpc_id
        groups = () if unguarded else self._groups(scope, vpc_id, request.security_group_ids)
        order = sorted(
            range(len(subnets)), key=lambda i: (zone_load.get(subnets[i].zone, 0), -self._free(subnets[i]), i)
        )
        self._rest(now)
        for index in order:
            subnet = subnets[index]
            number = self._named(subnet, address) if address else self._choose(subnet)
            if number is not None:
                break
        else:
            raise vpc_rule.exhausted(subnets[order[0]].id, public=request.assign_public_ip)
        public = self._choose_public(subnet) if request.assign_public_ip and self._public_block is not None else None
        address = str(ipaddress.IPv4Address(number))
        digits = self._ids.hex(16)
        eni = Eni(
            scope=scope,
            id=f"eni-0{digits}",
            subnet_id=subnet.id,
            vpc_id=vpc_id,
            zone=subnet.zone,
            address=address,
            mac_address="02:" + ":".join(digits[at : at + 2] for at in range(0, 10, 2)),
            private_dns_name=vpc_rule.private_dns_name(address, scope.region),
            security_group_ids=groups,
            description=description,
            interface_type=interface_type,
            owner=owner,
            public_address=str(ipaddress.IPv4Address(public)) if public is not None else None,
            attachment_id=attachment_id,
            created_at=now,
        )
        self._store.transact(Put(ENI, eni, expect=ABSENT))
        self._cursor[subnet.id] = number
        self._public_cursor = public or self._public_cursor
        return _attachment(eni, subnet)

    def with_public_address(self, eni: Eni) -> Eni:
        """The interface with a public address, if anything leads out; recorded. Raises Refused EXHAUSTED."""
        if eni.public_address is not None or self._public_block is None:
            return eni
        number = self._choose_public(self._subnet(eni.scope, eni.subnet_id))
        given = replace(eni, public_address=str(ipaddress.IPv4Address(number)))
        self._store.transact(Put(ENI, given))
        self._public_cursor = number
        return given

    def attachment(self, eni: Eni) -> EniAttachment:
        """An interface recorded earlier, as the node wants it. Raises Refused NOT_FOUND if its subnet is gone."""
        return _attachment(eni, self._subnet(eni.scope, eni.subnet_id))

    def release(self, scope: Scope, eni_id: str) -> None:
        """Delete the interface's record and free its address. Idempotent."""
        self._store.transact(Delete(ENI, f"{scope.prefix}{eni_id}"))

    def _subnet(self, scope: Scope, subnet_id: str) -> Subnet:
        subnet = self._store.get(SUBNET, f"{scope.prefix}{subnet_id}")
        if subnet is None:
            raise Refused(RefusalKind.NOT_FOUND, f"The subnet ID '{subnet_id}' does not exist", subnet_id)
        return subnet

    def _groups(self, scope: Scope, vpc_id: str, group_ids: tuple[str, ...]) -> tuple[str, ...]:
        if not group_ids:
            default = [each.id for each in self._store.find(SECURITY_GROUP, "vpc", vpc_id) if each.name == "default"]
            return tuple(default[:1])
        for group_id in group_ids:
            group: SecurityGroup | None = self._store.get(SECURITY_GROUP, f"{scope.prefix}{group_id}")
            if group is None or group.vpc_id != vpc_id:
                kind = RefusalKind.NOT_FOUND if group is None else RefusalKind.INVALID
                text = (
                    f"The security group '{group_id}' does not exist"
                    if group is None
                    else f"The security group '{group_id}' does not exist in VPC '{vpc_id}'"
                )
                raise Refused(kind, text, group_id)
        return group_ids

    def _free(self, subnet: Subnet) -> int:
        return vpc_rule.usable_count(subnet.cidr_block) - len(self._used.get(subnet.id, ()))

    def _choose(self, subnet: Subnet) -> int | None:
        used = self._used.get(subnet.id, set())
        resting = {number for subnet_id, number, _until in self._resting if subnet_id == subnet.id}
        cursor = self._cursor.get(subnet.id, 0)
        number = vpc_rule.next_address(subnet.cidr_block, used | resting if resting else used, cursor)
        if number is not None:
            return number
        # A small subnet, all others taken: one that rests is better than none. The longest rested comes first.
        return next((n for s, n, _ in self._resting if s == subnet.id and n not in used), None)

    def _choose_public(self, subnet: Subnet) -> int:
        assert self._public_block is not None
        used = self._public_used | self._elastic_used if self._elastic_used else self._public_used
        number = vpc_rule.next_address(self._public_block, used, self._public_cursor)
        if number is None:
            raise vpc_rule.exhausted(subnet.id, public=True)
        return number

    def _named(self, subnet: Subnet, address: str) -> int:
        number = _number(address)
        if number in self._used.get(subnet.id, ()):
            raise Refused(RefusalKind.INVALID, f"The address '{address}' is in use.", address)
        return number

    def _rest(self, now: datetime) -> None:
        """Start the rest of addresses released since the last allocation; end the rest of those that had theirs."""
        self._resting = deque(
            (subnet_id, number, until or now + _REST)
            for subnet_id, number, until in self._resting
            if until is None or until > now
        )

    def _changed(self, change: Change) -> None:
        if change.kind == ELASTIC_ADDRESS:
            self._elastic_changed(change)
        if change.kind != ENI:
            return
        if isinstance(change.old, Eni):
            kept = _held(change.value) if isinstance(change.value, Eni) else set()
            for number in _held(change.old) - kept:
                self._used.get(change.old.subnet_id, set()).discard(number)
                self._resting.append((change.old.subnet_id, number, None))
            if change.old.public_address is not None:
                self._public_used.discard(_number(change.old.public_address))
        if isinstance(change.value, Eni):
            self._take(change.value)

    def _elastic_changed(self, change: Change) -> None:
        if isinstance(change.old, ElasticAddress):
            self._elastic_used.discard(_number(change.old.public_address))
        if isinstance(change.value, ElasticAddress):
            self._elastic_used.add(_number(change.value.public_address))

    def _take(self, eni: Eni) -> None:
        self._used.setdefault(eni.subnet_id, set()).update(_held(eni))
        if eni.public_address is not None:
            self._public_used.add(_number(eni.public_address))


def _number(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def _held(eni: Eni) -> set[int]:
    """The addresses of its subnet that the interface has."""
    return {_number(each) for each in (eni.address, *eni.secondary_addresses)}


def _attachment(eni: Eni, subnet: Subnet) -> EniAttachment:
    return EniAttachment(
        eni_id=eni.id,
        subnet_id=eni.subnet_id,
        vpc_id=eni.vpc_id,
        zone=eni.zone,
        address=eni.address,
        prefix_length=vpc_rule.prefix_length(subnet.cidr_block),
        gateway=vpc_rule.gateway(subnet.cidr_block),
        mac_address=eni.mac_address,
        private_dns_name=eni.private_dns_name,
        security_group_ids=eni.security_group_ids,
        public_address=eni.public_address,
        secondary_addresses=eni.secondary_addresses,
    )
