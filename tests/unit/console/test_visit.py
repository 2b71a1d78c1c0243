"""Whom the console answers: its own page, and none that another site made a browser send."""

import pytest

from portside.api.console.visit import Visits
from portside.aws.request import Request

VISITS = Visits(bytes(32), "0123abcd")
COOKIE = VISITS.given().partition(";")[0]
GOOD = {
    "host": "127.0.0.1:4566",
    "origin": "http://127.0.0.1:4566",
    "sec-fetch-site": "same-origin",
    "cookie": f"theme=dark; {COOKIE}",
    "x-portside-console": "1",
    "content-type": "application/json",
}


def refusal(headers: dict[str, str], method: str = "POST") -> str | None:
    return VISITS.refusal(Request(method=method, path="/", query="", headers=headers, body=b""))


def test_the_consoles_own_page_is_answered() -> None:
    """With all that a browser sends of the page that it was given, a call and a reading are answered."""
    assert refusal(GOOD) is None
    assert refusal({"host": "127.0.0.1:4566", "cookie": COOKIE}, "GET") is None


@pytest.mark.parametrize(
    "header",
    ["origin", "cookie", "x-portside-console", "content-type"],
)
def test_each_proof_is_asked_for(header: str) -> None:
    """A request that acts and lacks one of the proofs is refused, whatever else it has."""
    assert refusal({name: value for name, value in GOOD.items() if name != header}) is not None


@pytest.mark.parametrize(
    "forged",
    [
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"content-type": "text/plain"},
        {"cookie": f"{COOKIE}0"},
        {"cookie": f"{VISITS.cookie}=."},
        {"cookie": f"{VISITS.cookie}=" + "a" * 32 + "." + "0" * 64},
        {"cookie": Visits(bytes(31) + b"1", "0123abcd").given().partition(";")[0]},
    ],
)
def test_what_another_page_can_make_a_browser_send_is_refused(forged: dict[str, str]) -> None:
    """Another origin, even of another port of this machine; another way of sending; a made-up or foreign cookie."""
    assert refusal({**GOOD, **forged}) is not None


def test_a_reading_from_elsewhere_is_refused_too() -> None:
    """Neither another site's page nor one without the cookie may listen to changes."""
    assert refusal({**GOOD, "sec-fetch-site": "cross-site"}, "GET") is not None
    assert refusal({"host": "127.0.0.1:4566"}, "GET") is not None


def test_the_cookie_is_kept_from_scripts_and_other_sites() -> None:
    """And each visit has its own, valid again in another process of the same instance."""
    given = VISITS.given()
    assert "HttpOnly" in given
    assert "SameSite=Strict" in given
    assert given != VISITS.given()
    again = Visits(bytes(32), "0123abcd")
    assert again.refusal(Request(method="POST", path="/", query="", headers=GOOD, body=b"")) is None
