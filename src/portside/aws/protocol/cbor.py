"""Smithy RPC v2 CBOR (Cloud Map, CloudWatch): the operation in the path, CBOR each way, times as tagged epoch seconds.

Validation, and which members there are, are those of the JSON protocol.
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from portside.aws import cbor
from portside.aws.model import ServiceModel, Shape
from portside.aws.protocol.interface import Fault, Message
from portside.aws.protocol.json import Convert, Epoch, JsonProtocol, Late, converter, refuse
from portside.aws.request import Request

PROTOCOL = "rpc-v2-cbor"
"""In the header smithy-protocol, of requests and answers."""
_PATH = re.compile(r"(?:.*)/service/(\w+)/operation/(\w+)")


class CborProtocol(JsonProtocol):
    """Args:
    model: the service, or None to answer errors only.
    """

    headers: tuple[tuple[bytes, bytes], ...] = ((b"smithy-protocol", PROTOCOL.encode()),)
    form = "CBOR"

    def __init__(self, model: ServiceModel | None) -> None:
        super().__init__(model)
        self.content_type = "application/cbor"

    def read(self, request: Request) -> Message:
        found = _PATH.fullmatch(request.path)
        return Message(operation=found[2] if found is not None else None, version=None, payload=request.content)

    def error(self, fault: Fault, request_id: str) -> bytes:
        return cbor.encode({"__type": fault.code, **fault.fields, "message": fault.message})

    def unknown_operation(self, name: str | None) -> Fault:
        message = f"The operation {name} is not known." if name else "The path names no known operation."
        return Fault("UnknownOperationException", message, 404, {})

    def _decode(self, payload: bytes) -> Any:
        return cbor.decode(payload)

    def _encode(self, checked: Any) -> bytes:
        return cbor.encode(msgspec.to_builtins(checked, builtin_types=(datetime, bytes), enc_hook=_on_encode))

    def _converter(self, shape: Shape) -> Convert:
        match shape.type:
            case "timestamp":
                return _time
            case "blob":
                return _blob
            case _:
                return converter(shape)


def _on_encode(value: Any) -> Any:
    if isinstance(value, Epoch):
        return datetime.fromtimestamp(value.seconds, UTC)
    if isinstance(value, Late):
        return value.value
    raise NotImplementedError(type(value))


def _time(value: Any) -> datetime:
    if not isinstance(value, datetime):
        refuse(value, "Timestamp")
    return value


def _blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        refuse(value, "ByteBuffer")
    return value
