"""Every kind of record that is stored, in one visible list."""

from typing import Any, Final

from portside.domain import account_setting
from portside.domain.account_setting import AccountSetting
from portside.domain.alarm import Alarm, AlarmHistory
from portside.domain.autoscaling import Activity, ScalableTarget
from portside.domain.certificate import Authority, Certificate
from portside.domain.classic_load_balancer import ClassicLoadBalancer
from portside.domain.cloud_map import DiscoveryInstance, DiscoveryService, Namespace, Operation, OperationStatus
from portside.domain.cloud_map_rule import subject
from portside.domain.cluster import Cluster
from portside.domain.container_instance import ContainerInstance
from portside.domain.docker_volume import KeptVolume
from portside.domain.ebs import EbsSnapshot, EbsVolume
from portside.domain.event_bridge import Delivery, EventCursor, EventRule
from portside.domain.file_system import AccessPoint, FileSystem, MountTarget
from portside.domain.iam import InstanceProfile, Policy, Role, ServerCertificate
from portside.domain.instance import Instance
from portside.domain.kind import Kind
from portside.domain.load_balancer import Listener, LoadBalancer, Rule, Target, TargetGroup
from portside.domain.log import LogGroup, QueryDefinition
from portside.domain.log_export import ExportTask
from portside.domain.metric_filter import MetricFilter
from portside.domain.parameter import Parameter, ParameterVersion
from portside.domain.secret import Secret, SecretValue
from portside.domain.service.record import Service
from portside.domain.service.rollout import ServiceDeployment, ServiceRevision
from portside.domain.session import Session
from portside.domain.task.record import Task, TaskStatus
from portside.domain.task_definition import TaskDefinition, TaskDefinitionFamily
from portside.domain.topic import Notification, Subscription, Topic
from portside.domain.vault import VaultKey
from portside.domain.vpc import (
    DefaultNetwork,
    ElasticAddress,
    Eni,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)

CLUSTER: Final = Kind(name="cluster", type=Cluster, key=lambda c: f"{c.scope.prefix}{c.name}")
TASK_DEFINITION: Final = Kind(
    name="task_definition",
    type=TaskDefinition,
    key=lambda d: f"{d.scope.prefix}{d.family}/{d.revision:09d}",
)
TASK_DEFINITION_FAMILY: Final = Kind(
    name="task_definition_family", type=TaskDefinitionFamily, key=lambda f: f"{f.scope.prefix}{f.family}"
)
TASK: Final = Kind(
    name="task",
    type=Task,
    key=lambda t: t.key,
    indexes={
        "service": lambda t: f"{t.scope.prefix}{t.cluster}/{t.service}" if t.service else None,
        "service_live": lambda t: (
            f"{t.scope.prefix}{t.cluster}/{t.service}" if t.service and t.last_status < TaskStatus.STOPPED else None
        ),
        "live": lambda t: f"{t.scope.prefix}{t.cluster}" if t.last_status < TaskStatus.STOPPED else None,
        "arn_id": lambda t: f"{t.scope.prefix}{t.id}",
        "client_token": lambda t: f"{t.scope.prefix}{t.cluster}/{t.client_token}" if t.client_token else None,
        "placed": lambda t: (
            f"{t.scope.prefix}{t.cluster}/{t.placement.container_instance}" if t.placement is not None else None
        ),
        "on_instance": lambda t: (
            f"{t.scope.prefix}{t.placement.instance_id}"
            if t.placement is not None and t.last_status < TaskStatus.STOPPED
            else None
        ),
    },
)
INSTANCE: Final = Kind(
    name="instance",
    type=Instance,
    key=lambda i: i.key,
    indexes={
        "client_token": lambda i: f"{i.scope.prefix}{i.client_token}" if i.client_token else None,
        "id": lambda i: i.id,
    },
)
CONTAINER_INSTANCE: Final = Kind(
    name="container_instance",
    type=ContainerInstance,
    key=lambda c: c.key,
    indexes={"instance": lambda c: f"{c.scope.prefix}{c.instance_id}"},
)
SERVICE: Final = Kind(name="service", type=Service, key=lambda s: s.key)
SERVICE_DEPLOYMENT: Final = Kind(
    name="service_deployment",
    type=ServiceDeployment,
    key=lambda d: f"{d.scope.prefix}{d.cluster}/{d.service}/{d.id}",
)
SERVICE_REVISION: Final = Kind(
    name="service_revision", type=ServiceRevision, key=lambda r: f"{r.scope.prefix}{r.cluster}/{r.service}/{r.id}"
)
VPC: Final = Kind(name="vpc", type=Vpc, key=lambda v: f"{v.scope.prefix}{v.id}", indexes={"id": lambda v: v.id})
SUBNET: Final = Kind(
    name="subnet", type=Subnet, key=lambda s: f"{s.scope.prefix}{s.id}", indexes={"vpc": lambda s: s.vpc_id}
)
SECURITY_GROUP: Final = Kind(
    name="security_group",
    type=SecurityGroup,
    key=lambda g: f"{g.scope.prefix}{g.id}",
    indexes={"vpc": lambda g: g.vpc_id},
)
ENI: Final = Kind(
    name="eni",
    type=Eni,
    key=lambda e: f"{e.scope.prefix}{e.id}",
    indexes={
        "vpc": lambda e: e.vpc_id,
        "subnet": lambda e: e.subnet_id,
        "owner": lambda e: e.owner or None,
        "place": lambda e: f"{e.vpc_id}/{e.address}",
    },
)
DEFAULT_NETWORK: Final = Kind(name="default_network", type=DefaultNetwork, key=lambda d: d.scope.prefix)
ROUTE_TABLE: Final = Kind(
    name="route_table",
    type=RouteTable,
    key=lambda t: f"{t.scope.prefix}{t.id}",
    indexes={"vpc": lambda t: t.vpc_id},
)
INTERNET_GATEWAY: Final = Kind(
    name="internet_gateway",
    type=InternetGateway,
    key=lambda g: f"{g.scope.prefix}{g.id}",
    indexes={"vpc": lambda g: g.vpc_id},
)
NETWORK_ACL: Final = Kind(
    name="network_acl",
    type=NetworkAcl,
    key=lambda a: f"{a.scope.prefix}{a.id}",
    indexes={"vpc": lambda a: a.vpc_id},
)
ELASTIC_ADDRESS: Final = Kind(
    name="elastic_address",
    type=ElasticAddress,
    key=lambda a: f"{a.scope.prefix}{a.id}",
    indexes={"eni": lambda a: a.eni_id or None, "load_balancer": lambda a: a.load_balancer_arn or None},
)
NAT_GATEWAY: Final = Kind(
    name="nat_gateway",
    type=NatGateway,
    key=lambda n: f"{n.scope.prefix}{n.id}",
    indexes={"vpc": lambda n: n.vpc_id, "subnet": lambda n: n.subnet_id},
)
LOAD_BALANCER: Final = Kind(
    name="load_balancer",
    type=LoadBalancer,
    key=lambda b: f"{b.scope.prefix}{b.arn}",
    indexes={"dns_name": lambda b: b.dns_name.lower()},
)
CLASSIC_LOAD_BALANCER: Final = Kind(
    name="classic_load_balancer",
    type=ClassicLoadBalancer,
    key=lambda b: f"{b.scope.prefix}{b.name}",
    indexes={"arn": lambda b: b.load_balancer_arn},
)
LISTENER: Final = Kind(
    name="listener",
    type=Listener,
    key=lambda i: f"{i.scope.prefix}{i.arn}",
    indexes={"load_balancer": lambda i: i.load_balancer_arn},
)
CERTIFICATE: Final = Kind(
    name="certificate",
    type=Certificate,
    key=lambda c: f"{c.scope.prefix}{c.arn}",
    indexes={"token": lambda c: f"{c.scope.prefix}{c.idempotency_token}" if c.idempotency_token else None},
)
AUTHORITY: Final = Kind(name="certificate_authority", type=Authority, key=lambda a: "authority")
RULE: Final = Kind(
    name="rule", type=Rule, key=lambda r: f"{r.scope.prefix}{r.arn}", indexes={"listener": lambda r: r.listener_arn}
)
TARGET_GROUP: Final = Kind(name="target_group", type=TargetGroup, key=lambda g: f"{g.scope.prefix}{g.arn}")
TARGET: Final = Kind(
    name="target",
    type=Target,
    key=lambda t: f"{t.scope.prefix}{t.target_group_arn}/{t.id}:{t.port}",
    indexes={"target_group": lambda t: t.target_group_arn},
)
LOG_GROUP: Final = Kind(name="log_group", type=LogGroup, key=lambda g: f"{g.scope.prefix}{g.name}")
EXPORT_TASK: Final = Kind(name="log_export_task", type=ExportTask, key=lambda t: t.key)
QUERY_DEFINITION: Final = Kind(name="query_definition", type=QueryDefinition, key=lambda d: f"{d.scope.prefix}{d.id}")
METRIC_FILTER: Final = Kind(name="metric_filter", type=MetricFilter, key=lambda f: f.key)
ROLE: Final = Kind(name="role", type=Role, key=lambda r: f"{r.account}/{r.name}")
POLICY: Final = Kind(name="policy", type=Policy, key=lambda p: f"{p.account}/{p.path}{p.name}")
INSTANCE_PROFILE: Final = Kind(name="instance_profile", type=InstanceProfile, key=lambda p: f"{p.account}/{p.name}")
SERVER_CERTIFICATE: Final = Kind(
    name="server_certificate", type=ServerCertificate, key=lambda c: f"{c.account}/{c.name}"
)
ACCOUNT_SETTING: Final = Kind(
    name="account_setting",
    type=AccountSetting,
    key=lambda s: account_setting.key_of(s.scope, s.name, s.principal_arn),
)
PARAMETER: Final = Kind(name="parameter", type=Parameter, key=lambda p: f"{p.scope.prefix}{p.name}")
PARAMETER_VERSION: Final = Kind(
    name="parameter_version", type=ParameterVersion, key=lambda v: f"{v.scope.prefix}{v.name}:{v.version:09d}"
)
SECRET: Final = Kind(name="secret", type=Secret, key=lambda s: f"{s.scope.prefix}{s.name}")
SECRET_VALUE: Final = Kind(
    name="secret_value",
    type=SecretValue,
    key=lambda v: f"{v.scope.prefix}{v.name}-{v.suffix}/{v.version_id}",
)
SCALABLE_TARGET: Final = Kind(
    name="scalable_target", type=ScalableTarget, key=lambda t: f"{t.scope.prefix}{t.cluster}/{t.service}"
)
SCALING_ACTIVITY: Final = Kind(name="scaling_activity", type=Activity, key=lambda a: f"{a.scope.prefix}{a.id}")
ALARM: Final = Kind(name="alarm", type=Alarm, key=lambda a: f"{a.scope.prefix}{a.name}")
ALARM_HISTORY: Final = Kind(
    name="alarm_history",
    type=AlarmHistory,
    key=lambda h: f"{h.scope.prefix}{h.id}",
    indexes={"alarm": lambda h: f"{h.scope.prefix}{h.alarm}"},
)
EVENT_RULE: Final = Kind(name="event_rule", type=EventRule, key=lambda r: f"{r.scope.prefix}{r.name}")
EVENT_DELIVERY: Final = Kind(name="event_delivery", type=Delivery, key=lambda d: f"{d.scope.prefix}{d.id}")
EVENT_CURSOR: Final = Kind(name="event_cursor", type=EventCursor, key=lambda c: c.name)
TOPIC: Final = Kind(name="topic", type=Topic, key=lambda t: f"{t.scope.prefix}{t.name}")
SUBSCRIPTION: Final = Kind(name="subscription", type=Subscription, key=lambda s: f"{s.scope.prefix}{s.topic}/{s.id}")
NOTIFICATION: Final = Kind(name="notification", type=Notification, key=lambda n: f"{n.scope.prefix}{n.id}")
NAMESPACE: Final = Kind(
    name="namespace",
    type=Namespace,
    key=lambda n: f"{n.scope.prefix}{n.id}",
    indexes={
        "vpc": lambda n: n.vpc_id or None,
        "http_name": lambda n: f"{n.scope.prefix}{n.http_name}",
    },
)
DISCOVERY_SERVICE: Final = Kind(
    name="discovery_service",
    type=DiscoveryService,
    key=lambda s: s.key,
    indexes={
        "namespace": lambda s: s.namespace_id,
        "dotted": lambda s: s.namespace_id if s.records and "." in s.name else None,
        "dns_name": lambda s: f"{s.namespace_id}/{s.name.lower()}" if s.records else None,
    },
)
DISCOVERY_INSTANCE: Final = Kind(
    name="discovery_instance",
    type=DiscoveryInstance,
    key=lambda i: i.key,
    indexes={"service": lambda i: i.service_id, "owner": lambda i: i.owner or None},
)
CLOUD_MAP_OPERATION: Final = Kind(
    name="cloud_map_operation",
    type=Operation,
    key=lambda o: o.key,
    indexes={
        "under_way": lambda o: f"{o.scope.prefix}{subject(o.work)}" if o.status is OperationStatus.SUBMITTED else None,
        "request": lambda o: f"{o.scope.prefix}{o.creator_request_id}" if o.creator_request_id else None,
    },
)
VAULT_KEY: Final = Kind(name="vault_key", type=VaultKey, key=lambda k: "vault")
SESSION: Final = Kind(
    name="session",
    type=Session,
    key=lambda s: s.access_key_id,
    indexes={"owner": lambda s: f"{s.owner} {s.role_arn}" if s.owner else None},
)
FILE_SYSTEM: Final = Kind(
    name="file_system",
    type=FileSystem,
    key=lambda f: f"{f.scope.prefix}{f.id}",
    indexes={"token": lambda f: f"{f.scope.prefix}{f.creation_token}"},
)
MOUNT_TARGET: Final = Kind(
    name="mount_target",
    type=MountTarget,
    key=lambda m: f"{m.scope.prefix}{m.id}",
    indexes={"file_system": lambda m: f"{m.scope.prefix}{m.file_system_id}"},
)
ACCESS_POINT: Final = Kind(
    name="access_point",
    type=AccessPoint,
    key=lambda a: f"{a.scope.prefix}{a.id}",
    indexes={
        "file_system": lambda a: f"{a.scope.prefix}{a.file_system_id}",
        "token": lambda a: f"{a.scope.prefix}{a.client_token}",
    },
)
EBS_VOLUME: Final = Kind(
    name="ebs_volume",
    type=EbsVolume,
    key=lambda v: v.key,
    indexes={"owner": lambda v: v.owner or None, "instance": lambda v: v.instance_id or None},
)
EBS_SNAPSHOT: Final = Kind(
    name="ebs_snapshot",
    type=EbsSnapshot,
    key=lambda s: s.key,
    indexes={"volume": lambda s: f"{s.scope.prefix}{s.volume_id}"},
)
DOCKER_VOLUME: Final = Kind(
    name="docker_volume",
    type=KeptVolume,
    key=lambda v: v.key,
    indexes={"instance": lambda v: v.instance_id, "id": lambda v: v.id},
)

KINDS: Final[tuple[Kind[Any], ...]] = (
    CLUSTER,
    TASK_DEFINITION,
    TASK_DEFINITION_FAMILY,
    TASK,
    SERVICE,
    SERVICE_DEPLOYMENT,
    SERVICE_REVISION,
    VPC,
    SUBNET,
    SECURITY_GROUP,
    ENI,
    DEFAULT_NETWORK,
    ROUTE_TABLE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    ELASTIC_ADDRESS,
    NAT_GATEWAY,
    LOAD_BALANCER,
    CLASSIC_LOAD_BALANCER,
    LISTENER,
    RULE,
    CERTIFICATE,
    AUTHORITY,
    TARGET_GROUP,
    TARGET,
    LOG_GROUP,
    METRIC_FILTER,
    QUERY_DEFINITION,
    EXPORT_TASK,
    ROLE,
    POLICY,
    INSTANCE_PROFILE,
    SERVER_CERTIFICATE,
    ACCOUNT_SETTING,
    PARAMETER,
    PARAMETER_VERSION,
    SECRET,
    SECRET_VALUE,
    SCALABLE_TARGET,
    SCALING_ACTIVITY,
    ALARM,
    ALARM_HISTORY,
    EVENT_RULE,
    EVENT_DELIVERY,
    EVENT_CURSOR,
    TOPIC,
    SUBSCRIPTION,
    NOTIFICATION,
    VAULT_KEY,
    INSTANCE,
    CONTAINER_INSTANCE,
    SESSION,
    NAMESPACE,
    DISCOVERY_SERVICE,
    DISCOVERY_INSTANCE,
    CLOUD_MAP_OPERATION,
    FILE_SYSTEM,
    MOUNT_TARGET,
    ACCESS_POINT,
    EBS_VOLUME,
    EBS_SNAPSHOT,
    DOCKER_VOLUME,
)
