/** Something read from the API that stays true: it is read again when Portside says that it is different. */

import { type DependencyList, useEffect, useRef, useState } from "react";
import { concerns, onChange } from "./changes";
import { Pace } from "./pace";

export interface Live<T> {
  /** The last reading; undefined before the first. */
  value: T | undefined;
  error: Error | undefined;
  /** There is more of it than was read so far. */
  isPart?: boolean;
}

export interface Watched {
  kinds: readonly string[];
  /** Only records whose keys begin so: `CLUSTER/`. */
  prefix?: string;
  /** Also after so long, for what changes without a record: while the page is seen. */
  everyMs?: number;
}

/** Args: on: what the reading depends on; with another cluster or region it begins anew. */
export function useLive<T>(load: () => Promise<T>, watched: Watched, on: DependencyList): Live<T> {
  const [state, setState] = useState<Live<T>>({ value: undefined, error: undefined });
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    let isOver = false;
    setState({ value: undefined, error: undefined });
    const pace = new Pace(async () => {
      try {
        const value = await latest.current();
        if (!isOver) setState({ value, error: undefined });
      } catch (error) {
        if (!isOver) setState((before) => ({ value: before.value, error: error as Error }));
      }
    });
    pace.ask();
    const leave = onChange((told) => {
      if (concerns(told, watched.kinds, watched.prefix)) pace.ask();
    });
    const timer = watched.everyMs ? setInterval(() => document.hidden || pace.ask(), watched.everyMs) : undefined;
    return () => {
      isOver = true;
      clearInterval(timer);
      pace.end();
      leave();
    };
  }, on);
  return state;
}
