"""What a task definition must fulfil to be registered, in AWS's words where AWS has words for it.

Sources: ECS developer guide, "Task definition parameters"; API_ContainerDefinition; error messages as AWS gave them to
people who published them. What a field's shape is (required, enumerated) the API's model checks before.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Final

from portside.domain import environment_file, fargate, link, log_driver, tag_rule, volume
from portside.domain.cluster_rule import NAME
from portside.domain.line_pattern import LinePattern, LinePatternError, pattern_of
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import (
    Compatibility,
    ContainerDefinition,
    HealthCheck,
    LinuxParameters,
    LogConfiguration,
    PortMapping,
    RestartPolicy,
    TaskDefinition,
)

CONTAINERS_MAX: Final = 10
SIZE_MAX_BYTES: Final = 65536
CONTAINER_MEMORY_MIN_MIB: Final = 4
TIMEOUT_MIN_S: Final = 2
TASK_CPU_UNITS: Final = range(128, 196608 + 1)
"""0.125 to 192 vCPU on instances (API_RegisterTaskDefinition, cpu)."""
IGNORED_EXIT_CODES_MAX: Final = 50
RESTART_ATTEMPT_PERIOD_S: Final = range(60, 1800 + 1)
SETTING_MAX_CHARS: Final = 32
"""No size of a task takes more; a bound on what is matched."""
TASK_MEMORY_MAX_MIB: Final = 2**31 - 1

_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,576}")
_ROLE_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}")
_PORT_RANGE: Final = re.compile(r"(\d{1,5})-(\d{1,5})", re.ASCII)
PORT_RANGES_MAX: Final = 100
"""Of one container. Source: API_PortMapping, containerPortRange."""
_PORT_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_ECR_IMAGE: Final = re.compile(r"\d{12}\.dkr\.ecr[.-]")
_IMAGE: Final = re.compile(r"[A-Za-z0-9_.:/@#+\[\]-]+")
_CPU: Final = re.compile(r"(\d*\.?\d+)\s*vcpus?", re.IGNORECASE)
_MEMORY: Final = re.compile(r"(\d*\.?\d+)\s*([gm])i?b", re.IGNORECASE)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?")
_BUFFER_SIZE: Final = re.compile(r"[1-9]\d*[bkmg]?", re.IGNORECASE)

CAPABILITY_NAMES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND"),
)
"""Those of API_KernelCapabilities, each at the place of its number. Source: capability.h."""
NO_NEW_PRIVILEGES: Final = "no-new-privileges"
_IPC_CONTROLS: Final = frozenset(
    {
        *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"),
        *("kernel.shmmni", "kernel.shm_rmid_forced"),
    }
)
"""What belongs to the IPC namespace, besides fs.mqueue.*. Source: API_SystemControl, sysctl(5)."""
_SYSCTL: Final = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+")
TMPFS_OPTIONS: Final = frozenset(
    {
        *("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync"),
        *("remount", "mand", "nomand", "atime", "noatime", "diratime", "nodiratime", "bind", "rbind", "unbindable"),
        *("runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave", "relatime", "norelatime"),
        *("strictatime", "nostrictatime", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"),
    }
)
"""API_Tmpfs, mountOptions."""
_TMPFS_TAKEN: Final = TMPFS_OPTIONS - {
    *("remount", "bind", "rbind", "unbindable", "runbindable", "private", "rprivate", "shared", "rshared", "slave"),
    *("rslave", "mand", "nomand", "nr_blocks", "mpol"),
}
"""Those that mean something for a mount of its own."""

AWSLOGS_OPTIONS: Final = (
    "awslogs-region",
    "awslogs-group",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-multiline-pattern",
    "mode",
    "max-buffer-size",
)


def checked(definition: TaskDefinition) -> TaskDefinition:
    """The definition as it is registered: host ports filled in, compatibilities worked out.

    Raises:
        Refused: INVALID or UNSUPPORTED, at the first rule that is broken.
    """
    _check_family(definition.family)
    by_name = _check_containers(definition.containers)
    _check_platform(definition)
    requires_fargate = "FARGATE" in definition.requires
    if requires_fargate:
        check_fargate(definition)
    if definition.cpu_units is not None and definition.cpu_units not in TASK_CPU_UNITS:
        raise _invalid_for_task("cpu")
    for container in definition.containers:
        _check_container(definition, container)
    check_sums(definition.containers, definition.cpu_units, definition.memory_mib)
    volume.check(definition)
    link.check(definition)
    check_roles(definition.task_role_arn, definition.execution_role_arn)
    _check_dependencies(definition.containers, by_name)
    if definition.ephemeral_storage_gib is not None:
        check_ephemeral_storage(definition.ephemeral_storage_gib, on_fargate=requires_fargate)
    tag_rule.check(definition.tags)
    containers = tuple(_with_host_ports(each, definition.network_mode) for each in definition.containers)
    _check_ports(containers, definition.network_mode)
    return replace(definition, containers=containers, compatibilities=compatibilities(definition))


def check_size(size_bytes: int) -> None:
    """A definition is at most 64 KiB as JSON."""
    if size_bytes > SIZE_MAX_BYTES:
        raise _invalid(f"Actual length: '{size_bytes}'. Max allowed length is '{SIZE_MAX_BYTES}' bytes.", "length")


def compatibilities(definition: TaskDefinition) -> tuple[Compatibility, ...]:
    """Where a definition that fulfils the general rules could run."""
    if definition.network_mode != "awsvpc":
        return ("EXTERNAL", "EC2")
    if "FARGATE" not in definition.requires:
        if _is_for_instances(definition):
            return ("EC2",)
        try:
            check_fargate(definition)
        except Refused:
            return ("EC2",)
    return ("EC2", "FARGATE")


def _is_for_instances(definition: TaskDefinition) -> bool:
    """Whether it has a member that Fargate refuses by name where it is asked for Fargate."""
    if definition.pid_mode == "host" or definition.ipc_mode is not None:
        return True
    if any(each.is_of_instance for each in definition.volumes):
        return True
    for container in definition.containers:
        linux = container.linux or LinuxParameters()
        asked = (linux.shared_memory_mib, linux.max_swap_mib, linux.swappiness)
        if (
            container.privileged
            or container.docker_security_options
            or linux.devices
            or any(each is not None for each in asked)
        ):
            return True
    return False


def check_fargate(definition: TaskDefinition) -> None:
    """What Fargate demands beyond the general rules."""
    if definition.network_mode != "awsvpc":
        raise _invalid("Fargate only supports network mode ‘awsvpc’.", "networkMode")
    if definition.placement_expressions:
        raise _invalid("Fargate compatible task definitions do not support constraints", "placementConstraints")
    if any(each.docker is not None for each in definition.volumes):  # an empty one, too
        raise _invalid("Fargate compatible task definitions do not support dockerVolumeConfiguration", "volumes")
    fargate.check_size(definition.cpu_units, definition.memory_mib)
    for container in definition.containers:
        added = container.linux.capabilities_add if container.linux is not None else ()
        if any(each != "SYS_PTRACE" for each in added):
            raise _invalid(
                "Tasks using the Fargate launch type only support adding the 'SYS_PTRACE' kernel capability.",
                "linuxParameters",
            )
        for kind, timeout_s in (("start", container.start_timeout_s), ("stop", container.stop_timeout_s)):
            if timeout_s is not None and timeout_s > fargate.TIMEOUT_MAX_S:
                raise _invalid(
                    "Tasks using the Fargate launch type must have a container "
                    f"{kind} timeout of less than {fargate.TIMEOUT_MAX_S} seconds.",
                    f"{kind}Timeout",
                )
        needs_role = ""
        if container.log is not None:
            _check_fargate_log(container.log)
            if container.log.driver == "awslogs":
                needs_role = "log driver awslogs"
        if _ECR_IMAGE.match(container.image):
            needs_role = "ECR images"
        if needs_role and not definition.execution_role_arn:
            raise _invalid(
                f"Fargate requires task definition to have execution role ARN to support {needs_role}.",
                "executionRoleArn",
            )


def parsed_cpu(text: str) -> int:
    """CPU units of a task-level setting: `512`, `.5 vCPU`, `1vcpu`."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        units = float(text[:SETTING_MAX_CHARS])
    else:
        match = _CPU.fullmatch(text) if len(text) <= SETTING_MAX_CHARS else None
        if match is None:
            raise _invalid_for_task("cpu")
        units = float(match[1]) * 1024
    if units != int(units) or units <= 0:
        raise _invalid_for_task("cpu")
    return int(units)


def parsed_memory(text: str) -> int:
    """MiB of a task-level setting: `512`, `1GB`, `0.5 GB`."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        mib = float(text[:SETTING_MAX_CHARS])
    else:
        match = _MEMORY.fullmatch(text) if len(text) <= SETTING_MAX_CHARS else None
        if match is None:
            raise _invalid_for_task("memory")
        mib = float(match[1]) * (1024 if match[2] in "gG" else 1)
    if mib != int(mib) or not CONTAINER_MEMORY_MIN_MIB <= mib <= TASK_MEMORY_MAX_MIB:
        raise _invalid_for_task("memory")
    return int(mib)


def parsed_port_range(text: str | None) -> tuple[int, int | None]:
    """First and last port of `8000-8010`; (0, None) if there is no range."""
    if not text:
        return 0, None
    match = _PORT_RANGE.fullmatch(text)
    first, last = (int(match[1]), int(match[2])) if match is not None else (0, 0)
    if not 1 <= first < last <= 65535:
        raise _invalid(
            f"Invalid containerPortRange '{text}': two ports between 1 and 65535, the first less than the last.",
            "containerPortRange",
        )
    return first, last


def _check_family(family: str) -> None:
    if not family:
        raise _invalid("Family should not be null or empty.", "family")
    if not NAME.fullmatch(family):
        raise _invalid("Family contains invalid characters.", "family")


def _check_platform(definition: TaskDefinition) -> None:
    system = definition.operating_system_family
    if system not in (None, "LINUX"):
        raise fargate.unsupported(f"operatingSystemFamily {system}")
    for name in definition.requires:
        if name not in ("EC2", "FARGATE", "EXTERNAL"):
            raise fargate.unsupported(f"requiresCompatibilities {name}")
    if "EXTERNAL" in definition.requires and definition.network_mode == "awsvpc":
        raise _invalid("External instances do not support network mode 'awsvpc'.", "networkMode")


def _check_containers(containers: Sequence[ContainerDefinition]) -> dict[str, ContainerDefinition]:
    if not containers:
        raise _invalid("Container list cannot be empty.", "containerDefinitions")
    if len(containers) > CONTAINERS_MAX:
        raise _invalid("Too many containers.", "containerDefinitions")
    by_name: dict[str, ContainerDefinition] = {}
    for container in containers:
        if not container.name:
            raise _invalid("Container.name should not be null or empty.", "name")
        if not NAME.fullmatch(container.name):
            raise _invalid(f"Container name contains invalid characters: '{container.name}'.", "name")
        if container.name in by_name:
            raise _invalid(f"Container names must be unique: '{container.name}' is there twice.", "name")
        if not container.image:
            raise _invalid("Container.image should not be null or empty.", "image")
        if not _IMAGE.fullmatch(container.image):
            raise _invalid("Container.image contains invalid characters.", "image")
        by_name[container.name] = container
    if not any(container.essential for container in containers):
        raise _invalid("Task definition doesn't have any essential container.", "essential")
    return by_name


def _check_container(definition: TaskDefinition, container: ContainerDefinition) -> None:
    name = container.name
    memory, reservation = container.memory_mib, container.memory_reservation_mib
    if container.cpu_units < 0:
        raise _invalid_for_container("cpu", name)
    if memory is None and reservation is None and definition.memory_mib is None:
        raise _invalid(
            f"Invalid setting for container '{name}'. "
            "At least one of 'memory' or 'memoryReservation' must be specified.",
            "memory",
        )
    for kind, timeout_s in (("start", container.start_timeout_s), ("stop", container.stop_timeout_s)):
        if timeout_s is not None and timeout_s < TIMEOUT_MIN_S:
            raise _invalid(
                f"Granular {kind} timeout on container '{name}' must be at least 2 seconds.", f"{kind}Timeout"
            )
    if container.restart_policy is not None:
        _check_restart_policy(container.restart_policy, name)
    if container.health_check is not None:
        _check_health(container.health_check, name)
    if container.linux is not None:
        _check_linux(container.linux, name)
    _check_system_controls(definition, container)
    for option in container.docker_security_options:
        if option not in (NO_NEW_PRIVILEGES, f"{NO_NEW_PRIVILEGES}:true"):
            raise fargate.unsupported(f"dockerSecurityOptions {option}")
    for host in container.extra_hosts:
        if not _HOST.fullmatch(host.hostname) or not _is_address(host.address):
            raise _invalid_for_container("extraHosts", name)
    if any(not _is_address(each) for each in container.dns_servers):
        raise _invalid_for_container("dnsServers", name)
    if any(not _HOST.fullmatch(each) for each in container.dns_search_domains):
        raise _invalid_for_container("dnsSearchDomains", name)
    if container.hostname is not None and not _HOST.fullmatch(container.hostname):
        raise _invalid_for_container("hostname", name)
    for ulimit in container.ulimits:
        if ulimit.soft > ulimit.hard >= 0:
            raise _invalid(
                f"Invalid ulimit '{ulimit.name}' for container '{name}': the soft limit exceeds the hard limit.",
                "ulimits",
            )
    environment_file.check(container.environment_files)
    _check_secrets(definition, container)
    if any(not variable.name for variable in container.environment):
        raise _invalid(f"Invalid 'environment' setting for container '{name}': a name is empty.", "environment")
    if container.log is not None:
        _check_log(container.log)


def _check_secrets(definition: TaskDefinition, container: ContainerDefinition) -> None:
    """Who fetches them is the execution role."""
    names = [variable.name for variable in container.environment]
    for secret in container.secrets:
        if not secret.name or not secret.value_from:
            raise _invalid_for_container("secrets", container.name)
        if secret.name in names:
            raise _invalid(
                "The secret name must be unique and not shared with any new or existing environment variables set on "
                f"the container, such as '{secret.name}'.",
                "secrets",
            )
        names.append(secret.name)
    for what, asked in (
        ("container secrets", container.secrets),
        ("repository credentials", container.repository_credentials),
    ):
        if asked and not definition.execution_role_arn:
            raise _invalid(
                f"When you are specifying {what}, you must also specify a value for 'executionRoleArn'.",
                "executionRoleArn",
            )


def _check_linux(linux: LinuxParameters, container: str) -> None:
    for capability in (*linux.capabilities_add, *linux.capabilities_drop):
        if capability != "ALL" and capability not in CAPABILITY_NAMES:
            raise _invalid(f"Invalid capability '{capability}' for container '{container}'.", "linuxParameters")
    for tmpfs in linux.tmpfs:
        if not _is_path(tmpfs.container_path) or tmpfs.size_mib < 1:
            raise _invalid_for_container("tmpfs", container)
        for option in tmpfs.mount_options:
            kind = option.partition("=")[0]
            if kind not in TMPFS_OPTIONS or "," in option:
                raise _invalid(f"Invalid tmpfs mount option '{option}' for container '{container}'.", "linuxParameters")
            if kind not in _TMPFS_TAKEN:
                raise fargate.unsupported(f"tmpfs mount option {option}")
    for device in linux.devices:
        if not _is_path(device.host_path) or not _is_path(device.container_path or "/x"):
            raise _invalid_for_container("devices", container)
    if linux.shared_memory_mib is not None and linux.shared_memory_mib < 1:
        raise _invalid_for_container("sharedMemorySize", container)
    if linux.max_swap_mib is not None and linux.max_swap_mib < 0:
        raise _invalid_for_container("maxSwap", container)
    if linux.swappiness is not None and linux.swappiness not in range(101):
        raise _invalid_for_container("swappiness", container)


def _check_system_controls(definition: TaskDefinition, container: ContainerDefinition) -> None:
    """Only what belongs to a namespace of the task's or the container's own can be set."""
    for control in container.system_controls:
        name = control.namespace
        if not _SYSCTL.fullmatch(name) or not control.value:
            raise _invalid_for_container("systemControls", container.name)
        if name.startswith("net."):
            if definition.network_mode == "host":
                raise _invalid(
                    f"System control '{name}' of container '{container.name}' is not supported when networkMode=host.",
                    "systemControls",
                )
        elif definition.ipc_mode == "host":
            raise _invalid(
                f"System control '{name}' of container '{container.name}' is not supported when ipcMode=host.",
                "systemControls",
            )
        elif name not in _IPC_CONTROLS and not name.startswith("fs.mqueue."):
            raise _invalid(
                f"System control '{name}' of container '{container.name}' is not namespaced: only net.*, fs.mqueue.* "
                "and the kernel's IPC settings are.",
                "systemControls",
            )


def _is_path(path: str) -> bool:
    return path.startswith("/") and path != "/" and "\0" not in path and ".." not in path.split("/")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_restart_policy(policy: RestartPolicy, container: str) -> None:
    """Source: API_ContainerRestartPolicy for the ranges."""
    words = f"Invalid 'restartPolicy' setting for container '{container}': "
    if len(policy.ignored_exit_codes) > IGNORED_EXIT_CODES_MAX:
        raise _invalid(f"{words}at most {IGNORED_EXIT_CODES_MAX} exit codes can be ignored.", "restartPolicy")
    if policy.attempt_period_s is not None and policy.attempt_period_s not in RESTART_ATTEMPT_PERIOD_S:
        raise _invalid(
            f"{words}restartAttemptPeriod must be between {RESTART_ATTEMPT_PERIOD_S[0]} and "
            f"{RESTART_ATTEMPT_PERIOD_S[-1]}.",
            "restartPolicy",
        )


def _check_health(check: HealthCheck, container: str) -> None:
    """Source: API_HealthCheck for the ranges."""
    if len(check.command) < 2 or check.command[0] not in ("CMD", "CMD-SHELL"):
        raise _invalid(
            f"The health check command of container '{container}' must begin with CMD or CMD-SHELL, followed "
            "by what to run.",
            "healthCheck",
        )
    for field, value, allowed in (
        ("interval", check.interval_s, range(5, 301)),
        ("timeout", check.timeout_s, range(2, 61)),
        ("retries", check.retries, range(1, 11)),
        ("startPeriod", check.start_period_s or 0, range(301)),
    ):
        if value not in allowed:
            raise _invalid(
                f"Invalid 'healthCheck' setting for container '{container}': {field} must be between "
                f"{allowed.start} and {allowed.stop - 1}.",
                "healthCheck",
            )


def check_sums(containers: Sequence[ContainerDefinition], cpu_units: int | None, memory_mib: int | None) -> None:
    """That a task of this size holds these containers, whose own limits fit each other. Each reserves its soft limit if
    it has one, else its limit."""
    for container in containers:
        _check_memory(container)
    if memory_mib is not None:
        total_mib = 0
        for container in containers:
            for field, mib in (
                ("memory", container.memory_mib),
                ("memoryReservation", container.memory_reservation_mib),
            ):
                if mib is not None and mib > memory_mib:
                    raise _invalid(
                        f"The '{field}' setting for container '{container.name}' is greater than for the task.", field
                    )
            total_mib += container.memory_reservation_mib or container.memory_mib or 0
        if total_mib > memory_mib:
            raise _invalid(
                "The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.",
                "memory",
            )
    if cpu_units is not None and sum(container.cpu_units for container in containers) > cpu_units:
        raise _invalid(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.", "cpu"
        )


def _check_memory(container: ContainerDefinition) -> None:
    memory, reservation = container.memory_mib, container.memory_reservation_mib
    if memory is not None and memory < CONTAINER_MEMORY_MIN_MIB:
        raise _invalid_for_container("memory", container.name)
    if reservation is not None and reservation < CONTAINER_MEMORY_MIN_MIB:
        raise _invalid_for_container("memoryReservation", container.name)
    if memory is not None and reservation is not None and memory < reservation:
        raise _invalid(
            f"Invalid setting for container '{container.name}'. "
            "'memory' must be greater than or equal to 'memoryReservation'.",
            "memory",
        )


def check_roles(task_role: str | None, execution_role: str | None) -> None:
    """A task role is an ARN or a role's name, an execution role an ARN."""
    if task_role is not None and not _ROLE_ARN.fullmatch(task_role) and not _ROLE_NAME.fullmatch(task_role):
        raise _invalid("Role is not valid", "taskRoleArn")
    if execution_role is not None and not _ROLE_ARN.fullmatch(execution_role):
        raise _invalid("Role is not valid", "executionRoleArn")


def _check_dependencies(containers: Sequence[ContainerDefinition], by_name: Mapping[str, ContainerDefinition]) -> None:
    if not any(container.depends_on or container.volumes_from or container.links for container in containers):
        return
    for container in containers:
        for dependency in container.depends_on:
            target = by_name.get(dependency.container)
            if target is None:
                raise _invalid(
                    f"Cannot depend on container + '{dependency.container}' because it does not exist", "dependsOn"
                )
            if dependency.condition == "HEALTHY" and target.health_check is None:
                raise _invalid(
                    "A dependency container with HEALTHY condition must have health check configured", "dependsOn"
                )
            if dependency.condition in ("SUCCESS", "COMPLETE") and target.essential:
                raise _invalid(
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
                    "dependsOn",
                )
    cycle = _cycle(by_name)
    if cycle:
        raise _invalid(f"Container dependencies form a cycle: {' -> '.join(cycle)}", "dependsOn")


def _cycle(by_name: Mapping[str, ContainerDefinition]) -> tuple[str, ...]:
    """Names along one cycle of dependencies, the first again last; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if name in path:
            return (*path[path.index(name) :], name)
        if name in done:
            return ()
        container = by_name[name]
        sources = [*(each.container for each in container.volumes_from), *(name for name, _ in link.parsed(container))]
        for following in (*(each.container for each in container.depends_on), *sources):
            found = visit(following, (*path, name))
            if found:
                return found
        done.add(name)
        return ()

    for name in by_name:
        found = visit(name, ())
        if found:
            return found
    return ()


def check_ephemeral_storage(size_gib: int, *, on_fargate: bool) -> None:
    if not on_fargate:
        raise _invalid("Ephemeral storage is only supported for tasks that require FARGATE.", "ephemeralStorage")
    if size_gib not in fargate.EPHEMERAL_STORAGE_GIB:
        raise _invalid("Ephemeral storage size must be between 21 and 200 GiB.", "ephemeralStorage")


def _check_log(log: LogConfiguration) -> None:
    if log.driver != "awslogs" and log.driver not in log_driver.OPTIONS:
        raise fargate.unsupported(f"log driver {log.driver}")
    if log.driver == "awslogs":
        missing = [name for name in ("awslogs-region", "awslogs-group") if name not in log.options]
        if missing:
            raise _invalid(f"Log driver awslogs requires options: {', '.join(missing)}", "logConfiguration")
    known = AWSLOGS_OPTIONS if log.driver == "awslogs" else log_driver.OPTIONS[log.driver]
    unknown = [name for name in log.options if name not in known]
    if unknown:
        raise _invalid(f"Log driver {log.driver} disallows options: {', '.join(unknown)}", "logConfiguration")
    for name, value in log.options.items():
        _check_log_option(log.driver, name, value)
    if log.driver in log_driver.OPTIONS and (found := log_driver.unsupported_of(log.driver, log.options)):
        raise fargate.unsupported(found)


def _check_log_option(driver: str, name: str, value: str) -> None:
    if not value and driver == "awslogs":
        raise _invalid(f"Log driver awslogs option '{name}' should not be null or empty.", "logConfiguration")
    if name == "awslogs-create-group" and value != "true":
        raise _invalid(
            "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
            "logConfiguration",
        )
    if name == "mode" and value not in ("blocking", "non-blocking"):
        raise _invalid(
            f"Log driver {driver} option 'mode' should be one of: blocking, non-blocking.", "logConfiguration"
        )
    if name == "max-buffer-size" and not _BUFFER_SIZE.fullmatch(value):
        raise _invalid(f"Log driver {driver} option 'max-buffer-size' is not a size: '{value}'.", "logConfiguration")
    if name in ("awslogs-datetime-format", "awslogs-multiline-pattern"):
        try:
            LinePattern(pattern_of({name: value}))
        except LinePatternError as error:
            raise _invalid(
                f"Log driver awslogs option '{name}' is invalid: {error}: '{value}'.", "logConfiguration"
            ) from None


def _check_fargate_log(log: LogConfiguration) -> None:
    if log.driver not in fargate.LOG_DRIVERS:
        raise _invalid(
            f"{log.driver} is not a valid log driver. Must be one of [{','.join(fargate.LOG_DRIVERS)}]",
            "logConfiguration",
        )
    if log.driver == "awslogs" and "awslogs-group" in log.options and "awslogs-stream-prefix" not in log.options:
        raise _invalid("Log driver awslogs requires options: awslogs-stream-prefix", "logConfiguration")


def _with_host_ports(container: ContainerDefinition, mode: str) -> ContainerDefinition:
    """The container with every mapping's host port checked and filled in.

    It is the container's own where it shares the network of the host or the task, else 0 (chosen at the start)."""
    if not container.port_mappings:
        return container
    if mode == "none":
        raise _invalid("Port mappings are not supported when networkMode=none.", "portMappings")
    mappings: list[PortMapping] = []
    for mapping in container.port_mappings:
        if not 1 <= mapping.container_port <= 65535:
            raise _invalid_for_container("containerPort", container.name)
        if mapping.last_container_port is not None:
            if mode == "host":
                raise _invalid("Container port ranges are not supported when networkMode=host.", "portMappings")
            if mapping.host_port:
                raise _invalid("A host port can not be given for a containerPortRange.", "portMappings")
        if mapping.host_port is None or mapping.last_container_port is not None:
            mapping = replace(mapping, host_port=0 if mode == "bridge" else mapping.container_port)
        elif not 0 <= mapping.host_port <= 65535:
            raise _invalid_for_container("hostPort", container.name)
        elif mode != "bridge" and mapping.host_port != mapping.container_port:
            raise _invalid(
                f"When networkMode={mode}, the host ports and container ports in port mappings must match.",
                "portMappings",
            )
        mappings.append(mapping)
    if sum(each.last_container_port is not None for each in mappings) > PORT_RANGES_MAX:
        raise _invalid(f"A container can have at most {PORT_RANGES_MAX} port ranges.", "portMappings")
    return replace(container, port_mappings=tuple(mappings))


def _check_ports(containers: Sequence[ContainerDefinition], mode: str) -> None:
    taken: set[tuple[int, str]] = set()
    names: set[str] = set()
    for container in containers:
        own: set[tuple[int, str]] = set()
        for mapping in container.port_mappings:
            for number in mapping.ports:
                port = (number, mapping.protocol)
                if port in own:
                    raise _invalid(
                        f"Container '{container.name}' maps container port {port[0]}/{port[1]} more than once.",
                        "portMappings",
                    )
                own.add(port)
            first = mapping.host_port or 0
            for number in range(first, first + len(mapping.ports)) if first else ():
                on_host = (number, mapping.protocol)
                if on_host in taken:
                    raise _invalid(
                        f"Host port {on_host[0]}/{on_host[1]} is mapped by more than one container "
                        f"of a task definition with networkMode={mode}.",
                        "portMappings",
                    )
                taken.add(on_host)
            if mapping.name is not None:
                if not _PORT_NAME.fullmatch(mapping.name):
                    raise _invalid(f"Invalid port mapping name: '{mapping.name}'.", "portMappings")
                if mapping.name in names:
                    raise _invalid(f"Port mapping names must be unique: '{mapping.name}'.", "portMappings")
                names.add(mapping.name)


def _invalid(message: str, what: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, what)


def _invalid_for_container(field: str, container: str) -> Refused:
    return _invalid(f"Invalid '{field}' setting for container '{container}'.", field)


def _invalid_for_task(field: str) -> Refused:
    return _invalid(
        f"Invalid '{field}' setting for task. "
        "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        field,
    )
