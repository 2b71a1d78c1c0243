"""Account settings of ECS: which there are, what they may be, and what holds where nobody chose."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from portside.domain.fargate import unsupported
from portside.domain.record import Record, Scope
from portside.domain.refusal import RefusalKind, Refused


class AccountSetting(Record, frozen=True, kw_only=True):
    """A choice for one principal; the account's root user's holds for all who have made none."""

    scope: Scope
    name: str
    principal_arn: str
    value: str


def key_of(scope: Scope, name: str, principal: str) -> str:
    """Of what was put for exactly this principal."""
    return f"{scope.prefix}{name}/{principal}"


class Known(NamedTuple):
    """`values`: AWS's; `refused`: those among them that Portside could not live up to."""

    default: str
    values: tuple[str, ...]
    refused: tuple[str, ...] = ()


LOG_MODE: Final = "defaultLogDriverMode"
"""How output waits of containers whose log configuration names no mode: as it holds when a task is made."""
_SWITCH: Final = ("enabled", "disabled")

KNOWN: Final[dict[str, Known]] = {
    "awsvpcTrunking": Known("disabled", _SWITCH),
    "containerInsights": Known("disabled", ("enabled", "disabled", "enhanced")),
    "containerInstanceLongArnFormat": Known("enabled", _SWITCH, refused=("disabled",)),
    LOG_MODE: Known("non-blocking", ("blocking", "non-blocking")),
    "fargateEventWindows": Known("disabled", _SWITCH, refused=("enabled",)),
    "fargateFIPSMode": Known("disabled", _SWITCH, refused=("enabled",)),
    "fargateTaskRetirementWaitPeriod": Known("7", ("0", "7", "14")),
    "guardDutyActivate": Known("off", ("on", "off")),
    "serviceLongArnFormat": Known("enabled", _SWITCH, refused=("disabled",)),
    "tagResourceAuthorization": Known("off", ("on", "off")),
    "taskLongArnFormat": Known("enabled", _SWITCH, refused=("disabled",)),
}
"""Source: API_PutAccountSetting, API_PutAccountSettingDefault. awsvpcTrunking, the retirement's wait and the
authorization of tags are kept without effect: there are no container instances, no task is retired, and every principal
may do everything."""

READ_ONLY: Final = ("guardDutyActivate",)


def in_force(name: str, principals: Sequence[str], chosen: Callable[[str], str | None]) -> tuple[str, str]:
    """The value, and whose it is.

    Args:
        principals: whose choice goes first; the last is the account's root user.
        chosen: what was put for exactly one.
    """
    for each in principals:
        value = chosen(each)
        if value is not None:
            return value, each
    return KNOWN[name].default, principals[-1]


def check(name: str, value: str) -> None:
    """Whether the setting may be given that value.

    Raises:
        Refused: INVALID as AWS refuses it; UNSUPPORTED for what Portside does not do.
    """
    known = checked_name(name)
    if name in READ_ONLY:
        raise Refused(RefusalKind.INVALID, f"The account setting {name} is read-only.", "name")
    if value not in known.values:
        raise Refused(
            RefusalKind.INVALID,
            f"Invalid value '{value}' for the account setting {name}: it takes {', '.join(known.values)}.",
            "value",
        )
    if value in known.refused:
        raise unsupported(f"the account setting {name} with the value {value}")


def checked_name(name: str) -> Known:
    """Raises: Refused, INVALID."""
    known = KNOWN.get(name)
    if known is None:
        raise Refused(RefusalKind.INVALID, f"Invalid account setting name: '{name}'.", "name")
    return known
