import { expect, test } from "vitest";
import { at, blamed, faultsOf, linesOf, pathText, picked, put, type Shapes } from "./model";

const MODEL: Shapes = {
  input: "In",
  refused: ["containers.secret"],
  shapes: {
    In: { type: "structure", members: { family: "Name", containers: "List", tags: "Map", size: "Size" }, required: ["family"] },
    List: { type: "list", member: "One", max: 2 },
    One: { type: "structure", members: { name: "Name", port: "Port", secret: "Name", on: "Is" }, required: ["name"] },
    Name: { type: "string", min: 2, pattern: "[a-z]+" },
    Size: { type: "string", enum: ["S", "L"] },
    Port: { type: "integer", min: 0, max: 65535 },
    Is: { type: "boolean" },
    Map: { type: "map", key: "Name", value: "Name" },
  },
};

const told = (value: unknown) => faultsOf(MODEL, value).map((each) => `${pathText(each.path)}: ${each.message}`);

test("what fits has no fault", () => {
  expect(told({ family: "web", size: "L", tags: { a: "bc" }, containers: [{ name: "main", port: 80, on: true }] })).toEqual([]);
});

test("faults are told where they are, in the model's terms", () => {
  expect(told({ familly: "web", size: "M", containers: [{ name: "main", port: 1.5 }, { port: 70000, on: "yes" }] })).toEqual([
    "familly: There is no member familly here. Did you mean family?",
    "size: One of S, L.",
    "containers[0].port: This is a whole number.",
    "containers[1].port: At most 65535.",
    "containers[1].on: This is true or false.",
    "containers[1].name: name is required.",
    "family: family is required.",
  ]);
  expect(told({ family: "x" })).toEqual(["family: At least 2 characters."]);
  expect(told({ family: "UP", containers: "x" })).toEqual(["family: It has to match [a-z]+.", "containers: This is a list."]);
  expect(told({ family: "web", containers: [{ name: "main", secret: "abc" }] })).toEqual([
    "containers[0].secret: Portside does not support this yet.",
  ]);
});

test("putting leaves out what is empty and keeps the rest as it is", () => {
  const before = { family: "web", containers: [{ name: "a" }, { name: "b" }] };
  expect(put(before, ["containers", 1, "port"], 80)).toEqual({ family: "web", containers: [{ name: "a" }, { name: "b", port: 80 }] });
  expect(put(before, ["containers", 0], undefined)).toEqual({ family: "web", containers: [{ name: "b" }] });
  expect(put(before, ["family"], "")).toEqual({ containers: before.containers });
  expect(put(before, ["containers", 0, "name"], undefined)).toEqual({ family: "web", containers: [{}, { name: "b" }] });
  expect(at(before, ["containers", 1, "name"])).toBe("b");
});

test("of an answer what can be asked for is picked", () => {
  expect(picked(MODEL, { family: "web", status: "ACTIVE", containers: [{ name: "a", exit: 1 }] })).toEqual({
    family: "web",
    containers: [{ name: "a" }],
  });
});

test("an error of the API is put to the field that it names", () => {
  const value = { cluster: "c", family: "web", containerDefinitions: [{ name: "one", image: "a" }, { name: "two", image: "b", cpu: 9 }] };
  expect(blamed("Cluster not found.", "ClusterNotFoundException", value)).toEqual(["cluster"]);
  expect(blamed("Invalid setting for container 'two'. At least one of 'memory' or 'cpu'", "ClientException", value)).toEqual([
    "containerDefinitions",
    1,
    "cpu",
  ]);
  expect(blamed("It rains.", "ServerException", value)).toBeUndefined();
});

test("every value of a JSON text has its line", () => {
  const lines = linesOf('{\n "a": [1,\n  {"b\\"c": "x, y"}],\n "d": true\n}');
  expect(lines.get("a")).toBe(2);
  expect(lines.get("a[0]")).toBe(2);
  expect(lines.get('a[1].b"c')).toBe(3);
  expect(lines.get("d")).toBe(4);
});
