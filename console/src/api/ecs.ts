/** The members of ECS's answers that are shown. */

import { call, every, pieces, read } from "./call";

export interface Cluster {
  clusterArn: string;
  clusterName: string;
  status: string;
  runningTasksCount: number;
  pendingTasksCount: number;
  activeServicesCount: number;
  registeredContainerInstancesCount: number;
  settings?: { name: string; value: string }[];
}

export interface Container {
  name: string;
  image?: string;
  lastStatus: string;
  exitCode?: number;
  reason?: string;
  healthStatus?: string;
  runtimeId?: string;
  networkInterfaces?: { privateIpv4Address?: string }[];
}

export interface Task {
  taskArn: string;
  clusterArn: string;
  taskDefinitionArn: string;
  lastStatus: string;
  desiredStatus: string;
  healthStatus?: string;
  group?: string;
  launchType?: string;
  cpu?: string;
  memory?: string;
  createdAt?: number;
  startedAt?: number;
  stoppedAt?: number;
  stopCode?: string;
  stoppedReason?: string;
  startedBy?: string;
  availabilityZone?: string;
  enableExecuteCommand?: boolean;
  containers: Container[];
  attachments?: { type: string; details: { name: string; value: string }[] }[];
}

export interface Phase {
  name: string;
  startedAt: string;
  endedAt: string | null;
  seconds: number;
  state: string;
}

export interface Story {
  summary: string;
  phases: Phase[];
  story: { at: string; what: string; detail: string }[];
}

export async function clusters(region: string): Promise<Cluster[]> {
  const arns = await every<string>("ecs", "ListClusters", region, {}, "clusterArns");
  const pages = await Promise.all(
    pieces(arns, 100).map((some) =>
      call<{ clusters: Cluster[] }>("ecs", "DescribeClusters", region, { clusters: some, include: ["SETTINGS"] }),
    ),
  );
  return pages.flatMap((page) => page.clusters).sort((a, b) => a.clusterName.localeCompare(b.clusterName));
}

/** A cluster's tasks, running and stopped, the youngest first. */
export async function tasks(region: string, cluster: string, filter: object = {}): Promise<Task[]> {
  const lists = await Promise.all(
    ["RUNNING", "STOPPED"].map((desiredStatus) =>
      every<string>("ecs", "ListTasks", region, { cluster, desiredStatus, ...filter }, "taskArns"),
    ),
  );
  const pages = await Promise.all(
    pieces([...new Set(lists.flat())], 100).map((some) =>
      call<{ tasks: Task[] }>("ecs", "DescribeTasks", region, { cluster, tasks: some }),
    ),
  );
  return pages.flatMap((page) => page.tasks).sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0));
}

export async function task(region: string, cluster: string, id: string): Promise<Task | undefined> {
  const found = await call<{ tasks: Task[] }>("ecs", "DescribeTasks", region, { cluster, tasks: [id] });
  return found.tasks[0];
}

export const story = (cluster: string, id: string) =>
  read<Story>(`/_portside/tasks/${encodeURIComponent(id)}/story?cluster=${encodeURIComponent(cluster)}`);

/** The address of a task in its VPC. */
export function addressOf(task: Task): string {
  const found = task.attachments?.flatMap((each) => each.details).find((each) => each.name === "privateIPv4Address");
  return found?.value ?? "–";
}
