"""Secrets of Secrets Manager: their records, and what happens to versions and their staging labels.

Source: API_CreateSecret, API_PutSecretValue, API_UpdateSecretVersionStage, API_DeleteSecret; Secrets Manager user
guide, "What's in a Secrets Manager secret"; messages as AWS gives them.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from portside.domain import arn
from portside.domain.record import Record, Scope, Tags, replace
from portside.domain.refusal import RefusalKind, Refused

CURRENT: Final = "AWSCURRENT"
PREVIOUS: Final = "AWSPREVIOUS"
STAGES_MAX: Final = 20
VERSIONS_KEPT: Final = 100
"""Versions without a staging label beyond this are removed, the oldest first."""
RECOVERY_DAYS: Final = range(7, 31)
RECOVERY_DAYS_DEFAULT: Final = 30
KEY_ALIAS: Final = "alias/aws/secretsmanager"

_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_SUFFIX: Final = re.compile(r"(.+)-[A-Za-z0-9]{6}")


class SecretVersion(Record, frozen=True, kw_only=True):
    """`id`: the client request token it was made with. Without stages it is deprecated."""

    id: str
    stages: tuple[str, ...] = ()
    created_at: datetime


class Secret(Record, frozen=True, kw_only=True):
    """`suffix`: the six characters of its ARN. `delete_at`: when its recovery window ends."""

    scope: Scope
    name: str
    suffix: str
    description: str | None = None
    versions: tuple[SecretVersion, ...] = ()
    policy: str | None = None
    tags: Tags = ()
    created_at: datetime
    changed_at: datetime
    accessed_on: datetime | None = None
    deleted_at: datetime | None = None
    delete_at: datetime | None = None


class SecretValue(Record, frozen=True, kw_only=True):
    """What one version holds, sealed. `is_binary`: it was given as SecretBinary."""

    scope: Scope
    name: str
    suffix: str
    version_id: str
    sealed: bytes
    is_binary: bool = False


def secret_arn(secret: Secret) -> str:
    scope = secret.scope
    return str(arn.Arn("secretsmanager", scope.region, scope.account, f"secret:{secret.name}-{secret.suffix}"))


def vault_context(secret: Secret, version_id: str) -> str:
    """What a sealed value belongs to."""
    return f"secretsmanager:{secret.scope.prefix}{secret.name}-{secret.suffix}:{version_id}"


def names_of(secret_id: str) -> tuple[str, ...]:
    """The names that a SecretId may stand for, to be tried in this order: a name, an ARN, or one without its suffix."""
    parsed = arn.parse(secret_id)
    if parsed is None or parsed.service != "secretsmanager":
        return (secret_id,)
    whole = parsed.resource.removeprefix("secret:")
    match = _SUFFIX.fullmatch(whole)
    return (match[1], whole) if match else (whole,)


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Refused(
            RefusalKind.INVALID,
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        )


def version(secret: Secret, *, version_id: str | None, stage: str | None) -> SecretVersion | None:
    """The version that an id, a stage, or neither (the current one) means. Raises Refused: they contradict."""
    if version_id is not None:
        found = next((each for each in secret.versions if each.id == version_id), None)
        if found is not None and stage is not None and stage not in found.stages:
            raise Refused(
                RefusalKind.INVALID, "You provided a VersionStage that is not associated to the provided VersionId."
            )
        return found
    return next((each for each in secret.versions if (stage or CURRENT) in each.stages), None)


def with_version(secret: Secret, version_id: str, stages: Iterable[str], *, now: datetime) -> Secret:
    """The secret with a new version that carries these stages; what was current becomes the previous one."""
    fresh = SecretVersion(id=version_id, created_at=now)
    staged = replace(secret, versions=(*secret.versions, fresh), changed_at=now)
    for stage in dict.fromkeys(stages):
        staged = moved(staged, stage, version_id, now=now)
    deprecated = [each for each in staged.versions if not each.stages]
    gone = {each.id for each in deprecated[: max(0, len(staged.versions) - VERSIONS_KEPT)]}
    return replace(staged, versions=tuple(each for each in staged.versions if each.id not in gone))


def moved(secret: Secret, stage: str, to: str | None, *, now: datetime) -> Secret:
    """The stage on that version alone (None: on none). With AWSCURRENT, AWSPREVIOUS follows to the one before."""
    before = next((each.id for each in secret.versions if stage in each.stages), None)
    if before == to:
        return secret
    places: dict[str, str | None] = {stage: to}
    if stage == CURRENT and before is not None:
        places[PREVIOUS] = before
    versions = []
    for each in secret.versions:
        kept = [name for name in each.stages if name not in places]
        kept += [name for name, place in places.items() if place == each.id]
        versions.append(replace(each, stages=tuple(kept)))
    return replace(secret, versions=tuple(versions), changed_at=now)


def deletion(secret: Secret, days: int | None, *, force: bool, now: datetime) -> Secret:
    """The secret, to be gone after so many days; at once where forced. Raises Refused."""
    if force and days is not None:
        raise Refused(
            RefusalKind.INVALID,
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        )
    if days is not None and days not in RECOVERY_DAYS:
        raise Refused(RefusalKind.INVALID, "RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
    window = timedelta() if force else timedelta(days=days or RECOVERY_DAYS_DEFAULT)
    return replace(secret, deleted_at=now, delete_at=now + window)
