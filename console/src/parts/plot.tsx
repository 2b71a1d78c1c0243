/** Metrics over the last hour, as lines. */

import Alert from "@cloudscape-design/components/alert";
import LineChart from "@cloudscape-design/components/line-chart";
import { useEffect, useState } from "react";
import { lastHour, type Point, type Series } from "../api/cloudwatch";
import { useHere } from "../context";

/** Metrics have one point a minute: nothing new is there any sooner. */
const PERIOD_MS = 60_000;

export default function Plot({ label, series }: { label: string; series: readonly Series[] }) {
  const { region } = useHere();
  const [points, setPoints] = useState<Point[][]>();
  const [error, setError] = useState<Error>();
  const [now, setNow] = useState(() => Date.now());
  const wanted = JSON.stringify(series);
  useEffect(() => {
    const look = () => document.hidden || setNow(Date.now());
    const timer = setInterval(look, PERIOD_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  useEffect(() => {
    let isOver = false;
    lastHour(region, JSON.parse(wanted), now).then(
      (found) => {
        if (isOver) return;
        setPoints(found);
        setError(undefined);
      },
      (failure: Error) => !isOver && setError(failure),
    );
    return () => {
      isOver = true;
    };
  }, [region, wanted, now]);
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
      yDomain={[0, most > 50 ? Math.max(100, most) : most > 10 ? 50 : most > 1 ? 10 : 1]}
      xTickFormatter={(at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
      series={(hasPoints ? series : []).map((each, at) => ({
        type: "line",
        title: each.title,
        data: points?.[at] ?? [],
        valueFormatter: (value) => `${value.toFixed(2)} %`,
      }))}
      yTitle="Percent of what is reserved"
      statusType={points ? "finished" : "loading"}
      loadingText="Reading the metrics"
      empty="No point yet: metrics have one a minute"
    />
  );
}
