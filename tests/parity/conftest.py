"""Fixtures: gateways that are stopped after the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from served import ACCOUNT, REGION, Served, serving

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.service import ec2_service
from portside.api.elbv2.service import elbv2_service
from portside.api.iam.service import iam_service
from portside.api.sts.service import sts_service
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.session.issue import StsSessions
from portside.session.key import SessionKeys
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """`serve(services, **settings of Gateway)` -> Served; all are stopped after the test."""
    with ExitStack() as stack:
        yield lambda services, **settings: stack.enter_context(serving(services, **settings))


@pytest.fixture
def gateway(serve: Callable[..., Served]) -> Served:
    """A gateway with IAM and STS on a store in memory."""
    store, clock = MemoryStore(), SystemClock()
    sts = StsSessions(store, clock, SessionKeys(bytes(32)))
    return serve([sts_service(sts), iam_service(store, AesVault(bytes(32)), clock, RandomIds())])


@pytest.fixture
def balancing(serve: Callable[..., Served]) -> Served:
    """A gateway with Elastic Load Balancing, and with EC2 and its default network."""
    store, clock, ids = MemoryStore(), SystemClock(), RandomIds()
    ensure_default_network(store, clock, ids, Scope(account=ACCOUNT, region=REGION))
    return serve([ec2_service(store, clock, ids), elbv2_service(store, clock, ids)])
