"""The secrets of sessions, derived from one key: none is stored, and a restart changes none (ADR 0016).

An access key id of ours is told from all others by a mark in it, so that one whose record is gone is known to have
expired, and is never taken for a stranger's.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

PREFIX: Final = "ASIA"
"""What AWS's temporary access key ids begin with."""
_CHANCE_LETTERS: Final = 10
"""50 bits: the store refuses one that is taken."""
_MARK_LETTERS: Final = 6
"""30 bits: one in 10^9 of foreign ids would be taken for ours."""


class SessionKeys:
    """Access key ids, and the secret and token that belong to each."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def fresh_id(self) -> str:
        """An access key id that nobody has guessed."""
        chance = base64.b32encode(secrets.token_bytes(10)).decode()[:_CHANCE_LETTERS]
        return f"{PREFIX}{chance}{self._mark(chance)}"

    def is_ours(self, access_key_id: str) -> bool:
        """Whether the id was made with this key."""
        rest = access_key_id.removeprefix(PREFIX)
        if rest == access_key_id or len(rest) != _CHANCE_LETTERS + _MARK_LETTERS:
            return False
        mark = self._mark(rest[:_CHANCE_LETTERS])
        return hmac.compare_digest(rest[_CHANCE_LETTERS:].encode(), mark.encode())

    def secret_access_key(self, access_key_id: str) -> str:
        """40 characters, as AWS's."""
        return base64.b64encode(self._derive("secret", access_key_id)[:30]).decode()

    def session_token(self, access_key_id: str) -> str:
        return base64.b64encode(self._derive("token", access_key_id)).decode()

    def _mark(self, chance: str) -> str:
        return base64.b32encode(self._derive("id", chance)).decode()[:_MARK_LETTERS]

    def _derive(self, purpose: str, text: str) -> bytes:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha512).digest()
