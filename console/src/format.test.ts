import { expect, test } from "vitest";
import { clusterOf, counted, duration, familyOf, memory, nameOf, time, vcpu } from "./format";

test("names are the ends of ARNs", () => {
  expect(nameOf("arn:aws:ecs:us-east-1:000000000000:cluster/web")).toBe("web");
  expect(clusterOf("arn:aws:ecs:us-east-1:000000000000:task/web/0123")).toBe("web");
  expect(familyOf("arn:aws:ecs:us-east-1:000000000000:task-definition/api:12")).toEqual({ family: "api", revision: "12" });
});

test("what is not there is a dash", () => {
  expect(time(undefined)).toBe("–");
  expect(memory(undefined)).toBe("–");
});

test("durations have one unit", () => {
  expect([0.034, 1.24, 59, 61, 7300, 200000].map(duration)).toEqual(["34 ms", "1.2 s", "59 s", "1 min", "2 h", "2 d"]);
});

test("units are those of Fargate's sizes", () => {
  expect([vcpu("256"), vcpu("4096")]).toEqual(["0.25 vCPU", "4 vCPU"]);
  expect([memory("512"), memory("2048")]).toEqual(["512 MB", "2 GB"]);
});

test("nouns are in the plural but for one", () => {
  expect([counted(0, "task"), counted(1, "task"), counted(2, "task")]).toEqual(["0 tasks", "1 task", "2 tasks"]);
});
