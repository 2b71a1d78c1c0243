import { expect, test } from "vitest";
import { commandOf, kebab, quoted } from "./command";

test("names become options as the CLI has them", () => {
  expect(["RunTask", "launchType", "forceNewDeployment", "DBName"].map(kebab)).toEqual([
    "run-task",
    "launch-type",
    "force-new-deployment",
    "db-name",
  ]);
});

test("a shell takes each value for one word", () => {
  expect(quoted("web:3")).toBe("web:3");
  expect(quoted("the end")).toBe("'the end'");
  expect(quoted("it's")).toBe(`'it'\\''s'`);
  expect(quoted("")).toBe("''");
});

test("a command has every member that is given, and no other", () => {
  const parameters = {
    cluster: "shop",
    count: 2,
    forceNewDeployment: true,
    enableExecuteCommand: false,
    reason: undefined,
    tasks: ["a", "b"],
    networkConfiguration: { awsvpcConfiguration: { subnets: ["subnet-1"] } },
  };
  expect(commandOf("ecs", "UpdateService", parameters).replaceAll(" \\\n ", "")).toBe(
    "aws ecs update-service --cluster shop --count 2 --force-new-deployment --no-enable-execute-command" +
      ` --tasks a b --network-configuration '{"awsvpcConfiguration":{"subnets":["subnet-1"]}}'`,
  );
});
