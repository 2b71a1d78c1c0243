import { expect, test } from "vitest";
import { actionsOf, type Alarm, conditionOf, type Draft, linesOf, parametersOf } from "./alarms";

const BUSY: Alarm = {
  AlarmName: "busy",
  AlarmArn: "arn:aws:cloudwatch:us-east-1:000000000000:alarm:busy",
  ActionsEnabled: false,
  AlarmActions: ["arn:aws:sns:us-east-1:000000000000:cooks"],
  OKActions: [],
  StateValue: "OK",
  Namespace: "AWS/ECS",
  MetricName: "CPUUtilization",
  Dimensions: [{ Name: "ClusterName", Value: "shop" }],
  ExtendedStatistic: "p90",
  Period: 300,
  EvaluationPeriods: 3,
  DatapointsToAlarm: 2,
  Threshold: 80,
  ComparisonOperator: "GreaterThanThreshold",
};

function draft(of: Alarm): Draft {
  return {
    name: of.AlarmName,
    description: "",
    line: linesOf(of)[0],
    comparison: of.ComparisonOperator ?? "",
    threshold: String(of.Threshold),
    periods: String(of.EvaluationPeriods),
    datapoints: String(of.DatapointsToAlarm),
    missing: "missing",
    actions: actionsOf(of),
  };
}

test("a condition is said in words", () => {
  expect(conditionOf(BUSY)).toBe("CPUUtilization > 80 for 2 of 3 × 5 minutes");
  expect(conditionOf({ ...BUSY, AlarmRule: "ALARM(a) OR ALARM(b)" })).toBe("ALARM(a) OR ALARM(b)");
});

test("an alarm that is saved again is the same, with what the form does not ask for", () => {
  expect(parametersOf(draft(BUSY), BUSY)).toEqual({
    AlarmName: "busy",
    ActionsEnabled: false,
    AlarmActions: ["arn:aws:sns:us-east-1:000000000000:cooks"],
    Namespace: "AWS/ECS",
    MetricName: "CPUUtilization",
    Dimensions: [{ Name: "ClusterName", Value: "shop" }],
    ExtendedStatistic: "p90",
    Period: 300,
    EvaluationPeriods: 3,
    DatapointsToAlarm: 2,
    Threshold: 80,
    ComparisonOperator: "GreaterThanThreshold",
  });
});

test("metric math stays as it is", () => {
  const metrics = [
    { Id: "m1", MetricStat: { Metric: { Namespace: "Shop", MetricName: "Orders" }, Period: 60, Stat: "Sum" }, ReturnData: false },
    { Id: "e1", Expression: "m1 * 2" },
  ];
  const math: Alarm = { ...BUSY, Namespace: undefined, MetricName: undefined, Dimensions: undefined, Metrics: metrics };
  expect(parametersOf(draft(math), math)).toMatchObject({ Metrics: metrics, Threshold: 80 });
  expect(conditionOf(math)).toContain("m1 * 2 > 80");
  expect(linesOf(math).map((each) => [each.id, each.isShown])).toEqual([
    ["m1", false],
    ["e1", true],
  ]);
});
