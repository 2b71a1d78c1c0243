"""Keys of sessions and what belongs to them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from portside.session.key import SessionKeys

KEYS = SessionKeys(b"k" * 32)


def test_a_key_has_awss_form() -> None:
    """Ids and secrets have the length and the letters of AWS's; two are never the same."""
    one, other = KEYS.fresh_id(), KEYS.fresh_id()
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", one)
    assert len(KEYS.secret_access_key(one)) == 40
    assert one != other
    assert KEYS.secret_access_key(one) != KEYS.secret_access_key(other)
    assert KEYS.session_token(one) != KEYS.session_token(other)


def test_the_same_key_file_gives_the_same_secrets() -> None:
    """A restart changes nothing, and another key file everything."""
    one = KEYS.fresh_id()
    again, foreign = SessionKeys(b"k" * 32), SessionKeys(b"l" * 32)
    assert again.is_ours(one)
    assert again.secret_access_key(one) == KEYS.secret_access_key(one)
    assert again.session_token(one) == KEYS.session_token(one)
    assert not foreign.is_ours(one)
    assert foreign.secret_access_key(one) != KEYS.secret_access_key(one)


@given(st.integers(0, 19), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567a0-é"))
def test_an_id_changed_anywhere_is_not_ours(at: int, letter: str) -> None:
    """Any other letter in any place makes it a stranger's."""
    one = KEYS.fresh_id()
    changed = one[:at] + letter + one[at + 1 :]
    assert KEYS.is_ours(changed) is (changed == one)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    """What is no key id at all is not ours."""
    assert not KEYS.is_ours(text)
    assert not KEYS.is_ours(f"ASIA{text}")
