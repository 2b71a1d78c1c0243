/** The table of tasks, the same wherever it stands. */

import Link from "@cloudscape-design/components/link";
import SegmentedControl from "@cloudscape-design/components/segmented-control";
import type { ReactNode } from "react";
import { useState } from "react";
import { addressOf, type Task } from "../api/ecs";
import type { Live } from "../api/live";
import { useHere } from "../context";
import { clusterOf, nameOf, time } from "../format";
import { List } from "./list";
import { Status } from "./status";

export function TaskList({ live, withCluster, actions }: { live: Live<Task[]>; withCluster?: boolean; actions?: ReactNode }) {
  const { to } = useHere();
  const [shown, setShown] = useState("live");
  const wanted = live.value?.filter((task) => (task.lastStatus === "STOPPED") === (shown === "stopped"));
  return (
    <List<Task>
      title="Tasks"
      noun="task"
      live={{ ...live, value: wanted }}
      keyOf={(task) => task.taskArn}
      actions={actions}
      empty={shown === "live" ? "No task runs" : "No task has stopped lately"}
      filters={
        <SegmentedControl
          label="Which tasks"
          selectedId={shown}
          onChange={({ detail }) => setShown(detail.selectedId)}
          options={[
            { id: "live", text: "Running" },
            { id: "stopped", text: "Stopped" },
          ]}
        />
      }
      columns={[
        {
          id: "id",
          header: "Task",
          cell: (task) => (
            <Link href={to(["clusters", clusterOf(task.taskArn), "tasks", nameOf(task.taskArn)])}>
              {nameOf(task.taskArn).slice(0, 12)}
            </Link>
          ),
          isRowHeader: true,
          sortingComparator: (a, b) => a.taskArn.localeCompare(b.taskArn),
          minWidth: 140,
        },
        ...(withCluster
          ? [
              {
                id: "cluster",
                header: "Cluster",
                cell: (task: Task) => (
                  <Link href={to(["clusters", clusterOf(task.taskArn)])}>{clusterOf(task.taskArn)}</Link>
                ),
                sortingComparator: (a: Task, b: Task) => clusterOf(a.taskArn).localeCompare(clusterOf(b.taskArn)),
              },
            ]
          : []),
        {
          id: "status",
          header: "Status",
          cell: (task) => <Status of={task.lastStatus} />,
          sortingField: "lastStatus",
          minWidth: 150,
        },
        { id: "definition", header: "Definition", cell: (task) => nameOf(task.taskDefinitionArn), sortingField: "taskDefinitionArn" },
        { id: "group", header: "Group", cell: (task) => task.group ?? "–", sortingField: "group", minWidth: 160 },
        ...(shown === "live"
          ? [
              { id: "health", header: "Health", cell: (task: Task) => <Status of={task.healthStatus} /> },
              { id: "address", header: "Address", cell: addressOf },
              {
                id: "started",
                header: "Started",
                cell: (task: Task) => time(task.startedAt),
                sortingField: "startedAt" as const,
                minWidth: 170,
              },
            ]
          : [
              { id: "reason", header: "Why", cell: (task: Task) => task.stoppedReason ?? "–", minWidth: 260 },
              {
                id: "stopped",
                header: "Stopped",
                cell: (task: Task) => time(task.stoppedAt),
                sortingField: "stoppedAt" as const,
                minWidth: 170,
              },
            ]),
      ]}
    />
  );
}
