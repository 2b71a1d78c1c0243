"""The key of an instance's vault: made once, in a file that root alone can read, beside the store.

The store remembers the key's fingerprint from the first thing on that is sealed with it, so that a lost key is told as
what it is and never replaced by a fresh one that opens nothing.
"""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from portside.vault.aes import KEY_BYTES

FILE: Final = "vault.key"


class KeyUnusable(Exception):
    """The key is lost, damaged or another one; the message says what to do."""


def ensure(data_dir: Path, *, is_known: bool) -> bytes:
    """The instance's key, made if there never was one.

    Args: is_known: a key was made before.
    Raises KeyUnusable, OSError. Effects: a file of mode 0600 in the data folder."""
    path = data_dir / FILE
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if is_known:
            raise KeyUnusable(
                f"{path} is missing, without which the secrets and parameters of this instance can not be read. "
                "Put it back from a backup, or start afresh with another --data-dir."
            ) from None
        return _make(path)
    except UnicodeDecodeError:
        text = ""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyUnusable(
            f"{path} is damaged: it should hold {2 * KEY_BYTES} hexadecimal digits. Put back a good copy."
        )
    return key


def derived(key: bytes, purpose: str) -> bytes:
    """Another key, for another purpose, that tells nothing of the first."""
    return hmac.new(key, f"portside {purpose}".encode(), hashlib.sha256).digest()


def _make(path: Path) -> bytes:
    key = os.urandom(KEY_BYTES)
    fresh = path.with_suffix(".fresh")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{key.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # before anything is sealed: it would be lost with the key
    finally:
        os.close(folder)
    return key
