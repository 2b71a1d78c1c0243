/** What every page knows: the instance, the region, and how to go somewhere. */

import { createContext, useContext } from "react";
import type { About } from "./api/call";
import { hrefOf, type Place } from "./route";

export interface Here {
  about: About;
  region: string;
  place: Place;
}

export const HereContext = createContext<Here | undefined>(undefined);

export function useHere(): Here & { to: (path: string[], query?: Record<string, string>) => string } {
  const here = useContext(HereContext);
  if (!here) throw new Error("outside of the console");
  return { ...here, to: (path, query) => hrefOf(path, here.region, query) };
}
