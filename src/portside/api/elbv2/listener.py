"""Listeners: create, describe, modify, delete."""

from typing import Literal

from portside.api.elbv2 import error, lookup, wire
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import load_balancer_rule as rule
from portside.domain import ssl_policy
from portside.domain.clock import Clock, Ids
from portside.domain.load_balancer import Action, Forward, Listener, LoadBalancer, Redirect
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
            "ModifyListenerAttributes": self.modify_attributes,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        balancer = lookup.load_balancer(self._store, context, params["LoadBalancerArn"])
        if "Port" not in params:
            raise error.invalid("A listener port must be specified")
        protocol = _protocol(params.get("Protocol"), balancer)
        secured = self._secured(context, protocol, params)
        action = wire.action_from(params["DefaultActions"])
        _check_network_action(balancer, action)
        wire.check_action(protocol, params["Port"], action)
        lookup.check_versions(self._store, context, protocol, action)
        lookup.check_forward(self._store, context, balancer, action, protocol)
        tags = wire.tags_from(params.get("Tags"))
        listeners = lookup.listeners_of(self._store, balancer.arn)
        known = next((each for each in listeners if each.port == params["Port"]), None)
        if known is not None:
            same = (known.protocol, known.default_action, *_security(known)) == (protocol, action, *secured)
            if same and ("Tags" not in params or known.tags == tags):
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
            protocol=protocol,
            certificate_arn=secured[0],
            ssl_policy=secured[1],
            alpn_policy=secured[2],
            default_action=action,
            tags=tags,
            created_at=self._clock.now(),
        )
        lookup.check_group_count([*listeners, listener], lookup.rules_of(self._store, listeners))
        self._store.transact(Put(LISTENER, listener, ABSENT))
        return {"Listeners": [wire.listener_to(listener)]}

    def describe(self, context: RequestContext, params: Params) -> Result:
        wanted, balancer_arn = params.get("ListenerArns"), params.get("LoadBalancerArn")
        if wanted and balancer_arn:
            raise error.invalid("Listener ARNs and a load balancer ARN cannot be specified at the same time")
        if wanted:
            listeners = []
            for arn in wanted:
                found = self._store.get(LISTENER, context.prefix + arn)
                lookup.check_arn(arn, "listener")
                if found is None or lookup.is_classic(arn):
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
        protocol = _protocol(params.get("Protocol", listener.protocol), balancer)
        if protocol in ("HTTPS", "TLS"):
            given: Params = (
                {"Certificates": [{"CertificateArn": listener.certificate_arn}]} if listener.certificate_arn else {}
            )
            if listener.ssl_policy:
                given = {**given, "SslPolicy": listener.ssl_policy}
            if listener.alpn_policy:
                given = {**given, "AlpnPolicy": [listener.alpn_policy]}
            certificate_arn, policy, alpn = self._secured(context, protocol, {**given, **params})
            listener = replace(
                listener, protocol=protocol, certificate_arn=certificate_arn, ssl_policy=policy, alpn_policy=alpn
            )
        else:
            self._secured(context, protocol, params)
            listener = replace(
                listener, protocol=protocol, certificate_arn="", certificate_list=(), ssl_policy="", alpn_policy=""
            )
        if "Port" in params and params["Port"] != listener.port:
            others = lookup.listeners_of(self._store, balancer.arn)
            if any(each.port == params["Port"] for each in others):
                raise _duplicate(balancer)
            listener = replace(listener, port=params["Port"])
        known = rule.listener_attributes(listener.protocol)
        listener = replace(listener, attributes={k: v for k, v in listener.attributes.items() if k in known})
        if "DefaultActions" in params:
            action = wire.action_from(params["DefaultActions"])
            _check_network_action(balancer, action)
            listener = replace(listener, default_action=action)
        wire.check_action(protocol, listener.port, listener.default_action)
        if "DefaultActions" in params or "Protocol" in params:
            lookup.check_versions(self._store, context, protocol, listener.default_action)
            lookup.check_forward(self._store, context, balancer, listener.default_action, protocol)
            others = [each for each in lookup.listeners_of(self._store, balancer.arn) if each.arn != listener.arn]
            lookup.check_group_count([*others, listener], lookup.rules_of(self._store, [*others, listener]))
        self._store.transact(Put(LISTENER, listener))
        return {"Listeners": [wire.listener_to(listener)]}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Its rules go with it."""
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        writes: list[Write] = [Delete(RULE, RULE.key(each)) for each in lookup.rules_of(self._store, [listener])]
        self._store.transact(*writes, Delete(LISTENER, LISTENER.key(listener)))
        return {}

    def _secured(self, context: RequestContext, protocol: str, params: Params) -> tuple[str, str, str]:
        """The default certificate's ARN, the security policy and the ALPN policy; empty without TLS."""
        if params.get("MutualAuthentication", {}).get("Mode", "off") != "off":
            raise error.unsupported("Mutual authentication")
        alpn = params.get("AlpnPolicy") or ()
        if alpn and protocol != "TLS":
            raise error.invalid(f"AlpnPolicy cannot be specified for a listener with protocol '{protocol}'")
        if len(alpn) > 1 or any(each not in rule.ALPN_POLICIES for each in alpn):
            raise ServiceError("ALPNPolicyNotSupportedException", f"ALPN policy '{', '.join(alpn)}' is not supported")
        if protocol not in ("HTTPS", "TLS"):
            for member in ("Certificates", "SslPolicy"):
                if params.get(member):
                    raise error.invalid(f"{member} cannot be specified for a listener with protocol '{protocol}'")
            return "", "", ""
        certificates = params.get("Certificates") or ()
        if not certificates:
            raise error.invalid(f"A certificate must be specified for {protocol} listeners")
        if len(certificates) > 1:
            raise error.invalid("Exactly one default certificate must be specified for a listener")
        (certificate,) = certificates
        if "IsDefault" in certificate:
            raise error.invalid("IsDefault cannot be specified for the certificate of a listener")
        arn = certificate.get("CertificateArn", "")
        lookup.certificate(self._store, context, arn)
        policy = params.get("SslPolicy") or ssl_policy.DEFAULT
        if policy not in ssl_policy.POLICIES:
            raise error.ssl_policy_not_found(policy)
        return arn, policy, next(iter(alpn), "")

    def describe_attributes(self, context: RequestContext, params: Params) -> Result:
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        shown = rule.attributes_with_defaults(listener.attributes, rule.listener_attributes(listener.protocol))
        return {"Attributes": wire.attributes_to(shown)}

    def modify_attributes(self, context: RequestContext, params: Params) -> Result:
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        changes = {item.get("Key", ""): item.get("Value", "") for item in params["Attributes"]}
        for key, value in changes.items():
            rule.check_listener_attribute(key, value, listener.protocol)
        changed = replace(listener, attributes={**listener.attributes, **changes})
        self._store.transact(Put(LISTENER, changed))
        return {"Attributes": wire.attributes_to(changes)}


def _protocol(protocol: str | None, balancer: LoadBalancer) -> Literal["HTTP", "HTTPS", "TCP", "UDP", "TCP_UDP", "TLS"]:
    if protocol is None:
        raise error.invalid("A listener protocol must be specified")
    if balancer.type == "network":
        match protocol:
            case "TCP" | "UDP" | "TCP_UDP" | "TLS":
                return protocol
            case "QUIC" | "TCP_QUIC":
                raise error.unsupported(f"A listener with protocol '{protocol}'")
            case _:
                raise error.invalid(f"Listener protocol '{protocol}' must be one of 'UDP, TCP, TCP_UDP, TLS'")
    if protocol == "HTTPS":
        return "HTTPS"
    if protocol != "HTTP":
        raise error.invalid(f"Listener protocol '{protocol}' must be one of 'HTTPS, HTTP'")
    return "HTTP"


def _check_network_action(balancer: LoadBalancer, action: Action) -> None:
    if balancer.type == "network" and not isinstance(action, Forward):
        kind = "redirect" if isinstance(action, Redirect) else "fixed-response"
        raise error.invalid_action(f"The action type '{kind}' is not valid with network load balancer")
    if balancer.type == "network" and isinstance(action, Forward) and action.sticky_s:
        raise error.unsupported("Stickiness to a target group with a listener of a Network Load Balancer")


def _security(listener: Listener) -> tuple[str, str, str]:
    return listener.certificate_arn, listener.ssl_policy, listener.alpn_policy


def _duplicate(balancer: LoadBalancer) -> ServiceError:
    return ServiceError(
        "DuplicateListenerException", f"A listener already exists on this port for this load balancer '{balancer.arn}'"
    )
