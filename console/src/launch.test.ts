import { expect, test } from "vitest";
import type { TaskDefinition } from "./api/ecs";
import { fitting, runFaults, unfit, unfitFaults } from "./launch";

const WEB: TaskDefinition = {
  taskDefinitionArn: "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1",
  family: "web",
  revision: 1,
  status: "ACTIVE",
  cpu: "256",
  memory: "512",
  networkMode: "awsvpc",
  containerDefinitions: [{ name: "main", image: "web" }],
};
const NETWORK = { awsvpcConfiguration: { subnets: ["subnet-1"] } };
const SIZES = { "256": [512, 1024, 2048], "512": [1024, 2048] };

const told = (value: object, definition = WEB) =>
  runFaults({ networkConfiguration: NETWORK, launchType: "FARGATE", ...value }, definition, SIZES).map((each) => `${each.path.join(".")}: ${each.message}`);

test("what does not fit is neither shown nor sent, and told where it was written by hand", () => {
  const value = { launchType: "EC2", platformVersion: "LATEST", networkConfiguration: NETWORK, placementStrategy: [{ type: "random" }] };
  const not = unfit(value, { ...WEB, networkMode: "bridge" });
  expect(fitting(value, not)).toEqual({ launchType: "EC2", placementStrategy: [{ type: "random" }] });
  expect(unfitFaults(value, not).map((each) => each.path)).toEqual([["networkConfiguration"], ["platformVersion"]]);
});

test("on Fargate nothing is placed by hand, and a strategy goes without a launch type", () => {
  expect(Object.keys(unfit({ launchType: "FARGATE" }, WEB))).toEqual(["volumeConfigurations", "placementConstraints", "placementStrategy"]);
  expect(unfit({ launchType: "FARGATE", capacityProviderStrategy: [{}] }, WEB).launchType).toBeDefined();
});

test("of a definition that is not known nothing is said", () => {
  expect(unfit({}, undefined)).toEqual({});
  expect(runFaults({}, undefined)).toEqual([]);
});

test("a run is checked as it is typed", () => {
  expect(told({})).toEqual([]);
  expect(told({ count: 11, group: "service:x", startedBy: "a b" })).toEqual([
    "count: 1 to 10.",
    "group: Only services have groups that begin with service:.",
    "startedBy: At most 128 letters, digits, -, / and _.",
  ]);
  expect(told({ networkConfiguration: undefined })).toEqual(["networkConfiguration: web has the network mode awsvpc: it takes subnets."]);
  expect(told({ overrides: { containerOverrides: [{}, { name: "side" }, { name: "main" }] } })).toEqual([
    "overrides.containerOverrides.0.name: Which container?",
    "overrides.containerOverrides.1.name: One of main.",
  ]);
});

test("sizes are Fargate's there, and anything elsewhere", () => {
  expect(told({ overrides: { cpu: "512" } })).toEqual([
    "overrides.cpu: With 512 units of CPU Fargate has 1024 to 2048 MiB of memory, not 512.",
  ]);
  expect(told({ overrides: { cpu: "512", memory: "1024" } })).toEqual([]);
  expect(told({ overrides: { cpu: "300" } })).toEqual(["overrides.cpu: One of 256, 512."]);
  expect(told({ launchType: "EC2", overrides: { cpu: "300" } })).toEqual([]);
});

test("a volume that is configured at launch is asked for", () => {
  const stores = { ...WEB, volumes: [{ name: "data", configuredAtLaunch: true }, { name: "cache" }] };
  expect(unfit({}, stores).volumeConfigurations).toBeUndefined();
  expect(told({}, stores)).toEqual(["volumeConfigurations: The volume data is configured at launch: say how."]);
  expect(told({ volumeConfigurations: [{ name: "data" }] }, stores)).toEqual([]);
});

test("a strategy has a weight", () => {
  const wants = "capacityProviderStrategy: At least one provider takes a weight above 0.";
  expect(told({ capacityProviderStrategy: [{ capacityProvider: "FARGATE" }] })).toEqual([wants]);
  expect(told({ capacityProviderStrategy: [{ capacityProvider: "FARGATE", weight: 1 }] })).toEqual([]);
});
