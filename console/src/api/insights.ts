/** What Container Insights measures of a cluster, a service, a task, a container: as panels of lines. */

import type { Line, Metric } from "./metrics";

export const NAMESPACE = "ECS/ContainerInsights";

export interface Target {
  cluster: string;
  service?: string;
  /** A task, with the family of its definition. */
  task?: string;
  family?: string;
  container?: string;
  /** A container instance, by the id of its instance of EC2, with its own. */
  machine?: string;
  instance?: string;
}

export interface Panel {
  title: string;
  unit?: string;
  lines: Line[];
  /** Why there may be no point, where it is not that it is too early. */
  empty?: string;
}

const NO_RESTARTS = "No container that runs has a restart policy";

export type Mode = "disabled" | "enabled" | "enhanced";

/** Tasks and containers have metrics of their own with enhanced observability only. */
export const isMeasured = (target: Target, mode: Mode) => mode === "enhanced" || (mode === "enabled" && target.task === undefined);

export function dimensionsOf(target: Target): Record<string, string> {
  const found: Record<string, string> = { ClusterName: target.cluster };
  if (target.task !== undefined) {
    found.TaskDefinitionFamily = target.family ?? "";
    found.TaskId = target.task;
    if (target.container !== undefined) found.ContainerName = target.container;
  } else if (target.service !== undefined) found.ServiceName = target.service;
  else if (target.machine !== undefined) {
    found.InstanceId = target.machine;
    found.ContainerInstanceId = target.instance ?? "";
  }
  return found;
}

/** The lines have ids that no other panel's have. */
export function panelsOf(target: Target): Panel[] {
  const dimensions = dimensionsOf(target);
  let number = 0;
  const metric = (name: string): Metric => ({ namespace: NAMESPACE, name, dimensions });
  const line = (label: string, name: string, stat = "Average"): Line[] => {
    number += 1;
    return [{ id: `m${number}`, metric: metric(name), stat, period: 0, label, isShown: true }];
  };
  const hidden = (name: string): Line => ({ ...(line("", name, "Sum")[0] as Line), isShown: false });
  const expression = (label: string, text: string): Line => {
    number += 1;
    return { id: `e${number}`, expression: text, stat: "Average", period: 0, label, isShown: true };
  };
  // Each task tells once a minute: the sum of a longer period counts each of them once for each of its minutes.
  const total = (label: string, name: string): Line[] => {
    const one = hidden(name);
    return [one, expression(label, `${one.id} * 60 / PERIOD(${one.id})`)];
  };
  const share = (label: string, used: string, reserved: string): Line[] => {
    const part = hidden(used);
    const whole = hidden(reserved);
    return [part, whole, expression(label, `100 * ${part.id} / ${whole.id}`)];
  };
  if (target.container !== undefined) {
    return [
      { title: "CPU", unit: "%", lines: line("Used of what is reserved", "ContainerCpuUtilization") },
      { title: "Memory", unit: "%", lines: line("Used of what is reserved", "ContainerMemoryUtilization") },
      { title: "Network", unit: "B/s", lines: [...line("Received", "ContainerNetworkRxBytes"), ...line("Sent", "ContainerNetworkTxBytes")] },
      {
        title: "Disk since it started",
        unit: "B",
        lines: [...line("Read", "ContainerStorageReadBytes"), ...line("Written", "ContainerStorageWriteBytes")],
      },
      { title: "Restarts", lines: line("Restarts", "RestartCount"), empty: "The container has no restart policy" },
      { title: "Health", lines: line("Unhealthy", "UnHealthyContainerHealthStatus", "Maximum"), empty: "The container has no health check" },
    ];
  }
  if (target.machine !== undefined) {
    const both = (used: string, reserved: string) => [...line("Used", used), ...line("Reserved by tasks", reserved)];
    return [
      { title: "CPU", unit: "%", lines: both("instance_cpu_utilization", "instance_cpu_reserved_capacity") },
      { title: "Memory", unit: "%", lines: both("instance_memory_utilization", "instance_memory_reserved_capacity") },
      { title: "Tasks", lines: line("Running", "instance_number_of_running_tasks") },
      { title: "Network", unit: "B/s", lines: line("Received and sent", "instance_network_total_bytes") },
      { title: "Disk", unit: "%", lines: line("Full", "instance_filesystem_utilization") },
    ];
  }
  if (target.task !== undefined) {
    return [
      { title: "CPU", unit: "%", lines: line("Used of what is reserved", "TaskCpuUtilization") },
      { title: "Memory", unit: "%", lines: line("Used of what is reserved", "TaskMemoryUtilization") },
      { title: "Network", unit: "B/s", lines: [...line("Received", "NetworkRxBytes"), ...line("Sent", "NetworkTxBytes")] },
      {
        title: "Disk since it started",
        unit: "B",
        lines: [...line("Read", "StorageReadBytes"), ...line("Written", "StorageWriteBytes")],
      },
      {
        title: "Ephemeral storage",
        unit: "GB",
        lines: [...line("Used", "EphemeralStorageUtilized"), ...line("Reserved", "EphemeralStorageReserved")],
      },
      { title: "Restarts of its containers", lines: total("Restarts", "RestartCount"), empty: NO_RESTARTS },
    ];
  }
  const counts =
    target.service !== undefined
      ? [...line("Wanted", "DesiredTaskCount"), ...line("Running", "RunningTaskCount"), ...line("Pending", "PendingTaskCount")]
      : line("Tasks", "TaskCount");
  return [
    { title: "CPU", unit: "%", lines: share("Used of what is reserved", "CpuUtilized", "CpuReserved") },
    { title: "Memory", unit: "%", lines: share("Used of what is reserved", "MemoryUtilized", "MemoryReserved") },
    { title: "Tasks", lines: counts },
    target.service !== undefined
      ? { title: "Deployments", lines: line("Deployments", "DeploymentCount") }
      : {
          title: "Services and container instances",
          lines: [...line("Services", "ServiceCount"), ...line("Container instances", "ContainerInstanceCount")],
        },
    { title: "Network", unit: "B/s", lines: [...total("Received", "NetworkRxBytes"), ...total("Sent", "NetworkTxBytes")] },
    {
      title: "Disk since the tasks started",
      unit: "B",
      lines: [...total("Read", "StorageReadBytes"), ...total("Written", "StorageWriteBytes")],
    },
    {
      title: "Ephemeral storage",
      unit: "GB",
      lines: [...total("Used", "EphemeralStorageUtilized"), ...total("Reserved", "EphemeralStorageReserved")],
    },
    { title: "Restarts of containers", lines: total("Restarts", "RestartCount"), empty: NO_RESTARTS },
  ];
}

/** The address of a dashboard. */
export function pathOf(target: Target): string[] {
  const path = ["insights", target.cluster];
  if (target.task !== undefined) {
    path.push("tasks", target.task);
    if (target.container !== undefined) path.push("containers", target.container);
  } else if (target.service !== undefined) path.push("services", target.service);
  else if (target.machine !== undefined) path.push("instances", target.machine);
  return path;
}
