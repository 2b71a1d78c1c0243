/** Charts of the last hour, of certain metrics. */

import { data, type Line, queriesOf } from "./metrics";

export interface Point {
  x: Date;
  y: number;
}

export interface Series {
  title: string;
  metric: string;
  stat: string;
  namespace: string;
  dimensions: Record<string, string>;
}

/** The points of each series over the last hour, a minute each, in the order of their time. */
export async function lastHour(region: string, all: readonly Series[], now: number): Promise<Point[][]> {
  const lines = all.map(
    ({ metric: name, namespace, dimensions, stat }, at): Line => ({
      id: `m${at}`,
      metric: { namespace, name, dimensions },
      stat,
      period: 60,
      label: "",
      isShown: true,
    }),
  );
  const found = await data(region, queriesOf(lines, 60), Math.floor(now / 1000) - 3600, Math.ceil(now / 1000));
  return lines.map((line) => found.find((one) => one.id === line.id)?.points ?? []);
}

/** Noughts for the minutes without a point after the first one, but for the last two, which may still come. */
export function withNoughts(points: readonly Point[], now: number): Point[] {
  const known = new Map(points.map((each) => [each.x.getTime(), each.y]));
  const first = points[0]?.x.getTime();
  if (first === undefined) return [];
  const last = Math.max(points[points.length - 1]?.x.getTime() ?? first, now - 2 * 60_000);
  const found: Point[] = [];
  for (let at = first; at <= last; at += 60_000) found.push({ x: new Date(at), y: known.get(at) ?? 0 });
  return found;
}

export function ofService(cluster: string, service: string): Series[] {
  const dimensions = { ClusterName: cluster, ServiceName: service };
  return [
    { title: "CPU", metric: "CPUUtilization", stat: "Average", namespace: "AWS/ECS", dimensions },
    { title: "Memory", metric: "MemoryUtilization", stat: "Average", namespace: "AWS/ECS", dimensions },
  ];
}
