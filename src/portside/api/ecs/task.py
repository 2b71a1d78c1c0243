"""Tasks: run, stop, describe, list. Handlers write what is desired only; the task loop does the rest."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from portside.api.ecs import (
    account_setting,
    definition_wire,
    lookup,
    network,
    page,
    placement,
    volume_configuration,
    wire,
)
from portside.api.ecs.container_instance import missing
from portside.api.ecs.error import invalid, service_not_found
from portside.api.ecs.field import check_run_task, is_asked_for
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import (
    arn,
    capacity_provider,
    environment_file,
    fargate,
    managed_volume,
    tag_rule,
    task_definition_rule,
)
from portside.domain.account_setting import LOG_MODE
from portside.domain.capacity import Capacity
from portside.domain.clock import Clock, Ids
from portside.domain.cluster import Cluster
from portside.domain.placement import INACTIVE, Placed, at_its_place, wanted_of
from portside.domain.record import Tag, Tags, replace
from portside.domain.table import CONTAINER_INSTANCE, SERVICE, TASK
from portside.domain.task import machine
from portside.domain.task.creation import TaskOverride, new_task, runtime_ids
from portside.domain.task.record import NetworkRequest, StopCode, Task, TaskStatus
from portside.domain.task_definition import TaskDefinition
from portside.store.interface import Put, Store

DESCRIBED_MOST: Final = 100
STARTED_MOST: Final = 10
"""Tasks of one RunTask."""
STARTED_ON_MOST: Final = 10
"""Container instances of one StartTask."""
GROUP_MAX: Final = 255
STARTED_BY_MAX: Final = 128
_STARTED_BY: Final = re.compile(r"[A-Za-z0-9_/-]+")
REFERENCE_ID_MAX: Final = 1024
"""What EventBridge's `EcsParameters`, which hands it on, allows."""
STOPPED_BY_USER: Final = "Task stopped by user"
TASK_ID_LENGTHS: Final = (32, 36)
REMEMBERED: Final = 4096
"""Tasks whose wire shape is kept ready; beyond that the cache starts afresh."""


class Tasks:
    """
    Args:
        capacities: where the container instances are followed; without it each request looks at all of them.
    """

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, capacities: placement.ClusterCapacities | None = None
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._capacities = capacities
        self._shown: dict[str, tuple[Task, wire.Wire]] = {}

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "RunTask": self.run,
            "StartTask": self.start,
            "StopTask": self.stop,
            "DescribeTasks": self.describe,
            "ListTasks": self.list,
        }

    def run(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params.get("cluster"))
        client_token = params.get("clientToken") or None
        digest = _digest(params) if client_token is not None else ""
        if client_token is not None:
            repeated = self._store.find(TASK, "client_token", f"{context.prefix}{cluster.name}/{client_token}")
            if repeated:
                return self._repeated(repeated, digest)
        definition = lookup.runnable_definition(self._store, context, params["taskDefinition"])
        count = _count(params)
        launch = placement.asked_launch(params, cluster)
        platform_version = placement.check_launch(launch, definition, params)
        check_run_task(params, fargate=launch.type == "FARGATE")
        strategies, constraints = placement.asked_strategies(params), placement.asked_constraints(params)
        request = network.checked_network(self._store, context, params, definition.network_mode)
        capacity: Capacity | None = None
        if launch.type == "EC2":
            placement.check_on_instance(request)
            capacity = self._capacity(cluster)
        make = self._maker(context, params, cluster, definition, launch.type)
        tasks: list[Task] = []
        failures: list[wire.Wire] = []
        with self._placing(cluster):
            for provider in capacity_provider.of_each(launch.strategy, count):
                task = make(request, platform_version)
                if capacity is not None:
                    luck = int(self._ids.number(6))
                    found = capacity.place(
                        wanted_of(task), request, strategies=strategies, constraints=constraints, luck=luck
                    )
                    if not isinstance(found, Placed):
                        failures = placement.failures_to(found)
                        break
                    task = at_its_place(task, found)
                    capacity.add(task)
                tasks.append(
                    replace(
                        task,
                        capacity_provider=provider,
                        client_token=client_token,
                        request_digest=digest,
                    )
                )
            self._store.transact(*(Put(TASK, task) for task in tasks))
        return {"tasks": [_with_tags(wire.task_to(task), task) for task in tasks], "failures": failures}

    @contextmanager
    def _placing(self, cluster: Cluster) -> Iterator[None]:
        """Whatever fails on the way, nobody counts on tasks that were placed and not made."""
        try:
            yield
        except Exception:
            if self._capacities is not None:
                self._capacities.forget(cluster.scope, cluster.name)
            raise

    def _capacity(self, cluster: Cluster) -> Capacity:
        """
        Raises:
            ServiceError: there is no instance.
        """
        if self._capacities is None:
            return placement.capacity(self._store, cluster, placement.active_instances(self._store, cluster))
        found = self._capacities.capacity(cluster.scope, cluster.name)
        if not len(found):
            raise invalid(placement.NO_INSTANCES)
        return found

    def start(self, context: RequestContext, params: Params) -> Result:
        """StartTask: one task on each of the instances named."""
        cluster = lookup.active_cluster(self._store, self._clock, context, params.get("cluster"))
        asked = params["containerInstances"]
        if not asked:
            raise invalid("Container instances cannot be empty.")
        if len(asked) > STARTED_ON_MOST:
            raise invalid(f"Container instances cannot have more than {STARTED_ON_MOST} elements.")
        definition = lookup.runnable_definition(self._store, context, params["taskDefinition"])
        placement.check_launch(placement.Launch("EC2"), definition, params)
        check_run_task({name: value for name, value in params.items() if name != "containerInstances"}, fargate=False)
        request = network.checked_network(self._store, context, params, definition.network_mode)
        placement.check_on_instance(request)
        make = self._maker(context, params, cluster, definition, "EC2")
        tasks: list[Task] = []
        failures: list[wire.Wire] = []
        for named in asked:
            instance_id = lookup.in_cluster(context, cluster.name, named, "container-instance")
            instance = self._store.get(CONTAINER_INSTANCE, f"{context.prefix}{cluster.name}/{instance_id}")
            if instance is None:
                failures.append(missing(context, cluster.name, named))
                continue
            if instance.status != "ACTIVE":
                failures += placement.failures_to([(instance, INACTIVE)])
                continue
            task = make(request, "")
            capacity = placement.capacity(self._store, cluster, [instance])
            for each in tasks:
                capacity.add(each)
            found = capacity.place(wanted_of(task), request)
            if isinstance(found, Placed):
                tasks.append(at_its_place(task, found))
            else:
                failures += placement.failures_to(found)
        self._store.transact(*(Put(TASK, task) for task in tasks))
        return {"tasks": [_with_tags(wire.task_to(task), task) for task in tasks], "failures": failures}

    def _maker(
        self,
        context: RequestContext,
        params: Params,
        cluster: Cluster,
        definition: TaskDefinition,
        launch_type: Literal["FARGATE", "EC2"],
    ) -> Callable[[NetworkRequest | None, str], Task]:
        """What makes the tasks of a request, which is checked first.

        Raises:
            ServiceError, Refused: the request is not one that can be fulfilled.
        """
        override = _checked_override(params, definition, on_fargate=launch_type == "FARGATE")
        lookup.check_passed_roles(
            self._store,
            context,
            (override.task_role_arn if override is not None else None) or definition.task_role_arn,
            (override.execution_role_arn if override is not None else None) or definition.execution_role_arn,
        )
        group = params.get("group") or f"family:{definition.family}"
        if len(group) > GROUP_MAX:
            raise invalid(f"group exceeds the maximum length of {GROUP_MAX} characters.")
        if group.startswith("service:"):
            raise invalid("Invalid namespace for group.")
        started_by = params.get("startedBy") or None
        if started_by is not None and len(started_by) > STARTED_BY_MAX:
            raise invalid(f"startedBy longer than {STARTED_BY_MAX}.")
        if started_by is not None and not _STARTED_BY.fullmatch(started_by):
            raise invalid("startedBy contains invalid characters.")
        reference_id = params.get("referenceId") or None
        if reference_id is not None and len(reference_id) > REFERENCE_ID_MAX:
            raise invalid(f"referenceId exceeds the maximum length of {REFERENCE_ID_MAX} characters.")
        tags = _tags(params, definition, cluster)
        asked = volume_configuration.checked(
            params.get("volumeConfigurations"), definition, on_fargate=launch_type == "FARGATE", of_service=False
        )
        managed = managed_volume.of_task(asked, definition_tags=definition.tags)
        now = self._clock.now()
        overrides_json = json.dumps(params["overrides"]) if override is not None else "{}"
        log_mode, _ = account_setting.effective(self._store, context, LOG_MODE)

        def make(request: NetworkRequest | None, platform_version: str) -> Task:
            task_id = self._ids.hex(32)
            task = new_task(
                scope=cluster.scope,
                cluster=cluster.name,
                task_id=task_id,
                attachment_id=self._ids.uuid(),
                runtime_ids=runtime_ids(self._ids, task_id, len(definition.containers), launch_type),
                definition=definition,
                launch_type=launch_type,
                group=group,
                network=request,
                created_at=now,
                cause_id=context.request_id,
                platform_version=platform_version,
                override=override,
                overrides_json=overrides_json,
                started_by=started_by,
                reference_id=reference_id,
                tags=tags,
                enable_execute_command=bool(params.get("enableExecuteCommand")),
                managed_volume=managed,
                ebs_attachment_id=self._ids.uuid() if managed is not None else "",
                log_mode=log_mode,
            )
            # With an override of memory or cpu the containers must still fit.
            task_definition_rule.check_sums(task.containers, task.cpu_units, task.memory_mib)
            return task

        return make

    def _repeated(self, tasks: Sequence[Task], digest: str) -> Result:
        """The answer to a request that was made before: the tasks it started, as they are now."""
        if any(task.request_digest != digest for task in tasks):
            raise ServiceError(
                "ConflictException",
                "The client token was used before in a RunTask request with other parameters.",
                resourceIds=[arn.task(task.scope, task.cluster, task.id) for task in tasks],
            )
        return {"tasks": [_with_tags(wire.task_to(task), task) for task in tasks], "failures": []}

    def stop(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster"))
        task_id = _task_id(context, cluster.name, params["task"])
        stored = self._store.read(TASK, f"{context.prefix}{cluster.name}/{task_id}")
        if stored is None:
            raise invalid("The referenced task was not found.")
        task = stored.value
        if task.stop is None and task.last_status is not TaskStatus.STOPPED:
            reason = params.get("reason") or STOPPED_BY_USER
            task = machine.stop(task, code=StopCode.USER_INITIATED, reason=reason, at=self._clock.now())
            self._store.transact(Put(TASK, task, expect=stored.version))
        return {"task": _with_tags(wire.task_to(task), task)}

    # --- DescribeTasks, ListTasks

    def describe(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name
        asked = params["tasks"]
        if not asked:
            raise invalid("Tasks cannot be empty.")
        if len(asked) > DESCRIBED_MOST:
            raise invalid(f"Tasks cannot have more than {DESCRIBED_MOST} elements.")
        with_tags = "TAGS" in (params.get("include") or ())
        get, prefix = self._store.get, f"{context.prefix}{cluster}/"
        tasks: list[wire.Wire] = []
        failures: list[wire.Wire] = []
        for named in asked:
            task_id = _task_id(context, cluster, named)
            task = get(TASK, prefix + task_id)
            if task is None:
                failures.append(wire.failure(arn.task(lookup.scope(context), cluster, task_id)))
                continue
            shown = self._show(prefix + task_id, task)
            tasks.append(_with_tags(shown, task) if with_tags else shown)
        return {"tasks": tasks, "failures": failures}

    def _show(self, key: str, task: Task) -> wire.Wire:
        """The task's wire shape, made once for each version of its record; nobody may change it."""
        known = self._shown.get(key)
        if known is not None and known[0] is task:
            return known[1]
        if len(self._shown) >= REMEMBERED:
            self._shown.clear()
        shown = wire.task_to(task)
        self._shown[key] = (task, shown)
        return shown

    def list(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name
        desired = params.get("desiredStatus") or "RUNNING"
        # ECS never desires PENDING: such a request is valid and finds nothing.
        tasks = [] if desired == "PENDING" else self._candidates(context, cluster, desired, params)
        wanted = TaskStatus.STOPPED if desired == "STOPPED" else TaskStatus.RUNNING
        family, launch_type, started_by = params.get("family"), params.get("launchType"), params.get("startedBy")
        if params.get("daemonName"):
            tasks = []  # there are no daemons
        instance_id = None
        if params.get("containerInstance"):
            instance_id = lookup.in_cluster(context, cluster, params["containerInstance"], "container-instance")
        ids = [
            task.id
            for task in tasks
            if task.desired_status is wanted
            and (not family or task.family == family)
            and (not launch_type or task.launch_type == launch_type)
            and (not started_by or task.started_by == started_by)
            and (not instance_id or (task.placement is not None and task.placement.container_instance == instance_id))
        ]
        shown, more = page.cut(ids, params)
        scope = lookup.scope(context)
        result: Result = {"taskArns": [arn.task(scope, cluster, task_id) for task_id in shown]}
        if more is not None:
            result["nextToken"] = more
        return result

    def _candidates(self, context: RequestContext, cluster: str, desired: str, params: Params) -> Iterable[Task]:
        """Tasks that may be meant, in the order of their ids, from the narrowest index."""
        named = params.get("serviceName")
        if named:
            name = lookup.in_cluster(context, cluster, named, "service")
            if self._store.get(SERVICE, f"{context.prefix}{cluster}/{name}") is None:
                raise service_not_found()
            index = "service_live" if desired == "RUNNING" else "service"
            return self._store.find(TASK, index, f"{context.prefix}{cluster}/{name}")
        if desired == "RUNNING":
            return self._store.find(TASK, "live", f"{context.prefix}{cluster}")
        return self._store.scan(TASK, f"{context.prefix}{cluster}/")


def _task_id(context: RequestContext, cluster: str, named: str) -> str:
    task_id = lookup.in_cluster(context, cluster, named, "task")
    if len(task_id) not in TASK_ID_LENGTHS:
        raise invalid("taskId length should be one of [32,36]")
    return task_id


def _with_tags(shown: wire.Wire, task: Task) -> wire.Wire:
    return {**shown, "tags": wire.tags_to(task.tags)}


def _digest(params: Params) -> str:
    """Tells two requests with the same client token apart."""
    rest = {name: value for name, value in params.items() if name != "clientToken"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def _count(params: Params) -> int:
    count = params.get("count")
    if count is None:
        return 1
    if not 1 <= count <= STARTED_MOST:
        raise invalid(f"count must be between 1 and {STARTED_MOST}.")
    return int(count)


def _checked_override(params: Params, definition: TaskDefinition, *, on_fargate: bool) -> TaskOverride | None:
    overrides: Mapping[str, object] = params.get("overrides") or {}
    if not is_asked_for(overrides):
        return None
    override = definition_wire.override_from(overrides)
    assert override is not None
    names = {container.name for container in definition.containers}
    for container in override.containers:
        if not container.name:
            raise invalid("Container override name can not be blank.")
        environment_file.check(container.environment_files)
        if container.name not in names:
            raise invalid(f"Override for container named {container.name} is not a container in the TaskDefinition.")
    task_definition_rule.check_roles(override.task_role_arn, override.execution_role_arn)
    if on_fargate and (override.cpu_units is not None or override.memory_mib is not None):
        fargate.check_size(override.cpu_units or definition.cpu_units, override.memory_mib or definition.memory_mib)
    if override.ephemeral_storage_gib is not None:
        task_definition_rule.check_ephemeral_storage(override.ephemeral_storage_gib, on_fargate=on_fargate)
    return override


def _tags(params: Params, definition: TaskDefinition, cluster: Cluster) -> Tags:
    own = wire.tags_from(params.get("tags"))
    tag_rule.check(own)
    propagate = params.get("propagateTags")
    if propagate == "SERVICE":
        raise invalid("propagateTags SERVICE is only supported for tasks of a service.")
    tags = tag_rule.merged(definition.tags, own) if propagate == "TASK_DEFINITION" else own
    if params.get("enableECSManagedTags"):
        tags = (*tags, Tag(key="aws:ecs:clusterName", value=cluster.name))
    return tags
