"""The contract between the control plane and a machine that runs tasks.

A node executes effects and reports facts; it decides nothing. It knows nothing of the store, so it may be another
machine. `tests/conformance/test_node.py` runs against the real one and the fake of `portside.testing`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from portside.domain.flow import Flow, FlowCounts, FlowOwner
from portside.domain.image import MachineImage, PullProgress
from portside.domain.task.record import AnyFact, EniAttachment, NodeEffect, Task
from portside.domain.usage import Usage
from portside.domain.vpc import NetworkAclEntry, SecurityGroup, Subnet, Vpc
from portside.domain.vpc_route import ResolvedRoute

FactListener = Callable[[str, AnyFact], None]
"""Called with (task key, fact) on the event loop, for facts that answer no effect (ContainerExited)."""


@dataclass(frozen=True, kw_only=True)
class EniConfig:
    """An interface that is not a task's own: a load balancer's leg in a subnet. `public_address`: of a load balancer's;
    a NAT gateway's is with its configuration. `keeps_clients`: the load balancer's proxy sends as its clients."""

    eni_id: str
    vpc_id: str
    address: str
    prefix_length: int
    gateway: str
    mac_address: str
    security_group_ids: tuple[str, ...]
    public_address: str | None = None
    keeps_clients: bool = False


@dataclass(frozen=True, kw_only=True)
class SubnetConfig:
    """What packets of a subnet's interfaces meet: routes to elsewhere, and the list's entries in order (None: none)."""

    subnet: Subnet
    routes: tuple[ResolvedRoute, ...] = ()
    acl: tuple[NetworkAclEntry, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class NatConfig:
    """A NAT gateway's interface; `public_address` None for one without."""

    nat_gateway_id: str
    eni: EniConfig
    public_address: str | None


@dataclass(frozen=True, kw_only=True)
class VpcConfig:
    """All that the data plane of one VPC needs to be right, level-triggered."""

    vpc: Vpc
    subnets: tuple[SubnetConfig, ...]
    security_groups: tuple[SecurityGroup, ...]
    nat_gateways: tuple[NatConfig, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InstanceConfig:
    """A container instance: a network namespace with its interface, and a cgroup for the tasks on it.

    `further_enis`: those attached besides, by device index, from 1."""

    instance_id: str
    eni: EniAttachment
    further_enis: Mapping[int, EniAttachment] = field(default_factory=dict)
    cpu_units: int
    memory_mib: int


class ExecSession(Protocol):
    """A process at a terminal inside a running container."""

    async def read(self) -> bytes:
        """What it wrote next; empty once it has ended."""
        ...

    async def write(self, data: bytes) -> None: ...

    def resize(self, rows: int, columns: int) -> None: ...

    async def wait(self) -> int:
        """Its exit code; for a signal 128 and its number."""
        ...

    async def close(self) -> None:
        """The process and what it started are ended, nothing is left. Idempotent; every session is closed once."""
        ...


class Node(Protocol):
    async def start(self, listener: FactListener) -> None:
        """Prepare the machine (directories, cgroups, seccomp profile). Raises NodeUnusable with what to mend."""
        ...

    async def recover(self, tasks: Sequence[Task]) -> list[tuple[str, AnyFact]]:
        """Look at what runs, against the live tasks of the store.

        Returns: facts about these tasks (ContainerStarted, ContainerExited with the code of exits that happened
        meanwhile, …). Containers still running are watched from here on.
        Effects: whatever belongs to this instance and to no live task is removed.
        """
        ...

    async def execute(self, effect: NodeEffect) -> AnyFact:
        """Carry out one effect. Never raises but CancelledError: a failure is StartFailed (for good, in AWS's words) or
        EffectFailed (passing)."""
        ...

    async def apply_vpc(self, config: VpcConfig) -> None:
        """Make the VPC's namespace and security groups as given; idempotent, cheap if nothing changed."""
        ...

    async def remove_vpc(self, vpc_id: str) -> None: ...

    async def retain_vpcs(self, vpc_ids: Collection[str]) -> None:
        """Remove the networks of VPCs that are none of these: left by an end between a deletion and its effect."""
        ...

    async def apply_balancer_network(self, name: str, vpc_id: str, enis: Sequence[EniConfig]) -> str:
        """A network namespace for a load balancer with one interface per ENI. Idempotent.

        Returns: the path of the pinned namespace, for Envoy's `network_namespace_filepath`."""
        ...

    async def remove_balancer_network(self, name: str) -> None: ...

    async def apply_flows(self, vpc_id: str, flows: Sequence[Flow]) -> None:
        """The VPC's router leads these flows to their targets, and no others; those that stand go on. Idempotent."""
        ...

    async def flow_counts(self) -> Mapping[FlowOwner, FlowCounts]:
        """Numbers begin anew when a VPC's rules are written anew."""
        ...

    async def standing_flows(self, target_group_arn: str) -> Mapping[tuple[str, int], int]:
        """How many flows that the router leads are open, by address and port of their target."""
        ...

    async def end_flows(self, target_group_arn: str, address: str, port: int) -> None:
        """A target's flows are over: what comes next of them is reset or begins anew. Idempotent."""
        ...

    async def apply_instance(self, config: InstanceConfig) -> None:
        """Make the instance's namespace and cgroup as given; idempotent, cheap if nothing changed. Its VPC is there."""
        ...

    async def remove_instance(self, instance_id: str, eni: EniAttachment | None) -> None:
        """Nothing of the instance is left. No task is on it any more. Idempotent. Raises OSError, to be tried again."""
        ...

    async def accepts_connections(self, netns_path: str, address: str, port: int) -> bool:
        """Whether a TCP connection from that namespace to the address is accepted within a second. Sends no byte."""
        ...

    def ephemeral_storage(self, task_id: str) -> tuple[int, int] | None:
        """Bytes that the task's containers have written together, and how many they may. None: no limit is enforced, or
        the task has no container here."""
        ...

    async def usage(self, runtime_id: str) -> Usage | None:
        """What a container uses. None: no such container runs here."""
        ...

    def process(self, runtime_id: str) -> int | None:
        """The container's first process, as the machine numbers it. None: no such container runs here."""
        ...

    def pulls(self) -> Sequence[PullProgress]:
        """Images that are being pulled at this moment."""
        ...

    async def images(self) -> Sequence[MachineImage]:
        """All images of the machine. Raises OSError if they can not be told."""
        ...

    async def image_disk_percent(self) -> float:
        """How full the file system of the images is. Raises OSError."""
        ...

    async def note_image_use(self, last_uses: Mapping[str, datetime], in_use: Collection[str], as_of: datetime) -> None:
        """Keep for good when images were last used, and tell the machine's other instances which ones are in use.

        Args:
            last_uses: digest -> when a task last had that image.
            in_use: ids of images, as things were at `as_of`."""
        ...

    async def remove_image(self, image_id: str, names: Collection[str] | None = None, *, as_of: datetime) -> int:
        """Take names away from an image; with its last name it goes, but for layers that others have, too.

        Args:
            names: by default those that Portside gave it.
            as_of: when it was decided: it stays if it was given to a task since.
        Returns: bytes of the layers that are gone.
        Raises: ImageInUse.
        """
        ...

    async def open_exec(self, task_key: str, container: str, command: Sequence[str]) -> ExecSession:
        """Run a command as root in a running container, at a terminal. Raises OSError with the reason.

        It ends with the container, and when the node is closed."""
        ...

    async def close(self) -> None:
        """Stop watching. Containers and networks go on."""
        ...


class NodeUnusable(Exception):
    """The machine can not run containers; the message says what is missing and how to mend it."""


class ImageInUse(Exception):
    """The image may not be removed; the message says why."""
