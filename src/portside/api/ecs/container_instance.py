"""Container instances and their attributes: list, describe, drain, deregister.

They register themselves: an EC2 instance joins the cluster that its user data names once it runs
(`control/instances.py`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portside.api.ecs import lookup, page, wire
from portside.api.ecs.error import invalid
from portside.api.ecs.instance_wire import attribute_to, container_instance_to
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, cluster_query
from portside.domain.clock import Clock
from portside.domain.container_instance import Attribute, ContainerInstance
from portside.domain.fargate import unsupported
from portside.domain.record import replace
from portside.domain.table import CONTAINER_INSTANCE, TASK
from portside.domain.task import machine
from portside.domain.task.record import StopCode, Task, TaskStatus
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
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListContainerInstances": self.list,
            "DescribeContainerInstances": self.describe,
            "UpdateContainerInstancesState": self.update_state,
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


def _is_builtin(name: str) -> bool:
    return name.startswith(("ecs.", "com.amazonaws."))


def _given_to(given: Mapping[str, str]) -> wire.Wire:
    return {name: value for name, value in given.items() if value is not None}


def missing(context: RequestContext, cluster: str, named: str) -> wire.Wire:
    """The failure for a container instance that is not there."""
    instance = lookup.in_cluster(context, cluster, named, "container-instance")
    scope = lookup.scope(context)
    return wire.failure(arn.container_instance(scope, cluster, instance))
