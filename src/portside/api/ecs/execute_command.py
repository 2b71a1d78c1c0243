"""ExecuteCommand: a session for a command in a running container, to be opened at its data channel.

A session that was answered waits in memory for its client: for a minute, and for one client only.
"""

import hmac
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from portside.api.ecs import lookup
from portside.api.ecs.error import client_error, invalid
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.table import TASK
from portside.domain.task.record import Task, TaskStatus
from portside.store.interface import Store

DATA_CHANNEL: Final = "/_portside/v1/data-channel/"
TOKEN_LIFE: Final = timedelta(seconds=60)
WAITING_MOST: Final = 256

NOT_ENABLED: Final = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn’t running. Wait and try again or run a new task with execute command enabled and try again."
)
NOT_CONNECTED: Final = "The execute command failed due to an internal error. Try again later."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client may open with its token."""

    task_key: str
    container: str
    command: tuple[str, ...]
    token: str
    until: datetime


class ExecSessions:
    """The sessions that wait for their client."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, Asked] = {}

    def ask(self, task_key: str, container: str, command: tuple[str, ...]) -> tuple[str, str]:
        """Returns: (session id, token)."""
        now = self._clock.now()
        self._waiting = {name: each for name, each in self._waiting.items() if each.until > now}
        if len(self._waiting) >= WAITING_MOST:
            raise client_error(f"{WAITING_MOST} sessions wait for their clients; try again in a minute.")
        session_id, token = f"ecs-execute-command-{secrets.token_hex(9)[:17]}", secrets.token_urlsafe(48)
        self._waiting[session_id] = Asked(
            task_key=task_key, container=container, command=command, token=token, until=now + TOKEN_LIFE
        )
        return session_id, token

    def take(self, session_id: str, token: str) -> Asked | None:
        """What was asked for, once; None if the token is another, or too old."""
        asked = self._waiting.get(session_id)
        if asked is None or not hmac.compare_digest(asked.token.encode(), token.encode()):
            return None
        del self._waiting[session_id]
        return asked if asked.until > self._clock.now() else None


class ExecuteCommand:
    def __init__(self, store: Store, clock: Clock, sessions: ExecSessions) -> None:
        self._store, self._clock, self._sessions = store, clock, sessions

    def handlers(self) -> Mapping[str, Handler]:
        return {"ExecuteCommand": self.execute}

    def execute(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster"))
        task_id = lookup.in_cluster(context, cluster.name, params["task"], "task")
        task = self._store.get(TASK, f"{context.prefix}{cluster.name}/{task_id}")
        if task is None:
            raise invalid("The specified task wasn't found. Specify a valid task and try again.")
        if not params["interactive"]:
            raise invalid("Interactive is the only mode supported currently.")
        if not task.enable_execute_command:
            raise invalid(NOT_ENABLED)
        container = _container(task, params.get("container"))
        history = next(each for each in task.history if each.name == container)
        if history.exit is not None or task.last_status is TaskStatus.STOPPED:
            raise ServiceError("TargetNotConnectedException", NOT_CONNECTED)
        if history.started_at is None:
            raise invalid(NOT_ENABLED)
        session_id, token = self._sessions.ask(task.key, container, _command(params["command"]))
        return {
            "clusterArn": arn.cluster(task.scope, task.cluster),
            "containerArn": arn.container(task.scope, task.cluster, task.id, arn.container_id(task.id, container)),
            "containerName": container,
            "interactive": True,
            "session": {
                "sessionId": session_id,
                "streamUrl": f"ws://{context.host}{DATA_CHANNEL}{session_id}?role=publish_subscribe",
                "tokenValue": token,
            },
            "taskArn": arn.task(task.scope, task.cluster, task.id),
        }


def _container(task: Task, named: str | None) -> str:
    names = [each.name for each in task.containers]
    if not named:
        if len(names) > 1:
            raise invalid("The container name must be specified for tasks with multiple containers.")
        return names[0]
    if named not in names:
        raise invalid(f"The container {named} wasn't found in the task. Specify a valid container and try again.")
    return named


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise invalid(f"The command can not be taken apart: {error}.") from error
    if not words:
        raise invalid("The command can not be blank.")
    return words
