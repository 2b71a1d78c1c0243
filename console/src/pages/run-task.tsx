/** Tasks that are run on their own: all that RunTask takes. Also one like another. */

import Alert from "@cloudscape-design/components/alert";
import Spinner from "@cloudscape-design/components/spinner";
import { useState } from "react";
import { task as readTask, type Task } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { clusterOf, nameOf } from "../format";
import { LAUNCH_FIRST, runFaults, sizeOffers, unfit } from "../launch";
import { isMembers, type Members, picked, shapesOf } from "../model";
import { defaultPlace, useLaunch } from "../parts/launch-offers";
import { OperationForm } from "../parts/operation-form";

const FIRST = {
  "": [
    "cluster",
    "taskDefinition",
    "count",
    "launchType",
    "platformVersion",
    "capacityProviderStrategy",
    "networkConfiguration",
    "volumeConfigurations",
    "overrides",
    "placementConstraints",
    "placementStrategy",
    "group",
    "startedBy",
    "enableExecuteCommand",
    "propagateTags",
    "enableECSManagedTags",
    "tags",
  ],
  ...LAUNCH_FIRST,
  overrides: ["containerOverrides", "cpu", "memory", "taskRoleArn", "executionRoleArn", "ephemeralStorage"],
  "overrides.containerOverrides": ["name", "command", "environment", "environmentFiles", "cpu", "memory", "memoryReservation"],
};

interface Started {
  tasks: Task[];
  failures: { arn?: string; reason: string; detail?: string }[];
}

export function RunTask() {
  const { region, place, to } = useHere();
  const definition = place.query.get("definition") ?? "";
  const like = place.query.get("like") ?? "";
  const inCluster = place.query.get("cluster") ?? "";
  const begun = useLive<Members>(
    async () => {
      if (!like) return { taskDefinition: definition, count: 1, ...(await defaultPlace(region, inCluster, definition)) };
      const [cluster = "", id = ""] = like.split("/");
      const [model, found] = await Promise.all([shapesOf("ecs", "RunTask"), readTask(region, cluster, id)]);
      if (!found) throw new Error(`There is no task ${id} in the cluster ${cluster}.`);
      const asked = picked(model, { ...found, taskDefinition: nameOf(found.taskDefinitionArn) }) as Members;
      const where = await defaultPlace(region, cluster, nameOf(found.taskDefinitionArn));
      return { ...where, ...likeThat(asked, found), cluster, count: 1 };
    },
    { kinds: [] },
    [region, definition, like, inCluster],
  );
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  return <Run initial={begun.value} cancel={back(to, like, inCluster, definition)} />;
}

function back(to: ReturnType<typeof useHere>["to"], like: string, inCluster: string, definition: string): string {
  if (like) {
    const [cluster = "", id = ""] = like.split("/");
    return to(["clusters", cluster, "tasks", id]);
  }
  if (inCluster) return to(["clusters", inCluster]);
  return definition ? to(["task-definitions", ...definition.split(":")]) : to(["tasks"]);
}

/** What it was by itself is not asked for again: the group of its family or service, and who started it. */
function likeThat({ group, startedBy, ...rest }: Members, { capacityProviderName }: Task): Members {
  const isOwn = typeof group === "string" && !/^(family|service):/.test(group);
  const isService = typeof group === "string" && group.startsWith("service:");
  const { launchType: _launchType, ...others } = rest;
  return {
    ...(capacityProviderName ? { ...others, capacityProviderStrategy: [{ capacityProvider: capacityProviderName, weight: 1 }] } : rest),
    ...(isOwn && { group }),
    ...(startedBy && !isService ? { startedBy } : {}),
  };
}

function Run({ initial, cancel }: { initial: Members; cancel: string }) {
  const { to } = useHere();
  const [named, setNamed] = useState(String(initial.taskDefinition ?? ""));
  const { offers, definition } = useLaunch(named);
  const cpuOf = (value: Members) => (isMembers(value.overrides) && value.overrides.cpu) || definition?.cpu;
  return (
    <OperationForm
      title={`Run ${named || "a task"}`}
      word="Run"
      operation="RunTask"
      initial={initial}
      first={FIRST}
      offers={(value, model) => {
        const { cpu, memory } = sizeOffers(model, cpuOf(value));
        return value.launchType === "EC2" ? offers : { ...offers, "overrides.cpu": cpu, "overrides.memory": memory };
      }}
      unfit={(value) => unfit(value, definition)}
      check={(value, model) => runFaults(value, definition, model.fargate)}
      onChange={(value) => setNamed(String(value.taskDefinition ?? ""))}
      cancel={cancel}
      onDone={({ tasks, failures }: Started) => {
        const [failure] = failures;
        const [task] = tasks;
        if (failure) {
          const why = [failure.reason, failure.detail].filter(Boolean).join(": ");
          throw new Error(task ? `${tasks.length} of them run, the others do not: ${why}` : why);
        }
        if (!task) throw new Error("No task was started.");
        const inCluster = ["clusters", clusterOf(task.taskArn)];
        return to(tasks.length === 1 ? [...inCluster, "tasks", nameOf(task.taskArn)] : inCluster);
      }}
    />
  );
}
