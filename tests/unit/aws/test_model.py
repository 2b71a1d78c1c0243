"""The models, the constraints made of them, and the coverage page."""

import subprocess
import sys

import pytest

from portside.aws.constraint import constraints_of, member_path, shown
from portside.aws.coverage import coverage_page
from portside.aws.gateway import Endpoint
from portside.aws.model import Shape, load_model
from portside.aws.protocol.query import grow
from portside.aws.service import Service


def broken(shape: Shape, value: object) -> list[str]:
    return [rule.text for rule in constraints_of(shape) if not rule.holds(value)]


def test_constraints() -> None:
    """Each constraint of the model is stated in AWS's words, and only when it is broken."""
    name = Shape(type="string", min=2, max=3, pattern="[a-z]+")
    assert broken(name, "abc") == []
    assert broken(name, "ABCD") == [
        "Member must have length less than or equal to 3",
        "Member must satisfy regular expression pattern: [a-z]+",
    ]
    # A pattern holds for the whole value, a last line end included.
    assert broken(name, "ab\n") == ["Member must satisfy regular expression pattern: [a-z]+"]
    assert broken(Shape(type="integer", min=1), 0) == ["Member must have value greater than or equal to 1"]
    assert broken(Shape(type="string", enum=("A", "B")), "C") == ["Member must satisfy enum value set: [A, B]"]
    assert broken(Shape(type="list", max=1), ["a", "b"]) == ["Member must have length less than or equal to 1"]


def test_java_patterns() -> None:
    """Java's character classes are read as their nearest Python ones, not skipped or taken as letters."""
    tag = Shape(type="string", pattern=r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*")
    assert broken(tag, "ü 1:x") == []
    assert broken(tag, "a<b") != []
    printable = Shape(type="string", pattern=r"\p{Print}+")
    assert broken(printable, "cpu at 50%") == []
    assert broken(printable, "line\nend") != []


def test_every_pattern_compiles() -> None:
    """No pattern of the services we serve is left unchecked, but for those known to be beyond Python."""
    unchecked = {
        (service, name)
        for service in ("ecs", "ec2", "elbv2", "logs", "iam", "sts", "application-autoscaling")
        for name, shape in load_model(service).shapes.items()
        if shape.type == "string" and shape.pattern and not any(c.kind == "pattern" for c in constraints_of(shape))
    }
    assert unchecked == set()


def test_notation() -> None:
    """Paths and values are shown as AWS shows them."""
    path = ((((None, "ContainerDefinitions"), "2"), "PortMappings"), "1")
    assert member_path(path) == "containerDefinitions.2.member.portMappings.1.member"
    assert shown(["a", {"b": True}]) == "'[a, {b=true}]'"


def test_grow() -> None:
    """Dotted names nest; a name that is both a value and a branch does no harm."""
    assert grow([("a.b.1", "x"), ("c", "y"), ("a.b.2", "z")]) == {"a": {"b": {"1": "x", "2": "z"}}, "c": "y"}
    assert grow([("a", "x"), ("a.b", "y"), ("a", "z")]) == {"a": {"b": "y"}}
    assert grow([("a.b.c", "x"), ("a.b", "y")]) == {"a": {"b": {"c": "x"}}}
    assert grow([("." * 3000, "x")])


def test_unknown_handler() -> None:
    """A handler for an operation that AWS does not have is a mistake that shows at once."""
    with pytest.raises(ValueError, match="MakeCoffee"):
        Endpoint(Service("ecs", {"MakeCoffee": lambda context, params: None}), "json")


def test_coverage_page() -> None:
    """Each operation of the model is on the page once: full, partial with its reason, or not implemented."""
    service = Service(
        "sts",
        {"GetCallerIdentity": lambda context, params: None, "AssumeRole": lambda context, params: None},
        partial={"AssumeRole": "no sessions"},
    )
    page = coverage_page([service])
    total = len(load_model("sts").operations)
    assert f"| [AWS Security Token Service](#sts) | 1 | 1 | {total} |" in page
    assert "| GetCallerIdentity | full |" in page
    assert "| AssumeRole | partial: no sessions |" in page
    assert f"Not implemented ({total - 2}): " in page
    assert all(
        page.count(f"| {name} |") + page.count(f" {name},") + page.count(f" {name}.") >= 1
        for name in load_model("sts").operations
    )
    with pytest.raises(ValueError, match="GetSessionToken"):
        coverage_page([Service("sts", {}, partial={"GetSessionToken": "x"})])


def test_import_is_light() -> None:
    """The gateway loads no code of botocore's and no model until it is asked for one."""
    code = (
        "import sys, portside.aws.gateway, portside.aws.model as m; "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('botocore', 'boto3', 'moto')), "
        "m.load_model.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] 0"
