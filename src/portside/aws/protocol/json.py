"""JSON 1.0 and 1.1 (ECS, CloudWatch Logs): the operation in X-Amz-Target, objects each way, times as epoch seconds."""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn

import msgspec

from portside.aws.constraint import REQUIRED, Path, Violation, constraints_of, each, validation_message
from portside.aws.model import OperationModel, Ref, ServiceModel, Shape
from portside.aws.protocol.interface import Fault, Message, Parse, Serialize
from portside.aws.request import Request
from portside.aws.service import Params, Result, ServiceError

Convert = Callable[[Any], Any]
Read = Callable[[Any, Path, list[Violation]], Any]

_decode = msgspec.json.Decoder().decode

AUTH_CODES = {
    "missing": ("MissingAuthenticationTokenException", 403),
    "incomplete": ("IncompleteSignatureException", 400),
    "unknown_key": ("UnrecognizedClientException", 400),
    "mismatch": ("InvalidSignatureException", 400),
    "expired": ("InvalidSignatureException", 400),
    "token": ("UnrecognizedClientException", 400),
    "expired_token": ("ExpiredTokenException", 400),
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

    headers: tuple[tuple[bytes, bytes], ...] = ()
    form = "JSON"

    def __init__(self, model: ServiceModel | None) -> None:
        version = (model.metadata.jsonVersion if model is not None else None) or "1.1"
        self.content_type = f"application/x-amz-json-{version}"
        self._model = model
        self._target_prefix = (model.metadata.targetPrefix if model is not None else None) or ""
        self._readers: dict[str, Read] = {}
        self._types: dict[str, Any] = {}

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
            violations: list[Violation] = []
            try:
                params: Params = read(self._decode(payload) if payload else {}, None, violations)
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                raise ServiceError(
                    "SerializationException", f"The request body is not valid {self.form}: {error}"
                ) from None
            if violations:
                raise ServiceError(code, validation_message(violations))
            return params

        return parse

    def serializer(self, operation: OperationModel) -> Serialize:
        output = operation.output
        if output is None:
            return lambda result, request_id: b""
        if self.has_events(operation):
            return lambda result, request_id: b""
        wanted, name = self._type(output), output.shape

        def serialize(result: Result | None, request_id: str) -> bytes:
            try:
                checked = msgspec.convert(result if result is not None else {}, wanted, dec_hook=_on_convert)
            except msgspec.ValidationError as error:
                raise TypeError(f"{name}: {error}") from None
            return self._encode(checked)

        return serialize

    def event_serializer(self, operation: OperationModel) -> Callable[[str, Mapping[str, Any]], bytes]:
        """For the events of an operation whose output is a stream of them."""
        assert operation.output is not None
        stream = next(
            shape for ref in self._shape(operation.output).members.values() if (shape := self._shape(ref)).eventstream
        )
        wanted = {name: self._type(ref) for name, ref in stream.members.items()}

        def serialize(name: str, value: Mapping[str, Any]) -> bytes:
            try:
                return self._encode(msgspec.convert(value, wanted[name], dec_hook=_on_convert))
            except (msgspec.ValidationError, KeyError) as error:
                raise TypeError(f"{name}: {error}") from None

        return serialize

    def has_events(self, operation: OperationModel) -> bool:
        """Whether an operation's output is a stream of events."""
        output = operation.output
        return output is not None and any(self._shape(ref).eventstream for ref in self._shape(output).members.values())

    def _decode(self, payload: bytes) -> Any:
        return _decode(payload)

    def _encode(self, checked: Any) -> bytes:
        return _encode(checked)

    def _converter(self, shape: Shape) -> Convert:
        return converter(shape)

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
        for code in ("InvalidParameterException", "ValidationException", "ClientException", "InvalidInput"):
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
        convert, rules, sensitive = self._converter(shape), constraints_of(shape), shape.sensitive
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
            convert = self._converter(element)
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
            convert = self._converter(target)
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

    def _type(self, ref: Ref) -> Any:
        """The msgspec type that checks values of a shape and encodes them, both in C."""
        known = self._types.get(ref.shape)
        if known is not None:
            return known
        shape = self._shape(ref)
        match shape.type:
            case "structure" if shape.document:
                made: Any = Any
            case "structure":
                made = self._structure_type(shape, ref.shape)
            case "list":
                assert shape.member is not None
                made = list[self._type(shape.member)]  # type: ignore[misc]
            case "map":
                assert shape.value is not None
                made = dict[str, self._type(shape.value)]  # type: ignore[misc]
            case _:
                made = _TYPES[shape.type]
        self._types[ref.shape] = made
        return made

    def _structure_type(self, shape: Shape, name: str) -> Any:
        if shape.eventstream:
            raise NotImplementedError(f"{name}: event streams are not implemented")
        # Shapes may contain themselves: until its type is made, a shape stands in by a class that is converted later.
        late = self._types[name] = type(name, (Late,), {"find": lambda: self._types[name]})
        fields = [
            (f"m{number}", self._type(ref) | None, msgspec.field(name=member, default=None))
            for number, (member, ref) in enumerate(shape.members.items())
        ]
        made = msgspec.defstruct(name, fields, forbid_unknown_fields=True, omit_defaults=True)
        assert self._types[name] is late
        return made


class Epoch:
    """A time in an answer: seconds since 1970, with milliseconds."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Late:
    """A value of a shape that contains itself, already converted."""

    find: ClassVar[Callable[[], Any]]

    def __init__(self, value: Any) -> None:
        self.value = value


def _on_convert(wanted: Any, value: Any) -> Any:
    if wanted is Epoch:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise TypeError(f"Expected an aware datetime, got {value!r}")
        # Twice as quick as round(..., 3); an answer may hold hundreds of times.
        return Epoch(int(value.timestamp() * 1000 + 0.5) / 1000)
    if issubclass(wanted, Late):
        return wanted(msgspec.convert(value, wanted.find(), dec_hook=_on_convert))
    raise NotImplementedError(wanted)


def _on_encode(value: Any) -> Any:
    if type(value) is Epoch:
        return value.seconds
    if isinstance(value, Late):
        return value.value
    raise NotImplementedError(type(value))


_encode = msgspec.json.Encoder(enc_hook=_on_encode).encode

_TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "float": float,
    "double": float,
    "timestamp": Epoch,
    "blob": bytes,
}


def refuse(value: Any, wanted: str) -> NoReturn:
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
        refuse(value, "")
    raise ServiceError(
        "SerializationException",
        "Expected list or null" if wanted is list else "Expected a structure, a map or null",
    )


_INTEGER_BITS = {"integer": 31, "long": 63}


def converter(shape: Shape) -> Convert:
    wanted = _WANTED[shape.type]

    def string(value: Any) -> Any:
        if type(value) is not str:
            refuse(value, wanted)
        return value

    def boolean(value: Any) -> Any:
        if type(value) is not bool:
            refuse(value, wanted)
        return value

    limit = 1 << _INTEGER_BITS.get(shape.type, 63)

    def integer(value: Any) -> Any:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            refuse(value, wanted)
        if not -limit <= value < limit:
            raise ServiceError("SerializationException", f"Numeric value ({value}) out of range of {wanted}")
        return value

    def number(value: Any) -> Any:
        if type(value) is int or type(value) is float:
            return float(value)
        refuse(value, wanted)

    def timestamp(value: Any) -> Any:
        if type(value) is not int and type(value) is not float:
            refuse(value, wanted)
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            raise ServiceError("SerializationException", f"Numeric value ({value}) is no time") from None

    def blob(value: Any) -> Any:
        if type(value) is not str:
            refuse(value, wanted)
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
