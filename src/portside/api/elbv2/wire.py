"""Elastic Load Balancing's wire shapes to records and back. Plain functions; `rule` in the domain says what is
allowed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portside.api.elbv2.error import invalid, unsupported
from portside.aws.service import Params, Result, ServiceError
from portside.domain.load_balancer import (
    Action,
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    Rule,
    TargetGroup,
    WeightedTargetGroup,
)
from portside.domain.load_balancer_rule import TAGS_PER_RESOURCE
from portside.domain.record import Tag, Tags

HOSTED_ZONES = {"us-east-1": "Z35SXDOTRQ7X7K"}
"""The zones of AWS's own load balancer names, where known. Nothing here resolves by them."""


# --- tags -----------------------------------------------------------------------------------------------------------


def tags_from(items: Iterable[Mapping[str, str]] | None) -> Tags:
    tags = tuple(Tag(key=item["Key"], value=item.get("Value", "")) for item in items or ())
    keys = [tag.key for tag in tags]
    for key in keys:
        if keys.count(key) > 1:
            raise ServiceError("DuplicateTagKeysException", f"Tag key '{key}' is specified more than once")
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag key '{key}' cannot begin with 'aws:'")
    check_tag_count(tags)
    return tags


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
    if zone := HOSTED_ZONES.get(balancer.scope.region):
        shown["CanonicalHostedZoneId"] = zone
    return shown


def zones_to(balancer: LoadBalancer) -> list[Result]:
    return [{"ZoneName": zone.zone, "SubnetId": zone.subnet_id, "LoadBalancerAddresses": []} for zone in balancer.zones]


# --- target groups --------------------------------------------------------------------------------------------------


def health_check_from(params: Params, base: HealthCheck) -> HealthCheck:
    """The health check of `base` with what the request names."""
    matcher = params.get("Matcher", {})
    if "GrpcCode" in matcher:
        raise unsupported("A health check matcher for gRPC codes")
    return HealthCheck(
        enabled=params.get("HealthCheckEnabled", base.enabled),
        protocol=params.get("HealthCheckProtocol", base.protocol),
        port=params.get("HealthCheckPort", base.port),
        path=params.get("HealthCheckPath", base.path),
        interval_s=params.get("HealthCheckIntervalSeconds", base.interval_s),
        timeout_s=params.get("HealthCheckTimeoutSeconds", base.timeout_s),
        healthy_threshold=params.get("HealthyThresholdCount", base.healthy_threshold),
        unhealthy_threshold=params.get("UnhealthyThresholdCount", base.unhealthy_threshold),
        matcher=matcher.get("HttpCode", base.matcher),
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
    if check.protocol == "HTTP":
        shown |= {"HealthCheckPath": check.path, "Matcher": {"HttpCode": check.matcher}}
    if group.protocol_version:
        shown["ProtocolVersion"] = group.protocol_version
    return shown


# --- listeners and rules --------------------------------------------------------------------------------------------


def action_from(items: Sequence[Mapping[str, Any]]) -> Action:
    """The one action of a rule. Raises ServiceError for what is not allowed or not built."""
    for item in items:
        if item["Type"] not in ("forward", "fixed-response"):
            raise unsupported(f"An action of type '{item['Type']}'")
    if len(items) != 1:
        raise invalid("Exactly one action of type 'forward', 'redirect' or 'fixed-response' must be specified")
    item = items[0]
    if item["Type"] == "fixed-response":
        config = item.get("FixedResponseConfig")
        if config is None:
            raise invalid("A fixed response configuration must be specified for an action of type 'fixed-response'")
        return FixedResponse(
            status_code=config["StatusCode"],
            content_type=config.get("ContentType") or None,
            message_body=config.get("MessageBody"),
        )
    return _forward_from(item)


def _forward_from(item: Mapping[str, Any]) -> Forward:
    config = item.get("ForwardConfig")
    single = item.get("TargetGroupArn")
    if config is None:
        if single is None:
            raise invalid("A target group ARN must be specified")
        return Forward(target_groups=(WeightedTargetGroup(target_group_arn=single),))
    if config.get("TargetGroupStickinessConfig", {}).get("Enabled"):
        raise unsupported("Target group stickiness")
    groups = tuple(
        WeightedTargetGroup(target_group_arn=group["TargetGroupArn"], weight=group.get("Weight", 1))
        for group in config.get("TargetGroups", ())
    )
    if single is not None and groups and [group.target_group_arn for group in groups] != [single]:
        raise invalid("The target group ARN and the forward configuration must name the same target group")
    if single is not None and not groups:
        groups = (WeightedTargetGroup(target_group_arn=single),)
    return Forward(target_groups=groups)


def action_to(action: Action) -> Result:
    if isinstance(action, FixedResponse):
        config: Result = {"StatusCode": action.status_code}
        if action.content_type is not None:
            config["ContentType"] = action.content_type
        if action.message_body is not None:
            config["MessageBody"] = action.message_body
        return {"Type": "fixed-response", "FixedResponseConfig": config}
    shown: Result = {
        "Type": "forward",
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": group.target_group_arn, "Weight": group.weight} for group in action.target_groups
            ],
            "TargetGroupStickinessConfig": {"Enabled": False},
        },
    }
    if len(action.target_groups) == 1:
        shown["TargetGroupArn"] = action.target_groups[0].target_group_arn
    return shown


def conditions_from(items: Sequence[Mapping[str, Any]]) -> tuple[Condition, ...]:
    conditions: list[Condition] = []
    for item in items:
        field = item.get("Field")
        if field not in ("path-pattern", "host-header"):
            if field in ("http-header", "http-request-method", "query-string", "source-ip"):
                raise unsupported(f"A condition with field '{field}'")
            raise invalid(f"Condition field '{field}' must be one of '[path-pattern, host-header]'")
        if item.get("RegexValues"):
            raise unsupported("A condition with regular expressions")
        config = item.get("PathPatternConfig" if field == "path-pattern" else "HostHeaderConfig", {})
        if config.get("RegexValues"):
            raise unsupported("A condition with regular expressions")
        values = config.get("Values") or item.get("Values") or ()
        conditions.append(Condition(field=field, values=tuple(values)))
    return tuple(conditions)


def condition_to(condition: Condition) -> Result:
    values = list(condition.values)
    config = "PathPatternConfig" if condition.field == "path-pattern" else "HostHeaderConfig"
    return {"Field": condition.field, "Values": values, config: {"Values": values}}


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
        shown["MutualAuthentication"] = {"Mode": "off"}
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
