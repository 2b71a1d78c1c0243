"""The public parameters of AWS that are there: those that name the images of container instances."""

from datetime import UTC, datetime
from typing import Final

from portside.api.ssm.selection import is_below
from portside.aws.service import RequestContext, Result
from portside.domain import ecs_image
from portside.domain.arn import Arn

_MODIFIED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def find(context: RequestContext, named: str) -> Result | None:
    """The parameter of that name or ARN; None if it is no public one."""
    prefix = str(Arn("ssm", context.region, "", "parameter"))
    name = named.removeprefix(prefix)
    value = ecs_image.parameter(context.region, name)
    if value is None:
        return None
    return {
        "Name": name,
        "Type": "String",
        "Value": value,
        "Version": 1,
        "LastModifiedDate": _MODIFIED_AT,
        "ARN": f"{prefix}{name}",
        "DataType": "text",
    }


def below(context: RequestContext, path: str, *, recursive: bool) -> list[Result]:
    """Those below a path that begins with /aws/service, in the order of their names."""
    if not f"{path.rstrip('/')}/".startswith("/aws/service/"):
        return []
    names = sorted(each for each in ecs_image.parameter_names() if is_below(each, path, recursive=recursive))
    return [found for each in names if (found := find(context, each)) is not None]
