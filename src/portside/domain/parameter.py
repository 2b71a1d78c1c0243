"""Parameters of Systems Manager: their records, and the rules of names, values and labels.

Source: API_PutParameter, API_LabelParameterVersion; Systems Manager user guide, "Working with parameter versions" and
"parameter labels"; messages as AWS gives them.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple

from portside.domain import arn
from portside.domain.record import Record, Scope, Tags
from portside.domain.refusal import RefusalKind, Refused

ParameterType = Literal["String", "StringList", "SecureString"]
Tier = Literal["Standard", "Advanced"]

NAME_MAX: Final = 1011
"""Characters, those of the ARN before the name included."""
LEVELS_MAX: Final = 15
VALUE_MAX_BYTES: Final[dict[Tier, int]] = {"Standard": 4096, "Advanced": 8192}
VERSIONS_MAX: Final = 100
LABELS_MAX: Final = 10
LABEL_MAX: Final = 100
KEY_ALIAS: Final = "alias/aws/ssm"
"""The one key there is: the account's default one."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.\-/]+")
_LABEL: Final = re.compile(r"[A-Za-z_.\-][A-Za-z0-9_.\-]*")
_SUB_PATHS: Final = (
    "If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of "
    "letters, numbers and the following 3 symbols .-_"
)


class Parameter(Record, frozen=True, kw_only=True):
    """What all its versions share. `labels`: label -> version."""

    scope: Scope
    name: str
    latest: int
    labels: dict[str, int] = {}
    tags: Tags = ()


class ParameterVersion(Record, frozen=True, kw_only=True):
    """One version. Of a SecureString `sealed` holds the value, and `value` is empty."""

    scope: Scope
    name: str
    version: int
    type: ParameterType
    value: str = ""
    sealed: bytes = b""
    tier: Tier = "Standard"
    description: str | None = None
    allowed_pattern: str | None = None
    data_type: str = "text"
    modified_at: datetime
    modified_by: str


class Reference(NamedTuple):
    """A name as it may be given to Get operations. `selector`: a version or a label, "" for the latest version."""

    name: str
    selector: str


def reference(text: str) -> Reference:
    """Take `name`, `name:version`, `name:label` or an ARN apart."""
    parsed = arn.parse(text)
    if parsed is not None and parsed.service == "ssm" and parsed.resource.startswith("parameter"):
        rest = parsed.resource.removeprefix("parameter")
        name, _, selector = rest.partition(":")
        return Reference(name if name.count("/") > 1 else name.removeprefix("/"), selector)
    name, _, selector = text.strip().partition(":")
    return Reference(name, selector)


def parameter_arn(scope: Scope, name: str) -> str:
    return str(arn.Arn("ssm", scope.region, scope.account, f"parameter/{name.removeprefix('/')}"))


def vault_context(scope: Scope, name: str, version: int) -> str:
    """What a sealed value belongs to."""
    return f"ssm:{scope.prefix}{name}:{version}"


def check_name(scope: Scope, name: str) -> None:
    """Raises Refused: INVALID; CONFLICT for what is `reserved`, where AWS denies access; LIMIT of `levels`."""
    first = name.lstrip("/").lower()
    is_path = name.count("/") > 1
    if first.startswith("aws") and is_path:
        raise Refused(RefusalKind.CONFLICT, f"No access to reserved parameter name: {name}.", "reserved")
    if first.startswith(("aws", "ssm")):
        which = '"ssm"' if is_path else '"aws" or "ssm"'
        raise _invalid(f"Parameter name: can't be prefixed with {which} (case-insensitive). {_SUB_PATHS}")
    if not _NAME.fullmatch(name) or "//" in name or name.endswith("/"):
        raise _invalid(f'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). {_SUB_PATHS}')
    if "/" in name and not name.startswith("/"):
        raise _invalid("Parameter name must be a fully qualified name.")
    if len(parameter_arn(scope, name)) > NAME_MAX:
        raise _invalid(f"Parameter name must not be longer than {NAME_MAX} characters, its ARN included.")
    if name.count("/") > LEVELS_MAX:
        raise Refused(
            RefusalKind.LIMIT,
            f"A parameter name hierarchy can have a maximum of {LEVELS_MAX} levels; '{name}' has {name.count('/')}.",
            "levels",
        )


def chosen_tier(asked: str | None, size_bytes: int, before: Tier | None) -> Tier:
    """Raises Refused: the value is too large, or an advanced parameter would become a standard one."""
    if asked == "Standard" and before == "Advanced":
        raise _invalid(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the "
            "advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced "
            "parameter and recreate it as a standard parameter."
        )
    tier: Tier = "Advanced" if asked == "Advanced" or before == "Advanced" else "Standard"
    if asked == "Intelligent-Tiering" and size_bytes > VALUE_MAX_BYTES["Standard"]:
        tier = "Advanced"
    if size_bytes > VALUE_MAX_BYTES[tier]:
        hint = (
            " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier."
            if tier == "Standard"
            else ""
        )
        raise _invalid(
            f"{tier} tier parameters support a maximum parameter value of {VALUE_MAX_BYTES[tier]} characters.{hint}"
        )
    return tier


def check_value(value: str) -> None:
    """Raises Refused: INVALID."""
    if not value:
        raise _invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length "
            "greater than or equal to 1."
        )
    if "{{" in value and re.search(r"\{\{.*\}\}", value):
        raise _invalid('Parameter value can\'t nest another parameter. Do not use "{{}}" in the value.')


def valid_labels(labels: Iterable[str]) -> tuple[list[str], list[str]]:
    """Those that are labels, and those that are not."""
    good: list[str] = []
    bad: list[str] = []
    for label in dict.fromkeys(labels):
        fits = len(label) <= LABEL_MAX and _LABEL.fullmatch(label) and not label.lower().startswith(("aws", "ssm"))
        (good if fits else bad).append(label)
    return good, bad


def labels_of(parameter: Parameter, version: int) -> list[str]:
    return sorted(label for label, number in parameter.labels.items() if number == version)


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)
