"""The task: what is desired of it, what is known of it, the facts that arrive and the effects that are asked for.

*Desired* (`desired_status`, `stop`) is written by the API and the service scheduler only; everything else is *known*,
folded in by `machine.observe`. Effects carry all that the node needs, so a node may be another machine.
"""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Literal

from portside.domain.file_system import CreationInfo, PosixUser
from portside.domain.managed_volume import ManagedVolume
from portside.domain.record import Record, Scope, Tags
from portside.domain.task_definition import ContainerDefinition, Volume


class TaskStatus(IntEnum):
    """Ordered as AWS's life cycle is; a task's last status never goes back. `.name` is AWS's word."""

    PROVISIONING = 0
    PENDING = 1
    ACTIVATING = 2
    RUNNING = 3
    DEACTIVATING = 4
    STOPPING = 5
    DEPROVISIONING = 6
    STOPPED = 7


class StopCode(StrEnum):
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html, stopCode."""

    TASK_FAILED_TO_START = "TaskFailedToStart"
    ESSENTIAL_CONTAINER_EXITED = "EssentialContainerExited"
    USER_INITIATED = "UserInitiated"
    SERVICE_SCHEDULER_INITIATED = "ServiceSchedulerInitiated"
    SPOT_INTERRUPTION = "SpotInterruption"
    TERMINATION_NOTICE = "TerminationNotice"


class HealthStatus(StrEnum):
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html, healthStatus."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class Stop(Record, frozen=True, kw_only=True):
    """Why a task ends. The first one counts; later ones change nothing."""

    code: StopCode
    reason: str
    at: datetime


class EniAttachment(Record, frozen=True, kw_only=True):
    """The network interface of an awsvpc task, as allocated in the store (kind `eni`)."""

    eni_id: str
    subnet_id: str
    vpc_id: str
    zone: str
    address: str
    prefix_length: int
    gateway: str
    mac_address: str
    private_dns_name: str
    security_group_ids: tuple[str, ...]
    public_address: str | None = None
    secondary_addresses: tuple[str, ...] = ()


class NetworkRequest(Record, frozen=True, kw_only=True):
    """What RunTask or the service asked for (awsvpc)."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...] = ()
    default_security_group: bool = False  # none was named: the ids are the VPC's default group, not shown as asked for
    assign_public_ip: bool = False


class PortBinding(Record, frozen=True, kw_only=True):
    """A port of an instance that leads to a container's; of a range, the first of `count` in a row."""

    container: str
    container_port: int
    host_port: int
    count: int | None = None
    protocol: Literal["tcp", "udp"] = "tcp"

    @property
    def host_ports(self) -> range:
        return range(self.host_port, self.host_port + (self.count or 1))


class BridgeEndpoint(Record, frozen=True, kw_only=True):
    """A container's address on its instance's bridge."""

    container: str
    address: str


class Placement(Record, frozen=True, kw_only=True):
    """Where a task on a container instance is, and what it has of the instance's network. Decided once, before it
    starts, together with all that is placed there: so nothing is given out twice."""

    container_instance: str  # its id
    instance_id: str
    zone: str
    address: str
    private_dns_name: str
    vpc_id: str = ""
    endpoints: tuple[BridgeEndpoint, ...] = ()  # bridge mode
    bindings: tuple[PortBinding, ...] = ()  # bridge and host mode


class TargetRef(Record, frozen=True, kw_only=True):
    """A target group the service registers this task in, by container and port. `host_port`: the instance's that leads
    there, once that is known (bridge and host mode). `load_balancer_name`: of a Classic Load Balancer, in which the
    task's instance is registered; the group is then what leads to the host port."""

    target_group_arn: str
    container_name: str
    container_port: int
    host_port: int | None = None
    load_balancer_name: str = ""

    @property
    def port(self) -> int:
        return self.container_port if self.host_port is None else self.host_port

    @property
    def place(self) -> str:
        """As events and reasons name it."""
        if self.load_balancer_name:
            return f"(elb {self.load_balancer_name})"
        return f"(target-group {self.target_group_arn})"


class RegistryRef(Record, frozen=True, kw_only=True):
    """A service of Cloud Map in which the service registers this task. The port is given as such, or by container and
    port, or not at all."""

    registry_arn: str
    port: int | None = None
    container_name: str | None = None
    container_port: int | None = None

    @property
    def service_id(self) -> str:
        return self.registry_arn.rpartition("/")[2]


class EbsAttachment(Record, frozen=True, kw_only=True):
    """The volume of EBS that was made for the task (kind `ebs_volume`)."""

    volume_id: str
    zone: str


class Exit(Record, frozen=True, kw_only=True):
    """How a container ended. `code` is None if it never ran; signals are 128 + n, as Docker reports them."""

    code: int | None
    reason: str | None = None
    at: datetime


class SecretPin(Record, frozen=True, kw_only=True):
    """The version in which a task has read a secret or parameter: a version's id, or `name:version`."""

    value_from: str
    version: str


class LostOutput(Record, frozen=True, kw_only=True):
    """What a container wrote that was given up because its log store took nothing and the buffer was full."""

    lines: int
    size_bytes: int
    since: datetime


class ContainerHistory(Record, frozen=True, kw_only=True):
    """What is known of one container of the task. Written by facts only."""

    name: str
    runtime_id: str
    pull_asked_at: datetime | None = None
    image_digest: str | None = None
    secret_versions: tuple[SecretPin, ...] = ()  # that its first run began with
    pulled_at: datetime | None = None
    start_issued_at: datetime | None = None
    started_at: datetime | None = None
    health: HealthStatus = HealthStatus.UNKNOWN
    signalled_at: datetime | None = None
    kill_issued_at: datetime | None = None
    restarts: int = 0  # the number of its present run, by its restart policy
    down: Exit | None = None  # how its last run ended, from then until the next one has started
    restart_issued_at: datetime | None = None
    restarted_at: datetime | None = None
    exit: Exit | None = None
    removed_at: datetime | None = None
    lost_output: LostOutput | None = None


class Retry(Record, frozen=True, kw_only=True):
    """An effect that failed for a passing cause: how often, and when it may be tried again."""

    effect: str  # the effect's class
    key: str
    attempts: int
    not_before: datetime


class Moment(Record, frozen=True, kw_only=True):
    """One line of a task's story: a fact or an effect, when, and in a few words."""

    at: datetime
    what: str
    detail: str = ""


class Task(Record, frozen=True, kw_only=True):
    """One task. Container definitions are those of the revision with the overrides of RunTask applied."""

    # identity and desired: written at creation
    scope: Scope
    cluster: str
    id: str
    task_definition_arn: str
    family: str
    revision: int
    group: str
    launch_type: Literal["FARGATE", "EC2"]
    platform_version: str = "1.4.0"
    cpu_units: int | None = None
    memory_mib: int | None = None
    ephemeral_storage_gib: int = 20
    network_mode: Literal["none", "bridge", "host", "awsvpc"] = "awsvpc"
    cpu_architecture: Literal["X86_64", "ARM64"] | None = None
    pid_mode: Literal["host", "task"] | None = None
    ipc_mode: Literal["host", "task", "none"] | None = None
    network: NetworkRequest | None = None
    placement: Placement | None = None  # on a container instance; None on Fargate
    placement_expressions: tuple[str, ...] = ()  # the task definition's placement constraints
    containers: tuple[ContainerDefinition, ...]
    volumes: tuple[Volume, ...] = ()
    managed_volume: ManagedVolume | None = None  # the one of EBS that it gets
    image_digests: dict[str, str] = {}  # container -> the digest that its deployment is held to
    overrides_json: str = "{}"  # as given, in AWS's shape, only to be shown again
    task_role_arn: str | None = None
    execution_role_arn: str | None = None
    started_by: str | None = None
    reference_id: str | None = None  # whoever asked for the task calls it so; it decides nothing
    service: str | None = None  # service name, when a service's scheduler made it
    deployment_id: str | None = None
    targets: tuple[TargetRef, ...] = ()
    registries: tuple[RegistryRef, ...] = ()
    enable_execute_command: bool = False
    tags: Tags = ()
    created_at: datetime
    cause_id: str  # request id or fact that led to this task
    capacity_provider: str | None = None  # when a capacity provider strategy chose the launch type
    client_token: str | None = None  # RunTask is idempotent by it
    request_digest: str = ""  # tells a repetition from another request with the same token

    # desired: written by the API and the schedulers
    stop: Stop | None = None
    pace: float = 1.0  # at which the time runs that an interruption leaves it
    protected_until: datetime | None = None  # the service scheduler spares it on scale-in and deployments

    # known: written by observe()
    last_status: TaskStatus = TaskStatus.PROVISIONING
    version: int = 1
    attachment_id: str = ""
    eni_asked_at: datetime | None = None
    eni: EniAttachment | None = None
    network_issued_at: datetime | None = None
    network_ready_at: datetime | None = None
    network_released_at: datetime | None = None
    eni_released_at: datetime | None = None
    volumes_released_at: datetime | None = None
    ebs_attachment_id: str = ""
    ebs_asked_at: datetime | None = None
    ebs: EbsAttachment | None = None
    ebs_attach_issued_at: datetime | None = None
    ebs_attached_at: datetime | None = None
    ebs_detached_at: datetime | None = None
    ebs_released_at: datetime | None = None
    ebs_failure: str = ""  # why it could not be made or attached
    targets_issued_at: datetime | None = None
    targets_registered_at: datetime | None = None
    targets_drained_at: datetime | None = None
    history: tuple[ContainerHistory, ...] = ()
    retries: tuple[Retry, ...] = ()
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None
    connectivity_at: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    execution_stopped_at: datetime | None = None
    stopped_at: datetime | None = None
    story: tuple[Moment, ...] = ()

    @property
    def key(self) -> str:
        """`account/region/cluster/id`: unlike in AWS's ARN-less ids, the cluster is always part of it."""
        return f"{self.scope.account}/{self.scope.region}/{self.cluster}/{self.id}"

    @property
    def desired_status(self) -> TaskStatus:
        return TaskStatus.STOPPED if self.stop is not None else TaskStatus.RUNNING


# --- effects --------------------------------------------------------------------------------------------------------
# `key` names the resource an effect works on: the executor never runs two effects with one key at once.


class TaskEffect(Record, tag=True, frozen=True, kw_only=True):
    task_key: str

    @property
    def key(self) -> str:
        return type(self).__name__


class AllocateEni(TaskEffect, frozen=True, kw_only=True):
    """Control plane: take an address in one of the subnets and record an ENI. -> EniAllocated | StartFailed"""

    request: NetworkRequest


class CreateNetwork(TaskEffect, frozen=True, kw_only=True):
    """Node: the task's network namespace with its interface, addresses, routes and groups (`eni`), or what it has of
    its instance's network. Idempotent. -> NetworkReady | StartFailed"""

    eni: EniAttachment | None
    placement: Placement | None = None

    @property
    def key(self) -> str:
        return "network"


class ReleaseNetwork(TaskEffect, frozen=True, kw_only=True):
    """Node: nothing of the task's network is left. Idempotent. -> NetworkReleased"""

    eni: EniAttachment | None
    placement: Placement | None = None

    @property
    def key(self) -> str:
        return "network"


class ReleaseEni(TaskEffect, frozen=True, kw_only=True):
    """Control plane: delete the ENI's record, free its address. -> EniReleased

    `eni` is None where it was asked for but no answer is known (a crash in between): all the task owns is released."""

    eni: EniAttachment | None

    @property
    def key(self) -> str:
        return "AllocateEni"


class _ContainerEffect(TaskEffect, frozen=True, kw_only=True):
    container: str
    runtime_id: str

    @property
    def key(self) -> str:
        return f"container/{self.container}"


class Login(Record, frozen=True, kw_only=True):
    """How a registry is entered. In memory only; it does not show itself."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Login(…)"


class PullImage(_ContainerEffect, frozen=True, kw_only=True):
    """Node: the image is present. -> ImagePulled | StartFailed"""

    image: str
    digest: str = ""  # the very image; "" for whatever the name stands for
    cpu_architecture: Literal["X86_64", "ARM64"] | None = None  # what the task definition's runtimePlatform asks for
    pull_anew: bool = False
    login: Login | None = None  # never planned: put in when the effect is run


class FileMount(Record, frozen=True, kw_only=True):
    """A volume that is a directory of a file system of EFS. `creation`: how it is made if it is not there yet;
    `posix_user`: whom all that the container does there is done by. `squashes_root`: root in the container is nobody
    there, whatever the POSIX user is."""

    volume: str
    file_system_id: str
    path: str
    creation: CreationInfo | None = None
    posix_user: PosixUser | None = None
    is_read_only: bool = False
    squashes_root: bool = False


class InstanceMount(Record, frozen=True, kw_only=True):
    """A volume that is of a container instance.

    `path`: one of its file system, made as a directory if nothing is there, unless it `must_exist`. `folder`: a Docker
    volume that outlives tasks, by its `id`. `tmpfs`: one in memory, with its options in `data`, as long as a task has
    it. `mount`: a mount of type `file_system` of `path`, as long. `task`: one of the task's own, on its disk. All but a
    path begin with what the image has there.
    `flags`: of the mount."""

    volume: str
    instance_id: str
    kind: Literal["path", "folder", "tmpfs", "mount", "task"] = "path"
    path: str = ""
    file_system: str = ""
    must_exist: bool = False
    id: str = ""
    data: str = ""
    flags: tuple[str, ...] = ()


class EbsMount(Record, frozen=True, kw_only=True):
    """A volume that is one of EBS, attached to the task."""

    volume: str
    volume_id: str
    file_system: str


class StartContainer(_ContainerEffect, frozen=True, kw_only=True):
    """Node: root file system, cgroups, log stream, process. -> ContainerStarted | StartFailed

    A restart (1 or more) runs the same container anew: what it wrote is there, and its log stream goes on.

    If it can not tell whether the container was started before (after a crash), it makes sure that it is gone first."""

    scope: Scope
    definition: ContainerDefinition
    image_digest: str
    task_cpu_units: int | None
    task_memory_mib: int | None
    ephemeral_storage_gib: int
    network_mode: str
    pid_mode: str | None = None
    ipc_mode: str | None = None
    eni: EniAttachment | None
    placement: Placement | None = None
    task_arn: str
    cluster: str
    family: str
    revision: int
    restart: int = 0
    credentials_path: str = ""  # where in its VPC the task's role is; "" without a role
    ebs_mount: EbsMount | None = None
    file_mounts: tuple[FileMount, ...] = ()  # never planned: put in when the effect is run
    instance_mounts: tuple[InstanceMount, ...] = ()  # as above


class SignalContainer(_ContainerEffect, frozen=True, kw_only=True):
    """Node: send the image's STOPSIGNAL (else SIGTERM) to the container's process 1. -> ContainerSignalled, or
    ContainerExited (with what is known of its exit) if no such container runs."""


class KillContainer(_ContainerEffect, frozen=True, kw_only=True):
    """Node: SIGKILL to every process of the container. -> ContainerKilled; its exit arrives as ContainerExited. If no
    such container runs the answer itself is ContainerExited: a lost notice of an exit costs five seconds, no more."""


class RemoveContainer(_ContainerEffect, frozen=True, kw_only=True):
    """Node: no process, cgroup, mount or directory of the container is left; its log is forwarded to the last line.
    Idempotent; safe for a container that never was. -> ContainerRemoved"""


class ReleaseVolumes(TaskEffect, frozen=True, kw_only=True):
    """Node: nothing of the task's volumes is left. Idempotent. -> VolumesReleased"""

    @property
    def key(self) -> str:
        return "volumes"


class _EbsEffect(TaskEffect, frozen=True, kw_only=True):
    @property
    def key(self) -> str:
        return "ebs"


class CreateEbsVolume(_EbsEffect, frozen=True, kw_only=True):
    """Control plane: a volume of EBS that is the task's, in its zone, empty or from a snapshot.
    -> EbsVolumeCreated | EbsVolumeFailed"""

    request: ManagedVolume
    zone: str


class AttachEbsVolume(_EbsEffect, frozen=True, kw_only=True):
    """Node: the volume is a device with a file system, made if it is empty. Idempotent.
    -> EbsVolumeAttached | EbsVolumeFailed"""

    volume_id: str
    file_system: str


class DetachEbsVolume(_EbsEffect, frozen=True, kw_only=True):
    """Node: the volume is no device any more, all that was written is in its file. Idempotent. -> EbsVolumeDetached"""

    volume_id: str


class ReleaseEbsVolume(_EbsEffect, frozen=True, kw_only=True):
    """Control plane: the volume is nobody's, or is deleted, as its termination policy says. -> EbsVolumeReleased"""


class RegisterTargets(TaskEffect, frozen=True, kw_only=True):
    """Control plane: the task is a target in its groups, by its address or its instance's id, and an instance in its
    registries. -> TargetsRegistered"""

    targets: tuple[TargetRef, ...]
    address: str

    @property
    def key(self) -> str:
        return "targets"


class DrainTargets(TaskEffect, frozen=True, kw_only=True):
    """Control plane: deregister from registries and groups, and wait until drained (at most the deregistration delay).
    -> TargetsDrained"""

    targets: tuple[TargetRef, ...]
    address: str

    @property
    def key(self) -> str:
        return "targets"


Effect = (
    AllocateEni
    | CreateNetwork
    | ReleaseNetwork
    | ReleaseEni
    | PullImage
    | StartContainer
    | SignalContainer
    | KillContainer
    | RemoveContainer
    | ReleaseVolumes
    | CreateEbsVolume
    | AttachEbsVolume
    | DetachEbsVolume
    | ReleaseEbsVolume
    | RegisterTargets
    | DrainTargets
)
NodeEffect = (
    CreateNetwork
    | ReleaseNetwork
    | PullImage
    | StartContainer
    | SignalContainer
    | KillContainer
    | RemoveContainer
    | ReleaseVolumes
    | AttachEbsVolume
    | DetachEbsVolume
)

# --- facts ----------------------------------------------------------------------------------------------------------


class Fact(Record, tag=True, frozen=True, kw_only=True):
    """Something that happened to a task, in the past tense. Late and repeated facts change nothing."""


class EniAsked(Fact, frozen=True, kw_only=True):
    """Intent of AllocateEni: from here on the task may own an ENI."""


class EniAllocated(Fact, frozen=True, kw_only=True):
    eni: EniAttachment


class NetworkIssued(Fact, frozen=True, kw_only=True):
    """Intent: CreateNetwork is about to run; from here on the network may exist."""


class NetworkReady(Fact, frozen=True, kw_only=True):
    pass


class NetworkReleased(Fact, frozen=True, kw_only=True):
    pass


class VolumesReleased(Fact, frozen=True, kw_only=True):
    pass


class EbsVolumeAsked(Fact, frozen=True, kw_only=True):
    """Intent of CreateEbsVolume: from here on a volume may be the task's."""


class EbsVolumeCreated(Fact, frozen=True, kw_only=True):
    ebs: EbsAttachment


class EbsAttachIssued(Fact, frozen=True, kw_only=True):
    """Intent of AttachEbsVolume: from here on the volume may be a device."""


class EbsVolumeAttached(Fact, frozen=True, kw_only=True):
    pass


class EbsVolumeFailed(Fact, frozen=True, kw_only=True):
    """The volume can not be made or attached: so the task can not start."""

    reason: str


class EbsVolumeDetached(Fact, frozen=True, kw_only=True):
    pass


class EbsVolumeReleased(Fact, frozen=True, kw_only=True):
    pass


class EniReleased(Fact, frozen=True, kw_only=True):
    pass


class ImagePullStarted(Fact, frozen=True, kw_only=True):
    """Intent of PullImage."""

    container: str


class ImagePulled(Fact, frozen=True, kw_only=True):
    """`how`: what was fetched, from where and in which time, in a few words; empty if the image was there.
    `secret_versions`: of the container's secrets, read before (the task loop fills it in)."""

    container: str
    digest: str
    how: str = ""
    secret_versions: tuple[SecretPin, ...] = ()


class StartIssued(Fact, frozen=True, kw_only=True):
    """Intent of StartContainer: from here on the container may exist."""

    container: str
    restart: int = 0


class ContainerStarted(Fact, frozen=True, kw_only=True):
    container: str
    pid: int
    restart: int = 0


class StartFailed(Fact, frozen=True, kw_only=True):
    """A phase before RUNNING failed for good. `reason` is AWS's wording plus the cause ("CannotPullContainerError: …").
    `container` is None where it concerns the whole task."""

    reason: str
    container: str | None = None
    exit_code: int | None = None


class EffectFailed(Fact, frozen=True, kw_only=True):
    """An effect failed for a passing cause; it is planned again, not before `retry_at`.

    `effect` is its class (the task loop fills it in); the wait at least doubles with each failure (`backoff`)."""

    effect_key: str
    reason: str
    retry_at: datetime
    effect: str = ""


class ContainerSignalled(Fact, frozen=True, kw_only=True):
    container: str


class KillIssued(Fact, frozen=True, kw_only=True):
    container: str


class ContainerKilled(Fact, frozen=True, kw_only=True):
    container: str


class ContainerExited(Fact, frozen=True, kw_only=True):
    """`exit_code` None: it is gone and nobody saw how. `oom_killed`: the kernel killed it for memory.
    `restart`: which of its runs ended; None if that is not known, and it does not run."""

    container: str
    exit_code: int | None
    oom_killed: bool = False
    exited_at: datetime | None = None
    restart: int | None = None


class ContainerHealthChanged(Fact, frozen=True, kw_only=True):
    """What the container's health check says now; `output`: the beginning of what it wrote."""

    container: str
    status: HealthStatus
    output: str = ""


class ContainerOutputLost(Fact, frozen=True, kw_only=True):
    """`lost`: all that has been given up of the container's output by now."""

    container: str
    lost: LostOutput


class ContainerRemoved(Fact, frozen=True, kw_only=True):
    container: str


class TargetsIssued(Fact, frozen=True, kw_only=True):
    """Intent of RegisterTargets: from here on the task's address may be a target."""


class TargetsRegistered(Fact, frozen=True, kw_only=True):
    pass


class TargetsDrained(Fact, frozen=True, kw_only=True):
    pass


AnyFact = (
    EniAsked
    | EniAllocated
    | NetworkIssued
    | NetworkReady
    | NetworkReleased
    | VolumesReleased
    | EbsVolumeAsked
    | EbsVolumeCreated
    | EbsAttachIssued
    | EbsVolumeAttached
    | EbsVolumeFailed
    | EbsVolumeDetached
    | EbsVolumeReleased
    | EniReleased
    | ImagePullStarted
    | ImagePulled
    | StartIssued
    | ContainerStarted
    | StartFailed
    | EffectFailed
    | ContainerSignalled
    | KillIssued
    | ContainerKilled
    | ContainerExited
    | ContainerHealthChanged
    | ContainerOutputLost
    | ContainerRemoved
    | TargetsIssued
    | TargetsRegistered
    | TargetsDrained
)


class Planned(Record, frozen=True, kw_only=True):
    """An effect to run now, and the intent to record before it runs (None: running it twice does no harm)."""

    effect: Effect
    intent: AnyFact | None = None


class Plan(Record, frozen=True, kw_only=True):
    effects: tuple[Planned, ...] = ()
    wake_at: datetime | None = None
