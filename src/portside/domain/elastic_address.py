"""Elastic addresses and the interfaces that have them: both records change together. Pure."""

from portside.domain.record import replace
from portside.domain.vpc import ElasticAddress, Eni


def associated(address: ElasticAddress, eni: Eni, association_id: str) -> tuple[ElasticAddress, Eni]:
    """The interface has this address from here on, in place of another public one."""
    return (
        replace(address, eni_id=eni.id, association_id=association_id, private_address=eni.address),
        replace(eni, public_address=address.public_address, allocation_id=address.id),
    )


def promised(address: ElasticAddress, load_balancer_arn: str) -> ElasticAddress:
    """Nobody else gets the address from here on: an interface of the load balancer is to have it."""
    return replace(address, load_balancer_arn=load_balancer_arn)


def disassociated(address: ElasticAddress) -> ElasticAddress:
    return replace(address, eni_id="", association_id="", private_address="", load_balancer_arn="")


def without(eni: Eni) -> Eni:
    """The interface without its Elastic address."""
    return replace(eni, public_address=None, allocation_id="")
