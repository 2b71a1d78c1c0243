"""EC2's own variant of the query protocol: flat lists, capitalised names, another envelope, other words for errors."""

from difflib import get_close_matches
from typing import Final

from portside.aws.constraint import Path, Violation, steps
from portside.aws.model import OperationModel, Ref, ServiceModel, Shape
from portside.aws.protocol.interface import Fault, Serialize
from portside.aws.protocol.query import QueryProtocol
from portside.aws.protocol.xml import DECLARATION, escape
from portside.aws.service import Result, ServiceError

VALUES_SHOWN: Final = 25
"""Of a parameter that takes more values than these, only those that are like the given one are named."""
AUTH_CODES = {
    "missing": ("MissingAuthenticationToken", 403),
    "incomplete": ("IncompleteSignature", 400),
    "unknown_key": ("AuthFailure", 401),
    "mismatch": ("AuthFailure", 401),
    "expired": ("RequestExpired", 400),
    "token": ("AuthFailure", 401),
    "expired_token": ("RequestExpired", 400),
}


class Ec2Protocol(QueryProtocol):
    """Query as EC2 speaks it."""

    content_type = "text/xml;charset=UTF-8"
    milliseconds = True

    def __init__(self, model: ServiceModel | None) -> None:
        super().__init__(model)

    def member_name(self, member: str, ref: Ref, target: Shape) -> str:
        if ref.queryName:
            return ref.queryName
        name = ref.locationName or target.locationName or member
        return name[:1].upper() + name[1:]

    def list_step(self, shape: Shape, element: Shape) -> str | None:
        return None

    def invalid(self, violations: list[Violation]) -> ServiceError:
        # EC2 names the first thing that is wrong, and no more.
        first = min(violations, key=lambda one: one.constraint.kind != "required")
        name = _parameter(first.path)
        match first.constraint.kind:
            case "required":
                return ServiceError("MissingParameter", f"The request must contain the parameter {name}")
            case "range":
                expecting = f" Expecting a value {first.constraint.limit}."
                said = f"Value ( {first.value} ) for parameter {name} is invalid.{expecting}"
                return ServiceError("InvalidParameterValue", said)
            case "enum":
                said = f"Value ({_plain(first.value)}) for parameter {name} is invalid."
                return ServiceError("InvalidParameterValue", f"{said} {_valid(first)}")
            case _:
                said = f"Value ({_plain(first.value)}) for parameter {name} is invalid. {first.constraint.text}."
                return ServiceError("InvalidParameterValue", said)

    def malformed(self, value: str, path: Path, wanted: str) -> ServiceError:
        said = f"Value ({value}) for parameter {_parameter(path)} is invalid. Expecting {wanted}."
        return ServiceError("InvalidParameterValue", said)

    def unknown_parameter(self, name: str) -> None:
        raise ServiceError("UnknownParameter", f"The parameter {name} is not recognized")

    def serializer(self, operation: OperationModel) -> Serialize:
        start = f'{DECLARATION}<{operation.name}Response xmlns="{self._namespace}"><requestId>'
        end = f"</{operation.name}Response>"
        if operation.output is None:
            return lambda result, request_id: f"{start}{request_id}</requestId><return>true</return>{end}".encode()
        assert self._xml is not None
        emit = self._xml.emitter(operation.output)

        def serialize(result: Result | None, request_id: str) -> bytes:
            out = [start, request_id, "</requestId>"]
            emit(result if result is not None else {}, out)
            out.append(end)
            return "".join(out).encode()

        return serialize

    def error(self, fault: Fault, request_id: str) -> bytes:
        return (
            f"{DECLARATION}<Response><Errors><Error><Code>{escape(fault.code)}</Code>"
            f"<Message>{escape(fault.message)}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        ).encode()

    def unknown_operation(self, name: str | None) -> Fault:
        if not name:
            return Fault("MissingAction", "The request must contain the parameter Action", 400, {})
        return Fault("InvalidAction", f"The action {name} is not valid for this web service.", 400, {})

    def auth_fault(self, reason: str, message: str) -> Fault:
        code, status = AUTH_CODES[reason]
        return Fault(code, "Request has expired." if reason == "expired_token" else message, status, {})


def _parameter(path: Path) -> str:
    """EC2's way to name a parameter: groupName, filter.1.values."""
    return ".".join(step[:1].lower() + step[1:] for step in steps(path))


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _valid(violation: Violation) -> str:
    values = violation.constraint.limit.split(", ")
    if len(values) <= VALUES_SHOWN:
        return f"Valid values: {violation.constraint.limit}."
    close = get_close_matches(_plain(violation.value), values, n=5)
    return f"Valid values like it: {', '.join(close)}." if close else f"There are {len(values)} valid values."
