"""The endpoint itself: an ASGI application for each VPC, and one for each container instance.

Who asks is told by the VPC and the source address, which its router lets nobody forge; a task hears of nobody but
itself, whatever ids it names. On an instance a bridged container is told by its address, too; tasks that share the
instance's own network are told apart by what they name, as on AWS. Sources: ECS developer guide, "Amazon ECS task
metadata endpoint"; the throttle is that of "Amazon ECS service quotas": 40 requests a second for each task, 60 at once.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime, timedelta
from typing import Any, Final

from portside.api.metadata import protection
from portside.api.metadata.document import container_document, task_document
from portside.api.metadata.statistic import statistics
from portside.domain import metadata
from portside.domain.clock import Clock
from portside.domain.table import ENI, INSTANCE, TASK
from portside.domain.task.record import ContainerHistory, Task
from portside.domain.usage import Usage
from portside.store.interface import Store

RATE: Final = 40.0
BURST: Final = 60.0
_BODY_MAX_BYTES: Final = 4096
_FORGOTTEN: Final = timedelta(minutes=5)
"""A sample or a count that nobody asked for since is not kept."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Credentials = Callable[[Task], Mapping[str, Any]]
"""A task's role credentials as the SDKs read them: RoleArn, AccessKeyId, SecretAccessKey, Token, Expiration."""


class MetadataEndpoint:
    """
    Args:
        usage: what a container uses, by its runtime id; None if it does not run.
        storage: bytes that a task's containers have written, and may write, by the task's id.
        credentials: of the task's role.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        usage: Callable[[str], Awaitable[Usage | None]],
        storage: Callable[[str], tuple[int, int] | None],
        credentials: Credentials,
    ) -> None:
        self._store, self._clock = store, clock
        self._usage, self._storage, self._credentials = usage, storage, credentials
        self._samples: dict[str, Usage] = {}
        self._allowances: dict[str, tuple[float, datetime]] = {}

    def for_place(self, place: str) -> App:
        """The application for requests that arrive in this VPC or on this instance."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            client = scope.get("client")
            address, method, path = client[0] if client else "", scope["method"], scope["path"]
            body = await _body(receive) if method == "PUT" else b""
            status, document = await self.answer(place, address, method, path, body)
            data = json.dumps(document).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": data})

        return app

    async def answer(self, place: str, address: str, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """HTTP status and document."""
        task = self._task_on(place, address, path) if place.startswith("i-") else self._task_at(place, address)
        if task is None:
            return 404, _error("no task here has that address", 404)
        if method not in ("GET", "HEAD", "PUT") or (method == "PUT" and not path.startswith("/api/")):
            return 405, _error("only GET is answered", 405)
        if not self._allowed(task.key):
            return 429, _error("You have reached maximum request limit.", 429)
        if path.startswith("/v2/credentials/"):
            return self._role(task, path)
        version, _, rest = path.removeprefix("/").partition("/")
        runtime_id, _, what = rest.rstrip("/").partition("/")
        history = next((each for each in task.history if each.runtime_id == runtime_id), None)
        if version == "api" and history is not None and what == protection.PATH:
            return protection.answer(self._store, self._clock, task, method, body)
        if version not in ("v3", "v4") or history is None:
            return 404, _error(f"there is nothing at {path}", 404)
        return await self._document(task, history, int(version[1:]), what) or (
            404,
            _error(f"there is nothing at {path}", 404),
        )

    async def _document(self, task: Task, history: ContainerHistory, version: int, what: str) -> tuple[int, Any] | None:
        match what:
            case "":
                return 200, container_document(task, history, version=version)
            case "task" | "taskWithTags":
                storage = self._storage(task.id) if task.launch_type == "FARGATE" else None
                with_tags = what == "taskWithTags"
                return 200, task_document(task, version=version, storage=storage, with_tags=with_tags)
            case "stats":
                found = await self._statistics(history)
                return (200, found) if found is not None else (500, _error("the container does not run", 500))
            case "task/stats":
                return 200, {each.runtime_id: await self._statistics(each) for each in task.history}
            case _:
                return None

    async def _statistics(self, history: ContainerHistory) -> dict[str, Any] | None:
        usage = await self._usage(history.runtime_id)
        if usage is None:
            self._samples.pop(history.runtime_id, None)
            return None
        before = self._samples.get(history.runtime_id)
        self._samples[history.runtime_id] = usage
        return statistics(history.name, history.runtime_id, usage, before)

    def _role(self, task: Task, path: str) -> tuple[int, Any]:
        if path != metadata.credentials_path(task):
            return 400, {
                "code": "InvalidIdInRequest",
                "message": "CredentialsV2Request: Credentials not found",
                "HTTPErrorCode": 400,
            }
        return 200, dict(self._credentials(task))

    def _task_at(self, vpc_id: str, address: str) -> Task | None:
        """The task whose interface has the address; one that is not a task's own has none."""
        for eni in self._store.find(ENI, "place", f"{vpc_id}/{address}"):
            if eni.owner.startswith("task:"):
                return self._store.get(TASK, eni.owner.removeprefix("task:"))
        return None

    def _task_on(self, instance_id: str, address: str, path: str) -> Task | None:
        """The task on the instance that has the address on its bridge; else one in its network that names itself."""
        tasks = [
            task
            for instance in self._store.find(INSTANCE, "id", instance_id)
            for task in self._store.find(TASK, "on_instance", instance.key)
        ]
        for task in tasks:
            if task.placement is not None and any(each.address == address for each in task.placement.endpoints):
                return task
        named = path.split("/")[2] if path.count("/") >= 2 else ""
        for task in tasks:
            if task.network_mode == "host" and (
                any(each.runtime_id == named for each in task.history)
                or (metadata.credentials_path(task) == path and path != "")
            ):
                return task
        return None

    def _allowed(self, task_key: str) -> bool:
        """One request less of the task's allowance, which grows by RATE a second up to BURST."""
        now = self._clock.now()
        if len(self._allowances) > 1000:
            self._forget(now)
        left, since = self._allowances.get(task_key, (BURST, now))
        left = min(BURST, left + RATE * max(0.0, (now - since).total_seconds()))
        self._allowances[task_key] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def _forget(self, now: datetime) -> None:
        self._allowances = {key: each for key, each in self._allowances.items() if now - each[1] < _FORGOTTEN}
        self._samples = {key: each for key, each in self._samples.items() if now - each.at < _FORGOTTEN}


async def _body(receive: Receive) -> bytes:
    """That of the request, as far as it is of use to anybody here."""
    data, more = b"", True
    while more and len(data) <= _BODY_MAX_BYTES:
        event = await receive()
        data += event.get("body", b"")
        more = event.get("more_body", False)
    return data[:_BODY_MAX_BYTES]


def _error(message: str, status: int) -> dict[str, Any]:
    return {"code": str(status), "message": message, "HTTPErrorCode": status}
