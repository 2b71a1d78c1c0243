"""Container instances and their attributes. Every task runs on Fargate, so there are none: what follows from that is
answered as AWS answers it in a cluster without instances."""

from collections.abc import Mapping
from typing import Final

from portside.api.ecs import lookup, page, wire
from portside.api.ecs.error import invalid
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn
from portside.domain.clock import Clock
from portside.store.interface import Store

DESCRIBED_MOST: Final = 100
STARTED_ON_MOST: Final = 10
ATTRIBUTES_MOST: Final = 10
NO_TARGET: Final = (
    "The specified target wasn't found. You can view your available container instances with ListContainerInstances."
    " Amazon ECS container instances are cluster-specific and Region-specific."
)


class ContainerInstances:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListContainerInstances": self.list,
            "DescribeContainerInstances": self.describe,
            "StartTask": self.start_task,
            "PutAttributes": self.change_attributes,
            "DeleteAttributes": self.change_attributes,
            "ListAttributes": self.list_attributes,
        }

    def list(self, context: RequestContext, params: Params) -> Result:
        self._cluster(context, params)
        page.cut((), params)
        return {"containerInstanceArns": []}

    def describe(self, context: RequestContext, params: Params) -> Result:
        cluster = self._cluster(context, params)
        asked = params["containerInstances"]
        if not asked:
            raise invalid("Container instances cannot be empty.")
        if len(asked) > DESCRIBED_MOST:
            raise invalid(f"Container instances cannot have more than {DESCRIBED_MOST} elements.")
        return {"containerInstances": [], "failures": [_missing(context, cluster, named) for named in asked]}

    def start_task(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params.get("cluster")).name
        asked = params["containerInstances"]
        if not asked:
            raise invalid("Container instances cannot be empty.")
        if len(asked) > STARTED_ON_MOST:
            raise invalid(f"Container instances cannot have more than {STARTED_ON_MOST} elements.")
        lookup.runnable_definition(self._store, context, params["taskDefinition"])
        return {"tasks": [], "failures": [_missing(context, cluster, named) for named in asked]}

    def change_attributes(self, context: RequestContext, params: Params) -> Result:
        self._cluster(context, params)
        attributes = params["attributes"]
        if not attributes:
            raise invalid("Attributes cannot be empty.")
        if len(attributes) > ATTRIBUTES_MOST:
            raise invalid(f"Attributes cannot have more than {ATTRIBUTES_MOST} elements.")
        raise ServiceError("TargetNotFoundException", NO_TARGET)

    def list_attributes(self, context: RequestContext, params: Params) -> Result:
        self._cluster(context, params)
        page.cut((), params)
        return {"attributes": []}

    def _cluster(self, context: RequestContext, params: Params) -> str:
        return lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name


def _missing(context: RequestContext, cluster: str, named: str) -> wire.Wire:
    instance = lookup.in_cluster(context, cluster, named, "container-instance")
    scope = lookup.scope(context)
    return wire.failure(arn.container_instance(scope, cluster, instance))
