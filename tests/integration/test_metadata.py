"""The task metadata endpoint, asked by real containers over their own network."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.utils import ContainerMetadataFetcher

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import ACCOUNT, IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

AWS = Path(sys.executable).parent / "aws"
GROUP = "/metadata"
ASK = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4"


@pytest.fixture
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        yield running


class There:
    """One region of an instance: in each the default VPC has the same addresses."""

    def __init__(self, portside: Instance, region: str = REGION) -> None:
        self.portside, self.region = portside, region
        self.client("ecs").create_cluster(clusterName="default")
        self.client("logs").create_log_group(logGroupName=GROUP)

    def client(self, service: str, **credentials: str) -> Any:
        credentials = credentials or {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.portside.url, region_name=self.region, **credentials)

    def run(self, script: str, *, role: str | None = None, groups: tuple[str, ...] = (), **more: Any) -> str:
        """A task that runs the script; its ARN."""
        options = {"awslogs-group": GROUP, "awslogs-region": self.region, "awslogs-stream-prefix": "m"}
        self.client("ecs").register_task_definition(
            family="asks",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
            **({"taskRoleArn": role} if role else {}),
            containerDefinitions=[
                {
                    "name": "main",
                    "image": IMAGE,
                    "stopTimeout": 2,
                    "command": ["sh", "-c", script],
                    "logConfiguration": {"logDriver": "awslogs", "options": options},
                }
            ],
        )
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        network = {"subnets": [subnets[0]["SubnetId"]], "securityGroups": list(groups)}
        answer = self.client("ecs").run_task(
            taskDefinition="asks",
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {key: each for key, each in network.items() if each}},
            **more,
        )
        assert not answer["failures"]
        return str(answer["tasks"][0]["taskArn"])

    def output(self, arn: str, count: int) -> list[str]:
        """What the task wrote, once there are so many lines."""
        logs, stream = self.client("logs"), f"m/main/{arn.rsplit('/', 1)[-1]}"

        def there() -> list[str] | None:
            try:
                found = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
            except logs.exceptions.ResourceNotFoundException:
                return None
            lines = [str(each["message"]) for each in found["events"]]
            return lines if len(lines) >= count else None

        return wait_for(there, timeout_s=30, what=f"{count} lines of {stream}") or []


def go_on(portside: Instance, runtime_id: str) -> None:
    """Let the script of a container go on that reads from /pipe."""
    record = json.loads((portside.settings.data_dir / "node" / "containers" / runtime_id / "record.json").read_text())
    with open(f"/proc/{record['pid']}/root/pipe", "w") as pipe:
        pipe.write("go\n")


def test_a_container_hears_about_itself(portside: Instance) -> None:
    """Container, task, tags and statistics, by both versions; also after the daemon was killed. Security groups have no
    say in it, and a program that listens on every address is in nobody's way."""
    here = There(portside)
    shut = portside.client("ec2").create_security_group(GroupName="shut", Description="d", VpcId=portside.vpc())
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    portside.client("ec2").revoke_security_group_egress(GroupId=shut["GroupId"], IpPermissions=everything)
    both = "for each in $ECS_CONTAINER_METADATA_URI $ECS_CONTAINER_METADATA_URI_V4; do wget -qO- $each; echo; done"
    more = f"for each in task taskWithTags stats task/stats; do {ASK}/$each; echo; done"
    script = f"httpd -p 80; mkfifo /pipe; {both}; {more}; read again < /pipe; {both}; exec sleep 600"
    arn = here.run(script, groups=(shut["GroupId"],), tags=[{"key": "team", "value": "red"}])
    task = portside.wait_task(arn, "RUNNING")
    container, container4, whole, tagged, stats, all_stats = (json.loads(line) for line in here.output(arn, 6))
    runtime_id = task["containers"][0]["runtimeId"]
    assert container["DockerId"] == container4["DockerId"] == runtime_id
    assert container4["ContainerARN"] == task["containers"][0]["containerArn"]
    address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    assert container4["Networks"][0]["IPv4Addresses"] == [address]
    assert (whole["TaskARN"], whole["Family"], whole["LaunchType"]) == (arn, "asks", "FARGATE")
    assert "TaskTags" not in whole
    assert tagged["TaskTags"] == {"team": "red"}
    assert stats["memory_stats"]["usage"] > 0
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert stats["cpu_stats"]["system_cpu_usage"] > stats["cpu_stats"]["cpu_usage"]["total_usage"]
    assert stats["networks"]["eth0"]["tx_bytes"] > 0
    assert list(all_stats) == [runtime_id]
    portside.kill()
    portside.start()
    portside.ready()
    go_on(portside, runtime_id)
    again = here.output(arn, 8)
    assert json.loads(again[6])["DockerId"] == json.loads(again[7])["DockerId"] == runtime_id


def test_nobody_hears_about_another(portside: Instance) -> None:
    """A task that names another's container or credentials is told that there is nothing; so is one in another VPC, at
    the very same address."""
    here = There(portside)
    role = f"arn:aws:iam::{ACCOUNT}:role/app"
    other = here.run(
        "echo $ECS_CONTAINER_METADATA_URI_V4; echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; exec sleep 600", role=role
    )
    uri, path = here.output(other, 2)
    knocks = "; ".join(
        f"wget -O- {each} 2>&1 | grep -o 'HTTP/1.1 [0-9]*'" for each in (uri, f"http://169.254.170.2{path}")
    )
    for place in (here, There(portside, "eu-west-1")):
        asker = place.run(f"{knocks}; {ASK} | wc -c; echo ${{AWS_CONTAINER_CREDENTIALS_RELATIVE_URI:-none}}")
        metadata, credentials, size, own = place.output(asker, 4)
        assert (metadata, credentials) == ("HTTP/1.1 404", "HTTP/1.1 400")
        assert int(size) > 300
        assert own == "none"


def test_the_role_of_a_task(portside: Instance) -> None:
    """The endpoint gives what SDKs read; calls made with it are made by that role, for that task; the same credentials
    are given until they need to be renewed."""
    here = There(portside)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    role = portside.client("iam").create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    ask = "wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo"
    arn = here.run(f"{ask}; {ask}; exec sleep 600", role=role)
    first, second = (json.loads(line) for line in here.output(arn, 2))
    assert first == second
    assert first["RoleArn"] == role
    # The members that the SDK needs, by its own names.
    assert {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} <= first.keys()
    assert ContainerMetadataFetcher.IP_ADDRESS == "169.254.170.2"
    identity = here.client(
        "sts",
        aws_access_key_id=first["AccessKeyId"],
        aws_secret_access_key=first["SecretAccessKey"],
        aws_session_token=first["Token"],
    ).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/{arn.rsplit('/', 1)[-1]}"


def test_too_many_requests(portside: Instance) -> None:
    """Beyond 60 at once a task is told to slow down, and answered again a moment later."""
    here = There(portside)
    burst = f"for i in $(seq 150); do ({ASK} > /dev/null 2>&1 && echo yes || echo no) & done; wait"
    arn = here.run(f"({burst}) | sort | uniq -c; sleep 1; {ASK} | wc -c")
    lines = here.output(arn, 3)
    counts = {word: int(count) for count, word in (line.split() for line in lines[:2])}
    assert counts.keys() == {"no", "yes"}
    assert 60 <= counts["yes"] < 150
    assert int(lines[2]) > 300


def test_a_task_protects_itself(portside: Instance) -> None:
    """A PUT from within the container is what GetTaskProtection tells."""
    there = There(portside)
    document = json.dumps(
        {
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        }
    )
    role = there.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    body = '{"ProtectionEnabled":true}'
    put = (
        "printf 'PUT %s/task-protection/v1/state HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
        f"Content-Length: {len(body)}\\r\\n\\r\\n{body}' ${{ECS_AGENT_URI#http://169.254.170.2}} | nc 169.254.170.2 80"
    )
    portside.register("worker", {"command": ["sh", "-c", f"{put}; sleep 600"]}, taskRoleArn=role)
    ecs = there.client("ecs")
    ecs.create_service(
        serviceName="worker",
        taskDefinition="worker",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )
    protected = wait_for(
        lambda: [
            each["taskArn"]
            for each in ecs.get_task_protection(
                cluster="default", tasks=ecs.list_tasks(serviceName="worker")["taskArns"] or ["0" * 32]
            )["protectedTasks"]
            if each["protectionEnabled"]
        ],
        timeout_s=20,
        what="protection",
    )
    assert protected == ecs.list_tasks(serviceName="worker")["taskArns"]


def test_the_api_takes_roles_only(portside: Instance) -> None:
    """The SDK's variable leads to the API. From there a key that anybody could make up is refused, and so is a call
    that nobody has signed; where the setting allows it, any key will do."""
    call = (
        "wget -S -O /dev/null --header 'X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListClusters' "
        "--header 'Content-Type: application/x-amz-json-1.1' {signed} --post-data '{{}}' $AWS_ENDPOINT_URL 2>&1 "
        "| grep -m 1 HTTP/"
    )
    key = "Credential=000000000000/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
    signed = f"--header 'Authorization: AWS4-HMAC-SHA256 {key}'"
    script = f"{call.format(signed=signed)}; {call.format(signed='')}; exec sleep 600"

    def answers(portside: Instance) -> list[str]:
        there = There(portside)
        return [line.split()[1] for line in there.output(there.run(script), 2)]

    assert answers(portside) == ["400", "403"]
    with instance(PORTSIDE_TASK_ENDPOINT="1") as open_one:
        assert answers(open_one) == ["200", "403"]


def test_the_aws_command_works_in_a_task(portside: Instance) -> None:
    """With the environment and in the network of a task that has a role, and with nothing said about endpoints or
    keys, the real aws command is that role and may call the API; without a role it finds no credentials."""
    principal = {"Service": "ecs-tasks.amazonaws.com"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    role = portside.client("iam").create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    here = There(portside)

    def called(arn: str, *words: str) -> subprocess.CompletedProcess[str]:
        runtime_id = portside.wait_task(arn, "RUNNING")["containers"][0]["runtimeId"]
        kept = portside.settings.data_dir / "node" / "containers" / runtime_id / "record.json"
        pid = json.loads(kept.read_text())["pid"]
        given = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
        environment = dict(each.split("=", 1) for each in given) | {"HOME": "/nonexistent", "AWS_MAX_ATTEMPTS": "1"}
        command = ["nsenter", "--net", f"--target={pid}", str(AWS), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def answer(arn: str, *words: str) -> dict[str, Any] | None:
        done = called(arn, *words)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else None

    with_role = here.run("exec sleep 600", role=role)
    # The command gives the endpoint of the credentials two seconds, which a busy machine may need.
    who = wait_for(lambda: answer(with_role, "sts", "get-caller-identity"), timeout_s=60, what="who the task is")
    assert who is not None
    assert who["Arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/app/")
    tasks = wait_for(lambda: answer(with_role, "ecs", "list-tasks"), timeout_s=60, what="the task's tasks")
    assert tasks == {"taskArns": [with_role]}
    without = called(here.run("exec sleep 600"), "sts", "get-caller-identity")
    assert without.returncode != 0
    assert "Unable to locate credentials" in without.stderr


def test_a_client_that_sends_no_more_is_answered(portside: Instance) -> None:
    """Statistics, which take a moment, reach a client that has closed its sending side, as `nc` does."""
    here = There(portside)
    request = "printf 'GET /v4/%s/stats HTTP/1.0\\r\\n\\r\\n' ${ECS_CONTAINER_METADATA_URI_V4##*/}"
    arn = here.run(f"{request} | nc -w 5 169.254.170.2 80 | tail -n 1; echo; exec sleep 600")
    assert json.loads(here.output(arn, 1)[0])["name"] == "main"


def test_a_task_does_not_hear_of_others_by_the_api(portside: Instance) -> None:
    """Portside's own pages, which ask for no signature, are not there for tasks."""
    with instance(PORTSIDE_TASK_ENDPOINT="1") as open_one:
        there = There(open_one)
        request = f"| nc -w 5 169.254.170.2 {open_one.settings.port} | head -n 1"
        script = "; ".join(
            f"printf 'GET {path} HTTP/1.0\\r\\nHost: 169.254.170.2\\r\\n\\r\\n' {request}"
            for path in ("/_portside/health", "/_portside/status", "/_portside/tasks/x/story")
        )
        lines = there.output(there.run(f"{script}; exec sleep 600"), 3)
        assert [line.split()[1] == "200" for line in lines] == [True, False, False]
