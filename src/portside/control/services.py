"""The service loop: lets the scheduler's plan for each service come true, one commit per pass.

A pass reads the service, its tasks and targets, plans, and commits new tasks, stops and the service's record at once.
Between the read and the commit there is no await, so a crash leaves either all of it or nothing.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from portside.control.cluster_instances import ClusterInstances
from portside.control.loop import Loop
from portside.domain import capacity_provider, cluster_query, managed_volume, placement
from portside.domain import pace as pace_rule
from portside.domain.account_setting import LOG_MODE, in_force, key_of
from portside.domain.alarm import Alarm
from portside.domain.arn import root
from portside.domain.clock import Clock, Ids
from portside.domain.container_instance import ContainerInstance
from portside.domain.load_balancer import Target
from portside.domain.record import Record, Tag, replace
from portside.domain.service import change, event, rollout, scheduler
from portside.domain.service.record import Deployment, Service
from portside.domain.service.rollout import ServiceDeployment, ServiceRevision
from portside.domain.service.scheduler import ServicePlan
from portside.domain.session import role_arn, role_key
from portside.domain.table import (
    ACCOUNT_SETTING,
    ALARM,
    CONTAINER_INSTANCE,
    ROLE,
    SERVICE,
    SERVICE_DEPLOYMENT,
    SERVICE_REVISION,
    SUBNET,
    TARGET,
    TASK,
    TASK_DEFINITION,
)
from portside.domain.task import health, machine
from portside.domain.task.creation import new_task, runtime_ids
from portside.domain.task.record import StopCode, Task, TaskStatus
from portside.domain.task_definition import TaskDefinition
from portside.store.interface import ABSENT, Change, Delete, Put, Store, Stored, Write

COALESCE_S: Final = 0.02
"""News that can wait is gathered for so long: two hundred tasks that become RUNNING within two seconds cost at most a
hundred passes. A task that ended by itself is answered at once."""


RETENTION_S: Final = 3600
"""AWS shows a deleted service for a while, as INACTIVE, and says not for how long (API_DeleteService)."""


class ServiceLoop:
    """Keeps every service at what is desired of it.

    Args:
        retention_s: seconds that an INACTIVE service stays visible.
        pace: how many times as fast as real time long timers run, where a service's tags do not say otherwise.

    Effects: writes SERVICE and TASK records. `start` looks at every service once, so that what a crash interrupted goes
    on.
    """

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, *, retention_s: float = RETENTION_S, pace: float = pace_rule.REAL
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._pace = pace
        self._retention = timedelta(seconds=retention_s)
        self._loop = Loop("service", clock, self._step)
        self._soon: dict[str, asyncio.TimerHandle] = {}
        self._instances = ClusterInstances(store)
        self._services_of: dict[str, set[str]] = {}  # target group ARN -> service keys
        self._unplaced: set[str] = set()  # keys of services with tasks that no container instance has room for
        self._everywhere: set[str] = set()  # keys of services that are to be on all instances, or even over their zones
        self._own_write = False
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def instances(self) -> ClusterInstances:
        """What is left on container instances, true while the loop runs."""
        return self._instances

    async def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._changed)
        for service in self._store.scan(SERVICE):
            self._follow_groups(service.key, None, service)
            self._follow_everywhere(service.key, service)
            self._loop.wake(service.key)

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for timer in self._soon.values():
            timer.cancel()
        self._soon.clear()
        await self._loop.close()

    # --- being woken ---

    def _changed(self, news: Change) -> None:
        old, new = news.old, news.value
        self._instances.follow(news)
        if isinstance(new, Task) and isinstance(old, Task):
            if new.placement is not None and old.last_status < TaskStatus.STOPPED <= new.last_status:
                for key in self._unplaced:  # there is more room by now
                    self._wake_soon(key)
            if new.service is not None and _matters(old, new):
                key = f"{new.scope.prefix}{new.cluster}/{new.service}"
                if _ended_by_itself(old, new):
                    self._loop.wake(key)
                else:
                    self._wake_soon(key)
        elif news.kind == SERVICE:
            self._follow_groups(news.key, old, new)
            self._follow_everywhere(news.key, new)
            if not self._own_write:
                self._loop.wake(news.key)
        elif news.kind == CONTAINER_INSTANCE:
            self._wake_cluster(new or old)
        elif isinstance(new, Alarm):
            self._wake_watched(new)
        elif isinstance(new, Target) and _health_changed(old, new):
            for key in self._services_of.get(new.target_group_arn, ()):
                self._wake_soon(key)

    def _alarms(self, service: Service) -> list[Alarm]:
        """Those that watch its deployments."""
        found = (self._store.get(ALARM, f"{service.scope.prefix}{name}") for name in service.alarms.names)
        return [each for each in found if each is not None]

    def _wake_watched(self, alarm: Alarm) -> None:
        for service in self._store.scan(SERVICE, alarm.scope.prefix):
            if alarm.name in service.alarms.names:
                self._loop.wake(service.key)

    def _wake_cluster(self, instance: Record | None) -> None:
        """A container instance came, changed or went: services that it matters to look again."""
        assert isinstance(instance, ContainerInstance)
        prefix = f"{instance.scope.prefix}{instance.cluster}/"
        there = {task.service for task in self._store.find(TASK, "placed", instance.key) if task.service is not None}
        waiting = {key for key in (*self._unplaced, *self._everywhere) if key.startswith(prefix)}
        for key in waiting | {f"{prefix}{name}" for name in there}:
            self._wake_soon(key)

    def _follow_everywhere(self, key: str, new: Record | None) -> None:
        """Services with something to do on whatever instance there is."""
        concerned = isinstance(new, Service) and any(each.launch_type == "EC2" for each in new.deployments)
        if concerned and isinstance(new, Service):
            concerned = new.scheduling_strategy == "DAEMON" or new.az_rebalancing == "ENABLED"
        (self._everywhere.add if concerned else self._everywhere.discard)(key)

    def _follow_groups(self, key: str, old: Record | None, new: Record | None) -> None:
        before = scheduler.target_group_arns(old) if isinstance(old, Service) else set()
        after = scheduler.target_group_arns(new) if isinstance(new, Service) else set()
        for arn in after - before:
            self._services_of.setdefault(arn, set()).add(key)
        for arn in before - after:
            self._services_of[arn].discard(key)
            if not self._services_of[arn]:
                del self._services_of[arn]

    def _wake_soon(self, key: str) -> None:
        if key not in self._soon:
            self._soon[key] = asyncio.get_running_loop().call_later(COALESCE_S, self._wake_now, key)

    def _wake_now(self, key: str) -> None:
        self._soon.pop(key, None)
        self._loop.wake(key)

    # --- a pass ---

    async def _step(self, key: str) -> datetime | None:
        stored = self._store.read(SERVICE, key)
        if stored is None:
            self._loop.finish(key)
            return None
        if stored.value.status == "INACTIVE":
            return self._retire(stored)
        now = self._clock.now()
        definitions = self._definitions(stored.value)
        service, unfit = self._with_daemons(stored.value, definitions, now)
        tasks = self._tasks(service)
        plan = scheduler.plan(
            *(service, tasks, self._targets(service, tasks), definitions),
            now=now,
            draining=self._draining(service) | unfit,
            alarms=self._alarms(service),
            zones=self._zones(service, definitions),
            pace=pace_rule.of(service.tags, self._pace),
        )
        started, plan = self._placed(service, plan, definitions, now)
        writes = self._writes(stored.value, stored.version, plan, started, now)
        if writes:
            self._own_write = True
            try:
                self._store.transact(*writes)
            except Exception:
                self._instances.forget(service.scope, service.cluster)
                raise
            finally:
                self._own_write = False
        return plan.wake_at

    def _retire(self, stored: Stored[Service]) -> datetime | None:
        due = (stored.value.ended_at or stored.value.created_at) + self._retention
        if self._clock.now() < due:
            return due
        history = [
            *(Delete(SERVICE_DEPLOYMENT, f"{stored.key}/{each.id}") for each in self._rollouts(stored.key)),
            *(Delete(SERVICE_REVISION, f"{stored.key}/{each.id}") for each in self._revisions(stored.key)),
        ]
        self._store.transact(Delete(SERVICE, stored.key, stored.version), *history)
        self._loop.finish(stored.key)
        return None

    def _rollouts(self, key: str) -> list[ServiceDeployment]:
        return list(self._store.scan(SERVICE_DEPLOYMENT, f"{key}/"))

    def _revisions(self, key: str) -> list[ServiceRevision]:
        return list(self._store.scan(SERVICE_REVISION, f"{key}/"))

    def _tasks(self, service: Service) -> list[Task]:
        live = self._store.find(TASK, "service_live", service.key)
        known = {task.id for task in live}
        missed = [
            self._store.get(TASK, f"{service.scope.prefix}{service.cluster}/{task_id}")
            for task_id in service.watched
            if task_id not in known
        ]
        return live + [task for task in missed if task is not None]

    def _targets(self, service: Service, tasks: list[Task]) -> list[Target]:
        arns = scheduler.target_group_arns(service)
        arns |= {ref.target_group_arn for task in tasks for ref in task.targets}
        return [target for arn in sorted(arns) for target in self._store.find(TARGET, "target_group", arn)]

    def _definitions(self, service: Service) -> dict[str, TaskDefinition]:
        found: dict[str, TaskDefinition] = {}
        last = [service.last_completed] if service.last_completed is not None else []
        for arn in {deployment.task_definition_arn for deployment in (*service.deployments, *last)}:
            family, _, revision = arn.rpartition("/")[2].partition(":")
            if not revision.isdigit():
                continue
            definition = self._store.get(TASK_DEFINITION, f"{service.scope.prefix}{family}/{int(revision):09d}")
            if definition is not None:
                found[arn] = definition
        return found

    def _with_daemons(
        self, service: Service, definitions: dict[str, TaskDefinition], now: datetime
    ) -> tuple[Service, set[str]]:
        """Of a DAEMON service as many tasks are desired as there are instances for them; and the instances that are
        none, which its tasks are to leave."""
        primary = change.primary(service)
        if service.scheduling_strategy != "DAEMON" or service.status != "ACTIVE" or primary is None:
            return service, set()
        definition = definitions.get(primary.task_definition_arn)
        expressions = service.placement_constraints.expressions
        expressions += definition.placement_expressions if definition is not None else ()
        count, unfit = 0, set[str]()
        for each in self._store.scan(CONTAINER_INSTANCE, f"{service.scope.prefix}{service.cluster}/"):
            others = [
                task
                for task in (self._store.find(TASK, "placed", each.key) if expressions else ())
                if task.last_status < TaskStatus.STOPPED and task.service != service.name
            ]
            fits = all(cluster_query.parsed(text)(each, others) for text in expressions)
            if not fits:
                unfit.add(each.id)
            count += fits and each.status == "ACTIVE" and each.agent_connected
        return change.scaled(service, count, now=now), unfit

    def _zones(self, service: Service, definitions: dict[str, TaskDefinition]) -> set[str]:
        """Availability Zones that the service's tasks may be in, for one that is to be even over them."""
        primary = change.primary(service)
        if service.az_rebalancing == "DISABLED" or primary is None or not (service.steady or service.rebalancing):
            return set()
        if primary.launch_type == "FARGATE":
            subnets = primary.network.subnet_ids if primary.network is not None else ()
            found = (self._store.get(SUBNET, f"{service.scope.prefix}{each}") for each in subnets)
            return {each.zone for each in found if each is not None}
        definition = definitions.get(primary.task_definition_arn)
        expressions = service.placement_constraints.expressions
        expressions += definition.placement_expressions if definition is not None else ()
        if not expressions:
            return self._instances.of(service.scope, service.cluster).capacity.zones()
        return {
            each.zone
            for each in self._store.scan(CONTAINER_INSTANCE, f"{service.scope.prefix}{service.cluster}/")
            if each.status == "ACTIVE"
            and each.agent_connected
            and all(cluster_query.parsed(text)(each, ()) for text in expressions)
        }

    def _in_zone(self, task: Task, zone: str) -> Task:
        """The task, to be in that zone only."""
        if not zone or task.network is None:
            return task
        inside = tuple(
            each
            for each in task.network.subnet_ids
            if (found := self._store.get(SUBNET, f"{task.scope.prefix}{each}")) is not None and found.zone == zone
        )
        return replace(task, network=replace(task.network, subnet_ids=inside))

    def _draining(self, service: Service) -> set[str]:
        """Container instances of the cluster that tasks are to leave."""
        if all(each.launch_type == "FARGATE" for each in service.deployments):
            return set()
        return self._instances.of(service.scope, service.cluster).draining

    def _placed(
        self, service: Service, plan: ServicePlan, definitions: dict[str, TaskDefinition], now: datetime
    ) -> tuple[list[Task], ServicePlan]:
        """The tasks to start, on container instances as far as there is room, and the plan with what is to be said."""
        self._unplaced.discard(service.key)
        if plan.start is None:
            return [], plan
        deployment = plan.start.deployment
        definition = definitions[deployment.task_definition_arn]
        providers = capacity_provider.of_each(
            deployment.capacity_provider_strategy, plan.start.count, self._staying(service, deployment, plan)
        )
        zone = plan.start.zone
        tasks = [self._in_zone(self._new_task(service, deployment, definition, each, now), zone) for each in providers]
        if deployment.launch_type == "FARGATE":
            return tasks, plan
        capacity = self._instances.of(service.scope, service.cluster).capacity
        placed: list[Task] = []
        message = ""
        constraints = service.placement_constraints
        if service.scheduling_strategy == "DAEMON":
            constraints = replace(constraints, distinct=True)
        for task in tasks:
            found = capacity.place(
                placement.wanted_of(task),
                task.network,
                strategies=service.placement_strategies or placement.DEFAULT_OF_SERVICE,
                constraints=constraints,
                zone=zone,
                luck=int(self._ids.number(6)),
            )
            if not isinstance(found, placement.Placed):
                message = (
                    event.unmet(service.name, found[0][0].id, found[0][1])
                    if found
                    else event.no_instances(service.name)
                )
                if zone:
                    message = event.unmoved(service.name, zone)
                break
            task = placement.at_its_place(task, found)
            capacity.add(task)
            placed.append(task)
        if not message:
            return placed, plan
        self._unplaced.add(service.key)
        messages = plan.messages
        if not event.is_repeated(plan.service, message, now=now):
            messages = (*messages, message)
        # To look again at once would only find the same: news of the instances wakes the service.
        wake_at = plan.wake_at if plan.wake_at is None or plan.wake_at > now else None
        return placed, replace(plan, messages=messages, wake_at=wake_at)

    def _staying(self, service: Service, deployment: Deployment, plan: ServicePlan) -> list[Task]:
        """The deployment's tasks that its strategy counts on."""
        leaving = {each.task.id for each in plan.stops}
        return [
            task
            for task in self._store.find(TASK, "service_live", service.key)
            if task.deployment_id == deployment.id and task.stop is None and task.id not in leaving
        ]

    def _writes(
        self, service: Service, version: int, plan: ServicePlan, started: list[Task], now: datetime
    ) -> list[Write]:
        task_ids = [task.id for task in started]
        event_ids = [self._ids.uuid() for _ in scheduler.messages_of(plan, task_ids)]
        settled = scheduler.settle(plan, task_ids, event_ids, now=now)
        writes: list[Write] = [Put(TASK, task, ABSENT) for task in started]
        for each in plan.stops:
            found = self._store.read(TASK, each.task.key)
            if found is not None:
                stop = each.stop
                task = machine.stop(found.value, code=stop.code, reason=stop.reason, at=stop.at)
                writes.append(Put(TASK, task, found.version))
        if settled != service:
            writes.append(Put(SERVICE, settled, version))
            writes += self._history(service, settled, now)
        return writes

    def _history(self, before: Service, after: Service, now: datetime) -> list[Write]:
        """What the service's deployment and revisions have to say of the change."""
        writes: list[Write] = []
        record = self._store.get(SERVICE_DEPLOYMENT, f"{after.key}/{after.rollout_id}")
        if record is not None:
            followed = rollout.followed(record, after, now=now)
            if followed is not record:
                writes.append(Put(SERVICE_DEPLOYMENT, followed))
        known = {each.id: each.image_digests for each in before.deployments}
        for each in after.deployments:
            if each.image_digests != known.get(each.id, {}):
                revision = self._store.get(SERVICE_REVISION, f"{after.key}/{rollout.revision_id(each)}")
                if revision is not None:
                    settled = replace(revision.deployment, image_digests=each.image_digests)
                    writes.append(Put(SERVICE_REVISION, replace(revision, deployment=settled)))
        return writes

    def _new_task(
        self,
        service: Service,
        deployment: Deployment,
        definition: TaskDefinition,
        provider: str | None,
        now: datetime,
    ) -> Task:
        task_id = self._ids.hex(32)
        tags = {
            "TASK_DEFINITION": definition.tags,
            "SERVICE": service.tags,
            "NONE": (),
        }[service.propagate_tags]
        if service.enable_ecs_managed_tags:
            managed = {"aws:ecs:clusterName": service.cluster, "aws:ecs:serviceName": service.name}
            tags = (*tags, *(Tag(key=key, value=value) for key, value in managed.items()))
        return new_task(
            scope=service.scope,
            cluster=service.cluster,
            task_id=task_id,
            attachment_id=self._ids.uuid(),
            runtime_ids=runtime_ids(self._ids, self._ids.hex(32), len(definition.containers), deployment.launch_type),
            definition=definition,
            launch_type=deployment.launch_type,
            group=f"service:{service.name}",
            network=deployment.network,
            created_at=now,
            cause_id=deployment.id,
            capacity_provider=provider,
            platform_version=deployment.platform_version,
            started_by=deployment.id,
            service=service.name,
            deployment_id=deployment.id,
            targets=deployment.targets,
            registries=deployment.registries,
            tags=tags,
            enable_execute_command=service.enable_execute_command,
            image_digests=deployment.image_digests,
            managed_volume=managed_volume.of_task(
                deployment.managed_volume, definition_tags=definition.tags, service_tags=service.tags
            ),
            ebs_attachment_id=self._ids.uuid() if deployment.managed_volume is not None else "",
            log_mode=self._log_mode(service),
        )

    def _log_mode(self, service: Service) -> str:
        """As who made the service has it: of a role's session, the role."""

        def chosen(principal: str) -> str | None:
            found = self._store.get(ACCOUNT_SETTING, key_of(service.scope, LOG_MODE, principal))
            return found.value if found is not None else None

        role = self._store.get(ROLE, role_key(service.created_by))
        maker = role_arn(role) if role is not None else service.created_by
        return in_force(LOG_MODE, (maker, root(service.scope.account)), chosen)[0]


def _matters(old: Task, new: Task) -> bool:
    """Whether the scheduler may decide otherwise after this change."""
    return (
        (old.stop is None) != (new.stop is None)
        or old.protected_until != new.protected_until
        or old.targets_registered_at != new.targets_registered_at
        or (
            old.last_status != new.last_status
            and (new.last_status >= TaskStatus.STOPPED or new.last_status == TaskStatus.RUNNING)
        )
        or health.of_task(old) is not health.of_task(new)
        or old.last_status <= TaskStatus.RUNNING < new.last_status
        or old.last_status <= TaskStatus.DEACTIVATING < new.last_status
    )


def _health_changed(old: Record | None, new: Target) -> bool:
    return not isinstance(old, Target) or old.checked != new.checked or old.deregistered_at != new.deregistered_at


def _ended_by_itself(old: Task, new: Task) -> bool:
    return (
        old.stop is None and new.stop is not None and new.stop.code != StopCode.SERVICE_SCHEDULER_INITIATED
    ) or old.last_status == TaskStatus.RUNNING < new.last_status
