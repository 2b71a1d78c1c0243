"""An instance that checks signatures: only its own key opens it."""

import os
import subprocess
import urllib.error
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from portside import credential
from portside.testing.instance import instance
from portside.testing.wait import http_get

pytestmark = pytest.mark.integration

LAUNCHER = Path(__file__).parents[2] / "portside"


def test_only_the_instances_own_key_opens_it() -> None:
    """Another key and no key are refused as AWS refuses them; what `portside env` prints works, and so does status."""
    with instance(PORTSIDE_AUTH="1") as portside:
        with pytest.raises(ClientError) as refused:
            portside.client("ecs").list_clusters()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
        assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"
        with pytest.raises(urllib.error.HTTPError) as unsigned:
            http_get(f"{portside.url}/_portside/status")
        assert unsigned.value.code == 403

        environment = os.environ | {"PORTSIDE_DATA_DIR": str(portside.settings.data_dir), "PORTSIDE_EGRESS": "none"}
        printed = subprocess.run(
            [LAUNCHER, "env"], env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        key = credential.read(portside.settings.data_dir)
        assert key is not None
        assert f"export AWS_ACCESS_KEY_ID={key.access_key_id}\n" in printed
        variables = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
        listed = subprocess.run(
            [LAUNCHER.parent / ".venv/bin/aws", "ecs", "list-clusters"],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "clusterArns" in listed.stdout
        status = subprocess.run(
            [LAUNCHER, "status", "--json"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert status.returncode == 0, status.stderr
        assert oct((portside.settings.data_dir / credential.FILE).stat().st_mode)[-3:] == "600"
