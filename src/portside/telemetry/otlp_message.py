"""What OTLP's clients send, taken apart: protobuf and JSON come to the same documents, with the names of OTLP's JSON.

Only what is looked at is decoded; other fields are skipped, as protobuf wants it.

Sources: protobuf.dev, "Encoding"; opentelemetry-proto (field numbers of metrics.proto, logs.proto, common.proto);
OpenTelemetry, "OTLP Specification", JSON Protobuf encoding.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

Document = dict[str, Any]


class Malformed(Exception):
    """It is no such message."""


class Field(NamedTuple):
    name: str
    kind: Literal["string", "bytes", "bool", "int", "fixed32", "fixed64", "sfixed64", "double", "message"]
    is_list: bool = False
    message: str = ""


_RESOURCE: Final = Field("resource", "message", message="Resource")
_ATTRIBUTES: Final = Field("attributes", "message", True, "KeyValue")
_POINT: Final = {2: Field("startTimeUnixNano", "fixed64"), 3: Field("timeUnixNano", "fixed64")}
_SUM: Final = {2: Field("aggregationTemporality", "int")}

MESSAGES: Final[dict[str, dict[int, Field]]] = {
    "ExportMetricsServiceRequest": {1: Field("resourceMetrics", "message", True, "ResourceMetrics")},
    "ResourceMetrics": {1: _RESOURCE, 2: Field("scopeMetrics", "message", True, "ScopeMetrics")},
    "ScopeMetrics": {2: Field("metrics", "message", True, "Metric")},
    "Metric": {
        1: Field("name", "string"),
        3: Field("unit", "string"),
        5: Field("gauge", "message", message="Gauge"),
        7: Field("sum", "message", message="Sum"),
        9: Field("histogram", "message", message="Histogram"),
        10: Field("exponentialHistogram", "message", message="ExponentialHistogram"),
        11: Field("summary", "message", message="Summary"),
    },
    "Gauge": {1: Field("dataPoints", "message", True, "NumberDataPoint")},
    "Sum": {1: Field("dataPoints", "message", True, "NumberDataPoint"), **_SUM, 3: Field("isMonotonic", "bool")},
    "Histogram": {1: Field("dataPoints", "message", True, "HistogramDataPoint"), **_SUM},
    "ExponentialHistogram": {1: Field("dataPoints", "message", True, "ExponentialHistogramDataPoint"), **_SUM},
    "Summary": {1: Field("dataPoints", "message", True, "SummaryDataPoint")},
    "NumberDataPoint": {
        **_POINT,
        4: Field("asDouble", "double"),
        6: Field("asInt", "sfixed64"),
        7: _ATTRIBUTES,
        8: Field("flags", "int"),
    },
    "HistogramDataPoint": {
        **_POINT,
        4: Field("count", "fixed64"),
        5: Field("sum", "double"),
        6: Field("bucketCounts", "fixed64", True),
        7: Field("explicitBounds", "double", True),
        9: _ATTRIBUTES,
        10: Field("flags", "int"),
        11: Field("min", "double"),
        12: Field("max", "double"),
    },
    "ExponentialHistogramDataPoint": {
        1: _ATTRIBUTES,
        **_POINT,
        4: Field("count", "fixed64"),
        5: Field("sum", "double"),
        10: Field("flags", "int"),
        12: Field("min", "double"),
        13: Field("max", "double"),
    },
    "SummaryDataPoint": {
        **_POINT,
        4: Field("count", "fixed64"),
        5: Field("sum", "double"),
        6: Field("quantileValues", "message", True, "ValueAtQuantile"),
        7: _ATTRIBUTES,
        8: Field("flags", "int"),
    },
    "ValueAtQuantile": {1: Field("quantile", "double"), 2: Field("value", "double")},
    "ExportLogsServiceRequest": {1: Field("resourceLogs", "message", True, "ResourceLogs")},
    "ResourceLogs": {1: _RESOURCE, 2: Field("scopeLogs", "message", True, "ScopeLogs")},
    "ScopeLogs": {
        1: Field("scope", "message", message="InstrumentationScope"),
        2: Field("logRecords", "message", True, "LogRecord"),
    },
    "InstrumentationScope": {1: Field("name", "string"), 2: Field("version", "string")},
    "LogRecord": {
        1: Field("timeUnixNano", "fixed64"),
        2: Field("severityNumber", "int"),
        3: Field("severityText", "string"),
        5: Field("body", "message", message="AnyValue"),
        6: _ATTRIBUTES,
        8: Field("flags", "fixed32"),
        9: Field("traceId", "bytes"),
        10: Field("spanId", "bytes"),
        11: Field("observedTimeUnixNano", "fixed64"),
    },
    "Resource": {1: _ATTRIBUTES},
    "KeyValue": {1: Field("key", "string"), 2: Field("value", "message", message="AnyValue")},
    "AnyValue": {
        1: Field("stringValue", "string"),
        2: Field("boolValue", "bool"),
        3: Field("intValue", "int"),
        4: Field("doubleValue", "double"),
        5: Field("arrayValue", "message", message="ArrayValue"),
        6: Field("kvlistValue", "message", message="KeyValueList"),
        7: Field("bytesValue", "bytes"),
    },
    "ArrayValue": {1: Field("values", "message", True, "AnyValue")},
    "KeyValueList": {1: Field("values", "message", True, "KeyValue")},
}
DEPTH_MOST: Final = 32


def from_json(body: bytes, message: str) -> Document:
    """Raises Malformed."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Malformed("it is no JSON object")
    return _checked(found, message, 0)


def from_protobuf(body: bytes, message: str, depth: int = 0) -> Document:
    """Raises Malformed."""
    if depth > DEPTH_MOST:
        raise Malformed("it is nested too deeply")
    fields, found = MESSAGES[message], Document()
    for number, wire, value in _fields(body):
        field = fields.get(number)
        if field is None:
            continue
        if wire == 2 and field.kind not in ("string", "bytes", "message"):
            if not field.is_list or not isinstance(value, bytes):
                raise Malformed(f"{field.name} is no list")
            found.setdefault(field.name, []).extend(_packed(field, value))
            continue
        if field.kind == "message":
            if not isinstance(value, bytes):
                raise Malformed(f"{field.name} is no message")
            # What is given twice and is no list counts as the last: nobody splits these messages.
            item: Any = from_protobuf(value, field.message, depth + 1)
        else:
            item = _scalar(field, value)
        if field.is_list:
            found.setdefault(field.name, []).append(item)
        else:
            found[field.name] = item
    return found


def _fields(body: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    at, end = 0, len(body)
    while at < end:
        tag, at = _varint(body, at)
        wire = tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(body, at)
        elif wire == 1:
            value, at = body[at : at + 8], at + 8
        elif wire == 5:
            value, at = body[at : at + 4], at + 4
        elif wire == 2:
            length, at = _varint(body, at)
            value, at = body[at : at + length], at + length
        else:
            raise Malformed(f"there is no wire type {wire}")
        if at > end:
            raise Malformed("it ends too early")
        yield tag >> 3, wire, value


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(body) or shift > 63:
            raise Malformed("it ends too early, or is no protobuf")
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _scalar(field: Field, value: int | bytes) -> Any:
    match field.kind:
        case "string" if isinstance(value, bytes):
            return value.decode(errors="replace")
        case "bytes" if isinstance(value, bytes):
            return value.hex()
        case "bool" if isinstance(value, int):
            return bool(value)
        case "int" if isinstance(value, int):
            value &= (1 << 64) - 1
            return value - (1 << 64) if value >> 63 else value
        case "fixed32" if isinstance(value, bytes) and len(value) == 4:
            return int.from_bytes(value, "little")
        case "fixed64" if isinstance(value, bytes) and len(value) == 8:
            return int.from_bytes(value, "little")
        case "sfixed64" if isinstance(value, bytes) and len(value) == 8:
            return int.from_bytes(value, "little", signed=True)
        case "double" if isinstance(value, bytes) and len(value) == 8:
            return struct.unpack("<d", value)[0]
    raise Malformed(f"{field.name} has another type")


def _packed(field: Field, value: bytes) -> list[Any]:
    if field.kind not in ("fixed64", "sfixed64", "double") or len(value) % 8:
        raise Malformed(f"{field.name} has another type")
    return [_scalar(field, value[at : at + 8]) for at in range(0, len(value), 8)]


def _checked(given: Document, message: str, depth: int) -> Document:
    """What is known of a document in JSON, with numbers as numbers."""
    if depth > DEPTH_MOST:
        raise Malformed("it is nested too deeply")
    found = Document()
    for field in MESSAGES[message].values():
        value = given.get(field.name)
        if value is None:
            continue
        if field.is_list:
            if not isinstance(value, list):
                raise Malformed(f"{field.name} is no list")
            found[field.name] = [_member(field, each, depth) for each in value]
        else:
            found[field.name] = _member(field, value, depth)
    return found


def _member(field: Field, value: Any, depth: int) -> Any:
    try:
        match field.kind:
            case "message" if isinstance(value, dict):
                return _checked(value, field.message, depth + 1)
            case "string" | "bytes" if isinstance(value, str):
                return value
            case "bool" if isinstance(value, bool):
                return value
            case "double" if isinstance(value, (int, float, str)) and not isinstance(value, bool):
                return float(value)
            case "int" | "fixed32" | "fixed64" | "sfixed64" if isinstance(value, (int, str)) and not isinstance(
                value, bool
            ):
                number = int(value)
                if -(1 << 63) <= number < 1 << 64:
                    return number
    except (ValueError, OverflowError):
        pass
    raise Malformed(f"{field.name} has another type")
