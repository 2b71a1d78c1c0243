import { expect, test } from "vitest";
import { byCluster, differing } from "./live-tasks";

test("only tasks that were named, of the cluster that is shown, are read again", () => {
  expect(differing({ task: ["shop/1", "other/2"] }, { cluster: "shop" })).toEqual(["shop/1"]);
  expect(differing({ task: ["shop/1", "other/2"] }, {})).toEqual(["shop/1", "other/2"]);
  expect(differing({ service: ["shop/web"] }, { cluster: "shop" })).toEqual([]);
});

test("everything is, where nobody knows what is different", () => {
  expect(differing(null, { cluster: "shop" })).toBe("all");
  expect(differing({ task: null }, { cluster: "shop" })).toBe("all");
  expect(differing({ cluster: ["new"] }, {})).toBe("all");
  expect(differing({ cluster: ["new"] }, { cluster: "shop" })).toEqual([]);
});

test("tasks are asked for by cluster", () => {
  expect([...byCluster(["a/1", "b/2", "a/3"])]).toEqual([
    ["a", ["1", "3"]],
    ["b", ["2"]],
  ]);
});
