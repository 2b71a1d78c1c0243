"""Step scaling: how far a service is scaled by how far an alarm's metric is beyond its threshold. Pure.

Sources: API_StepScalingPolicyConfiguration, API_StepAdjustment; Application Auto Scaling user guide, "How step scaling
for Application Auto Scaling works" (rounding, cooldown).
"""

import itertools
import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

from portside.domain.autoscaling import Decision, ScalableTarget, StepPolicy
from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

STEPS_MOST: Final = 20


class Breach(Record, frozen=True, kw_only=True):
    """An alarm that asks for a policy. `delta`: its metric less its threshold."""

    policy_id: str
    alarm: str
    state: str
    delta: float


def check(policy: StepPolicy) -> None:
    """Raises Refused: its steps overlap, leave a gap, or do not say enough."""
    steps = policy.steps
    if not 1 <= len(steps) <= STEPS_MOST:
        raise _invalid(f"A step scaling policy has between 1 and {STEPS_MOST} step adjustments.")
    if any(each.lower is None and each.upper is None for each in steps) and len(steps) > 1:
        raise _invalid("The upper and lower bound can not both be null in a step adjustment among others.")
    if any(
        each.lower is not None and each.upper is not None and not each.lower < each.upper for each in steps
    ) or not all(math.isfinite(bound) for each in steps for bound in (each.lower, each.upper) if bound is not None):
        raise _invalid("The lower bound of a step adjustment must be below its upper bound.")
    ordered = sorted(steps, key=lambda each: -math.inf if each.lower is None else each.lower)
    if any(before.upper is None or before.upper != after.lower for before, after in itertools.pairwise(ordered)):
        raise _invalid("The ranges of step adjustments can not overlap or have a gap.")
    lowest, highest = ordered[0].lower, ordered[-1].upper
    if lowest is not None and lowest < 0:
        raise _invalid("With a negative lower bound there must be a step adjustment with a null lower bound.")
    if highest is not None and highest > 0:
        raise _invalid("With a positive upper bound there must be a step adjustment with a null upper bound.")
    if policy.minimum_magnitude is not None:
        if policy.adjustment != "PercentChangeInCapacity":
            raise _invalid("MinAdjustmentMagnitude goes with PercentChangeInCapacity only.")
        if policy.minimum_magnitude < 1:
            raise _invalid("MinAdjustmentMagnitude must be greater than 0.")
    if policy.cooldown_s < 0:
        raise _invalid("A cooldown must not be negative.")
    if policy.adjustment == "ExactCapacity" and any(each.adjustment < 0 for each in steps):
        raise _invalid("An exact capacity must not be negative.")


def adjusted(policy: StepPolicy, count: int, delta: float) -> int | None:
    """The count after the step that the distance falls into; None if it falls into none.

    Above the threshold a lower bound belongs to its step, below it the upper one does."""
    for step in policy.steps:
        low = -math.inf if step.lower is None else step.lower
        high = math.inf if step.upper is None else step.upper
        if (low <= delta < high) if delta >= 0 else (low < delta <= high):
            return max(0, _changed(policy, count, step.adjustment))
    return None


def _changed(policy: StepPolicy, count: int, adjustment: int) -> int:
    match policy.adjustment:
        case "ExactCapacity":
            return adjustment
        case "ChangeInCapacity":
            return count + adjustment
    change = count * adjustment / 100
    # Less than one task is one; more is rounded towards none.
    change = math.copysign(max(1.0, math.floor(abs(change))), change) if change else 0.0
    least = policy.minimum_magnitude
    if least is not None and adjustment and abs(change) < least:
        change = math.copysign(least, adjustment)
    return count + int(change)


def decide(target: ScalableTarget, desired: int, breaches: Iterable[Breach], *, now: datetime) -> Decision | None:
    """What the alarms make of the count; None to leave it. Of several, the one that leaves most tasks."""
    policies = {each.id: each for each in target.step_policies}
    found = [
        decision
        for each in breaches
        if (decision := _decided(target, policies[each.policy_id], desired, each, now)) is not None
    ]
    return max(found, key=lambda each: each.desired, default=None)


def _decided(
    target: ScalableTarget, policy: StepPolicy, desired: int, breach: Breach, now: datetime
) -> Decision | None:
    base, cooldown = desired, timedelta(seconds=policy.cooldown_s)
    if target.out_at is not None and target.out_from is not None and now - target.out_at < cooldown:
        # What was added a moment ago counts as part of this step.
        base = min(desired, target.out_from)
    wanted = adjusted(policy, base, breach.delta)
    if wanted is None:
        return None
    wanted = min(target.maximum, max(target.minimum, wanted))
    direction: Literal["out", "in"] = "out" if wanted > desired else "in"
    if wanted == desired or direction in target.suspended:
        return None
    if direction == "in":
        changed_at = max((each for each in (target.out_at, target.in_at) if each is not None), default=None)
        if changed_at is not None and now - changed_at < cooldown:
            return None
    cause = f"monitor alarm {breach.alarm} in state {breach.state} triggered policy {policy.name}"
    return Decision(desired=wanted, base=base, cause=cause, direction=direction)


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)
