/** Values of metrics for what a page shows: read again each minute while the span ends now and somebody looks. */

import { useEffect, useState } from "react";
import { isRelative, type Span, boundsOf } from "../span";
import { data, type Found } from "./metrics";

/** Metrics have one point a minute: nothing new is there any sooner. */
const MINUTE_MS = 60_000;

/** The time, as often as something new may be there: each minute while the page is seen, and when it is seen again. */
export function useMinute(isWanted = true): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!isWanted) return;
    const look = () => document.hidden || setNow(Date.now());
    const timer = setInterval(look, MINUTE_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [isWanted]);
  return now;
}

export interface Series {
  /** Undefined before the first reading. */
  found: Found[] | undefined;
  error: Error | undefined;
  start: number;
  end: number;
}

/** Args: queries: as GetMetricData takes them. */
export function useSeries(region: string, queries: readonly object[], span: Span): Series {
  const now = useMinute(isRelative(span));
  const { start, end } = boundsOf(span, now);
  const [state, setState] = useState<{ found?: Found[]; error?: Error }>({});
  const wanted = JSON.stringify(queries);
  useEffect(() => {
    let isOver = false;
    data(region, JSON.parse(wanted), start, end).then(
      (found) => !isOver && setState({ found }),
      (error: Error) => !isOver && setState((before) => ({ found: before.found, error })),
    );
    return () => {
      isOver = true;
    };
  }, [region, wanted, start, end]);
  return { found: state.found, error: state.error, start, end };
}
