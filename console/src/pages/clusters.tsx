/** All clusters of the region, and one of them. */

import Box from "@cloudscape-design/components/box";
import Alert from "@cloudscape-design/components/alert";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { clusters, services } from "../api/ecs";
import { useLive } from "../api/live";
import { useTasks } from "../api/live-tasks";
import { useHere } from "../context";
import { Act } from "../parts/act";
import { ClusterList, insightsOf } from "../parts/clusters";
import { InstanceList } from "../parts/instances";
import { LaunchInstances } from "../parts/launch-instances";
import { ServiceList } from "../parts/services";
import { Status } from "../parts/status";
import { Tags } from "../parts/tags";
import { TaskList } from "../parts/tasks";

export function Clusters() {
  const { region } = useHere();
  const live = useLive(() => clusters(region), { kinds: ["cluster", "service", "task", "container_instance"] }, [region]);
  const [isNew, setNew] = useState(false);
  const [name, setName] = useState("");
  return (
    <>
      <ClusterList
        live={live}
        actions={
          <Button variant="primary" onClick={() => setNew(true)}>
            Create
          </Button>
        }
      />
      {isNew && (
        <Act
          title="Create a cluster"
          word="Create"
          operation="CreateCluster"
          parameters={{ clusterName: name || undefined }}
          onClose={() => setNew(false)}
        >
          <FormField label="Name" description="Without one: default">
            <Input value={name} onChange={({ detail }) => setName(detail.value)} />
          </FormField>
        </Act>
      )}
    </>
  );
}

export function ClusterPage({ name }: { name: string }) {
  const { region, to } = useHere();
  const live = useLive(
    async () => (await clusters(region)).find((each) => each.clusterName === name) ?? null,
    { kinds: ["cluster", "service", "task", "container_instance"], prefix: name },
    [region, name],
  );
  const ofTasks = useTasks(region, { cluster: name });
  const ofServices = useLive(() => services(region, name), { kinds: ["service", "task"], prefix: `${name}/` }, [region, name]);
  const [isDeleting, setDeleting] = useState(false);
  const [isLaunching, setLaunching] = useState(false);
  const cluster = live.value;
  const isActive = cluster?.status === "ACTIVE";
  if (cluster === null) return <Alert type="error">There is no cluster {name} in {region}.</Alert>;
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={to(["insights", name])}>Dashboard</Button>
            <Button disabled={!isActive} href={to(["clusters", name, "capacity-providers"])}>
              Capacity providers
            </Button>
            <Button disabled={!isActive} onClick={() => setLaunching(true)}>
              Launch instances
            </Button>
            <Button disabled={!isActive} onClick={() => setDeleting(true)}>
              Delete
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <div>
            <Box variant="awsui-key-label">Status</Box>
            <Status of={cluster?.status} />
          </div>
          <div>
            <Box variant="awsui-key-label">Services</Box>
            {cluster?.activeServicesCount ?? "–"}
          </div>
          <div>
            <Box variant="awsui-key-label">Tasks</Box>
            {cluster ? `${cluster.runningTasksCount} running, ${cluster.pendingTasksCount} pending` : "–"}
          </div>
          <div>
            <Box variant="awsui-key-label">Capacity providers</Box>
            {cluster?.capacityProviders?.join(", ") || "–"}
          </div>
          <div>
            <Box variant="awsui-key-label">Container Insights</Box>
            {cluster ? insightsOf(cluster) : "–"}
          </div>
        </ColumnLayout>
      </Container>
      <ServiceList live={ofServices} actions={<Button href={to(["create-service"], { cluster: name })}>Create service</Button>} />
      <TaskList live={ofTasks} actions={<Button href={to(["run-task"], { cluster: name })}>Run task</Button>} />
      {cluster !== undefined && cluster.registeredContainerInstancesCount > 0 && <InstanceList cluster={name} />}
      {isLaunching && <LaunchInstances cluster={name} onClose={() => setLaunching(false)} />}
      {isDeleting && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          operation="DeleteCluster"
          parameters={{ cluster: name }}
          onClose={() => setDeleting(false)}
          onDone={() => {
            location.hash = to(["clusters"]);
          }}
        >
          One with services, tasks or container instances can not be deleted.
        </Act>
      )}
      {cluster && <Tags service="ecs" of={cluster.clusterArn} name={name} kinds={["cluster"]} />}
    </SpaceBetween>
  );
}
