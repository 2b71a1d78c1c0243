"""Policies of Classic Load Balancers: stickiness, TLS and the proxy protocol."""

from portside.api.elb import state, wire
from portside.api.elb.listener import listener_at
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import classic_policy as rule
from portside.domain.classic_load_balancer import ClassicLoadBalancer, ClassicPolicy, PolicyAttribute
from portside.domain.ssl_policy import POLICIES
from portside.store.interface import Store


class PolicyHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateLBCookieStickinessPolicy": self.create_lb_cookie,
            "CreateAppCookieStickinessPolicy": self.create_app_cookie,
            "CreateLoadBalancerPolicy": self.create,
            "DeleteLoadBalancerPolicy": self.delete,
            "DescribeLoadBalancerPolicies": self.describe,
            "DescribeLoadBalancerPolicyTypes": self.describe_types,
            "SetLoadBalancerPoliciesOfListener": self.set_of_listener,
            "SetLoadBalancerPoliciesForBackendServer": self.set_for_backend,
        }

    def create_lb_cookie(self, context: RequestContext, params: Params) -> Result:
        seconds = params.get("CookieExpirationPeriod")
        attributes = [PolicyAttribute(name=rule.EXPIRATION, value=str(seconds))] if seconds is not None else []
        return self._add(context, params, rule.made_policy(params["PolicyName"], rule.LB_COOKIE, attributes))

    def create_app_cookie(self, context: RequestContext, params: Params) -> Result:
        attributes = [PolicyAttribute(name=rule.COOKIE_NAME, value=params["CookieName"])]
        return self._add(context, params, rule.made_policy(params["PolicyName"], rule.APP_COOKIE, attributes))

    def create(self, context: RequestContext, params: Params) -> Result:
        attributes = wire.attributes_from(params.get("PolicyAttributes"))
        return self._add(context, params, rule.made_policy(params["PolicyName"], params["PolicyTypeName"], attributes))

    def _add(self, context: RequestContext, params: Params, policy: ClassicPolicy) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        return self._change(before, rule.with_policy(before, policy))

    def _change(self, before: ClassicLoadBalancer, after: ClassicLoadBalancer) -> Result:
        self._store.transact(*state.writes(self._store, before, after))
        return {}

    def delete(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        return self._change(before, rule.without_policy(before, params["PolicyName"]))

    def describe(self, context: RequestContext, params: Params) -> Result:
        """Of a load balancer; without one, the predefined policies."""
        names = params.get("PolicyNames")
        if "LoadBalancerName" in params:
            balancer = state.classic(self._store, context, params["LoadBalancerName"])
            policies = list(balancer.policies) if not names else rule.policies_named(balancer, names)
        else:
            policies = [_predefined(name) for name in rule.SECURITY_POLICIES]
            for name in names or ():
                if name not in rule.SECURITY_POLICIES:
                    raise ServiceError("PolicyNotFoundException", f"There is no policy with name {name}")
            policies = [each for each in policies if not names or each.name in names]
        return {"PolicyDescriptions": [wire.policy_to(each) for each in policies]}

    def describe_types(self, context: RequestContext, params: Params) -> Result:
        names = params.get("PolicyTypeNames") or list(rule.POLICY_TYPES)
        for name in names:
            if name not in rule.POLICY_TYPES:
                raise ServiceError("PolicyTypeNotFoundException", f"Policy type '{name}' cannot be found")
        return {
            "PolicyTypeDescriptions": [
                wire.policy_type_to(name, rule.POLICY_TYPES[name]) for name in dict.fromkeys(names)
            ]
        }

    def set_of_listener(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        listener = listener_at(before, params["LoadBalancerPort"])
        return self._change(before, rule.with_listener_policies(before, listener, params["PolicyNames"]))

    def set_for_backend(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        return self._change(before, rule.with_backend_policies(before, params["InstancePort"], params["PolicyNames"]))


def _predefined(name: str) -> ClassicPolicy:
    """What it allows, each version and cipher as an attribute."""
    policy = POLICIES[name]
    allowed = (*(f"Protocol-{version}" for version in policy.versions), *policy.ciphers)
    return ClassicPolicy(
        name=name,
        type_name=rule.SSL_NEGOTIATION,
        attributes=tuple(PolicyAttribute(name=each, value="true") for each in allowed),
    )
