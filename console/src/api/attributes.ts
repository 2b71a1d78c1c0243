/** Attributes of load balancers, listeners and target groups: what a form asks for, and what it sends. */

import { ApiError, call } from "./call";

export interface Attribute {
  Key: string;
  Value: string;
}

/** What has attributes: its operations, and the member that names it. */
export const OWNERS = {
  loadBalancer: { describe: "DescribeLoadBalancerAttributes", modify: "ModifyLoadBalancerAttributes", member: "LoadBalancerArn" },
  listener: { describe: "DescribeListenerAttributes", modify: "ModifyListenerAttributes", member: "ListenerArn" },
  targetGroup: { describe: "DescribeTargetGroupAttributes", modify: "ModifyTargetGroupAttributes", member: "TargetGroupArn" },
} as const;

export type Owner = keyof typeof OWNERS;

export async function attributes(region: string, owner: Owner, arn: string): Promise<Attribute[]> {
  const { describe, member } = OWNERS[owner];
  return (await call<{ Attributes?: Attribute[] }>("elbv2", describe, region, { [member]: arn })).Attributes ?? [];
}

const LABELS: Record<string, string> = {
  "access_logs.s3.enabled": "Access logs",
  "access_logs.s3.bucket": "Access logs: bucket",
  "access_logs.s3.prefix": "Access logs: prefix",
  "connection_logs.s3.enabled": "Connection logs",
  "connection_logs.s3.bucket": "Connection logs: bucket",
  "connection_logs.s3.prefix": "Connection logs: prefix",
  "health_check_logs.s3.enabled": "Health check logs",
  "health_check_logs.s3.bucket": "Health check logs: bucket",
  "health_check_logs.s3.prefix": "Health check logs: prefix",
  "idle_timeout.timeout_seconds": "Idle timeout, in seconds",
  "client_keep_alive.seconds": "Keep-alive of clients, in seconds",
  "deletion_protection.enabled": "Deletion protection",
  "routing.http2.enabled": "HTTP/2",
  "routing.http.drop_invalid_header_fields.enabled": "Drop invalid headers",
  "routing.http.xff_client_port.enabled": "Client's port in X-Forwarded-For",
  "routing.http.preserve_host_header.enabled": "Keep the Host header",
  "routing.http.xff_header_processing.mode": "X-Forwarded-For",
  "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "Headers with TLS version and cipher",
  "routing.http.desync_mitigation_mode": "Desync mitigation",
  "load_balancing.cross_zone.enabled": "Cross-zone load balancing",
  "routing.http.response.server.enabled": "Server header in answers",
  "routing.http.response.strict_transport_security.header_value": "Strict-Transport-Security",
  "routing.http.response.access_control_allow_origin.header_value": "Access-Control-Allow-Origin",
  "routing.http.response.access_control_allow_methods.header_value": "Access-Control-Allow-Methods",
  "routing.http.response.access_control_allow_headers.header_value": "Access-Control-Allow-Headers",
  "routing.http.response.access_control_allow_credentials.header_value": "Access-Control-Allow-Credentials",
  "routing.http.response.access_control_expose_headers.header_value": "Access-Control-Expose-Headers",
  "routing.http.response.access_control_max_age.header_value": "Access-Control-Max-Age",
  "routing.http.response.content_security_policy.header_value": "Content-Security-Policy",
  "routing.http.response.x_content_type_options.header_value": "X-Content-Type-Options",
  "routing.http.response.x_frame_options.header_value": "X-Frame-Options",
  "routing.http.request.x_amzn_tls_version.header_name": "Header with the version of TLS",
  "routing.http.request.x_amzn_tls_cipher_suite.header_name": "Header with the cipher of TLS",
  "tcp.idle_timeout.seconds": "Idle timeout, in seconds",
  "waf.fail_open.enabled": "WAF fails open",
  "zonal_shift.config.enabled": "Zonal shift",
  "dns_record.client_routing_policy": "Client routing policy",
  "deregistration_delay.timeout_seconds": "Deregistration delay, in seconds",
  "deregistration_delay.connection_termination.enabled": "End connections after the deregistration delay",
  "target_health_state.unhealthy.connection_termination.enabled": "End connections to unhealthy targets",
  "target_health_state.unhealthy.draining_interval_seconds": "Draining of unhealthy targets, in seconds",
  "preserve_client_ip.enabled": "Keep clients' addresses",
  "proxy_protocol_v2.enabled": "Proxy protocol, version 2",
  "slow_start.duration_seconds": "Slow start, in seconds",
  "stickiness.enabled": "Stickiness",
  "stickiness.type": "Stickiness by",
  "stickiness.lb_cookie.duration_seconds": "Load balancer's cookie, in seconds",
  "stickiness.app_cookie.cookie_name": "Application's cookie",
  "stickiness.app_cookie.duration_seconds": "Application's cookie, in seconds",
  "load_balancing.algorithm.type": "Algorithm",
  "load_balancing.algorithm.anomaly_mitigation": "Anomaly mitigation",
  "target_group_health.dns_failover.minimum_healthy_targets.count": "DNS failover: fewest healthy targets",
  "target_group_health.dns_failover.minimum_healthy_targets.percentage": "DNS failover: fewest, in per cent",
  "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "Routing to all: fewest healthy targets",
  "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "Routing to all: fewest, in per cent",
};

/** Its name in words; of one that is not known here, made of its key. */
export function labelOf(key: string): string {
  const words = key.replace(/\.enabled$/, "").replaceAll(/[._]/g, " ");
  return LABELS[key] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

const CHOICES: Record<string, readonly string[]> = {
  "routing.http.desync_mitigation_mode": ["monitor", "defensive", "strictest"],
  "routing.http.xff_header_processing.mode": ["append", "preserve", "remove"],
  "load_balancing.algorithm.type": ["round_robin", "least_outstanding_requests", "weighted_random"],
};

/** What there is to choose from; nothing where it is typed. A flag is `true` or `false`. */
export function choicesOf({ Key, Value }: Attribute, owner: Owner): readonly string[] | undefined {
  if (Key === "load_balancing.cross_zone.enabled" && owner === "targetGroup") return ["use_load_balancer_configuration", "true", "false"];
  if (Key === "stickiness.type") return Value === "source_ip" ? ["source_ip"] : ["lb_cookie", "app_cookie"];
  return CHOICES[Key];
}

export function isFlag(each: Attribute, owner: Owner): boolean {
  // The text of a header may be `true`, and is text all the same.
  return !/\.header_(value|name)$/.test(each.Key) && choicesOf(each, owner) === undefined && (each.Value === "true" || each.Value === "false");
}

/** Only what is not as it was. */
export function changesOf(known: readonly Attribute[], wanted: Readonly<Record<string, string>>): Attribute[] {
  return known.flatMap(({ Key, Value }) => {
    const now = wanted[Key];
    return now === undefined || now === Value ? [] : [{ Key, Value: now }];
  });
}

/** The attribute that an error names, as errors name them: in quotes. */
export function blamedKey(error: Error | undefined, known: readonly Attribute[]): string | undefined {
  if (!(error instanceof ApiError)) return undefined;
  return known.map((each) => each.Key).find((key) => error.message.includes(`'${key}'`));
}
