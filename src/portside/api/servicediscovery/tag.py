"""Tags of namespaces and services."""

from collections.abc import Mapping

from portside.api.servicediscovery import lookup
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, tag_rule
from portside.domain.cloud_map import DiscoveryService, Namespace
from portside.domain.record import Tag, Tags, replace
from portside.domain.table import DISCOVERY_SERVICE, NAMESPACE
from portside.store.interface import Put, Store


class ResourceTags:
    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTagsForResource": self.list}

    def tag(self, context: RequestContext, params: Params) -> None:
        found = self._found(context, params["ResourceARN"])
        added = tuple(Tag(key=each["Key"], value=each["Value"]) for each in params["Tags"])
        lookup.check_tags(added, params["ResourceARN"])
        by_key = {each.key: each for each in found.tags} | {each.key: each for each in added}
        if len(by_key) > tag_rule.MOST:
            raise lookup.too_many_tags(params["ResourceARN"])
        self._write(found, tuple(by_key.values()))

    def untag(self, context: RequestContext, params: Params) -> None:
        found = self._found(context, params["ResourceARN"])
        gone = set(params["TagKeys"])
        self._write(found, tuple(each for each in found.tags if each.key not in gone))

    def list(self, context: RequestContext, params: Params) -> Result:
        found = self._found(context, params["ResourceARN"])
        return {"Tags": [{"Key": each.key, "Value": each.value} for each in found.tags]}

    def _found(self, context: RequestContext, named: str) -> Namespace | DiscoveryService:
        parsed = arn.parse(named)
        found: Namespace | DiscoveryService | None = None
        if parsed is not None and (parsed.service, parsed.account, parsed.region) == (
            "servicediscovery",
            context.account,
            context.region,
        ):
            kind, _, named_id = parsed.resource.partition("/")
            if kind == "namespace":
                found = self._store.get(NAMESPACE, f"{context.prefix}{named_id}")
            elif kind == "service":
                found = self._store.get(DISCOVERY_SERVICE, f"{context.prefix}{named_id}")
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"Resource {named} not found")
        return found

    def _write(self, found: Namespace | DiscoveryService, tags: Tags) -> None:
        kind = NAMESPACE if isinstance(found, Namespace) else DISCOVERY_SERVICE
        self._store.transact(Put(kind, replace(found, tags=tags)))
