import { expect, test } from "vitest";
import { actionsOf, conditionsOf, forwardTo, weightedOf } from "./elb";

test("a rule is said in words", () => {
  const rule = {
    Conditions: [
      { Field: "path-pattern", PathPatternConfig: { Values: ["/api/*", "/v1/*"] } },
      { Field: "http-header", HttpHeaderConfig: { HttpHeaderName: "x-test", Values: ["1"] } },
    ],
    Actions: [{ Type: "forward", TargetGroupArn: "arn:aws:elasticloadbalancing:us-east-1:0:targetgroup/api/0123" }],
  };
  expect(conditionsOf(rule)).toBe("path pattern is /api/* or /v1/*, and header x-test is 1");
  expect(actionsOf(rule)).toBe("forward to api");
});

test("weights, redirects and fixed answers are said, too", () => {
  const group = (name: string, Weight: number) => ({ TargetGroupArn: `arn:aws:x:y:z:targetgroup/${name}/1`, Weight });
  const forward = { Type: "forward", ForwardConfig: { TargetGroups: [group("a", 9), group("b", 1)] } };
  expect(actionsOf({ Actions: [forward] })).toBe("forward to a (9), b (1)");
  expect(actionsOf({ Actions: [{ Type: "fixed-response", FixedResponseConfig: { StatusCode: "404" } }] })).toBe("answer 404");
  expect(conditionsOf({})).toBe("Anything else");
});

test("an action forwards to one group, or by weight to several, which keep their stickiness", () => {
  const sticky = { Enabled: true, DurationSeconds: 60 };
  const one = { Type: "forward", TargetGroupArn: "blue" };
  expect(forwardTo(weightedOf(one))).toEqual(one);
  const both = {
    Type: "forward",
    ForwardConfig: {
      TargetGroups: [
        { TargetGroupArn: "blue", Weight: 9 },
        { TargetGroupArn: "green", Weight: 1 },
      ],
      TargetGroupStickinessConfig: sticky,
    },
  };
  expect(weightedOf(both)).toEqual([
    { arn: "blue", weight: "9" },
    { arn: "green", weight: "1" },
  ]);
  expect(forwardTo(weightedOf(both), both)).toEqual(both);
});
