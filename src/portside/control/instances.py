"""Keeps each EC2 instance on the node as the store has it, and lets it join its cluster.

One serial worker per instance. The API writes the states that ask for something; here they come true, and the states
that say so are written. Tasks on an instance that goes are ended first, so that nothing is left of them.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from portside.control.loop import Loop
from portside.domain import container_instance, elastic_address, instance, user_data, vpc_rule
from portside.domain.classic_load_balancer_rule import without_instances
from portside.domain.clock import Clock, Ids
from portside.domain.cluster import Cluster, Setting
from portside.domain.container_instance import ContainerInstance
from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope, replace
from portside.domain.table import (
    CLASSIC_LOAD_BALANCER,
    CLUSTER,
    CONTAINER_INSTANCE,
    EBS_VOLUME,
    ELASTIC_ADDRESS,
    ENI,
    INSTANCE,
    TARGET,
    TASK,
)
from portside.domain.task import machine
from portside.domain.task.record import EniAttachment, StopCode, Task, TaskStatus
from portside.domain.vpc import Eni, instance_owner
from portside.node.interface import InstanceConfig, Node
from portside.store.interface import Change, Conflict, Delete, Put, Store, Stored, StoreUnavailable, Write

log = logging.getLogger(__name__)

S: Final = InstanceState
LAUNCH_ATTEMPTS: Final = 6
"""Failures of the machine in a row, some ten seconds, before an instance that is to start is given up."""


class Interfaces(Protocol):
    def attachment(self, eni: Eni) -> EniAttachment: ...
    def with_public_address(self, eni: Eni) -> Eni: ...


class VpcEnsurer(Protocol):
    async def ensure(self, scope: Scope, vpc_id: str) -> None: ...


class InstanceLoop:
    """
    Args:
        architecture: of the machine, in AWS's words; container instances say it of themselves.

    Effects: INSTANCE, CONTAINER_INSTANCE and ENI records, the stop of TASK records, the node's instances.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        node: Node,
        enis: Interfaces,
        vpcs: VpcEnsurer,
        *,
        architecture: str,
    ) -> None:
        self._store, self._clock, self._ids, self._node = store, clock, ids, node
        self._enis, self._vpcs, self._architecture = enis, vpcs, architecture
        self._loop = Loop("instance", clock, self._step)
        self._failures: dict[str, int] = {}
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Every instance that runs is made anew where it is missing (after a restart of the machine, that is)."""
        self._unsubscribe = self._store.subscribe(self._changed)
        for each in self._store.scan(INSTANCE):
            self._loop.wake(each.key)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._loop.close()

    def _changed(self, change: Change) -> None:
        record = change.value or change.old
        if isinstance(record, Instance):
            self._loop.wake(change.key)
        elif isinstance(record, Eni):
            # Also of one that was just detached.
            owners = {each.instance_id for each in (change.value, change.old) if isinstance(each, Eni)}
            for owner in owners - {""}:
                self._loop.wake(f"{record.scope.prefix}{owner}")
        elif isinstance(change.value, Task):
            task = change.value
            if task.placement is not None and task.last_status is TaskStatus.STOPPED:
                self._loop.wake(f"{task.scope.prefix}{task.placement.instance_id}")
        elif isinstance(change.value, Cluster):
            for each in self._store.scan(INSTANCE, change.value.scope.prefix):
                if each.state is S.RUNNING and not each.registered:
                    self._loop.wake(each.key)

    # --- one pass ---

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(INSTANCE, key)
        if stored is None:
            self._loop.finish(key)
            return None
        match stored.value.state:
            case S.PENDING | S.RUNNING:
                await self._up(stored)
            case S.STOPPING | S.SHUTTING_DOWN:
                await self._down(stored)
            case S.TERMINATED:
                return self._retire(stored)
            case S.STOPPED:
                pass
        return None

    async def _up(self, stored: Stored[Instance]) -> None:
        wanted = stored.value
        if wanted.reboot_asked and wanted.state is S.RUNNING:
            if not self._left_by_tasks(wanted, "rebooted"):
                return
            begun = replace(wanted, reboot_asked=False, registered=False)
            self._store.transact(Put(INSTANCE, begun, expect=stored.version))
            return  # the change wakes this worker again
        eni = self._store.get(ENI, f"{wanted.scope.prefix}{wanted.eni_id}")
        if eni is None:
            log.error("the network interface %s of instance %s is gone", wanted.eni_id, wanted.id)
            return
        try:
            eni = await self._made(wanted, eni)
        except (Conflict, StoreUnavailable):
            raise
        except Exception as error:
            self._failures[wanted.key] = self._failures.get(wanted.key, 0) + 1
            if self._failures[wanted.key] < LAUNCH_ATTEMPTS or wanted.state is not S.PENDING:
                raise
            log.error("instance %s can not be launched and ends: %s", wanted.id, error)
            del self._failures[wanted.key]
            ending = instance.failed(wanted, now=self._clock.now())
            self._store.transact(Put(INSTANCE, ending, expect=stored.version))
            return
        self._failures.pop(wanted.key, None)
        # What was asked for may have changed meanwhile: then the commit conflicts, and the worker looks again.
        up = instance.done(wanted, now=self._clock.now())
        writes: list[Write] = []
        if not up.registered:
            writes = self._registration(up, eni)
            if writes:
                up = replace(up, registered=True)
        if up is not wanted:
            self._store.transact(Put(INSTANCE, up, expect=stored.version), *writes)

    async def _made(self, wanted: Instance, eni: Eni) -> Eni:
        """The instance is on the machine. Returns its interface, which may have got a public address."""
        if wanted.public_address_asked:
            eni = self._enis.with_public_address(eni)
        kind = INSTANCE_TYPES[wanted.instance_type]
        await self._vpcs.ensure(wanted.scope, wanted.vpc_id)
        await self._node.apply_instance(
            InstanceConfig(
                instance_id=wanted.id,
                eni=self._enis.attachment(eni),
                further_enis={each.device_index: self._enis.attachment(each) for each in self._further(wanted)},
                cpu_units=kind.cpu_units,
                memory_mib=kind.memory_mib,
            )
        )
        return eni

    def _further(self, of: Instance) -> list[Eni]:
        """The interfaces that were attached after the launch."""
        return [each for each in self._store.find(ENI, "owner", instance_owner(of.id)) if each.id != of.eni_id]

    def _registration(self, up: Instance, eni: Eni) -> list[Write]:
        """The instance joins its cluster; nothing happens if there is no such cluster (yet)."""
        known = next(iter(self._container_instances(up)), None)
        if known is not None and known.instance_type != up.instance_type:
            log.warning(
                "instance %s is of type %s now and was registered as %s: deregister %s first",
                *(up.id, up.instance_type, known.instance_type, known.id),
            )
            return []
        if known is not None:
            # It was stopped and starts again: it is the same container instance, in the cluster that it has joined.
            return [Put(CONTAINER_INSTANCE, replace(known, agent_connected=True, version=known.version + 1))]
        now = self._clock.now()
        settings = user_data.configuration(up.user_data)
        writes: list[Write] = []
        cluster = self._store.get(CLUSTER, f"{up.scope.prefix}{settings.cluster}")
        if cluster is None or cluster.status != "ACTIVE":
            if settings.cluster != user_data.DEFAULT_CLUSTER:
                log.warning("instance %s waits for its cluster %s", up.id, settings.cluster)
                return []
            # As the agent does where no cluster is named.
            disabled = (Setting(name="containerInsights", value="disabled"),)
            writes.append(
                Put(CLUSTER, Cluster(scope=up.scope, name=settings.cluster, settings=disabled, created_at=now))
            )
        registered = container_instance.registered(
            up,
            cluster=settings.cluster,
            new_id=self._ids.hex(32),
            private_dns_name=eni.private_dns_name,
            configuration=settings,
            architecture=self._architecture,
            interfaces_taken=1 + len(self._further(up)),
            now=now,
        )
        writes.append(Put(CONTAINER_INSTANCE, registered))
        return writes

    async def _down(self, stored: Stored[Instance]) -> None:
        going = stored.value
        if not self._left_by_tasks(going, "terminated" if going.state is S.SHUTTING_DOWN else "stopped"):
            return
        now = self._clock.now()
        eni = self._store.get(ENI, f"{going.scope.prefix}{going.eni_id}")
        await self._node.remove_instance(going.id, self._enis.attachment(eni) if eni is not None else None)
        gone = instance.done(going, now=self._clock.now())
        writes: list[Write] = [Put(INSTANCE, gone, expect=stored.version)]
        if eni is not None and gone.state is S.TERMINATED:
            for each in (eni, *self._further(going)):
                writes += self._freed(each)
        elif eni is not None and eni.public_address is not None and not eni.allocation_id:
            writes.append(Put(ENI, replace(eni, public_address=None)))  # another one when it starts again
        if gone.state is S.TERMINATED:
            writes += [
                Put(EBS_VOLUME, replace(each, attachment="detaching"))
                for each in self._store.find(EBS_VOLUME, "instance", going.id)
            ]
            if going.registered:
                # One that had been stopped before stays registered until somebody deregisters it, as on AWS.
                writes += [Delete(CONTAINER_INSTANCE, each.key) for each in self._container_instances(going)]
            # As a load balancer does with an instance that is no more.
            writes += [
                Put(TARGET, replace(each, deregistered_at=now))
                for each in self._store.scan(TARGET, going.scope.prefix)
                if each.id == going.id and each.deregistered_at is None
            ]
            writes += [
                Put(CLASSIC_LOAD_BALANCER, without_instances(each, [going.id]))
                for each in self._store.scan(CLASSIC_LOAD_BALANCER, going.scope.prefix)
                if any(registered.id == going.id for registered in each.instances)
            ]
        self._store.transact(*writes)

    def _freed(self, eni: Eni) -> list[Write]:
        """An interface of an instance that is terminated."""
        if not eni.delete_on_termination:
            return [Put(ENI, vpc_rule.detached(eni))]
        addresses = self._store.find(ELASTIC_ADDRESS, "eni", eni.id)
        return [
            Delete(ENI, ENI.key(eni)),
            *(Put(ELASTIC_ADDRESS, elastic_address.disassociated(each)) for each in addresses),
        ]

    def _left_by_tasks(self, going: Instance, verb: str) -> bool:
        """Whether no task is on it any more. Those that are have been asked to stop, no other comes, and each of them
        wakes this worker when it has stopped."""
        writes: list[Write] = [
            Put(CONTAINER_INSTANCE, replace(each, agent_connected=False, version=each.version + 1))
            for each in self._container_instances(going)
            if each.agent_connected
        ]
        tasks = self._store.find(TASK, "on_instance", going.key)
        reason = f"Host EC2 (instance {going.id}) {verb}."
        now = self._clock.now()
        writes += [
            Put(TASK, machine.stop(task, code=StopCode.TERMINATION_NOTICE, reason=reason, at=now))
            for task in tasks
            if task.stop is None
        ]
        if writes:
            self._store.transact(*writes)
        return not tasks

    def _retire(self, stored: Stored[Instance]) -> datetime | None:
        due = (stored.value.ended_at or stored.value.launched_at) + instance.TERMINATED_SEEN
        if self._clock.now() < due:
            return due
        self._store.transact(Delete(INSTANCE, stored.key, stored.version))
        self._loop.finish(stored.key)
        return None

    def _container_instances(self, of: Instance) -> list[ContainerInstance]:
        return self._store.find(CONTAINER_INSTANCE, "instance", of.key)
