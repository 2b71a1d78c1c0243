import { expect, test } from "vitest";
import { keyOf, type Line, packed, queriesOf, short, unpacked, withLine } from "./metrics";

const CPU = { namespace: "AWS/ECS", name: "CPUUtilization", dimensions: { ClusterName: "shop", ServiceName: "web" } };

function graph(): Line[] {
  let lines = withLine([], { metric: CPU });
  lines = withLine(lines, { metric: { ...CPU, name: "MemoryUtilization" } });
  return withLine(lines, { expression: "m1 + m2" });
}

test("a graph is the same after it was in an address", () => {
  const lines = graph().map((each, at) => (at === 1 ? { ...each, stat: "p90", period: 300, label: "Memory", isShown: false } : each));
  expect(unpacked(packed(lines))).toEqual(lines);
  expect(packed([])).toBe("");
});

test("what somebody typed is no graph, or that of it which is one", () => {
  for (const text of [null, "", "{", "7", "null", '[null, 3, {"i": 1}, {"i": "m1"}, {"i": "m1", "n": "AWS/ECS"}]']) {
    expect(unpacked(text)).toEqual([]);
  }
});

test("each line has an id of its own, as metric math names it", () => {
  const lines = graph();
  expect(lines.map((each) => each.id)).toEqual(["m1", "m2", "e1"]);
  expect(withLine(lines.slice(1), { metric: CPU }).map((each) => each.id)).toEqual(["m2", "e1", "m1"]);
});

test("lines are asked for as GetMetricData takes them", () => {
  const [first, second, last] = queriesOf(
    graph().map((each) => ({ ...each, isShown: each.id !== "m2", period: each.id === "m2" ? 300 : 0 })),
    60,
  ) as Record<string, unknown>[];
  expect(first?.MetricStat).toEqual({
    Metric: {
      Namespace: "AWS/ECS",
      MetricName: "CPUUtilization",
      Dimensions: [
        { Name: "ClusterName", Value: "shop" },
        { Name: "ServiceName", Value: "web" },
      ],
    },
    Period: 60,
    Stat: "Average",
  });
  expect(second?.ReturnData).toBe(false);
  expect((second?.MetricStat as { Period: number }).Period).toBe(300);
  expect(last?.Expression).toBe("m1 + m2");
});

test("metrics are the same in whatever order their dimensions are", () => {
  expect(keyOf({ ...CPU, dimensions: { ServiceName: "web", ClusterName: "shop" } })).toBe(keyOf(CPU));
});

test("values are short", () => {
  expect([0, 0.12345, 12.5, 1234.5, 12_345, 4.5e6, 2e9, -3e12].map(short)).toEqual([
    "0",
    "0.1235",
    "12.5",
    "1235",
    "12.35k",
    "4.5M",
    "2G",
    "-3T",
  ]);
});
