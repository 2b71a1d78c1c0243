"""Listeners: create, describe, modify, delete."""

from portside.api.elbv2 import error, lookup, wire
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import load_balancer_rule as rule
from portside.domain.clock import Clock, Ids
from portside.domain.load_balancer import Listener, LoadBalancer
from portside.domain.record import replace
from portside.domain.table import LISTENER, RULE
from portside.store.interface import ABSENT, Delete, Put, Store, Write


class ListenerHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateListener": self.create,
            "DescribeListeners": self.describe,
            "ModifyListener": self.modify,
            "DeleteListener": self.delete,
            "DescribeListenerAttributes": self.describe_attributes,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        if "Port" not in params:
            raise error.invalid("A listener port must be specified")
        _check_protocol(params.get("Protocol"))
        _check_members(params)
        action = wire.action_from(params["DefaultActions"])
        rule.check_action(action)
        lookup.check_forward(self._store, context, balancer, action)
        tags = wire.tags_from(params.get("Tags"))
        listeners = lookup.listeners_of(self._store, balancer.arn)
        known = next((each for each in listeners if each.port == params["Port"]), None)
        if known is not None:
            if known.default_action == action and ("Tags" not in params or known.tags == tags):
                return {"Listeners": [wire.listener_to(known)]}
            raise _duplicate(balancer)
        if len(listeners) >= rule.LISTENERS_PER_LOAD_BALANCER:
            raise ServiceError(
                "TooManyListenersException",
                f"A load balancer can have at most '{rule.LISTENERS_PER_LOAD_BALANCER}' listeners",
            )
        listener = Listener(
            scope=balancer.scope,
            arn=f"{balancer.arn.replace(':loadbalancer/', ':listener/')}/{self._ids.hex(16)}",
            load_balancer_arn=balancer.arn,
            port=params["Port"],
            protocol="HTTP",
            default_action=action,
            tags=tags,
            created_at=self._clock.now(),
        )
        self._store.transact(Put(LISTENER, listener, ABSENT))
        return {"Listeners": [wire.listener_to(listener)]}

    def describe(self, context: RequestContext, params: Params) -> Result:
        wanted, balancer_arn = params.get("ListenerArns"), params.get("LoadBalancerArn")
        if wanted:
            listeners = []
            for arn in wanted:
                found = self._store.get(LISTENER, context.prefix + arn)
                if found is None:
                    raise ServiceError("ListenerNotFoundException", "One or more listeners not found")
                listeners.append(found)
        elif balancer_arn:
            lookup.load_balancer(self._store, context, balancer_arn)
            listeners = lookup.listeners_of(self._store, balancer_arn)
        else:
            raise error.invalid("You must specify either listener ARNs or a load balancer ARN")
        listeners.sort(key=lambda each: (each.created_at, each.arn))
        shown, more = page(listeners, params)
        return {"Listeners": [wire.listener_to(listener) for listener in shown], **more}

    def modify(self, context: RequestContext, params: Params) -> Result:
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        balancer = lookup.load_balancer(self._store, context, listener.load_balancer_arn)
        _check_members(params)
        if "Protocol" in params:
            _check_protocol(params["Protocol"])
        if "Port" in params and params["Port"] != listener.port:
            others = lookup.listeners_of(self._store, balancer.arn)
            if any(each.port == params["Port"] for each in others):
                raise _duplicate(balancer)
            listener = replace(listener, port=params["Port"])
        if "DefaultActions" in params:
            action = wire.action_from(params["DefaultActions"])
            rule.check_action(action)
            lookup.check_forward(self._store, context, balancer, action)
            listener = replace(listener, default_action=action)
        self._store.transact(Put(LISTENER, listener))
        return {"Listeners": [wire.listener_to(listener)]}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Its rules go with it."""
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        writes: list[Write] = [Delete(RULE, RULE.key(each)) for each in lookup.rules_of(self._store, [listener])]
        self._store.transact(*writes, Delete(LISTENER, LISTENER.key(listener)))
        return {}

    def describe_attributes(self, context: RequestContext, params: Params) -> Result:
        lookup.listener(self._store, context, params["ListenerArn"])
        return {"Attributes": wire.attributes_to({"routing.http.response.server.enabled": "true"})}


def _check_protocol(protocol: str | None) -> None:
    if protocol is None:
        raise error.invalid("A listener protocol must be specified")
    if protocol == "HTTPS":
        raise error.unsupported("A listener with protocol 'HTTPS'")
    if protocol != "HTTP":
        raise error.invalid(f"Listener protocol '{protocol}' must be one of 'HTTPS, HTTP'")


def _check_members(params: Params) -> None:
    for member in ("Certificates", "SslPolicy", "AlpnPolicy"):
        if params.get(member):
            raise error.invalid(f"{member} cannot be specified for a listener with protocol 'HTTP'")
    if params.get("MutualAuthentication", {}).get("Mode", "off") != "off":
        raise error.invalid("Mutual authentication cannot be specified for a listener with protocol 'HTTP'")


def _duplicate(balancer: LoadBalancer) -> ServiceError:
    return ServiceError(
        "DuplicateListenerException", f"A listener already exists on this port for this load balancer '{balancer.arn}'"
    )
