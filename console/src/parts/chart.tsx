/** A chart of lines, which comes when it is there. */

import Box from "@cloudscape-design/components/box";
import { lazy, Suspense } from "react";
import type { LinesProps } from "./lines";

const Lines = lazy(() => import("./lines"));

export function Chart(props: LinesProps) {
  return (
    <Suspense fallback={<Box color="text-body-secondary">The chart is being loaded</Box>}>
      <Lines {...props} />
    </Suspense>
  );
}
