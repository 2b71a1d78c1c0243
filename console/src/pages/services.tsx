/** One service: its deployments as they go, its events, its tasks, why it waits. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import ProgressBar from "@cloudscape-design/components/progress-bar";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Tabs from "@cloudscape-design/components/tabs";
import Table from "@cloudscape-design/components/table";
import { lazy, Suspense, useState } from "react";
import { ofService } from "../api/cloudwatch";
import { service as readService, why } from "../api/ecs";
import { useLive } from "../api/live";
import { useTasks } from "../api/live-tasks";
import { useHere } from "../context";
import { familyOf, nameOf, time } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { Metrics } from "../parts/panels";
import { Scaling } from "../parts/scaling";
import { Configuration } from "../parts/service-configuration";
import { Status } from "../parts/status";
import { StopDeployment } from "../parts/stop-deployment";
import { Tags } from "../parts/tags";
import { TaskList } from "../parts/tasks";

const Plot = lazy(() => import("../parts/plot"));

export function ServicePage({ cluster, name }: { cluster: string; name: string }) {
  const { region, place, to } = useHere();
  const watched = { kinds: ["service", "task", "target"], prefix: `${cluster}/` };
  const on = [region, cluster, name];
  const live = useLive(() => readService(region, cluster, name), watched, on);
  const waits = useLive(() => why(cluster, name), { kinds: ["service", "task", "target"] }, on);
  const ofTasks = useTasks(region, { cluster, service: name });
  const [isDeleting, setDeleting] = useState(false);
  const [isStopping, setStopping] = useState(false);
  const service = live.value;
  if (service === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no service ${name} in the cluster ${cluster}.`}</Alert>;
  }
  const isActive = service?.status === "ACTIVE";
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={to(["create-service"], { like: `${cluster}/${name}` })}>Create one like it</Button>
            <Button disabled={!isActive} href={to(["clusters", cluster, "services", name, "update"])}>
              Update
            </Button>
            {service?.deployments.some((each) => each.rolloutState === "IN_PROGRESS") && (
              <Button onClick={() => setStopping(true)}>Roll back</Button>
            )}
            <Button disabled={!isActive} onClick={() => setDeleting(true)}>
              Delete
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      {waits.value && (
        <Alert type="warning" header="Why it is not as it should be">
          {waits.value.what} {waits.value.mend}
        </Alert>
      )}
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Status">
            <Status of={service?.status} />
          </Fact>
          <Fact label="Tasks">
            {service ? `${service.runningCount} of ${service.desiredCount} running, ${service.pendingCount} pending` : "–"}
          </Fact>
          <Fact label="Task definition">
            {service && (
              <Link href={to(["task-definitions", familyOf(service.taskDefinition).family, familyOf(service.taskDefinition).revision])}>
                {nameOf(service.taskDefinition)}
              </Link>
            )}
          </Fact>
          <Fact label="Created">{time(service?.createdAt)}</Fact>
          <Fact label="Scheduling">{service?.schedulingStrategy ?? "–"}</Fact>
          <Fact label="Launch type">{service?.launchType ?? "–"}</Fact>
          <Fact label="Load balancing">
            {service?.loadBalancers?.length
              ? service.loadBalancers
                  .map(
                    (each) =>
                      `${each.containerName}:${each.containerPort} in ${each.targetGroupArn?.split("/")[1] ?? each.loadBalancerName}`,
                  )
                  .join(", ")
              : "None"}
          </Fact>
        </ColumnLayout>
      </Container>
      <Tabs
        ariaLabel="About the service"
        activeTabId={place.query.get("tab") ?? "tasks"}
        onChange={({ detail }) => {
          location.hash = to(place.path, detail.activeTabId === "tasks" ? {} : { tab: detail.activeTabId });
        }}
        tabs={[
          {
            id: "tasks",
            label: "Deployments and tasks",
            content: (
              <SpaceBetween size="l">
                <Table
                  header={<Header variant="h2">Deployments</Header>}
                  items={service?.deployments ?? []}
                  trackBy="id"
                  wrapLines
                  empty="No deployment"
                  columnDefinitions={[
                    { id: "id", header: "Deployment", cell: (each) => nameOf(each.id), isRowHeader: true },
                    { id: "status", header: "Status", cell: (each) => each.status },
                    { id: "definition", header: "Definition", cell: (each) => nameOf(each.taskDefinition) },
                    { id: "rollout", header: "Rollout", cell: (each) => <Status of={each.rolloutState} />, minWidth: 140 },
                    {
                      id: "progress",
                      header: "Tasks",
                      minWidth: 200,
                      cell: (each) => (
                        <ProgressBar
                          ariaLabel={`Tasks of ${nameOf(each.id)}`}
                          value={each.desiredCount ? Math.min(100, (each.runningCount / each.desiredCount) * 100) : 100}
                          additionalInfo={`${each.runningCount} of ${each.desiredCount}, ${each.failedTasks ?? 0} failed`}
                        />
                      ),
                    },
                    { id: "reason", header: "Said", cell: (each) => each.rolloutStateReason ?? "–", minWidth: 200 },
                  ]}
                />
                <Container header={<Header variant="h2">Utilization</Header>}>
                  <Suspense fallback="The plot is being loaded">
                    <Plot label={`CPU and memory of ${name}`} series={ofService(cluster, name)} />
                  </Suspense>
                </Container>
                <TaskList live={ofTasks} />
                <Table
                  header={<Header variant="h2">Events</Header>}
                  items={service?.events ?? []}
                  trackBy="id"
                  wrapLines
                  empty="No event"
                  columnDefinitions={[
                    { id: "at", header: "When", cell: (each) => time(each.createdAt), width: 190 },
                    { id: "what", header: "What", cell: (each) => each.message, isRowHeader: true },
                  ]}
                />
              </SpaceBetween>
            ),
          },
          { id: "metrics", label: "Metrics", content: <Metrics target={{ cluster, service: name }} /> },
          { id: "scaling", label: "Scaling", content: <Scaling cluster={cluster} service={name} desired={service?.desiredCount} /> },
          { id: "configuration", label: "Configuration", content: service && <Configuration service={service} /> },
        ]}
      />
      {isStopping && <StopDeployment cluster={cluster} service={name} onClose={() => setStopping(false)} />}
      {isDeleting && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          operation="DeleteService"
          parameters={{ cluster, service: name, force: true }}
          onClose={() => setDeleting(false)}
        >
          Its tasks are stopped and replaced no more.
        </Act>
      )}
      {service && <Tags service="ecs" of={service.serviceArn} name={name} kinds={["service"]} />}
    </SpaceBetween>
  );
}
