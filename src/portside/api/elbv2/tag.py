"""Tags of load balancers, listeners, rules and target groups."""

from typing import Any

from portside.api.elbv2 import lookup, wire
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain.kind import Kind
from portside.domain.load_balancer import Listener, LoadBalancer, Rule, TargetGroup
from portside.domain.record import replace
from portside.domain.table import LISTENER, LOAD_BALANCER, RULE, TARGET_GROUP
from portside.store.interface import Put, Store

Tagged = LoadBalancer | Listener | Rule | TargetGroup


class TagHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def handlers(self) -> dict[str, Handler]:
        return {"AddTags": self.add, "RemoveTags": self.remove, "DescribeTags": self.describe}

    def add(self, context: RequestContext, params: Params) -> Result:
        given = wire.tags_from(params["Tags"])
        writes: list[Put] = []
        for arn in params["ResourceArns"]:
            kind, record = self._resource(context, arn)
            tags = wire.with_tags(record.tags, given)
            wire.check_tag_count(tags)
            writes.append(Put(kind, replace(record, tags=tags)))
        self._store.transact(*writes)
        return {}

    def remove(self, context: RequestContext, params: Params) -> Result:
        writes: list[Put] = []
        for arn in params["ResourceArns"]:
            kind, record = self._resource(context, arn)
            kept = tuple(tag for tag in record.tags if tag.key not in params["TagKeys"])
            writes.append(Put(kind, replace(record, tags=kept)))
        self._store.transact(*writes)
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        return {
            "TagDescriptions": [
                {"ResourceArn": arn, "Tags": wire.tags_to(self._resource(context, arn)[1].tags)}
                for arn in params["ResourceArns"]
            ]
        }

    def _resource(self, context: RequestContext, arn: str) -> tuple[Kind[Any], Tagged]:
        resource = arn.split(":", 5)[-1]
        if resource.startswith("targetgroup/"):
            return TARGET_GROUP, lookup.target_group(self._store, context, arn)
        if resource.startswith("listener-rule/"):
            return RULE, lookup.rule(self._store, context, arn)
        if resource.startswith("listener/"):
            return LISTENER, lookup.listener(self._store, context, arn)
        return LOAD_BALANCER, lookup.load_balancer(self._store, context, arn)
