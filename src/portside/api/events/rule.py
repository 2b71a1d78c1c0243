"""Rules and their targets."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from portside.api.events.error import check_bus, invalid, missing, paged, told
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import arn, event_bridge, event_pattern, schedule, tag_rule
from portside.domain.clock import Clock
from portside.domain.event_bridge import EcsTarget, EventCursor, EventRule, RuleTarget, Transformer
from portside.domain.record import Scope, Tag, Tags, replace
from portside.domain.table import EVENT_CURSOR, EVENT_RULE
from portside.store.interface import Delete, Put, Store, Write

_NOT_BUILT: Final = (
    *("KinesisParameters", "RunCommandParameters", "BatchParameters", "SqsParameters", "HttpParameters"),
    *("RedshiftDataParameters", "SageMakerPipelineParameters", "DeadLetterConfig", "AppSyncParameters"),
)


class Rules:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def put(self, context: RequestContext, params: Params) -> Result:
        check_bus(context, params.get("EventBusName"))
        name, pattern, expression = params["Name"], params.get("EventPattern"), params.get("ScheduleExpression")
        if not pattern and not expression:
            raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        if pattern:
            with told("InvalidEventPatternException"):
                event_pattern.parsed(pattern)
        if expression:
            try:
                if expression.startswith("at("):
                    raise invalid("Parameter ScheduleExpression is not valid.")
                with told():
                    schedule.check(expression)
            except ServiceError:
                raise invalid("Parameter ScheduleExpression is not valid.") from None
        if params.get("State") not in (None, "ENABLED", "DISABLED"):
            raise invalid(f"Portside does not implement rules in the state {params['State']}.")
        state: Literal["ENABLED", "DISABLED"] = "DISABLED" if params.get("State") == "DISABLED" else "ENABLED"
        before = self._store.get(EVENT_RULE, f"{context.prefix}{name}")
        rules = sum(1 for _ in self._store.scan(EVENT_RULE, context.prefix))
        if before is None and rules >= event_bridge.RULES_MOST:
            raise ServiceError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
        with told():
            tags = before.tags if before is not None else _tags_from(params.get("Tags") or ())
        is_same = before is not None and before.schedule == expression and before.state == state
        rule = EventRule(
            scope=Scope(account=context.account, region=context.region),
            name=name,
            pattern=pattern or None,
            schedule=expression or None,
            state=state,
            description=params.get("Description"),
            role_arn=params.get("RoleArn"),
            targets=before.targets if before is not None else (),
            tags=tags,
            created_by=context.account,
            enabled_at=before.enabled_at if before is not None and is_same else self._clock.now(),
        )
        self._store.transact(Put(EVENT_RULE, rule), *self._from_now_on())
        return {"RuleArn": arn.event_rule(rule.scope, name)}

    def describe(self, context: RequestContext, params: Params) -> Result:
        rule = self._known(context, params, "Name")
        return {**_rule_to(rule), "CreatedBy": rule.created_by}

    def list(self, context: RequestContext, params: Params) -> Result:
        check_bus(context, params.get("EventBusName"))
        prefix = params.get("NamePrefix") or ""
        found = list(self._store.scan(EVENT_RULE, f"{context.prefix}{prefix}"))
        return paged(params, "Rules", found, _rule_to)

    def enable(self, context: RequestContext, params: Params) -> Result:
        rule = self._known(context, params, "Name")
        if rule.state != "ENABLED":
            enabled = replace(rule, state="ENABLED", enabled_at=self._clock.now())
            self._store.transact(Put(EVENT_RULE, enabled), *self._from_now_on())
        return {}

    def disable(self, context: RequestContext, params: Params) -> Result:
        rule = self._known(context, params, "Name")
        self._store.transact(Put(EVENT_RULE, replace(rule, state="DISABLED")))
        return {}

    def delete(self, context: RequestContext, params: Params) -> Result:
        check_bus(context, params.get("EventBusName"))
        rule = self._store.get(EVENT_RULE, f"{context.prefix}{params['Name']}")
        if rule is not None:
            if rule.targets:
                raise invalid("Rule can't be deleted since it has targets.")
            self._store.transact(Delete(EVENT_RULE, EVENT_RULE.key(rule)))
        return {}

    def _from_now_on(self) -> Sequence[Write]:
        """The first rule that is enabled is for what happens from now on, also if the daemon ends at once."""
        if any(each.state == "ENABLED" for each in self._store.scan(EVENT_RULE)):
            return []
        return [Put(EVENT_CURSOR, EventCursor(revision=self._store.revision, at=self._clock.now()))]

    # --- targets

    def put_targets(self, context: RequestContext, params: Params) -> Result:
        rule = self._known(context, params, "Rule")
        given = [_target_from(each) for each in params["Targets"]]
        with told():
            for each in given:
                event_bridge.check_input(each)
        ids = [each.id for each in given]
        if len(ids) != len(set(ids)):
            raise invalid("Target ids must be unique.")
        targets = (*(each for each in rule.targets if each.id not in ids), *given)
        if len(targets) > event_bridge.TARGETS_MOST:
            raise ServiceError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
        self._store.transact(Put(EVENT_RULE, replace(rule, targets=targets)))
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def remove_targets(self, context: RequestContext, params: Params) -> Result:
        rule = self._known(context, params, "Rule")
        kept = tuple(each for each in rule.targets if each.id not in params["Ids"])
        self._store.transact(Put(EVENT_RULE, replace(rule, targets=kept)))
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def list_targets(self, context: RequestContext, params: Params) -> Result:
        return paged(params, "Targets", self._known(context, params, "Rule").targets, _target_to)

    def names_by_target(self, context: RequestContext, params: Params) -> Result:
        check_bus(context, params.get("EventBusName"))
        found = [
            each.name
            for each in self._store.scan(EVENT_RULE, context.prefix)
            if any(target.arn == params["TargetArn"] for target in each.targets)
        ]
        return paged(params, "RuleNames", found, lambda each: each)

    # --- tags

    def tag(self, context: RequestContext, params: Params) -> Result:
        rule = self._by_arn(context, params)
        with told():
            tags = tag_rule.merged(rule.tags, _tags_from(params["Tags"]))
        self._store.transact(Put(EVENT_RULE, replace(rule, tags=tags)))
        return {}

    def untag(self, context: RequestContext, params: Params) -> Result:
        rule = self._by_arn(context, params)
        kept = tuple(each for each in rule.tags if each.key not in params["TagKeys"])
        self._store.transact(Put(EVENT_RULE, replace(rule, tags=kept)))
        return {}

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        return {"Tags": [{"Key": each.key, "Value": each.value} for each in self._by_arn(context, params).tags]}

    # --- records

    def _known(self, context: RequestContext, params: Params, member: str) -> EventRule:
        check_bus(context, params.get("EventBusName"))
        rule = self._store.get(EVENT_RULE, f"{context.prefix}{params[member]}")
        if rule is None:
            raise missing(f"Rule {params[member]} does not exist on EventBus default.")
        return rule

    def _by_arn(self, context: RequestContext, params: Params) -> EventRule:
        named = params["ResourceARN"]
        for rule in self._store.scan(EVENT_RULE, context.prefix):
            if arn.event_rule(rule.scope, rule.name) == named:
                return rule
        raise missing(f"Rule {named} does not exist on EventBus default.")


def _target_from(given: Mapping[str, Any]) -> RuleTarget:
    for member in _NOT_BUILT:
        if given.get(member) is not None:
            raise invalid(f"Portside does not implement {member} of targets.")
    parsed = arn.parse(given["Arn"])
    if parsed is None:
        raise invalid(f"Parameter {given['Arn']} is not valid. Reason: Provided Arn is not in correct format.")
    ecs = given.get("EcsParameters")
    if parsed.service == "ecs" and parsed.resource.startswith("cluster/"):
        if ecs is None:
            raise invalid(f"EcsParameters are required for target {given['Id']}.")
        if not given.get("RoleArn"):
            raise invalid(f"RoleArn is required for target {given['Arn']}.")
    elif (parsed.service == "logs" and parsed.resource.startswith("log-group:")) or parsed.service == "sns":
        if ecs is not None:
            raise invalid(f"EcsParameters are not supported for target {given['Id']}.")
    else:
        raise invalid(
            f"Parameter {given['Arn']} is not valid. "
            "Reason: Portside implements log groups, topics and ECS tasks as targets."
        )
    transformer = given.get("InputTransformer")
    retry = given.get("RetryPolicy") or {}
    return RuleTarget(
        id=given["Id"],
        arn=given["Arn"],
        role_arn=given.get("RoleArn"),
        input=given.get("Input"),
        input_path=given.get("InputPath"),
        transformer=None
        if transformer is None
        else Transformer(paths=dict(transformer.get("InputPathsMap") or {}), template=transformer["InputTemplate"]),
        ecs=None if ecs is None else EcsTarget(parameters_json=json.dumps(ecs)),
        attempts_most=retry.get("MaximumRetryAttempts", event_bridge.ATTEMPTS_MOST),
        age_most_s=retry.get("MaximumEventAgeInSeconds", event_bridge.AGE_MOST_S),
    )


def _target_to(target: RuleTarget) -> Result:
    shape: Result = {"Id": target.id, "Arn": target.arn}
    for member, value in (
        ("RoleArn", target.role_arn),
        ("Input", target.input),
        ("InputPath", target.input_path),
    ):
        if value is not None:
            shape[member] = value
    if target.transformer is not None:
        template: Result = {"InputTemplate": target.transformer.template}
        if target.transformer.paths:
            template["InputPathsMap"] = dict(target.transformer.paths)
        shape["InputTransformer"] = template
    if target.ecs is not None:
        shape["EcsParameters"] = json.loads(target.ecs.parameters_json)
    if (target.attempts_most, target.age_most_s) != (event_bridge.ATTEMPTS_MOST, event_bridge.AGE_MOST_S):
        shape["RetryPolicy"] = {
            "MaximumRetryAttempts": target.attempts_most,
            "MaximumEventAgeInSeconds": target.age_most_s,
        }
    return shape


def _rule_to(rule: EventRule) -> Result:
    shape: Result = {
        "Name": rule.name,
        "Arn": arn.event_rule(rule.scope, rule.name),
        "State": rule.state,
        "EventBusName": event_bridge.BUS,
    }
    for member, value in (
        ("EventPattern", rule.pattern),
        ("ScheduleExpression", rule.schedule),
        ("Description", rule.description),
        ("RoleArn", rule.role_arn),
    ):
        if value is not None:
            shape[member] = value
    return shape


def _tags_from(given: Any) -> Tags:
    tags = tuple(Tag(key=each["Key"], value=each["Value"]) for each in given)
    tag_rule.check(tags)
    return tags
