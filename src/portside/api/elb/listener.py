"""Listeners of Classic Load Balancers and their certificates, and the health check."""

from portside.api.elb import error, state, wire
from portside.api.elb.load_balancer import check_certificate
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import classic_load_balancer_rule as rule
from portside.domain.classic_load_balancer import ClassicListener, ClassicLoadBalancer
from portside.domain.classic_policy import is_secured
from portside.domain.record import replace
from portside.store.interface import Store


class ListenerHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateLoadBalancerListeners": self.create,
            "DeleteLoadBalancerListeners": self.delete,
            "SetLoadBalancerListenerSSLCertificate": self.set_certificate,
            "ConfigureHealthCheck": self.configure_health_check,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        after = before
        for item in params["Listeners"]:
            listener = wire.listener_from(item)
            check_certificate(self._store, context, listener.certificate_arn)
            after = rule.with_listener(after, listener)
        rule.check_listeners(after.listeners)
        self._store.transact(*state.writes(self._store, before, after))
        return {}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Ports without a listener are passed over, as on AWS."""
        before = state.classic(self._store, context, params["LoadBalancerName"])
        kept = tuple(each for each in before.listeners if each.port not in params["LoadBalancerPorts"])
        self._store.transact(*state.writes(self._store, before, replace(before, listeners=kept)))
        return {}

    def set_certificate(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        listener = listener_at(before, params["LoadBalancerPort"])
        if not is_secured(listener.protocol):
            raise error.conflict(f"The listener on port {listener.port} is neither HTTPS nor SSL")
        arn = params["SSLCertificateId"]
        if not arn:
            raise error.invalid("SSLCertificateId cannot be empty")
        check_certificate(self._store, context, arn)
        changed = replace(listener, certificate_arn=arn)
        listeners = tuple(changed if each == listener else each for each in before.listeners)
        self._store.transact(*state.writes(self._store, before, replace(before, listeners=listeners)))
        return {}

    def configure_health_check(self, context: RequestContext, params: Params) -> Result:
        before = state.classic(self._store, context, params["LoadBalancerName"])
        check = wire.health_check_from(params["HealthCheck"])
        self._store.transact(*state.writes(self._store, before, replace(before, health_check=check)))
        return {"HealthCheck": wire.health_check_to(check)}


def listener_at(balancer: ClassicLoadBalancer, port: int) -> ClassicListener:
    for listener in balancer.listeners:
        if listener.port == port:
            return listener
    raise ServiceError(
        "ListenerNotFoundException", f"There is no listener on port {port} of the load balancer {balancer.name}"
    )
