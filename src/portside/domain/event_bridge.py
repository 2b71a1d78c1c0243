"""EventBridge: rules, their targets, events and what is on its way to a target. Pure.

Sources: API_PutRule, API_PutTargets; EventBridge user guide, "Amazon EventBridge input transformation".
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from portside.domain import arn, event_pattern
from portside.domain.record import Record, Scope, Tags
from portside.domain.refusal import RefusalKind, Refused

BUS: Final = "default"
RULES_MOST: Final = 300
TARGETS_MOST: Final = 5
ENTRIES_MOST: Final = 10
ENTRY_BYTES_MOST: Final = 256 * 1024
ATTEMPTS_MOST: Final = 185
AGE_MOST_S: Final = 86400
SCHEDULED: Final = "Scheduled Event"

_PATH: Final = re.compile(r"\$(?:\.[A-Za-z0-9_-]+|\[\d+\]|\['[^']+'\])*")
_STEP: Final = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]|\['([^']+)'\]")
_PLACE: Final = re.compile(r"<([A-Za-z0-9_.-]+)>")


class EcsTarget(Record, frozen=True, kw_only=True):
    """What RunTask is asked for, in its own names, as JSON."""

    parameters_json: str


class Transformer(Record, frozen=True, kw_only=True):
    paths: dict[str, str] = {}
    template: str


class RuleTarget(Record, frozen=True, kw_only=True):
    """At most one of `input`, `input_path` and `transformer` is there."""

    id: str
    arn: str
    role_arn: str | None = None
    input: str | None = None
    input_path: str | None = None
    transformer: Transformer | None = None
    ecs: EcsTarget | None = None
    attempts_most: int = ATTEMPTS_MOST
    age_most_s: int = AGE_MOST_S


class EventRule(Record, frozen=True, kw_only=True):
    """On the default bus. It has a pattern, a schedule, or both."""

    scope: Scope
    name: str
    pattern: str | None = None
    schedule: str | None = None
    state: Literal["ENABLED", "DISABLED"] = "ENABLED"
    description: str | None = None
    role_arn: str | None = None
    targets: tuple[RuleTarget, ...] = ()
    tags: Tags = ()
    created_by: str = ""
    enabled_at: datetime  # when its schedule began to count


class Delivery(Record, frozen=True, kw_only=True):
    """Something on its way to a target. `failure`: what was wrong with the last attempt."""

    scope: Scope
    id: str
    rule: str
    target: RuleTarget
    payload: str
    event_at: datetime
    attempts: int = 0
    failure: str = ""
    not_before: datetime | None = None


class EventCursor(Record, frozen=True, kw_only=True):
    """All changes up to this revision of the store have become deliveries, where a rule was for them."""

    name: str = "ecs"
    revision: int
    at: datetime


def event(
    scope: Scope, *, event_id: str, source: str, detail_type: str, at: datetime, resources: list[str], detail: Any
) -> dict[str, Any]:
    """In EventBridge's envelope."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": scope.account,
        "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "region": scope.region,
        "resources": resources,
        "detail": detail,
    }


def deliveries(rules: Iterable[EventRule], happened: Mapping[str, Any], *, now: datetime) -> list[Delivery]:
    """What is to be sent of an event, by the enabled rules of its account and region that it matches."""
    text = _json(happened)
    found: list[Delivery] = []
    for rule in rules:
        if rule.state != "ENABLED" or rule.pattern is None or not rule.targets:
            continue
        if event_pattern.parsed(rule.pattern).matches(text):
            found += of_rule(rule, happened, now=now)
    return found


def of_rule(rule: EventRule, happened: Mapping[str, Any], *, now: datetime) -> list[Delivery]:
    """One for each target. Ids of one target sort by time; the same event at the same time has the same."""
    return [
        Delivery(
            scope=rule.scope,
            id=f"{rule.name}/{target.id}/{now.timestamp():017.6f}-{happened['id']}",
            rule=rule.name,
            target=target,
            payload=payload(target, arn.event_rule(rule.scope, rule.name), rule.name, happened, ingested_at=now),
            event_at=now,
        )
        for target in rule.targets
    ]


def check_input(target: RuleTarget) -> None:
    """Raises Refused: what is to be sent can not be made."""
    if sum(each is not None for each in (target.input, target.input_path, target.transformer)) > 1:
        raise _invalid("Only one of Input, InputPath, or InputTransformer must be provided for target " + target.id)
    if target.input is not None:
        try:
            json.loads(target.input)
        except ValueError:
            raise _invalid(f"JSON syntax error in input for target {target.id}") from None
    paths = [] if target.input_path is None else [target.input_path]
    if target.transformer is not None:
        paths += target.transformer.paths.values()
        unknown = sorted(
            {
                each
                for each in _PLACE.findall(target.transformer.template)
                if each not in target.transformer.paths and not each.startswith("aws.events.")
            }
        )
        if unknown:
            raise _invalid(f"InputTemplate for target {target.id} contains invalid placeholder {unknown[0]}")
    for each in paths:
        if _PATH.fullmatch(each) is None:
            raise _invalid(f"Invalid InputPath for target {target.id}: {each}")


def payload(target: RuleTarget, rule_arn: str, rule: str, happened: Mapping[str, Any], *, ingested_at: datetime) -> str:
    """What the target gets of an event: JSON, or any text that a template makes."""
    if target.input is not None:
        return target.input
    if target.input_path is not None:
        return _json(_at(happened, target.input_path))
    if target.transformer is None:
        return _json(happened)
    values: dict[str, Any] = {name: _at(happened, path) for name, path in target.transformer.paths.items()}
    values |= {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule,
        "aws.events.event.ingestion-time": f"{ingested_at:%Y-%m-%dT%H:%M:%SZ}",
        "aws.events.event": {key: each for key, each in happened.items() if key != "detail"},
        "aws.events.event.json": happened,
    }
    return _filled(target.transformer.template, values)


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """A place within quotes gets the text of its value, another one its JSON. What is not in the event is empty."""
    written: list[str] = []
    at, is_quoted = 0, False
    for match in _PLACE.finditer(template):
        between = template[at : match.start()]
        is_quoted ^= len(re.findall(r'(?<!\\)"', between)) % 2 == 1
        value = values.get(match[1])
        if is_quoted:
            text = "" if value is None else value if isinstance(value, str) else _json(value)
            written += [between, json.dumps(text)[1:-1]]
        else:
            written += [between, '""' if value is None else _json(value)]
        at = match.end()
    return "".join([*written, template[at:]])


def _at(document: Any, path: str) -> Any:
    """What stands there; None if nothing does."""
    for name, index, quoted in _STEP.findall(path):
        if index:
            found = document[int(index)] if isinstance(document, list) and int(index) < len(document) else None
        else:
            found = document.get(name or quoted) if isinstance(document, Mapping) else None
        if found is None:
            return None
        document = found
    return document


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)
