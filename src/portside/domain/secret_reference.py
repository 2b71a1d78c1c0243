"""What a container's `valueFrom` means, and what AWS says when it can not be had.

Source: API_Secret; ECS developer guide, "Pass sensitive data to an Amazon ECS container".
"""

import json
from typing import Final

from portside.domain import arn
from portside.domain.record import Record

_PREFIX: Final = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
)


class FromParameter(Record, frozen=True, kw_only=True):
    """A parameter by name, in the task's region, or by ARN. `region`: None for the task's."""

    text: str
    region: str | None = None


class FromSecret(Record, frozen=True, kw_only=True):
    """A secret by ARN, or by name in the task's region (`region` None). Empty members are not asked for."""

    secret_id: str
    region: str | None
    json_key: str = ""
    stage: str = ""
    version_id: str = ""


def parsed(value_from: str) -> FromParameter | FromSecret:
    """A secret's ARN with `[:KEY:STAGE:VERSION]` behind it, a parameter's ARN, or a parameter's name."""
    found = arn.parse(value_from)
    if found is None or found.service not in ("secretsmanager", "ssm"):
        return FromParameter(text=value_from)
    if found.service == "ssm":
        return FromParameter(text=value_from, region=found.region)
    name, key, stage, version, *_ = [*found.resource.removeprefix("secret:").split(":"), "", "", ""]
    secret_id = str(arn.Arn("secretsmanager", found.region, found.account, f"secret:{name}"))
    return FromSecret(secret_id=secret_id, region=found.region, json_key=key, stage=stage, version_id=version)


def registry_login(credentials_parameter: str) -> FromSecret:
    """What `repositoryCredentials` names: a secret, never a parameter. Source: API_RepositoryCredentials."""
    found = arn.parse(credentials_parameter)
    return FromSecret(secret_id=credentials_parameter, region=found.region if found is not None else None)


def account_of(value_from: str) -> str | None:
    """The account of an ARN; None for a name."""
    found = arn.parse(value_from)
    return found.account if found is not None else None


class Unresolvable(Exception):
    """The value can not be had; `str()` is the whole reason a task is stopped with."""


def no_secret(value_from: str, cause: str) -> Unresolvable:
    return Unresolvable(
        f"{_PREFIX}unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret "
        f"{value_from} from secrets manager: {cause}"
    )


def no_parameter(text: str) -> Unresolvable:
    return Unresolvable(
        f"{_PREFIX}unable to retrieve secrets from ssm: service call has been retried 1 time(s): "
        f"invalid ssm parameters: {text}"
    )


def member(value_from: str, content: str, key: str) -> str:
    """The value of a key of a secret's JSON object; what is no string is given as JSON. Raises Unresolvable."""
    try:
        found = json.loads(content)
    except ValueError:
        raise _not_in(value_from, "the secret's value is not JSON, so it has no key") from None
    if not isinstance(found, dict) or key not in found:
        raise _not_in(value_from, f"retrieved secret from Secrets Manager did not contain json key {key}")
    return found[key] if isinstance(found[key], str) else json.dumps(found[key])


def login_member(credentials_parameter: str, content: str, key: str) -> str:
    """The user name or the password of a registry's secret. Raises Unresolvable: without both there is no login."""
    found = member(credentials_parameter, content, key)
    if not found:
        raise _not_in(credentials_parameter, f"the secret's {key} is empty")
    return found


def _not_in(value_from: str, cause: str) -> Unresolvable:
    return Unresolvable(
        f"{_PREFIX}unable to retrieve secret from asm: service call has been retried 1 time(s): {cause} ({value_from})"
    )
