"""GetRandomPassword. Source: API_GetRandomPassword."""

import secrets
import string
from typing import Final

from portside.api.secretsmanager.error import invalid
from portside.aws.service import Params, RequestContext, Result

LENGTH: Final = 32
PUNCTUATION: Final = string.punctuation


def random_password(_context: RequestContext, params: Params) -> Result:
    """A password of the kinds of characters that are not excluded, with one of each unless that is turned off."""
    length = LENGTH if params.get("PasswordLength") is None else params["PasswordLength"]
    excluded = set(params.get("ExcludeCharacters") or "")
    kinds = [
        kind
        for kind, flag in (
            (string.ascii_lowercase, "ExcludeLowercase"),
            (string.ascii_uppercase, "ExcludeUppercase"),
            (string.digits, "ExcludeNumbers"),
            (PUNCTUATION, "ExcludePunctuation"),
            (" " if params.get("IncludeSpace") else "", ""),
        )
        if kind and not params.get(flag)
    ]
    allowed = ["".join(each for each in kind if each not in excluded) for kind in kinds]
    allowed = [kind for kind in allowed if kind]
    needed = allowed if params.get("RequireEachIncludedType", True) else []
    if not allowed or length < max(1, len(needed)):
        raise invalid("The password can not be made: no character is left, or it is too short for each kind of them.")
    characters = [secrets.choice(kind) for kind in needed]
    characters += [secrets.choice("".join(allowed)) for _ in range(length - len(characters))]
    secrets.SystemRandom().shuffle(characters)
    return {"RandomPassword": "".join(characters)}
