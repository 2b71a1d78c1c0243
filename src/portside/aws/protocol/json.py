"""JSON 1.0 and 1.1 (ECS, CloudWatch Logs): the operation in X-Amz-Target, objects each way, times as epoch seconds."""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from portside.aws.constraint import REQUIRED, Path, Violation, constraints_of, each, validation_message
from portside.aws.model import OperationModel, Ref, ServiceModel, Shape
from portside.aws.protocol.interface import Fault, Message, Parse, Serialize
from portside.aws.request import Request
from portside.aws.service import Params, Result, ServiceError

Convert = Callable[[Any], Any]
Read = Callable[[Any, Path, list[Violation]], Any]
Write = Callable[[Any], Any]

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

AUTH_CODES = {
    "missing": ("MissingAuthenticationTokenException", 403),
    "incomplete": ("IncompleteSignatureException", 400),
    "unknown_key": ("UnrecognizedClientException", 400),
    "mismatch": ("InvalidSignatureException", 400),
    "expired": ("InvalidSignatureException", 400),
    "token": ("UnrecognizedClientException", 400),
}

# What AWS names the JSON values it meets and the types it wanted.
_MET = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE"}
_WANTED = {
    "string": "String",
    "integer": "Integer",
    "long": "Long",
    "float": "Float",
    "double": "Double",
    "boolean": "Boolean",
    "timestamp": "Timestamp",
    "blob": "ByteBuffer",
}


class JsonProtocol:
    """Args:
    model: the service, or None to answer errors only.
    """

    def __init__(self, model: ServiceModel | None) -> None:
        version = (model.metadata.jsonVersion if model is not None else None) or "1.1"
        self.content_type = f"application/x-amz-json-{version}"
        self._model = model
        self._target_prefix = (model.metadata.targetPrefix if model is not None else None) or ""
        self._readers: dict[str, Read] = {}
        self._writers: dict[str, Write | None] = {}

    def read(self, request: Request) -> Message:
        prefix, dot, name = request.headers.get("x-amz-target", "").partition(".")
        known = dot and prefix == self._target_prefix
        return Message(operation=name if known else None, version=None, payload=request.content)

    def parser(self, operation: OperationModel) -> Parse:
        if operation.input is None:
            return lambda payload: {}
        read = self._reader(operation.input)
        code = self._validation_code(operation)

        def parse(payload: bytes) -> Params:
            try:
                value = _decode(payload) if payload else {}
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                raise ServiceError("SerializationException", f"The request body is not valid JSON: {error}") from None
            violations: list[Violation] = []
            params: Params = read(value, None, violations)
            if violations:
                raise ServiceError(code, validation_message(violations))
            return params

        return parse

    def serializer(self, operation: OperationModel) -> Serialize:
        output = operation.output
        if output is None:
            return lambda result, request_id: b""
        write = self._writer(output)

        def serialize(result: Result | None, request_id: str) -> bytes:
            value = result if result is not None else {}
            return _encode(write(value) if write is not None else value)

        return serialize

    def error(self, fault: Fault, request_id: str) -> bytes:
        return _encode({"__type": fault.code, **fault.fields, "message": fault.message})

    def unknown_operation(self, name: str | None) -> Fault:
        message = f"The operation {name} is not known." if name else "The X-Amz-Target header names no known operation."
        return Fault("UnknownOperationException", message, 400, {})

    def auth_fault(self, reason: str, message: str) -> Fault:
        code, status = AUTH_CODES[reason]
        return Fault(code, message, status, {})

    def _validation_code(self, operation: OperationModel) -> str:
        """Which error of the operation's own says "invalid parameter"."""
        listed = [error.shape for error in operation.errors]
        if operation.name == "RegisterTaskDefinition":
            return "ClientException"
        for code in ("InvalidParameterException", "ValidationException", "ClientException"):
            if code in listed:
                return code
        return "ValidationException"

    # Parsing

    def _shape(self, ref: Ref) -> Shape:
        assert self._model is not None
        return self._model.shapes[ref.shape]

    def _reader(self, ref: Ref) -> Read:
        known = self._readers.get(ref.shape)
        if known is not None:
            return known
        # Shapes may contain themselves: until it is compiled, a shape stands in by name.
        self._readers[ref.shape] = lambda value, path, violations: self._readers[ref.shape](value, path, violations)
        made = self._readers[ref.shape] = self._compile_reader(self._shape(ref))
        return made

    def _compile_reader(self, shape: Shape) -> Read:
        match shape.type:
            case "structure" if shape.document:
                return lambda value, path, violations: value
            case "structure":
                return self._structure_reader(shape)
            case "list":
                return self._list_reader(shape)
            case "map":
                return self._map_reader(shape)
        convert, rules, sensitive = _converter(shape), constraints_of(shape), shape.sensitive
        if not rules:
            return lambda value, path, violations: convert(value)

        def leaf(value: Any, path: Path, violations: list[Violation]) -> Any:
            value = convert(value)
            for rule in rules:
                if not rule.holds(value):
                    violations.append(Violation(path, value, rule, sensitive))
            return value

        return leaf

    def _structure_reader(self, shape: Shape) -> Read:
        members = {name: self._reader(ref) for name, ref in shape.members.items()}
        member, required = members.get, shape.required

        def structure(value: Any, path: Path, violations: list[Violation]) -> Any:
            if type(value) is not dict:
                _refuse_container(value, dict)
            found = {}
            for name, item in value.items():
                # What the model does not have is ignored, as AWS does; null is the same as absent.
                if item is not None and (read := member(name)) is not None:
                    found[name] = read(item, (path, name), violations)
            for name in required:
                if name not in found:
                    violations.append(Violation((path, name), None, REQUIRED))
            return found

        return structure

    def _list_reader(self, shape: Shape) -> Read:
        assert shape.member is not None
        element, rules = self._shape(shape.member), constraints_of(shape)
        if element.type not in ("structure", "list", "map"):
            convert = _converter(element)
            rules += each(constraints_of(element))

            def simple(value: Any, path: Path, violations: list[Violation]) -> Any:
                if type(value) is not list:
                    _refuse_container(value, list)
                found = [convert(item) for item in value if item is not None]
                for rule in rules:
                    if not rule.holds(found):
                        violations.append(Violation(path, found, rule))
                return found

            return simple
        read = self._reader(shape.member)

        def structured(value: Any, path: Path, violations: list[Violation]) -> Any:
            if type(value) is not list:
                _refuse_container(value, list)
            found = []
            for position, item in enumerate(value, 1):
                if item is None:
                    violations.append(Violation((path, str(position)), None, REQUIRED))
                else:
                    found.append(read(item, (path, str(position)), violations))
            for rule in rules:
                if not rule.holds(found):
                    violations.append(Violation(path, found, rule))
            return found

        return structured

    def _map_reader(self, shape: Shape) -> Read:
        assert shape.key is not None
        assert shape.value is not None
        rules = constraints_of(shape) + each(constraints_of(self._shape(shape.key)), "Map keys")
        target = self._shape(shape.value)
        read: Read
        if target.type in ("structure", "list", "map"):
            read = self._reader(shape.value)
        else:
            convert = _converter(target)
            rules += each(constraints_of(target), "Map value", lambda found: found.values())

            def read(value: Any, path: Path, violations: list[Violation]) -> Any:
                return convert(value)

        def mapping(value: Any, path: Path, violations: list[Violation]) -> Any:
            if type(value) is not dict:
                _refuse_container(value, dict)
            found = {name: read(item, (path, name), violations) for name, item in value.items() if item is not None}
            for rule in rules:
                if not rule.holds(found):
                    violations.append(Violation(path, found, rule))
            return found

        return mapping

    # Serialising

    def _writer(self, ref: Ref) -> Write | None:
        if ref.shape in self._writers:
            return self._writers[ref.shape]
        self._writers[ref.shape] = lambda value: self._write_late(ref.shape, value)
        made = self._writers[ref.shape] = self._compile_writer(self._shape(ref), ref.shape)
        return made

    def _write_late(self, name: str, value: Any) -> Any:
        write = self._writers[name]
        return write(value) if write is not None else value

    def _compile_writer(self, shape: Shape, name: str) -> Write | None:
        match shape.type:
            case "structure" if shape.document:
                return None
            case "structure":
                return self._structure_writer(shape, name)
            case "list":
                assert shape.member is not None
                return _list_writer(self._writer(shape.member), name)
            case "map":
                assert shape.value is not None
                return _map_writer(self._writer(shape.value), name)
        return _LEAF_WRITERS[shape.type]

    def _structure_writer(self, shape: Shape, name: str) -> Write:
        if shape.eventstream:
            raise NotImplementedError(f"{name}: event streams are not implemented")
        members = {member: self._writer(ref) for member, ref in shape.members.items()}

        def structure(value: Any) -> Any:
            written = {}
            for member, item in value.items():
                if item is None:
                    continue
                try:
                    write = members[member]
                except KeyError:
                    raise TypeError(f"{name} has no member {member!r}") from None
                try:
                    written[member] = write(item) if write is not None else item
                except (TypeError, AttributeError) as error:
                    raise TypeError(f"{name}.{member}: {error}") from None
            return written

        return structure


def _refuse(value: Any, wanted: str) -> NoReturn:
    match value:
        case dict():
            message = "Start of structure or map found where not expected."
        case list():
            message = "Start of list found where not expected."
        case bool():
            message = f"{'TRUE' if value else 'FALSE'}_VALUE cannot be converted to {wanted}"
        case _:
            message = f"{_MET.get(type(value), 'NULL_VALUE')} cannot be converted to {wanted}"
    raise ServiceError("SerializationException", message)


def _refuse_container(value: Any, wanted: type) -> NoReturn:
    if isinstance(value, dict | list):
        _refuse(value, "")
    raise ServiceError(
        "SerializationException",
        "Expected list or null" if wanted is list else "Expected a structure, a map or null",
    )


_INTEGER_BITS = {"integer": 31, "long": 63}


def _converter(shape: Shape) -> Convert:
    wanted = _WANTED[shape.type]

    def string(value: Any) -> Any:
        if type(value) is not str:
            _refuse(value, wanted)
        return value

    def boolean(value: Any) -> Any:
        if type(value) is not bool:
            _refuse(value, wanted)
        return value

    limit = 1 << _INTEGER_BITS.get(shape.type, 63)

    def integer(value: Any) -> Any:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            _refuse(value, wanted)
        if not -limit <= value < limit:
            raise ServiceError("SerializationException", f"Numeric value ({value}) out of range of {wanted}")
        return value

    def number(value: Any) -> Any:
        if type(value) is int or type(value) is float:
            return float(value)
        _refuse(value, wanted)

    def timestamp(value: Any) -> Any:
        if type(value) is not int and type(value) is not float:
            _refuse(value, wanted)
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            raise ServiceError("SerializationException", f"Numeric value ({value}) is no time") from None

    def blob(value: Any) -> Any:
        if type(value) is not str:
            _refuse(value, wanted)
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ServiceError("SerializationException", "A binary value is not in base64") from None

    match shape.type:
        case "string":
            return string
        case "boolean":
            return boolean
        case "integer" | "long":
            return integer
        case "float" | "double":
            return number
        case "timestamp":
            return timestamp
        case _:
            return blob


def _list_writer(write: Write | None, name: str) -> Write:
    def items(value: Any) -> Any:
        if type(value) is not list and type(value) is not tuple:
            raise TypeError(f"{name} must be a list, not {value!r}")
        return [write(item) for item in value] if write is not None else list(value)

    return items


def _map_writer(write: Write | None, name: str) -> Write:
    def entries(value: Any) -> Any:
        return {key: write(item) if write is not None else item for key, item in value.items()}

    return entries


def _write_string(value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"must be a string, not {value!r}")
    return value


def _write_integer(value: Any) -> Any:
    if not isinstance(value, int) or value is True or value is False:
        raise TypeError(f"must be an integer, not {value!r}")
    return value


def _write_boolean(value: Any) -> Any:
    if value is not True and value is not False:
        raise TypeError(f"must be a boolean, not {value!r}")
    return value


def _write_number(value: Any) -> Any:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"must be a number, not {value!r}")
    return value


def _write_timestamp(value: Any) -> Any:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"must be an aware datetime, not {value!r}")
    return round(value.timestamp(), 3)


def _write_blob(value: Any) -> Any:
    return base64.b64encode(value).decode()


_LEAF_WRITERS: dict[str, Write] = {
    "string": _write_string,
    "integer": _write_integer,
    "long": _write_integer,
    "boolean": _write_boolean,
    "float": _write_number,
    "double": _write_number,
    "timestamp": _write_timestamp,
    "blob": _write_blob,
}
