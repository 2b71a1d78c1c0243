/** The metric filters of a log group: which events count, and as what. */

import Button from "@cloudscape-design/components/button";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { useLive } from "../api/live";
import { type MetricFilter, metricFilters } from "../api/logs";
import { useHere } from "../context";
import { Act } from "./act";
import { List } from "./list";

export function MetricFilters({ group }: { group: string }) {
  const { region, to } = useHere();
  const live = useLive(() => metricFilters(region, group), { kinds: ["metric_filter"] }, [region, group]);
  const [deleted, setDeleted] = useState<MetricFilter>();
  return (
    <>
      <List<MetricFilter>
        title="Metric filters"
        noun="metric filter"
        live={live}
        keyOf={(each) => each.filterName}
        actions={<Button href={to(["log-groups", group, "metric-filter"])}>Create metric filter</Button>}
        columns={[
          { id: "name", header: "Filter", cell: (each) => each.filterName, sortingField: "filterName", isRowHeader: true },
          { id: "pattern", header: "Pattern", cell: (each) => each.filterPattern || "Every event" },
          {
            id: "metric",
            header: "Metric",
            cell: (each) => each.metricTransformations.map((one) => `${one.metricNamespace} ${one.metricName}`).join(", "),
          },
          { id: "value", header: "Value", cell: (each) => each.metricTransformations.map((one) => one.metricValue).join(", ") },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Link href={to(["log-groups", group, "metric-filter"], { filter: each.filterName })} ariaLabel={`Change ${each.filterName}`}>
                  Change
                </Link>
                <Button variant="inline-link" ariaLabel={`Delete ${each.filterName}`} onClick={() => setDeleted(each)}>
                  Delete
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {deleted && (
        <Act
          title={`Delete ${deleted.filterName}?`}
          word="Delete"
          service="logs"
          operation="DeleteMetricFilter"
          parameters={{ logGroupName: group, filterName: deleted.filterName }}
          onClose={() => setDeleted(undefined)}
        >
          New events give its metric no values any more. Those that are there stay.
        </Act>
      )}
    </>
  );
}
