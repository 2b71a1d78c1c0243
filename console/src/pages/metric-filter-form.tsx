/** A metric filter of a log group, new or changed: all that the API takes. */

import Alert from "@cloudscape-design/components/alert";
import Spinner from "@cloudscape-design/components/spinner";
import { useLive } from "../api/live";
import { metricFilters } from "../api/logs";
import { useHere } from "../context";
import { type Members, picked, shapesOf } from "../model";
import { OperationForm } from "../parts/operation-form";

const FIRST = {
  "": ["filterName", "filterPattern", "metricTransformations"],
  metricTransformations: ["metricNamespace", "metricName", "metricValue", "defaultValue", "unit", "dimensions"],
};

export function MetricFilterForm({ group }: { group: string }) {
  const { region, place, to } = useHere();
  const filter = place.query.get("filter") ?? "";
  const begun = useLive<Members>(
    async () => {
      if (!filter) return { logGroupName: group, filterPattern: "", metricTransformations: [{ metricValue: "1" }] };
      const [model, all] = await Promise.all([shapesOf("logs", "PutMetricFilter"), metricFilters(region, group)]);
      const found = all.find((each) => each.filterName === filter);
      if (!found) throw new Error(`There is no metric filter ${filter} of ${group}.`);
      return { ...(picked(model, found) as Members), logGroupName: group };
    },
    { kinds: [] },
    [region, group, filter],
  );
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  const back = to(["log-groups", group]);
  return (
    <OperationForm
      title={filter ? `Change ${filter}` : `A metric filter of ${group}`}
      word="Save"
      service="logs"
      operation="PutMetricFilter"
      initial={begun.value}
      first={FIRST}
      // An empty pattern, which has to be there, matches every event.
      optional={["filterPattern"]}
      parameters={(value) => ({ ...value, logGroupName: group, filterPattern: value.filterPattern ?? "" })}
      cancel={back}
      onDone={() => back}
    />
  );
}
