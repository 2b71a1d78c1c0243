import { expect, test } from "vitest";
import { registrable } from "./definition";

test("another revision is made of what was registered, without what the API added", () => {
  const described = { family: "web", revision: 3, status: "ACTIVE", taskDefinitionArn: "arn", containerDefinitions: [] };
  expect(registrable(described)).toEqual({ family: "web", containerDefinitions: [] });
});
