import { expect, test } from "vitest";
import { ApiError } from "./call";
import type { TargetGroup } from "./elb";
import { blamedField, checkChanges, checkOf } from "./health-check";

const GROUP: TargetGroup = {
  TargetGroupArn: "arn",
  TargetGroupName: "web",
  Protocol: "HTTP",
  Port: 80,
  VpcId: "vpc-1",
  TargetType: "ip",
  HealthCheckProtocol: "HTTP",
  HealthCheckPort: "traffic-port",
  HealthCheckPath: "/",
  HealthCheckIntervalSeconds: 30,
  HealthCheckTimeoutSeconds: 5,
  HealthyThresholdCount: 5,
  UnhealthyThresholdCount: 2,
  Matcher: { HttpCode: "200" },
};

test("of a health check what changed is sent, and all of it with another protocol", () => {
  const before = checkOf(GROUP);
  expect(checkChanges(GROUP, before)).toEqual({});
  expect(checkChanges(GROUP, { ...before, path: "/up", interval: "10" })).toEqual({
    HealthCheckPath: "/up",
    HealthCheckIntervalSeconds: 10,
  });
  expect(checkChanges(GROUP, { ...before, protocol: "HTTPS" })).toEqual({
    HealthCheckProtocol: "HTTPS",
    HealthCheckPort: "traffic-port",
    HealthCheckPath: "/",
    HealthCheckIntervalSeconds: 30,
    HealthCheckTimeoutSeconds: 5,
    HealthyThresholdCount: 5,
    UnhealthyThresholdCount: 2,
    Matcher: { HttpCode: "200" },
  });
  expect(checkChanges({ ...GROUP, ProtocolVersion: "GRPC" }, { ...before, matcher: "0-5" })).toEqual({ Matcher: { GrpcCode: "0-5" } });
});

test("an error is at the field that it names", () => {
  const check = (words: string) => blamedField(new ApiError("ValidationError", words, 400));
  expect(check("Health check interval '2' must be between '5' and '300' inclusive")).toBe("interval");
  expect(check("Health check unhealthy threshold count '1' must be")).toBe("unhealthy");
  expect(check("Health check matcher HTTP code '99' must be a code")).toBe("matcher");
  expect(check("Value '1' at 'unhealthyThresholdCount' failed to satisfy constraint")).toBe("unhealthy");
  expect(check("Target group not found")).toBeUndefined();
});
