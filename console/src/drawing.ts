/** Where everything of a VPC stands in its drawing: zones as columns, subnets as boxes in them, things in the boxes. */

import type { Interface, SubnetView, VpcView } from "./api/network";

/** What is alike in a subnet, as one: the tasks of a service, of which there may be hundreds. */
export interface Thing {
  key: string;
  kind: Interface["holder"]["kind"];
  label: string;
  cluster?: string;
  subnet: string;
  members: Interface[];
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Drawing {
  width: number;
  height: number;
  zones: (Box & { name: string })[];
  subnets: (Box & { of: SubnetView; way: string; hidden: number })[];
  things: (Box & { of: Thing })[];
  gateways: (Box & { id: string })[];
  internet: Box;
  /** From a subnet to the gateway that it routes to. */
  routes: { from: Box; to: Box; key: string }[];
}

const COLUMN = 250;
const GAP = 16;
const TOP = 124;
const ZONE_HEAD = 30;
const SUBNET_HEAD = 52;
const THING = 32;
const BETWEEN = 6;
/** Of a subnet at first; the others are shown when they are asked for. */
export const THINGS_AT_FIRST = 12;

const ORDER = ["balancer", "gateway", "instance", "task", "files", "none"];

export const KIND_WORDS: Record<string, string> = {
  task: "Task",
  instance: "Instance",
  balancer: "Balancer",
  gateway: "NAT gateway",
  files: "Mount target",
  none: "Free interface",
};

export function thingsOf(subnet: SubnetView): Thing[] {
  const found = new Map<string, Thing>();
  for (const each of subnet.interfaces) {
    const { kind, name, cluster, id } = each.holder;
    // Things of other groups are other things: it is by groups that they may talk.
    const key = [subnet.id, kind, cluster ?? "", name, [...each.securityGroupIds].sort().join(" ")].join("|");
    const thing = found.get(key);
    if (thing) thing.members.push(each);
    else found.set(key, { key, kind, label: labelOf(name) || id, cluster, subnet: subnet.id, members: [each] });
  }
  return [...found.values()].sort(
    (a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || a.label.localeCompare(b.label) || a.key.localeCompare(b.key),
  );
}

/** `web` of `service:web`. */
function labelOf(name: string): string {
  return name.replace(/^(service|family):/, "");
}

export function sayThing(thing: Thing): string {
  const count = thing.members.length > 1 ? `, ${thing.members.length} of them` : "";
  const tasks = thing.members[0]?.holder.tasks;
  return `${KIND_WORDS[thing.kind]} ${thing.label}${count}${tasks ? `, ${tasks} tasks` : ""}`;
}

/** Where a subnet's packets go that leave the VPC. */
export function wayOf(subnet: SubnetView): { gateway?: string; words: string } {
  const route = subnet.routes.find((each) => each.destination === "0.0.0.0/0") ?? subnet.routes[0];
  if (!route) return { words: "no way out" };
  if (route.to.startsWith("nowhere")) return { words: route.to };
  return { gateway: route.to, words: `${route.destination === "0.0.0.0/0" ? "out" : route.destination} by ${route.to}` };
}

export function drawn(vpc: VpcView, opened: ReadonlySet<string> = new Set()): Drawing {
  const zoneNames = [...new Set(vpc.subnets.map((each) => each.zone))].sort();
  const width = Math.max(2 * GAP + COLUMN, GAP + zoneNames.length * (COLUMN + GAP));
  const subnets: Drawing["subnets"] = [];
  const things: Drawing["things"] = [];
  let bottom = TOP + ZONE_HEAD;
  for (const [column, zone] of zoneNames.entries()) {
    const x = GAP + column * (COLUMN + GAP);
    let y = TOP + ZONE_HEAD;
    const inZone = vpc.subnets.filter((each) => each.zone === zone).sort((a, b) => addressOrder(a.cidrBlock) - addressOrder(b.cidrBlock));
    for (const subnet of inZone) {
      const all = thingsOf(subnet);
      const shown = opened.has(subnet.id) ? all : all.slice(0, THINGS_AT_FIRST);
      const hidden = all.length - shown.length;
      const lines = Math.max(1, shown.length + (hidden ? 1 : 0));
      const height = SUBNET_HEAD + lines * (THING + BETWEEN) + BETWEEN;
      subnets.push({ x: x + 10, y, width: COLUMN - 20, height, of: subnet, way: wayOf(subnet).words, hidden });
      for (const [line, of] of shown.entries()) {
        things.push({ x: x + 18, y: y + SUBNET_HEAD + line * (THING + BETWEEN), width: COLUMN - 36, height: THING, of });
      }
      y += height + 12;
    }
    bottom = Math.max(bottom, y);
  }
  const zones = zoneNames.map((name, column) => ({
    name,
    x: GAP + column * (COLUMN + GAP),
    y: TOP,
    width: COLUMN,
    height: bottom - TOP,
  }));
  const ids = [...new Set(vpc.subnets.map((each) => wayOf(each).gateway ?? "").filter((each) => each.startsWith("igw-")))].sort();
  const gateways = ids.map((id, at) => ({ id, x: GAP + at * 236, y: 64, width: 220, height: 32 }));
  const internet = { x: GAP, y: 8, width: 220, height: 34 };
  const routes = subnets.flatMap((subnet) => {
    const to = gateways.find((each) => each.id === wayOf(subnet.of).gateway);
    return to ? [{ from: subnet, to, key: subnet.of.id }] : [];
  });
  return { width, height: bottom + GAP, zones, subnets, things, gateways, internet, routes };
}

function addressOrder(block: string): number {
  return (block.split("/")[0] ?? "").split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** From one box's edge to another's, bent. */
export function curve(from: Box, to: Box): string {
  const isRight = to.x >= from.x + from.width;
  const isLeft = from.x >= to.x + to.width;
  const y1 = from.y + from.height / 2;
  const y2 = to.y + to.height / 2;
  if (!isRight && !isLeft) {
    // In the same column: around by the right.
    const x = Math.max(from.x + from.width, to.x + to.width);
    return `M${from.x + from.width} ${y1} C${x + 26} ${y1} ${x + 26} ${y2} ${to.x + to.width} ${y2}`;
  }
  const x1 = isRight ? from.x + from.width : from.x;
  const x2 = isRight ? to.x : to.x + to.width;
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}
