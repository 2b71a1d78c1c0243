"""Filter patterns."""

import pytest

from portside.domain.log_pattern import LogPattern, parse
from portside.domain.refusal import RefusalKind, Refused


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (None, LogPattern()),
        ("  ", LogPattern()),
        ("ERROR", LogPattern(required=("ERROR",))),
        ("ERROR  Exception", LogPattern(required=("ERROR", "Exception"))),
        ('"INTERNAL SERVER" ERROR', LogPattern(required=("INTERNAL SERVER", "ERROR"))),
        (r'"say \"hi\""', LogPattern(required=('say "hi"',))),
        ("?ERROR ?WARN", LogPattern(optional=("ERROR", "WARN"))),
        ('ERROR -"no matter"', LogPattern(required=("ERROR",), excluded=("no matter",))),
        ("ERROR ?WARN", LogPattern(required=("ERROR",))),
        ("a-b x?", LogPattern(required=("a-b", "x?"))),
    ],
)
def test_parse(text: str | None, pattern: LogPattern) -> None:
    """Each kind of term is told from the others; alternatives beside other terms are ignored, as AWS does."""
    assert parse(text) == pattern


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{ $.level = 50 }", RefusalKind.UNSUPPORTED),
        ("[ip, user]", RefusalKind.UNSUPPORTED),
        ("%4[0-9]{2}%", RefusalKind.UNSUPPORTED),
        ('"open', RefusalKind.INVALID),
        ("ERROR -", RefusalKind.INVALID),
        ('""', RefusalKind.INVALID),
    ],
)
def test_refused(text: str, kind: RefusalKind) -> None:
    """What is not built or makes no sense is refused, and told apart."""
    with pytest.raises(Refused) as caught:
        parse(text)
    assert caught.value.kind == kind


def test_matches() -> None:
    """All required, one of the optional, none of the excluded; case matters."""
    pattern = LogPattern(required=("a",), optional=("x", "y"), excluded=("z",))
    assert pattern.matches("a y")
    assert not pattern.matches("a")
    assert not pattern.matches("a x z")
    assert not pattern.matches("A x")
