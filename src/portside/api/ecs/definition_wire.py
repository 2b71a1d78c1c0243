"""Between the wire shapes of task definitions and the domain's records: plain functions, both ways, overrides included.

Answers are built as plain dicts by hand: RegisterTaskDefinition is called often. No decision is made here.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from portside.api.ecs.wire import FromWire, Wire, constraints_to, expressions_from, tags_from
from portside.domain import arn, secret_reference
from portside.domain.record import Scope
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.secret_reference import FromSecret
from portside.domain.task.creation import ContainerOverride, TaskOverride
from portside.domain.task_definition import (
    ContainerDefinition,
    DependsOn,
    Device,
    DockerVolume,
    EfsVolume,
    EnvironmentFile,
    EnvironmentVariable,
    ExtraHost,
    HealthCheck,
    LinuxParameters,
    LogConfiguration,
    MountPoint,
    PortMapping,
    RestartPolicy,
    Secret,
    SystemControl,
    TaskDefinition,
    Tmpfs,
    Ulimit,
    Volume,
    VolumesFrom,
)
from portside.domain.task_definition_rule import parsed_cpu, parsed_memory, parsed_port_range


def _present(wire: Wire, **members: Any) -> Wire:
    """Adds the members that have a value."""
    wire.update((name, value) for name, value in members.items() if value is not None)
    return wire


def definition_from(params: FromWire, *, scope: Scope, registered_at: datetime, registered_by: str) -> TaskDefinition:
    """What RegisterTaskDefinition describes, as revision 0 and unchecked.

    Raises:
        Refused: `cpu` or `memory` of the task is no size.
    """
    platform = params.get("runtimePlatform") or {}
    storage = params.get("ephemeralStorage")
    cpu, memory = params.get("cpu"), params.get("memory")
    return TaskDefinition(
        scope=scope,
        family=params["family"],
        revision=0,
        containers=tuple([_container_from(each) for each in params["containerDefinitions"]]),
        volumes=tuple([_volume_from(each) for each in params.get("volumes") or ()]),
        network_mode=params.get("networkMode") or "bridge",
        cpu_units=parsed_cpu(cpu) if cpu is not None else None,
        memory_mib=parsed_memory(memory) if memory is not None else None,
        requires=tuple(params.get("requiresCompatibilities") or ()),
        task_role_arn=params.get("taskRoleArn") or None,
        execution_role_arn=params.get("executionRoleArn") or None,
        ephemeral_storage_gib=storage["sizeInGiB"] if storage else None,
        cpu_architecture=platform.get("cpuArchitecture"),
        operating_system_family=platform.get("operatingSystemFamily"),
        pid_mode=params.get("pidMode") or None,
        ipc_mode=params.get("ipcMode") or None,
        placement_expressions=expressions_from(params.get("placementConstraints") or ()),
        tags=tags_from(params.get("tags")),
        registered_at=registered_at,
        registered_by=registered_by,
    )


def _container_from(item: FromWire) -> ContainerDefinition:
    get = item.get
    essential = get("essential")
    entry_point, command, log = get("entryPoint"), get("command"), get("logConfiguration")
    return ContainerDefinition(
        name=get("name") or "",
        image=get("image") or "",
        essential=True if essential is None else essential,
        cpu_units=get("cpu") or 0,
        memory_mib=get("memory"),
        memory_reservation_mib=get("memoryReservation"),
        entry_point=tuple(entry_point) if entry_point else None,
        command=tuple(command) if command else None,
        environment=environment_from(get("environment")),
        working_directory=get("workingDirectory") or None,
        user=get("user") or None,
        port_mappings=tuple([_port_from(each) for each in get("portMappings") or ()]),
        log=LogConfiguration(
            driver=log["logDriver"],
            options=dict(log.get("options") or {}),
            secret_options=secrets_from(log.get("secretOptions")),
        )
        if log
        else None,
        depends_on=tuple(
            [DependsOn(container=each["containerName"], condition=each["condition"]) for each in get("dependsOn") or ()]
        ),
        start_timeout_s=get("startTimeout"),
        stop_timeout_s=get("stopTimeout"),
        readonly_root_filesystem=bool(get("readonlyRootFilesystem")),
        ulimits=tuple(
            [Ulimit(name=each["name"], soft=each["softLimit"], hard=each["hardLimit"]) for each in get("ulimits") or ()]
        ),
        docker_labels=dict(get("dockerLabels") or {}),
        health_check=_health_check_from(get("healthCheck")),
        restart_policy=_restart_policy_from(get("restartPolicy")),
        repository_credentials=(get("repositoryCredentials") or {}).get("credentialsParameter") or None,
        environment_files=environment_files_from(get("environmentFiles")),
        secrets=secrets_from(get("secrets")),
        linux=_linux_from(get("linuxParameters")),
        system_controls=tuple(
            [
                SystemControl(namespace=each.get("namespace") or "", value=each.get("value") or "")
                for each in get("systemControls") or ()
            ]
        ),
        version_consistency=get("versionConsistency") or None,
        links=tuple(get("links") or ()),
        hostname=get("hostname") or None,
        disable_networking=bool(get("disableNetworking")),
        privileged=bool(get("privileged")),
        dns_servers=tuple(get("dnsServers") or ()),
        dns_search_domains=tuple(get("dnsSearchDomains") or ()),
        extra_hosts=tuple(
            [ExtraHost(hostname=each["hostname"], address=each["ipAddress"]) for each in get("extraHosts") or ()]
        ),
        docker_security_options=tuple(get("dockerSecurityOptions") or ()),
        interactive=bool(get("interactive")),
        pseudo_terminal=bool(get("pseudoTerminal")),
        mount_points=tuple(
            [
                MountPoint(
                    volume=each.get("sourceVolume") or "",
                    container_path=each.get("containerPath") or "",
                    read_only=bool(each.get("readOnly")),
                )
                for each in get("mountPoints") or ()
            ]
        ),
        volumes_from=tuple(
            [
                VolumesFrom(container=each.get("sourceContainer") or "", read_only=bool(each.get("readOnly")))
                for each in get("volumesFrom") or ()
            ]
        ),
    )


def _health_check_from(item: FromWire | None) -> HealthCheck | None:
    """AWS shows what was not given with its default."""
    if not item:
        return None
    unset = HealthCheck(command=tuple(item["command"]))
    return HealthCheck(
        command=unset.command,
        interval_s=item.get("interval") or unset.interval_s,
        timeout_s=item.get("timeout") or unset.timeout_s,
        retries=item.get("retries") or unset.retries,
        start_period_s=item.get("startPeriod"),
    )


def _restart_policy_from(item: FromWire | None) -> RestartPolicy | None:
    if not item:
        return None
    return RestartPolicy(
        enabled=item["enabled"],
        ignored_exit_codes=tuple(item.get("ignoredExitCodes") or ()),
        attempt_period_s=item.get("restartAttemptPeriod"),
    )


def _linux_from(item: FromWire | None) -> LinuxParameters | None:
    if not item:
        return None
    capabilities = item.get("capabilities") or {}
    return LinuxParameters(
        capabilities_add=tuple(capabilities.get("add") or ()),
        capabilities_drop=tuple(capabilities.get("drop") or ()),
        devices=tuple(
            [
                Device(
                    host_path=each["hostPath"],
                    container_path=each.get("containerPath") or None,
                    permissions=tuple(each.get("permissions") or ()),
                )
                for each in item.get("devices") or ()
            ]
        ),
        init_process_enabled=item.get("initProcessEnabled"),
        shared_memory_mib=item.get("sharedMemorySize"),
        tmpfs=tuple(
            [
                Tmpfs(
                    container_path=each["containerPath"],
                    size_mib=each["size"],
                    mount_options=tuple(each.get("mountOptions") or ()),
                )
                for each in item.get("tmpfs") or ()
            ]
        ),
        max_swap_mib=item.get("maxSwap"),
        swappiness=item.get("swappiness"),
    )


def secrets_from(items: Iterable[FromWire] | None) -> tuple[Secret, ...]:
    return tuple([Secret(name=each["name"], value_from=each["valueFrom"]) for each in items or ()])


def environment_files_from(items: Iterable[FromWire] | None) -> tuple[EnvironmentFile, ...]:
    return tuple([EnvironmentFile(value=each["value"], type=each["type"]) for each in items or ()])


def environment_from(items: Iterable[FromWire] | None) -> tuple[EnvironmentVariable, ...]:
    return tuple(
        [EnvironmentVariable(name=each.get("name") or "", value=each.get("value") or "") for each in items or ()]
    )


def _port_from(item: FromWire) -> PortMapping:
    first, last = parsed_port_range(item.get("containerPortRange"))
    if first and item.get("containerPort"):
        raise Refused(
            RefusalKind.INVALID,
            "A port mapping has either a containerPort or a containerPortRange.",
            "containerPortRange",
        )
    return PortMapping(
        container_port=first or item.get("containerPort") or 0,
        last_container_port=last,
        host_port=item.get("hostPort"),
        protocol=item.get("protocol") or "tcp",
        name=item.get("name") or None,
        app_protocol=item.get("appProtocol"),
    )


_VOLUME_SOURCES = ("host", "efsVolumeConfiguration", "dockerVolumeConfiguration")


def _volume_from(params: FromWire) -> Volume:
    """Raises Refused: it has two sources."""
    name = params.get("name") or ""
    if sum(params.get(each) is not None for each in _VOLUME_SOURCES) + bool(params.get("configuredAtLaunch")) > 1:
        raise Refused(RefusalKind.INVALID, f"Volume '{name}' can have only one volume configuration.", "volumes")
    if params.get("dockerVolumeConfiguration") is not None:
        return Volume(name=name, docker=_docker_from(params["dockerVolumeConfiguration"]))
    given = params.get("efsVolumeConfiguration")
    if params.get("configuredAtLaunch"):
        return Volume(name=name, is_configured_at_launch=True)
    if given is None:
        path = (params.get("host") or {}).get("sourcePath")
        if path == "":
            raise Refused(RefusalKind.INVALID, "host.sourcePath should not be blank.", "volumes")
        return Volume(name=name, host_path=path or "")
    authorization = given.get("authorizationConfig") or {}
    efs = EfsVolume(
        file_system_id=given["fileSystemId"],
        root_directory=given.get("rootDirectory") or "",
        transit_encryption=given.get("transitEncryption"),
        transit_encryption_port=given.get("transitEncryptionPort"),
        access_point_id=authorization.get("accessPointId") or "",
        iam=authorization.get("iam"),
    )
    return Volume(name=name, efs=efs)


def _docker_from(given: FromWire) -> DockerVolume:
    return DockerVolume(
        scope=given.get("scope") or "task",
        autoprovision=given.get("autoprovision"),
        driver=given.get("driver"),
        driver_opts=dict(given.get("driverOpts") or {}),
        labels=dict(given.get("labels") or {}),
    )


def _docker_to(docker: DockerVolume) -> Wire:
    wire: Wire = {"scope": docker.scope}
    if docker.autoprovision is not None:
        wire["autoprovision"] = docker.autoprovision
    if docker.driver is not None:
        wire["driver"] = docker.driver
    if docker.driver_opts:
        wire["driverOpts"] = dict(docker.driver_opts)
    if docker.labels:
        wire["labels"] = dict(docker.labels)
    return wire


def _volume_to(volume: Volume) -> Wire:
    if volume.docker is not None:
        return {"name": volume.name, "dockerVolumeConfiguration": _docker_to(volume.docker)}
    efs = volume.efs
    if volume.is_configured_at_launch:
        return {"name": volume.name, "configuredAtLaunch": True}
    if efs is None:
        return {"name": volume.name, "host": {"sourcePath": volume.host_path} if volume.host_path else {}}
    wire: Wire = {"fileSystemId": efs.file_system_id, "rootDirectory": efs.root_directory or "/"}
    if efs.transit_encryption is not None:
        wire["transitEncryption"] = efs.transit_encryption
    if efs.transit_encryption_port is not None:
        wire["transitEncryptionPort"] = efs.transit_encryption_port
    authorization: Wire = {}
    if efs.access_point_id:
        authorization["accessPointId"] = efs.access_point_id
    if efs.iam is not None:
        authorization["iam"] = efs.iam
    if authorization:
        wire["authorizationConfig"] = authorization
    return {"name": volume.name, "efsVolumeConfiguration": wire}


def definition_to(definition: TaskDefinition) -> Wire:
    """As DescribeTaskDefinition shows it (tags are beside it, not in it)."""
    wire: Wire = {
        "taskDefinitionArn": arn.task_definition(definition.scope, definition.family, definition.revision),
        "containerDefinitions": [_container_to(each) for each in definition.containers],
        "family": definition.family,
        "networkMode": definition.network_mode,
        "revision": definition.revision,
        "volumes": [_volume_to(each) for each in definition.volumes],
        "status": definition.status.value,
        "requiresAttributes": [{"name": name} for name in _attributes(definition)],
        "placementConstraints": constraints_to(definition.placement_expressions),
        "compatibilities": list(definition.compatibilities),
        "registeredAt": definition.registered_at,
        "registeredBy": definition.registered_by,
    }
    if definition.requires:
        wire["requiresCompatibilities"] = list(definition.requires)
    if definition.cpu_units is not None:
        wire["cpu"] = str(definition.cpu_units)
    if definition.memory_mib is not None:
        wire["memory"] = str(definition.memory_mib)
    if definition.task_role_arn is not None:
        wire["taskRoleArn"] = definition.task_role_arn
    if definition.execution_role_arn is not None:
        wire["executionRoleArn"] = definition.execution_role_arn
    if definition.ephemeral_storage_gib is not None:
        wire["ephemeralStorage"] = {"sizeInGiB": definition.ephemeral_storage_gib}
    if definition.cpu_architecture is not None or definition.operating_system_family is not None:
        wire["runtimePlatform"] = _present(
            {},
            cpuArchitecture=definition.cpu_architecture,
            operatingSystemFamily=definition.operating_system_family,
        )
    _present(wire, pidMode=definition.pid_mode, ipcMode=definition.ipc_mode)
    if definition.deregistered_at is not None:
        wire["deregisteredAt"] = definition.deregistered_at
    if definition.delete_requested_at is not None:
        wire["deleteRequestedAt"] = definition.delete_requested_at
    return wire


def _container_to(container: ContainerDefinition) -> Wire:
    wire: Wire = {
        "name": container.name,
        "image": container.image,
        "cpu": container.cpu_units,
        "portMappings": [_port_to(each) for each in container.port_mappings],
        "essential": container.essential,
        "environment": [{"name": each.name, "value": each.value} for each in container.environment],
        "mountPoints": [
            {"sourceVolume": each.volume, "containerPath": each.container_path, "readOnly": each.read_only}
            for each in container.mount_points
        ],
        "volumesFrom": [
            {"sourceContainer": each.container, "readOnly": each.read_only} for each in container.volumes_from
        ],
        "systemControls": [{"namespace": each.namespace, "value": each.value} for each in container.system_controls],
    }
    if container.memory_mib is not None:
        wire["memory"] = container.memory_mib
    if container.memory_reservation_mib is not None:
        wire["memoryReservation"] = container.memory_reservation_mib
    if container.entry_point is not None:
        wire["entryPoint"] = list(container.entry_point)
    if container.command is not None:
        wire["command"] = list(container.command)
    if container.working_directory is not None:
        wire["workingDirectory"] = container.working_directory
    if container.user is not None:
        wire["user"] = container.user
    if container.log is not None:
        wire["logConfiguration"] = {"logDriver": container.log.driver, "options": dict(container.log.options)}
        if container.log.secret_options:
            wire["logConfiguration"]["secretOptions"] = _secrets_to(container.log.secret_options)
    if container.depends_on:
        wire["dependsOn"] = [
            {"containerName": each.container, "condition": each.condition} for each in container.depends_on
        ]
    if container.start_timeout_s is not None:
        wire["startTimeout"] = container.start_timeout_s
    if container.stop_timeout_s is not None:
        wire["stopTimeout"] = container.stop_timeout_s
    if container.readonly_root_filesystem:
        wire["readonlyRootFilesystem"] = True
    if container.ulimits:
        wire["ulimits"] = [
            {"name": each.name, "softLimit": each.soft, "hardLimit": each.hard} for each in container.ulimits
        ]
    if container.docker_labels:
        wire["dockerLabels"] = dict(container.docker_labels)
    if container.health_check is not None:
        check = container.health_check
        wire["healthCheck"] = _present(
            {
                "command": list(check.command),
                "interval": check.interval_s,
                "timeout": check.timeout_s,
                "retries": check.retries,
            },
            startPeriod=check.start_period_s,
        )
    if container.restart_policy is not None:
        policy = container.restart_policy
        wire["restartPolicy"] = _present(
            {"enabled": policy.enabled, "ignoredExitCodes": list(policy.ignored_exit_codes)},
            restartAttemptPeriod=policy.attempt_period_s,
        )
    if container.repository_credentials is not None:
        wire["repositoryCredentials"] = {"credentialsParameter": container.repository_credentials}
    if container.environment_files:
        wire["environmentFiles"] = [{"value": each.value, "type": each.type} for each in container.environment_files]
    if container.secrets:
        wire["secrets"] = _secrets_to(container.secrets)
    if container.linux is not None:
        wire["linuxParameters"] = _linux_to(container.linux)
    for member, flag in (
        ("disableNetworking", container.disable_networking),
        ("privileged", container.privileged),
        ("interactive", container.interactive),
        ("pseudoTerminal", container.pseudo_terminal),
    ):
        if flag:
            wire[member] = True
    for member, items in (
        ("links", container.links),
        ("dnsServers", container.dns_servers),
        ("dnsSearchDomains", container.dns_search_domains),
        ("dockerSecurityOptions", container.docker_security_options),
    ):
        if items:
            wire[member] = list(items)
    if container.extra_hosts:
        wire["extraHosts"] = [{"hostname": each.hostname, "ipAddress": each.address} for each in container.extra_hosts]
    return _present(wire, hostname=container.hostname, versionConsistency=container.version_consistency)


def _secrets_to(secrets: Iterable[Secret]) -> list[Wire]:
    return [{"name": each.name, "valueFrom": each.value_from} for each in secrets]


def _linux_to(linux: LinuxParameters) -> Wire:
    wire: Wire = {"capabilities": {"add": list(linux.capabilities_add), "drop": list(linux.capabilities_drop)}}
    if linux.devices:
        wire["devices"] = [
            _present(
                {"hostPath": each.host_path, "permissions": list(each.permissions)}, containerPath=each.container_path
            )
            for each in linux.devices
        ]
    if linux.tmpfs:
        wire["tmpfs"] = [
            {"containerPath": each.container_path, "size": each.size_mib, "mountOptions": list(each.mount_options)}
            for each in linux.tmpfs
        ]
    return _present(
        wire,
        initProcessEnabled=linux.init_process_enabled,
        sharedMemorySize=linux.shared_memory_mib,
        maxSwap=linux.max_swap_mib,
        swappiness=linux.swappiness,
    )


def _port_to(mapping: PortMapping) -> Wire:
    ports: Wire = {"containerPort": mapping.container_port, "hostPort": mapping.host_port or 0}
    if mapping.last_container_port is not None:
        ports = {"containerPortRange": f"{mapping.container_port}-{mapping.last_container_port}"}
    return _present(
        {**ports, "protocol": mapping.protocol},
        name=mapping.name,
        appProtocol=mapping.app_protocol,
    )


def _attributes(definition: TaskDefinition) -> Iterable[str]:
    """What an instance must be able to do to run it, in the agent's names (dict: in order, each once)."""
    found: dict[str, None] = {}
    for container in definition.containers:
        if container.log is not None:
            found[f"com.amazonaws.ecs.capability.logging-driver.{container.log.driver}"] = None
            if definition.execution_role_arn is not None and container.log.driver == "awslogs":
                found["ecs.capability.execution-role-awslogs"] = None
            found["com.amazonaws.ecs.capability.docker-remote-api.1.19"] = None
        if container.depends_on or container.start_timeout_s is not None or container.stop_timeout_s is not None:
            found["ecs.capability.container-ordering"] = None
        if container.memory_reservation_mib is not None:
            found["com.amazonaws.ecs.capability.docker-remote-api.1.21"] = None
        if container.health_check is not None:
            found["ecs.capability.container-health-check"] = None
        if container.privileged:
            found["com.amazonaws.ecs.capability.privileged-container"] = None
        if container.environment_files:
            found["ecs.capability.env-files.s3"] = None
        for secret in container.secrets:
            kind = "asm" if isinstance(secret_reference.parsed(secret.value_from), FromSecret) else "ssm"
            found[f"ecs.capability.secrets.{kind}.environment-variables"] = None
        if container.repository_credentials is not None:
            found["ecs.capability.private-registry-authentication.secretsmanager"] = None
    if any(each.docker is not None for each in definition.volumes):
        found["ecs.capability.docker-plugin.local"] = None
    if definition.task_role_arn is not None:
        found["com.amazonaws.ecs.capability.task-iam-role"] = None
        if definition.network_mode == "host":
            found["com.amazonaws.ecs.capability.task-iam-role-network-host"] = None
    if definition.pid_mode is not None or definition.ipc_mode is not None:
        found["ecs.capability.pid-ipc-namespace-sharing"] = None
    if definition.network_mode == "awsvpc":
        found["com.amazonaws.ecs.capability.docker-remote-api.1.18"] = None
        found["ecs.capability.task-eni"] = None
    return found


# --- overrides


def override_from(overrides: FromWire | None) -> TaskOverride | None:
    """None where nothing is overridden.

    Raises:
        Refused: `cpu` or `memory` of the task is no size.
    """
    if not overrides:
        return None
    cpu, memory, storage = overrides.get("cpu"), overrides.get("memory"), overrides.get("ephemeralStorage")
    return TaskOverride(
        containers=tuple(_container_override_from(each) for each in overrides.get("containerOverrides") or ()),
        cpu_units=parsed_cpu(cpu) if cpu else None,
        memory_mib=parsed_memory(memory) if memory else None,
        task_role_arn=overrides.get("taskRoleArn") or None,
        execution_role_arn=overrides.get("executionRoleArn") or None,
        ephemeral_storage_gib=storage["sizeInGiB"] if storage else None,
    )


def _container_override_from(item: FromWire) -> ContainerOverride:
    command = item.get("command")
    return ContainerOverride(
        name=item.get("name") or "",
        command=tuple(command) if command else None,
        environment=environment_from(item.get("environment")),
        environment_files=environment_files_from(item.get("environmentFiles")),
        cpu_units=item.get("cpu"),
        memory_mib=item.get("memory"),
        memory_reservation_mib=item.get("memoryReservation"),
    )
