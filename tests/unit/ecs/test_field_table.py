"""Nothing that RegisterTaskDefinition takes is accepted and ignored."""

from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.model import ServiceModel, Shape

from portside.api.ecs import field
from portside.domain.refusal import RefusalKind, Refused


@pytest.fixture(scope="module")
def model() -> ServiceModel:
    return botocore.session.Session().get_service_model("ecs")


def paths(shape: Shape, prefix: str = "") -> Iterator[str]:
    """Every member below a structure, by its dotted path; lists and maps are transparent."""
    while shape.type_name == "list":
        shape = shape.member
    if shape.type_name != "structure":
        return
    for name, member in shape.members.items():
        yield prefix + name
        yield from paths(member, f"{prefix}{name}.")


TABLES = {
    "RegisterTaskDefinition": (field.SUPPORTED, field.REFUSED),
    "RunTask": (field.RUN_SUPPORTED, field.RUN_REFUSED),
    "StartTask": (field.START_SUPPORTED, field.RUN_REFUSED),
}


def is_refused(path: str, refused: Mapping[str, field.Reason]) -> bool:
    """Whether a path is refused or lies below one that is."""
    while path:
        if path in refused:
            return True
        path = path.rpartition(".")[0]
    return False


@pytest.mark.parametrize("operation", TABLES)
def test_every_member_is_supported_or_refused(model: ServiceModel, operation: str) -> None:
    """Each member of the input is in exactly one of the two tables, a refused one's own members with it."""
    supported, refused = TABLES[operation]
    shape = model.operation_model(operation).input_shape
    unknown = [path for path in paths(shape) if (path in supported) == is_refused(path, refused)]
    assert unknown == []


@pytest.mark.parametrize("operation", TABLES)
def test_tables_name_members_that_exist(model: ServiceModel, operation: str) -> None:
    """The tables hold no member that the input does not have."""
    supported, refused = TABLES[operation]
    assert set(supported) | set(refused) <= set(paths(model.operation_model(operation).input_shape))


def test_every_refused_member_of_run_task_is_refused() -> None:
    """Whatever is in RunTask's table of refused members is refused when it is asked for, whatever the launch type."""
    for path in field.RUN_REFUSED:
        for fargate in (True, False):
            params: dict[str, Any] = {}
            nest(params, path.split("."))
            with pytest.raises(Refused) as caught:
                field.check_run_task(params, fargate=fargate)
            assert caught.value.kind in (RefusalKind.INVALID, RefusalKind.UNSUPPORTED)


def test_every_refused_member_is_refused(model: ServiceModel) -> None:
    """Whatever is in the table of refused members is refused when it is asked for, on Fargate and elsewhere."""
    for path in field.REFUSED:
        for changes in (
            {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]},
            {"networkMode": "bridge", "requiresCompatibilities": ["EC2"]},
        ):
            params = {"family": "f", "containerDefinitions": [{"name": "a", "image": "i"}], **changes}
            nest(params, path.split("."))
            with pytest.raises(Refused) as caught:
                field.check_task_definition(params)
            assert caught.value.kind in (RefusalKind.INVALID, RefusalKind.UNSUPPORTED)


@pytest.mark.parametrize("nothing", [None, False, "", [], {}])
def test_nothing_asked_for_is_accepted(nothing: Any) -> None:
    """Null, false and empty are what tools send for members they do not use: they pass."""
    for path in field.REFUSED:
        params: dict[str, Any] = {"family": "f", "containerDefinitions": [{"name": "a", "image": "i"}]}
        nest(params, path.split("."), nothing)
        if path.count(".") < 2:
            field.check_task_definition(params)


def nest(target: dict[str, Any], path: list[str], value: Any = "something") -> None:
    """Set a member by its path; lists get one item."""
    name, *rest = path
    if not rest:
        target[name] = value
        return
    if name in ("containerDefinitions", "containerOverrides", "portMappings", "volumes", "volumeConfigurations"):
        inner = target.setdefault(name, [{}])[0]
    else:
        inner = target.setdefault(name, {})
    nest(inner, rest, value)


def test_aws_words_come_first() -> None:
    """What AWS refuses in such a definition too is refused in its words, even beside what only Portside refuses."""
    params = {
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{}],
        "volumes": [{"name": "data", "host": {"sourcePath": "/data"}}],
    }
    with pytest.raises(Refused) as caught:
        field.check_task_definition(params)
    assert caught.value.kind is RefusalKind.INVALID
    assert caught.value.message == "Fargate compatible task definitions do not support sourcePath"


def test_members_that_aws_takes_elsewhere_only() -> None:
    """What AWS refuses on Fargate or in awsvpc mode is refused there in its words, and taken elsewhere."""
    for path, reason in field.ELSEWHERE.items():
        params: dict[str, Any] = {"family": "f", "containerDefinitions": [{"name": "a", "image": "i"}]}
        nest(params["containerDefinitions"][0], path.split("."))
        field.check_task_definition({**params, "networkMode": "bridge"})
        with pytest.raises(Refused) as caught:
            field.check_task_definition({**params, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]})
        assert (caught.value.kind, caught.value.message) == (RefusalKind.INVALID, reason.fargate or reason.awsvpc)


@pytest.mark.parametrize(
    ("fargate", "modes", "kind"),
    [
        (True, {"pidMode": "host"}, RefusalKind.INVALID),
        (True, {"pidMode": "task"}, None),
        (True, {"ipcMode": "task"}, RefusalKind.INVALID),
        (True, {"ipcMode": "none"}, RefusalKind.INVALID),
        (False, {"pidMode": "task", "ipcMode": "task"}, None),
        (False, {"pidMode": "host", "ipcMode": "host"}, None),
        (False, {"ipcMode": "none"}, None),
    ],
)
def test_shared_namespaces(fargate: bool, modes: dict[str, str], kind: RefusalKind | None) -> None:
    """Those of the host are taken off Fargate; on Fargate a task may share its PID namespace, and no more."""
    params = {"containerDefinitions": [], "requiresCompatibilities": ["FARGATE"] if fargate else [], **modes}
    if kind is None:
        field.check_task_definition(params)
        return
    with pytest.raises(Refused) as caught:
        field.check_task_definition(params)
    assert caught.value.kind is kind
