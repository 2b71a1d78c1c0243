"""Every operation of the services we serve, both ways, with botocore's client side as the oracle.

Parameters made from the model are serialised by botocore and parsed by us; results made from it are serialised by us
and parsed by botocore.
"""

import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.model
import botocore.parsers
import botocore.serialize
import msgspec
import pytest
from botocore.loaders import Loader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.aws.gateway import PROTOCOLS
from portside.aws.model import ServiceModel, load_model
from portside.aws.protocol.interface import WireProtocol
from portside.aws.request import Request

SERVICES = ("ecs", "ec2", "elb", "elbv2", "logs", "iam", "sts")
START = datetime(2001, 1, 1, tzinfo=UTC)
# Everything that XML can carry, line ends included.
ALPHABET = string.ascii_letters + string.digits + " &<>\"'=%+;/?:\n\r\tüß漢😀\x85\u2028"


@cache
def theirs(service: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def ours(service: str) -> WireProtocol:
    """The protocol of a service whose strings and numbers are not bound: the form is tested here, not the rules."""
    model = load_model(service)
    free = {
        name: msgspec.structs.replace(shape, enum=(), min=None, max=None, pattern=None, required=())
        for name, shape in model.shapes.items()
    }
    unbound = ServiceModel(model.metadata, model.operations, free)
    return PROTOCOLS[model.metadata.protocol](unbound)


class Maker:
    """Values of a shape, from a seeded source; `sent` makes what botocore can send, else what we can answer."""

    def __init__(self, seed: int, *, sent: bool, protocol: str) -> None:
        self._random, self._sent, self._protocol = random.Random(seed), sent, protocol

    def value(self, shape: Any, depth: int = 0) -> Any:
        rng = self._random
        match shape.type_name:
            case "structure" if getattr(shape, "is_document_type", False):
                return {"any": ["thing", 1, None]}
            case "structure":
                members = shape.members
                names = [
                    name
                    for name in members
                    if name in shape.required_members or rng.random() < (0.7 if depth < 2 else 0.4 if depth < 5 else 0)
                ]
                if getattr(shape, "is_tagged_union", False):
                    names = [rng.choice(list(members))]
                return {name: self.value(members[name], depth + 1) for name in names}
            case "list":
                count = rng.choice((1, 2, 3, 11)) if depth < 3 else 1 if depth < 7 else 0
                return [self.value(shape.member, depth + 1) for _ in range(count)]
            case "map":
                count = rng.choice((1, 2)) if depth < 7 else 0
                return {self._text() + str(n): self.value(shape.value, depth + 1) for n in range(count)}
            case "string":
                return self._text()
            case "integer":
                return rng.choice((0, 1, -(2**31), 2**31 - 1))
            case "long":
                return rng.choice((0, 7, -(2**63), 2**63 - 1))
            case "float" | "double":
                return rng.choice((0.0, -1.5, 3.25, 1e300, 0.1))
            case "boolean":
                return rng.random() < 0.5
            case "timestamp":
                # botocore sends whole seconds in JSON; answers carry milliseconds.
                at = START + timedelta(seconds=rng.randrange(10**9))
                return at if self._sent else at + timedelta(milliseconds=rng.randrange(1000))
            case "blob":
                return rng.randbytes(rng.randrange(5))
        raise AssertionError(shape.type_name)

    def _text(self) -> str:
        return "".join(self._random.choices(ALPHABET, k=self._random.randrange(1, 9)))


def full(value: Any) -> Any:
    """A value without what the form and XML protocols cannot carry: empty lists, maps and structures."""
    if isinstance(value, dict):
        kept = {key: full(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(full, value) if item not in ({}, [])]
    return value


def operations() -> Iterator[tuple[str, str]]:
    for service in SERVICES:
        for name in load_model(service).operations:
            yield service, name


OPERATIONS = list(operations())


def form_of(value: Any) -> str:
    from urllib.parse import urlencode

    return urlencode(value)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chosen=st.sampled_from(OPERATIONS), seed=st.integers(0, 2**32))
def test_parameters(chosen: tuple[str, str], seed: int) -> None:
    """What botocore serialises is what we parse."""
    check_parameters(*chosen, seed)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chosen=st.sampled_from(OPERATIONS), seed=st.integers(0, 2**32))
def test_results(chosen: tuple[str, str], seed: int) -> None:
    """What we serialise is what botocore parses."""
    check_result(*chosen, seed)


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation(service: str) -> None:
    """Each operation of the model compiles and makes one round trip."""
    for name in load_model(service).operations:
        check_parameters(service, name, 1)
        check_result(service, name, 1)


def check_parameters(service: str, name: str, seed: int) -> None:
    operation = theirs(service).operation_model(name)
    if operation.input_shape is None:
        return
    protocol = theirs(service).metadata["protocol"]
    params = Maker(seed, sent=True, protocol=protocol).value(operation.input_shape)
    wire = botocore.serialize.create_serializer(protocol, include_validation=False).serialize_to_request(
        params, operation
    )
    body = wire["body"]
    content = body if isinstance(body, bytes) else form_of(body).encode()
    headers = {key.lower(): str(value) for key, value in wire["headers"].items()}
    request = Request(method="POST", path="/", query="", headers=headers, body=content, content=content)
    message = ours(service).read(request)
    assert message.operation == name
    parsed = ours(service).parser(load_model(service).operations[name])(message.payload)
    if protocol == "json":
        assert parsed == params
    else:
        assert full(parsed) == full(params)


def check_result(service: str, name: str, seed: int) -> None:
    operation = theirs(service).operation_model(name)
    if operation.has_event_stream_output:
        return
    protocol = theirs(service).metadata["protocol"]
    result = None
    if operation.output_shape is not None:
        result = Maker(seed, sent=False, protocol=protocol).value(operation.output_shape)
    body = ours(service).serializer(load_model(service).operations[name])(result, "request-1")
    parser = botocore.parsers.create_parser(protocol)
    response = {"body": body, "headers": {"x-amzn-requestid": "request-1"}, "status_code": 200}
    parsed = parser.parse(response, operation.output_shape)
    metadata = parsed.pop("ResponseMetadata")
    if protocol != "json":
        assert metadata["RequestId"] == "request-1"
    if protocol == "json":
        assert parsed == (result or {})
    else:
        assert full(parsed) == full(result or {})
