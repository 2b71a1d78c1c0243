"""The life of a NAT gateway: pending, available, deleting, deleted, forgotten. Pure."""

from datetime import datetime, timedelta

from portside.domain.record import replace
from portside.domain.vpc import NatGateway, NatGatewayState

DELETED_SEEN = timedelta(hours=1)
"""https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-working-with.html: about an hour."""


def deleting(nat: NatGateway) -> NatGateway:
    """From here on nothing is routed to it. One that goes or is gone stays as it is."""
    if nat.state in (NatGatewayState.DELETING, NatGatewayState.DELETED):
        return nat
    return replace(nat, state=NatGatewayState.DELETING)


def applied(nat: NatGateway, *, now: datetime) -> NatGateway:
    """What the node was told of it has come true."""
    match nat.state:
        case NatGatewayState.PENDING:
            return replace(nat, state=NatGatewayState.AVAILABLE)
        case NatGatewayState.DELETING:
            return replace(nat, state=NatGatewayState.DELETED, deleted_at=now)
        case _:
            return nat
