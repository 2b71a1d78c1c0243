"""Certificates of listeners, and the security policies that they can have."""

from portside.api.elbv2 import error, lookup
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.load_balancer import Listener
from portside.domain.record import replace
from portside.domain.ssl_policy import POLICIES
from portside.domain.table import LISTENER
from portside.store.interface import Put, Store

PER_LOAD_BALANCER = 25
"""Certificates, default ones not counted."""


class ListenerCertificateHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "AddListenerCertificates": self.add,
            "RemoveListenerCertificates": self.remove,
            "DescribeListenerCertificates": self.describe,
            "DescribeSSLPolicies": self.describe_policies,
        }

    def add(self, context: RequestContext, params: Params) -> Result:
        """Those that the listener has already are left as they are."""
        listener = self._listener(context, params)
        arns = [_arn(item) for item in params["Certificates"]]
        for arn in arns:
            lookup.certificate(self._store, context, arn)
        merged = tuple(dict.fromkeys((*listener.certificate_list, *arns)))
        others = lookup.listeners_of(self._store, listener.load_balancer_arn)
        count = len(merged) + sum(len(each.certificate_list) for each in others if each.arn != listener.arn)
        if count > PER_LOAD_BALANCER:
            raise ServiceError(
                "TooManyCertificatesException",
                f"A load balancer can have at most '{PER_LOAD_BALANCER}' certificates besides default ones",
            )
        self._store.transact(Put(LISTENER, replace(listener, certificate_list=merged)))
        return {"Certificates": [{"CertificateArn": arn, "IsDefault": False} for arn in arns]}

    def remove(self, context: RequestContext, params: Params) -> Result:
        listener = self._listener(context, params)
        arns = [_arn(item) for item in params["Certificates"]]
        if any(arn == listener.certificate_arn and arn not in listener.certificate_list for arn in arns):
            raise ServiceError("OperationNotPermittedException", "The default certificate cannot be removed")
        kept = tuple(arn for arn in listener.certificate_list if arn not in arns)
        self._store.transact(Put(LISTENER, replace(listener, certificate_list=kept)))
        return {}

    def describe(self, context: RequestContext, params: Params) -> Result:
        """The default one comes first, and once more if it is in the list, too."""
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        found = [{"CertificateArn": arn, "IsDefault": False} for arn in listener.certificate_list]
        if listener.certificate_arn:
            found.insert(0, {"CertificateArn": listener.certificate_arn, "IsDefault": True})
        shown, more = page(found, params)
        return {"Certificates": list(shown), **more}

    def describe_policies(self, context: RequestContext, params: Params) -> Result:
        names = params.get("Names") or ()
        for name in names:
            if name not in POLICIES:
                raise error.ssl_policy_not_found(name)
        found = [policy for policy in POLICIES.values() if not names or policy.name in names]
        if params.get("LoadBalancerType") == "gateway":
            found = []
        shown, more = page(found, params)
        return {
            "SslPolicies": [
                {
                    "Name": policy.name,
                    "SslProtocols": list(policy.versions),
                    "Ciphers": [
                        {"Name": cipher, "Priority": number} for number, cipher in enumerate(policy.ciphers, 1)
                    ],
                    "SupportedLoadBalancerTypes": ["application", "network"],
                }
                for policy in shown
            ],
            **more,
        }

    def _listener(self, context: RequestContext, params: Params) -> Listener:
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        if listener.protocol not in ("HTTPS", "TLS"):
            raise error.invalid(f"A listener with protocol '{listener.protocol}' has no certificates")
        return listener


def _arn(item: dict[str, str]) -> str:
    if "IsDefault" in item:
        raise error.invalid("IsDefault cannot be specified for the certificates of a listener")
    return item.get("CertificateArn", "")
