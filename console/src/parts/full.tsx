/** How full something is: as a bar where it has an end, else as a size. */

import ProgressBar from "@cloudscape-design/components/progress-bar";
import type { Volume } from "../api/storage";
import { bytes } from "../format";

export function Full({ of }: { of: Volume }) {
  if (of.isMissing) return <>Its file is missing</>;
  if (of.sizeBytes === null || of.sizeBytes === undefined) return <>–</>;
  if (!of.capacityBytes) return <>{bytes(of.sizeBytes)}</>;
  return (
    <ProgressBar
      ariaLabel={`How full ${of.id} is`}
      value={Math.min(100, (of.sizeBytes / of.capacityBytes) * 100)}
      status={of.isNearlyFull ? "error" : "in-progress"}
      resultText={`${bytes(of.sizeBytes)} of ${bytes(of.capacityBytes)}: nearly full`}
      additionalInfo={`${bytes(of.sizeBytes)} of ${bytes(of.capacityBytes)}`}
    />
  );
}
