"""What is sealed can be opened with the same key for the same thing alone; the key is made once and never replaced."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.vault import key
from portside.vault.aes import AesVault
from portside.vault.interface import VaultError

VAULT = AesVault(bytes(range(32)))


@given(st.binary(max_size=5000), st.text(max_size=50))
def test_what_was_sealed_comes_back(plaintext: bytes, context: str) -> None:
    """Any content comes back for its own context."""
    assert VAULT.open(VAULT.seal(plaintext, context), context) == plaintext


@given(st.binary(min_size=1, max_size=100), st.data())
def test_nothing_else_opens(plaintext: bytes, data: st.DataObject) -> None:
    """Another context, a changed byte, a cut: an error, never another content."""
    sealed = VAULT.seal(plaintext, "one")
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    for wrong, context in ((sealed, "other"), (changed, "one"), (sealed[:at], "one")):
        with pytest.raises(VaultError):
            VAULT.open(wrong, context)


def test_another_key() -> None:
    """What another key has sealed is told as that."""
    with pytest.raises(VaultError, match="another key"):
        VAULT.open(AesVault(bytes(32)).seal(b"x", "one"), "one")


def test_sealing_twice_shows_nothing() -> None:
    """Equal contents are not equal when sealed, and the content can not be read in it."""
    first, second = VAULT.seal(b"password", "one"), VAULT.seal(b"password", "one")
    assert first != second
    assert b"password" not in first


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The same key at every start, for root alone."""
    made = key.ensure(tmp_path, is_known=False)
    assert len(made) == 32
    assert key.ensure(tmp_path, is_known=True) == key.ensure(tmp_path, is_known=False) == made
    assert stat.S_IMODE((tmp_path / key.FILE).stat().st_mode) == 0o600


def test_a_lost_key_is_not_replaced(tmp_path: Path) -> None:
    """Once something may be sealed with it, a missing key is an error that says what to do."""
    with pytest.raises(key.KeyUnusable, match="backup"):
        key.ensure(tmp_path, is_known=True)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"xyz", b"\xff\xfe"])
def test_a_damaged_key(tmp_path: Path, content: bytes) -> None:
    """A file that holds no key is told as damaged, and kept."""
    (tmp_path / key.FILE).write_bytes(content)
    with pytest.raises(key.KeyUnusable, match="damaged"):
        key.ensure(tmp_path, is_known=False)
    assert (tmp_path / key.FILE).read_bytes() == content
