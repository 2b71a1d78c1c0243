/** The table of services. */

import Link from "@cloudscape-design/components/link";
import type { ReactNode } from "react";
import type { Service } from "../api/ecs";
import type { Live } from "../api/live";
import { useHere } from "../context";
import { clusterOf, nameOf } from "../format";
import { List } from "./list";
import { Status } from "./status";

export function ServiceList({ live, withCluster, actions }: { live: Live<Service[]>; withCluster?: boolean; actions?: ReactNode }) {
  const { to } = useHere();
  return (
    <List<Service>
      title="Services"
      noun="service"
      live={live}
      actions={actions}
      keyOf={(service) => service.serviceArn}
      empty="No service"
      columns={[
        {
          id: "name",
          header: "Service",
          cell: (service) => (
            <Link href={to(["clusters", nameOf(service.clusterArn), "services", service.serviceName])}>
              {service.serviceName}
            </Link>
          ),
          isRowHeader: true,
          sortingField: "serviceName",
          minWidth: 160,
        },
        ...(withCluster
          ? [
              {
                id: "cluster",
                header: "Cluster",
                cell: (service: Service) => (
                  <Link href={to(["clusters", nameOf(service.clusterArn)])}>{clusterOf(service.serviceArn)}</Link>
                ),
              },
            ]
          : []),
        { id: "status", header: "Status", cell: (service) => <Status of={service.status} />, sortingField: "status" },
        {
          id: "tasks",
          header: "Tasks",
          cell: (service) =>
            `${service.runningCount} of ${service.desiredCount} running` +
            (service.pendingCount ? `, ${service.pendingCount} pending` : ""),
          minWidth: 150,
        },
        { id: "definition", header: "Definition", cell: (service) => nameOf(service.taskDefinition) },
        {
          id: "rollout",
          header: "Deployment",
          cell: (service) => <Status of={service.deployments[0]?.rolloutState} />,
          minWidth: 140,
        },
        { id: "last", header: "Last event", cell: (service) => service.events[0]?.message ?? "–", minWidth: 240 },
      ]}
    />
  );
}
