/** Bars of what has been counted. Loaded when it is wanted. */

import BarChart from "@cloudscape-design/components/bar-chart";
import { short } from "../api/metrics";
import type { Bars as Plot } from "../api/queries";

export default function Bars({ label, plot }: { label: string; plot: Plot }) {
  return (
    <BarChart<string>
      ariaLabel={label}
      height={Math.max(160, plot.categories.length * 26)}
      hideFilter
      horizontalBars
      xScaleType="categorical"
      xDomain={plot.categories}
      yTickFormatter={short}
      series={plot.series.map((each) => ({
        type: "bar",
        title: each.title,
        valueFormatter: short,
        data: each.values.flatMap((value, at) => (value === undefined ? [] : [{ x: plot.categories[at] ?? "", y: value }])),
      }))}
    />
  );
}
