"""A gateway on a free loopback port, and AWS's own clients pointed at it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from portside.aws.gateway import Gateway
from portside.aws.server import listen, make_server
from portside.aws.service import Service

ACCOUNT, REGION = "000000000000", "us-east-1"
MAX_BODY_BYTES = 10 * 1024 * 1024

AWS = Path(sys.executable).parent / "aws"
"""The real aws command, from the test environment."""


@dataclass(frozen=True)
class Served:
    """A gateway that is listening."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(
        self,
        service: str,
        *,
        region: str = REGION,
        key: str = ACCOUNT,
        secret: str = "test",
        token: str = "",
        **settings: Any,
    ) -> Any:
        """A boto3 client; it neither retries nor checks parameters, so that the gateway has to."""
        settings = {"retries": {"max_attempts": 0}, "parameter_validation": False, **settings}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token or None,
            config=Config(**settings),
        )

    def client_of_protocol(self, service: str, protocol: str, **settings: Any) -> Any:
        """A boto3 client that speaks this protocol of the service's, as SDKs of other languages do."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (protocol,))
            made = self.client(service, **settings)
            assert made.meta.service_model.resolved_protocol == protocol
        return made

    def run_aws(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the aws command; its output and exit code are in the answer. Args: environment: besides the usual."""
        home = self.environment(**environment)
        return subprocess.run([AWS, *words], env=home, capture_output=True, text=True, timeout=60, check=False)

    def environment(self, **more: str) -> dict[str, str]:
        """Of an aws command that asks this gateway."""
        return {
            "HOME": "/nonexistent",
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
            **more,
        }

    def aws(self, *words: str, **environment: str) -> Any:
        """Run the aws command, which must succeed, and return its JSON (None for no output)."""
        done = self.run_aws(*words, "--output", "json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None


def refusal(call: Callable[..., Any], *given: Any, **params: Any) -> tuple[str, str]:
    """The code and the message of a call that is answered with 400."""
    with pytest.raises(ClientError) as caught:
        call(*given, **params)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(answer["Error"]["Code"]), str(answer["Error"]["Message"])


@contextmanager
def serving(services: Sequence[Service], **settings: Any) -> Iterator[Served]:
    """Serve a gateway from a thread of its own until the block ends."""
    settings = {
        "max_body_bytes": MAX_BODY_BYTES,
        "auth": None,
        "default_account": ACCOUNT,
        "default_region": REGION,
        "extensions": {},
        **settings,
    }
    server = make_server(Gateway(services, **settings))
    sock = listen("127.0.0.1", 0)
    # The socket listens already: clients that come before the server is up wait in its queue.
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), name="gateway")
    thread.start()
    try:
        yield Served(sock.getsockname()[1])
    finally:
        server.stop()
        thread.join(timeout=30)
        sock.close()
        assert not thread.is_alive(), "the gateway did not stop"
