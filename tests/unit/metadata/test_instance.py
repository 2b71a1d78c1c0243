"""What an instance hears about itself: with a token only, and its role's credentials."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from portside.api.ec2.default_network import ensure_default_network
from portside.api.ec2.instance import InstanceHandlers
from portside.api.ec2.instance_request import NATIVE_ARCHITECTURE
from portside.api.metadata.instance import InstanceMetadata
from portside.aws.service import RequestContext
from portside.control.clock import RandomIds
from portside.domain import ecs_image
from portside.domain.iam import InstanceProfile
from portside.domain.instance_identity import InstanceIdentities
from portside.domain.record import Scope
from portside.domain.table import INSTANCE_PROFILE
from portside.store.interface import Put
from portside.store.memory import MemoryStore
from portside.testing.clock import FakeClock

SCOPE = Scope(account="000000000000", region="us-east-1")
PATH = "amazon-linux-2023" if NATIVE_ARCHITECTURE == "x86_64" else "amazon-linux-2023/arm64"
SCRIPT = "#!/bin/bash\necho ECS_CLUSTER=web >> /etc/ecs/ecs.config"


class Host:
    """An instance with a role, and the service that it asks."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), FakeClock()
        ids = RandomIds()
        ensure_default_network(self.store, self.clock, ids, SCOPE)
        profile = InstanceProfile(
            account=SCOPE.account, name="ecs", id="AIPA1", role="ecsInstanceRole", created_at=self.clock.now()
        )
        self.store.transact(Put(INSTANCE_PROFILE, profile))
        self.asked: list[tuple[str, str]] = []
        self.service = InstanceMetadata(self.store, self.clock, self.credentials, InstanceIdentities(b"key"))
        context = RequestContext(SCOPE.account, SCOPE.region, "ec2", "RunInstances", "request", SCOPE.account)
        handlers: Any = InstanceHandlers(self.store, self.clock, ids).handlers()
        self.wire = handlers["RunInstances"](
            context,
            {
                "ImageId": ecs_image.parameter(SCOPE.region, f"{ecs_image.PREFIX}{PATH}/recommended/image_id"),
                "InstanceType": "t3.small" if NATIVE_ARCHITECTURE == "x86_64" else "t4g.small",
                "MinCount": 1,
                "MaxCount": 1,
                "UserData": base64.b64encode(SCRIPT.encode()).decode(),
                "IamInstanceProfile": {"Name": "ecs"},
            },
        )["Instances"][0]
        self.id = self.wire["InstanceId"]
        self.token = self.put("60")[1]

    def credentials(self, owner: str, role: str) -> Mapping[str, Any]:
        self.asked.append((owner, role))
        return {"RoleArn": role, "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", "Expiration": "later"}

    def put(self, ttl: str, **headers: str) -> tuple[int, str]:
        named = {"x-aws-ec2-metadata-token-ttl-seconds": ttl, **headers}
        return self.service.answer(self.id, "PUT", "/latest/api/token", named)

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        headers = {"x-aws-ec2-metadata-token": self.token if token is None else token}
        return self.service.answer(self.id, "GET", f"/latest/{path}", headers)


def test_what_it_hears() -> None:
    """Its ids, addresses, user data and identity, leaf by leaf and as listings."""
    host = Host()
    assert host.get("meta-data/instance-id") == (200, host.id)
    assert host.get("meta-data/local-ipv4") == (200, host.wire["PrivateIpAddress"])
    mac = host.get("meta-data/mac")[1]
    assert host.get(f"meta-data/network/interfaces/macs/{mac}/subnet-id") == (200, host.wire["SubnetId"])
    assert host.get("") == (200, "dynamic/\nmeta-data/\nuser-data")
    assert "placement/" in host.get("meta-data/")[1].splitlines()
    assert host.get("meta-data/placement/")[1].splitlines() == ["availability-zone", "availability-zone-id", "region"]
    assert host.get("user-data") == (200, SCRIPT)
    document = json.loads(host.get("dynamic/instance-identity/document")[1])
    assert (document["instanceId"], document["accountId"]) == (host.id, SCOPE.account)
    assert host.get("dynamic/instance-identity/")[1].splitlines() == ["document", "signature"]
    assert host.get("meta-data/nothing")[0] == 404
    assert host.get("meta-data/instance-id/further")[0] == 404
    assert host.asked == []


def test_credentials_of_its_role() -> None:
    """The role of its instance profile gives credentials, made when they are asked for."""
    host = Host()
    assert host.get("meta-data/iam/security-credentials/") == (200, "ecsInstanceRole")
    assert host.asked == []
    given = json.loads(host.get("meta-data/iam/security-credentials/ecsInstanceRole")[1])
    assert (given["Code"], given["AccessKeyId"], given["Expiration"]) == ("Success", "ASIA", "later")
    assert host.asked == [(f"arn:aws:ec2:us-east-1:000000000000:instance/{host.id}", "ecsInstanceRole")]


@pytest.mark.parametrize("ttl", ["", "0", "21601", "1e3", "-1"])
def test_tokens(ttl: str) -> None:
    """Nothing is told without a token, which lasts as long as it was asked for; a wrong length gets none."""
    host = Host()
    assert host.put(ttl)[0] == 400
    assert host.put("60", **{"x-forwarded-for": "1.2.3.4"})[0] == 403
    assert host.get("meta-data/instance-id", "")[0] == 401
    assert host.get("meta-data/instance-id", "wrong")[0] == 401
    host.clock.advance(61)
    assert host.get("meta-data/instance-id")[0] == 401
    assert host.service.answer("i-other", "GET", "/latest/meta-data/", {})[0] == 404
    assert host.service.answer(host.id, "POST", "/latest/meta-data/", {})[0] == 405
