"""Services that register their tasks in Cloud Map: names follow tasks, by their health, and nothing stale is left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from resolver_lab import Vpc, ask, running

from portside.domain import ecs_image
from portside.domain.dns import Code, Srv, Type
from portside.testing.instance import IMAGE, REGION, Instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

FOREVER = ["sh", "-c", "while :; do sleep 1; done"]


@pytest.fixture
def portside(tmp_path: Path) -> Iterator[Instance]:
    with running(tmp_path, "none") as made:
        yield made


class Web:
    """A Fargate service `web` whose tasks are registered in a service of Cloud Map."""

    def __init__(self, vpc: Vpc, count: int, *kinds: str, registry: Any = None, **container: Any) -> None:
        self.vpc, self.portside, self.ecs = vpc, vpc.portside, vpc.portside.client("ecs")
        self.registry_id = vpc.service("web", *kinds, HealthCheckCustomConfig={"FailureThreshold": 1})
        self.arn = vpc.sd.get_service(Id=self.registry_id)["Service"]["Arn"]
        self.portside.register("web", {"command": FOREVER, **container})
        self.ecs.create_service(
            serviceName="web",
            taskDefinition="web",
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [vpc.subnet]}},
            serviceRegistries=[{"registryArn": self.arn, **(registry or {})}],
        )

    def running(self) -> dict[str, str]:
        """Task id -> address, of what runs."""
        arns = self.ecs.list_tasks(serviceName="web")["taskArns"]
        tasks = self.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        found = {}
        for task in tasks:
            if task["lastStatus"] == "RUNNING":
                details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
                found[task["taskArn"].rpartition("/")[2]] = details["privateIPv4Address"]
        return found

    def steady(self, count: int) -> dict[str, str]:
        def there() -> dict[str, str] | None:
            found = self.running()
            return found if len(found) == count else None

        found = wait_for(there, timeout_s=60, what=f"{count} tasks run")
        assert found is not None
        return found

    def registered(self) -> dict[str, dict[str, str]]:
        found = self.vpc.sd.list_instances(ServiceId=self.registry_id)["Instances"]
        return {each["Id"]: each["Attributes"] for each in found}


def test_names_follow_the_tasks(portside: Instance) -> None:
    """Every RUNNING task is registered with ECS's attributes and answered by name; one that is stopped is not any more,
    its replacement is; the registry can be deleted once the service is gone, and not before."""
    vpc = Vpc(portside)
    web = Web(vpc, 3, "A")
    first, asker = web.steady(3), vpc.task()
    assert asker.data("web.corp.local") == set(first.values())
    for task_id, attributes in web.registered().items():
        zone = attributes.pop("AVAILABILITY_ZONE")
        assert zone.startswith(REGION)
        assert attributes == {
            "AWS_INSTANCE_IPV4": first[task_id],
            "AWS_INIT_HEALTH_STATUS": "HEALTHY",
            "REGION": REGION,
            "ECS_SERVICE_NAME": "web",
            "ECS_CLUSTER_NAME": "default",
            "ECS_TASK_DEFINITION_FAMILY": "web",
        }
    stopped = next(iter(first))
    web.ecs.stop_task(task=stopped)
    wait_for(lambda: stopped not in web.registered(), timeout_s=30, what="the stopped task is deregistered")
    wait_for(lambda: len(web.registered()) == 3, timeout_s=60, what="its replacement is registered")
    assert asker.data("web.corp.local") == set(web.steady(3).values())
    with pytest.raises(vpc.sd.exceptions.ResourceInUse):
        vpc.sd.delete_service(Id=web.registry_id)
    web.ecs.delete_service(service="web", force=True)
    wait_for(lambda: not web.registered(), timeout_s=60, what="nothing is registered")
    assert asker.ask("web.corp.local").code is Code.NXDOMAIN
    vpc.sd.delete_service(Id=web.registry_id)
    vpc.done(vpc.sd.delete_namespace(Id=vpc.namespace))


def test_health_of_containers_decides(portside: Instance) -> None:
    """A task whose container is not known to be well is registered as unhealthy, and is answered once its check has
    passed; while no other is well, it is answered all the same."""
    vpc = Vpc(portside)
    check = {"command": ["CMD-SHELL", "test -e /tmp/well"], "interval": 5, "retries": 10, "startPeriod": 300}
    command = [
        "sh",
        "-c",
        "while ! nslookup now.corp.local >/dev/null; do sleep 0.2; done; touch /tmp/well; sleep 1000",
    ]
    web = Web(vpc, 2, "A", command=command, healthCheck=check)
    tasks, asker = web.steady(2), vpc.task()
    assert {each["AWS_INIT_HEALTH_STATUS"] for each in web.registered().values()} == {"UNHEALTHY"}

    def health() -> set[str]:
        return set(vpc.sd.get_instances_health_status(ServiceId=web.registry_id)["Status"].values())

    assert health() == {"UNHEALTHY"}
    assert asker.data("web.corp.local") == set(tasks.values())
    vpc.register(vpc.service("now", "A"), "one", AWS_INSTANCE_IPV4="10.0.0.10")
    wait_for(lambda: health() == {"HEALTHY"}, timeout_s=60, what="the checks have passed")


def test_nothing_stale_after_kill_9(portside: Instance) -> None:
    """Tasks that ended while Portside was down are not answered by the next one, and what runs still is."""
    vpc = Vpc(portside)
    web = Web(vpc, 2, "A")
    before, asker = web.steady(2), vpc.task()
    (gone, _), (kept, other) = before.items()
    (pin,) = (portside.settings.run_dir / "netns").glob(f"task-{gone}-*")
    portside.kill()
    _kill_all_in(pin)
    portside.start()
    portside.ready()
    wait_for(lambda: gone not in web.registered(), timeout_s=60, what="the ended task is deregistered")
    now = web.steady(2)
    assert kept in now
    wait_for(lambda: set(web.registered()) == set(now), timeout_s=30, what="its replacement is registered")
    answered = asker.data("web.corp.local")
    assert answered == set(now.values())
    assert other in answered


def test_srv_records_of_services(portside: Instance) -> None:
    """With SRV records a task is found with its port: on Fargate the one that the service names, on the bridge of an
    instance the host's port and the instance's address."""
    vpc, ec2, ecs = Vpc(portside), portside.client("ec2"), portside.client("ecs")
    web = Web(vpc, 1, "SRV", registry={"port": 8080})
    ((task_id, address),) = web.steady(1).items()
    asker = vpc.task()
    assert asker.data("web.corp.local", Type.SRV) == {Srv(8080, f"{task_id}.web.corp.local")}
    assert asker.data(f"{task_id}.web.corp.local") == {address}
    ami = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
    launched = ec2.run_instances(ImageId=ami, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=vpc.subnet)
    instance = launched["Instances"][0]
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance")
    ecs.register_task_definition(
        family="bridged",
        networkMode="bridge",
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "command": FOREVER,
                "stopTimeout": 2,
                "portMappings": [{"containerPort": 80}],
            }
        ],
    )
    made = vpc.sd.get_service(Id=vpc.service("api", "SRV"))["Service"]
    ecs.create_service(
        serviceName="api",
        taskDefinition="bridged",
        desiredCount=1,
        launchType="EC2",
        serviceRegistries=[{"registryArn": made["Arn"], "containerName": "main", "containerPort": 80}],
    )

    def found() -> dict[str, Any] | None:
        instances = vpc.sd.list_instances(ServiceId=made["Id"])["Instances"]
        return dict(instances[0]) if instances else None

    registered = wait_for(found, timeout_s=60, what="the task on the instance is registered")
    assert registered is not None
    attributes = registered["Attributes"]
    arn = ecs.list_tasks(serviceName="api")["taskArns"][0]
    bindings = portside.wait_task(arn, "RUNNING")["containers"][0]["networkBindings"]
    assert attributes["EC2_INSTANCE_ID"] == instance["InstanceId"]
    assert attributes["AWS_INSTANCE_IPV4"] == instance["PrivateIpAddress"]
    assert attributes["AWS_INSTANCE_PORT"] == str(bindings[0]["hostPort"])
    name = f"{registered['Id']}.api.corp.local"
    assert asker.data("api.corp.local", Type.SRV) == {Srv(bindings[0]["hostPort"], name)}
    (pin,) = (portside.settings.run_dir / "netns").glob("ec2-*")
    assert {each.data for each in ask(pin, name, Type.A).records} == {instance["PrivateIpAddress"]}


def _kill_all_in(pin: Path) -> None:
    """End every process whose network namespace that is."""
    wanted = os.stat(pin).st_ino
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.stat(entry / "ns/net").st_ino == wanted:
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue


def test_programs_reach_a_service_by_its_name(portside: Instance) -> None:
    """A program in one task fetches a page from another service by its name, as any program would."""
    vpc = Vpc(portside)
    serve = "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    web = Web(vpc, 2, "A", command=["sh", "-c", serve])
    web.steady(2)
    get = "wget -qO- http://web.corp.local:8080/ | grep -q hello"
    fetch = f"for n in 1 2 3 4 5; do {get} && exit 0; sleep 1; done; exit 1"
    portside.register("fetch", {"command": ["sh", "-c", fetch]})
    network = {"awsvpcConfiguration": {"subnets": [vpc.subnet]}}
    arn = portside.run_task("fetch", networkConfiguration=network)
    assert portside.wait_task(arn, "STOPPED", timeout_s=60)["containers"][0]["exitCode"] == 0
