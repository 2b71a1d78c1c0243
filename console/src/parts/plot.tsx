/** Metrics over the last hour, as lines. */

import Alert from "@cloudscape-design/components/alert";
import LineChart from "@cloudscape-design/components/line-chart";
import { useEffect, useState } from "react";
import { lastHour, type Point, type Series, withNoughts } from "../api/cloudwatch";
import { useMinute } from "../api/series";
import { useHere } from "../context";

interface Props {
  label: string;
  series: readonly Series[];
  /** After each value; a per cent sign of itself. */
  unit?: string;
  yTitle?: string;
  /** What is shown is so many times what is measured: 1000 for seconds as ms. */
  times?: number;
  /** A minute without a point is one of nought: of what is counted, which AWS leaves out. */
  isCount?: boolean;
}

export default function Plot({ label, series, unit = " %", yTitle = "Percent of what is reserved", times = 1, isCount }: Props) {
  const { region } = useHere();
  const [points, setPoints] = useState<Point[][]>();
  const [error, setError] = useState<Error>();
  const now = useMinute();
  const wanted = JSON.stringify(series);
  useEffect(() => {
    let isOver = false;
    lastHour(region, JSON.parse(wanted), now).then(
      (found) => {
        if (isOver) return;
        setPoints(found.map((each) => (isCount ? withNoughts(each, now) : each).map(({ x, y }) => ({ x, y: y * times }))));
        setError(undefined);
      },
      (failure: Error) => !isOver && setError(failure),
    );
    return () => {
      isOver = true;
    };
  }, [region, wanted, now, times, isCount]);
  if (error) return <Alert type="error">{error.message}</Alert>;
  const most = Math.max(0, ...(points ?? []).flat().map((each) => each.y));
  const hasPoints = points?.some((each) => each.length > 0);
  return (
    <LineChart<Date>
      ariaLabel={label}
      height={200}
      hideFilter
      xScaleType="time"
      xDomain={[new Date(now - 3_600_000), new Date(now)]}
      yDomain={[0, unit === " %" ? percent(most) : most * 1.1 || 1]}
      xTickFormatter={(at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })}
      series={(hasPoints ? series : []).map((each, at) => ({
        type: "line",
        title: each.title,
        data: points?.[at] ?? [],
        valueFormatter: (value) => `${Number(value.toFixed(2))}${unit}`,
      }))}
      yTitle={yTitle}
      statusType={points ? "finished" : "loading"}
      loadingText="Reading the metrics"
      empty={isCount ? "None in the last hour" : "No point yet: metrics have one a minute"}
    />
  );
}

const percent = (most: number) => (most > 50 ? Math.max(100, most) : most > 10 ? 50 : most > 1 ? 10 : 1);
