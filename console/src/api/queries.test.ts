import { expect, test } from "vitest";
import { fieldsOf, plotOf } from "./queries";

test("the fields of all rows, without the pointer", () => {
  expect(fieldsOf([{ "@timestamp": "1", "@ptr": "x" }, { "@message": "a" }])).toEqual(["@timestamp", "@message"]);
});

test("statistics by time are lines, one for each group, in the order of their time", () => {
  const rows = [
    { "bin(5m)": "2026-11-27 10:05:00.000", level: "INFO", count: "3" },
    { "bin(5m)": "2026-11-27 10:00:00.000", level: "INFO", count: "2" },
    { "bin(5m)": "2026-11-27 10:00:00.000", level: "ERROR", count: "1" },
  ];
  expect(plotOf(rows)).toEqual({
    kind: "lines",
    series: [
      {
        title: "INFO",
        points: [
          { x: new Date("2026-11-27T10:00:00Z"), y: 2 },
          { x: new Date("2026-11-27T10:05:00Z"), y: 3 },
        ],
      },
      { title: "ERROR", points: [{ x: new Date("2026-11-27T10:00:00Z"), y: 1 }] },
    ],
  });
});

test("several statistics by time have a line each", () => {
  const plot = plotOf([{ "bin(1m)": "2026-11-27 10:00:00.000", p50: "1.5", p99: "7" }]);
  expect(plot?.series.map((each) => each.title)).toEqual(["p50", "p99"]);
});

test("statistics by something else are bars", () => {
  expect(
    plotOf([
      { "@logStream": "a", events: "3" },
      { "@logStream": "b", events: "1" },
    ]),
  ).toEqual({ kind: "bars", categories: ["a", "b"], series: [{ title: "events", values: [3, 1] }] });
});

test("events have no chart, nor has a single number", () => {
  expect(plotOf([{ "@timestamp": "2026-11-27 10:00:00.000", "@message": "7" }])).toBeUndefined();
  expect(plotOf([{ count: "7" }])).toBeUndefined();
  expect(plotOf([])).toBeUndefined();
});
