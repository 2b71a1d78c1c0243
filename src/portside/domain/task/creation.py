"""A new task from a task definition: used by RunTask and by the service scheduler."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from portside.domain import arn, link, volume
from portside.domain.clock import Ids
from portside.domain.managed_volume import ManagedVolume
from portside.domain.record import Record, Scope, Tags, replace
from portside.domain.task.record import (
    ContainerHistory,
    Moment,
    NetworkRequest,
    Placement,
    RegistryRef,
    TargetRef,
    Task,
)
from portside.domain.task_definition import ContainerDefinition, EnvironmentFile, EnvironmentVariable, TaskDefinition


class ContainerOverride(Record, frozen=True, kw_only=True):
    name: str
    command: tuple[str, ...] | None = None
    environment: tuple[EnvironmentVariable, ...] = ()
    environment_files: tuple[EnvironmentFile, ...] = ()
    cpu_units: int | None = None
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None


class TaskOverride(Record, frozen=True, kw_only=True):
    containers: tuple[ContainerOverride, ...] = ()
    cpu_units: int | None = None
    memory_mib: int | None = None
    task_role_arn: str | None = None
    execution_role_arn: str | None = None
    ephemeral_storage_gib: int | None = None


def runtime_ids(ids: Ids, task_id: str, count: int, launch_type: Literal["FARGATE", "EC2"]) -> list[str]:
    """Of a new task's containers: on Fargate the task's id and a number, on an instance 64 hex digits, as Docker's."""
    if launch_type == "EC2":
        return [ids.hex(64) for _ in range(count)]
    return [f"{task_id}-{ids.number(10)}" for _ in range(count)]


def new_task(
    *,
    scope: Scope,
    cluster: str,
    task_id: str,
    attachment_id: str,
    runtime_ids: Sequence[str],
    definition: TaskDefinition,
    launch_type: Literal["FARGATE", "EC2"],
    group: str,
    network: NetworkRequest | None,
    placement: Placement | None = None,
    created_at: datetime,
    cause_id: str,
    platform_version: str = "1.4.0",
    override: TaskOverride | None = None,
    overrides_json: str = "{}",
    started_by: str | None = None,
    reference_id: str | None = None,
    service: str | None = None,
    deployment_id: str | None = None,
    targets: tuple[TargetRef, ...] = (),
    registries: tuple[RegistryRef, ...] = (),
    tags: Tags = (),
    enable_execute_command: bool = False,
    image_digests: Mapping[str, str] = {},
    managed_volume: ManagedVolume | None = None,
    ebs_attachment_id: str = "",
    capacity_provider: str | None = None,
    log_mode: str = "non-blocking",
) -> Task:
    """A task in PROVISIONING.

    Args:
        task_id: 32 hex digits. attachment_id: a UUID. runtime_ids: one per container, in the definition's order
            (`runtime_ids`).
        image_digests: what the service's deployment resolved, by container; one whose definition says
            `versionConsistency` disabled is not held to it.
        log_mode: of containers whose log configuration names none.
    """
    override = override or TaskOverride()
    by_name = {each.name: each for each in override.containers}
    return Task(
        scope=scope,
        cluster=cluster,
        id=task_id,
        attachment_id=attachment_id,
        task_definition_arn=arn.task_definition(scope, definition.family, definition.revision),
        family=definition.family,
        revision=definition.revision,
        group=group,
        launch_type=launch_type,
        platform_version=platform_version,
        cpu_units=override.cpu_units or definition.cpu_units,
        memory_mib=override.memory_mib or definition.memory_mib,
        ephemeral_storage_gib=override.ephemeral_storage_gib or definition.ephemeral_storage_gib or 20,
        network_mode=definition.network_mode,
        cpu_architecture=definition.cpu_architecture,
        pid_mode=definition.pid_mode,
        ipc_mode=definition.ipc_mode,
        network=network,
        placement=placement,
        placement_expressions=definition.placement_expressions,
        containers=tuple(
            link.with_order(volume.with_inherited(_overridden(each, by_name.get(each.name)), definition.containers))
            for each in (_with_log_mode(container, log_mode) for container in definition.containers)
        ),
        volumes=definition.volumes,
        managed_volume=managed_volume,
        ebs_attachment_id=ebs_attachment_id,
        image_digests={
            each.name: image_digests[each.name]
            for each in definition.containers
            if each.name in image_digests and each.version_consistency != "disabled"
        },
        overrides_json=overrides_json,
        task_role_arn=override.task_role_arn or definition.task_role_arn,
        execution_role_arn=override.execution_role_arn or definition.execution_role_arn,
        started_by=started_by,
        reference_id=reference_id,
        service=service,
        deployment_id=deployment_id,
        targets=targets,
        registries=registries,
        tags=tags,
        enable_execute_command=enable_execute_command,
        created_at=created_at,
        cause_id=cause_id,
        capacity_provider=capacity_provider,
        history=tuple(
            ContainerHistory(name=each.name, runtime_id=runtime_id)
            for each, runtime_id in zip(definition.containers, runtime_ids, strict=True)
        ),
        story=(
            Moment(
                at=created_at,
                what="TaskCreated",
                detail=f"{group}, {definition.name}, cause {cause_id}"
                + (f", reference {reference_id}" if reference_id else ""),
            ),
        ),
    )


def _with_log_mode(definition: ContainerDefinition, mode: str) -> ContainerDefinition:
    if definition.log is None or "mode" in definition.log.options:
        return definition
    return replace(definition, log=replace(definition.log, options={**definition.log.options, "mode": mode}))


def _overridden(definition: ContainerDefinition, override: ContainerOverride | None) -> ContainerDefinition:
    if override is None:
        return definition
    environment = {each.name: each for each in (*definition.environment, *override.environment)}
    return replace(
        definition,
        command=override.command if override.command is not None else definition.command,
        environment=tuple(environment.values()),
        environment_files=override.environment_files or definition.environment_files,
        cpu_units=override.cpu_units if override.cpu_units is not None else definition.cpu_units,
        memory_mib=override.memory_mib if override.memory_mib is not None else definition.memory_mib,
        memory_reservation_mib=override.memory_reservation_mib
        if override.memory_reservation_mib is not None
        else definition.memory_reservation_mib,
    )
