"""What tasks write, across their containers in time order: the extension behind `portside logs TARGET`."""

import json
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from portside.domain import arn
from portside.domain.log import stream_of
from portside.domain.record import Scope
from portside.domain.table import TASK
from portside.domain.task.record import Task
from portside.store.interface import Store
from portside.telemetry.interface import LogStore, LogStreamMissing, StoredEvent

EVENTS_MOST: Final = 1000
STREAMS_MOST: Final = 2000


class InstanceFiles(Protocol):
    """What the log driver json-file has written on container instances."""

    def __call__(
        self, instance_id: str, container: str, *, start_ms: int | None, after: str | None, from_head: bool, limit: int
    ) -> Awaitable[list[StoredEvent]]:
        """Lines of a container by its runtime id, as the log store's `get`. Nothing if there are no files."""
        ...


@dataclass(frozen=True)
class _Stream:
    """`instance_id`: of the instance that has it in files; `name` is the container's runtime id then."""

    task: Task
    container: str
    scope: Scope
    group: str
    name: str
    instance_id: str = ""

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.group}\n{self.name}"


async def answer(store: Store, logs: LogStore, files: InstanceFiles, asked: bytes) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        asked: {"target": a service, a family, a task's id, the beginning of one or an ARN, "cluster" and "container":
            "" for any, "since": ms since 1970 or None, "lines": how many of the past if there is no such time,
            "after": what the last answer said, None at first}.

    Returns: {"events": [{"at": ms, "task", "service", "family", "container", "message"}], "after": ..., "more": whether
        there are further ones by now}; {"error": ...} with 404 for a target that nothing is called, with 422 for one
        whose output is not kept.
    """
    try:
        wanted = json.loads(asked)
        target, cluster, container = str(wanted["target"]), str(wanted["cluster"]), str(wanted["container"])
        since, lines, after = wanted["since"], int(wanted["lines"]), wanted["after"]
    except (ValueError, KeyError, TypeError):
        return 400, {"error": "the request is not one of `portside logs`"}
    tasks = [task for task in store.scan(TASK) if (not cluster or task.cluster == cluster) and _is(task, target)]
    if not tasks and after is None:
        where = f" in the cluster {cluster}" if cluster else ""
        return 404, {"error": f"there is no service, family or task {target}{where}"}
    streams = [each for task in tasks for each in _streams(task, container)]
    if not streams and after is None:
        said = f"no container {container} of {target}" if container else f"nothing of {target}"
        return 422, {"error": f"{said} writes to CloudWatch Logs or a json-file"}
    streams = sorted(streams, key=lambda each: each.task.created_at)[-STREAMS_MOST:]
    found: list[tuple[StoredEvent, _Stream]] = []
    for stream in streams:
        found += [(each, stream) for each in await _events(logs, files, stream, since, lines, after)]
    found.sort(key=lambda each: (each[0].at_ms, each[0].id))
    is_past = after is None and since is None
    shown = found[-lines:] if is_past and lines else [] if is_past else found[:EVENTS_MOST]
    cursors = dict(after["streams"]) if after is not None else {}
    for event, stream in found if is_past else shown:
        cursors[stream.key] = [event.at_ms, event.id]
    live = {each.key for each in streams}
    return 200, {
        "events": [_to(*each) for each in shown],
        "after": {"streams": {key: each for key, each in cursors.items() if key in live}},
        "more": not is_past and len(found) > len(shown),
    }


def _is(task: Task, target: str) -> bool:
    if target.startswith("arn:"):
        named = arn.service(task.scope, task.cluster, task.service) if task.service is not None else ""
        return target in (arn.task(task.scope, task.cluster, task.id), named)
    return bool(target) and (target in (task.service, task.family) or task.id.startswith(target))


def _streams(task: Task, container: str) -> Iterator[_Stream]:
    runtime_ids = {each.name: each.runtime_id for each in task.history}
    for definition in task.containers:
        if container and definition.name != container:
            continue
        runtime_id = runtime_ids.get(definition.name, "")
        if definition.log is not None and definition.log.driver == "json-file" and task.placement is not None:
            placed = {"name": runtime_id, "instance_id": task.placement.instance_id}
            yield _Stream(task=task, container=definition.name, scope=task.scope, group="", **placed)
            continue
        found = stream_of(definition.name, definition.log, task.id, runtime_id)
        if found is not None:
            region, group, name = found
            scope = Scope(account=task.scope.account, region=region or task.scope.region)
            yield _Stream(task=task, container=definition.name, scope=scope, group=group, name=name)


async def _events(
    logs: LogStore,
    files: InstanceFiles,
    stream: _Stream,
    since: int | None,
    lines: int,
    after: Mapping[str, Any] | None,
) -> list[StoredEvent]:
    cursor = after["streams"].get(stream.key) if after is not None else None
    from_head = after is not None or since is not None
    limit = EVENTS_MOST + 1 if from_head else max(lines, 1)
    if stream.instance_id:
        return await files(
            *(stream.instance_id, stream.name),
            start_ms=since,
            after=str(cursor[1]) if cursor is not None else None,
            from_head=from_head,
            limit=limit,
        )
    try:
        return await logs.get(
            *(stream.scope, stream.group, stream.name),
            start_ms=since,
            end_ms=None,
            after=(int(cursor[0]), str(cursor[1])) if cursor is not None else None,
            before=None,
            from_head=from_head,
            limit=limit,
        )
    except LogStreamMissing:
        return []  # it has written nothing yet


def _to(event: StoredEvent, stream: _Stream) -> dict[str, Any]:
    task = stream.task
    return {
        "at": event.at_ms,
        "task": task.id,
        "service": task.service,
        "family": task.family,
        "container": stream.container,
        "containers": len(task.containers),
        "message": event.message,
    }
