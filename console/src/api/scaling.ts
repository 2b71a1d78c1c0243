/** Application Auto Scaling of services: between which counts, by which policies and at what times, and what came of it. */

import { call, every } from "./call";

export interface Target {
  ResourceId: string;
  MinCapacity: number;
  MaxCapacity: number;
  SuspendedState?: { DynamicScalingInSuspended?: boolean; DynamicScalingOutSuspended?: boolean; ScheduledScalingSuspended?: boolean };
}

export interface Policy {
  PolicyName: string;
  PolicyARN: string;
  PolicyType: string;
  TargetTrackingScalingPolicyConfiguration?: {
    TargetValue: number;
    PredefinedMetricSpecification?: { PredefinedMetricType: string; ResourceLabel?: string };
    CustomizedMetricSpecification?: { MetricName?: string };
    ScaleInCooldown?: number;
    ScaleOutCooldown?: number;
    DisableScaleIn?: boolean;
  };
  StepScalingPolicyConfiguration?: {
    AdjustmentType: string;
    StepAdjustments: { MetricIntervalLowerBound?: number; MetricIntervalUpperBound?: number; ScalingAdjustment: number }[];
    Cooldown?: number;
  };
  Alarms?: { AlarmName: string }[];
}

export interface Activity {
  ActivityId: string;
  Description: string;
  Cause: string;
  StartTime: number;
  EndTime?: number;
  StatusCode: string;
  StatusMessage?: string;
}

export interface ScheduledAction {
  ScheduledActionName: string;
  Schedule: string;
  Timezone?: string;
  ScalableTargetAction?: { MinCapacity?: number; MaxCapacity?: number };
}

export const SERVICE = "application-autoscaling";

/** What names the service in every call. */
export function of(cluster: string, service: string) {
  return { ServiceNamespace: "ecs", ResourceId: `service/${cluster}/${service}`, ScalableDimension: "ecs:service:DesiredCount" };
}

export async function scaling(region: string, cluster: string, service: string) {
  const which = of(cluster, service);
  const [targets, policies, actions, activities] = await Promise.all([
    call<{ ScalableTargets: Target[] }>(SERVICE, "DescribeScalableTargets", region, {
      ServiceNamespace: which.ServiceNamespace,
      ResourceIds: [which.ResourceId],
    }),
    every<Policy>(SERVICE, "DescribeScalingPolicies", region, which, "ScalingPolicies", "NextToken"),
    every<ScheduledAction>(SERVICE, "DescribeScheduledActions", region, which, "ScheduledActions", "NextToken"),
    call<{ ScalingActivities: Activity[] }>(SERVICE, "DescribeScalingActivities", region, which),
  ]);
  return { target: targets.ScalableTargets[0], policies, actions, activities: activities.ScalingActivities };
}

/** What a policy does, in a line. */
export function policyText(policy: Policy): string {
  const tracked = policy.TargetTrackingScalingPolicyConfiguration;
  if (tracked) {
    const metric =
      tracked.PredefinedMetricSpecification?.PredefinedMetricType ?? tracked.CustomizedMetricSpecification?.MetricName ?? "a metric of its own";
    return `keeps ${metric} at ${tracked.TargetValue}${tracked.DisableScaleIn ? ", never scales in" : ""}`;
  }
  const steps = policy.StepScalingPolicyConfiguration;
  if (!steps) return policy.PolicyType;
  return steps.StepAdjustments.map((each) => {
    const from = each.MetricIntervalLowerBound;
    const to = each.MetricIntervalUpperBound;
    const when = from === undefined ? `below +${to}` : to === undefined ? `above +${from}` : `+${from} to +${to}`;
    return `${when}: ${each.ScalingAdjustment > 0 ? "+" : ""}${each.ScalingAdjustment}`;
  }).join("; ");
}
