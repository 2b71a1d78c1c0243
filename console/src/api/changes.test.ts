import { expect, test } from "vitest";
import { concerns } from "./changes";

test("a change concerns lists of its kind only", () => {
  expect(concerns({ task: ["web/1"] }, ["task", "service"])).toBe(true);
  expect(concerns({ task: ["web/1"] }, ["service"])).toBe(false);
});

test("a list of one cluster is not read again for another's tasks", () => {
  expect(concerns({ task: ["web/1"] }, ["task"], "web/")).toBe(true);
  expect(concerns({ task: ["web/1"] }, ["task"], "api/")).toBe(false);
});

test("too many changes to name, and a stream that was cut off, concern all", () => {
  expect(concerns({ task: null }, ["task"], "api/")).toBe(true);
  expect(concerns(null, ["task"], "api/")).toBe(true);
});
