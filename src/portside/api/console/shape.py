"""What an operation takes, from AWS's own model: forms of the console are checked by it while they are filled in."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from portside.api.ecs import field, scheduled_service
from portside.aws.model import ServiceModel, load_model
from portside.domain.fargate import MEMORY_MIB

_OF_SERVICES: Final = (*scheduled_service.REFUSED, "serviceConnectConfiguration")

REFUSED: Final[Mapping[tuple[str, str], Iterable[str]]] = {
    ("ecs", "RegisterTaskDefinition"): field.REFUSED,
    ("ecs", "RunTask"): field.RUN_REFUSED,
    ("ecs", "CreateService"): _OF_SERVICES,
    ("ecs", "UpdateService"): _OF_SERVICES,
}
"""Members that a form has not to offer, for nothing acts upon them."""


@cache
def shapes_of(service: str, operation: str) -> dict[str, Any] | None:
    """The input of an operation and every shape below it; None if there is no such operation.

    Beside them stand the members that are refused, by their path (`volumes.name`), and the sizes that Fargate has.

    Args:
        service: one that is served, by botocore's name.
    """
    model = load_model(service)
    found = model.operations.get(operation)
    if found is None or found.input is None:
        return None
    shapes: dict[str, Any] = {}
    _collect(model, found.input.shape, shapes)
    document: dict[str, Any] = {"input": found.input.shape, "shapes": shapes}
    if refused := REFUSED.get((service, operation)):
        document["refused"] = list(refused)
    if operation in ("RegisterTaskDefinition", "RunTask"):
        document["fargate"] = {str(cpu): list(memory) for cpu, memory in MEMORY_MIB.items()}
    return document


def _collect(model: ServiceModel, name: str, into: dict[str, Any]) -> None:
    if name in into:
        return
    shape = model.shapes[name]
    document: dict[str, Any] = {"type": shape.type}
    into[name] = document
    if shape.type == "structure":
        document["members"] = {member: ref.shape for member, ref in shape.members.items()}
        if shape.required:
            document["required"] = list(shape.required)
    for label, ref in (("member", shape.member), ("key", shape.key), ("value", shape.value)):
        if ref is not None:
            document[label] = ref.shape
    if shape.enum:
        document["enum"] = list(shape.enum)
    if shape.min is not None:
        document["min"] = shape.min
    if shape.max is not None:
        document["max"] = shape.max
    if shape.pattern is not None:
        document["pattern"] = shape.pattern
    if shape.sensitive:
        document["sensitive"] = True
    below = [*shape.members.values(), *(ref for ref in (shape.member, shape.key, shape.value) if ref is not None)]
    for each in below:
        _collect(model, each.shape, into)
