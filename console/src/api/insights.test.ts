import { expect, test } from "vitest";
import { isMeasured, panelsOf, pathOf, type Target } from "./insights";

const CLUSTER = { cluster: "shop" };
const SERVICE = { cluster: "shop", service: "web" };
const TASK = { cluster: "shop", task: "1234", family: "web" };
const MACHINE = { cluster: "shop", machine: "i-1", instance: "abc" };
const CONTAINER = { ...TASK, container: "main" };

test("all lines of a dashboard have ids of their own", () => {
  for (const target of [CLUSTER, SERVICE, TASK, CONTAINER, MACHINE] as Target[]) {
    const ids = panelsOf(target).flatMap((panel) => panel.lines.map((line) => line.id));
    expect(new Set(ids).size).toBe(ids.length);
    for (const panel of panelsOf(target)) expect(panel.lines.some((line) => line.isShown)).toBe(true);
  }
});

test("expressions name lines of their own panel", () => {
  for (const panel of panelsOf(SERVICE)) {
    for (const line of panel.lines) {
      for (const [name] of (line.expression ?? "").matchAll(/\b[me]\d+\b/g)) {
        expect(panel.lines.map((each) => each.id)).toContain(name);
      }
    }
  }
});

test("the dimensions are those that Container Insights has", () => {
  const of = (target: Target) => panelsOf(target)[0]?.lines[0]?.metric?.dimensions;
  expect(of(CLUSTER)).toEqual({ ClusterName: "shop" });
  expect(of(SERVICE)).toEqual({ ClusterName: "shop", ServiceName: "web" });
  expect(of(MACHINE)).toEqual({ ClusterName: "shop", InstanceId: "i-1", ContainerInstanceId: "abc" });
  expect(of(TASK)).toEqual({ ClusterName: "shop", TaskDefinitionFamily: "web", TaskId: "1234" });
  expect(of(CONTAINER)).toEqual({ ClusterName: "shop", TaskDefinitionFamily: "web", TaskId: "1234", ContainerName: "main" });
});

test("tasks and containers are measured with enhanced observability only", () => {
  expect([CLUSTER, SERVICE, TASK].map((each) => isMeasured(each, "enabled"))).toEqual([true, true, false]);
  expect([CLUSTER, CONTAINER].map((each) => isMeasured(each, "enhanced"))).toEqual([true, true]);
  expect(isMeasured(CLUSTER, "disabled")).toBe(false);
});

test("each has an address", () => {
  expect(pathOf(CONTAINER)).toEqual(["insights", "shop", "tasks", "1234", "containers", "main"]);
  expect(pathOf(MACHINE)).toEqual(["insights", "shop", "instances", "i-1"]);
  expect(pathOf(SERVICE)).toEqual(["insights", "shop", "services", "web"]);
});
