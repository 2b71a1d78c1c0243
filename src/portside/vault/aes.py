"""A vault with one key: AES-256-GCM, a nonce of its own for each sealing.

Sealed: version (1 byte), the key's fingerprint (8), nonce (12), ciphertext with its tag. Source: NIST SP 800-38D; 2^32
sealings with random nonces of 96 bits are safe by one key.
"""

import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portside.vault.interface import VaultError

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_FINGERPRINT_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + _FINGERPRINT_BYTES + _NONCE_BYTES


def fingerprint(key: bytes) -> bytes:
    """Tells keys apart, and nothing else about them."""
    return hashlib.sha256(b"portside vault key" + key).digest()[:_FINGERPRINT_BYTES]


class AesVault:
    """Fulfils `vault.interface.Vault`."""

    def __init__(self, key: bytes) -> None:
        self._cipher, self._fingerprint = AESGCM(key), fingerprint(key)

    def seal(self, plaintext: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + self._fingerprint + nonce + self._cipher.encrypt(nonce, plaintext, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        head, ciphertext = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
        if len(head) < _HEAD_BYTES or not head.startswith(_VERSION):
            raise VaultError("what is stored is nothing that was sealed")
        if head[1 : 1 + _FINGERPRINT_BYTES] != self._fingerprint:
            raise VaultError("it was sealed with another key than this instance's vault.key")
        try:
            return self._cipher.decrypt(head[-_NONCE_BYTES:], ciphertext, context.encode())
        except InvalidTag:
            raise VaultError("what is stored is damaged") from None
