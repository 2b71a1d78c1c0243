"""The rules of clusters: names, settings, when one may go, and how long a deleted one is seen."""

import re
from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from typing import Final

from portside.domain.cluster import CapacityProviderShare, Cluster, Setting
from portside.domain.fargate import CAPACITY_PROVIDERS, unsupported
from portside.domain.refusal import RefusalKind, Refused

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
"""Names of clusters, services, families and containers alike."""
INACTIVE_SEEN: Final = timedelta(hours=1)
"""A deleted cluster stays discoverable as INACTIVE for a while (API_DeleteCluster); AWS says not for how long."""
INSIGHTS: Final = ("enabled", "disabled", "enhanced")


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Refused(
            RefusalKind.INVALID,
            "Cluster names can have up to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores.",
            "clusterName",
        )


def checked_settings(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """The settings a cluster has after these were asked for (`containerInsights` is the only one there is)."""
    for setting in settings:
        if setting.name != "containerInsights":
            raise Refused(RefusalKind.INVALID, f"Invalid setting name: '{setting.name}'.", "settings")
        if setting.value not in INSIGHTS:
            raise Refused(RefusalKind.INVALID, f"Invalid value for containerInsights: '{setting.value}'.", "settings")
    return settings[-1:] or (Setting(name="containerInsights", value="disabled"),)


def check_capacity(providers: tuple[str, ...], strategy: tuple[CapacityProviderShare, ...]) -> None:
    """Providers a cluster may have, and a default strategy that uses them.

    Raises:
        Refused: UNSUPPORTED for providers that are Auto Scaling groups.
    """
    for name in providers:
        if name not in CAPACITY_PROVIDERS:
            raise unsupported(f"capacity provider {name}")
    for share in strategy:
        if share.capacity_provider not in providers:
            raise Refused(
                RefusalKind.INVALID,
                f"The specified capacity provider '{share.capacity_provider}' was not found.",
                "defaultCapacityProviderStrategy",
            )
    check_shares(strategy)


def check_shares(strategy: tuple[CapacityProviderShare, ...]) -> None:
    """Weights 0 to 1,000, bases 0 to 100,000, at most one base, each provider once
    (API_CapacityProviderStrategyItem)."""
    if any(not 0 <= share.weight <= 1000 or not 0 <= share.base <= 100_000 for share in strategy):
        raise Refused(
            RefusalKind.INVALID,
            "A capacity provider strategy takes weights from 0 to 1000 and bases from 0 to 100000.",
            "capacityProviderStrategy",
        )
    if len({share.capacity_provider for share in strategy}) < len(strategy):
        raise Refused(
            RefusalKind.INVALID,
            "A capacity provider strategy cannot contain the same capacity provider twice.",
            "capacityProviderStrategy",
        )
    if sum(share.base > 0 for share in strategy) > 1:
        raise Refused(
            RefusalKind.INVALID,
            "Only one capacity provider in a capacity provider strategy can have a base defined.",
            "capacityProviderStrategy",
        )


def check_removable(removed: Iterable[str], used: Container[str | None]) -> None:
    """
    Args:
        removed: providers that the cluster is to lose. used: those of its tasks and services.
    """
    if any(name in used for name in removed):
        raise Refused(
            RefusalKind.IN_USE,
            "The specified capacity provider is in use and cannot be removed.",
            "cluster.capacityProviders",
        )


def check_deletable(*, services: int, tasks: int, instances: int) -> None:
    """
    Args:
        services: how many are not INACTIVE. tasks: how many have not STOPPED. instances: how many are registered.
    """
    if instances:
        raise Refused(
            RefusalKind.IN_USE,
            "The Cluster cannot be deleted while Container Instances are active or draining.",
            "cluster.instances",
        )
    if services:
        raise Refused(
            RefusalKind.IN_USE, "The Cluster cannot be deleted while Services are active.", "cluster.services"
        )
    if tasks:
        raise Refused(RefusalKind.IN_USE, "The Cluster cannot be deleted while Tasks are active.", "cluster.tasks")


def is_gone(cluster: Cluster, *, now: datetime) -> bool:
    """Whether a deleted cluster is not to be seen any more."""
    return cluster.status == "INACTIVE" and cluster.deleted_at is not None and now - cluster.deleted_at > INACTIVE_SEEN
