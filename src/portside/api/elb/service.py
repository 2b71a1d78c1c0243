"""Elastic Load Balancing's first API (Classic Load Balancers): its operations in one visible list."""

from portside.api.elb.error import mapped
from portside.api.elb.instance import InstanceHandlers
from portside.api.elb.listener import ListenerHandlers
from portside.api.elb.load_balancer import LoadBalancerHandlers
from portside.api.elb.policy import PolicyHandlers
from portside.api.elb.tag import TagHandlers
from portside.api.elbv2.page import limits
from portside.aws.service import Params, RequestContext, Result, Service
from portside.domain import classic_load_balancer_rule as rule
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def elb_service(store: Store, clock: Clock, ids: Ids) -> Service:
    handlers = {
        **LoadBalancerHandlers(store, clock, ids).handlers,
        **ListenerHandlers(store).handlers,
        **PolicyHandlers(store).handlers,
        **InstanceHandlers(store, clock).handlers,
        **TagHandlers(store).handlers,
        "DescribeAccountLimits": describe_account_limits,
    }
    return Service(
        name="elb",
        handlers={name: mapped(handler) for name, handler in handlers.items()},
        partial={
            "CreateLoadBalancerPolicy": "all types; no CBC cipher suites with SHA-256 or SHA-384, no SSLv3",
            "DescribeLoadBalancerPolicyTypes": "the attributes that can be had",
        },
    )


def describe_account_limits(context: RequestContext, params: Params) -> Result:
    known = {
        "classic-load-balancers": rule.LOAD_BALANCERS_PER_REGION,
        "classic-listeners": rule.LISTENERS_PER_LOAD_BALANCER,
        "classic-registered-instances": rule.INSTANCES_PER_LOAD_BALANCER,
    }
    return limits(known, params)
