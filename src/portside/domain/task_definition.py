"""What a task definition says, in domain words. Registration's rules live in `task_definition_rule`."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from portside.domain.record import Record, Scope, Tags

NetworkMode = Literal["none", "bridge", "host", "awsvpc"]
Compatibility = Literal["EC2", "FARGATE", "EXTERNAL"]


class TaskDefinitionStatus(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"


class EnvironmentVariable(Record, frozen=True, kw_only=True):
    name: str
    value: str


class PortMapping(Record, frozen=True, kw_only=True):
    """`last_container_port`: of a range that begins with `container_port`; the host's ports are chosen for it."""

    container_port: int
    last_container_port: int | None = None
    host_port: int | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    name: str | None = None
    app_protocol: str | None = None

    @property
    def ports(self) -> range:
        """The container's."""
        return range(self.container_port, (self.last_container_port or self.container_port) + 1)


class Secret(Record, frozen=True, kw_only=True):
    """`value_from`: the ARN or name of a parameter, or the ARN of a secret with its JSON key, version stage and id."""

    name: str
    value_from: str


class LogConfiguration(Record, frozen=True, kw_only=True):
    driver: str
    options: dict[str, str] = {}
    secret_options: tuple[Secret, ...] = ()


class Ulimit(Record, frozen=True, kw_only=True):
    name: str
    soft: int
    hard: int


class DependsOn(Record, frozen=True, kw_only=True):
    container: str
    condition: Literal["START", "COMPLETE", "SUCCESS", "HEALTHY"]


class HealthCheck(Record, frozen=True, kw_only=True):
    """`command` starts with CMD or CMD-SHELL. Source: API_HealthCheck."""

    command: tuple[str, ...]
    interval_s: int = 30
    timeout_s: int = 5
    retries: int = 3
    start_period_s: int | None = None


class RestartPolicy(Record, frozen=True, kw_only=True):
    """Source: API_ContainerRestartPolicy."""

    enabled: bool
    ignored_exit_codes: tuple[int, ...] = ()
    attempt_period_s: int | None = None


class EnvironmentFile(Record, frozen=True, kw_only=True):
    """`value`: the ARN of an S3 object, or, an extension of Portside's, the `file://` address of a file of the host."""

    value: str
    type: str


class Device(Record, frozen=True, kw_only=True):
    host_path: str
    container_path: str | None = None
    permissions: tuple[Literal["read", "write", "mknod"], ...] = ()


class Tmpfs(Record, frozen=True, kw_only=True):
    container_path: str
    size_mib: int
    mount_options: tuple[str, ...] = ()


class LinuxParameters(Record, frozen=True, kw_only=True):
    """Source: API_LinuxParameters."""

    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    init_process_enabled: bool | None = None
    shared_memory_mib: int | None = None
    tmpfs: tuple[Tmpfs, ...] = ()
    max_swap_mib: int | None = None
    swappiness: int | None = None


class SystemControl(Record, frozen=True, kw_only=True):
    """`namespace`: a sysctl by its dotted name."""

    namespace: str
    value: str


class ExtraHost(Record, frozen=True, kw_only=True):
    hostname: str
    address: str


class EfsVolume(Record, frozen=True, kw_only=True):
    """A directory of a file system of EFS. `transit_encryption` and `iam` are ENABLED, DISABLED or not given."""

    file_system_id: str
    root_directory: str = ""
    transit_encryption: str | None = None
    transit_encryption_port: int | None = None
    access_point_id: str = ""
    iam: str | None = None

    @property
    def is_encrypted_in_transit(self) -> bool:
        return self.transit_encryption == "ENABLED"


class DockerVolume(Record, frozen=True, kw_only=True):
    """A volume as Docker has them on a container instance. Scope `shared`: it outlives the task, by its name."""

    scope: Literal["task", "shared"] = "task"
    autoprovision: bool | None = None
    driver: str | None = None
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}


class Volume(Record, frozen=True, kw_only=True):
    """Storage that containers of one task share. Without a source it is empty at first, and gone with the task.

    `host_path`: a path of the container instance."""

    name: str
    efs: EfsVolume | None = None
    host_path: str = ""
    docker: DockerVolume | None = None
    is_configured_at_launch: bool = False  # a volume of EBS, of which the launch says more

    @property
    def is_of_instance(self) -> bool:
        """Whether it is there on container instances only."""
        return bool(self.host_path) or self.docker is not None


class MountPoint(Record, frozen=True, kw_only=True):
    volume: str
    container_path: str
    read_only: bool = False


class VolumesFrom(Record, frozen=True, kw_only=True):
    """All mount points of another container."""

    container: str
    read_only: bool = False


class ContainerDefinition(Record, frozen=True, kw_only=True):
    """One container of a task. `cpu_units`: 1024 is one vCPU; None or 0 means no share asked for."""

    name: str
    image: str
    essential: bool = True
    cpu_units: int = 0
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None
    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: tuple[EnvironmentVariable, ...] = ()
    working_directory: str | None = None
    user: str | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    log: LogConfiguration | None = None
    depends_on: tuple[DependsOn, ...] = ()
    start_timeout_s: int | None = None
    stop_timeout_s: int | None = None
    readonly_root_filesystem: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    docker_labels: dict[str, str] = {}
    health_check: HealthCheck | None = None
    restart_policy: RestartPolicy | None = None
    repository_credentials: str | None = None  # a secret with user name and password
    environment_files: tuple[EnvironmentFile, ...] = ()
    secrets: tuple[Secret, ...] = ()
    linux: LinuxParameters | None = None
    system_controls: tuple[SystemControl, ...] = ()
    version_consistency: Literal["enabled", "disabled"] | None = None
    links: tuple[str, ...] = ()
    hostname: str | None = None
    disable_networking: bool = False
    privileged: bool = False
    dns_servers: tuple[str, ...] = ()
    dns_search_domains: tuple[str, ...] = ()
    extra_hosts: tuple[ExtraHost, ...] = ()
    docker_security_options: tuple[str, ...] = ()
    interactive: bool = False
    pseudo_terminal: bool = False
    mount_points: tuple[MountPoint, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()


class TaskDefinition(Record, frozen=True, kw_only=True):
    """One revision. `cpu_units` and `memory_mib` are the task's own limits (always there on Fargate)."""

    scope: Scope
    family: str
    revision: int
    containers: tuple[ContainerDefinition, ...]
    volumes: tuple[Volume, ...] = ()
    network_mode: NetworkMode = "bridge"
    cpu_units: int | None = None
    memory_mib: int | None = None
    requires: tuple[Compatibility, ...] = ()
    compatibilities: tuple[Compatibility, ...] = ()
    task_role_arn: str | None = None
    execution_role_arn: str | None = None
    ephemeral_storage_gib: int | None = None
    cpu_architecture: Literal["X86_64", "ARM64"] | None = None
    operating_system_family: str | None = None
    pid_mode: Literal["host", "task"] | None = None
    ipc_mode: Literal["host", "task", "none"] | None = None
    placement_expressions: tuple[str, ...] = ()  # of its placement constraints, all memberOf
    tags: Tags = ()
    status: TaskDefinitionStatus = TaskDefinitionStatus.ACTIVE
    registered_at: datetime
    registered_by: str
    deregistered_at: datetime | None = None
    delete_requested_at: datetime | None = None

    @property
    def name(self) -> str:
        """`family:revision`."""
        return f"{self.family}:{self.revision}"


class TaskDefinitionFamily(Record, frozen=True, kw_only=True):
    """The revisions of one family at a glance, so that neither a new revision nor the latest one needs a scan.

    `last_revision` never goes back: AWS does not give a revision number twice. `latest_active` is what the family's
    bare name stands for (None: no ACTIVE revision). Written in one commit with the revision it speaks of."""

    scope: Scope
    family: str
    last_revision: int
    latest_active: int | None
