/** The table of clusters. */

import Box from "@cloudscape-design/components/box";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import type { ReactNode } from "react";
import { type Cluster, insightsSetting } from "../api/ecs";
import type { Live } from "../api/live";
import { useHere } from "../context";
import { List } from "./list";
import { Status } from "./status";

const INSIGHTS: Record<string, string> = { enabled: "On", enhanced: "Enhanced", disabled: "Off" };

export function insightsOf(cluster: Cluster): string {
  const value = insightsSetting(cluster);
  return INSIGHTS[value ?? "disabled"] ?? value ?? "–";
}

export function ClusterList({ live, actions }: { live: Live<Cluster[]>; actions?: ReactNode }) {
  const { to } = useHere();
  return (
    <List<Cluster>
      title="Clusters"
      noun="cluster"
      live={live}
      actions={actions}
      keyOf={(cluster) => cluster.clusterArn}
      empty={
        <SpaceBetween size="xs">
          <span>No cluster in this region</span>
          <Box variant="code">aws ecs create-cluster</Box>
        </SpaceBetween>
      }
      columns={[
        {
          id: "name",
          header: "Cluster",
          cell: (cluster) => <Link href={to(["clusters", cluster.clusterName])}>{cluster.clusterName}</Link>,
          sortingField: "clusterName",
          isRowHeader: true,
          minWidth: 180,
        },
        { id: "status", header: "Status", cell: (cluster) => <Status of={cluster.status} />, sortingField: "status" },
        { id: "services", header: "Services", cell: (cluster) => cluster.activeServicesCount, sortingField: "activeServicesCount" },
        { id: "running", header: "Running", cell: (cluster) => cluster.runningTasksCount, sortingField: "runningTasksCount" },
        { id: "pending", header: "Pending", cell: (cluster) => cluster.pendingTasksCount, sortingField: "pendingTasksCount" },
        {
          id: "instances",
          header: "Instances",
          cell: (cluster) => cluster.registeredContainerInstancesCount,
          sortingField: "registeredContainerInstancesCount",
        },
        { id: "insights", header: "Insights", cell: insightsOf },
      ]}
    />
  );
}
