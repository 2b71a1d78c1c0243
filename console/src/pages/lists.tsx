/** The services and the tasks of every cluster. */

import Button from "@cloudscape-design/components/button";
import { clusters, services } from "../api/ecs";
import { useLive } from "../api/live";
import { useTasks } from "../api/live-tasks";
import { useHere } from "../context";
import { ServiceList } from "../parts/services";
import { TaskList } from "../parts/tasks";

export function Tasks() {
  const { region, to } = useHere();
  const live = useTasks(region, {});
  return (
    <TaskList
      live={live}
      withCluster
      actions={
        <Button variant="primary" href={to(["run-task"])}>
          Run task
        </Button>
      }
    />
  );
}

export function Services() {
  const { region, to } = useHere();
  const live = useLive(
    async () => (await Promise.all((await clusters(region)).map((each) => services(region, each.clusterName)))).flat(),
    { kinds: ["service", "cluster", "task"] },
    [region],
  );
  return (
    <ServiceList
      live={live}
      withCluster
      actions={
        <Button variant="primary" href={to(["create-service"])}>
          Create
        </Button>
      }
    />
  );
}
