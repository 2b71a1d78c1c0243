import { expect, test } from "vitest";
import { blamedKey, changesOf, choicesOf, isFlag, labelOf } from "./attributes";
import { ApiError } from "./call";

const DELAY = { Key: "deregistration_delay.timeout_seconds", Value: "300" };
const ZONES = { Key: "load_balancing.cross_zone.enabled", Value: "true" };

test("only attributes that are not as they were are sent", () => {
  expect(changesOf([DELAY, ZONES], {})).toEqual([]);
  expect(changesOf([DELAY, ZONES], { [DELAY.Key]: "300", [ZONES.Key]: "false", "of.nobody": "1" })).toEqual([
    { Key: ZONES.Key, Value: "false" },
  ]);
});

test("a target group's cross-zone load balancing has three values, a load balancer's two", () => {
  expect(isFlag(ZONES, "loadBalancer")).toBe(true);
  expect(isFlag(ZONES, "targetGroup")).toBe(false);
  expect(choicesOf(ZONES, "targetGroup")).toContain("use_load_balancer_configuration");
  expect(choicesOf({ Key: "stickiness.type", Value: "source_ip" }, "targetGroup")).toEqual(["source_ip"]);
});

test("a key that is not known here is named by its words", () => {
  expect(labelOf("deletion_protection.enabled")).toBe("Deletion protection");
  expect(labelOf("some.new_thing.enabled")).toBe("Some new thing");
});

test("an error is at the attribute that it names", () => {
  const said = new ApiError("ValidationError", `'x' is not a valid value for attribute '${DELAY.Key}': must be a number`, 400);
  expect(blamedKey(said, [ZONES, DELAY])).toBe(DELAY.Key);
  expect(blamedKey(new ApiError("ValidationError", "no", 400), [DELAY])).toBeUndefined();
});
