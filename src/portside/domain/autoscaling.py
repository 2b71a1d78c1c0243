"""Application Auto Scaling of services: records, rules, and the decision how many tasks there should be. Pure.

Target tracking decides as AWS's own alarms do: out, when the metric was above the target for three minutes; in, when it
was more than a tenth below it for fifteen. Sources: API_TargetTrackingScalingPolicyConfiguration; Application Auto
Scaling user guide, "How target tracking scaling works"; activities as AWS words them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from portside.domain.metric import Dimensions, MetricName, dimensions_of
from portside.domain.record import Record, Scope, Tags
from portside.domain.refusal import RefusalKind, Refused

DIMENSION: Final = "ecs:service:DesiredCount"
OUT_AFTER_MINUTES: Final = 3
IN_AFTER_MINUTES: Final = 15
IN_BELOW: Final = 0.9
"""Of the target: how low the metric must be to scale in."""
COOLDOWN_S: Final = 300
POLICIES_MOST: Final = 50
ACTIVITIES_KEPT: Final = 100
REQUESTS: Final = "ALBRequestCountPerTarget"
_LABEL: Final = re.compile(r"(app/[^/]+/[^/]+)/(targetgroup/[^/]+/[^/]+)")
PREDEFINED: Final[Mapping[str, str]] = {
    "ECSServiceAverageCPUUtilization": "CPUUtilization",
    "ECSServiceAverageMemoryUtilization": "MemoryUtilization",
}

Direction = Literal["in", "out", "scheduled"]
Statistic = Literal["Average", "Minimum", "Maximum", "SampleCount", "Sum"]


class TrackedMetric(Record, frozen=True, kw_only=True):
    """`predefined`: AWS's name for a metric of the service itself; else the other members say which metric it is."""

    predefined: str = ""
    resource_label: str = ""  # app/NAME/ID/targetgroup/NAME/ID, of ALBRequestCountPerTarget
    namespace: str = ""
    name: str = ""
    dimensions: Dimensions = ()
    statistic: Statistic = "Average"
    unit: str | None = None


class Policy(Record, frozen=True, kw_only=True):
    """Of type TargetTrackingScaling."""

    id: str
    name: str
    target: float
    metric: TrackedMetric
    out_cooldown_s: int = COOLDOWN_S
    in_cooldown_s: int = COOLDOWN_S
    disable_scale_in: bool = False
    created_at: datetime


class Step(Record, frozen=True, kw_only=True):
    """A range of distances from an alarm's threshold, None for no bound, and what is done there."""

    lower: float | None = None
    upper: float | None = None
    adjustment: int


class StepPolicy(Record, frozen=True, kw_only=True):
    """Of type StepScaling: alarms name it as an action."""

    id: str
    name: str
    adjustment: Literal["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]
    steps: tuple[Step, ...]
    minimum_magnitude: int | None = None
    cooldown_s: int = COOLDOWN_S
    aggregation: Literal["Average", "Minimum", "Maximum"] = "Average"
    created_at: datetime


class ScheduledAction(Record, frozen=True, kw_only=True):
    id: str
    name: str
    schedule: str
    zone: str = "UTC"
    minimum: int | None = None
    maximum: int | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    created_at: datetime
    done_at: datetime | None = None  # the last time that it was carried out


class ScalableTarget(Record, frozen=True, kw_only=True):
    """A service whose count is chosen between two bounds. `suspended`: of `in`, `out`, `scheduled`."""

    scope: Scope
    id: str
    cluster: str
    service: str
    minimum: int
    maximum: int
    role_arn: str
    suspended: tuple[Direction, ...] = ()
    policies: tuple[Policy, ...] = ()
    step_policies: tuple[StepPolicy, ...] = ()
    actions: tuple[ScheduledAction, ...] = ()
    out_at: datetime | None = None  # when it was last scaled out, or in
    in_at: datetime | None = None
    out_from: int | None = None  # the count that it was last scaled out from
    tags: Tags = ()
    created_at: datetime

    @property
    def all_policies(self) -> tuple[Policy | StepPolicy, ...]:
        return (*self.policies, *self.step_policies)

    @property
    def resource_id(self) -> str:
        return f"service/{self.cluster}/{self.service}"


class Activity(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    resource_id: str
    description: str
    cause: str
    at: datetime
    status: Literal["Successful", "Failed"] = "Successful"
    message: str = ""


class Decision(Record, frozen=True, kw_only=True):
    """Another count, the one that it was made from, and what led to it in AWS's words."""

    desired: int
    base: int
    cause: str
    direction: Literal["out", "in"]


def check_bounds(minimum: int, maximum: int) -> None:
    if minimum < 0 or maximum < 0:
        raise _invalid("Minimum and maximum capacity must not be negative.")
    if minimum > maximum:
        raise _invalid("Minimum capacity cannot be greater than maximum capacity")


def check_policy(policy: Policy) -> None:
    if policy.metric.predefined == REQUESTS:
        requests_of(policy.metric.resource_label)
    elif policy.metric.resource_label:
        raise _invalid(f"A ResourceLabel goes with {REQUESTS} only.")
    elif policy.metric.predefined and policy.metric.predefined not in PREDEFINED:
        raise Refused(
            RefusalKind.UNSUPPORTED,
            f"Portside does not measure {policy.metric.predefined} yet; see docs/coverage.md",
            "PredefinedMetricType",
        )
    if not math.isfinite(policy.target) or policy.target <= 0:
        raise _invalid("The target value of a policy must be greater than 0.")
    if policy.out_cooldown_s < 0 or policy.in_cooldown_s < 0:
        raise _invalid("A cooldown must not be negative.")


def requests_of(label: str) -> MetricName:
    """The metric of ALBRequestCountPerTarget. Raises Refused: the label is none."""
    match = _LABEL.fullmatch(label)
    if match is None:
        raise _invalid("ResourceLabel must have the form app/NAME/ID/targetgroup/NAME/ID.")
    dimensions = dimensions_of({"LoadBalancer": match[1], "TargetGroup": match[2]})
    return MetricName(namespace="AWS/ApplicationELB", name="RequestCountPerTarget", dimensions=dimensions)


def decide(
    target: ScalableTarget, desired: int, series: Mapping[str, Sequence[float | None]], *, now: datetime
) -> Decision | None:
    """What the policies make of the count; None to leave it.

    Any policy scales out, the one that wants most; in only if all of them that may want fewer.

    Args:
        series: by policy id, the metric of the last minutes, the newest last, None where there was no sample.
    """
    wants_out = [each for policy in target.policies if (each := _out(target, policy, desired, series, now)) is not None]
    if wants_out:
        return max(wants_out, key=lambda each: each.desired)
    may_go_in = [policy for policy in target.policies if not policy.disable_scale_in]
    wants_in = [_in(target, policy, desired, series, now) for policy in may_go_in]
    found = [each for each in wants_in if each is not None]
    if not found or len(found) < len(may_go_in):
        return None
    return max(found, key=lambda each: each.desired)


def _out(
    target: ScalableTarget, policy: Policy, desired: int, series: Mapping[str, Sequence[float | None]], now: datetime
) -> Decision | None:
    last = series.get(policy.id, ())[-OUT_AFTER_MINUTES:]
    values = [each for each in last if each is not None]
    if "out" in target.suspended or len(values) < OUT_AFTER_MINUTES or min(values) <= policy.target:
        return None
    if target.out_at is not None and now - target.out_at < timedelta(seconds=policy.out_cooldown_s):
        return None
    wanted = min(target.maximum, max(desired + 1, math.ceil(max(desired, 1) * values[-1] / policy.target)))
    if wanted <= desired:
        return None
    return Decision(desired=wanted, base=desired, cause=_cause(target, policy, "AlarmHigh"), direction="out")


def _in(
    target: ScalableTarget, policy: Policy, desired: int, series: Mapping[str, Sequence[float | None]], now: datetime
) -> Decision | None:
    last = series.get(policy.id, ())[-IN_AFTER_MINUTES:]
    values = [each for each in last if each is not None]
    if "in" in target.suspended or len(values) < IN_AFTER_MINUTES or max(values) >= IN_BELOW * policy.target:
        return None
    changed_at = max((each for each in (target.out_at, target.in_at) if each is not None), default=None)
    if changed_at is not None and now - changed_at < timedelta(seconds=policy.in_cooldown_s):
        return None
    # As many as the busiest of these minutes needs.
    wanted = max(target.minimum, math.ceil(desired * max(values) / policy.target))
    if wanted >= desired:
        return None
    return Decision(desired=wanted, base=desired, cause=_cause(target, policy, "AlarmLow"), direction="in")


def _cause(target: ScalableTarget, policy: Policy, alarm: str) -> str:
    name = f"TargetTracking-{target.resource_id}-{alarm}-{policy.id}"
    return f"monitor alarm {name} in state ALARM triggered policy {policy.name}"


def bounded(target: ScalableTarget, desired: int, action: str) -> Decision | None:
    """The count within the bounds that a scheduled action has set; None if it is."""
    if desired < target.minimum:
        cause = f"minimum capacity was set to {target.minimum}"
        return Decision(
            desired=target.minimum, base=desired, cause=f"{cause} by scheduled action {action}", direction="out"
        )
    if desired > target.maximum:
        cause = f"maximum capacity was set to {target.maximum}"
        return Decision(
            desired=target.maximum, base=desired, cause=f"{cause} by scheduled action {action}", direction="in"
        )
    return None


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)
