/** Metrics as CloudWatch has them: which there are, and their values over time. */

import { call, every } from "./call";
import type { Point } from "./cloudwatch";

export interface Metric {
  namespace: string;
  name: string;
  dimensions: Record<string, string>;
}

/** One line of a graph: a metric, or an expression over others. */
export interface Line {
  id: string;
  metric?: Metric;
  expression?: string;
  stat: string;
  /** Seconds; 0 for what suits the span. */
  period: number;
  label: string;
  isShown: boolean;
}

export interface Found {
  id: string;
  label: string;
  points: Point[];
}

export const STATISTICS = ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50", "p90", "p95", "p99", "IQM", "tm90"];
export const PERIODS: readonly [number, string][] = [
  [0, "Auto"],
  [1, "1 second"],
  [10, "10 seconds"],
  [30, "30 seconds"],
  [60, "1 minute"],
  [300, "5 minutes"],
  [900, "15 minutes"],
  [3600, "1 hour"],
  [21600, "6 hours"],
  [86400, "1 day"],
];

/** So many are listed at most: narrower filters find the others. */
export const METRICS_MOST = 20_000;

/** A metric as CloudWatch writes it. */
export interface Listed {
  Namespace: string;
  MetricName: string;
  Dimensions?: { Name: string; Value: string }[];
}

/** Those that had values in the last two weeks. */
export async function metrics(region: string, filter: object = {}): Promise<Metric[]> {
  const found: Metric[] = [];
  let NextToken: string | undefined;
  do {
    const page: { Metrics?: Listed[]; NextToken?: string } = await call("cloudwatch", "ListMetrics", region, {
      ...filter,
      NextToken,
    });
    found.push(...(page.Metrics ?? []).map(metricOf));
    NextToken = page.NextToken;
  } while (NextToken && found.length < METRICS_MOST);
  return found;
}

export const metricOf = (listed: Listed): Metric => ({
  namespace: listed.Namespace,
  name: listed.MetricName,
  dimensions: Object.fromEntries((listed.Dimensions ?? []).map((each) => [each.Name, each.Value])),
});

/** Two metrics are the same, whatever the order of their dimensions. */
export function keyOf(metric: Metric): string {
  return JSON.stringify([metric.namespace, metric.name, Object.entries(metric.dimensions).sort()]);
}

export const dimensionsOf = (dimensions: Record<string, string>) =>
  Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value }));

/** As GetMetricData takes them. Args: period: of lines that have none of their own. */
export function queriesOf(lines: readonly Line[], period: number): object[] {
  return lines.map((line) => ({
    Id: line.id,
    ...(line.metric
      ? {
          MetricStat: {
            Metric: {
              Namespace: line.metric.namespace,
              MetricName: line.metric.name,
              Dimensions: dimensionsOf(line.metric.dimensions),
            },
            Period: line.period || period,
            Stat: line.stat,
          },
        }
      : { Expression: line.expression, Period: line.period || period }),
    Label: line.label || undefined,
    ReturnData: line.isShown ? undefined : false,
  }));
}

/** Values in the order of their time. A search gives several of one id. */
export async function data(region: string, queries: readonly object[], start: number, end: number): Promise<Found[]> {
  if (queries.length === 0) return [];
  interface Result {
    Id: string;
    Label?: string;
    Timestamps?: number[];
    Values?: number[];
  }
  const results = await every<Result>(
    "cloudwatch",
    "GetMetricData",
    region,
    { StartTime: start, EndTime: end, ScanBy: "TimestampAscending", MetricDataQueries: queries },
    "MetricDataResults",
    "NextToken",
  );
  const found = new Map<string, Found>();
  for (const each of results) {
    const key = `${each.Id}\n${each.Label}`;
    const one = found.get(key) ?? { id: each.Id, label: each.Label ?? each.Id, points: [] };
    found.set(key, one);
    (each.Timestamps ?? []).forEach((seconds, at) => {
      const value = each.Values?.[at];
      if (value !== undefined) one.points.push({ x: new Date(seconds * 1000), y: value });
    });
  }
  return [...found.values()];
}

/** A line more, under an id that none has: m1, m2 for metrics, e1, e2 for expressions. */
export function withLine(lines: readonly Line[], more: { metric: Metric } | { expression: string }): Line[] {
  const letter = "metric" in more ? "m" : "e";
  let number = 1;
  while (lines.some((each) => each.id === `${letter}${number}`)) number += 1;
  return [...lines, { id: `${letter}${number}`, stat: "Average", period: 0, label: "", isShown: true, ...more }];
}

/** Lines in an address: short names, and what is usual left out. */
interface Short {
  i: string;
  n?: string;
  m?: string;
  d?: Record<string, string>;
  e?: string;
  s?: string;
  p?: number;
  l?: string;
  h?: 1;
}

export function packed(lines: readonly Line[]): string {
  if (lines.length === 0) return "";
  return JSON.stringify(
    lines.map(
      (each): Short => ({
        i: each.id,
        n: each.metric?.namespace,
        m: each.metric?.name,
        d: each.metric && Object.keys(each.metric.dimensions).length ? each.metric.dimensions : undefined,
        e: each.expression,
        s: each.metric && each.stat !== "Average" ? each.stat : undefined,
        p: each.period || undefined,
        l: each.label || undefined,
        h: each.isShown ? undefined : 1,
      }),
    ),
  );
}

/** What is no graph is an empty one. */
export function unpacked(text: string | null): Line[] {
  let all: unknown;
  try {
    all = JSON.parse(text || "[]");
  } catch {
    return [];
  }
  if (!Array.isArray(all)) return [];
  return (all as Partial<Short>[]).flatMap((each): Line[] => {
    if (typeof each?.i !== "string") return [];
    const rest = { id: each.i, stat: each.s ?? "Average", period: each.p ?? 0, label: each.l ?? "", isShown: each.h !== 1 };
    if (typeof each.e === "string") return [{ ...rest, expression: each.e }];
    if (typeof each.n !== "string" || typeof each.m !== "string") return [];
    return [{ ...rest, metric: { namespace: each.n, name: each.m, dimensions: each.d ?? {} } }];
  });
}

/** What a line is, in words. */
export function wordsOf(line: Line): string {
  if (!line.metric) return line.expression ?? "";
  const values = Object.values(line.metric.dimensions).join(" ");
  return values ? `${line.metric.name} · ${values}` : line.metric.name;
}

/** A value with at most four digits that count: `1.234`, `12.3k`, `4.5M`. */
export function short(value: number): string {
  const size = Math.abs(value);
  for (const [least, sign] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]] as const) {
    if (size >= least) return `${trimmed(value / (sign === "k" ? 1e3 : least))}${sign}`;
  }
  return trimmed(value);
}

const trimmed = (value: number) => String(Number(value.toPrecision(4)));
