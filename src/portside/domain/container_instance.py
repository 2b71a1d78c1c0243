"""Container instances: EC2 instances that have joined a cluster, with what tasks may use of them."""

from datetime import datetime
from typing import Final, Literal

from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import Instance
from portside.domain.record import Record, Scope, Tags
from portside.domain.user_data import AgentConfiguration

AGENT_PORTS: Final = (51678, 51679)
RESERVED_PORTS: Final = (22, 2376, 2375, *AGENT_PORTS)
"""For SSH, Docker and the agent. Source: API_PortMapping, hostPort."""
RESERVED_PORTS_UDP: Final[tuple[int, ...]] = ()


class Attribute(Record, frozen=True, kw_only=True):
    """`value` None: the attribute says something by being there."""

    name: str
    value: str | None = None


class ContainerInstance(Record, frozen=True, kw_only=True):
    """`status` is what the API asked for; whether its instance can be talked to is `agent_connected`."""

    scope: Scope
    cluster: str
    id: str
    instance_id: str
    instance_type: str
    cpu_units: int
    memory_mib: int
    interfaces: int  # network interfaces that tasks may have on it
    vpc_id: str
    subnet_id: str
    zone: str
    address: str
    private_dns_name: str
    reserved_ports: tuple[int, ...] = RESERVED_PORTS
    reserved_ports_udp: tuple[int, ...] = RESERVED_PORTS_UDP
    status: Literal["ACTIVE", "DRAINING"] = "ACTIVE"
    agent_connected: bool = True
    attributes: tuple[Attribute, ...] = ()
    tags: Tags = ()
    version: int = 1
    registered_at: datetime

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.cluster}/{self.id}"

    def attribute(self, name: str) -> Attribute | None:
        return next((each for each in self.attributes if each.name == name), None)


CAPABILITIES: Final = (
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.syslog",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.docker-plugin.local",
    "ecs.capability.env-files.s3",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
)
"""Those of the agent's that are true here."""


def registered(
    instance: Instance,
    *,
    cluster: str,
    new_id: str,
    private_dns_name: str,
    configuration: AgentConfiguration,
    architecture: str,
    interfaces_taken: int,
    now: datetime,
) -> ContainerInstance:
    """The container instance that an instance becomes in a cluster.

    Args:
        configuration: from its user data. architecture: in AWS's words.
        interfaces_taken: those that it has itself.
    """
    kind = INSTANCE_TYPES[instance.instance_type]
    own = {
        "ecs.ami-id": instance.image_id,
        "ecs.availability-zone": instance.zone,
        "ecs.cpu-architecture": architecture,
        "ecs.instance-type": instance.instance_type,
        "ecs.os-family": "LINUX",
        "ecs.os-type": "linux",
        "ecs.subnet-id": instance.subnet_id,
        "ecs.vpc-id": instance.vpc_id,
    }
    values = {**configuration.attributes, **own}
    ports, ports_udp = configuration.reserved_ports, configuration.reserved_ports_udp
    return ContainerInstance(
        scope=instance.scope,
        cluster=cluster,
        id=new_id,
        instance_id=instance.id,
        instance_type=instance.instance_type,
        cpu_units=kind.cpu_units,
        memory_mib=max(0, kind.memory_mib - configuration.reserved_memory_mib),
        interfaces=kind.interfaces - interfaces_taken,
        vpc_id=instance.vpc_id,
        subnet_id=instance.subnet_id,
        zone=instance.zone,
        address=instance.address,
        private_dns_name=private_dns_name,
        attributes=(
            *(Attribute(name=name) for name in CAPABILITIES),
            *(Attribute(name=name, value=value) for name, value in sorted(values.items())),
        ),
        reserved_ports=RESERVED_PORTS if ports is None else tuple(dict.fromkeys((*ports, *AGENT_PORTS))),
        reserved_ports_udp=RESERVED_PORTS_UDP if ports_udp is None else ports_udp,
        tags=configuration.tags,
        registered_at=now,
    )
