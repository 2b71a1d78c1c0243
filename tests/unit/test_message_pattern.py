"""Patterns of log messages."""

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from portside.domain.message_pattern import PATTERNS_MOST, SHAPES_MOST, Pattern, Patterns


def found(*messages: str) -> list[Pattern]:
    patterns = Patterns()
    for message in messages:
        patterns.take(message)
    return patterns.found()


def texts(*messages: str) -> list[str]:
    return [each.text for each in found(*messages)]


def test_values_are_tokens() -> None:
    """Times, UUIDs, addresses, numbers and ids, numbered in their order, with what kind they are of."""
    assert texts(
        "2023-01-01 19:00:01 [INFO] Calling DynamoDB to store for resource id 12342342k124-12345",
        "2023-01-01 19:00:02 [INFO] Calling DynamoDB to store for resource id 324892398123-12345",
        "2023-01-01 19:00:03 [INFO] Calling DynamoDB to store for resource id 3ff231242342-12345",
    ) == ["<Time-1> [INFO] Calling DynamoDB to store for resource id <Token-2>"]
    assert texts('10.0.0.1 - - [28/Nov/2026:03:00:01 +0000] "GET /items/17 HTTP/1.1" 200') == [
        '<IPAddress-1> - - [<Time-2>] "GET /items/<Number-3> HTTP/<Number-4>" <Number-5>'
    ]
    assert texts("x -5 of 1.5e3, 550e8400-e29b-41d4-a716-446655440000: 12ms at 03:00:00,512") == [
        "x <Number-1> of <Number-2>, <ID-3>: <Token-4> at <Time-5>"
    ]


def test_words_that_vary_are_tokens() -> None:
    """From four on; with fewer each has its pattern, so what was done is told apart, and keys never vary."""
    assert texts(*(f"user {name} logged in from home" for name in ("ann", "bob", "cy", "dan", "ann"))) == [
        "user <Token-1> logged in from home"
    ]
    assert texts("the door was opened", "the door was closed") == ["the door was closed", "the door was opened"]
    assert len(texts(*(f'{{"{key}": 1, "b": 2, "c": 3, "d": 4}}' for key in "pqrst"))) == 5


def test_severities_are_told_apart() -> None:
    """Even where all else is the same; a message may have none."""
    assert {(each.text, each.severity) for each in found("WARN a b c d", "info a b c d", "fatal a b c d", "x")} == {
        ("WARN a b c d", "Warning"),
        ("info a b c d", "Info"),
        ("fatal a b c d", "Error"),
        ("x", ""),
    }
    for message in ("GET /api/info HTTP", "error-code", "log.error", "infos", "a/debug"):
        assert found(message)[0].severity == ""
    for message in ('{"level":"error"}', "[Error] x", "there was an error.", "ERROR: y", "level=error"):
        assert found(message)[0].severity == "Error"


WORDS = st.sampled_from(
    ["a", "bb", "user", "error", "INFO", "8", "1.5", "x1", "10.0.0.1", "k=v", '"k":', "\0", "é", ""]
)
MESSAGES = st.lists(WORDS, max_size=5).map(" ".join)


@settings(max_examples=300)
@given(st.lists(MESSAGES, max_size=30), st.randoms(use_true_random=False))
def test_each_message_has_a_pattern(messages: list[str], rand: random.Random) -> None:
    """Counts add up; each message fits a pattern that is found, which has words of it alone between the tokens; the
    order of messages changes nothing."""
    patterns = found(*messages)
    assert sum(each.count for each in patterns) == len(messages)
    assert len({each.text for each in patterns}) == len(patterns)
    fits = [
        re.compile("".join(".+?" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL)
        for parts in (re.split(r"(<[A-Za-z]+-\d+>)", each.text) for each in patterns)
    ]
    for message in messages:
        assert any(each.fullmatch(message.replace("\0", " ")) for each in fits)
    shuffled = list(messages)
    rand.shuffle(shuffled)
    assert found(*shuffled) == patterns


def test_memory_is_bounded() -> None:
    """Of messages that have nothing in common the most frequent patterns are kept, and none is forgotten in the count;
    one that was a pattern before takes in what comes later."""
    rand = random.Random(1)
    letters = "abcdefghij"
    unlike = [" ".join("".join(rand.choices(letters, k=6)) for _ in range(5)) for _ in range(2 * SHAPES_MOST)]
    users = [f"user {''.join(rand.choices(letters, k=7))} came in" for _ in range(2 * SHAPES_MOST)]
    patterns = found(*(each for pair in zip(unlike, users, strict=True) for each in pair))
    assert len(patterns) <= PATTERNS_MOST
    assert sum(each.count for each in patterns) == 4 * SHAPES_MOST
    assert Pattern(text="user <Token-1> came in", count=2 * SHAPES_MOST, severity="") in patterns
