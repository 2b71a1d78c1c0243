"""Filter patterns."""

import fnmatch
import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portside.domain.log_comparison import like
from portside.domain.log_pattern import LogPattern, parse
from portside.domain.log_regex import LogRegex
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
    ("text", "said"),
    [
        ('"open', "Invalid filter pattern"),
        ("ERROR -", "Invalid character(s) in term '-'"),
        ('""', "Invalid character(s) in term '\"\"'"),
        ("{ $.level = 50", "If a filter pattern starts with '{' it must end with '}'"),
        ("[ip, user", "If a filter pattern starts with '[' it must end with ']'"),
        ("{ }", "Invalid filter pattern"),
        ("{ $.a }", "Invalid filter pattern"),
        ("{ level = 50 }", "Invalid character(s) in term 'l'"),
        ("{ $.a > x }", "Invalid filter pattern"),
        ("{ $.a IS NOT NULL }", "Invalid character(s) in term 'I'"),
        ("{ $.a EXISTS }", "Invalid character(s) in term 'E'"),
        ("{ ($.a = 1 }", "Invalid filter pattern"),
        ("{ $.a = 1 && }", "Invalid filter pattern"),
        ("{ $.a[*].b[*] = 1 }", "Invalid filter pattern: a property selector can have one wildcard"),
        (
            "{ $.a = %a% && $.b = %b% && $.c = %c% }",
            "Invalid filter pattern: at most 2 regular expressions are allowed",
        ),
        ("[a, b, a]", "Invalid filter pattern: field names must be unique"),
        ("[a = 1 && b = 2]", "Invalid filter pattern"),
        ("[a = 4*, b > x]", "Invalid filter pattern"),
        ("[..., a, ...]", "Invalid filter pattern"),
        ("%something!%", "Invalid character(s) in term '!'"),
        ("%(a)%", "Invalid character(s) in term '('"),
        ("%a**%", "Invalid character(s) in term '*'"),
        ("%[a%", "Invalid character(s) in term '['"),
        ("{ " + "(" * 60 + "$.a = 1" + ")" * 60 + " }", "Invalid filter pattern"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """What makes no sense is refused in AWS's words where they are known."""
    with pytest.raises(Refused) as caught:
        parse(text)
    assert (caught.value.kind, caught.value.message) == (RefusalKind.INVALID, said)


DOCUMENT = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "yes": True,
        "number": [0.001, 1000],
        "user-name": {"a_b": "x"},
        "cluster.name": "c",
    }
)


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{ $.eventType = *Trail }", True),
        ('{ $.eventType = "up*" }', False),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress != 111.* }", False),
        ('{ $.arrayKey[0] = "value" }', True),
        ('{ $.arrayKey[*] = "another*" }', True),
        ('{ $.arrayKey = "value" }', False),
        ('{ $.arrayKey != "value" }', False),
        ("{ $.objectList[1].id = 2 }", True),
        ("{ $.objectList[*].id > 1 }", True),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.eventType IS NULL }", False),
        ("{ $.Other IS NULL }", False),
        ("{ $.yes IS TRUE && $.no NOT EXISTS }", True),
        ("{ $.SomeOtherObject NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ('{ $.missing != "x" }', False),
        ("{ $.number[0] = 1e-3 }", True),
        ("{ $.number[1] = 1e+3 && $.number[1] >= 1000.0 }", True),
        ("{ $.number[0] != 1e+3 }", True),
        ('{ $.user-name.a_b = "x" }', True),
        ("{ $.['cluster.name'] = c }", True),
        ("{ $.eventType = %^Up[a-z]+Tr% }", True),
        ('{ $.eventType = "a" || $.yes IS FALSE || ($.number[1] > 3 && $.eventType = Up*) }', True),
        ('{ ($.eventType = "UpdateTrail" || $.arrayKey[0] = "n") && $.arrayKey[1] = "n" }', False),
        ('{ $.eventType = "UpdateTrail" || $.arrayKey[0] = "n" && $.arrayKey[1] = "n" }', True),
    ],
)
def test_json(text: str, is_match: bool) -> None:
    """The examples of AWS's guide, and conditions on what is not there."""
    assert parse(text).matches(DOCUMENT) is is_match


def test_json_patterns_let_other_messages_through_to_nobody() -> None:
    """A message that is no JSON matches no JSON pattern, not even NOT EXISTS."""
    pattern = parse("{ $.a NOT EXISTS }")
    assert pattern.matches('{"b": 1}')
    for message in ("", "text", "{", '{"a"', "[" * 5000, "12", '"a"', "{\ud800}"):
        assert not pattern.matches(message)


LINE = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
FIELDS = {
    "$ip": "127.0.0.1",
    "$user": "Prod",
    "$username": "frank",
    "$timestamp": "10/Oct/2000:13:25:15 -0700",
    "$request": "GET /index.html HTTP/1.0",
    "$status_code": "404",
    "$bytes": "1534",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes]", FIELDS),
        ("[ip, user, username, timestamp, request, status_code = 404 || status_code = 410, bytes > 1000]", FIELDS),
        ("[ip, user, username, timestamp, request, status_code, bytes > 2000]", {}),
        ("[ip=%^127\\.%, user!=Dev, username, timestamp, request, status_code, bytes=1534.0]", FIELDS),
        ("[ip, user, username, timestamp, request, status_code, bytes, more]", {}),
        (
            "[..., status_code = 4*, bytes]",
            {f"${number}": value for number, value in enumerate(list(FIELDS.values())[:5], 1)}
            | {"$status_code": "404", "$bytes": "1534"},
        ),
        ("[ip, user, rest=*404*]", {"$ip": "127.0.0.1", "$user": "Prod", "$rest": LINE[15:]}),
        ("[w1=ERROR || w1=127.0.0.1, ...]", {"$w1": "127.0.0.1"} | dict.fromkeys(("$2", "$3", "$4", "$5", "$6", "$7"))),
    ],
)
def test_fields(text: str, found: dict[str, str | None]) -> None:
    """The examples of AWS's guide: fields in order, from the end behind an ellipsis, and the rest in the last one."""
    pattern = parse(text)
    assert pattern.matches(LINE) is bool(found)
    extracted = pattern.extract(LINE)
    assert extracted.keys() == found.keys()
    assert all(value is None or extracted[name] == value for name, value in found.items())


def test_long_messages_take_no_longer_than_they_are_long() -> None:
    """Patterns over which a backtracking search would not come to an end, and fields whose quotes never close."""
    message = "a" * 200_000
    assert not parse("%a*a*a*a*a*b%").matches(message)
    assert parse("%a*a*a*[ab]$%").matches(message)
    assert not parse("[x, ..., y=b]").matches('" [ ' * 60_000)
    assert not parse('"a*b"').matches(message)
    assert not parse('{ $.x = "*a*a*a*b*" }').matches(json.dumps({"x": message}))


ATOMS = st.sampled_from(["a", "b", r"\d", r"\s", ".", "[ab]", "[^a]", "[0-9a]", r"\.", r"\x61", "_"])
QUANTITIES = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,}"])
ROWS = st.builds(
    lambda start, parts, end: start + "".join(map("".join, parts)) + end,
    st.sampled_from(["", "^"]),
    st.lists(st.tuples(ATOMS, QUANTITIES), max_size=6),
    st.sampled_from(["", "$"]),
)


@given(st.lists(ROWS, min_size=1, max_size=3).filter(any), st.text("ab0 ._\n", max_size=12))
def test_regexes_find_what_python_finds(rows: list[str], text: str) -> None:
    """The states and the search that is used for short texts both agree with Python's own engine."""
    expression = "|".join(rows)
    regex = LogRegex(expression)
    oracle = re.search(expression.replace("$", r"\Z"), text, re.ASCII) is not None
    assert regex.found_in(text) is oracle
    assert regex._states.found_in(text) is oracle


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_asterisks_are_anything(glob: str, text: str) -> None:
    """As fnmatch has it."""
    assert like(tuple(glob.split("*")))(text) is fnmatch.fnmatchcase(text, glob)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "ab", "b", ""]))
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"x": SCALARS, "y": SCALARS, "z": st.one_of(SCALARS, st.lists(SCALARS, max_size=3))}
)
SELECTORS = st.sampled_from(["x", "y", "z", "z[0]", "z[*]"])
CONDITIONS = st.one_of(
    st.tuples(SELECTORS, st.sampled_from(["=", "!="]), st.sampled_from(['"a"', '"a*"', "a", "b*", "1", "-2", "*"])),
    st.tuples(SELECTORS, st.sampled_from([">", "<", ">=", "<="]), st.sampled_from(["0", "1.5", "-1e0"])),
    st.tuples(SELECTORS, st.sampled_from(["IS NULL", "IS TRUE", "IS FALSE", "NOT EXISTS"]), st.just("")),
)
TREES = st.recursive(CONDITIONS, lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner), max_leaves=4)


def written(tree: Any) -> str:
    if isinstance(tree[0], tuple):
        return f"({written(tree[0])} {tree[1]} {written(tree[2])})"
    return f"$.{tree[0]} {tree[1]} {tree[2]}"


def holds(tree: Any, document: Any) -> bool:
    """The oracle: written from the guide's words, without a parser."""
    left, operator, right = tree
    if operator in ("&&", "||"):
        return (all if operator == "&&" else any)(holds(each, document) for each in (left, right))
    name, _, index = left.partition("[")
    values = [document[name]] if name in document else []
    if index:
        inside = values[0] if values and isinstance(values[0], list) else []
        values = inside[:1] if index == "0]" else inside
    match operator:
        case "NOT EXISTS":
            return not values
        case "IS NULL":
            return any(value is None for value in values)
        case "IS TRUE" | "IS FALSE":
            return any(value is (operator == "IS TRUE") for value in values)
    numbers = [value for value in values if type(value) is int]
    texts = [value for value in values if isinstance(value, str)]
    if operator in (">", "<", ">=", "<="):
        return any(eval(f"{value} {operator} {right}") for value in numbers)
    glob = right.strip('"')
    alike = [fnmatch.fnmatchcase(text, glob) for text in texts]
    alike += [not right.startswith('"') and fnmatch.fnmatchcase(str(value), glob) for value in numbers]
    return any(each is (operator == "=") for each in alike)


@given(st.text(max_size=4), st.booleans(), st.sampled_from(["{0}", "{0}*", "*{0}", "x{0}"]))
def test_texts_are_found_however_they_are_written(text: str, is_ascii: bool, form: str) -> None:
    """A document may have escapes in the place of any character."""
    glob = form.format(re.sub(r'([\\"*])', r"\\\1", text))
    message = json.dumps({"x": text, "y": "ERROR"}, ensure_ascii=is_ascii)
    wanted = form in ("{0}", "{0}*", "*{0}")
    if message.isprintable() or is_ascii:
        assert parse(f'{{ $.x = "{glob}" && $.y = "ERR*" }}').matches(message) is wanted


@given(TREES, DOCUMENTS)
def test_json_patterns_hold_as_the_guide_says(tree: Any, document: dict[str, Any]) -> None:
    """Any tree of conditions, against an evaluation that knows the tree."""
    trees = [tree]
    wildcards = 0
    while trees:
        left, operator, right = trees.pop()
        if operator in ("&&", "||"):
            trees += [left, right]
        else:
            wildcards += "*" in left
    assume(wildcards <= 3)
    assert parse(f"{{ {written(tree)} }}").matches(json.dumps(document)) is holds(tree, document)


WORDS = st.text("ab1.", min_size=1, max_size=4)


@given(st.lists(WORDS, max_size=6), st.lists(WORDS, min_size=1, max_size=4), st.integers(0, 4))
def test_fields_are_words_in_order(words: list[str], wanted: list[str], ellipsis_at: int) -> None:
    """With an ellipsis, what stands before it are the first words and what stands behind it the last."""
    conditions = [f'w{number}="{word}"' for number, word in enumerate(wanted)]
    head, tail = wanted[:ellipsis_at], wanted[ellipsis_at:]
    pattern = parse(f"[{','.join([*conditions[:ellipsis_at], '...', *conditions[ellipsis_at:]])}]")
    expected = len(words) >= len(wanted) and words[: len(head)] == head and words[len(words) - len(tail) :] == tail
    assert pattern.matches("  ".join(words)) is expected


@given(st.text(alphabet='{}[]()$.=!<>"%*&|, ab1\\?-', max_size=30), st.text(max_size=20))
def test_anything_is_a_pattern_or_refused(text: str, message: str) -> None:
    """No text makes the parser or the search fail otherwise."""
    try:
        pattern = parse(text)
    except Refused:
        return
    if pattern.matches(message):
        assert isinstance(pattern.extract(message), dict)


def test_matches() -> None:
    """All required, one of the optional, none of the excluded; case matters."""
    pattern = LogPattern(required=("a",), optional=("x", "y"), excluded=("z",))
    assert pattern.matches("a y")
    assert not pattern.matches("a")
    assert not pattern.matches("a x z")
    assert not pattern.matches("A x")
