"""Tags of load balancers, listeners, rules and target groups."""

from typing import Any, Final

from portside.api.elbv2 import error, lookup, wire
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain.kind import Kind
from portside.domain.load_balancer import Listener, LoadBalancer, Rule, TargetGroup
from portside.domain.record import replace
from portside.domain.table import LISTENER, LOAD_BALANCER, RULE, TARGET_GROUP
from portside.store.interface import Put, Store

Tagged = LoadBalancer | Listener | Rule | TargetGroup

DESCRIBED: Final = 20
"""Resources in one call. Source: DescribeTags, member ResourceArns."""


class TagHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def handlers(self) -> dict[str, Handler]:
        return {"AddTags": self.add, "RemoveTags": self.remove, "DescribeTags": self.describe}

    def add(self, context: RequestContext, params: Params) -> Result:
        given = wire.tags_from(params["Tags"])
        kind, record = self._resource(context, _only(params))
        tags = wire.with_tags(record.tags, given)
        wire.check_tag_count(tags)
        self._store.transact(Put(kind, replace(record, tags=tags)))
        return {}

    def remove(self, context: RequestContext, params: Params) -> Result:
        kind, record = self._resource(context, _only(params))
        kept = tuple(tag for tag in record.tags if tag.key not in params["TagKeys"])
        self._store.transact(Put(kind, replace(record, tags=kept)))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        arns = _named(params)
        if len(arns) > DESCRIBED:
            raise error.invalid(f"Cannot have more than {DESCRIBED} resource descriptions")
        return {"TagDescriptions": [{"ResourceArn": arn, "Tags": self._tags(context, arn)} for arn in arns]}

    def _tags(self, context: RequestContext, arn: str) -> list[Result]:
        """A default rule, which is nothing of its own, has none."""
        if lookup.listener_of_default(self._store, context, arn) is not None:
            return []
        return wire.tags_to(self._resource(context, arn)[1].tags)

    def _resource(self, context: RequestContext, arn: str) -> tuple[Kind[Any], Tagged]:
        resource = arn.split(":", 5)[-1]
        if resource.startswith("targetgroup/"):
            return TARGET_GROUP, lookup.target_group(self._store, context, arn)
        if resource.startswith("listener-rule/"):
            return RULE, lookup.rule(self._store, context, arn)
        if resource.startswith("listener/"):
            return LISTENER, lookup.listener(self._store, context, arn)
        return LOAD_BALANCER, lookup.load_balancer(self._store, context, arn)


def _named(params: Params) -> list[str]:
    arns = list(params["ResourceArns"])
    if not arns:
        raise error.invalid("An ARN must be specified")
    return arns


def _only(params: Params) -> str:
    """The list has room for one."""
    arns = _named(params)
    if len(arns) > 1:
        raise error.invalid("Only one resource can be tagged at a time")
    return arns[0]
