"""Policies of Classic Load Balancers: their types, what they may be, and what the data plane is to do for them. Pure.

Sources: Elastic Load Balancing API reference 2012-06-01; Classic Load Balancer guide, "SSL negotiation configurations",
"Configure back-end server authentication", "Configure sticky sessions", "Configure proxy protocol support".
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from portside.domain.classic_load_balancer import (
    BackendPolicies,
    ClassicListener,
    ClassicLoadBalancer,
    ClassicPolicy,
    ClassicProtocol,
    PolicyAttribute,
)
from portside.domain.load_balancer import TargetCookie
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.ssl_policy import CLASSIC_CIPHERS, DEFAULT, POLICIES, SslPolicy

POLICIES_PER_LOAD_BALANCER: Final = 100
COOKIE: Final = "AWSELB"

LB_COOKIE: Final = "LBCookieStickinessPolicyType"
APP_COOKIE: Final = "AppCookieStickinessPolicyType"
PROXY_PROTOCOL: Final = "ProxyProtocolPolicyType"
SSL_NEGOTIATION: Final = "SSLNegotiationPolicyType"
PUBLIC_KEY: Final = "PublicKeyPolicyType"
BACKEND_AUTHENTICATION: Final = "BackendServerAuthenticationPolicyType"
STICKY: Final = (LB_COOKIE, APP_COOKIE)
OF_BACKENDS: Final = (PROXY_PROTOCOL, BACKEND_AUTHENTICATION)

EXPIRATION: Final = "CookieExpirationPeriod"
COOKIE_NAME: Final = "CookieName"
REFERENCE: Final = "Reference-Security-Policy"
SERVER_ORDER: Final = "Server-Defined-Cipher-Order"
KEY: Final = "PublicKey"
KEY_POLICY: Final = "PublicKeyPolicyName"
VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2")

SECURITY_POLICIES: Final = (
    DEFAULT,
    "ELBSecurityPolicy-TLS-1-2-2017-01",
    "ELBSecurityPolicy-TLS-1-1-2017-01",
)
"""Those of AWS's predefined policies for Classic Load Balancers that are enforced here."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")


class PolicyAttributeType(NamedTuple):
    name: str
    kind: Literal["Long", "Boolean", "String", "PolicyName"]
    cardinality: Literal["ONE", "ZERO_OR_ONE", "ONE_OR_MORE"]


class PolicyType(NamedTuple):
    description: str
    attributes: tuple[PolicyAttributeType, ...]


def _flag(name: str) -> PolicyAttributeType:
    return PolicyAttributeType(name, "Boolean", "ZERO_OR_ONE")


POLICY_TYPES: Final[dict[str, PolicyType]] = {
    LB_COOKIE: PolicyType(
        "Stickiness policy with session lifetimes controlled by the browser (user-agent) or a specified expiration "
        "period. This policy can be associated only with HTTP/HTTPS listeners.",
        (PolicyAttributeType(EXPIRATION, "Long", "ZERO_OR_ONE"),),
    ),
    APP_COOKIE: PolicyType(
        "Stickiness policy with session lifetimes controlled by the lifetime of the application-generated cookie. This "
        "policy can be associated only with HTTP/HTTPS listeners.",
        (PolicyAttributeType(COOKIE_NAME, "String", "ONE"),),
    ),
    PROXY_PROTOCOL: PolicyType(
        "Policy that controls whether to include the IP address and port of the originating request for TCP messages. "
        "This policy operates on TCP/SSL listeners only",
        (PolicyAttributeType("ProxyProtocol", "Boolean", "ONE"),),
    ),
    SSL_NEGOTIATION: PolicyType(
        "Listener policy that defines the ciphers and protocols that will be accepted by the load balancer. This "
        "policy can be associated only with HTTPS/SSL listeners.",
        (
            PolicyAttributeType(REFERENCE, "String", "ZERO_OR_ONE"),
            *(_flag(f"Protocol-{version}") for version in VERSIONS),
            _flag(SERVER_ORDER),
            *(_flag(cipher) for cipher in CLASSIC_CIPHERS),
        ),
    ),
    PUBLIC_KEY: PolicyType(
        "Policy containing a list of public keys to accept when authenticating the back-end server(s). This policy "
        "cannot be applied directly to back-end servers or listeners but must be part of a "
        "BackendServerAuthenticationPolicyType.",
        (PolicyAttributeType(KEY, "String", "ONE"),),
    ),
    BACKEND_AUTHENTICATION: PolicyType(
        "Policy that controls authentication to back-end server(s) and contains one or more policies, such as an "
        "instance of a PublicKeyPolicyType. This policy can be associated only with back-end servers that are using "
        "HTTPS/SSL.",
        (PolicyAttributeType(KEY_POLICY, "PolicyName", "ONE_OR_MORE"),),
    ),
}


def invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message)


def conflict(message: str) -> Refused:
    """AWS's InvalidConfigurationRequest."""
    return Refused(RefusalKind.CONFLICT, message)


def unsupported(what: str) -> Refused:
    return Refused(RefusalKind.UNSUPPORTED, f"{what} is not supported yet by Portside")


def is_http(spoken: str) -> bool:
    return spoken in ("HTTP", "HTTPS")


def is_secured(spoken: ClassicProtocol) -> bool:
    return spoken in ("HTTPS", "SSL")


# --- one policy -----------------------------------------------------------------------------------------------------


def made_policy(name: str, type_name: str, attributes: Iterable[PolicyAttribute]) -> ClassicPolicy:
    """Raises Refused, NOT_FOUND for a type that is not there."""
    if not _NAME.fullmatch(name) or len(name) > 128:
        raise invalid(f"Policy name '{name}' can only contain alphanumeric characters and hyphens(-)")
    kind = POLICY_TYPES.get(type_name)
    if kind is None:
        raise Refused(RefusalKind.NOT_FOUND, f"Policy type '{type_name}' cannot be found", "policy type")
    given = tuple(attributes)
    names = [each.name for each in given]
    known = {each.name: each for each in kind.attributes}
    for each in given:
        if each.name not in known:
            if type_name != SSL_NEGOTIATION:
                raise conflict(f"Attribute '{each.name}' is not known for policies of type {type_name}")
            if each.value.lower() != "false":  # what is not there is easily not accepted
                raise unsupported(f"'{each.name}' in a policy of type {type_name}")
        elif known[each.name].kind == "Boolean" and each.value.lower() not in ("true", "false"):
            raise conflict(f"Attribute '{each.name}' must be true or false")
    for attribute in kind.attributes:
        if names.count(attribute.name) > 1 and attribute.cardinality != "ONE_OR_MORE":
            raise conflict(f"Attribute '{attribute.name}' is specified more than once")
        if attribute.cardinality != "ZERO_OR_ONE" and attribute.name not in names:
            raise conflict(f"Attribute '{attribute.name}' must be specified for policies of type {type_name}")
    policy = ClassicPolicy(name=name, type_name=type_name, attributes=given)
    match type_name:
        case "LBCookieStickinessPolicyType":
            seconds = policy.value(EXPIRATION)
            if seconds and not re.fullmatch(r"[1-9]\d{0,9}", seconds):
                raise invalid("CookieExpirationPeriod must be a number of seconds greater than 0")
        case "AppCookieStickinessPolicyType":
            named = policy.value(COOKIE_NAME)
            if not _TOKEN.fullmatch(named) or len(named) > 256 or named == COOKIE:
                raise invalid(f"CookieName '{named}' is not a name that a cookie of an application can have")
        case "SSLNegotiationPolicyType":
            security(policy)
        case "PublicKeyPolicyType":
            key_digest(policy)
    return policy


def is_on(policy: ClassicPolicy, attribute: str) -> bool:
    return policy.value(attribute).lower() == "true"


def security(policy: ClassicPolicy) -> SslPolicy:
    """What a policy of SSL negotiation accepts. Raises Refused where that is nothing, or can not be enforced."""
    if reference := policy.value(REFERENCE):
        if reference not in SECURITY_POLICIES:
            raise conflict(f"{REFERENCE} '{reference}' must be one of {', '.join(SECURITY_POLICIES)}")
        return POLICIES[reference]
    chosen = [version for version in VERSIONS if is_on(policy, f"Protocol-{version}")]
    ciphers = tuple(
        each.name for each in policy.attributes if each.name in CLASSIC_CIPHERS and is_on(policy, each.name)
    )
    if not chosen or not ciphers:
        raise conflict("At least one protocol and one cipher must be enabled")
    versions = VERSIONS[VERSIONS.index(chosen[0]) : VERSIONS.index(chosen[-1]) + 1]
    if len(versions) > len(chosen):
        raise unsupported("A security policy with TLSv1 and TLSv1.2, but not TLSv1.1,")
    return SslPolicy(name=policy.name, versions=versions, ciphers=ciphers, server_order=is_on(policy, SERVER_ORDER))


def key_digest(policy: ClassicPolicy) -> str:
    """By which an instance's public key is known: SHA-256 of its DER form, in base64. The key is given as in PEM,
    without the first and last lines."""
    try:
        der = base64.b64decode("".join(policy.value(KEY).split()), validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if len(der) < 32 or der[0] != 0x30:  # a SEQUENCE
        raise conflict("The public key must be in the format of PEM, without its first and last lines")
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


# --- the policies of a load balancer --------------------------------------------------------------------------------


def with_policy(balancer: ClassicLoadBalancer, policy: ClassicPolicy) -> ClassicLoadBalancer:
    """The same one again changes nothing."""
    known = next((each for each in balancer.policies if each.name == policy.name), None)
    if known == policy:
        return balancer
    if known is not None:
        raise Refused(
            RefusalKind.IN_USE,
            f"Policy {policy.name} already exists for the load balancer {balancer.name}, with different settings",
            "policy",
        )
    if len(balancer.policies) >= POLICIES_PER_LOAD_BALANCER:
        said = f"A load balancer can have at most {POLICIES_PER_LOAD_BALANCER} policies"
        raise Refused(RefusalKind.LIMIT, said, "policy")
    for key in policies_named(balancer, _key_policies(policy)):
        if key.type_name != PUBLIC_KEY:
            raise conflict(f"Policy {key.name} is not of type {PUBLIC_KEY}")
    return replace(balancer, policies=(*balancer.policies, policy))


def with_default_policy(balancer: ClassicLoadBalancer) -> ClassicLoadBalancer:
    if any(each.name == DEFAULT for each in balancer.policies):
        return balancer
    made = ClassicPolicy(
        name=DEFAULT, type_name=SSL_NEGOTIATION, attributes=(PolicyAttribute(name=REFERENCE, value=DEFAULT),)
    )
    return replace(balancer, policies=(*balancer.policies, made))


def without_policy(balancer: ClassicLoadBalancer, name: str) -> ClassicLoadBalancer:
    """One that is not there is deleted already. Raises Refused CONFLICT while it is used."""
    used = {each for listener in balancer.listeners for each in listener.policy_names}
    used |= {each for backend in balancer.backend_policies for each in backend.policy_names}
    used |= {each for policy in balancer.policies for each in _key_policies(policy)}
    if name in used:
        raise conflict(f"You must disassociate policy {name} from what uses it before deleting it")
    return replace(balancer, policies=tuple(each for each in balancer.policies if each.name != name))


def policies_named(balancer: ClassicLoadBalancer, names: Iterable[str]) -> list[ClassicPolicy]:
    """Raises Refused NOT_FOUND."""
    known = {each.name: each for each in balancer.policies}
    found: list[ClassicPolicy] = []
    for name in dict.fromkeys(names):
        if name not in known:
            said = f"There is no policy with name {name} for load balancer {balancer.name}"
            raise Refused(RefusalKind.NOT_FOUND, said, "policy")
        found.append(known[name])
    return found


def with_listener_policies(
    balancer: ClassicLoadBalancer, listener: ClassicListener, names: Sequence[str]
) -> ClassicLoadBalancer:
    """The policies of one listener, in place of those that it had."""
    policies = policies_named(balancer, names)
    for policy in policies:
        if policy.type_name in STICKY and not is_http(listener.protocol):
            raise conflict(f"Policy {policy.name} can only be associated with HTTP and HTTPS listeners")
        if policy.type_name == SSL_NEGOTIATION and not is_secured(listener.protocol):
            raise conflict(f"Policy {policy.name} can only be associated with HTTPS and SSL listeners")
        if policy.type_name not in (*STICKY, SSL_NEGOTIATION):
            raise conflict(f"Policy {policy.name} cannot be associated with listeners")
    for types, what in ((STICKY, "stickiness"), ((SSL_NEGOTIATION,), "SSL negotiation")):
        if sum(each.type_name in types for each in policies) > 1:
            raise conflict(f"Only one {what} policy can be associated with a listener")
    changed = replace(listener, policy_names=tuple(each.name for each in policies))
    listeners = tuple(changed if each.port == listener.port else each for each in balancer.listeners)
    return replace(balancer, listeners=listeners)


def with_backend_policies(balancer: ClassicLoadBalancer, port: int, names: Sequence[str]) -> ClassicLoadBalancer:
    """The policies for what is sent to one port of the instances, in place of those that it had."""
    policies = policies_named(balancer, names)
    leading = [each for each in balancer.listeners if each.instance_port == port]
    if policies and not leading:
        raise conflict(f"No listener of the load balancer {balancer.name} uses the instance port {port}")
    for policy in policies:
        if policy.type_name not in OF_BACKENDS:
            raise conflict(f"Policy {policy.name} cannot be associated with instance ports")
        if policy.type_name == PROXY_PROTOCOL and any(is_http(each.protocol) for each in leading):
            raise unsupported("The proxy protocol on an HTTP or HTTPS listener")
        if policy.type_name == BACKEND_AUTHENTICATION and not all(is_secured(e.instance_protocol) for e in leading):
            raise conflict(f"Policy {policy.name} can only be associated with instance ports that use HTTPS or SSL")
    others = tuple(each for each in balancer.backend_policies if each.instance_port != port)
    mine = (BackendPolicies(instance_port=port, policy_names=tuple(each.name for each in policies)),)
    return replace(balancer, backend_policies=(*others, *(mine if policies else ())))


def _key_policies(policy: ClassicPolicy) -> tuple[str, ...]:
    return tuple(each.value for each in policy.attributes if each.name == KEY_POLICY)


# --- what the data plane is to do -----------------------------------------------------------------------------------


def cookie_of(balancer: ClassicLoadBalancer, listener: ClassicListener) -> TargetCookie | None:
    for policy in policies_named(balancer, listener.policy_names):
        if policy.type_name in STICKY:
            seconds = policy.value(EXPIRATION)
            return TargetCookie(
                name=COOKIE, duration_s=int(seconds) if seconds else None, follows=policy.value(COOKIE_NAME)
            )
    return None


def security_of(balancer: ClassicLoadBalancer, listener: ClassicListener) -> SslPolicy:
    for policy in policies_named(balancer, listener.policy_names):
        if policy.type_name == SSL_NEGOTIATION:
            return security(policy)
    return POLICIES[DEFAULT]


def of_backend(balancer: ClassicLoadBalancer, port: int) -> list[ClassicPolicy]:
    names = next((each.policy_names for each in balancer.backend_policies if each.instance_port == port), ())
    return policies_named(balancer, names)


def key_digests(balancer: ClassicLoadBalancer, policies: Iterable[ClassicPolicy]) -> tuple[str, ...]:
    """The keys that instances may have; empty if any will do."""
    names = [
        name for policy in policies if policy.type_name == BACKEND_AUTHENTICATION for name in _key_policies(policy)
    ]
    return tuple(key_digest(each) for each in policies_named(balancer, names))
