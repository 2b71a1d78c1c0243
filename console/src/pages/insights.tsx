/** Container Insights: dashboards of a cluster, a service, a task, a container, each with a way to the next. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useAddress } from "../address";
import { clusters, type Cluster, containerInstances, services, task as readTask, tasks } from "../api/ecs";
import { dimensionsOf, isMeasured, type Mode, NAMESPACE, pathOf, type Target } from "../api/insights";
import { type Live, useLive } from "../api/live";
import { dimensionsOf as listed, short } from "../api/metrics";
import { useSeries } from "../api/series";
import { useHere } from "../context";
import { familyOf, nameOf, time } from "../format";
import { insightsOf } from "../parts/clusters";
import { List } from "../parts/list";
import { Measured, Panels, useMode } from "../parts/panels";
import { SpanPicker } from "../parts/span-picker";
import { spanOf, textOf } from "../span";

export function Insights() {
  const { region, to } = useHere();
  const live = useLive(() => clusters(region), { kinds: ["cluster", "service", "task"] }, [region]);
  return (
    <List<Cluster>
      title="Container Insights"
      noun="cluster"
      description="What clusters, services, tasks and containers use. Switched on for a cluster on its dashboard, for those to come in the account settings."
      live={live}
      actions={<Button href={to(["settings"])}>Account settings</Button>}
      keyOf={(each) => each.clusterArn}
      columns={[
        {
          id: "name",
          header: "Cluster",
          isRowHeader: true,
          sortingField: "clusterName",
          cell: (each) => <Link href={to(["insights", each.clusterName])}>{each.clusterName}</Link>,
        },
        { id: "mode", header: "Container Insights", cell: insightsOf },
        { id: "services", header: "Services", cell: (each) => each.activeServicesCount, sortingField: "activeServicesCount" },
        { id: "tasks", header: "Tasks running", cell: (each) => each.runningTasksCount, sortingField: "runningTasksCount" },
      ]}
    />
  );
}

/** Args: rest: of the address, after the cluster. */
export function InsightsPage({ cluster, rest }: { cluster: string; rest: string[] }) {
  const { region, to } = useHere();
  const [address, change] = useAddress();
  const span = spanOf(address.get("span"), "1h");
  const [kind, name, , container] = rest;
  const mode = useMode(cluster);
  const task = useLive(
    async () => (kind === "tasks" && name ? ((await readTask(region, cluster, name)) ?? null) : undefined),
    { kinds: ["task"], prefix: `${cluster}/${name}` },
    [region, cluster, kind, name],
  );
  const machines = useMachines(cluster, kind === undefined || kind === "instances");
  const machine = kind === "instances" ? machines.value?.find((each) => each.machine === name) : undefined;
  const family = task.value ? familyOf(task.value.taskDefinitionArn).family : undefined;
  const target: Target = {
    cluster,
    service: kind === "services" ? name : undefined,
    task: kind === "tasks" ? name : undefined,
    family,
    container: kind === "tasks" ? container : undefined,
    ...machine,
  };
  if (mode.value === null) return <Alert type="error">There is no cluster {cluster} in {region}.</Alert>;
  if (task.value === null) return <Alert type="error">There is no task {name} in the cluster {cluster}.</Alert>;
  if (kind === "instances" && machines.value && !machine) {
    return <Alert type="error">There is no container instance {name} in the cluster {cluster}.</Alert>;
  }
  const error = machines.error ?? mode.error ?? task.error;
  if (error) return <Alert type="error">{error.message}</Alert>;
  const isKnown = (target.task === undefined || family !== undefined) && (kind !== "instances" || machine !== undefined);
  const shown = isKnown ? mode.value : undefined;
  const own = target.task ? ["clusters", cluster, "tasks", target.task] : target.service ? ["clusters", cluster, "services", target.service] : ["clusters", cluster];
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description={container ? `Of the task ${name}` : undefined}
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={to(own)}>{target.task ? "The task" : target.service ? "The service" : "The cluster"}</Button>
            <SpanPicker span={span} onChange={(each) => change({ span: textOf(each) })} />
          </SpaceBetween>
        }
      >
        {container ?? name ?? cluster}
      </Header>
      {shown && (
        <Measured target={target} mode={shown}>
          <Panels target={target} span={span} />
        </Measured>
      )}
      {shown && kind === undefined && <ServicesOf cluster={cluster} mode={shown} />}
      {shown && kind === undefined && (machines.value?.length ?? 0) > 0 && (
        <Used title="Container instances" noun="container instance" live={machines} mode={shown} />
      )}
      {shown && (kind === undefined || kind === "services") && <TasksOf cluster={cluster} service={target.service} mode={shown} />}
      {shown && task.value && container === undefined && (
        <Used
          title="Containers"
          noun="container"
          live={{ value: task.value.containers.map((each) => ({ ...target, container: each.name })), error: undefined }}
          mode={shown}
        />
      )}
    </SpaceBetween>
  );
}

function useMachines(cluster: string, isWanted: boolean): Live<Target[]> {
  const { region } = useHere();
  return useLive(
    async () =>
      isWanted
        ? (await containerInstances(region, cluster)).map(
            (each): Target => ({ cluster, machine: each.ec2InstanceId, instance: nameOf(each.containerInstanceArn) }),
          )
        : [],
    { kinds: ["container_instance"], prefix: `${cluster}/` },
    [region, cluster, isWanted],
  );
}

function ServicesOf({ cluster, mode }: { cluster: string; mode: Mode }) {
  const { region } = useHere();
  const live = useLive(
    async () => (await services(region, cluster)).filter((each) => each.status === "ACTIVE").map((each): Target => ({ cluster, service: each.serviceName })),
    { kinds: ["service"], prefix: `${cluster}/` },
    [region, cluster],
  );
  return <Used title="Services" noun="service" live={live} mode={mode} />;
}

function TasksOf({ cluster, service, mode }: { cluster: string; service?: string; mode: Mode }) {
  const { region } = useHere();
  const live = useLive(
    async () =>
      (await tasks(region, cluster, service ? { serviceName: service } : {}))
        .filter((each) => each.lastStatus === "RUNNING")
        .map(
          (each): TaskTarget => ({
            cluster,
            task: nameOf(each.taskArn),
            family: familyOf(each.taskDefinitionArn).family,
            startedAt: each.startedAt,
          }),
        ),
    { kinds: ["task"], prefix: `${cluster}/` },
    [region, cluster, service],
  );
  return <Used title="Tasks" noun="task" live={live} mode={mode} />;
}

interface TaskTarget extends Target {
  startedAt?: number;
}

const MEASURED_MOST = 80;
const LATELY = { seconds: 300 };

/** Things with a dashboard each, and what they used lately. */
function Used({ title, noun, live, mode }: { title: string; noun: string; live: Live<TaskTarget[]>; mode: Mode }) {
  const { region, to } = useHere();
  const measured = (live.value ?? []).filter((each) => isMeasured(each, mode)).slice(0, MEASURED_MOST);
  const series = useSeries(region, measured.flatMap(queriesOfUse), LATELY);
  const latest = (target: Target, what: string) => {
    const at = measured.indexOf(target);
    return at < 0 ? undefined : series.found?.find((each) => each.id === `${what}${at}`)?.points.at(-1)?.y;
  };
  const percent = (value: number | undefined) => (value === undefined ? "–" : `${short(value)} %`);
  return (
    <List<TaskTarget>
      title={title}
      noun={noun}
      live={live}
      keyOf={(each) => pathOf(each).join("/")}
      columns={[
        { id: "name", header: title.slice(0, -1), isRowHeader: true, cell: (each) => <Link href={to(pathOf(each))}>{pathOf(each).at(-1)}</Link> },
        ...(noun === "task"
          ? [
              { id: "family", header: "Family", cell: (each: TaskTarget) => each.family ?? "–" },
              { id: "since", header: "Started", cell: (each: TaskTarget) => time(each.startedAt), sortingField: "startedAt" },
            ]
          : []),
        { id: "cpu", header: "CPU", cell: (each) => percent(latest(each, "c")) },
        { id: "memory", header: "Memory", cell: (each) => percent(latest(each, "m")) },
      ]}
    />
  );
}

/** `cN` and `mN`: percent of CPU and memory of the target of this number. */
function queriesOfUse(target: Target, at: number): object[] {
  const stat = (Id: string, MetricName: string, Stat: string, ReturnData?: boolean) => ({
    Id,
    MetricStat: { Metric: { Namespace: NAMESPACE, MetricName, Dimensions: listed(dimensionsOf(target)) }, Period: 60, Stat },
    ReturnData,
  });
  if (target.task !== undefined) {
    const prefix = target.container !== undefined ? "Container" : "Task";
    return [stat(`c${at}`, `${prefix}CpuUtilization`, "Average"), stat(`m${at}`, `${prefix}MemoryUtilization`, "Average")];
  }
  if (target.machine !== undefined) {
    return [stat(`c${at}`, "instance_cpu_utilization", "Average"), stat(`m${at}`, "instance_memory_utilization", "Average")];
  }
  return [
    stat(`uc${at}`, "CpuUtilized", "Sum", false),
    stat(`rc${at}`, "CpuReserved", "Sum", false),
    { Id: `c${at}`, Expression: `100 * uc${at} / rc${at}` },
    stat(`um${at}`, "MemoryUtilized", "Sum", false),
    stat(`rm${at}`, "MemoryReserved", "Sum", false),
    { Id: `m${at}`, Expression: `100 * um${at} / rm${at}` },
  ];
}
