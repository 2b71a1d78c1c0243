"""Clusters: a logical boundary of tasks and services."""

from datetime import datetime
from typing import Literal

from portside.domain.record import Record, Scope, Tags


class Setting(Record, frozen=True, kw_only=True):
    name: str
    value: str


class CapacityProviderShare(Record, frozen=True, kw_only=True):
    """One item of a capacity provider strategy."""

    capacity_provider: str
    weight: int = 0
    base: int = 0


class Cluster(Record, frozen=True, kw_only=True):
    scope: Scope
    name: str
    status: Literal["ACTIVE", "INACTIVE"] = "ACTIVE"
    settings: tuple[Setting, ...] = ()
    configuration_json: str | None = None
    capacity_providers: tuple[str, ...] = ()
    default_capacity_provider_strategy: tuple[CapacityProviderShare, ...] = ()
    tags: Tags = ()
    created_at: datetime
    deleted_at: datetime | None = None
