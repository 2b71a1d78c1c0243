/** The subnets of a VPC: where they lead, and what network ACLs say of them. */

import type { Live } from "../api/live";
import type { SubnetView } from "../api/network";
import { List } from "./list";

export function SubnetList({ subnets }: { subnets: Live<SubnetView[]> }) {
  return (
    <List<SubnetView>
      title="Subnets"
      noun="subnet"
      live={subnets}
      keyOf={(each) => each.id}
      columns={[
        { id: "id", header: "Subnet", cell: (each) => each.id, sortingField: "id", isRowHeader: true },
        { id: "zone", header: "Zone", cell: (each) => each.zone, sortingField: "zone" },
        { id: "block", header: "Addresses", cell: (each) => each.cidrBlock, sortingField: "cidrBlock" },
        { id: "interfaces", header: "Interfaces", cell: (each) => each.interfaces.length },
        {
          id: "routes",
          header: "Routes",
          cell: (each) => each.routes.map((one) => `${one.destination} by ${one.to}`).join(", ") || "No way out",
        },
        { id: "table", header: "Route table", cell: (each) => each.routeTable ?? "–" },
        {
          id: "acl",
          header: "Network ACL",
          cell: (each) => (each.entries.length ? `${each.networkAcl}: ${each.entries.join("; ")}` : `${each.networkAcl ?? "None"}: lets all pass`),
        },
      ]}
    />
  );
}
