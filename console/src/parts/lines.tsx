/** Lines over time, with thresholds. Loaded when it is wanted: charts are large. */

import LineChart, { type LineChartProps } from "@cloudscape-design/components/line-chart";
import type { Point } from "../api/cloudwatch";
import { short } from "../api/metrics";

export interface Drawn {
  title: string;
  points: readonly Point[];
}

export interface LinesProps {
  label: string;
  series: readonly Drawn[];
  thresholds?: readonly { title: string; y: number }[];
  /** Seconds since 1970. */
  start: number;
  end: number;
  height?: number;
  unit?: string;
  isLoading?: boolean;
  empty?: string;
}

export default function Lines(props: LinesProps) {
  const { series, thresholds = [], start, end } = props;
  const all = [...series.flatMap((each) => each.points.map((point) => point.y)), ...thresholds.map((each) => each.y)];
  const hasPoints = series.some((each) => each.points.length > 0);
  const isLong = end - start > 86400;
  const format = (value: number) => (props.unit ? `${short(value)} ${props.unit}` : short(value));
  const drawn: LineChartProps<Date>["series"] = hasPoints
    ? [
        ...series.map((each) => ({ type: "line" as const, title: each.title, data: visible(each.points, end - start), valueFormatter: format })),
        ...thresholds.map((each) => ({ type: "threshold" as const, title: each.title, y: each.y, valueFormatter: format })),
      ]
    : [];
  return (
    <LineChart<Date>
      ariaLabel={props.label}
      height={props.height ?? 200}
      hideFilter
      xScaleType="time"
      xDomain={[new Date(start * 1000), new Date(end * 1000)]}
      yDomain={bounds(all)}
      xTickFormatter={(at) =>
        isLong
          ? at.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
          : at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
      }
      yTickFormatter={short}
      series={drawn}
      yTitle={props.unit}
      statusType={props.isLoading ? "loading" : "finished"}
      loadingText="Reading the metrics"
      empty={props.empty ?? "No point in this time"}
    />
  );
}

/** A line of one point is a dash, for nobody would see it. */
function visible(points: readonly Point[], seconds: number): Point[] {
  const [only] = points;
  if (points.length !== 1 || !only) return [...points];
  const aside = seconds * 2.5;
  return [-aside, aside].map((ms) => ({ x: new Date(only.x.getTime() + ms), y: only.y }));
}

/** From nothing, or from the least that is below; up to a round number. */
function bounds(all: readonly number[]): [number, number] {
  let least = 0;
  let most = 0;
  for (const each of all) {
    if (each < least) least = each;
    if (each > most) most = each;
  }
  if (least === 0 && most === 0) return [0, 1];
  return [least === 0 ? 0 : -rounded(-least * 1.05), most === 0 ? 0 : rounded(most * 1.05)];
}

function rounded(value: number): number {
  const size = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8].find((each) => value <= each * size) ?? 10) * size;
}
