import { expect, test } from "vitest";
import { withNoughts } from "./api/cloudwatch";
import { portsOf } from "./api/ec2";
import { portRange } from "./pages/security-group";
import { conditionFrom } from "./parts/listeners";
import { words } from "./parts/shape-form";
import { headersOf } from "./parts/which-rule";

test("ports are one or a range", () => {
  expect(portRange("80")).toEqual([80, 80]);
  expect(portRange(" 8000-8010 ")).toEqual([8000, 8010]);
  for (const wrong of ["", "x", "10-9", "70000", "1-70000", "-1"]) expect(portRange(wrong)).toBeNull();
});

test("what a security group's rule lets pass is said in words", () => {
  expect(portsOf({ IpProtocol: "-1" })).toBe("everything");
  expect(portsOf({ IpProtocol: "tcp", FromPort: 0, ToPort: 65535 })).toBe("tcp");
  expect(portsOf({ IpProtocol: "tcp", FromPort: 80, ToPort: 80 })).toBe("tcp 80");
  expect(portsOf({ IpProtocol: "udp", FromPort: 1, ToPort: 2 })).toBe("udp 1-2");
  expect(portsOf({ IpProtocol: "icmp", FromPort: 8, ToPort: -1 })).toBe("icmp type 8");
});

test("a rule's condition is made of what is typed", () => {
  expect(conditionFrom("path-pattern", "", "/a, /b/*,")).toEqual({ Field: "path-pattern", PathPatternConfig: { Values: ["/a", "/b/*"] } });
  expect(conditionFrom("http-header", "x-test", "1")).toEqual({
    Field: "http-header",
    HttpHeaderConfig: { HttpHeaderName: "x-test", Values: ["1"] },
  });
  expect(conditionFrom("query-string", "", "a=b=c, d")).toEqual({
    Field: "query-string",
    QueryStringConfig: { Values: [{ Key: "a", Value: "b=c" }, { Value: "d" }] },
  });
});

test("members of the API are written as words", () => {
  const members = ["taskRoleArn", "managedEBSVolume", "sizeInGiB", "enableECSManagedTags", "assignPublicIp", "command"];
  expect(members.map(words)).toEqual([
    "Task role ARN",
    "Managed EBS volume",
    "Size in GiB",
    "Enable ECS managed tags",
    "Assign public IP",
    "Command",
  ]);
});

test("headers are read line by line", () => {
  expect(headersOf("Host: a.example\n\nX-Time: 10:20")).toEqual([
    ["Host", "a.example"],
    ["X-Time", "10:20"],
  ]);
  expect(headersOf("no colon")).toBeNull();
  expect(headersOf("")).toEqual([]);
});

test("what is counted is nought in minutes without a point, but for those that may still come", () => {
  const at = (minute: number) => new Date(minute * 60_000);
  const found = withNoughts([{ x: at(10), y: 3 }, { x: at(12), y: 4 }], 16.5 * 60_000);
  expect(found.map((each) => [each.x.getTime() / 60_000, each.y])).toEqual([
    [10, 3],
    [11, 0],
    [12, 4],
    [13, 0],
    [14, 0],
  ]);
  expect(withNoughts([], 0)).toEqual([]);
});
