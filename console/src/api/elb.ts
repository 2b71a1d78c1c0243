/** Load balancers as Portside tells of them: rules in their order, targets with their health. */

import { read } from "./call";

export interface Rule {
  RuleArn?: string;
  Priority?: string;
  IsDefault?: boolean;
  Conditions?: Condition[];
  Actions?: Action[];
}

interface Condition {
  Field: string;
  Values?: string[];
  HostHeaderConfig?: { Values?: string[] };
  PathPatternConfig?: { Values?: string[] };
  HttpHeaderConfig?: { HttpHeaderName?: string; Values?: string[] };
  HttpRequestMethodConfig?: { Values?: string[] };
  SourceIpConfig?: { Values?: string[] };
  QueryStringConfig?: { Values?: { Key?: string; Value?: string }[] };
}

interface Action {
  Type: string;
  TargetGroupArn?: string;
  ForwardConfig?: { TargetGroups?: { TargetGroupArn: string; Weight?: number }[] };
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
}

export interface Balancer {
  name: string;
  arn: string;
  type: string;
  scheme: string;
  state: string;
  dnsName: string;
  listeners: { protocol: string; port: number; rules: Rule[] }[];
  targetGroups: { name: string; arn: string; protocol: string; port: number; targets: Target[] }[];
}

export const KINDS = ["load_balancer", "listener", "rule", "target", "target_group"];

export async function balancers(region: string): Promise<Balancer[]> {
  const found = await read<{ loadBalancers: Balancer[] }>("/_portside/lb");
  return found.loadBalancers.filter((each) => each.arn.split(":")[3] === region);
}

/** `path is /api/* or /v1/*`, of all conditions. */
export function conditionsOf(rule: Rule): string {
  if (!rule.Conditions?.length) return "Anything else";
  return rule.Conditions.map((each) => {
    const header = each.HttpHeaderConfig?.HttpHeaderName;
    const query = each.QueryStringConfig?.Values?.map(({ Key, Value }) => (Key ? `${Key}=${Value}` : (Value ?? "")));
    const values =
      each.HostHeaderConfig?.Values ??
      each.PathPatternConfig?.Values ??
      each.HttpHeaderConfig?.Values ??
      each.HttpRequestMethodConfig?.Values ??
      each.SourceIpConfig?.Values ??
      query ??
      each.Values ??
      [];
    return `${header ? `header ${header}` : each.Field.replaceAll("-", " ")} is ${values.join(" or ")}`;
  }).join(", and ");
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
