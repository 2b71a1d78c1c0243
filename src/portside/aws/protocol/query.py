"""The query protocol (ELB v2, IAM, STS): a form with Action, Version and dotted parameter names; XML back."""

import base64
import binascii
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from portside.aws.constraint import REQUIRED, Path, Violation, constraints_of, each, validation_message
from portside.aws.model import OperationModel, Ref, ServiceModel, Shape
from portside.aws.protocol.interface import Fault, Message, Parse, Serialize
from portside.aws.protocol.xml import XmlWriter, escape
from portside.aws.request import Request
from portside.aws.service import Result, ServiceError

Read = Callable[[Any, Path, list[Violation]], Any]
Tree = dict[str, Any]

AUTH_CODES = {
    "missing": ("MissingAuthenticationToken", 403),
    "incomplete": ("IncompleteSignature", 400),
    "unknown_key": ("InvalidClientTokenId", 403),
    "mismatch": ("SignatureDoesNotMatch", 403),
    "expired": ("SignatureDoesNotMatch", 403),
    "token": ("InvalidClientTokenId", 403),
    "expired_token": ("ExpiredToken", 403),
}

MAX_FIELDS = 100_000
"""Far more than any operation takes; without a bound a body of separators would hold up everybody else for seconds."""

# Parameters of the protocol and of presigned requests, not of any operation.
_ENVELOPE = frozenset({"Action", "Version"})


class QueryProtocol:
    """Args:
    model: the service, or None to answer errors only.
    """

    content_type = "text/xml"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    milliseconds = False

    def __init__(self, model: ServiceModel | None) -> None:
        self._model = model
        self._readers: dict[tuple[str, bool], Read] = {}
        self._xml = XmlWriter(model, milliseconds=self.milliseconds) if model is not None else None
        self._namespace = model.namespace if model is not None else "http://webservices.amazon.com/AWSFault/2005-15-09"

    def read(self, request: Request) -> Message:
        try:
            form = _fields(request.query) if request.query else {}
            if request.content:
                form.update(_fields(request.content.decode("utf-8")))
        except ValueError as error:
            raise ServiceError("MalformedQueryString", f"The request is not a form that can be read: {error}") from None
        parameters = {key: value for key, value in form.items() if key not in _ENVELOPE and key[:6] != "X-Amz-"}
        return Message(operation=form.get("Action"), version=form.get("Version"), payload=parameters)

    def parser(self, operation: OperationModel) -> Parse:
        if operation.input is None:
            return lambda payload: {}
        read = self._reader(operation.input, False)

        def parse(payload: dict[str, str]) -> Any:
            violations: list[Violation] = []
            params = read(grow(payload.items()), None, violations)
            if violations:
                raise self.invalid(violations)
            return params

        return parse

    def invalid(self, violations: list[Violation]) -> ServiceError:
        """The error for parameters that break the model's rules."""
        return ServiceError("ValidationError", validation_message(violations))

    def malformed(self, value: str, path: Path, wanted: str) -> ServiceError:
        """The error for text that cannot be read as the type wanted."""
        return ServiceError("MalformedInput", f"Value '{value}' cannot be read as {wanted}")

    def serializer(self, operation: OperationModel) -> Serialize:
        name = operation.name
        start = f'<{name}Response xmlns="{self._namespace}">'
        end = f"</RequestId></ResponseMetadata></{name}Response>"
        output = operation.output
        if output is None:
            return lambda result, request_id: f"{start}<ResponseMetadata><RequestId>{request_id}{end}".encode()
        assert self._xml is not None
        emit = self._xml.emitter(output)
        wrapper = output.resultWrapper or f"{name}Result"
        start += f"<{wrapper}>"
        middle = f"</{wrapper}><ResponseMetadata><RequestId>"

        def serialize(result: Result | None, request_id: str) -> bytes:
            out = [start]
            emit(result if result is not None else {}, out)
            out += (middle, request_id, end)
            return "".join(out).encode()

        return serialize

    def error(self, fault: Fault, request_id: str) -> bytes:
        blame = "Sender" if fault.status < 500 else "Receiver"
        fields = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fault.fields.items())
        return (
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{blame}</Type><Code>{escape(fault.code)}</Code>'
            f"<Message>{escape(fault.message)}</Message>{fields}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode()

    def unknown_operation(self, name: str | None) -> Fault:
        if not name:
            return Fault("MissingAction", "The request names no Action.", 400, {})
        version = self._model.metadata.apiVersion if self._model is not None else "unknown"
        return Fault("InvalidAction", f"Could not find operation {name} for version {version}", 400, {})

    def auth_fault(self, reason: str, message: str) -> Fault:
        code, status = AUTH_CODES[reason]
        return Fault(code, message, status, {})

    # Parsing: how names and lists differ between query and EC2

    def member_name(self, member: str, ref: Ref, target: Shape) -> str:
        """The name of a member in the form."""
        return ref.locationName or target.locationName or member

    def list_step(self, shape: Shape, element: Shape) -> str | None:
        """The step between a list's name and its positions, or None if there is none."""
        assert shape.member is not None
        return shape.member.locationName or element.locationName or "member"

    # Parsing

    def _reader(self, ref: Ref, flat: bool) -> Read:
        key = (ref.shape, flat)
        known = self._readers.get(key)
        if known is not None:
            return known
        # Shapes may contain themselves: until it is compiled, a shape stands in by name.
        self._readers[key] = lambda value, path, violations: self._readers[key](value, path, violations)
        assert self._model is not None
        made = self._readers[key] = self._compile(self._model.shapes[ref.shape], flat)
        return made

    def _compile(self, shape: Shape, flat: bool) -> Read:
        match shape.type:
            case "structure":
                return self._structure(shape)
            case "list":
                return self._list(shape, flat)
            case "map":
                return self._map(shape, flat)
        convert = self._leaf(shape)
        rules, sensitive = constraints_of(shape), shape.sensitive
        if not rules:
            return lambda value, path, violations: convert(value, path)

        def leaf(value: Any, path: Path, violations: list[Violation]) -> Any:
            value = convert(value, path)
            for rule in rules:
                if not rule.holds(value):
                    violations.append(Violation(path, value, rule, sensitive))
            return value

        return leaf

    def _structure(self, shape: Shape) -> Read:
        assert self._model is not None
        members: dict[str, tuple[str, Read]] = {}
        for member, ref in shape.members.items():
            target = self._model.shapes[ref.shape]
            flat = ref.flattened or target.flattened
            wire = self.member_name(member, ref, target)
            if flat and target.type == "list" and target.member is not None and target.member.locationName:
                # A flattened list goes by its elements' name.
                wire = target.member.locationName
            members[wire] = (member, self._reader(ref, flat))
        wire_names = {member: wire for wire, (member, _) in members.items()}
        required = [(member, wire_names[member]) for member in shape.required]

        def structure(value: Any, path: Path, violations: list[Violation]) -> Any:
            if type(value) is not dict:
                raise self.malformed(value, path, "a structure")
            found = {}
            for wire, item in value.items():
                known = members.get(wire)
                if known is not None:
                    member, read = known
                    found[member] = read(item, (path, wire), violations)
                elif path is None:
                    self.unknown_parameter(wire)
            for member, wire in required:
                if member not in found:
                    violations.append(Violation((path, wire), None, REQUIRED))
            return found

        return structure

    def unknown_parameter(self, name: str) -> None:
        """A parameter that the operation does not have: AWS's query services ignore it."""

    def _list(self, shape: Shape, flat: bool) -> Read:
        assert self._model is not None
        assert shape.member is not None
        element = self._model.shapes[shape.member.shape]
        step = None if flat else self.list_step(shape, element)
        rules = constraints_of(shape)
        read: Read
        if element.type in ("structure", "list", "map"):
            read = self._reader(shape.member, False)
        else:
            convert = self._leaf(element)
            rules += each(constraints_of(element))

            def read(value: Any, path: Path, violations: list[Violation]) -> Any:
                return convert(value, path)

        def items(value: Any, path: Path, violations: list[Violation]) -> Any:
            found = []
            if type(value) is dict:
                # An empty list is sent as an empty value, with or without the step's name.
                branch = value.get(step, {}) if step is not None else value
                if type(branch) is dict:
                    found = [read(branch[at], (path, at), violations) for at in _positions(branch)]
            elif value != "":
                raise self.malformed(value, path, "a list")
            for rule in rules:
                if not rule.holds(found):
                    violations.append(Violation(path, found, rule))
            return found

        return items

    def _map(self, shape: Shape, flat: bool) -> Read:
        assert self._model is not None
        assert shape.key is not None
        assert shape.value is not None
        key_name, value_name = shape.key.locationName or "key", shape.value.locationName or "value"
        rules = constraints_of(shape) + each(constraints_of(self._model.shapes[shape.key.shape]), "Map keys")
        read = self._reader(shape.value, False)

        def entries(value: Any, path: Path, violations: list[Violation]) -> Any:
            found = {}
            if type(value) is dict:
                branch = value if flat else value.get("entry", {})
                for at in _positions(branch) if type(branch) is dict else ():
                    entry = branch[at]
                    if type(entry) is not dict or type(key := entry.get(key_name)) is not str:
                        raise self.malformed(str(entry), path, "an entry of a map")
                    found[key] = read(entry.get(value_name, ""), (path, key), violations)
            elif value != "":
                raise self.malformed(value, path, "a map")
            for rule in rules:
                if not rule.holds(found):
                    violations.append(Violation(path, found, rule))
            return found

        return entries

    def _leaf(self, shape: Shape) -> Callable[[Any, Path], Any]:
        convert, wanted = _CONVERTERS[shape.type]

        def leaf(value: Any, path: Path) -> Any:
            if type(value) is not str:
                raise self.malformed(str(value), path, wanted)
            try:
                return convert(value)
            except (ValueError, OverflowError, binascii.Error):
                raise self.malformed(value, path, wanted) from None

        return leaf


def _fields(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))


def grow(pairs: Iterable[tuple[str, str]]) -> Tree:
    """Nest dotted names: `a.b.1=x` becomes {"a": {"b": {"1": "x"}}}."""
    root: Tree = {}
    for name, value in pairs:
        if "." not in name:
            root.setdefault(name, value)
            continue
        *way, last = name.split(".")
        node = root
        for step in way:
            below = node.get(step)
            if type(below) is not dict:
                below = node[step] = {}
            node = below
        node.setdefault(last, value)
    return root


def _positions(branch: Tree) -> list[str]:
    return sorted((at for at in branch if at.isdecimal() and at.isascii() and len(at) < 10), key=int)


def _integer(bits: int) -> Callable[[str], int]:
    limit = 1 << bits

    def convert(text: str) -> int:
        number = int(text) if len(text) < 25 else limit
        if not -limit <= number < limit:
            raise ValueError(text)
        return number

    return convert


def _boolean(text: str) -> bool:
    match text.lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise ValueError(text)


def _timestamp(text: str) -> datetime:
    if text.replace(".", "", 1).isdecimal():
        return datetime.fromtimestamp(float(text), UTC)
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _blob(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_CONVERTERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "string": (lambda text: text, "a string"),
    "integer": (_integer(31), "an integer"),
    "long": (_integer(63), "an integer"),
    "float": (float, "a number"),
    "double": (float, "a number"),
    "boolean": (_boolean, "a boolean"),
    "timestamp": (_timestamp, "a time"),
    "blob": (_blob, "base64"),
}
