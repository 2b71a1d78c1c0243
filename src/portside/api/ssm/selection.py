"""ParameterFilters of DescribeParameters and GetParametersByPath. Source: API_ParameterStringFilter."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from portside.aws.service import ServiceError
from portside.domain.parameter import KEY_ALIAS, Parameter, ParameterVersion

_OPTIONS: Final[Mapping[str, Collection[str]]] = {
    "Name": ("Equals", "BeginsWith", "Contains"),
    "Path": ("Recursive", "OneLevel"),
    "Type": ("Equals", "BeginsWith"),
    "KeyId": ("Equals", "BeginsWith"),
    "Tier": ("Equals",),
    "DataType": ("Equals",),
    "Label": ("Equals",),
}
DESCRIBE_KEYS: Final = ("Name", "Path", "Type", "KeyId", "Tier", "DataType")
BY_PATH_KEYS: Final = ("Type", "KeyId", "Label")


def check(filters: Sequence[Mapping[str, Any]], keys: Collection[str], *, tags: bool) -> None:
    """Raises ServiceError: InvalidFilterKey, InvalidFilterOption, InvalidFilterValue."""
    seen: set[str] = set()
    for each in filters:
        key, option = each["Key"], each.get("Option")
        is_tag = tags and key.startswith("tag:")
        if key not in keys and not is_tag:
            raise ServiceError("InvalidFilterKey", f"The following filter key is not valid: {key}.")
        if key in seen:
            raise ServiceError(
                "InvalidFilterKey",
                f"The following filter is duplicated in the request: {key}. A request can contain only one occurrence "
                "of a specific filter.",
            )
        seen.add(key)
        allowed = ("Equals",) if is_tag else _OPTIONS[key]
        if option is not None and option not in allowed:
            raise ServiceError(
                "InvalidFilterOption",
                f"The following filter option is not valid: {option}. Valid options include: [{', '.join(allowed)}].",
            )
        if not each.get("Values") and not is_tag:
            raise ServiceError("InvalidFilterValue", "The following filter values are missing : null.")


def selects(filters: Sequence[Mapping[str, Any]], parameter: Parameter, version: ParameterVersion) -> bool:
    """Whether all filters let it through; each does for any of its values."""
    return all(_selects(each, parameter, version) for each in filters)


def _selects(each: Mapping[str, Any], parameter: Parameter, version: ParameterVersion) -> bool:
    key, values = each["Key"], each.get("Values") or ()
    if key.startswith("tag:"):
        found = next((tag.value for tag in parameter.tags if tag.key == key[4:]), None)
        return found is not None and (not values or found in values)
    if key == "Path":
        recursive = each.get("Option") == "Recursive"
        return any(is_below(parameter.name, value, recursive=recursive) for value in values)
    if key == "Label":
        return any(parameter.labels.get(value) == version.version for value in values)
    found = {
        "Name": parameter.name,
        "Type": version.type,
        "KeyId": KEY_ALIAS if version.type == "SecureString" else "",
        "Tier": version.tier,
        "DataType": version.data_type,
    }[key]
    match each.get("Option"):
        case "BeginsWith":
            return any(_bare(key, found).startswith(_bare(key, value)) for value in values)
        case "Contains":
            return any(value in found for value in values)
        case _:
            return any(_bare(key, found) == _bare(key, value) for value in values)


def _bare(key: str, text: str) -> str:
    """Names are compared without the slash that they may begin with."""
    return text.removeprefix("/") if key == "Name" else text


def is_below(name: str, path: str, *, recursive: bool) -> bool:
    """Whether a name lies below a path of the hierarchy; names without a path lie below `/`."""
    full = name if name.startswith("/") else f"/{name}"
    prefix = path if path.endswith("/") else f"{path}/"
    return full.startswith(prefix) and (recursive or "/" not in full[len(prefix) :])
