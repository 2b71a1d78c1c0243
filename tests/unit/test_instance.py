"""Instances: how their state goes, what user data says, the images and types there are."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from portside.domain import ecs_image, instance, user_data
from portside.domain.container_instance import registered
from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import Scope
from portside.domain.refusal import Refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAUNCHED = Instance(
    scope=Scope(account="000000000000", region="us-east-1"),
    id="i-1",
    reservation_id="r-1",
    image_id="ami-1",
    instance_type="t3.small",
    eni_id="eni-1",
    subnet_id="subnet-1",
    vpc_id="vpc-1",
    zone="us-east-1a",
    address="10.0.0.4",
    launched_at=NOW,
)


def test_life() -> None:
    """pending, running, stopping, stopped, pending again, and at last shutting-down and terminated for an hour."""
    states: list[str] = []
    each = LAUNCHED
    for step in (instance.done, instance.stopped, instance.done, instance.started, instance.done):
        each = step(each, now=NOW)
        states.append(each.state.value)
    assert states == ["running", "stopping", "stopped", "pending", "running"]
    ending = instance.terminated(each, now=NOW)
    assert ending.state is InstanceState.SHUTTING_DOWN
    assert instance.terminated(ending, now=NOW) is ending
    gone = instance.done(ending, now=NOW)
    assert not instance.is_gone(gone, now=NOW + timedelta(minutes=59))
    assert instance.is_gone(gone, now=NOW + timedelta(hours=1))


def test_wrong_states() -> None:
    """What is not running is not stopped, what has not stopped is not started."""
    stopping = instance.stopped(instance.done(LAUNCHED, now=NOW), now=NOW)
    with pytest.raises(Refused, match="can be stopped"):
        instance.stopped(LAUNCHED, now=NOW)
    with pytest.raises(Refused, match="can be started"):
        instance.started(stopping, now=NOW)
    assert instance.stopped(stopping, now=NOW) is stopping


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("script", "cluster", "attributes"),
    [
        ("", "default", {}),
        ("#!/bin/bash\necho ECS_CLUSTER=web >> /etc/ecs/ecs.config\n", "web", {}),
        ("#!/bin/bash\necho 'ECS_CLUSTER=\"web-1\"' > /etc/ecs/ecs.config", "web-1", {}),
        (
            "cat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=a\nECS_CLUSTER=b\n"
            'ECS_INSTANCE_ATTRIBUTES={"stack": "blue", "n": 1}\nEOF\n',
            "b",
            {"stack": "blue", "n": "1"},
        ),
        ("ECS_INSTANCE_ATTRIBUTES={broken}", "default", {}),
    ],
)
def test_user_data(script: str, cluster: str, attributes: dict[str, str]) -> None:
    """The agent's settings are read wherever they stand in user data; what can not be read is none."""
    found = user_data.configuration(encoded(script))
    assert (found.cluster, found.attributes) == (cluster, attributes)


def test_reserves_and_tags() -> None:
    """Memory and ports that tasks are not given, and tags, are read as the agent reads them."""
    script = (
        "#!/bin/bash\necho ECS_RESERVED_MEMORY=256 >> /etc/ecs/ecs.config\n"
        'echo "ECS_RESERVED_PORTS=[22, 9000, 70000]" >> /etc/ecs/ecs.config\n'
        'echo "ECS_CONTAINER_INSTANCE_TAGS={\\"team\\": \\"blue\\"}" >> /etc/ecs/ecs.config\n'
        "echo ECS_ENABLE_TASK_IAM_ROLE=true >> /etc/ecs/ecs.config\n"
    )
    found = user_data.configuration(encoded(script))
    joined = registered(
        LAUNCHED,
        cluster="default",
        new_id="1" * 32,
        private_dns_name="",
        configuration=found,
        architecture="x86_64",
        interfaces_taken=1,
        now=NOW,
    )
    assert (joined.memory_mib, joined.reserved_ports) == (1792, (22, 9000, 51678, 51679))
    assert [(each.key, each.value) for each in joined.tags] == [("team", "blue")]


def test_unreadable_user_data() -> None:
    """User data is base64 and at most 16 KiB."""
    with pytest.raises(user_data.Unreadable, match="BASE64"):
        user_data.configuration("#!")
    with pytest.raises(user_data.Unreadable, match="16384"):
        user_data.configuration(encoded("x" * 16385))


def test_images() -> None:
    """The public parameters name an image, as a document and member by member; another region has another id."""
    name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended"
    document = ecs_image.parameter("us-east-1", name)
    assert document is not None
    image_id = json.loads(document)["image_id"]
    assert ecs_image.parameter("us-east-1", f"{name}/image_id") == image_id
    assert ecs_image.parameter("eu-west-1", f"{name}/image_id") != image_id
    found = ecs_image.find("us-east-1", image_id)
    assert found is not None
    assert found.architecture == "x86_64"
    assert ecs_image.find("eu-west-1", image_id) is None
    assert ecs_image.parameter("us-east-1", "/aws/service/other") is None
    assert all(ecs_image.parameter("us-east-1", each) is not None for each in ecs_image.parameter_names())


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_mib", "interfaces"),
    [
        ("t3.nano", 2, 512, 2),
        ("t3.small", 2, 2048, 3),
        ("m5.large", 2, 8192, 3),
        ("c5.9xlarge", 36, 73728, 8),
        ("r5.24xlarge", 96, 786432, 15),
        ("m6g.medium", 1, 4096, 2),
    ],
)
def test_types(name: str, vcpus: int, memory_mib: int, interfaces: int) -> None:
    """Types have their real vCPUs, memory and interfaces."""
    kind = INSTANCE_TYPES[name]
    assert (kind.vcpus, kind.memory_mib, kind.interfaces) == (vcpus, memory_mib, interfaces)
