/** Alarms of CloudWatch: what they watch, their states, their history. */

import { call, every } from "./call";
import { dimensionsOf, type Line, type Listed, metricOf, short } from "./metrics";

interface MetricStat {
  Metric: Listed;
  Period: number;
  Stat: string;
}

export interface Alarm {
  AlarmName: string;
  AlarmArn: string;
  AlarmDescription?: string;
  ActionsEnabled: boolean;
  OKActions?: string[];
  AlarmActions?: string[];
  InsufficientDataActions?: string[];
  StateValue: State;
  StateReason?: string;
  StateUpdatedTimestamp?: number;
  StateTransitionedTimestamp?: number;
  /** Of one metric. */
  Namespace?: string;
  MetricName?: string;
  Dimensions?: Listed["Dimensions"];
  Statistic?: string;
  ExtendedStatistic?: string;
  Period?: number;
  /** Of metric math. */
  Metrics?: { Id: string; MetricStat?: MetricStat; Expression?: string; Period?: number; Label?: string; ReturnData?: boolean }[];
  EvaluationPeriods?: number;
  DatapointsToAlarm?: number;
  Threshold?: number;
  ComparisonOperator?: string;
  TreatMissingData?: string;
  /** Of a composite one. */
  AlarmRule?: string;
}

export type State = "OK" | "ALARM" | "INSUFFICIENT_DATA";

export interface Moment {
  Timestamp: number;
  HistoryItemType: string;
  HistorySummary: string;
  HistoryData?: string;
}

export const COMPARISONS: readonly [string, string][] = [
  ["GreaterThanThreshold", ">"],
  ["GreaterThanOrEqualToThreshold", "≥"],
  ["LessThanThreshold", "<"],
  ["LessThanOrEqualToThreshold", "≤"],
];

interface Page {
  MetricAlarms?: Alarm[];
  CompositeAlarms?: Alarm[];
  NextToken?: string;
}

const TYPES = ["MetricAlarm", "CompositeAlarm"];

export async function alarms(region: string): Promise<Alarm[]> {
  const found: Alarm[] = [];
  let NextToken: string | undefined;
  do {
    const page: Page = await call<Page>("cloudwatch", "DescribeAlarms", region, { AlarmTypes: TYPES, MaxRecords: 100, NextToken });
    found.push(...(page.MetricAlarms ?? []), ...(page.CompositeAlarms ?? []));
    NextToken = page.NextToken;
  } while (NextToken);
  return found.sort((a, b) => a.AlarmName.localeCompare(b.AlarmName));
}

export async function alarm(region: string, name: string): Promise<Alarm | null> {
  const page = await call<Page>("cloudwatch", "DescribeAlarms", region, { AlarmNames: [name], AlarmTypes: TYPES });
  return page.MetricAlarms?.[0] ?? page.CompositeAlarms?.[0] ?? null;
}

/** The latest first. */
export const history = (region: string, name: string) =>
  every<Moment>("cloudwatch", "DescribeAlarmHistory", region, { AlarmName: name, MaxRecords: 100 }, "AlarmHistoryItems", "NextToken");

/** `CPUUtilization > 80 for 2 of 3 minutes`, or a composite alarm's rule. */
export function conditionOf(alarm: Alarm): string {
  if (alarm.AlarmRule) return alarm.AlarmRule;
  const what = alarm.MetricName ?? alarm.Metrics?.find((each) => each.ReturnData !== false)?.Expression ?? "?";
  const sign = COMPARISONS.find(([name]) => name === alarm.ComparisonOperator)?.[1] ?? alarm.ComparisonOperator;
  const periods = alarm.EvaluationPeriods ?? 1;
  return `${what} ${sign} ${short(alarm.Threshold ?? 0)} for ${alarm.DatapointsToAlarm ?? periods} of ${periods} × ${periodWords(periodOfAlarm(alarm))}`;
}

export const periodOfAlarm = (alarm: Alarm) =>
  alarm.Period ?? alarm.Metrics?.find((each) => each.MetricStat)?.MetricStat?.Period ?? 60;

const periodWords = (seconds: number) => (seconds % 60 ? `${seconds} s` : seconds === 60 ? "1 minute" : `${seconds / 60} minutes`);

/** What it watches, as lines of a graph; none for a composite one. */
export function linesOf(alarm: Alarm): Line[] {
  const { Namespace, MetricName, Dimensions } = alarm;
  if (Namespace && MetricName) {
    return [
      {
        id: "m1",
        metric: metricOf({ Namespace, MetricName, Dimensions }),
        stat: alarm.Statistic ?? alarm.ExtendedStatistic ?? "Average",
        period: alarm.Period ?? 60,
        label: "",
        isShown: true,
      },
    ];
  }
  return (alarm.Metrics ?? []).map((each) => ({
    id: each.Id,
    metric: each.MetricStat && metricOf(each.MetricStat.Metric),
    expression: each.Expression,
    stat: each.MetricStat?.Stat ?? "Average",
    period: each.MetricStat?.Period ?? each.Period ?? 0,
    label: each.Label ?? "",
    isShown: each.ReturnData !== false,
  }));
}

/** What the form asks for. */
export interface Draft {
  name: string;
  description: string;
  line: Line | undefined;
  comparison: string;
  threshold: string;
  periods: string;
  datapoints: string;
  missing: string;
  actions: Actions;
}

/** ARNs of what is done when the alarm gets into each state. */
export interface Actions {
  OKActions: string[];
  AlarmActions: string[];
  InsufficientDataActions: string[];
}

export const actionsOf = (alarm: Alarm | undefined): Actions => ({
  OKActions: alarm?.OKActions ?? [],
  AlarmActions: alarm?.AlarmActions ?? [],
  InsufficientDataActions: alarm?.InsufficientDataActions ?? [],
});

/** The topics of SNS, by their ARNs. */
export async function topics(region: string): Promise<string[]> {
  return (await every<{ TopicArn: string }>("sns", "ListTopics", region, {}, "Topics", "NextToken")).map((each) => each.TopicArn);
}

/** Actions, without those that are none: a call's parameters. */
export function filledActions(actions: Actions): Partial<Actions> {
  return {
    OKActions: filled(actions.OKActions),
    AlarmActions: filled(actions.AlarmActions),
    InsufficientDataActions: filled(actions.InsufficientDataActions),
  };
}

const BASIC = ["Average", "Sum", "Minimum", "Maximum", "SampleCount"];

/** PutMetricAlarm's parameters. What the form does not ask for stays as it was. */
export function parametersOf(draft: Draft, before: Alarm | undefined): object {
  const { line } = draft;
  const isMath = before?.Metrics !== undefined && before.Metrics.length > 0;
  return {
    AlarmName: draft.name,
    AlarmDescription: draft.description || undefined,
    ActionsEnabled: before && !before.ActionsEnabled ? false : undefined,
    ...filledActions(draft.actions),
    ...(isMath
      ? { Metrics: before.Metrics }
      : line?.metric && {
          Namespace: line.metric.namespace,
          MetricName: line.metric.name,
          Dimensions: filled(dimensionsOf(line.metric.dimensions)),
          Statistic: BASIC.includes(line.stat) ? line.stat : undefined,
          ExtendedStatistic: BASIC.includes(line.stat) ? undefined : line.stat,
          Period: line.period || 60,
        }),
    EvaluationPeriods: Number(draft.periods),
    DatapointsToAlarm: draft.datapoints && draft.datapoints !== draft.periods ? Number(draft.datapoints) : undefined,
    Threshold: Number(draft.threshold),
    ComparisonOperator: draft.comparison,
    TreatMissingData: draft.missing === "missing" ? undefined : draft.missing,
  };
}

const filled = <T>(all: T[] | undefined) => (all?.length ? all : undefined);
