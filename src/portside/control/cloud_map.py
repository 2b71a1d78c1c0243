"""The loop that carries out operations of Cloud Map, each in one commit with what it changes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from portside.control.loop import Loop
from portside.domain.clock import Clock
from portside.domain.cloud_map import (
    CreateNamespace,
    DeleteNamespace,
    DeregisterInstance,
    Operation,
    OperationStatus,
    RegisterInstance,
    UpdateNamespace,
    UpdateService,
)
from portside.domain.cloud_map_rule import changed
from portside.domain.record import replace
from portside.domain.table import (
    CLOUD_MAP_OPERATION,
    DISCOVERY_INSTANCE,
    DISCOVERY_SERVICE,
    NAMESPACE,
    VPC,
)
from portside.store.interface import Change, Delete, Put, Store, Write

KEPT: Final = timedelta(days=7)
"""How long an operation that is over can be asked for; AWS names no time."""
PERIOD: Final = timedelta(hours=1)
BATCH: Final = 500
_OLD: Final = "old"


class _Failed(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class CloudMapLoop:
    """One worker for each operation under way, and one that removes old operations."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._loop = Loop("cloud-map", clock, self._step)
        self._reaper = Loop("cloud-map-operations", clock, self._reap, resync_s=2 * PERIOD.total_seconds())
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for operation in self._store.scan(CLOUD_MAP_OPERATION):
            if operation.status is OperationStatus.SUBMITTED:
                self._loop.wake(operation.key)
        self._reaper.wake(_OLD)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()
        await self._reaper.close()

    def _changed(self, change: Change) -> None:
        if isinstance(change.value, Operation) and change.value.status is OperationStatus.SUBMITTED:
            self._loop.wake(change.key)

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(CLOUD_MAP_OPERATION, key)
        if stored is not None and stored.value.status is OperationStatus.SUBMITTED:
            done = replace(stored.value, status=OperationStatus.SUCCESS, updated_at=self._clock.now())
            writes: list[Write] = []
            try:
                writes = self._writes(stored.value)
            except _Failed as error:
                done = replace(done, status=OperationStatus.FAIL, error_code=error.code, error_message=error.message)
            self._store.transact(Put(CLOUD_MAP_OPERATION, done, stored.version), *writes)
        self._loop.finish(key)
        return None

    def _writes(self, operation: Operation) -> list[Write]:
        prefix, work = operation.scope.prefix, operation.work
        match work:
            case CreateNamespace():
                vpc_id = work.namespace.vpc_id
                if vpc_id and self._store.get(VPC, f"{prefix}{vpc_id}") is None:
                    raise _Failed(
                        "CANNOT_CREATE_HOSTED_ZONE",
                        f"The VPC: {vpc_id} you provided does not exist in region: {operation.scope.region}.",
                    )
                return [Put(NAMESPACE, work.namespace)]
            case UpdateNamespace():
                namespace = self._store.get(NAMESPACE, f"{prefix}{work.namespace_id}")
                if namespace is None:
                    raise _Failed("NAMESPACE_NOT_FOUND", f"Namespace {work.namespace_id} not found")
                if work.description is not None:
                    namespace = replace(namespace, description=work.description)
                if work.soa_ttl_s is not None:
                    namespace = replace(namespace, soa_ttl_s=work.soa_ttl_s)
                return [Put(NAMESPACE, namespace)]
            case DeleteNamespace():
                if self._store.find(DISCOVERY_SERVICE, "namespace", work.namespace_id):
                    raise _Failed("RESOURCE_IN_USE", "Namespace has associated services")
                return [Delete(NAMESPACE, f"{prefix}{work.namespace_id}")]
            case UpdateService():
                service = self._store.get(DISCOVERY_SERVICE, f"{prefix}{work.service_id}")
                if service is None:
                    raise _Failed("SERVICE_NOT_FOUND", f"Service {work.service_id} not found")
                if work.description is not None:
                    service = replace(service, description=work.description)
                return [Put(DISCOVERY_SERVICE, replace(service, records=work.records))]
            case RegisterInstance():
                service = self._store.get(DISCOVERY_SERVICE, f"{prefix}{work.instance.service_id}")
                if service is None:
                    raise _Failed("SERVICE_NOT_FOUND", f"Service {work.instance.service_id} not found")
                return [Put(DISCOVERY_INSTANCE, work.instance), Put(DISCOVERY_SERVICE, changed(service))]
            case DeregisterInstance():
                service = self._store.get(DISCOVERY_SERVICE, f"{prefix}{work.service_id}")
                gone: list[Write] = [Delete(DISCOVERY_INSTANCE, f"{prefix}{work.service_id}/{work.instance_id}")]
                return [*gone, Put(DISCOVERY_SERVICE, changed(service))] if service is not None else gone

    async def _reap(self, _: str) -> datetime:
        now = self._clock.now()
        old = [
            each.key
            for each in self._store.scan(CLOUD_MAP_OPERATION)
            if each.status is not OperationStatus.SUBMITTED and each.updated_at + KEPT <= now
        ]
        if old:
            self._store.transact(*(Delete(CLOUD_MAP_OPERATION, key) for key in old[:BATCH]))
        return now if len(old) > BATCH else now + PERIOD
