/** What is wrong, as Portside tells it of all regions and of the machine. */

import { read } from "./call";

export interface Problem {
  severity: "error" | "warning";
  kind: string;
  account: string;
  region: string;
  cluster: string;
  name: string;
  what: string;
  why: string;
  mend: string;
  since: string | null;
}

/** The kinds of records over which something is or is no longer wrong. */
export const CONCERNED = [
  "task",
  "service",
  "target",
  "load_balancer",
  "alarm",
  "container_instance",
  "event_delivery",
  "notification",
  "certificate",
  "docker_volume",
  "ebs_volume",
] as const;

export const problems = async () => (await read<{ problems: Problem[] }>("/_portside/problems")).problems;

/** The page of what is concerned, where there is one. */
export function pathOf(problem: Problem): string[] | undefined {
  switch (problem.kind) {
    case "service":
      return ["clusters", problem.cluster, "services", problem.name];
    case "task":
      return ["clusters", problem.cluster, "tasks", problem.name];
    case "load balancer":
      return ["load-balancers", problem.name];
    case "alarm":
      return ["alarms", problem.name];
    case "container instance":
      return ["clusters", problem.cluster];
    default:
      return undefined;
  }
}
