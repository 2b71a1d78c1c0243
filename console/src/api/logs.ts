/** What containers write: what was written last, and what is written from then on. */

import { call, every, stream } from "./call";
import { messages } from "./event-stream";

export interface LogGroup {
  logGroupName: string;
  logGroupArn?: string;
  creationTime?: number;
  retentionInDays?: number;
  storedBytes?: number;
  logGroupClass?: string;
  deletionProtectionEnabled?: boolean;
}

export interface MetricFilter {
  filterName: string;
  filterPattern?: string;
  metricTransformations: { metricName: string; metricNamespace: string; metricValue: string }[];
}

export interface LogLine {
  timestamp: number;
  message: string;
  stream: string;
  ingestionTime: number;
}

/** Which lines: of a group, of some streams of it, that match a pattern. */
export interface Wanted {
  group: string;
  streams?: string[];
  pattern?: string;
}

export const LINES_MOST = 1000;

export const logGroups = (region: string) =>
  every<LogGroup>("logs", "DescribeLogGroups", region, {}, "logGroups");

export const logGroup = async (region: string, name: string) =>
  (await every<LogGroup>("logs", "DescribeLogGroups", region, { logGroupNamePrefix: name }, "logGroups")).find(
    (each) => each.logGroupName === name,
  ) ?? null;

export const metricFilters = (region: string, logGroupName: string) =>
  every<MetricFilter>("logs", "DescribeMetricFilters", region, { logGroupName }, "metricFilters");

/** The last lines, in the order of their time. */
export async function lastLines(region: string, wanted: Wanted, since: number): Promise<LogLine[]> {
  interface Page {
    events?: { timestamp: number; message: string; logStreamName: string; ingestionTime: number }[];
    nextToken?: string;
  }
  const found: LogLine[] = [];
  let nextToken: string | undefined;
  do {
    const page: Page = await call<Page>("logs", "FilterLogEvents", region, {
      logGroupName: wanted.group,
      logStreamNames: wanted.streams,
      filterPattern: wanted.pattern || undefined,
      startTime: since,
      nextToken,
    });
    found.push(...(page.events ?? []).map((event) => ({ ...event, stream: event.logStreamName })));
    nextToken = page.nextToken;
    if (found.length > 2 * LINES_MOST) found.splice(0, found.length - LINES_MOST);
  } while (nextToken);
  return found.slice(-LINES_MOST);
}

/** New lines as they come, until the signal ends it. */
export async function tail(
  region: string,
  account: string,
  wanted: Wanted,
  signal: AbortSignal,
  onStart: () => void,
  onLines: (lines: LogLine[]) => void,
): Promise<void> {
  interface Update {
    sessionResults?: { timestamp: number; message: string; logStreamName: string; ingestionTime: number }[];
  }
  const body = await stream(
    "logs",
    "StartLiveTail",
    region,
    {
      logGroupIdentifiers: [`arn:aws:logs:${region}:${account}:log-group:${wanted.group}`],
      logStreamNames: wanted.streams,
      logEventFilterPattern: wanted.pattern || undefined,
    },
    signal,
  );
  for await (const message of messages(body)) {
    if (message.type === "sessionStart") onStart();
    const results = (message.payload as Update).sessionResults;
    if (results?.length) onLines(results.map((event) => ({ ...event, stream: event.logStreamName })));
  }
}

/** The two without what is in both, the last of them. */
export function joined(before: readonly LogLine[], more: readonly LogLine[]): LogLine[] {
  const key = (line: LogLine) => `${line.stream}\n${line.timestamp}\n${line.ingestionTime}\n${line.message}`;
  const known = new Set(before.map(key));
  return [...before, ...more.filter((line) => !known.has(key(line)))].slice(-LINES_MOST);
}
