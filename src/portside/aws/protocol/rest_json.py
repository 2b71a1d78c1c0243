"""REST with JSON (EFS): the operation in method and path; parameters in path, query and body; JSON each way.

Parsing and validation of what is in the body are those of the JSON protocol. Parameters in headers, bodies that are one
member alone, and members of another name on the wire are not there: no service that is answered has them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

import msgspec

from portside.aws.constraint import Violation, validation_message
from portside.aws.model import OperationModel, Ref, ServiceModel
from portside.aws.protocol.interface import Fault, Message, Parse, Serialize
from portside.aws.protocol.json import JsonProtocol
from portside.aws.request import Request
from portside.aws.service import Params, ServiceError

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_LABEL = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Payload:
    """What a request of a known operation carries, by where it is."""

    labels: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    path: re.Pattern[str]
    operation: str


class RestJsonProtocol(JsonProtocol):
    """Args:
    model: the service, or None to answer errors only.
    """

    def __init__(self, model: ServiceModel | None) -> None:
        super().__init__(model)
        self.content_type = "application/json"
        operations = model.operations.values() if model is not None else ()
        # What names its path in full wins over what has a label there.
        ordered = sorted(operations, key=lambda each: each.http.requestUri.count("{"))
        self._routes = [_Route(each.http.method, _pattern(each.http.requestUri), each.name) for each in ordered]

    def read(self, request: Request) -> Message:
        path = request.path.rstrip("/")
        for route in self._routes:
            if route.method == request.method and (found := route.path.fullmatch(path)) is not None:
                labels = {name: unquote(text) for name, text in found.groupdict().items()}
                query: dict[str, list[str]] = {}
                for name, value in parse_qsl(request.query, keep_blank_values=True):
                    query.setdefault(name, []).append(value)
                return Message(operation=route.operation, version=None, payload=Payload(labels, query, request.content))
        return Message(operation=None, version=None, payload=None)

    def parser(self, operation: OperationModel) -> Parse:
        if operation.input is None:
            return lambda payload: {}
        shape = self._shape(operation.input)
        assert shape.payload is None, f"{operation.name}: a body that is one member is not implemented"
        read, code = self._reader(operation.input), self._validation_code(operation)
        outside = [(name, ref, self._from_text(ref)) for name, ref in shape.members.items() if ref.location is not None]
        placed = {name for name, _, _ in outside}

        def parse(payload: Payload) -> Params:
            violations: list[Violation] = []
            try:
                given = _decode(payload.body) if payload.body else {}
                if not isinstance(given, dict):
                    raise ServiceError("SerializationException", "The request body is not a JSON object")
                given = {name: value for name, value in given.items() if name not in placed}
                for name, ref, convert in outside:
                    wire = ref.locationName or name
                    if ref.location == "uri":
                        given[name] = convert([payload.labels[wire]])
                    elif wire in payload.query:
                        given[name] = convert(payload.query[wire])
                params: Params = read(given, None, violations)
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                raise ServiceError("SerializationException", f"The request body is not valid JSON: {error}") from None
            if violations:
                raise ServiceError(code, validation_message(violations))
            return params

        return parse

    def serializer(self, operation: OperationModel) -> Serialize:
        if operation.http.responseCode == 204:
            return lambda result, request_id: b""
        if operation.output is None:
            return lambda result, request_id: b""
        shape = self._shape(operation.output)
        odd = [name for name, ref in shape.members.items() if ref.location is not None]
        assert shape.payload is None, f"{operation.name}: a body that is one member is not implemented"
        assert not odd, f"{operation.name}: answers in headers are not implemented"
        return super().serializer(operation)

    def error(self, fault: Fault, request_id: str) -> bytes:
        members = self._error_members(fault.code)
        document: dict[str, Any] = {**fault.fields}
        if "ErrorCode" in members:
            document["ErrorCode"] = fault.code
        document["Message" if "Message" in members else "message"] = fault.message
        return _encode(document)

    def unknown_operation(self, name: str | None) -> Fault:
        return Fault("UnknownOperationException", "The method and path name no known operation.", 404, {})

    def _error_members(self, code: str) -> Mapping[str, Ref]:
        shape = self._model.shapes.get(code) if self._model is not None else None
        return shape.members if shape is not None and shape.exception else {}

    def _validation_code(self, operation: OperationModel) -> str:
        listed = [error.shape for error in operation.errors]
        return "BadRequest" if "BadRequest" in listed else super()._validation_code(operation)

    def _from_text(self, ref: Ref) -> Callable[[list[str]], Any]:
        assert ref.location in ("uri", "querystring"), f"{ref.shape}: parameters in a {ref.location} are not there"
        shape = self._shape(ref)
        match shape.type:
            case "string":
                return lambda texts: texts[-1]
            case "integer" | "long":
                return lambda texts: _integer(texts[-1])
            case "boolean":
                return lambda texts: _boolean(texts[-1])
            case "list" if shape.member is not None and self._shape(shape.member).type == "string":
                return lambda texts: texts
        raise AssertionError(f"{ref.shape}: a {shape.type} in a {ref.location} is not implemented")


def _pattern(uri: str) -> re.Pattern[str]:
    path = uri.partition("?")[0].rstrip("/")
    parts = _LABEL.split(path)  # literal, label, literal, ...
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        _refuse(text, "Integer")


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        _refuse(text, "Boolean")
    return text == "true"


def _refuse(text: str, wanted: str) -> NoReturn:
    raise ServiceError("SerializationException", f"STRING_VALUE {text[:64]!r} cannot be converted to {wanted}")
