/** How a target group checks its targets: what a form asks for, and what it sends. */

import { ApiError } from "./call";
import type { TargetGroup } from "./elb";

/** A health check as its form has it: all of it is text. */
export interface Check {
  protocol: string;
  port: string;
  path: string;
  interval: string;
  timeout: string;
  healthy: string;
  unhealthy: string;
  matcher: string;
}

export function checkOf(group: TargetGroup): Check {
  return {
    protocol: group.HealthCheckProtocol ?? "HTTP",
    port: group.HealthCheckPort ?? "traffic-port",
    path: group.HealthCheckPath ?? "/",
    interval: String(group.HealthCheckIntervalSeconds ?? ""),
    timeout: String(group.HealthCheckTimeoutSeconds ?? ""),
    healthy: String(group.HealthyThresholdCount ?? ""),
    unhealthy: String(group.UnhealthyThresholdCount ?? ""),
    matcher: group.Matcher?.GrpcCode ?? group.Matcher?.HttpCode ?? "200-399",
  };
}

/** What ModifyTargetGroup is to be told. With another protocol it is all of it, for defaults come with a protocol. */
export function checkChanges(group: TargetGroup, wanted: Check): Record<string, unknown> {
  const before = checkOf(group);
  const isOther = wanted.protocol !== before.protocol;
  const hasPath = wanted.protocol !== "TCP";
  const isNew = (field: keyof Check) => isOther || wanted[field] !== before[field];
  const code = group.ProtocolVersion === "GRPC" ? "GrpcCode" : "HttpCode";
  return {
    ...(isOther && { HealthCheckProtocol: wanted.protocol }),
    ...(isNew("port") && { HealthCheckPort: wanted.port }),
    ...(hasPath && isNew("path") && { HealthCheckPath: wanted.path }),
    ...(isNew("interval") && { HealthCheckIntervalSeconds: Number(wanted.interval) }),
    ...(isNew("timeout") && { HealthCheckTimeoutSeconds: Number(wanted.timeout) }),
    ...(isNew("healthy") && { HealthyThresholdCount: Number(wanted.healthy) }),
    ...(isNew("unhealthy") && { UnhealthyThresholdCount: Number(wanted.unhealthy) }),
    ...(hasPath && isNew("matcher") && { Matcher: { [code]: wanted.matcher } }),
  };
}

/** By a member's name, in lower case, as an error of the model has it; those that hold another's name come first. */
const FIELDS: readonly [string, keyof Check][] = [
  ["healthcheckprotocol", "protocol"],
  ["healthcheckport", "port"],
  ["healthcheckpath", "path"],
  ["healthcheckintervalseconds", "interval"],
  ["healthchecktimeoutseconds", "timeout"],
  ["unhealthythresholdcount", "unhealthy"],
  ["healthythresholdcount", "healthy"],
  ["matcher", "matcher"],
];

/** The field that an error of a health check is about. */
export function blamedField(error: Error | undefined): keyof Check | undefined {
  if (!(error instanceof ApiError)) return undefined;
  const said = /^Health check (protocol|port|path|interval|timeout|healthy|unhealthy|matcher)\b/.exec(error.message)?.[1];
  if (said) return said as keyof Check;
  const low = error.message.toLowerCase();
  return FIELDS.find(([member]) => low.includes(member))?.[1];
}
