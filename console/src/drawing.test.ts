import { expect, test } from "vitest";
import type { Interface, SubnetView, VpcView } from "./api/network";
import { drawn, sayThing, THINGS_AT_FIRST, thingsOf, wayOf } from "./drawing";

const task = (at: number, name: string, groups = ["sg-1"]): Interface => ({
  id: `eni-${at}`,
  address: `10.0.0.${at}`,
  publicAddress: null,
  securityGroupIds: groups,
  holder: { kind: "task", name, id: String(at), cluster: "shop" },
});

const subnet = (id: string, zone: string, interfaces: Interface[], to = "igw-1"): SubnetView => ({
  id,
  zone,
  cidrBlock: "10.0.0.0/24",
  routeTable: "rtb-1",
  routes: to ? [{ destination: "0.0.0.0/0", to }] : [],
  networkAcl: null,
  entries: [],
  interfaces,
});

const vpc = (...subnets: SubnetView[]): VpcView => ({
  account: "0",
  region: "r",
  id: "vpc-1",
  cidrBlocks: ["10.0.0.0/16"],
  isDefault: true,
  subnets,
  securityGroups: [],
});

test("three hundred tasks of two services are two things, and one that is in other groups is a third", () => {
  const all = Array.from({ length: 300 }, (_, at) => task(at, at % 2 ? "service:web" : "service:api"));
  const found = thingsOf(subnet("subnet-1", "a", [...all, task(301, "service:web", ["sg-2"])]));
  expect(found.map((each) => [each.label, each.members.length])).toEqual([
    ["api", 150],
    ["web", 150],
    ["web", 1],
  ]);
  expect(sayThing(found[0]!)).toBe("Task api, 150 of them");
});

test("zones are columns, and nothing lies over anything else", () => {
  const many = Array.from({ length: 40 }, (_, at) => task(at, `family:f${at}`));
  const found = drawn(vpc(subnet("s1", "a", many), subnet("s2", "a", []), subnet("s3", "b", [task(99, "family:x")])));
  expect(found.zones.map((each) => each.name)).toEqual(["a", "b"]);
  const boxes = found.subnets;
  for (const one of boxes) {
    for (const other of boxes) {
      if (one === other) continue;
      const apart =
        one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
      expect(apart).toBe(true);
    }
  }
  for (const each of found.things) expect(each.y + each.height).toBeLessThan(found.height);
});

test("of many things in a subnet some are shown at first, all when it is opened", () => {
  const many = Array.from({ length: 40 }, (_, at) => task(at, `family:f${at}`));
  const shut = drawn(vpc(subnet("s1", "a", many)));
  expect(shut.things).toHaveLength(THINGS_AT_FIRST);
  expect(shut.subnets[0]?.hidden).toBe(40 - THINGS_AT_FIRST);
  expect(drawn(vpc(subnet("s1", "a", many)), new Set(["s1"])).things).toHaveLength(40);
});

test("a subnet says where it leads", () => {
  expect(wayOf(subnet("s", "a", [], "igw-1"))).toEqual({ gateway: "igw-1", words: "out by igw-1" });
  expect(wayOf(subnet("s", "a", [], "")).words).toBe("no way out");
  expect(wayOf(subnet("s", "a", [], "nowhere: nat-1 is gone")).words).toBe("nowhere: nat-1 is gone");
});
