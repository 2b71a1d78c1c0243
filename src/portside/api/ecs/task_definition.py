"""Task definitions: register, describe, list, deregister."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from portside.api.ecs import definition_wire, field, lookup, page, wire
from portside.api.ecs.error import client_error, invalid
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import arn, task_definition_rule
from portside.domain.clock import Clock
from portside.domain.record import replace
from portside.domain.table import TASK_DEFINITION, TASK_DEFINITION_FAMILY
from portside.domain.task_definition import TaskDefinition, TaskDefinitionFamily, TaskDefinitionStatus
from portside.store.interface import Put, Store

UNKNOWN: Final = "Unable to describe task definition."
_encoder: Final = msgspec.json.Encoder(enc_hook=str)


class TaskDefinitions:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "RegisterTaskDefinition": self.register,
            "DescribeTaskDefinition": self.describe,
            "ListTaskDefinitions": self.list,
            "ListTaskDefinitionFamilies": self.list_families,
            "DeregisterTaskDefinition": self.deregister,
        }

    def register(self, context: RequestContext, params: Params) -> Result:
        tags = params.get("tags")
        if tags is not None and not tags:
            raise client_error("Tags can not be empty.")
        field.check_task_definition(params)
        definition = definition_wire.definition_from(
            params,
            scope=lookup.scope(context),
            registered_at=self._clock.now(),
            registered_by=context.principal_arn,
        )
        definition = task_definition_rule.checked(definition)
        task_definition_rule.check_size(len(_encoder.encode(params)))
        family = self._store.get(TASK_DEFINITION_FAMILY, context.prefix + definition.family)
        revision = 1 if family is None else family.last_revision + 1
        definition = replace(definition, revision=revision)
        self._store.transact(
            Put(TASK_DEFINITION, definition),
            Put(
                TASK_DEFINITION_FAMILY,
                TaskDefinitionFamily(
                    scope=definition.scope, family=definition.family, last_revision=revision, latest_active=revision
                ),
            ),
        )
        result: Result = {"taskDefinition": definition_wire.definition_to(definition)}
        if definition.tags:
            result["tags"] = wire.tags_to(definition.tags)
        return result

    def describe(self, context: RequestContext, params: Params) -> Result:
        definition = lookup.definition(self._store, context, params["taskDefinition"])
        if definition is None:
            raise client_error(UNKNOWN)
        result: Result = {"taskDefinition": definition_wire.definition_to(definition)}
        if "TAGS" in (params.get("include") or ()):
            result["tags"] = wire.tags_to(definition.tags)
        return result

    def list(self, context: RequestContext, params: Params) -> Result:
        status = params.get("status") or TaskDefinitionStatus.ACTIVE
        most = page.size(params)
        found: list[str] = []
        more: str | None = None
        last = ""
        for definition in self._walk(context, params):
            if definition.status != status:
                continue
            if len(found) == most:
                more = page.token(last)
                break
            found.append(arn.task_definition(definition.scope, definition.family, definition.revision))
            last = definition.name
        result: Result = {"taskDefinitionArns": found}
        if more is not None:
            result["nextToken"] = more
        return result

    def _walk(self, context: RequestContext, params: Params) -> Iterator[TaskDefinition]:
        """Revisions in the order asked for, from the page's start on, fetched one by one: a page of a family with many
        thousand revisions reads no more of them than it shows."""
        down = params.get("sort") == "DESC"
        wanted = params.get("familyPrefix")
        if wanted:
            known = self._store.get(TASK_DEFINITION_FAMILY, context.prefix + wanted)
            families = [known] if known is not None else []
        else:
            families = list(self._store.scan(TASK_DEFINITION_FAMILY, context.prefix))
            families.sort(key=lambda each: each.family, reverse=down)
        last_family, last_revision = _position(page.after(params))
        for family in families:
            start, stop = (family.last_revision, 0) if down else (1, family.last_revision + 1)
            if last_family:
                if family.family == last_family:
                    start = last_revision + (-1 if down else 1)
                elif (family.family < last_family) != down:
                    continue
            for revision in range(start, stop, -1 if down else 1):
                definition = self._store.get(TASK_DEFINITION, f"{context.prefix}{family.family}/{revision:09d}")
                if definition is not None:
                    yield definition

    def list_families(self, context: RequestContext, params: Params) -> Result:
        status = params.get("status") or "ACTIVE"
        families = [
            each.family
            for each in self._store.scan(TASK_DEFINITION_FAMILY, context.prefix + (params.get("familyPrefix") or ""))
            if status == "ALL" or (each.latest_active is not None) == (status == "ACTIVE")
        ]
        shown, more = page.cut(families, params)
        result: Result = {"families": list(shown)}
        if more is not None:
            result["nextToken"] = more
        return result

    def deregister(self, context: RequestContext, params: Params) -> Result:
        named = params["taskDefinition"]
        if ":" not in named.rpartition("/")[2]:
            raise client_error("Revision is missing.")
        definition = lookup.definition(self._store, context, named)
        if definition is None:
            raise client_error("The specified task definition does not exist.")
        if definition.status is TaskDefinitionStatus.ACTIVE:
            definition = replace(definition, status=TaskDefinitionStatus.INACTIVE, deregistered_at=self._clock.now())
            family = self._store.get(TASK_DEFINITION_FAMILY, context.prefix + definition.family)
            assert family is not None  # written in one commit with the family's first revision
            if family.latest_active == definition.revision:
                family = replace(family, latest_active=self._active_below(context, definition))
            self._store.transact(Put(TASK_DEFINITION, definition), Put(TASK_DEFINITION_FAMILY, family))
        return {"taskDefinition": definition_wire.definition_to(definition)}

    def _active_below(self, context: RequestContext, definition: TaskDefinition) -> int | None:
        for revision in range(definition.revision - 1, 0, -1):
            other = self._store.get(TASK_DEFINITION, f"{context.prefix}{definition.family}/{revision:09d}")
            if other is not None and other.status is TaskDefinitionStatus.ACTIVE:
                return revision
        return None


def _position(last: str) -> tuple[str, int]:
    """Family and revision of the last one that the page before showed."""
    family, _, revision = last.partition(":")
    if not family:
        return "", 0
    if not (revision.isascii() and revision.isdigit()):
        raise invalid("Invalid token.")
    return family, int(revision)
