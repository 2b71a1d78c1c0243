"""What the gateway asks of a wire protocol.

An operation is compiled from the model, when it is first used, into two closures: parsing (with validation) and
serialising.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from portside.aws.model import OperationModel, ServiceModel
from portside.aws.request import Request
from portside.aws.service import Params, Result


@dataclass(frozen=True, slots=True)
class Message:
    """What a request asks for, before its operation is known to exist.

    Args:
        operation: the operation's name, or None if the request names none.
        version: the API version asked for, where the protocol carries one.
        payload: the parameters in the protocol's own form, for the operation's `parse`.
    """

    operation: str | None
    version: str | None
    payload: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """An error on its way to the wire: the code as it shows there."""

    code: str
    message: str
    status: int
    fields: Mapping[str, Any]


Parse = Callable[[Any], Params]
"""From a message's payload to parameters. Raises ServiceError in AWS's words for what the model does not allow."""

Serialize = Callable[[Result | None, str], bytes]
"""From a handler's result and the request's id to the body.

Raises TypeError for a result that the model does not allow: an unknown member, a wrong type. Clients in typed languages
would fail on it, so it is a bug and shows as one."""


class WireProtocol(Protocol):
    """One protocol, for one service (or, where no service could be told, for none)."""

    content_type: str
    headers: tuple[tuple[bytes, bytes], ...]
    """Further ones, of every answer."""

    def read(self, request: Request) -> Message:
        """Tell the operation. Raises ServiceError if the body is not even of this protocol's form."""
        ...

    def parser(self, operation: OperationModel) -> Parse: ...

    def serializer(self, operation: OperationModel) -> Serialize: ...

    def error(self, fault: Fault, request_id: str) -> bytes: ...

    def unknown_operation(self, name: str | None) -> Fault:
        """AWS's answer to an operation that the service does not have."""
        ...

    def auth_fault(self, reason: str, message: str) -> Fault:
        """AWS's answer to a request that cannot be authenticated.

        Args:
            reason: `missing`, `incomplete`, `unknown_key`, `mismatch`, `expired`, `token` or `expired_token`.
        """
        ...


WireProtocolFactory = Callable[[ServiceModel | None], WireProtocol]
