"""Elastic Load Balancing's wire shapes to records and back. Plain functions; `rule` in the domain says what is
allowed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from portside.api.elbv2.error import invalid, invalid_action, unsupported
from portside.api.elbv2.hosted_zone import hosted_zone
from portside.aws.service import Params, Result, ServiceError
from portside.domain import load_balancer_rule as rules
from portside.domain.listener_condition import leads_back
from portside.domain.load_balancer import (
    Action,
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    QueryParameter,
    Redirect,
    Rule,
    TargetGroup,
    WeightedTargetGroup,
    ZoneMapping,
)
from portside.domain.load_balancer_rule import TAGS_PER_RESOURCE
from portside.domain.record import Tag, Tags
from portside.domain.refusal import Refused

# --- tags -----------------------------------------------------------------------------------------------------------


def tags_from(items: Iterable[Mapping[str, str]] | None) -> Tags:
    tags = distinct_tags(items)
    check_tag_count(tags)
    return tags


def distinct_tags(items: Iterable[Mapping[str, str]] | None) -> Tags:
    """As given, whatever their number. Raises ServiceError for keys that no tag, or one only, may have."""
    tags = tuple(Tag(key=item["Key"], value=item.get("Value", "")) for item in items or ())
    keys = [tag.key for tag in tags]
    for key in keys:
        if keys.count(key) > 1:
            raise ServiceError("DuplicateTagKeysException", f"Tag key '{key}' is specified more than once")
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag key '{key}' cannot begin with 'aws:'")
    return tags


def with_tags(old: Tags, given: Tags) -> Tags:
    """Those given replace those of their key; the others come behind."""
    by_key = {tag.key: tag for tag in given}
    known = {tag.key for tag in old}
    return (*(by_key.get(tag.key, tag) for tag in old), *(tag for tag in given if tag.key not in known))


def check_tag_count(tags: Tags) -> None:
    if len(tags) > TAGS_PER_RESOURCE:
        raise ServiceError("TooManyTagsException", f"A resource can have at most '{TAGS_PER_RESOURCE}' tags")


def tags_to(tags: Tags) -> list[Result]:
    return [{"Key": tag.key, "Value": tag.value} for tag in tags]


def attributes_to(attributes: Mapping[str, str]) -> list[Result]:
    return [{"Key": key, "Value": value} for key, value in attributes.items()]


# --- load balancers -------------------------------------------------------------------------------------------------


def load_balancer_to(balancer: LoadBalancer) -> Result:
    state: Result = {"Code": balancer.state}
    if balancer.state_reason:
        state["Reason"] = balancer.state_reason
    shown: Result = {
        "LoadBalancerArn": balancer.arn,
        "DNSName": balancer.dns_name,
        "CreatedTime": balancer.created_at,
        "LoadBalancerName": balancer.name,
        "Scheme": balancer.scheme,
        "VpcId": balancer.vpc_id,
        "State": state,
        "Type": balancer.type,
        "AvailabilityZones": zones_to(balancer),
        "SecurityGroups": list(balancer.security_group_ids),
        "IpAddressType": balancer.ip_address_type,
        "EnablePrefixForIpv6SourceNat": "off",
    }
    if balancer.type == "network" and balancer.security_group_ids:
        shown["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = balancer.private_link_groups
    if zone := hosted_zone(balancer.scope.region, balancer.type):
        shown["CanonicalHostedZoneId"] = zone
    return shown


def zones_to(balancer: LoadBalancer) -> list[Result]:
    return [
        {
            "ZoneName": zone.zone,
            "SubnetId": zone.subnet_id,
            "LoadBalancerAddresses": _addresses_to(zone),
        }
        for zone in balancer.zones
    ]


def _addresses_to(zone: ZoneMapping) -> list[Result]:
    """Those that somebody chose."""
    if zone.allocation_id:
        return [{"IpAddress": zone.public_address, "AllocationId": zone.allocation_id}]
    return [{"PrivateIPv4Address": zone.static_address}] if zone.static_address else []


# --- target groups --------------------------------------------------------------------------------------------------


def health_check_from(params: Params, base: HealthCheck, version: str = "") -> HealthCheck:
    """The health check of `base` with what the request names."""
    matcher = params.get("Matcher", {})
    wanted, other = ("GrpcCode", "HttpCode") if version == "GRPC" else ("HttpCode", "GrpcCode")
    if other in matcher:
        raise invalid(f"{other} cannot be specified for a target group with protocol version '{version or 'none'}'")
    return HealthCheck(
        enabled=params.get("HealthCheckEnabled", base.enabled),
        protocol=params.get("HealthCheckProtocol", base.protocol),
        port=params.get("HealthCheckPort", base.port),
        path=params.get("HealthCheckPath", base.path),
        interval_s=params.get("HealthCheckIntervalSeconds", base.interval_s),
        timeout_s=params.get("HealthCheckTimeoutSeconds", base.timeout_s),
        healthy_threshold=params.get("HealthyThresholdCount", base.healthy_threshold),
        unhealthy_threshold=params.get("UnhealthyThresholdCount", base.unhealthy_threshold),
        matcher=matcher.get(wanted, base.matcher),
    )


def target_group_to(group: TargetGroup, load_balancer_arns: Sequence[str]) -> Result:
    check = group.health_check
    shown: Result = {
        "TargetGroupArn": group.arn,
        "TargetGroupName": group.name,
        "Protocol": group.protocol,
        "Port": group.port,
        "VpcId": group.vpc_id,
        "HealthCheckProtocol": check.protocol,
        "HealthCheckPort": check.port,
        "HealthCheckEnabled": check.enabled,
        "HealthCheckIntervalSeconds": check.interval_s,
        "HealthCheckTimeoutSeconds": check.timeout_s,
        "HealthyThresholdCount": check.healthy_threshold,
        "UnhealthyThresholdCount": check.unhealthy_threshold,
        "LoadBalancerArns": list(load_balancer_arns),
        "TargetType": group.target_type,
        "IpAddressType": "ipv4",
    }
    if check.protocol in ("HTTP", "HTTPS"):
        code = "GrpcCode" if group.protocol_version == "GRPC" else "HttpCode"
        shown |= {"HealthCheckPath": check.path, "Matcher": {code: check.matcher}}
    if group.protocol_version:
        shown["ProtocolVersion"] = group.protocol_version
    return shown


# --- listeners and rules --------------------------------------------------------------------------------------------


def action_from(items: Sequence[Mapping[str, Any]]) -> Action:
    """The one action of a rule. Raises ServiceError for what is not allowed or not built."""
    for item in items:
        if item["Type"] not in ("forward", "fixed-response", "redirect"):
            raise unsupported(f"An action of type '{item['Type']}'")
    if len(items) != 1:
        raise invalid("Exactly one action of type 'forward', 'redirect' or 'fixed-response' must be specified")
    item = items[0]
    if item["Type"] == "fixed-response":
        config = item.get("FixedResponseConfig")
        if config is None:
            raise _without_config(item)
        return FixedResponse(
            status_code=config["StatusCode"],
            content_type=config.get("ContentType") or None,
            message_body=config.get("MessageBody"),
        )
    if item["Type"] == "redirect":
        config = item.get("RedirectConfig")
        if config is None:
            raise _without_config(item)
        parts = {name.lower(): config[name] for name in ("Protocol", "Host", "Port", "Path", "Query") if name in config}
        return Redirect(status_code=config["StatusCode"], **parts)
    return _forward_from(item)


def _without_config(item: Mapping[str, Any]) -> ServiceError:
    member = {"redirect": "RedirectConfig", "fixed-response": "FixedResponseConfig"}[item["Type"]]
    return invalid_action(f"For actions of type '{item['Type']}', you must specify the following fields: '{member}'")


def check_action(protocol: str, port: int, action: Action) -> None:
    """Raises ServiceError, or Refused, for what no action may be, and for a redirect that leaves TLS or leads to where
    the request came to.

    Args: protocol, port: the listener's."""
    if not isinstance(action, Redirect):
        rules.check_action(action)
        return
    try:
        rules.check_action(action)
    except Refused as refused:
        raise invalid_action(refused.message) from refused
    if protocol == "HTTPS" and action.protocol == "HTTP":
        raise invalid_action("You cannot redirect HTTPS to HTTP")
    if leads_back(action, protocol, port):
        raise invalid_action("The redirect configuration is not valid because it creates a loop.")


def _forward_from(item: Mapping[str, Any]) -> Forward:
    config = item.get("ForwardConfig")
    single = item.get("TargetGroupArn")
    if config is None:
        if single is None:
            raise invalid("A target group ARN must be specified")
        return Forward(target_groups=(WeightedTargetGroup(target_group_arn=single),))
    sticky_s = 0
    stickiness = config.get("TargetGroupStickinessConfig", {})
    if stickiness.get("Enabled"):
        if "DurationSeconds" not in stickiness:
            raise invalid("A duration must be specified for target group stickiness")
        sticky_s = stickiness["DurationSeconds"]
        if sticky_s < 1:
            raise invalid("The duration of target group stickiness must be at least '1' second")
    groups = tuple(
        WeightedTargetGroup(target_group_arn=group["TargetGroupArn"], weight=group.get("Weight", 1))
        for group in config.get("TargetGroups", ())
    )
    if single is not None and groups and [group.target_group_arn for group in groups] != [single]:
        raise invalid("The target group ARN and the forward configuration must name the same target group")
    if single is not None and not groups:
        groups = (WeightedTargetGroup(target_group_arn=single),)
    return Forward(target_groups=groups, sticky_s=sticky_s)


def action_to(action: Action) -> Result:
    if isinstance(action, FixedResponse):
        config: Result = {"StatusCode": action.status_code}
        if action.content_type is not None:
            config["ContentType"] = action.content_type
        if action.message_body is not None:
            config["MessageBody"] = action.message_body
        return {"Type": "fixed-response", "FixedResponseConfig": config}
    if isinstance(action, Redirect):
        parts = {name: getattr(action, name.lower()) for name in ("Protocol", "Port", "Host", "Path", "Query")}
        return {"Type": "redirect", "RedirectConfig": {**parts, "StatusCode": action.status_code}}
    stickiness: Result = {"Enabled": action.sticky_s > 0}
    if action.sticky_s:
        stickiness["DurationSeconds"] = action.sticky_s
    shown: Result = {
        "Type": "forward",
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": group.target_group_arn, "Weight": group.weight} for group in action.target_groups
            ],
            "TargetGroupStickinessConfig": stickiness,
        },
    }
    if len(action.target_groups) == 1:
        shown["TargetGroupArn"] = action.target_groups[0].target_group_arn
    return shown


_CONDITION_CONFIG: Final = {
    "path-pattern": "PathPatternConfig",
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}


def conditions_from(items: Sequence[Mapping[str, Any]]) -> tuple[Condition, ...]:
    conditions: list[Condition] = []
    for item in items:
        field = item.get("Field")
        if field not in _CONDITION_CONFIG:
            raise invalid(f"Condition field '{field}' must be one of '[{', '.join(_CONDITION_CONFIG)}]'")
        for member in _CONDITION_CONFIG.values():
            if member in item and member != _CONDITION_CONFIG[field]:
                raise invalid(f"{member} cannot be specified for a condition with field '{field}'")
        config = item.get(_CONDITION_CONFIG[field], {})
        if "IpAddressType" in config:
            raise unsupported("A condition with an IP address type")
        # Values of its own belong to the two oldest fields alone
        plain = item if field in ("path-pattern", "host-header") else {}
        if plain.get("Values") and _CONDITION_CONFIG[field] in item:
            raise invalid(f"Only one of 'Values' and '{_CONDITION_CONFIG[field]}' can be specified for field '{field}'")
        given = config.get("Values") or plain.get("Values") or ()
        query = (
            tuple(QueryParameter(key=pair.get("Key", ""), value=pair.get("Value", "")) for pair in given)
            if field == "query-string"
            else ()
        )
        conditions.append(
            Condition(
                field=field,
                values=() if query else tuple(given),
                regex_values=tuple(config.get("RegexValues") or item.get("RegexValues") or ()),
                header=config.get("HttpHeaderName", ""),
                query=query,
            )
        )
    return tuple(conditions)


def condition_to(condition: Condition) -> Result:
    config: Result = {}
    if condition.header:
        config["HttpHeaderName"] = condition.header
    if condition.query:
        config["Values"] = [
            {**({"Key": pair.key} if pair.key else {}), "Value": pair.value} for pair in condition.query
        ]
    elif condition.values:
        config["Values"] = list(condition.values)
    if condition.regex_values:
        config["RegexValues"] = list(condition.regex_values)
    shown: Result = {"Field": condition.field, _CONDITION_CONFIG[condition.field]: config}
    if condition.field in ("path-pattern", "host-header"):
        shown |= {name: config[name] for name in ("Values", "RegexValues") if name in config}
    return shown


def listener_to(listener: Listener) -> Result:
    shown: Result = {
        "ListenerArn": listener.arn,
        "LoadBalancerArn": listener.load_balancer_arn,
        "Port": listener.port,
        "Protocol": listener.protocol,
        "DefaultActions": [action_to(listener.default_action)],
    }
    if listener.certificate_arn:
        shown["Certificates"] = [{"CertificateArn": listener.certificate_arn}]
        shown["SslPolicy"] = listener.ssl_policy
        if listener.protocol == "HTTPS":
            shown["MutualAuthentication"] = {"Mode": "off"}
    if listener.alpn_policy:
        shown["AlpnPolicy"] = [listener.alpn_policy]
    return shown


def rule_to(rule: Rule) -> Result:
    return {
        "RuleArn": rule.arn,
        "Priority": str(rule.priority),
        "Conditions": [condition_to(condition) for condition in rule.conditions],
        "Actions": [action_to(rule.action)],
        "IsDefault": False,
    }


def default_rule_arn(listener_arn: str) -> str:
    """A listener's default action has a rule's ARN too; it comes from the listener's, since nothing else is stored."""
    digits = hashlib.sha256(listener_arn.encode()).hexdigest()[:16]
    return f"{listener_arn.replace(':listener/', ':listener-rule/')}/{digits}"


def default_rule_to(listener: Listener) -> Result:
    return {
        "RuleArn": default_rule_arn(listener.arn),
        "Priority": "default",
        "Conditions": [],
        "Actions": [action_to(listener.default_action)],
        "IsDefault": True,
    }
