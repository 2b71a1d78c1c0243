/** Queries of Logs Insights: started, looked at while they run, stopped; and those that are kept by a name. */

import { call, every } from "./call";
import type { Point } from "./cloudwatch";

/** A row's values by their fields, in the order of the answer. */
export type Row = Record<string, string>;

export interface Results {
  status: string;
  statistics?: { recordsMatched?: number; recordsScanned?: number; bytesScanned?: number };
  rows: Row[];
}

export interface Definition {
  queryDefinitionId: string;
  name: string;
  queryString: string;
  logGroupNames?: string[];
}

export interface Asked {
  groups: string[];
  query: string;
  start: number;
  end: number;
}

export const EXAMPLES: readonly [string, string][] = [
  ["The latest events", "fields @timestamp, @message\n| sort @timestamp desc\n| limit 100"],
  ["Events over time", "stats count(*) as events by bin(1m)"],
  ["Errors over time", "filter @message like /(?i)error/\n| stats count(*) as errors by bin(5m)"],
  ["Which streams write most", "stats count(*) as events by @logStream\n| sort events desc\n| limit 20"],
  ["Slowest requests (JSON)", "filter ispresent(took)\n| fields @timestamp, path, took\n| sort took desc\n| limit 20"],
  ["Percentiles over time (JSON)", "filter ispresent(took)\n| stats pct(took, 50) as p50, pct(took, 99) as p99 by bin(5m)"],
  ["A part of each line", 'parse @message "* *" as first, rest\n| stats count(*) as events by first\n| sort events desc'],
  [
    "CPU and memory of tasks (Container Insights)",
    'filter Type = "Task"\n| stats avg(CpuUtilized) as cpu, max(MemoryUtilized) as memory by TaskDefinitionFamily, bin(1m)',
  ],
];

export const parametersOf = (asked: Asked) => ({
  logGroupNames: asked.groups,
  startTime: asked.start,
  endTime: asked.end,
  queryString: asked.query,
});

export async function start(region: string, asked: Asked): Promise<string> {
  return (await call<{ queryId: string }>("logs", "StartQuery", region, parametersOf(asked))).queryId;
}

export async function results(region: string, queryId: string): Promise<Results> {
  interface Answer {
    status: string;
    statistics?: Results["statistics"];
    results?: { field: string; value: string }[][];
  }
  const answer = await call<Answer>("logs", "GetQueryResults", region, { queryId });
  return {
    status: answer.status,
    statistics: answer.statistics,
    rows: (answer.results ?? []).map((row) => Object.fromEntries(row.map((each) => [each.field, each.value]))),
  };
}

export const stop = (region: string, queryId: string) => call<object>("logs", "StopQuery", region, { queryId });

export const isUnderWay = (status: string) => status === "Scheduled" || status === "Running";

export async function record(region: string, logRecordPointer: string): Promise<Row> {
  return (await call<{ logRecord: Row }>("logs", "GetLogRecord", region, { logRecordPointer })).logRecord;
}

export const definitions = (region: string) =>
  every<Definition>("logs", "DescribeQueryDefinitions", region, {}, "queryDefinitions");

/** The fields of all rows, as they come; without the pointer, which is for programs. */
export function fieldsOf(rows: readonly Row[]): string[] {
  const found = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) if (name !== "@ptr") found.add(name);
  return [...found];
}

export interface Lines {
  kind: "lines";
  series: { title: string; points: Point[] }[];
}
export interface Bars {
  kind: "bars";
  categories: string[];
  series: { title: string; values: (number | undefined)[] }[];
}

const BARS_MOST = 50;

/** Statistics by time as lines, one for each of the other groups; by something else as bars. Undefined for the rest. */
export function plotOf(rows: readonly Row[]): Lines | Bars | undefined {
  const fields = fieldsOf(rows);
  const bin = fields.find((name) => /^bin\(/.test(name));
  const isNumeric = (name: string) => rows.every((row) => row[name] === undefined || (row[name] !== "" && Number.isFinite(Number(row[name]))));
  const numeric = fields.filter((name) => name !== bin && !name.startsWith("@") && isNumeric(name));
  const groups = fields.filter((name) => name !== bin && !numeric.includes(name));
  if (numeric.length === 0) return undefined;
  const groupOf = (row: Row) => groups.map((name) => row[name] ?? "–").join(" · ");
  if (bin === undefined) {
    if (groups.length === 0) return undefined;
    const shown = rows.slice(0, BARS_MOST);
    const value = (text: string | undefined) => (text === undefined ? undefined : Number(text));
    return {
      kind: "bars",
      categories: shown.map(groupOf),
      series: numeric.map((title) => ({ title, values: shown.map((row) => value(row[title])) })),
    };
  }
  const series = new Map<string, Point[]>();
  for (const row of rows) {
    const at = Date.parse(`${(row[bin] ?? "").replace(" ", "T")}Z`);
    if (!Number.isFinite(at)) continue;
    for (const name of numeric) {
      if (row[name] === undefined) continue;
      const group = groupOf(row);
      const title = !group ? name : numeric.length === 1 ? group : `${group} · ${name}`;
      const points = series.get(title) ?? [];
      points.push({ x: new Date(at), y: Number(row[name]) });
      series.set(title, points);
    }
  }
  if (series.size === 0) return undefined;
  return {
    kind: "lines",
    series: [...series].map(([title, points]) => ({ title, points: points.sort((a, b) => a.x.getTime() - b.x.getTime()) })),
  };
}
