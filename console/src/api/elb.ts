/** Load balancers as Portside tells of them: rules in their order, targets with their health. */

import { call, every, read } from "./call";
import type { Series } from "./cloudwatch";

export interface Rule {
  RuleArn?: string;
  Priority?: string;
  IsDefault?: boolean;
  /** How many requests went by it since the proxy began; null while that can not be told. */
  hits?: number | null;
  Conditions?: Condition[];
  Actions?: Action[];
}

export interface Condition {
  Field: string;
  Values?: string[];
  HostHeaderConfig?: { Values?: string[]; RegexValues?: string[] };
  PathPatternConfig?: { Values?: string[]; RegexValues?: string[] };
  HttpHeaderConfig?: { HttpHeaderName?: string; Values?: string[]; RegexValues?: string[] };
  HttpRequestMethodConfig?: { Values?: string[] };
  SourceIpConfig?: { Values?: string[] };
  QueryStringConfig?: { Values?: { Key?: string; Value?: string }[] };
}

export interface Action {
  Type: string;
  TargetGroupArn?: string;
  ForwardConfig?: { TargetGroups?: { TargetGroupArn: string; Weight?: number }[]; TargetGroupStickinessConfig?: object };
  RedirectConfig?: { StatusCode?: string; Protocol?: string; Host?: string; Port?: string; Path?: string };
  FixedResponseConfig?: { StatusCode?: string };
}

export interface Target {
  id: string;
  port: number;
  zone: string;
  state: string;
  reason: string | null;
  description: string | null;
  /** When it was last checked. */
  checkedAt?: string | null;
}

export interface Listener {
  arn: string;
  protocol: string;
  port: number;
  rules: Rule[];
}

export interface Balancer {
  name: string;
  arn: string;
  type: string;
  scheme: string;
  state: string;
  dnsName: string;
  listeners: Listener[];
  targetGroups: { name: string; arn: string; protocol: string; port: number; targets: Target[] }[];
}

export const KINDS = ["load_balancer", "listener", "rule", "target", "target_group"];

/** Requests are counted by the proxy, which commits nothing: they are asked for so often where they are shown. */
export const COUNTS_MS = 10_000;

export async function balancers(region: string, account: string): Promise<Balancer[]> {
  const found = await read<{ loadBalancers: Balancer[] }>("/_portside/lb");
  return found.loadBalancers.filter((each) => each.arn.includes(`:${region}:${account}:`));
}

export interface BalancerPlace {
  VpcId: string;
  AvailabilityZones?: { ZoneName: string; SubnetId: string }[];
  SecurityGroups?: string[];
}

/** Where it stands. */
export async function placeOf(region: string, arn: string): Promise<BalancerPlace | undefined> {
  const wanted = { LoadBalancerArns: [arn] };
  return (await call<{ LoadBalancers?: BalancerPlace[] }>("elbv2", "DescribeLoadBalancers", region, wanted)).LoadBalancers?.[0];
}

export interface TargetGroup {
  TargetGroupArn: string;
  TargetGroupName: string;
  Protocol: string;
  ProtocolVersion?: string;
  Port: number;
  VpcId: string;
  TargetType: string;
  HealthCheckProtocol?: string;
  HealthCheckPort?: string;
  HealthCheckPath?: string;
  HealthCheckIntervalSeconds?: number;
  HealthCheckTimeoutSeconds?: number;
  HealthyThresholdCount?: number;
  UnhealthyThresholdCount?: number;
  Matcher?: { HttpCode?: string; GrpcCode?: string };
  LoadBalancerArns?: string[];
}

export const targetGroups = (region: string) =>
  every<TargetGroup>("elbv2", "DescribeTargetGroups", region, {}, "TargetGroups", "Marker", "NextMarker");

/** The targets of a group, in use or not. */
export async function targets(region: string, TargetGroupArn: string): Promise<Target[]> {
  interface Health {
    Target: { Id: string; Port?: number; AvailabilityZone?: string };
    TargetHealth: { State: string; Reason?: string; Description?: string };
  }
  const { TargetHealthDescriptions: all } = await call<{ TargetHealthDescriptions?: Health[] }>("elbv2", "DescribeTargetHealth", region, {
    TargetGroupArn,
  });
  return (all ?? []).map(({ Target, TargetHealth }) => ({
    id: Target.Id,
    port: Target.Port ?? 0,
    zone: Target.AvailabilityZone ?? "",
    state: TargetHealth.State,
    reason: TargetHealth.Reason ?? null,
    description: TargetHealth.Description ?? null,
  }));
}

export interface Certificate {
  CertificateArn: string;
  DomainName: string;
  Status?: string;
  Type?: string;
  InUse?: boolean;
  NotAfter?: number;
}

const KEY_TYPES = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"];

/** Those of every kind of key: unless they are asked for, only ones of RSA with up to 2048 bits are listed. */
export const certificates = (region: string) =>
  every<Certificate>("acm", "ListCertificates", region, { Includes: { keyTypes: KEY_TYPES } }, "CertificateSummaryList", "NextToken");

export interface ListenerCertificate {
  CertificateArn: string;
  IsDefault?: boolean;
}

/** The default one first. */
export const listenerCertificates = (region: string, ListenerArn: string) =>
  every<ListenerCertificate>("elbv2", "DescribeListenerCertificates", region, { ListenerArn }, "Certificates", "Marker", "NextMarker");

/** Which rule a request would go by: as `portside lb route` says it. */
export interface Route {
  listener: { protocol: string; port: number };
  request: { method: string; host: string; path: string; query: string; from: string };
  rules: { priority: string; arn: string; matches: boolean; conditions: { condition: Condition; holds: boolean; why: string }[] }[];
  rule: Rule;
  action: Action;
  targetGroups: { name: string; arn: string; weight: number; healthy: number; targets: number }[];
  location?: string;
}

export const route = (name: string, method: string, url: string, headers: [string, string][], from: string) =>
  read<Route>("/_portside/lb/route", { name, method, url, headers, from });

/** Charts of a load balancer's traffic, as CloudWatch has it. */
export interface Traffic {
  title: string;
  unit: string;
  yTitle: string;
  times?: number;
  isCount?: boolean;
  series: Series[];
}

export function trafficOf(balancer: Balancer): Traffic[] {
  const isNetwork = balancer.type === "network";
  const namespace = isNetwork ? "AWS/NetworkELB" : "AWS/ApplicationELB";
  const dimensions = { LoadBalancer: balancer.arn.split(":loadbalancer/")[1] ?? "" };
  const line = (title: string, metric: string, stat: string): Series => ({ title, metric, stat, namespace, dimensions });
  const hosts: Traffic = {
    title: "Targets",
    unit: "",
    yTitle: "Healthy targets, the fewest in each minute",
    series: balancer.targetGroups.map((group) => ({
      title: group.name,
      metric: "HealthyHostCount",
      stat: "Minimum",
      namespace,
      dimensions: { ...dimensions, TargetGroup: group.arn.split(":").pop() ?? "" },
    })),
  };
  if (isNetwork) {
    return [
      { title: "Flows", unit: "", yTitle: "New in each minute", isCount: true, series: [line("New flows", "NewFlowCount", "Sum")] },
      { title: "Bytes", unit: " bytes", yTitle: "In each minute", isCount: true, series: [line("Bytes", "ProcessedBytes", "Sum")] },
      { title: "Open flows", unit: "", yTitle: "Open at once", series: [line("Open flows", "ActiveFlowCount", "Average")] },
      hosts,
    ];
  }
  return [
    { title: "Requests", unit: "", yTitle: "In each minute", isCount: true, series: [line("Requests", "RequestCount", "Sum")] },
    {
      title: "Errors",
      unit: "",
      yTitle: "In each minute",
      isCount: true,
      series: [
        line("Targets: 4xx", "HTTPCode_Target_4XX_Count", "Sum"),
        line("Targets: 5xx", "HTTPCode_Target_5XX_Count", "Sum"),
        line("Load balancer: 5xx", "HTTPCode_ELB_5XX_Count", "Sum"),
      ],
    },
    {
      title: "Response time",
      unit: " ms",
      yTitle: "ms until targets answer",
      times: 1000,
      series: ["p50", "p90", "p99"].map((stat) => line(stat, "TargetResponseTime", stat)),
    },
    hosts,
  ];
}

/** `path is /api/* or /v1/*`, of all conditions. */
export function conditionsOf(rule: Rule): string {
  if (!rule.Conditions?.length) return "Anything else";
  return rule.Conditions.map(conditionOf).join(", and ");
}

export function conditionOf(each: Condition): string {
  const header = each.HttpHeaderConfig?.HttpHeaderName;
  const query = each.QueryStringConfig?.Values?.map(({ Key, Value }) => (Key ? `${Key}=${Value}` : (Value ?? "")));
  const texts = each.HostHeaderConfig ?? each.PathPatternConfig ?? each.HttpHeaderConfig;
  const expressions = texts?.RegexValues ?? [];
  const values = texts?.Values ?? each.HttpRequestMethodConfig?.Values ?? each.SourceIpConfig?.Values ?? query ?? each.Values ?? [];
  const what = header ? `header ${header}` : each.Field.replaceAll("-", " ");
  return expressions.length ? `${what} matches ${expressions.join(" or ")}` : `${what} is ${values.join(" or ")}`;
}

const groupName = (arn: string) => arn.split("/")[1] ?? arn;

export function actionsOf(rule: Rule): string {
  return (rule.Actions ?? [])
    .map((each) => {
      const groups = each.ForwardConfig?.TargetGroups ?? [];
      if (each.Type === "forward") {
        if (groups.length > 1) return `forward to ${groups.map((one) => `${groupName(one.TargetGroupArn)} (${one.Weight ?? 1})`).join(", ")}`;
        return `forward to ${groupName(each.TargetGroupArn ?? groups[0]?.TargetGroupArn ?? "")}`;
      }
      if (each.RedirectConfig) {
        const { StatusCode, Protocol, Host, Port, Path } = each.RedirectConfig;
        return `redirect to ${Protocol ?? "#{protocol}"}://${Host ?? "#{host}"}:${Port ?? "#{port}"}${Path ?? "/#{path}"} (${StatusCode})`;
      }
      if (each.FixedResponseConfig) return `answer ${each.FixedResponseConfig.StatusCode}`;
      return each.Type;
    })
    .join(", then ");
}

/** A target group of an action, as a form has it. */
export interface Weighted {
  arn: string;
  weight: string;
}

export function weightedOf(action: Action | undefined): Weighted[] {
  const all = action?.ForwardConfig?.TargetGroups ?? (action?.TargetGroupArn ? [{ TargetGroupArn: action.TargetGroupArn, Weight: 1 }] : []);
  return all.map((each) => ({ arn: each.TargetGroupArn, weight: String(each.Weight ?? 1) }));
}

/** Forwards to one group, or by weight to several, which keep the stickiness that they had. */
export function forwardTo(groups: readonly Weighted[], before?: Action): Action {
  if (groups.length === 1) return { Type: "forward", TargetGroupArn: groups[0]?.arn };
  const TargetGroupStickinessConfig = before?.ForwardConfig?.TargetGroupStickinessConfig;
  return {
    Type: "forward",
    ForwardConfig: {
      TargetGroups: groups.map((each) => ({ TargetGroupArn: each.arn, Weight: Number(each.weight) })),
      ...(TargetGroupStickinessConfig && { TargetGroupStickinessConfig }),
    },
  };
}
