"""Tags of log groups, by name (the older operations) and by ARN."""

from collections.abc import Collection, Mapping

from portside.api.logs.error import told
from portside.api.logs.lookup import name_of, named, scope_of
from portside.aws.service import Params, RequestContext, Result
from portside.domain import tag_rule
from portside.domain.log import LogGroup
from portside.domain.record import Tag, Tags, replace
from portside.domain.table import LOG_GROUP
from portside.store.interface import Put, Store


class GroupTags:
    def __init__(self, store: Store) -> None:
        self._store = store

    def tag_group(self, context: RequestContext, params: Params) -> None:
        self._add(self._by_name(context, params), params["tags"])

    def untag_group(self, context: RequestContext, params: Params) -> None:
        self._remove(self._by_name(context, params), params["tags"])

    def list_of_group(self, context: RequestContext, params: Params) -> Result:
        return _wire(self._by_name(context, params))

    def tag(self, context: RequestContext, params: Params) -> None:
        self._add(self._by_arn(context, params), params["tags"])

    def untag(self, context: RequestContext, params: Params) -> None:
        self._remove(self._by_arn(context, params), params["tagKeys"])

    def list(self, context: RequestContext, params: Params) -> Result:
        return _wire(self._by_arn(context, params))

    def _by_name(self, context: RequestContext, params: Params) -> LogGroup:
        return named(self._store, scope_of(context), params["logGroupName"])

    def _by_arn(self, context: RequestContext, params: Params) -> LogGroup:
        scope = scope_of(context)
        return named(self._store, scope, name_of(params["resourceArn"], scope))

    def _add(self, group: LogGroup, added: Mapping[str, str]) -> None:
        with told():
            tags = tag_rule.merged(group.tags, from_wire(added))
        self._store.transact(Put(LOG_GROUP, replace(group, tags=tags)))

    def _remove(self, group: LogGroup, keys: Collection[str]) -> None:
        tags = tuple(tag for tag in group.tags if tag.key not in keys)
        self._store.transact(Put(LOG_GROUP, replace(group, tags=tags)))


def from_wire(tags: Mapping[str, str]) -> Tags:
    """
    Raises:
        Refused: a tag breaks a rule.
    """
    found = tuple(Tag(key=key, value=value) for key, value in tags.items())
    tag_rule.check(found)
    return found


def _wire(group: LogGroup) -> Result:
    return {"tags": {tag.key: tag.value for tag in group.tags}}
