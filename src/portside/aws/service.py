"""What a handler is to the gateway: a context, parameters in, a result out, or a service error.

Parameters and results are plain dicts in AWS's wire names, already parsed and validated by botocore's model. They stop
at `api/`: handlers turn them into records.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Params = Mapping[str, Any]
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity of a session, proved by its signature.

    Args:
        arn: as GetCallerIdentity shows it: of a role's session, or an account's root.
        role_arn: the role that was assumed; empty for a session of the account itself.
    """

    account: str
    arn: str
    user_id: str
    role_arn: str = ""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks for what. `service` is the signing name's botocore service (ecs, ec2, elbv2, logs, sts, iam)."""

    account: str
    region: str
    service: str
    operation: str
    request_id: str
    access_key_id: str
    user_agent: str = ""
    host: str = "127.0.0.1:4566"  # by which the client reached the endpoint
    principal: Principal | None = None  # of a session; any other key is its account's root

    @property
    def prefix(self) -> str:
        return f"{self.account}/{self.region}/"

    @property
    def root_arn(self) -> str:
        return f"arn:aws:iam::{self.account}:root"

    @property
    def principal_arn(self) -> str:
        """Who asks, as GetCallerIdentity shows it: of a session, the session."""
        return self.principal.arn if self.principal is not None else self.root_arn

    @property
    def identity_arn(self) -> str:
        """Who asks, as something that stays when the session ends: of a role's session, the role."""
        return (self.principal.role_arn if self.principal is not None else "") or self.root_arn


class ServiceError(Exception):
    """An error answer: AWS's code, HTTP status and message.

    `code` is the shape name of the service's model where it has one (ClusterNotFoundException), else the error code
    as documented (InvalidParameterValue). `fields` are further members of the error shape.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.fields = code, message, status, fields


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that goes on: events by the name that the stream's shape gives them. A ServiceError of the source ends
    it, as one of the shape's exceptions. When the client is gone, the source is closed."""

    events: AsyncGenerator[tuple[str, Result], None]


Handler = Callable[[RequestContext, Params], Result | EventStream | Awaitable[Result | None] | None]
"""May be a plain function (preferred: no await between reading and committing) or a coroutine function."""


@dataclass(frozen=True)
class Service:
    """A service's name in botocore and its implemented operations: the visible list the coverage page is made of.

    `partial` says, per operation, what is not there yet, and `notes` is Markdown of its own (for the coverage page).
    """

    name: str
    handlers: Mapping[str, Handler]
    partial: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
