/** States in colour and words. */

import StatusIndicator, { type StatusIndicatorProps } from "@cloudscape-design/components/status-indicator";

const TYPES: Record<string, StatusIndicatorProps.Type> = {
  ACTIVE: "success",
  RUNNING: "success",
  HEALTHY: "success",
  ISSUED: "success",
  AVAILABLE: "success",
  IN_USE: "success",
  CREATING: "in-progress",
  DELETING: "in-progress",
  ERROR: "error",
  COMPLETED: "success",
  PROVISIONING: "in-progress",
  PENDING: "pending",
  ACTIVATING: "in-progress",
  IN_PROGRESS: "in-progress",
  DEACTIVATING: "in-progress",
  STOPPING: "in-progress",
  DEPROVISIONING: "in-progress",
  DRAINING: "in-progress",
  STOPPED: "stopped",
  INACTIVE: "stopped",
  DELETED: "stopped",
  INITIAL: "pending",
  UNUSED: "stopped",
  UNHEALTHY: "error",
  FAILED: "error",
};

export function Status({ of }: { of: string | undefined }) {
  if (!of || of === "UNKNOWN") return <>–</>;
  const words = of.charAt(0) + of.slice(1).toLowerCase().replaceAll("_", " ");
  return <StatusIndicator type={TYPES[of] ?? "info"}>{words}</StatusIndicator>;
}
