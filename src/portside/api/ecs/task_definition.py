"""Task definitions: register, describe, list, deregister, delete."""

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

DELETED_MOST: Final = 10
STILL_ACTIVE: Final = (
    "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
)
NOT_THERE: Final = "The specified task definition does not exist."
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
            "DeleteTaskDefinitions": self.delete,
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
            if (status == "ALL" or (each.latest_active is not None) == (status == "ACTIVE"))
            and (each.latest_active is not None or self._has_revisions(each))
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
            raise client_error(NOT_THERE)
        if definition.status is TaskDefinitionStatus.ACTIVE:
            definition = replace(definition, status=TaskDefinitionStatus.INACTIVE, deregistered_at=self._clock.now())
            family = self._store.get(TASK_DEFINITION_FAMILY, context.prefix + definition.family)
            assert family is not None  # written in one commit with the family's first revision
            if family.latest_active == definition.revision:
                family = replace(family, latest_active=self._active_below(context, definition))
            self._store.transact(Put(TASK_DEFINITION, definition), Put(TASK_DEFINITION_FAMILY, family))
        return {"taskDefinition": definition_wire.definition_to(definition)}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Asks for deletion only: a loop removes each revision, once nothing uses it any more."""
        asked = params["taskDefinitions"]
        if not asked:
            raise invalid("Task definitions cannot be empty.")
        if len(asked) > DELETED_MOST:
            raise invalid(f"Task definitions cannot have more than {DELETED_MOST} elements.")
        if any(":" not in named.rpartition("/")[2] for named in asked):
            raise client_error("Revision is missing.")
        shown: list[wire.Wire] = []
        failures: list[wire.Wire] = []
        writes: list[Put] = []
        for named in dict.fromkeys(asked):
            definition = lookup.definition(self._store, context, named)
            if definition is None:
                resource = named.rpartition("/")[2]
                failures.append(wire.failure(arn.ecs(lookup.scope(context), f"task-definition/{resource}"), NOT_THERE))
                continue
            if definition.status is TaskDefinitionStatus.ACTIVE:
                named_arn = arn.task_definition(definition.scope, definition.family, definition.revision)
                failures.append(wire.failure(named_arn, STILL_ACTIVE))
                continue
            if definition.status is TaskDefinitionStatus.INACTIVE:
                definition = replace(
                    definition,
                    status=TaskDefinitionStatus.DELETE_IN_PROGRESS,
                    delete_requested_at=self._clock.now(),
                )
                writes.append(Put(TASK_DEFINITION, definition))
            shown.append(definition_wire.definition_to(definition))
        if writes:
            self._store.transact(*writes)
        return {"taskDefinitions": shown, "failures": failures}

    def _has_revisions(self, family: TaskDefinitionFamily) -> bool:
        prefix = f"{family.scope.prefix}{family.family}/"
        return next(iter(self._store.scan(TASK_DEFINITION, prefix)), None) is not None

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
