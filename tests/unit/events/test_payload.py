"""What targets get of events."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from portside.domain import event_bridge
from portside.domain.event_bridge import RuleTarget, Transformer
from portside.domain.refusal import Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "id": "1",
    "time": "2026-03-01T11:59:00Z",
    "detail": {"name": 'a "b"', "list": [{"x": 5}], "deep": {"y": [1, 2]}, "none": None},
}


def sent(**changes: Any) -> str:
    target = RuleTarget(id="t", arn="arn:aws:logs:r:0:log-group:g", **changes)
    event_bridge.check_input(target)
    return event_bridge.payload(target, "arn:rule", "rule", EVENT, ingested_at=NOW)


def template(text: str, **paths: str) -> str:
    return sent(transformer=Transformer(paths=paths, template=text))


def test_the_event_a_part_of_it_or_a_constant() -> None:
    """Without a word on it the whole event; by a path what stands there, null if nothing does."""
    assert json.loads(sent()) == EVENT
    assert sent(input='{"a": 1}') == '{"a": 1}'
    assert json.loads(sent(input_path="$.detail.list[0]")) == {"x": 5}
    assert json.loads(sent(input_path="$")) == EVENT
    assert sent(input_path="$.detail.list[3]") == "null"
    assert json.loads(sent(input_path="$['detail']['deep']")) == {"y": [1, 2]}


def test_templates() -> None:
    """Places within quotes get text, others JSON; what is not there is empty."""
    assert json.loads(template('{"who": <name>, "all": <deep>}', name="$.detail.name", deep="$.detail.deep")) == {
        "who": 'a "b"',
        "all": {"y": [1, 2]},
    }
    assert json.loads(template('"<name> is at <time>"', name="$.detail.name", time="$.time")) == (
        'a "b" is at 2026-03-01T11:59:00Z'
    )
    assert json.loads(template('{"x": "<deep>", "y": <gone>}', deep="$.detail.deep", gone="$.detail.gone")) == {
        "x": '{"y":[1,2]}',
        "y": "",
    }
    assert json.loads(template('{"rule": "<aws.events.rule-name>", "event": <aws.events.event.json>}')) == {
        "rule": "rule",
        "event": EVENT,
    }
    assert template('"at <aws.events.event.ingestion-time>"') == '"at 2026-03-01T12:00:00Z"'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": "{", "input_path": None}, "JSON syntax error"),
        ({"input": "{}", "input_path": "$.a"}, "Only one of"),
        ({"input_path": "a.b"}, "Invalid InputPath"),
        ({"transformer": Transformer(paths={"a": "b"}, template="<a>")}, "Invalid InputPath"),
        ({"transformer": Transformer(template="<a>")}, "invalid placeholder a"),
    ],
)
def test_refused(changes: Any, words: str) -> None:
    """What can not be made is refused when it is put."""
    with pytest.raises(Refused, match=words):
        sent(**changes)
