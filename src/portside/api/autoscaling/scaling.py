"""The operations: scalable targets, their policies, scheduled actions and activities."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn, schedule, step_scaling, tag_rule
from portside.domain import autoscaling as rule
from portside.domain.autoscaling import (
    Activity,
    Direction,
    Policy,
    ScalableTarget,
    ScheduledAction,
    Step,
    StepPolicy,
    TrackedMetric,
)
from portside.domain.clock import Clock, Ids
from portside.domain.metric import dimensions_of
from portside.domain.record import Scope, Tag, Tags, replace
from portside.domain.refusal import Refused
from portside.domain.table import ALARM, SCALABLE_TARGET, SCALING_ACTIVITY, SERVICE
from portside.store.interface import Delete, Put, Store

T = TypeVar("T")

PAGE: Final = 50
_ROLE: Final = (
    "arn:aws:iam::{account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_ECSService"
)
_CONFIGURATION: Final = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
}
_SUSPENDED: Final[Mapping[str, Direction]] = {
    "DynamicScalingInSuspended": "in",
    "DynamicScalingOutSuspended": "out",
    "ScheduledScalingSuspended": "scheduled",
}


class Scaling:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "RegisterScalableTarget": self.register,
            "DescribeScalableTargets": self.describe_targets,
            "DeregisterScalableTarget": self.deregister,
            "PutScalingPolicy": self.put_policy,
            "DescribeScalingPolicies": self.describe_policies,
            "DeleteScalingPolicy": self.delete_policy,
            "PutScheduledAction": self.put_action,
            "DescribeScheduledActions": self.describe_actions,
            "DeleteScheduledAction": self.delete_action,
            "DescribeScalingActivities": self.describe_activities,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
        }

    # --- targets

    def register(self, context: RequestContext, params: Params) -> Result:
        cluster, service = _resource(params)
        if self._store.get(SERVICE, f"{context.prefix}{cluster}/{service}") is None:
            raise _invalid(f"ECS service doesn't exist: {params['ResourceId']}")
        known = self._found(context, params)
        minimum, maximum = params.get("MinCapacity"), params.get("MaxCapacity")
        if known is None and (minimum is None or maximum is None):
            raise _invalid("Both MinCapacity and MaxCapacity must be specified to register a new scalable target.")
        target = known or ScalableTarget(
            scope=Scope(account=context.account, region=context.region),
            id=self._ids.hex(32),
            cluster=cluster,
            service=service,
            minimum=0,
            maximum=0,
            role_arn=_ROLE.format(account=context.account),
            created_at=self._clock.now(),
        )
        with _told():
            target = replace(
                target,
                minimum=target.minimum if minimum is None else minimum,
                maximum=target.maximum if maximum is None else maximum,
                suspended=_suspended(target, params.get("SuspendedState")),
                tags=tag_rule.merged(target.tags, _tags_from(params.get("Tags") or {})),
            )
            rule.check_bounds(target.minimum, target.maximum)
        self._store.transact(Put(SCALABLE_TARGET, target))
        return {"ScalableTargetARN": _arn(target)}

    def describe_targets(self, context: RequestContext, params: Params) -> Result:
        wanted = params.get("ResourceIds")
        found = [each for each in self._targets(context, params) if not wanted or each.resource_id in wanted]
        return _paged(params, found, "ScalableTargets", _target_to)

    def deregister(self, context: RequestContext, params: Params) -> Result:
        target = self._known(context, params)
        self._store.transact(Delete(SCALABLE_TARGET, SCALABLE_TARGET.key(target)))
        return {}

    # --- policies

    def put_policy(self, context: RequestContext, params: Params) -> Result:
        target = self._known(context, params)
        name = params["PolicyName"]
        known = next((each for each in target.all_policies if each.name == name), None)
        kind = params.get("PolicyType") or (_kind(known) if known is not None else "StepScaling")
        if kind not in _CONFIGURATION:
            raise _invalid(f"Portside does not implement policies of type {kind}.")
        if known is not None and kind != _kind(known):
            raise _invalid(f"The policy {name} is of type {_kind(known)}: it can not become one of another type.")
        given = params.get(_CONFIGURATION[kind])
        if given is None:
            raise _invalid(f"A policy of type {kind} needs {_CONFIGURATION[kind]}.")
        common = {
            "id": known.id if known is not None else self._ids.uuid(),
            "name": name,
            "created_at": known.created_at if known is not None else self._clock.now(),
        }
        policies = tuple(each for each in target.policies if each.name != name)
        step_policies = tuple(each for each in target.step_policies if each.name != name)
        if len(policies) + len(step_policies) >= rule.POLICIES_MOST:
            raise ServiceError("LimitExceededException", f"A target can have at most {rule.POLICIES_MOST} policies.")
        policy: Policy | StepPolicy
        with _told():
            if kind == "StepScaling":
                policy = _steps_from(given, common)
                step_scaling.check(policy)
                target = replace(target, step_policies=(*step_policies, policy))
            else:
                policy = _tracking_from(given, common)
                rule.check_policy(policy)
                target = replace(target, policies=(*policies, policy))
        self._store.transact(Put(SCALABLE_TARGET, target))
        return {"PolicyARN": _policy_arn(target, policy), "Alarms": self._alarms(_policy_arn(target, policy))}

    def _alarms(self, policy_arn: str) -> list[Result]:
        """Those that have the policy as an action."""
        parsed = arn.parse(policy_arn)
        assert parsed is not None
        return [
            {"AlarmName": each.name, "AlarmARN": arn.alarm(each.scope, each.name)}
            for each in self._store.scan(ALARM, f"{parsed.account}/{parsed.region}/")
            if policy_arn in (*each.ok_actions, *each.alarm_actions, *each.insufficient_data_actions)
        ]

    def describe_policies(self, context: RequestContext, params: Params) -> Result:
        wanted = params.get("PolicyNames")
        found = [
            (target, policy)
            for target in self._targets(context, params)
            for policy in target.all_policies
            if not wanted or policy.name in wanted
        ]
        return _paged(
            *(params, found, "ScalingPolicies"),
            lambda each: _policy_to(*each) | {"Alarms": self._alarms(_policy_arn(*each))},
        )

    def delete_policy(self, context: RequestContext, params: Params) -> Result:
        target = self._known(context, params)
        policies = tuple(each for each in target.policies if each.name != params["PolicyName"])
        step_policies = tuple(each for each in target.step_policies if each.name != params["PolicyName"])
        if (policies, step_policies) == (target.policies, target.step_policies):
            raise _missing(f"No scaling policy found for service namespace: ecs, resource ID: {target.resource_id}")
        self._store.transact(Put(SCALABLE_TARGET, replace(target, policies=policies, step_policies=step_policies)))
        return {}

    # --- scheduled actions

    def put_action(self, context: RequestContext, params: Params) -> Result:
        target = self._known(context, params)
        known = next((each for each in target.actions if each.name == params["ScheduledActionName"]), None)
        now = self._clock.now()
        expression = params.get("Schedule") or (known.schedule if known is not None else None)
        if expression is None:
            raise _invalid("Schedule must be specified for a new scheduled action.")
        zone = params.get("Timezone") or (known.zone if known is not None else "UTC")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _invalid(f"The time zone {zone} is not known.") from None
        bounds = params.get("ScalableTargetAction") or {}
        before = known or ScheduledAction(
            id=self._ids.uuid(), name=params["ScheduledActionName"], schedule=expression, created_at=now
        )
        action = replace(
            before,
            schedule=expression,
            zone=zone,
            minimum=bounds.get("MinCapacity", before.minimum),
            maximum=bounds.get("MaxCapacity", before.maximum),
            start_at=params.get("StartTime", before.start_at),
            end_at=params.get("EndTime", before.end_at),
        )
        with _told():
            schedule.check(expression)
            if action.minimum is not None and action.maximum is not None:
                rule.check_bounds(action.minimum, action.maximum)
        if action.minimum is None and action.maximum is None:
            raise _invalid("At least one of MinCapacity and MaxCapacity must be specified.")
        actions = (*(each for each in target.actions if each.name != action.name), action)
        self._store.transact(Put(SCALABLE_TARGET, replace(target, actions=actions)))
        return {}

    def describe_actions(self, context: RequestContext, params: Params) -> Result:
        wanted = params.get("ScheduledActionNames")
        found = [
            (target, action)
            for target in self._targets(context, params)
            for action in target.actions
            if not wanted or action.name in wanted
        ]
        return _paged(params, found, "ScheduledActions", lambda each: _action_to(*each))

    def delete_action(self, context: RequestContext, params: Params) -> Result:
        target = self._known(context, params)
        kept = tuple(each for each in target.actions if each.name != params["ScheduledActionName"])
        if len(kept) == len(target.actions):
            raise _missing(f"No scheduled action found for service namespace: ecs, resource ID: {target.resource_id}")
        self._store.transact(Put(SCALABLE_TARGET, replace(target, actions=kept)))
        return {}

    # --- activities and tags

    def describe_activities(self, context: RequestContext, params: Params) -> Result:
        _check_namespace(params)
        wanted = params.get("ResourceId")
        found = [
            each
            for each in self._store.scan(SCALING_ACTIVITY, context.prefix)
            if not wanted or each.resource_id == wanted
        ]
        found.sort(key=lambda each: each.at, reverse=True)
        return _paged(params, found, "ScalingActivities", _activity_to)

    def tag(self, context: RequestContext, params: Params) -> Result:
        target = self._by_arn(context, params)
        with _told():
            tags = tag_rule.merged(target.tags, _tags_from(params["Tags"]))
        self._store.transact(Put(SCALABLE_TARGET, replace(target, tags=tags)))
        return {}

    def untag(self, context: RequestContext, params: Params) -> Result:
        target = self._by_arn(context, params)
        tags = tuple(each for each in target.tags if each.key not in params["TagKeys"])
        self._store.transact(Put(SCALABLE_TARGET, replace(target, tags=tags)))
        return {}

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        return {"Tags": {each.key: each.value for each in self._by_arn(context, params).tags}}

    # --- records

    def _targets(self, context: RequestContext, params: Params) -> list[ScalableTarget]:
        _check_namespace(params)
        wanted = params.get("ResourceId")
        return [
            each
            for each in self._store.scan(SCALABLE_TARGET, context.prefix)
            if not wanted or each.resource_id == wanted
        ]

    def _found(self, context: RequestContext, params: Params) -> ScalableTarget | None:
        cluster, service = _resource(params)
        return self._store.get(SCALABLE_TARGET, f"{context.prefix}{cluster}/{service}")

    def _known(self, context: RequestContext, params: Params) -> ScalableTarget:
        target = self._found(context, params)
        if target is None:
            raise _missing(
                f"No scalable target found for service namespace: ecs, resource ID: {params['ResourceId']}, scalable "
                f"dimension: {params['ScalableDimension']}"
            )
        return target

    def _by_arn(self, context: RequestContext, params: Params) -> ScalableTarget:
        for target in self._store.scan(SCALABLE_TARGET, context.prefix):
            if _arn(target) == params["ResourceARN"]:
                return target
        raise ServiceError("ResourceNotFoundException", f"The resource {params['ResourceARN']} does not exist.")


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def _missing(message: str) -> ServiceError:
    return ServiceError("ObjectNotFoundException", message)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise _invalid(error.message) from error


def _check_namespace(params: Params) -> None:
    if params["ServiceNamespace"] != "ecs":
        raise _invalid(f"Portside scales services of ECS only, not {params['ServiceNamespace']}.")


def _resource(params: Params) -> tuple[str, str]:
    """Cluster and service."""
    _check_namespace(params)
    if params["ScalableDimension"] != rule.DIMENSION:
        raise _invalid(f"The scalable dimension of a service is {rule.DIMENSION}, not {params['ScalableDimension']}.")
    parts = params["ResourceId"].split("/")
    if len(parts) != 3 or parts[0] != "service" or not all(parts):
        raise _invalid("Unsupported resource type. The resource id of a service is service/CLUSTER/SERVICE.")
    return parts[1], parts[2]


def _suspended(target: ScalableTarget, state: Mapping[str, bool] | None) -> tuple[Direction, ...]:
    """What is suspended, with what the request says of it."""
    given = {name: (state or {}).get(member) for member, name in _SUSPENDED.items()}
    return tuple(name for name, asked in given.items() if (name in target.suspended if asked is None else asked))


def _tracking_from(given: Mapping[str, Any], common: Mapping[str, Any]) -> Policy:
    return Policy(
        **common,
        target=given["TargetValue"],
        metric=_metric_from(given),
        out_cooldown_s=_or(given.get("ScaleOutCooldown"), rule.COOLDOWN_S),
        in_cooldown_s=_or(given.get("ScaleInCooldown"), rule.COOLDOWN_S),
        disable_scale_in=bool(given.get("DisableScaleIn")),
    )


def _steps_from(given: Mapping[str, Any], common: Mapping[str, Any]) -> StepPolicy:
    if given.get("AdjustmentType") is None:
        raise _invalid("AdjustmentType must be specified.")
    return StepPolicy(
        **common,
        adjustment=given["AdjustmentType"],
        steps=tuple(
            Step(
                lower=each.get("MetricIntervalLowerBound"),
                upper=each.get("MetricIntervalUpperBound"),
                adjustment=each["ScalingAdjustment"],
            )
            for each in given.get("StepAdjustments") or ()
        ),
        minimum_magnitude=given.get("MinAdjustmentMagnitude"),
        cooldown_s=_or(given.get("Cooldown"), rule.COOLDOWN_S),
        aggregation=given.get("MetricAggregationType") or "Average",
    )


def _metric_from(given: Mapping[str, Any]) -> TrackedMetric:
    predefined, own = given.get("PredefinedMetricSpecification"), given.get("CustomizedMetricSpecification")
    if (predefined is None) == (own is None):
        raise _invalid("Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given.")
    if predefined is not None:
        label = predefined.get("ResourceLabel") or ""
        return TrackedMetric(predefined=predefined["PredefinedMetricType"], resource_label=label)
    assert own is not None
    if own.get("Metrics"):
        raise _invalid("Portside does not implement metric math in scaling policies.")
    if not own.get("Namespace") or not own.get("MetricName") or not own.get("Statistic"):
        raise _invalid("A customized metric needs MetricName, Namespace and Statistic.")
    return TrackedMetric(
        namespace=own["Namespace"],
        name=own["MetricName"],
        dimensions=dimensions_of({each["Name"]: each["Value"] for each in own.get("Dimensions") or ()}),
        statistic=own["Statistic"],
        unit=own.get("Unit"),
    )


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _tags_from(given: Mapping[str, str]) -> Tags:
    tags = tuple(Tag(key=key, value=value) for key, value in given.items())
    tag_rule.check(tags)
    return tags


def _arn(target: ScalableTarget) -> str:
    scope = target.scope
    return f"arn:aws:application-autoscaling:{scope.region}:{scope.account}:scalable-target/{target.id}"


def _kind(policy: Policy | StepPolicy) -> str:
    return "StepScaling" if isinstance(policy, StepPolicy) else "TargetTrackingScaling"


def _policy_arn(target: ScalableTarget, policy: Policy | StepPolicy) -> str:
    return arn.scaling_policy(target.scope, target.resource_id, policy.id, policy.name)


def _place(target: ScalableTarget) -> Result:
    return {"ServiceNamespace": "ecs", "ResourceId": target.resource_id, "ScalableDimension": rule.DIMENSION}


def _target_to(target: ScalableTarget) -> Result:
    return {
        **_place(target),
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": target.role_arn,
        "CreationTime": target.created_at,
        "SuspendedState": {member: name in target.suspended for member, name in _SUSPENDED.items()},
        "ScalableTargetARN": _arn(target),
    }


def _policy_to(target: ScalableTarget, policy: Policy | StepPolicy) -> Result:
    kind = _kind(policy)
    return {
        **_place(target),
        "PolicyARN": _policy_arn(target, policy),
        "PolicyName": policy.name,
        "PolicyType": kind,
        _CONFIGURATION[kind]: _steps_to(policy) if isinstance(policy, StepPolicy) else _tracking_to(policy),
        "CreationTime": policy.created_at,
    }


def _steps_to(policy: StepPolicy) -> Result:
    steps = []
    for each in policy.steps:
        bounds = {"MetricIntervalLowerBound": each.lower, "MetricIntervalUpperBound": each.upper}
        known = {name: value for name, value in bounds.items() if value is not None}
        steps.append({**known, "ScalingAdjustment": each.adjustment})
    shape: Result = {
        "AdjustmentType": policy.adjustment,
        "StepAdjustments": steps,
        "Cooldown": policy.cooldown_s,
        "MetricAggregationType": policy.aggregation,
    }
    if policy.minimum_magnitude is not None:
        shape["MinAdjustmentMagnitude"] = policy.minimum_magnitude
    return shape


def _tracking_to(policy: Policy) -> Result:
    metric = policy.metric
    configuration: Result = {
        "TargetValue": policy.target,
        "ScaleOutCooldown": policy.out_cooldown_s,
        "ScaleInCooldown": policy.in_cooldown_s,
        "DisableScaleIn": policy.disable_scale_in,
    }
    if metric.predefined:
        predefined = {"PredefinedMetricType": metric.predefined}
        if metric.resource_label:
            predefined["ResourceLabel"] = metric.resource_label
        return configuration | {"PredefinedMetricSpecification": predefined}
    own: Result = {
        "MetricName": metric.name,
        "Namespace": metric.namespace,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
        "Statistic": metric.statistic,
    }
    if metric.unit is not None:
        own["Unit"] = metric.unit
    return configuration | {"CustomizedMetricSpecification": own}


def _action_to(target: ScalableTarget, action: ScheduledAction) -> Result:
    scope = target.scope
    bounds = {"MinCapacity": action.minimum, "MaxCapacity": action.maximum}
    shape: Result = {
        **_place(target),
        "ScheduledActionName": action.name,
        "ScheduledActionARN": f"arn:aws:autoscaling:{scope.region}:{scope.account}:scheduledAction:{action.id}:"
        f"resource/ecs/{target.resource_id}:scheduledActionName/{action.name}",
        "Schedule": action.schedule,
        "Timezone": action.zone,
        "ScalableTargetAction": {name: value for name, value in bounds.items() if value is not None},
        "CreationTime": action.created_at,
    }
    for member, at in (("StartTime", action.start_at), ("EndTime", action.end_at)):
        if at is not None:
            shape[member] = at
    return shape


def _activity_to(activity: Activity) -> Result:
    return {
        "ActivityId": activity.id,
        "ServiceNamespace": "ecs",
        "ResourceId": activity.resource_id,
        "ScalableDimension": rule.DIMENSION,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.at,
        "EndTime": activity.at,
        "StatusCode": activity.status,
        "StatusMessage": activity.message,
    }


def _paged(params: Params, items: Sequence[T], member: str, shape: Callable[[T], Result]) -> Result:
    start = 0
    if params.get("NextToken"):
        try:
            start = int(base64.b64decode(params["NextToken"], validate=True))
        except (binascii.Error, ValueError):
            raise ServiceError("InvalidNextTokenException", "The NextToken is not valid.") from None
    size = params.get("MaxResults") or PAGE
    if not 1 <= size <= PAGE:
        raise _invalid(f"MaxResults must be between 1 and {PAGE}.")
    result: Result = {member: [shape(each) for each in items[start : start + size]]}
    if start + size < len(items):
        result["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return result
