"""The wire shapes of Elastic Load Balancing's first API to records and back. Plain functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portside.api.elbv2.hosted_zone import hosted_zone
from portside.api.elbv2.wire import distinct_tags
from portside.aws.service import Result, ServiceError
from portside.domain import classic_load_balancer_rule as rule
from portside.domain import classic_policy as policy_rule
from portside.domain.classic_load_balancer import (
    ClassicHealthCheck,
    ClassicListener,
    ClassicLoadBalancer,
    ClassicPolicy,
    PolicyAttribute,
)
from portside.domain.load_balancer import LoadBalancer
from portside.domain.load_balancer_rule import TAGS_PER_RESOURCE
from portside.domain.record import Tags


def listener_from(item: Mapping[str, Any]) -> ClassicListener:
    spoken = rule.protocol(item["Protocol"])
    # the other side speaks the same, without TLS, unless it is said
    inside = item.get("InstanceProtocol") or ("HTTP" if policy_rule.is_http(spoken) else "TCP")
    listener = ClassicListener(
        protocol=spoken,
        port=item["LoadBalancerPort"],
        instance_protocol=rule.protocol(inside),
        instance_port=item["InstancePort"],
        certificate_arn=item.get("SSLCertificateId", ""),
    )
    rule.check_listener(listener)
    return listener


def listener_to(listener: ClassicListener) -> Result:
    shown: Result = {
        "Protocol": listener.protocol,
        "LoadBalancerPort": listener.port,
        "InstanceProtocol": listener.instance_protocol,
        "InstancePort": listener.instance_port,
    }
    if listener.certificate_arn:
        shown["SSLCertificateId"] = listener.certificate_arn
    return {"Listener": shown, "PolicyNames": list(listener.policy_names)}


def health_check_from(item: Mapping[str, Any]) -> ClassicHealthCheck:
    spoken, port, path = rule.check_target(item["Target"])
    check = ClassicHealthCheck(
        protocol=spoken,
        port=port,
        path=path,
        interval_s=item["Interval"],
        timeout_s=item["Timeout"],
        unhealthy_threshold=item["UnhealthyThreshold"],
        healthy_threshold=item["HealthyThreshold"],
    )
    rule.check_health_check(check)
    return check


def health_check_to(check: ClassicHealthCheck) -> Result:
    return {
        "Target": check.target,
        "Interval": check.interval_s,
        "Timeout": check.timeout_s,
        "UnhealthyThreshold": check.unhealthy_threshold,
        "HealthyThreshold": check.healthy_threshold,
    }


def attributes_from(items: Iterable[Mapping[str, str]] | None) -> list[PolicyAttribute]:
    return [
        PolicyAttribute(name=item.get("AttributeName", ""), value=item.get("AttributeValue", ""))
        for item in items or ()
    ]


def policy_to(policy: ClassicPolicy) -> Result:
    return {
        "PolicyName": policy.name,
        "PolicyTypeName": policy.type_name,
        "PolicyAttributeDescriptions": [
            {"AttributeName": each.name, "AttributeValue": each.value} for each in policy.attributes
        ],
    }


def policy_type_to(name: str, kind: policy_rule.PolicyType) -> Result:
    return {
        "PolicyTypeName": name,
        "Description": kind.description,
        "PolicyAttributeTypeDescriptions": [
            {"AttributeName": each.name, "AttributeType": each.kind, "Cardinality": each.cardinality}
            for each in kind.attributes
        ],
    }


def tags_from(items: Iterable[Mapping[str, str]] | None) -> Tags:
    tags = distinct_tags(items)
    check_tag_count(tags)
    return tags


def check_tag_count(tags: Tags) -> None:
    if len(tags) > TAGS_PER_RESOURCE:
        raise ServiceError("TooManyTagsException", f"A load balancer can have at most {TAGS_PER_RESOURCE} tags")


def load_balancer_to(balancer: ClassicLoadBalancer, plane: LoadBalancer, group_names: Sequence[str]) -> Result:
    """
    Args:
        group_names: of its security groups.
    """
    by_lb = [each for each in balancer.policies if each.type_name == policy_rule.LB_COOKIE]
    by_app = [each for each in balancer.policies if each.type_name == policy_rule.APP_COOKIE]
    shown: Result = {
        "LoadBalancerName": balancer.name,
        "DNSName": plane.dns_name,
        "CanonicalHostedZoneName": plane.dns_name,
        "ListenerDescriptions": [listener_to(each) for each in balancer.listeners],
        "Policies": {
            "AppCookieStickinessPolicies": [
                {"PolicyName": each.name, "CookieName": each.value(policy_rule.COOKIE_NAME)} for each in by_app
            ],
            "LBCookieStickinessPolicies": [_lb_cookie_to(each) for each in by_lb],
            "OtherPolicies": [each.name for each in balancer.policies if each not in (*by_lb, *by_app)],
        },
        "BackendServerDescriptions": [
            {"InstancePort": each.instance_port, "PolicyNames": list(each.policy_names)}
            for each in balancer.backend_policies
        ],
        "AvailabilityZones": [zone.zone for zone in plane.zones],
        "Subnets": [zone.subnet_id for zone in plane.zones],
        "VPCId": plane.vpc_id,
        "Instances": [{"InstanceId": each.id} for each in balancer.instances],
        "HealthCheck": health_check_to(balancer.health_check),
        "SecurityGroups": list(plane.security_group_ids),
        "CreatedTime": balancer.created_at,
        "Scheme": plane.scheme,
    }
    if zone := hosted_zone(balancer.scope.region, "classic"):
        shown["CanonicalHostedZoneNameID"] = zone
    if group_names:
        shown["SourceSecurityGroup"] = {"OwnerAlias": balancer.scope.account, "GroupName": group_names[0]}
    return shown


def _lb_cookie_to(policy: ClassicPolicy) -> Result:
    seconds = policy.value(policy_rule.EXPIRATION)
    return {"PolicyName": policy.name, **({"CookieExpirationPeriod": int(seconds)} if seconds else {})}
