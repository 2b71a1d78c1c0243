"""What a request asks for that is not there is refused by name, and never taken and ignored."""

from collections.abc import Mapping

from portside.aws.service import Params, ServiceError

_EVERYWHERE = frozenset({"DryRun", "TagSpecifications"})


def refuse_others(operation: str, params: Params, *supported: str) -> None:
    """Raises: ServiceError for a parameter that asks for something and is none of these."""
    for name in sorted(params.keys() - _EVERYWHERE - set(supported)):
        if is_asked_for(params[name]):
            raise unsupported(operation, name)


def unsupported(operation: str, what: str) -> ServiceError:
    return ServiceError(
        "UnsupportedOperation", f"Portside does not support {what} of {operation} yet; see docs/coverage.md"
    )


def is_asked_for(value: object) -> bool:
    """Whether a value is more than EC2's "nothing": null, false, zero, empty, or a structure of such only."""
    if isinstance(value, Mapping):
        return any(is_asked_for(each) for each in value.values())
    if isinstance(value, list | tuple):
        return bool(value)
    return value is not None and value is not False and value != "" and value != 0
