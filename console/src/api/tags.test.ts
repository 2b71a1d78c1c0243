import { expect, test } from "vitest";
import { faultOf, stepsOf } from "./tags";

const BEFORE = [
  { Key: "team", Value: "blue" },
  { Key: "old", Value: "1" },
];
const NOW = [
  { Key: "team", Value: "green" },
  { Key: "new", Value: "" },
];

test("what goes is removed first, then what is different is set", () => {
  expect(stepsOf("elbv2", "arn", BEFORE, NOW)).toEqual([
    { service: "elbv2", operation: "RemoveTags", parameters: { ResourceArns: ["arn"], TagKeys: ["old"] } },
    { service: "elbv2", operation: "AddTags", parameters: { ResourceArns: ["arn"], Tags: NOW } },
  ]);
  expect(stepsOf("ecs", "arn", BEFORE, BEFORE)).toEqual([]);
});

test("each service has its own words", () => {
  const one = [{ Key: "a", Value: "b" }];
  expect(stepsOf("ecs", "arn", [], one)[0]?.parameters).toEqual({ resourceArn: "arn", tags: [{ key: "a", value: "b" }] });
  expect(stepsOf("logs", "arn", [], one)[0]?.parameters).toEqual({ resourceArn: "arn", tags: { a: "b" } });
  expect(stepsOf("ssm", "/p", [], one)[0]).toMatchObject({ operation: "AddTagsToResource", parameters: { ResourceType: "Parameter", ResourceId: "/p" } });
  expect(stepsOf("iam", "role", [], one)[0]).toMatchObject({ operation: "TagRole", parameters: { RoleName: "role", Tags: one } });
  expect(stepsOf("ec2", "vpc-1", one, [])[0]).toMatchObject({ operation: "DeleteTags", parameters: { Resources: ["vpc-1"], Tags: [{ Key: "a" }] } });
});

test("a row is one key, once", () => {
  expect(faultOf({ Key: "", Value: "" }, [])).toBe("A key");
  expect(faultOf({ Key: "a", Value: "" }, [{ Key: "a", Value: "" }])).toBeUndefined();
  expect(faultOf({ Key: "a", Value: "" }, [{ Key: "a", Value: "" }, { Key: "a", Value: "b" }])).toBe("Each key once");
});
