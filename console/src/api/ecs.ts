/** The members of ECS's answers that are shown. */

import { ApiError, call, every, pieces, read } from "./call";

export interface Cluster {
  clusterArn: string;
  clusterName: string;
  status: string;
  runningTasksCount: number;
  pendingTasksCount: number;
  activeServicesCount: number;
  registeredContainerInstancesCount: number;
  settings?: { name: string; value: string }[];
  capacityProviders?: string[];
  defaultCapacityProviderStrategy?: { capacityProvider: string; weight?: number; base?: number }[];
}

/** How much Container Insights measures of it: `disabled`, `enabled`, `enhanced`. */
export const insightsSetting = (cluster: Cluster) => cluster.settings?.find((each) => each.name === "containerInsights")?.value;

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
  capacityProviderName?: string;
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

export interface Deployment {
  id: string;
  status: string;
  taskDefinition: string;
  desiredCount: number;
  runningCount: number;
  pendingCount: number;
  failedTasks?: number;
  rolloutState?: string;
  rolloutStateReason?: string;
  createdAt?: number;
}

export interface Service {
  serviceArn: string;
  serviceName: string;
  clusterArn: string;
  status: string;
  desiredCount: number;
  runningCount: number;
  pendingCount: number;
  launchType?: string;
  taskDefinition: string;
  schedulingStrategy?: string;
  createdAt?: number;
  enableExecuteCommand?: boolean;
  deployments: Deployment[];
  events: { id: string; createdAt: number; message: string }[];
  loadBalancers?: { targetGroupArn?: string; loadBalancerName?: string; containerName?: string; containerPort?: number }[];
}

export interface ContainerInstance {
  containerInstanceArn: string;
  ec2InstanceId: string;
  status: string;
  agentConnected: boolean;
  runningTasksCount: number;
  pendingTasksCount: number;
  remainingResources?: { name: string; integerValue?: number }[];
}

/** What keeps a service from its steady state, as `portside why SERVICE` says it; null if nothing does. */
export interface Why {
  what: string;
  /** What a person can do; empty where it needs nothing but time. */
  mend: string;
  until: string | null;
  task: string | null;
}

export interface TaskDefinition {
  taskDefinitionArn: string;
  family: string;
  revision: number;
  status: string;
  registeredAt?: number;
  cpu?: string;
  memory?: string;
  networkMode?: string;
  requiresCompatibilities?: string[];
  compatibilities?: string[];
  volumes?: { name: string; configuredAtLaunch?: boolean }[];
  containerDefinitions: {
    name: string;
    image: string;
    essential?: boolean;
    portMappings?: { containerPort?: number; hostPort?: number; protocol?: string }[];
    logConfiguration?: { logDriver: string; options?: Record<string, string> };
  }[];
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
  const found = await describedTasks(region, cluster, [...new Set(lists.flat())]);
  return found.sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0));
}

/** The first hundred that run; none if they are fewer, for then all are as soon read. */
export async function someTasks(region: string, cluster: string, filter: object = {}): Promise<Task[]> {
  const parameters = { cluster, desiredStatus: "RUNNING", ...filter };
  const { taskArns } = await call<{ taskArns: string[] }>("ecs", "ListTasks", region, parameters);
  return taskArns.length < 100 ? [] : describedTasks(region, cluster, taskArns);
}

/** Those of the named tasks that are still known. */
export async function describedTasks(region: string, cluster: string, named: string[]): Promise<Task[]> {
  const pages = await Promise.all(
    pieces(named, 100).map((some) => call<{ tasks: Task[] }>("ecs", "DescribeTasks", region, { cluster, tasks: some })),
  );
  return pages.flatMap((page) => page.tasks);
}

export async function services(region: string, cluster: string): Promise<Service[]> {
  const arns = await every<string>("ecs", "ListServices", region, { cluster, maxResults: 100 }, "serviceArns");
  const pages = await Promise.all(
    pieces(arns, 10).map((some) =>
      call<{ services: Service[] }>("ecs", "DescribeServices", region, { cluster, services: some }),
    ),
  );
  return pages.flatMap((page) => page.services).sort((a, b) => a.serviceName.localeCompare(b.serviceName));
}

export async function service(region: string, cluster: string, name: string): Promise<Service | null> {
  const found = await call<{ services: Service[] }>("ecs", "DescribeServices", region, { cluster, services: [name] });
  return found.services[0] ?? null;
}

export const why = async (cluster: string, name: string) =>
  (await read<{ why: Why | null }>(`/_portside/services/${encodeURIComponent(name)}?cluster=${encodeURIComponent(cluster)}`)).why;

export async function containerInstances(region: string, cluster: string): Promise<ContainerInstance[]> {
  const arns = await every<string>("ecs", "ListContainerInstances", region, { cluster }, "containerInstanceArns");
  const pages = await Promise.all(
    pieces(arns, 100).map((some) =>
      call<{ containerInstances: ContainerInstance[] }>("ecs", "DescribeContainerInstances", region, {
        cluster,
        containerInstances: some,
      }),
    ),
  );
  return pages.flatMap((page) => page.containerInstances);
}

export const remaining = (of: ContainerInstance, name: string) =>
  of.remainingResources?.find((each) => each.name === name)?.integerValue;

export async function definition(region: string, name: string): Promise<TaskDefinition> {
  const found = await call<{ taskDefinition: TaskDefinition }>("ecs", "DescribeTaskDefinition", region, {
    taskDefinition: name,
  });
  return found.taskDefinition;
}

export const families = (region: string, status: string) =>
  every<string>("ecs", "ListTaskDefinitionFamilies", region, { status }, "families");

export const revisions = (region: string, familyPrefix: string, status: string) =>
  every<string>("ecs", "ListTaskDefinitions", region, { familyPrefix, status, sort: "DESC" }, "taskDefinitionArns");

export async function task(region: string, cluster: string, id: string): Promise<Task | undefined> {
  const found = await call<{ tasks: Task[] }>("ecs", "DescribeTasks", region, { cluster, tasks: [id] });
  return found.tasks[0];
}

export const story = (cluster: string, id: string) =>
  read<Story>(`/_portside/tasks/${encodeURIComponent(id)}/story?cluster=${encodeURIComponent(cluster)}`);

const attached = (task: Task, name: string) =>
  task.attachments?.flatMap((each) => each.details).find((each) => each.name === name)?.value;

/** The address of a task in its VPC. */
export const addressOf = (task: Task) => attached(task, "privateIPv4Address") ?? "–";

/** The interface that a task has of its own, while it has one. */
export const interfaceOf = (task: Task) => (task.lastStatus === "STOPPED" ? undefined : attached(task, "networkInterfaceId"));

/** An answer that may say, of each thing that it is about, that nothing was done. */
export interface Failed {
  failures?: { arn?: string; reason?: string; detail?: string }[];
}

/** Throws what an answer says that was not done. */
export function refusedBy({ failures }: Failed): void {
  const [first] = failures ?? [];
  if (first) throw new ApiError(first.reason ?? "It failed", first.detail ?? first.reason ?? "It failed", 200);
}

/** Until when its service may not end a task; null if it may. */
export async function protectedUntil(region: string, cluster: string, id: string): Promise<number | null> {
  interface Answer {
    protectedTasks: { protectionEnabled: boolean; expirationDate?: number }[];
  }
  const [found] = (await call<Answer>("ecs", "GetTaskProtection", region, { cluster, tasks: [id] })).protectedTasks;
  return found?.protectionEnabled ? (found.expirationDate ?? 0) : null;
}
