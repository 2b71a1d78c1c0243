/** All that Application Auto Scaling takes for a service: policies by steps or by a metric of one's own, and set times. */

import { of, SERVICE } from "../api/scaling";
import { useHere } from "../context";
import { OperationForm } from "../parts/operation-form";

const POLICY = {
  "": ["PolicyName", "PolicyType", "StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration"],
  StepScalingPolicyConfiguration: ["AdjustmentType", "Cooldown", "MetricAggregationType", "MinAdjustmentMagnitude", "StepAdjustments"],
};

const ACTION = { "": ["ScheduledActionName", "Schedule", "Timezone", "ScalableTargetAction"] };

export function ScalingPolicyForm({ cluster, name }: { cluster: string; name: string }) {
  const { to } = useHere();
  const back = to(["clusters", cluster, "services", name], { tab: "scaling" });
  return (
    <OperationForm
      title={`A scaling policy for ${name}`}
      word="Save"
      service={SERVICE}
      operation="PutScalingPolicy"
      initial={{
        ...of(cluster, name),
        PolicyType: "StepScaling",
        StepScalingPolicyConfiguration: {
          AdjustmentType: "ChangeInCapacity",
          StepAdjustments: [{ MetricIntervalLowerBound: 0, ScalingAdjustment: 1 }],
        },
      }}
      first={POLICY}
      cancel={back}
      onDone={() => back}
    />
  );
}

export function ScheduledActionForm({ cluster, name }: { cluster: string; name: string }) {
  const { to } = useHere();
  const back = to(["clusters", cluster, "services", name], { tab: "scaling" });
  return (
    <OperationForm
      title={`Scale ${name} at set times`}
      word="Save"
      service={SERVICE}
      operation="PutScheduledAction"
      initial={{ ...of(cluster, name), Schedule: "cron(0 8 * * ? *)", ScalableTargetAction: { MinCapacity: 1, MaxCapacity: 4 } }}
      first={ACTION}
      cancel={back}
      onDone={() => back}
    />
  );
}
