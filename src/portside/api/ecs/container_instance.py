"""Container instances and their attributes: list, describe, drain, deregister.

They register themselves: an EC2 instance joins the cluster that its user data names once it runs
(`control/instances.py`). RegisterContainerInstance is for what happens after that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from portside.api.ecs import lookup, page, wire
from portside.api.ecs.error import client_error, invalid
from portside.api.ecs.field import is_asked_for
from portside.api.ecs.instance_wire import attribute_to, container_instance_to
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, cluster_query, tag_rule
from portside.domain.clock import Clock, Ids
from portside.domain.container_instance import Attribute, ContainerInstance, registered
from portside.domain.ec2_instance_type import INSTANCE_TYPES, InstanceType
from portside.domain.fargate import unsupported
from portside.domain.instance import Instance, InstanceState
from portside.domain.instance_identity import InstanceIdentities
from portside.domain.record import replace
from portside.domain.table import CONTAINER_INSTANCE, ENI, INSTANCE, TASK
from portside.domain.task import machine
from portside.domain.task.record import StopCode, Task, TaskStatus
from portside.domain.user_data import AgentConfiguration
from portside.domain.vpc import instance_owner
from portside.store.interface import Delete, Put, Store, Write

DESCRIBED_MOST: Final = 100
CHANGED_MOST: Final = 10
ATTRIBUTES_MOST: Final = 10
"""Of one request, and of an instance's own."""
NO_TARGET: Final = (
    "The specified target wasn't found. You can view your available container instances with ListContainerInstances."
    " Amazon ECS container instances are cluster-specific and Region-specific."
)
FORCED: Final = "Container instance deregistration forced by user."
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
"""API_Attribute."""


class ContainerInstances:
    def __init__(self, store: Store, clock: Clock, ids: Ids, identities: InstanceIdentities) -> None:
        self._store, self._clock, self._ids, self._identities = store, clock, ids, identities

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListContainerInstances": self.list,
            "DescribeContainerInstances": self.describe,
            "UpdateContainerInstancesState": self.update_state,
            "RegisterContainerInstance": self.register,
            "DeregisterContainerInstance": self.deregister,
            "PutAttributes": self.put_attributes,
            "DeleteAttributes": self.delete_attributes,
            "ListAttributes": self.list_attributes,
        }

    def list(self, context: RequestContext, params: Params) -> Result:
        cluster = self._cluster(context, params)
        status, text = params.get("status"), params.get("filter")
        passes = cluster_query.parsed(text) if text else None
        ids = [
            each.id
            for each in self._of(context, cluster)
            if (not status or each.status == status) and (passes is None or passes(each, self._tasks(each)))
        ]
        shown, more = page.cut(ids, params)
        scope = lookup.scope(context)
        result: Result = {"containerInstanceArns": [arn.container_instance(scope, cluster, each) for each in shown]}
        if more is not None:
            result["nextToken"] = more
        return result

    def describe(self, context: RequestContext, params: Params) -> Result:
        cluster = self._cluster(context, params)
        asked = params["containerInstances"]
        if not asked:
            raise invalid("Container instances cannot be empty.")
        if len(asked) > DESCRIBED_MOST:
            raise invalid(f"Container instances cannot have more than {DESCRIBED_MOST} elements.")
        include = params.get("include") or ()
        if "CONTAINER_INSTANCE_HEALTH" in include:
            raise unsupported("include CONTAINER_INSTANCE_HEALTH")
        found, failures = [], []
        for named in asked:
            instance = self._named(context, cluster, named)
            if instance is None:
                failures.append(missing(context, cluster, named))
            else:
                found.append(self._to_wire(instance, with_tags="TAGS" in include))
        return {"containerInstances": found, "failures": failures}

    def update_state(self, context: RequestContext, params: Params) -> Result:
        cluster = self._cluster(context, params)
        asked, status = params["containerInstances"], params["status"]
        if not asked:
            raise invalid("Container instances cannot be empty.")
        if len(asked) > CHANGED_MOST:
            raise invalid(f"Container instances cannot have more than {CHANGED_MOST} elements.")
        if status not in ("ACTIVE", "DRAINING"):
            raise invalid("Container instance status must be one of [ACTIVE, DRAINING].")
        found, failures = [], []
        for named in asked:
            instance = self._named(context, cluster, named)
            if instance is None:
                failures.append(missing(context, cluster, named))
            elif instance.status == status:
                found.append(instance)
            else:
                found.append(replace(instance, status=status, version=instance.version + 1))
        self._store.transact(*(Put(CONTAINER_INSTANCE, each) for each in found))
        return {"containerInstances": [self._to_wire(each, with_tags=True) for each in found], "failures": failures}

    def register(self, context: RequestContext, params: Params) -> Result:
        """An instance joins a cluster by its identity document: after it was deregistered, or where no cluster of that
        name was there when it started. Twice is once."""
        cluster = lookup.active_cluster(self._store, self._clock, context, params.get("cluster")).name
        if is_asked_for(params.get("platformDevices")):
            raise unsupported("platformDevices")
        instance = self._proven(context, params)
        eni = self._store.get(ENI, context.prefix + instance.eni_id)
        known = self._store.find(CONTAINER_INSTANCE, "instance", instance.key)
        elsewhere = next((each.cluster for each in known if each.cluster != cluster), None)
        if elsewhere is not None:
            raise invalid(f"The instance {instance.id} is registered in the cluster {elsewhere}: deregister it first.")
        asked = _resources_of(params, INSTANCE_TYPES[instance.instance_type])
        tags = wire.tags_from(params.get("tags"))
        tag_rule.check(tags)
        attributes = {
            each["name"]: each.get("value") or ""
            for each in params.get("attributes") or ()
            if not _is_builtin(each["name"])
        }
        if len(attributes) > ATTRIBUTES_MOST:
            raise invalid(f"You can apply up to {ATTRIBUTES_MOST} custom attributes for each resource.")
        joined = registered(
            instance,
            cluster=cluster,
            new_id=known[0].id if known else self._ids.hex(32),
            private_dns_name=eni.private_dns_name if eni is not None else "",
            configuration=replace(asked.configuration, cluster=cluster, attributes=attributes, tags=tags),
            architecture=INSTANCE_TYPES[instance.instance_type].architecture,
            interfaces_taken=len(self._store.find(ENI, "owner", instance_owner(instance.id))),
            now=known[0].registered_at if known else self._clock.now(),
        )
        joined = replace(joined, cpu_units=asked.cpu_units)
        if known:
            joined = replace(joined, status=known[0].status, version=known[0].version + 1)
        self._store.transact(Put(CONTAINER_INSTANCE, joined), Put(INSTANCE, replace(instance, registered=True)))
        return {"containerInstance": self._to_wire(joined, with_tags=True)}

    def _proven(self, context: RequestContext, params: Params) -> Instance:
        """The instance whose document and signature these are. Raises: ServiceError."""
        text, signature = params.get("instanceIdentityDocument"), params.get("instanceIdentityDocumentSignature")
        name = self._identities.named(text or "")
        instance = self._store.get(INSTANCE, context.prefix + name) if name else None
        if instance is None or not self._identities.is_of(instance, text or "", signature or ""):
            raise client_error("The instance identity document or its signature is not valid.")
        if instance.state is not InstanceState.RUNNING:
            raise client_error(f"The instance {instance.id} is not running.")
        return instance

    def deregister(self, context: RequestContext, params: Params) -> Result:
        """Its instance runs on, and joins again when it is started anew. What runs on it is ended, if that is forced:
        nobody would look after it any more."""
        cluster = self._cluster(context, params)
        instance = self._named(context, cluster, params["containerInstance"])
        if instance is None:
            raise invalid("The referenced container instance was not found.")
        tasks = self._tasks(instance)
        if tasks and not params.get("force"):
            raise invalid("Found running tasks on the instance.")
        now = self._clock.now()
        stops: list[Write] = [
            Put(TASK, machine.stop(task, code=StopCode.USER_INITIATED, reason=FORCED, at=now))
            for task in tasks
            if task.stop is None
        ]
        self._store.transact(Delete(CONTAINER_INSTANCE, instance.key), *stops)
        return {"containerInstance": {**self._to_wire(instance, with_tags=True), "status": "INACTIVE"}}

    # --- attributes

    def put_attributes(self, context: RequestContext, params: Params) -> Result:
        changed: dict[str, ContainerInstance] = {}
        for given, instance in self._targets(context, params, changed):
            name, value = given["name"], given.get("value")
            if not _ATTRIBUTE_NAME.fullmatch(name) or (value is not None and not 1 <= len(value) <= 128):
                raise invalid(f"The attribute name or value is invalid: {name}.")
            if _is_builtin(name):
                raise invalid(f"The attribute {name} is reserved and can not be changed.")
            others = tuple(each for each in instance.attributes if each.name != name)
            if sum(not _is_builtin(each.name) for each in others) >= ATTRIBUTES_MOST:
                raise ServiceError(
                    "AttributeLimitExceededException",
                    f"You can apply up to {ATTRIBUTES_MOST} custom attributes for each resource.",
                )
            attributes = (*others, Attribute(name=name, value=value))
            changed[instance.key] = replace(instance, attributes=attributes)
        self._store.transact(*(Put(CONTAINER_INSTANCE, each) for each in changed.values()))
        return {"attributes": [_given_to(each) for each in params["attributes"]]}

    def delete_attributes(self, context: RequestContext, params: Params) -> Result:
        changed: dict[str, ContainerInstance] = {}
        for given, instance in self._targets(context, params, changed):
            name, value = given["name"], given.get("value")
            if _is_builtin(name):
                raise invalid(f"The attribute {name} is reserved and can not be changed.")
            kept = tuple(
                each for each in instance.attributes if each.name != name or (value is not None and each.value != value)
            )
            changed[instance.key] = replace(instance, attributes=kept)
        self._store.transact(*(Put(CONTAINER_INSTANCE, each) for each in changed.values()))
        return {"attributes": [_given_to(each) for each in params["attributes"]]}

    def list_attributes(self, context: RequestContext, params: Params) -> Result:
        cluster = self._cluster(context, params)
        name, value = params.get("attributeName"), params.get("attributeValue")
        if value and not name:
            raise invalid("An attribute value can be asked for together with an attribute name.")
        rows = {
            f"{instance.id}/{each.name}": attribute_to(each, instance)
            for instance in self._of(context, cluster)
            for each in instance.attributes
            if (not name or each.name == name) and (not value or each.value == value)
        }
        shown, more = page.cut(sorted(rows), params)
        result: Result = {"attributes": [rows[each] for each in shown]}
        if more is not None:
            result["nextToken"] = more
        return result

    def _targets(
        self, context: RequestContext, params: Params, changed: Mapping[str, ContainerInstance]
    ) -> Iterator[tuple[Mapping[str, str], ContainerInstance]]:
        """Each attribute with the instance it is for, as the ones before have changed it."""
        cluster = self._cluster(context, params)
        attributes = params["attributes"]
        if not attributes:
            raise invalid("Attributes cannot be empty.")
        if len(attributes) > ATTRIBUTES_MOST:
            raise invalid(f"Attributes cannot have more than {ATTRIBUTES_MOST} elements.")
        for given in attributes:
            instance = self._named(context, cluster, given.get("targetId") or "")
            if instance is None:
                raise ServiceError("TargetNotFoundException", NO_TARGET)
            yield given, changed.get(instance.key, instance)

    # --- looking up

    def _cluster(self, context: RequestContext, params: Params) -> str:
        return lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name

    def _of(self, context: RequestContext, cluster: str) -> Sequence[ContainerInstance]:
        return [*self._store.scan(CONTAINER_INSTANCE, f"{context.prefix}{cluster}/")]

    def _named(self, context: RequestContext, cluster: str, named: str) -> ContainerInstance | None:
        instance_id = lookup.in_cluster(context, cluster, named, "container-instance")
        return self._store.get(CONTAINER_INSTANCE, f"{context.prefix}{cluster}/{instance_id}")

    def _tasks(self, instance: ContainerInstance) -> Sequence[Task]:
        """Those on the instance that have not STOPPED."""
        found = self._store.find(TASK, "placed", instance.key)
        return [task for task in found if task.last_status < TaskStatus.STOPPED]

    def _to_wire(self, instance: ContainerInstance, *, with_tags: bool) -> wire.Wire:
        return container_instance_to(instance, self._tasks(instance), with_tags=with_tags)


class _Asked(NamedTuple):
    cpu_units: int
    configuration: AgentConfiguration


def _resources_of(params: Params, kind: InstanceType) -> _Asked:
    """What of the instance is for tasks, as `totalResources` says: all of it where that says nothing.

    Raises: ServiceError, for more than there is.
    """
    given = {each.get("name"): each for each in params.get("totalResources") or ()}
    sizes = {"CPU": kind.cpu_units, "MEMORY": kind.memory_mib}
    for name, most in dict(sizes).items():
        if name in given:
            sizes[name] = int(given[name].get("integerValue") or 0)
        if not 0 <= sizes[name] <= most:
            raise invalid(f"The instance has {most} of {name}, and not {sizes[name]}.")
    ports: dict[str, tuple[int, ...] | None] = {"PORTS": None, "PORTS_UDP": None}
    for name in ports:
        if name in given:
            texts = given[name].get("stringSetValue") or ()
            if not all(each.isascii() and each.isdigit() and 0 < int(each[:6]) < 65536 for each in texts):
                raise invalid(f"{name} takes port numbers.")
            ports[name] = tuple(int(each) for each in texts)
    return _Asked(
        sizes["CPU"],
        AgentConfiguration(
            reserved_memory_mib=kind.memory_mib - sizes["MEMORY"],
            reserved_ports=ports["PORTS"],
            reserved_ports_udp=ports["PORTS_UDP"],
        ),
    )


def _is_builtin(name: str) -> bool:
    return name.startswith(("ecs.", "com.amazonaws."))


def _given_to(given: Mapping[str, str]) -> wire.Wire:
    return {name: value for name, value in given.items() if value is not None}


def missing(context: RequestContext, cluster: str, named: str) -> wire.Wire:
    """The failure for a container instance that is not there."""
    instance = lookup.in_cluster(context, cluster, named, "container-instance")
    scope = lookup.scope(context)
    return wire.failure(arn.container_instance(scope, cluster, instance))
