/** What the server refused: the error's code, and its words. */

import Alert from "@cloudscape-design/components/alert";
import type { ReactNode } from "react";
import { ApiError } from "../api/call";

/** Args: children: what stands before the words. */
export function Failure({ of, children }: { of: Error; children?: ReactNode }) {
  return (
    <Alert type="error" header={of instanceof ApiError ? of.code : "It failed"}>
      {children}
      {of.message}
    </Alert>
  );
}
