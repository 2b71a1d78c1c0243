"""Tags of Classic Load Balancers."""

from portside.api.elb import state, wire
from portside.api.elbv2.wire import tags_to, with_tags
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain.load_balancer import LoadBalancer
from portside.domain.record import replace
from portside.domain.table import LOAD_BALANCER
from portside.store.interface import Put, Store


class TagHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def handlers(self) -> dict[str, Handler]:
        return {"AddTags": self.add, "RemoveTags": self.remove, "DescribeTags": self.describe}

    def add(self, context: RequestContext, params: Params) -> Result:
        given = wire.tags_from(params["Tags"])
        writes: list[Put] = []
        for name in params["LoadBalancerNames"]:
            record = self._record(context, name)
            tags = with_tags(record.tags, given)
            wire.check_tag_count(tags)
            writes.append(Put(LOAD_BALANCER, replace(record, tags=tags)))
        self._store.transact(*writes)
        return {}

    def remove(self, context: RequestContext, params: Params) -> Result:
        gone = {item.get("Key") for item in params["Tags"]}
        writes: list[Put] = []
        for name in params["LoadBalancerNames"]:
            record = self._record(context, name)
            kept = tuple(tag for tag in record.tags if tag.key not in gone)
            writes.append(Put(LOAD_BALANCER, replace(record, tags=kept)))
        self._store.transact(*writes)
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        return {
            "TagDescriptions": [
                {
                    "LoadBalancerName": name,
                    "Tags": tags_to(self._record(context, name).tags),
                }
                for name in params["LoadBalancerNames"]
            ]
        }

    def _record(self, context: RequestContext, name: str) -> LoadBalancer:
        return state.load_balancer(self._store, state.classic(self._store, context, name))
