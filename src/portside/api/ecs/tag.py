"""Tags of clusters, services, tasks, task definitions and container instances."""

from collections.abc import Mapping
from typing import Any

from portside.api.ecs import lookup, wire
from portside.api.ecs.error import cluster_not_found, invalid, resource_not_found, service_not_found
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import arn, cluster_rule, pace, tag_rule
from portside.domain.clock import Clock
from portside.domain.cluster import Cluster
from portside.domain.container_instance import ContainerInstance
from portside.domain.kind import Kind
from portside.domain.record import Tags, replace
from portside.domain.service.record import Service
from portside.domain.table import CLUSTER, CONTAINER_INSTANCE, SERVICE, TASK, TASK_DEFINITION
from portside.domain.task.record import Task
from portside.domain.task_definition import TaskDefinition
from portside.store.interface import Put, Store

Tagged = Cluster | Service | Task | TaskDefinition | ContainerInstance


class TagsOfResources:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list,
        }

    def tag(self, context: RequestContext, params: Params) -> Result:
        kind, tagged = self._found(context, params["resourceArn"])
        new = wire.tags_from(params["tags"])
        tag_rule.check(new)
        if isinstance(tagged, Service):
            pace.check(new)
        self._write(kind, tagged, tag_rule.merged(tagged.tags, new))
        return {}

    def untag(self, context: RequestContext, params: Params) -> Result:
        kind, tagged = self._found(context, params["resourceArn"])
        for key in params["tagKeys"]:
            tag_rule.check_key(key)
        gone = frozenset(params["tagKeys"])
        self._write(kind, tagged, tuple(tag for tag in tagged.tags if tag.key not in gone))
        return {}

    def list(self, context: RequestContext, params: Params) -> Result:
        _, tagged = self._found(context, params["resourceArn"])
        return {"tags": wire.tags_to(tagged.tags)}

    def _write(self, kind: Kind[Any], tagged: Tagged, tags: Tags) -> None:
        if tags != tagged.tags:
            self._store.transact(Put(kind, replace(tagged, tags=tags)))

    def _found(self, context: RequestContext, named: str) -> tuple[Kind[Any], Tagged]:
        """The resource with that ARN.

        Raises:
            ServiceError: there is none, or none that has tags.
        """
        parsed = arn.parse(named)
        if parsed is None or parsed.service != "ecs":
            raise invalid("The ARN provided is invalid.")
        if parsed.account != context.account:
            raise invalid("AccountIDs mismatch")
        resource, _, rest = parsed.resource.partition("/")
        prefix = f"{parsed.account}/{parsed.region}/"
        kind: Kind[Any]
        tagged: Tagged | None
        if resource == "cluster":
            kind, tagged = CLUSTER, self._store.get(CLUSTER, prefix + rest)
            if not isinstance(tagged, Cluster) or cluster_rule.is_gone(tagged, now=self._clock.now()):
                raise cluster_not_found()
            if tagged.status != "ACTIVE":
                raise invalid("The specified cluster is inactive. Specify an active cluster and try again.")
        elif resource == "service":
            kind, tagged = SERVICE, self._store.get(SERVICE, prefix + rest)
            if not isinstance(tagged, Service) or tagged.status == "INACTIVE":
                raise (
                    service_not_found() if context.operation == "ListTagsForResource" else resource_not_found("service")
                )
        elif resource == "task":
            kind, tagged = TASK, self._store.get(TASK, prefix + rest)
            if tagged is None:
                raise resource_not_found("task")
        elif resource == "container-instance":
            kind, tagged = CONTAINER_INSTANCE, self._store.get(CONTAINER_INSTANCE, prefix + rest)
            if tagged is None:
                raise resource_not_found("container instance")
        elif resource == "task-definition":
            kind = TASK_DEFINITION
            tagged = lookup.definition(self._store, context, named) if ":" in rest else None
            if tagged is None:
                raise resource_not_found("task definition")
        else:
            raise resource_not_found(resource or "resource")
        return kind, tagged
