"""A Portside of a test's or benchmark's own: own port, own data folder, no way out, torn down at the end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portside.balancer.process import shared_memory
from portside.balancer.process import stop as stop_envoy
from portside.node.teardown import teardown
from portside.settings import Settings
from portside.testing import leak
from portside.testing.wait import answers, end, free_port, http_get, wait_for

IMAGE = "localhost/portside-test:1"
ACCOUNT = "000000000000"
REGION = "us-east-1"


class Instance:
    """A daemon as a child process, and clients of it."""

    def __init__(self, settings: Settings, environment: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the daemon wrote so far."""
        return (self.settings.data_dir.parent / "daemon.log").read_text(errors="replace")

    def start(self, **environment: str) -> None:
        """Returns at the first answer. Args: environment: for this run alone."""
        self.settings.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with (self.settings.data_dir.parent / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "portside.main", "--data-dir", str(self.settings.data_dir)),
                    *("--port", str(self.settings.port), "--egress", self.settings.egress),
                    *("--hosts-file", str(self.settings.hosts_file or "")),
                ],
                env=os.environ | self._environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def up() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"the daemon ended at its start:\n{self.log[-2000:]}")
            return answers(f"{self.url}/_portside/health")

        wait_for(up, timeout_s=30, pause_s=0.005, what="the first answer")

    def ready(self) -> None:
        """Wait until the machine was looked at and the loops run."""
        wait_for(lambda: self.health()["status"] == "ok", timeout_s=60, what="readiness")

    def kill(self) -> None:
        """kill -9 of the daemon; its containers, networks and proxy run on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def died(self) -> None:
        """Wait until the daemon has killed itself at its failpoint."""
        assert self._process is not None
        assert self._process.wait(30) == -signal.SIGKILL

    def halted(self) -> bool:
        """Whether the daemon has stopped itself at its failpoint, to go on by `go_on`."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM; what it hosts runs on."""
        if self._process is not None and self._process.poll() is None:
            end(self._process)

    def destroy(self) -> None:
        """Daemon, containers, networks, proxy: all gone."""
        self.stop()
        stop_envoy(self.settings)  # first: what remembers its pid lies in the folder that goes next
        (self.settings.run_dir / "daemon.json").unlink(missing_ok=True)  # of one that was killed
        teardown(self.settings)

    def health(self) -> dict[str, Any]:
        return dict(json.loads(http_get(f"{self.url}/_portside/health")))

    def status(self) -> dict[str, Any]:
        return dict(json.loads(http_get(f"{self.url}/_portside/status")))

    def problems(self) -> list[dict[str, Any]]:
        return list(json.loads(http_get(f"{self.url}/_portside/problems"))["problems"])

    def client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, max_pool_connections=16, read_timeout=30),
        )

    def aws(
        self, *arguments: str, check: bool = True, timeout_s: float = 120, program: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The real command, as a user types it: version 1 of the Python environment, or another `program`.

        That one is given the address by option: versions before 2.13 do not know AWS_ENDPOINT_URL."""
        command = [str(Path(sys.executable).parent / "aws"), *arguments]
        if program is not None:
            command = [program, "--endpoint-url", self.url, *arguments]
        environment = os.environ | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
            "AWS_DEFAULT_OUTPUT": "json",
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
        if check and done.returncode:
            raise AssertionError(f"aws {' '.join(arguments)}: {done.stderr}")
        return done

    # what nearly every test needs

    def subnets(self) -> list[str]:
        """The default subnets, by zone."""
        found = self.client("ec2").describe_subnets()["Subnets"]
        return [subnet["SubnetId"] for subnet in sorted(found, key=lambda each: str(each["AvailabilityZone"]))]

    def vpc(self) -> str:
        return str(self.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"])

    def network(self, *groups: str) -> dict[str, Any]:
        """A networkConfiguration in all default subnets."""
        configuration: dict[str, Any] = {"subnets": self.subnets()}
        if groups:
            configuration["securityGroups"] = list(groups)
        return {"awsvpcConfiguration": configuration}

    def register(
        self, family: str, *containers: dict[str, Any], cpu: str = "256", memory: str = "512", **more: Any
    ) -> str:
        """A Fargate task definition; containers default to the test image. Returns its ARN."""
        answer = self.client("ecs").register_task_definition(
            family=family,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu=cpu,
            memory=memory,
            executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
            containerDefinitions=[{"name": "main", "image": IMAGE, "stopTimeout": 2, **each} for each in containers],
            **more,
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def run_task(self, family: str, *, cluster: str = "default", **more: Any) -> str:
        """One Fargate task; returns its ARN."""
        answer = self.client("ecs").run_task(
            cluster=cluster,
            taskDefinition=family,
            launchType="FARGATE",
            **({"networkConfiguration": self.network()} | more),
        )
        assert not answer["failures"], answer["failures"]
        return str(answer["tasks"][0]["taskArn"])

    def task(self, arn: str) -> dict[str, Any]:
        """As DescribeTasks gives it."""
        cluster = arn.split("/")[1]
        (task,) = self.client("ecs").describe_tasks(cluster=cluster, tasks=[arn])["tasks"]
        return dict(task)

    def wait_task(self, arn: str, status: str, *, timeout_s: float = 30) -> dict[str, Any]:
        """The task once its lastStatus is `status`."""

        def there() -> dict[str, Any] | None:
            task = self.task(arn)
            if task["lastStatus"] == "STOPPED" != status:
                raise AssertionError(f"{arn} stopped: {task.get('stoppedReason')}: {task['containers']}")
            return task if task["lastStatus"] == status else None

        found = wait_for(there, timeout_s=timeout_s, what=f"{status} of {arn}")
        assert found is not None
        return found


@contextlib.contextmanager
def instance(folder: Path | None = None, **environment: str) -> Iterator[Instance]:
    """A running, ready instance; at the end everything of it is gone, or the test fails.

    Raises:
        AssertionError: something of it was left on the machine.
    """
    with tempfile.TemporaryDirectory(prefix="portside-") as temporary:
        base = folder or Path(temporary)
        settings = Settings(data_dir=base / "data", port=free_port(), egress="none", hosts_file=None)
        running = Instance(settings, environment)
        words = (settings.instance_id, str(settings.data_dir))
        before = leak.snapshot(*words)
        try:
            running.start()
            running.ready()
            yield running
        finally:
            running.destroy()
        left = leak.wait_for_none(before, *words)
        assert not left, f"left behind: {left}"
        assert not settings.run_dir.exists(), f"left behind: {list(settings.run_dir.iterdir())}"
        assert not shared_memory(settings).exists(), f"left behind: {shared_memory(settings)}"
