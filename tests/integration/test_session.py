"""Sessions of a real instance: they outlive it, and nothing that signs is written anywhere."""

import json
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from portside import credential
from portside.testing.instance import ACCOUNT, REGION, Instance, instance
from portside.vault import key

pytestmark = pytest.mark.integration

TRUST = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}]},
)


def client(portside: Instance, service: str, access_key_id: str, secret: str, token: str | None = None) -> Any:
    return boto3.client(
        service,
        endpoint_url=portside.url,
        region_name=REGION,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 0}),
    )


def written(portside: Instance) -> bytes:
    """What the instance keeps and says. The tasks' disk beside it is left out: it has no end, and holds nothing yet."""
    kept = [path for path in portside.settings.data_dir.iterdir() if path.is_file() and path.stat().st_size < 1 << 26]
    assert {"state.db", key.FILE} <= {path.name for path in kept}
    return b"".join(path.read_bytes() for path in kept) + portside.log.encode()


@pytest.mark.parametrize("auth", ["", "1"])
def test_a_session_outlives_the_daemon(auth: str) -> None:
    """After kill -9 the same keys are the same role's; a wrong secret is refused; no file holds a secret or token."""
    with instance(PORTSIDE_AUTH=auth) as portside:
        own = credential.read(portside.settings.data_dir)
        mine = (own.access_key_id, own.secret_access_key) if own is not None else (ACCOUNT, "test")
        role = client(portside, "iam", *mine).create_role(RoleName="deployer", AssumeRolePolicyDocument=TRUST)["Role"]
        sts = client(portside, "sts", *mine)
        answer = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="ci")
        given = answer["Credentials"]
        keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

        portside.kill()
        portside.start()
        portside.ready()

        identity = client(portside, "sts", *keys).get_caller_identity()
        assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
        client(portside, "ecs", *keys).list_clusters()
        with pytest.raises(ClientError) as refused:
            client(portside, "ecs", keys[0], "wrong", keys[2]).list_clusters()
        assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"

        found = written(portside)
        assert keys[0].encode() in found
        assert keys[1].encode() not in found
        assert keys[2].encode() not in found
        assert oct((portside.settings.data_dir / key.FILE).stat().st_mode)[-3:] == "600"


def test_portsides_own_endpoints_take_no_session() -> None:
    """With signature checks they answer to the instance's own key alone."""
    with instance(PORTSIDE_AUTH="1") as portside:
        own = credential.read(portside.settings.data_dir)
        assert own is not None
        given = client(portside, "sts", own.access_key_id, own.secret_access_key).get_session_token()["Credentials"]

        def status(*keys: str) -> int:
            request = AWSRequest("GET", f"{portside.url}/_portside/status")
            SigV4Auth(Credentials(*keys), "portside", REGION).add_auth(request)
            signed = urllib.request.Request(request.url, headers=dict(request.headers.items()))
            try:
                with urllib.request.urlopen(signed) as found:
                    return int(found.status)
            except urllib.error.HTTPError as error:
                return error.code

        assert status(own.access_key_id, own.secret_access_key) == 200
        assert status(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]) == 403
