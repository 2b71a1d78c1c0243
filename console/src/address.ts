/** What a page shows, kept in its address: whoever gets the address sees the same. */

import { useCallback } from "react";
import { useHere } from "./context";
import { hrefOf, placeOf } from "./route";

export type Change = (values: Record<string, string | undefined>) => void;

/** The query of the address, and how to change some of it. Nothing is added to the way back. */
export function useAddress(): [URLSearchParams, Change] {
  const { place, region } = useHere();
  const change = useCallback<Change>(
    (values) => {
      const now = placeOf(location.hash);
      const query = Object.fromEntries(now.query);
      for (const [name, value] of Object.entries(values)) {
        if (value === undefined || value === "") delete query[name];
        else query[name] = value;
      }
      const href = hrefOf(now.path, region, query);
      if (href === location.hash) return;
      history.replaceState(null, "", href);
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    },
    [region],
  );
  return [place.query, change];
}
