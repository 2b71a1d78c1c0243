"""The instance metadata service (IMDS), version 2, for what runs on a container instance in bridge and host mode.

A session token comes first, as the ECS images ask for it (HttpTokens required). Who asks is the instance in whose
namespace the request arrives. Source: EC2 user guide, "Use instance metadata to manage your EC2 instance".
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from portside.api.ec2.instance_wire import public_dns_name
from portside.domain import arn, instance_identity, user_data
from portside.domain.clock import Clock
from portside.domain.instance import Instance
from portside.domain.instance_identity import InstanceIdentities
from portside.domain.table import ENI, INSTANCE, INSTANCE_PROFILE, SECURITY_GROUP, SUBNET, VPC
from portside.domain.vpc import Eni, Vpc, instance_owner
from portside.store.interface import Store

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Tree = dict[str, "str | Callable[[], str] | Tree"]

Credentials = Callable[[str, str], Mapping[str, Any]]
"""Of a role (its name or ARN), for the instance of that ARN, as a task's are given."""

TOKEN_TTL_MAX_S: Final = 21600
TOKENS_MAX: Final = 1000
"""Kept for one instance; beyond it the oldest goes."""


class InstanceMetadata:
    """
    Args:
        credentials: of the role that an instance profile holds.
    """

    def __init__(self, store: Store, clock: Clock, credentials: Credentials, identities: InstanceIdentities) -> None:
        self._store, self._clock, self._credentials, self._identities = store, clock, credentials, identities
        self._tokens: dict[str, dict[str, datetime]] = {}

    def for_instance(self, instance_id: str) -> App:
        """The application for requests that arrive on this instance."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            status, text = self.answer(instance_id, scope["method"], scope["path"], headers)
            body = text.encode()
            kind = b"application/json" if text.startswith("{") else b"text/plain"
            answered = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": answered})
            await send({"type": "http.response.body", "body": body})

        return app

    def answer(self, instance_id: str, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        """HTTP status and text."""
        found = self._store.find(INSTANCE, "id", instance_id)
        if not found:
            return 404, "Not Found"
        version, _, rest = path.lstrip("/").partition("/")
        if method == "PUT":
            return self._token(instance_id, rest, headers)
        if method not in ("GET", "HEAD"):
            return 405, "Method Not Allowed"
        if not self._is_known(instance_id, headers.get("x-aws-ec2-metadata-token", "")):
            return 401, "Unauthorized"
        if not version:
            return 200, "latest"
        return self._found(found[0], rest)

    # --- tokens

    def _token(self, instance_id: str, what: str, headers: Mapping[str, str]) -> tuple[int, str]:
        if what != "api/token":
            return 405, "Method Not Allowed"
        if "x-forwarded-for" in headers:
            return 403, "Forbidden"
        text = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not text.isdigit() or not 1 <= int(text[:6]) <= TOKEN_TTL_MAX_S:
            return 400, "Bad Request"
        kept = self._tokens.setdefault(instance_id, {})
        now = self._clock.now()
        for each in [each for each, until in kept.items() if until <= now] or list(kept)[: len(kept) - TOKENS_MAX + 1]:
            del kept[each]
        token = secrets.token_urlsafe(40)
        kept[token] = now + timedelta(seconds=int(text))
        return 200, token

    def _is_known(self, instance_id: str, token: str) -> bool:
        until = self._tokens.get(instance_id, {}).get(token)
        return until is not None and self._clock.now() < until

    # --- what there is to know

    def _found(self, instance: Instance, path: str) -> tuple[int, str]:
        here: str | Callable[[], str] | Tree = self._tree(instance)
        for part in path.split("/"):
            if not part:
                continue
            if not isinstance(here, dict) or part not in here:
                return 404, "Not Found"
            here = here[part]
        if isinstance(here, dict):
            return 200, "\n".join(f"{name}/" if isinstance(here[name], dict) else name for name in sorted(here))
        return 200, here if isinstance(here, str) else here()

    def _tree(self, instance: Instance) -> Tree:
        prefix = instance.scope.prefix
        eni = self._store.get(ENI, f"{prefix}{instance.eni_id}")
        subnet, vpc = (
            self._store.get(SUBNET, prefix + instance.subnet_id),
            self._store.get(VPC, prefix + instance.vpc_id),
        )
        groups = [self._store.get(SECURITY_GROUP, prefix + each) for each in (eni.security_group_ids if eni else ())]
        names = "\n".join(each.name for each in groups if each is not None)
        hostname = eni.private_dns_name if eni is not None else ""
        mac = eni.mac_address if eni is not None else ""
        interfaces: Tree = {
            each.mac_address: self._interface(each, vpc)
            for each in self._store.find(ENI, "owner", instance_owner(instance.id))
        }
        data: Tree = {
            "ami-id": instance.image_id,
            "ami-launch-index": str(instance.launch_index),
            "hostname": hostname,
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": hostname,
            "local-ipv4": instance.address,
            "mac": mac,
            "network": {"interfaces": {"macs": interfaces}},
            "placement": {
                "availability-zone": instance.zone,
                "region": instance.scope.region,
                **({"availability-zone-id": subnet.zone_id} if subnet is not None else {}),
            },
            "reservation-id": instance.reservation_id,
            "security-groups": names,
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if eni is not None and eni.public_address is not None:
            data |= {"public-hostname": public_dns_name(eni), "public-ipv4": eni.public_address}
        role = self._role(instance)
        if role is not None:
            data["iam"] = {
                "info": self._profile(instance),
                "security-credentials": {role: partial(self._secret, instance, role)},
            }
        text = instance_identity.document(instance)
        identity: Tree = {"document": text, "signature": partial(self._identities.signature, text)}
        tree: Tree = {"meta-data": data, "dynamic": {"instance-identity": identity}}
        if instance.user_data:
            tree["user-data"] = user_data.decoded(instance.user_data)
        return tree

    def _interface(self, eni: Eni, vpc: Vpc | None) -> Tree:
        subnet = self._store.get(SUBNET, eni.scope.prefix + eni.subnet_id)
        groups = [self._store.get(SECURITY_GROUP, eni.scope.prefix + each) for each in eni.security_group_ids]
        interface: Tree = {
            "device-number": str(eni.device_index),
            "interface-id": eni.id,
            "local-hostname": eni.private_dns_name,
            "local-ipv4s": "\n".join((eni.address, *eni.secondary_addresses)),
            "mac": eni.mac_address,
            "owner-id": eni.scope.account,
            "security-group-ids": "\n".join(eni.security_group_ids),
            "security-groups": "\n".join(each.name for each in groups if each is not None),
            "subnet-id": eni.subnet_id,
            "subnet-ipv4-cidr-block": subnet.cidr_block if subnet is not None else "",
            "vpc-id": eni.vpc_id,
            "vpc-ipv4-cidr-block": vpc.cidr_block if vpc is not None else "",
        }
        if eni.public_address is not None:
            interface |= {"public-hostname": public_dns_name(eni), "public-ipv4s": eni.public_address}
        return interface

    def _role(self, instance: Instance) -> str | None:
        """The name of the role that the instance's profile holds."""
        name = (instance.instance_profile_arn or "").rpartition("/")[2]
        profile = self._store.get(INSTANCE_PROFILE, f"{instance.scope.account}/{name}") if name else None
        return profile.role if profile is not None else None

    def _profile(self, instance: Instance) -> str:
        name = (instance.instance_profile_arn or "").rpartition("/")[2]
        profile = self._store.get(INSTANCE_PROFILE, f"{instance.scope.account}/{name}")
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": self._now(),
                "InstanceProfileArn": instance.instance_profile_arn,
                "InstanceProfileId": profile.id if profile is not None else "",
            },
            indent=2,
        )

    def _secret(self, instance: Instance, role: str) -> str:
        scope = instance.scope
        given = self._credentials(str(arn.Arn("ec2", scope.region, scope.account, f"instance/{instance.id}")), role)
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": self._now(),
                "Type": "AWS-HMAC",
                **{name: given[name] for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")},
            },
            indent=2,
        )

    def _now(self) -> str:
        return f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ}"
