import { expect, test } from "vitest";
import { parsed, registrable, SAMPLE } from "./definition";

test("another revision is made of what was registered, without what the API added", () => {
  const described = { family: "web", revision: 3, status: "ACTIVE", taskDefinitionArn: "arn", containerDefinitions: [] };
  expect(registrable(described)).toEqual({ family: "web", containerDefinitions: [] });
});

test("the sample can be registered", () => {
  expect(parsed(SAMPLE).error).toBeUndefined();
});

test("what can be no definition is said before the API is asked", () => {
  expect(parsed("{").error).toBeTruthy();
  expect(parsed("[]").error).toContain("object");
  expect(parsed('{"family": "a b"}').error).toContain("family");
  expect(parsed('{"family": "a", "containerDefinitions": []}').error).toContain("containerDefinitions");
});
