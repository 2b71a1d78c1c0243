"""The main job: services behind a load balancer, driven through the API, answered by containers."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.cli.demo_image import ensure_web_image
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.wait import free_port, http_get, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.aws("ecs", "create-cluster", "--cluster-name", "default")
        yield running


class Application:
    """A load balancer with one listener and a service behind it."""

    def __init__(self, portside: Instance, name: str, image: str, command: list[str] | None, desired: int = 2) -> None:
        self.portside, self.name = portside, name
        ec2, self.elb, self.ecs = portside.client("ec2"), portside.client("elbv2"), portside.client("ecs")
        vpc, subnets = portside.vpc(), portside.subnets()[:2]
        self.balancer_group = ec2.create_security_group(GroupName=f"{name}-lb", Description="lb", VpcId=vpc)["GroupId"]
        self.task_group = ec2.create_security_group(GroupName=f"{name}-task", Description="t", VpcId=vpc)["GroupId"]
        self.port = free_port()
        everyone = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_ingress(GroupId=self.balancer_group, IpPermissions=everyone)
        only = [
            {
                "IpProtocol": "tcp",
                "FromPort": 80,
                "ToPort": 80,
                "UserIdGroupPairs": [{"GroupId": self.balancer_group}],
            }
        ]
        ec2.authorize_security_group_ingress(GroupId=self.task_group, IpPermissions=only)
        self.lb = self.elb.create_load_balancer(Name=name, Subnets=subnets, SecurityGroups=[self.balancer_group])[
            "LoadBalancers"
        ][0]
        self.target_group = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=80,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.target_group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}],
        )
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.lb["LoadBalancerArn"],
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}],
        )["Listeners"][0]["ListenerArn"]
        self.image = image
        self.revision(command)
        self.ecs.create_service(
            cluster="default",
            serviceName=name,
            taskDefinition=name,
            desiredCount=desired,
            launchType="FARGATE",
            loadBalancers=[{"targetGroupArn": self.target_group, "containerName": "main", "containerPort": 80}],
            networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [self.task_group]}},
        )

    def revision(self, command: list[str] | None, **more: Any) -> str:
        container: dict[str, Any] = {"image": self.image, "portMappings": [{"containerPort": 80}], **more}
        if command:
            container["command"] = command
        return self.portside.register(self.name, container, cpu="512", memory="1024")

    @property
    def host_address(self) -> str:
        (balancer,) = [b for b in self.portside.status()["loadBalancers"] if b["name"] == self.name]
        return str(balancer["hostAddresses"][0])

    @property
    def url(self) -> str:
        return f"http://{self.host_address}:{self.port}/"

    def stable(self, *, timeout_s: float = 60) -> dict[str, Any]:
        """The service once its one deployment is complete and as many tasks run as wanted."""

        def there() -> dict[str, Any] | None:
            (service,) = self.ecs.describe_services(cluster="default", services=[self.name])["services"]
            done = len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]
            return service if done and service["deployments"][0]["rolloutState"] == "COMPLETED" else None

        found = wait_for(there, timeout_s=timeout_s, what=f"service {self.name} stable")
        assert found is not None
        return dict(found)

    def tasks(self) -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster="default", serviceName=self.name)["taskArns"]
        return list(self.ecs.describe_tasks(cluster="default", tasks=arns)["tasks"]) if arns else []

    def health(self) -> list[str]:
        answer = self.elb.describe_target_health(TargetGroupArn=self.target_group)
        return [each["TargetHealth"]["State"] for each in answer["TargetHealthDescriptions"]]

    def delete(self) -> None:
        self.ecs.delete_service(cluster="default", service=self.name, force=True)
        self.elb.delete_load_balancer(LoadBalancerArn=self.lb["LoadBalancerArn"])
        self.elb.delete_target_group(TargetGroupArn=self.target_group)


def address(task: dict[str, Any]) -> str:
    details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
    return str(details["privateIPv4Address"])


def processes_of(task_arn: str) -> list[int]:
    """The processes in a task's cgroups, as the kernel has them."""
    task_id, found = task_arn.rsplit("/", 1)[-1], []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                groups = (folder / "cgroup").read_text()
                command = (folder / "comm").read_text().strip()
            except OSError:
                continue
            if task_id in groups and command != "conmon":
                found.append(int(folder.name))
    return sorted(found)


FETCH = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {} 80 | grep -q '200 OK'"
"""busybox's static wget ends with SIGSEGV in an image without name service libraries; its nc does not."""
AWS_V2 = "/usr/bin/aws"
"""Debian's package: version 2, which alone has `logs tail`."""
HTTPD = ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www"]


@pytest.fixture(scope="module")
def application(portside: Instance) -> Iterator[Application]:
    application = Application(portside, "app", IMAGE, HTTPD)
    application.stable()
    yield application
    application.delete()


def test_requests_reach_every_task_through_the_load_balancer(application: Application) -> None:
    """Both tasks of the service answer on the load balancer's address, each at its own private address."""
    wait_for(lambda: application.health() == ["healthy", "healthy"], timeout_s=30, what="two healthy targets")
    seen = {http_get(application.url) for _ in range(20)}
    assert len(seen) == 2
    assert len({address(task) for task in application.tasks()}) == 2


def test_the_name_of_the_load_balancer_works_with_curl(application: Application) -> None:
    """curl resolves every *.localhost name to 127.0.0.1 and still reaches this load balancer."""
    url = f"http://{application.lb['DNSName']}:{application.port}/"
    done = subprocess.run(
        ["curl", "-sf", "--noproxy", "*", url], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("ip-172-31-")


def test_portside_lb_shows_it(application: Application) -> None:
    """The listener with its rule, both targets as healthy, and the requests that were sent so far."""
    folder = str(application.portside.settings.data_dir)

    def shown(*more: str) -> str:
        command = [sys.executable, "-m", "portside.cli", "lb", application.name, "--data-dir", folder, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    for _ in range(5):
        http_get(application.url)
    (balancer,) = json.loads(shown("--json"))["loadBalancers"]
    (group,) = balancer["targetGroups"]
    assert [each["state"] for each in group["targets"]] == ["healthy", "healthy"]
    assert group["counted"]["requests"] >= 5
    text = shown()
    assert f"HTTP {application.port}" in text
    assert f"default  to {application.name}" in text
    for task in application.tasks():
        assert f"{address(task)}:80" in text


def test_a_task_is_not_reachable_past_its_security_group(portside: Instance, application: Application) -> None:
    """A task whose group admits only the load balancer's group does not answer another task."""
    target = address(application.tasks()[0])
    portside.register("probe", {"command": ["sh", "-c", FETCH.format(target)]})
    stopped = portside.wait_task(portside.run_task("probe"), "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 1
    outside = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "--interface", "lo", "-m", "2", f"http://{target}/"], check=False, timeout=10
    )
    assert outside.returncode != 0


def test_a_task_admitted_by_its_group_is_reached_by_another(portside: Instance) -> None:
    """Two tasks of the default group, which admits itself, reach each other."""
    portside.register("server", {"command": HTTPD, "portMappings": [{"containerPort": 80}]})
    server = portside.wait_task(portside.run_task("server"), "RUNNING")
    fetch = f"until {FETCH.format(address(server))}; do usleep 100000; done"
    portside.register("client", {"command": ["timeout", "10", "sh", "-c", fetch]})
    stopped = portside.wait_task(portside.run_task("client"), "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 0
    portside.client("ecs").stop_task(cluster="default", task=server["taskArn"])


def test_a_killed_container_is_replaced(application: Application) -> None:
    """kill -9 of a container's process: the task ends with 137 and the service starts another."""
    before = {task["taskArn"] for task in application.tasks()}
    victim = sorted(before)[0]
    os.kill(processes_of(victim)[0], signal.SIGKILL)
    stopped = application.portside.wait_task(victim, "STOPPED")
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert stopped["containers"][0]["exitCode"] == 137

    def replaced() -> bool:
        running = {task["taskArn"] for task in application.tasks() if task["lastStatus"] == "RUNNING"}
        return len(running) == 2 and victim not in running

    wait_for(replaced, timeout_s=30, what="a replacement")


def test_deployment_under_load_fails_no_request(portside: Instance) -> None:
    """A rolling update to a new image with 32 keep-alive connections under way: not one request fails."""
    image, new_image = ensure_web_image(), "localhost/portside-test-web:2"
    subprocess.run(["podman", "tag", image, new_image], check=True, timeout=60)
    web = Application(portside, "rolling", image, None)
    web.stable()
    wait_for(lambda: web.health() == ["healthy", "healthy"], timeout_s=30, what="two healthy targets")
    old = {task["taskArn"] for task in web.tasks()}
    output: list[str] = []

    def load() -> None:
        done = subprocess.run(
            ["wrk", "-t1", "-c32", "-d20s", web.url], capture_output=True, text=True, timeout=60, check=True
        )
        output.append(done.stdout)

    thread = threading.Thread(target=load)
    thread.start()
    web.image = new_image
    arn = web.revision(None)
    web.ecs.update_service(cluster="default", service="rolling", taskDefinition=arn)
    web.stable()
    wait_for(
        lambda: all(web.portside.task(each)["lastStatus"] == "STOPPED" for each in old),
        timeout_s=30,
        what="old tasks gone",
    )
    thread.join()
    assert not {task["taskArn"] for task in web.tasks()} & old
    assert {container["image"] for task in web.tasks() for container in task["containers"]} == {new_image}
    assert "Non-2xx" not in output[0], output[0]
    assert "Socket errors" not in output[0], output[0]
    served = re.search(r"(\d+) requests in", output[0])
    assert served is not None
    assert int(served.group(1)) > 100
    web.delete()


def test_a_bad_image_under_load_fails_no_request(portside: Instance) -> None:
    """An image that there is none of, under load: the breaker trips at the documented count, the good revision is back
    with the tasks that it had, and not one request fails on the way."""
    web = Application(portside, "guarded", ensure_web_image(), None)
    web.stable()
    wait_for(lambda: web.health() == ["healthy", "healthy"], timeout_s=30, what="two healthy targets")
    good, before = web.ecs.describe_services(services=["guarded"])["services"][0]["taskDefinition"], web.tasks()
    output: list[str] = []

    def load() -> None:
        command = ["wrk", "-t1", "-c16", "-d20s", "--timeout", "30s", web.url]
        output.append(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)

    thread = threading.Thread(target=load)
    thread.start()
    web.image = "localhost/portside-there-is-none:1"
    web.ecs.update_service(
        service="guarded",
        taskDefinition=web.revision(None),
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )

    def newest() -> dict[str, Any]:
        return dict(web.ecs.list_service_deployments(service="guarded")["serviceDeployments"][0])

    wait_for(lambda: newest()["status"] == "ROLLBACK_SUCCESSFUL", timeout_s=90, what="the rollback")
    thread.join()
    arns = [newest()["serviceDeploymentArn"]]
    (told,) = web.ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
    breaker = told["deploymentCircuitBreaker"]
    assert (breaker["status"], breaker["threshold"]) == ("TRIGGERED", 3)
    assert breaker["failureCount"] in (3, 4)  # two start at once
    assert web.stable()["taskDefinition"] == good
    assert {each["taskArn"] for each in web.tasks()} == {each["taskArn"] for each in before}
    assert "Non-2xx" not in output[0], output[0]
    assert "Socket errors" not in output[0], output[0]
    web.delete()


def test_limits_are_in_the_kernel(portside: Instance) -> None:
    """A container that takes more memory than its limit ends with 137 and AWS's words for it."""
    hog = ["sh", "-c", "x=a; while true; do x=$x$x; done"]
    portside.register("hog", {"command": hog, "memory": 64})
    stopped = portside.wait_task(portside.run_task("hog"), "STOPPED", timeout_s=60)
    container = stopped["containers"][0]
    assert container["exitCode"] == 137
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_failures_end_in_the_words_of_aws(portside: Instance) -> None:
    """A missing image, a missing program and a failing command: stop code, reason and exit code."""
    portside.register("noimage", {"image": "localhost/no/such:1"})
    stopped = portside.wait_task(portside.run_task("noimage"), "STOPPED", timeout_s=60)
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"].startswith("CannotPullContainerError: ")
    portside.register("noprogram", {"command": ["/no/such/program"]})
    stopped = portside.wait_task(portside.run_task("noprogram"), "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert "CannotStartContainerError" in stopped["stoppedReason"]
    assert "/no/such/program" in stopped["stoppedReason"]
    portside.register("fails", {"command": ["sh", "-c", "exit 7"]})
    stopped = portside.wait_task(portside.run_task("fails"), "STOPPED")
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert stopped["stoppedReason"] == "Essential container in task exited"
    assert stopped["containers"][0]["exitCode"] == 7


def test_output_arrives_complete_and_in_order(portside: Instance) -> None:
    """Every line of a container, the last before its exit included, is in its stream `prefix/container/task-id`."""
    logs = portside.client("logs")
    logs.create_log_group(logGroupName="/lines")
    options = {"awslogs-group": "/lines", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    portside.register(
        "lines",
        {
            "command": ["sh", "-c", "seq 1 500; printf last"],
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        },
    )
    arn = portside.run_task("lines")
    portside.wait_task(arn, "STOPPED")
    stream = f"p/main/{arn.rsplit('/', 1)[-1]}"
    events = logs.get_log_events(logGroupName="/lines", logStreamName=stream, startFromHead=True)["events"]
    assert [event["message"] for event in events] == [*map(str, range(1, 501)), "last"]


@pytest.mark.skipif(not Path(AWS_V2).exists(), reason="Debian's awscli, version 2, is not installed")
def test_the_log_is_followed_by_version_2_of_the_command(portside: Instance) -> None:
    """`aws logs tail` shows the lines of a container, of an instance that version 2 reaches by --endpoint-url."""
    portside.client("logs").create_log_group(logGroupName="/tail")
    options = {"awslogs-group": "/tail", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    log = {"logDriver": "awslogs", "options": options}
    portside.register("tail", {"command": ["sh", "-c", "echo one; echo two"], "logConfiguration": log})
    portside.wait_task(portside.run_task("tail"), "STOPPED")
    tail = portside.aws("logs", "tail", "/tail", "--format", "short", program=AWS_V2)
    assert [line.split(" ", 1)[1] for line in tail.stdout.splitlines()] == ["one", "two"]


@pytest.mark.parametrize("program", [None, AWS_V2])
def test_the_waiters_of_the_command_line(portside: Instance, program: str | None) -> None:
    """`aws ecs wait` ends for running and stopped tasks, stable and inactive services, with both versions of `aws`."""
    if program is not None and not Path(program).exists():
        pytest.skip("Debian's awscli, version 2, is not installed")

    def aws(*arguments: str) -> None:
        portside.aws(*arguments, program=program)

    portside.register("short", {"command": ["sleep", "300"]})
    task = portside.run_task("short")
    aws("ecs", "wait", "tasks-running", "--tasks", task)
    aws("ecs", "stop-task", "--task", task, "--reason", "enough")
    aws("ecs", "wait", "tasks-stopped", "--tasks", task)
    assert portside.task(task)["stoppedReason"] == "enough"
    configuration = "awsvpcConfiguration={subnets=[%s]}" % ",".join(portside.subnets())  # noqa: UP031
    aws(
        *("ecs", "create-service", "--service-name", "w", "--task-definition", "short", "--desired-count", "1"),
        *("--launch-type", "FARGATE", "--network-configuration", configuration),
    )
    aws("ecs", "wait", "services-stable", "--services", "w")
    aws("ecs", "delete-service", "--service", "w", "--force")
    aws("ecs", "wait", "services-inactive", "--services", "w")
