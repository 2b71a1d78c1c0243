"""Filters and order of ListSecrets and BatchGetSecretValue. Source: API_Filter."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from portside.api.secretsmanager.error import invalid
from portside.domain.secret import Secret

_NEVER: Final = datetime.min


def selects(filters: Sequence[Mapping[str, Any]], secret: Secret) -> bool:
    """Whether all filters let it through; each does for any of its values, and not for what begins with `!`."""
    return all(_selects(each["Key"], each.get("Values") or (), secret) for each in filters)


def check(filters: Sequence[Mapping[str, Any]]) -> None:
    """Raises ServiceError: InvalidParameterException, a filter does not say what it is about."""
    if any("Key" not in each for each in filters):
        raise invalid("A filter must have a Key.")


def _selects(key: str, values: Sequence[str], secret: Secret) -> bool:
    wanted = [each for each in values if not each.startswith("!")]
    unwanted = [each[1:] for each in values if each.startswith("!")]
    texts = list(_texts(key, secret))
    matches = _matcher(key)
    if any(matches(text, each) for each in unwanted for text in texts):
        return False
    return not wanted or any(matches(text, each) for each in wanted for text in texts)


def _texts(key: str, secret: Secret) -> Iterable[str]:
    match key:
        case "name":
            return (secret.name,)
        case "description":
            return (secret.description or "",)
        case "tag-key":
            return (each.key for each in secret.tags)
        case "tag-value":
            return (each.value for each in secret.tags)
        case "primary-region":
            return (secret.scope.region,)
        case "all":
            tags = (text for each in secret.tags for text in (each.key, each.value))
            return (secret.name, secret.description or "", *tags)
        case _:
            return ()  # owning-service: none is owned by a service


def _matcher(key: str) -> Callable[[str, str], bool]:
    """Names and tags by their beginning, case counts; descriptions and all by the beginnings of words."""
    if key in ("description", "all"):
        return lambda text, value: all(
            any(word.startswith(each) for word in text.lower().replace("/", " ").replace("-", " ").split())
            for each in value.lower().replace("/", " ").replace("-", " ").split()
        )
    return str.startswith


def ordered(secrets: Iterable[Secret], by: str | None, *, descending: bool) -> list[Secret]:
    """Newest first unless asked otherwise, as AWS lists them; equal ones by name."""
    keys: dict[str | None, Callable[[Secret], Any]] = {
        "name": lambda each: each.name,
        "last-accessed-date": lambda each: (each.accessed_on or _NEVER).replace(tzinfo=None),
        "last-changed-date": lambda each: each.changed_at,
    }
    by_name = sorted(secrets, key=lambda each: each.name)
    return sorted(by_name, key=keys.get(by, lambda each: each.created_at), reverse=descending)
