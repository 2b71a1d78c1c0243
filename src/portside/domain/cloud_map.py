"""AWS Cloud Map as it is stored: namespaces, their services, the instances registered there, and operations on them."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from portside.domain.record import Record, Scope, Tags

RecordType = Literal["A", "AAAA", "SRV", "CNAME"]


class Health(StrEnum):
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"
    """Of an instance whose service has no health check."""


class Namespace(Record, frozen=True, kw_only=True):
    """`vpc_id` is the VPC in which the names of a private one resolve; empty for one that only the API answers for.
    `http_name` is what DiscoverInstances calls it: the name, unless another namespace has that already."""

    scope: Scope
    id: str
    name: str
    http_name: str
    vpc_id: str = ""
    hosted_zone_id: str = ""
    soa_ttl_s: int = 15
    description: str = ""
    creator_request_id: str = ""
    tags: Tags = ()
    created_at: datetime


class DnsRecord(Record, frozen=True, kw_only=True):
    type: RecordType
    ttl_s: int


class DiscoveryService(Record, frozen=True, kw_only=True):
    """`revision` grows with every change of its instances and their health. Without records it is for the API alone."""

    scope: Scope
    id: str
    namespace_id: str
    name: str
    routing_policy: Literal["MULTIVALUE", "WEIGHTED"] = "MULTIVALUE"
    records: tuple[DnsRecord, ...] = ()
    custom_health: bool = False
    custom_health_threshold: int | None = None
    description: str = ""
    creator_request_id: str = ""
    revision: int = 1
    attributes: dict[str, str] = {}
    tags: Tags = ()
    created_at: datetime

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.id}"


class DiscoveryInstance(Record, frozen=True, kw_only=True):
    """`owner` is the key of the task that ECS registered; empty for one that was registered by a call."""

    scope: Scope
    service_id: str
    id: str
    attributes: dict[str, str] = {}
    health: Health = Health.UNKNOWN
    creator_request_id: str = ""
    owner: str = ""
    created_at: datetime

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.service_id}/{self.id}"


class CreateNamespace(Record, tag=True, frozen=True, kw_only=True):
    namespace: Namespace


class UpdateNamespace(Record, tag=True, frozen=True, kw_only=True):
    """None leaves a member as it is."""

    namespace_id: str
    description: str | None = None
    soa_ttl_s: int | None = None


class DeleteNamespace(Record, tag=True, frozen=True, kw_only=True):
    namespace_id: str


class UpdateService(Record, tag=True, frozen=True, kw_only=True):
    """The records that the service has from then on; a description of None stays."""

    service_id: str
    description: str | None = None
    records: tuple[DnsRecord, ...] = ()


class RegisterInstance(Record, tag=True, frozen=True, kw_only=True):
    instance: DiscoveryInstance


class DeregisterInstance(Record, tag=True, frozen=True, kw_only=True):
    service_id: str
    instance_id: str


Work = CreateNamespace | UpdateNamespace | DeleteNamespace | UpdateService | RegisterInstance | DeregisterInstance


class OperationStatus(StrEnum):
    SUBMITTED = "SUBMITTED"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


class Operation(Record, frozen=True, kw_only=True):
    """Work that was asked for. What it changes and its success are one commit, so none is ever seen half done."""

    scope: Scope
    id: str
    work: Work
    status: OperationStatus = OperationStatus.SUBMITTED
    error_code: str = ""
    error_message: str = ""
    creator_request_id: str = ""
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.id}"
