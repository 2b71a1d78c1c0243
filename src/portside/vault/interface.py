"""What services need of a vault."""

from typing import Protocol


class VaultError(Exception):
    """Something sealed can not be opened; the message says why and never holds the content."""


class Vault(Protocol):
    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Encrypt. Args: context: what it belongs to; the same must be given to open it, so that nobody can pass one
        record's content off as another's."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """The plaintext again. Raises VaultError: sealed by another key, for another context, or damaged."""
        ...
