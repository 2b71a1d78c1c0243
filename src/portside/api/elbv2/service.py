"""Elastic Load Balancing (v2): its operations in one visible list."""

from portside.api.elbv2.error import mapped
from portside.api.elbv2.listener import ListenerHandlers
from portside.api.elbv2.listener_certificate import PER_LOAD_BALANCER as CERTIFICATES
from portside.api.elbv2.listener_certificate import ListenerCertificateHandlers
from portside.api.elbv2.listener_rule import RuleHandlers
from portside.api.elbv2.load_balancer import LoadBalancerHandlers
from portside.api.elbv2.page import limits
from portside.api.elbv2.tag import TagHandlers
from portside.api.elbv2.target import TargetHandlers
from portside.api.elbv2.target_group import TargetGroupHandlers
from portside.aws.service import Params, RequestContext, Result, Service
from portside.domain import load_balancer_rule as rule
from portside.domain.clock import Clock, Ids
from portside.domain.listener_condition import VALUES_PER_RULE, WILDCARDS_PER_RULE
from portside.store.interface import Store


def elbv2_service(store: Store, clock: Clock, ids: Ids) -> Service:
    handlers = {
        **LoadBalancerHandlers(store, clock, ids).handlers,
        **TargetGroupHandlers(store, clock, ids).handlers,
        **TargetHandlers(store, clock).handlers,
        **ListenerHandlers(store, clock, ids).handlers,
        **ListenerCertificateHandlers(store).handlers,
        **RuleHandlers(store, ids).handlers,
        **TagHandlers(store).handlers,
        "DescribeAccountLimits": describe_account_limits,
    }
    return Service(
        name="elbv2",
        handlers={name: mapped(handler) for name, handler in handlers.items()},
        partial={
            "CreateLoadBalancer": "application and network; IPv4; private addresses of one's own, Elastic ones",
            "ModifyLoadBalancerAttributes": "no zonal shift; there is no WAF",
            "SetSubnets": "IPv4; private addresses of one's own, Elastic ones",
            "SetIpAddressType": "ipv4 alone",
            "CreateTargetGroup": "target types instance and ip; HTTP, HTTPS (also HTTP2, GRPC), TCP, TLS, UDP, TCP_UDP",
            "ModifyTargetGroupAttributes": "no anomaly mitigation",
            "CreateListener": "HTTP, HTTPS (no mutual TLS), TCP, UDP, TCP_UDP, TLS; forward, redirect, fixed-response",
            "ModifyListener": "HTTP, HTTPS (no mutual TLS), TCP, UDP, TCP_UDP, TLS; forward, redirect, fixed-response",
            "CreateRule": "all conditions; actions forward, redirect and fixed-response; no transforms",
            "ModifyRule": "all conditions; actions forward, redirect and fixed-response; no transforms",
            "DescribeSSLPolicies": "16 of AWS's policies; no CBC cipher suites with SHA-256 or SHA-384",
            "DescribeTargetHealth": "without anomaly detection and administrative override",
            "DescribeListenerAttributes": "without mutual TLS",
            "ModifyListenerAttributes": "without mutual TLS",
            "DescribeAccountLimits": "the limits that are enforced",
        },
    )


def describe_account_limits(context: RequestContext, params: Params) -> Result:
    known = {
        "application-load-balancers": rule.LOAD_BALANCERS_PER_REGION,
        "network-load-balancers": rule.LOAD_BALANCERS_PER_REGION,
        "target-groups": rule.TARGET_GROUPS_PER_REGION,
        "targets-per-target-group": rule.TARGETS_PER_TARGET_GROUP,
        "listeners-per-application-load-balancer": rule.LISTENERS_PER_LOAD_BALANCER,
        "listeners-per-network-load-balancer": rule.LISTENERS_PER_LOAD_BALANCER,
        "rules-per-application-load-balancer": rule.RULES_PER_LOAD_BALANCER,
        "certificates-per-application-load-balancer": CERTIFICATES,
        "certificates-per-network-load-balancer": CERTIFICATES,
        "target-groups-per-application-load-balancer": rule.TARGET_GROUPS_PER_LOAD_BALANCER,
        "target-groups-per-action-on-application-load-balancer": rule.TARGET_GROUPS_PER_ACTION,
        "target-groups-per-action-on-network-load-balancer": rule.TARGET_GROUPS_PER_ACTION,
        "condition-values-per-alb-rule": VALUES_PER_RULE,
        "condition-wildcards-per-alb-rule": WILDCARDS_PER_RULE,
    }
    return limits(known, params)
