/** The tasks of every cluster, and one task. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { addressOf, clusters, story, task as readTask, tasks } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { memory, nameOf, time, vcpu } from "../format";
import { Phases } from "../parts/phases";
import { Status } from "../parts/status";
import { TaskList } from "../parts/tasks";

export function Tasks() {
  const { region } = useHere();
  const live = useLive(
    async () => (await Promise.all((await clusters(region)).map((each) => tasks(region, each.clusterName)))).flat(),
    { kinds: ["task", "cluster"] },
    [region],
  );
  return <TaskList live={live} withCluster />;
}

export function TaskPage({ cluster, id }: { cluster: string; id: string }) {
  const { region } = useHere();
  const watched = { kinds: ["task"], prefix: `${cluster}/${id}` };
  const live = useLive(async () => (await readTask(region, cluster, id)) ?? null, watched, [region, cluster, id]);
  const told = useLive(() => story(cluster, id), watched, [region, cluster, id]);
  const task = live.value;
  if (task === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no task ${id} in the cluster ${cluster}.`}</Alert>;
  }
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description={told.value?.summary}>
        Task {id}
      </Header>
      {task?.stoppedReason && (
        <Alert type={task.stopCode === "UserInitiated" ? "info" : "warning"} header={`Stopped: ${task.stopCode}`}>
          {task.stoppedReason}
        </Alert>
      )}
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Status">
            <Status of={task?.lastStatus} />
          </Fact>
          <Fact label="Wanted">
            <Status of={task?.desiredStatus} />
          </Fact>
          <Fact label="Health">
            <Status of={task?.healthStatus} />
          </Fact>
          <Fact label="Task definition">{nameOf(task?.taskDefinitionArn)}</Fact>
          <Fact label="Group">{task?.group ?? "–"}</Fact>
          <Fact label="Address">{task ? addressOf(task) : "–"}</Fact>
          <Fact label="Zone">{task?.availabilityZone ?? "–"}</Fact>
          <Fact label="Size">
            {vcpu(task?.cpu)}, {memory(task?.memory)}
          </Fact>
          <Fact label="Created">{time(task?.createdAt)}</Fact>
          <Fact label="Started">{time(task?.startedAt)}</Fact>
          <Fact label="Stopped">{time(task?.stoppedAt)}</Fact>
        </ColumnLayout>
      </Container>
      <Container header={<Header variant="h2">Launch</Header>}>
        {told.error ? told.error.message : <Phases phases={told.value?.phases ?? []} />}
      </Container>
      <Table
        header={<Header variant="h2">Containers</Header>}
        items={task?.containers ?? []}
        trackBy="name"
        wrapLines
        empty="No container"
        columnDefinitions={[
          { id: "name", header: "Name", cell: (each) => each.name, isRowHeader: true },
          { id: "status", header: "Status", cell: (each) => <Status of={each.lastStatus} /> },
          { id: "health", header: "Health", cell: (each) => <Status of={each.healthStatus} /> },
          { id: "image", header: "Image", cell: (each) => each.image ?? "–" },
          { id: "exit", header: "Exit code", cell: (each) => each.exitCode ?? "–" },
          { id: "reason", header: "Reason", cell: (each) => each.reason ?? "–" },
        ]}
      />
      <Table
        header={<Header variant="h2">Story</Header>}
        items={told.value?.story ?? []}
        wrapLines
        empty="Nothing happened yet"
        columnDefinitions={[
          { id: "at", header: "When", cell: (each) => time(Date.parse(each.at) / 1000), width: 190 },
          { id: "what", header: "What", cell: (each) => each.what, isRowHeader: true },
          { id: "detail", header: "Detail", cell: (each) => each.detail || "–" },
        ]}
      />
    </SpaceBetween>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <Box variant="awsui-key-label">{label}</Box>
      <div>{children}</div>
    </div>
  );
}
