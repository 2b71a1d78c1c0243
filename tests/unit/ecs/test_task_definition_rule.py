"""The rules of registration, through the handler, in AWS's codes and words; and their safety by property."""

from datetime import UTC, datetime
from typing import Any

import pytest
from ecs_sample import container, sample
from hypothesis import given
from hypothesis import strategies as st

from portside.api.ecs import definition_wire
from portside.domain import fargate, task_definition_rule
from portside.domain.record import Scope
from portside.domain.refusal import Refused
from portside.domain.task_definition import TaskDefinition

ROLE = "arn:aws:iam::000000000000:role/execution"
AWSLOGS = {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}


def log(driver: str = "awslogs", **changes: str | None) -> dict[str, Any]:
    options = {name: value for name, value in {**AWSLOGS, **changes}.items() if value is not None}
    return {"logConfiguration": {"logDriver": driver, "options": options}}


BROKEN: list[tuple[dict[str, Any], list[dict[str, Any]] | None, str]] = [
    ({"family": "no spaces"}, None, "Family contains invalid characters."),
    ({"family": "f" * 256}, None, "Family contains invalid characters."),
    ({"tags": []}, None, "Tags can not be empty."),
    ({}, [], "Container list cannot be empty."),
    ({}, [{"name": f"c{n}"} for n in range(11)], "Too many containers."),
    ({}, [{"name": None}], "Container.name should not be null or empty."),
    ({}, [{"image": None}], "Container.image should not be null or empty."),
    ({}, [{"image": "$IMAGE:1"}], "Container.image contains invalid characters."),
    ({}, [{"image": "web:1 "}], "Container.image contains invalid characters."),
    ({}, [{}, {}], "Container names must be unique: 'app' is there twice."),
    ({}, [{"essential": False}], "Task definition doesn't have any essential container."),
    ({"networkMode": "bridge"}, None, "Fargate only supports network mode ‘awsvpc’."),
    ({"networkMode": None}, None, "Fargate only supports network mode ‘awsvpc’."),
    ({"cpu": None}, None, "Fargate requires that 'cpu' be defined at the task level."),
    ({"memory": None}, None, "Fargate requires that 'memory' be defined at the task level."),
    (
        {"memory": "100"},
        None,
        "No Fargate configuration exists for given values: 256 CPU, 100 memory. "
        "See the Amazon ECS documentation for the valid values.",
    ),
    (
        {"cpu": "lots"},
        None,
        "Invalid 'cpu' setting for task. "
        "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
    ),
    (
        {"requiresCompatibilities": None, "cpu": None, "memory": None},
        None,
        "Invalid setting for container 'app'. At least one of 'memory' or 'memoryReservation' must be specified.",
    ),
    ({}, [{"memory": 513}], "The 'memory' setting for container 'app' is greater than for the task."),
    (
        {},
        [{"cpu": 200}, {"name": "b", "cpu": 57, "portMappings": []}],
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
    ),
    (
        {},
        [{"portMappings": [{"containerPort": 80, "hostPort": 8080}]}],
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
    ),
    ({}, [{"portMappings": [{"containerPort": 0}]}], "Invalid 'containerPort' setting for container 'app'."),
    ({}, [{"portMappings": [{"hostPort": 80}]}], "Invalid 'containerPort' setting for container 'app'."),
    (
        {"requiresCompatibilities": ["EC2"], "networkMode": "none"},
        None,
        "Port mappings are not supported when networkMode=none.",
    ),
    (
        {},
        [{}, {"name": "b"}],
        "Host port 80/tcp is mapped by more than one container of a task definition with networkMode=awsvpc.",
    ),
    (
        {},
        [{"dependsOn": [{"containerName": "b", "condition": "START"}]}],
        "Cannot depend on container + 'b' because it does not exist",
    ),
    (
        {},
        [{"dependsOn": [{"containerName": "b", "condition": "SUCCESS"}]}, {"name": "b", "portMappings": []}],
        "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
    ),
    (
        {},
        [{"dependsOn": [{"containerName": "b", "condition": "HEALTHY"}]}, {"name": "b", "portMappings": []}],
        "A dependency container with HEALTHY condition must have health check configured",
    ),
    (
        {},
        [
            {"dependsOn": [{"containerName": "b", "condition": "START"}]},
            {"name": "b", "portMappings": [], "dependsOn": [{"containerName": "app", "condition": "START"}]},
        ],
        "Container dependencies form a cycle: app -> b -> app",
    ),
    (
        {},
        [{"stopTimeout": 121}],
        "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
    ),
    (
        {},
        [{"startTimeout": 121}],
        "Tasks using the Fargate launch type must have a container start timeout of less than 120 seconds.",
    ),
    (
        {},
        [{"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}}],
        "Tasks using the Fargate launch type only support adding the 'SYS_PTRACE' kernel capability.",
    ),
    (
        {},
        [{"linuxParameters": {"capabilities": {"drop": ["CAP_CHOWN"]}}}],
        "Invalid capability 'CAP_CHOWN' for container 'app'.",
    ),
    (
        {},
        [{"linuxParameters": {"tmpfs": [{"containerPath": "relative", "size": 1}]}}],
        "Invalid 'tmpfs' setting for container 'app'.",
    ),
    (
        {},
        [{"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["size=9g"]}]}}],
        "Invalid tmpfs mount option 'size=9g' for container 'app'.",
    ),
    (
        {},
        [{"systemControls": [{"namespace": "vm.swappiness", "value": "1"}]}],
        "System control 'vm.swappiness' of container 'app' is not namespaced: only net.*, fs.mqueue.* "
        "and the kernel's IPC settings are.",
    ),
    (
        {},
        [{"systemControls": [{"namespace": "net/../x", "value": "1"}]}],
        "Invalid 'systemControls' setting for container 'app'.",
    ),
    (
        {},
        [{"healthCheck": {"command": ["curl", "localhost"]}}],
        "The health check command of container 'app' must begin with CMD or CMD-SHELL, followed by what to run.",
    ),
    (
        {},
        [{"healthCheck": {"command": ["CMD", "true"], "interval": 4}}],
        "Invalid 'healthCheck' setting for container 'app': interval must be between 5 and 300.",
    ),
    (
        {},
        [{"restartPolicy": {"enabled": True, "restartAttemptPeriod": 59}}],
        "Invalid 'restartPolicy' setting for container 'app': restartAttemptPeriod must be between 60 and 1800.",
    ),
    (
        {},
        [{"restartPolicy": {"enabled": True, "ignoredExitCodes": list(range(51))}}],
        "Invalid 'restartPolicy' setting for container 'app': at most 50 exit codes can be ignored.",
    ),
    ({}, [{"stopTimeout": 1}], "Granular stop timeout on container 'app' must be at least 2 seconds."),
    (
        {},
        [log()],
        "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
    ),
    (
        {"executionRoleArn": ROLE},
        [log(**{"awslogs-group": None, "awslogs-region": None})],
        "Log driver awslogs requires options: awslogs-region, awslogs-group",
    ),
    (
        {"executionRoleArn": ROLE},
        [log(**{"awslogs-stream-prefix": None})],
        "Log driver awslogs requires options: awslogs-stream-prefix",
    ),
    ({"executionRoleArn": ROLE}, [log(log_key="x")], "Log driver awslogs disallows options: log_key"),
    (
        {"executionRoleArn": ROLE},
        [log(**{"awslogs-group": ""})],
        "Log driver awslogs option 'awslogs-group' should not be null or empty.",
    ),
    (
        {"executionRoleArn": ROLE},
        [log(**{"awslogs-create-group": "false"})],
        "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
    ),
    (
        {"executionRoleArn": ROLE},
        [log(**{"awslogs-multiline-pattern": "^(INFO"})],
        "Log driver awslogs option 'awslogs-multiline-pattern' is invalid: it ends too early: '^(INFO'.",
    ),
    (
        {"executionRoleArn": ROLE},
        [log(**{"awslogs-datetime-format": "%Q"})],
        "Log driver awslogs option 'awslogs-datetime-format' is invalid: %Q is not supported: '%Q'.",
    ),
    ({}, [log("syslog")], "syslog is not a valid log driver. Must be one of [awslogs,splunk,awsfirelens]"),
    ({"executionRoleArn": "arn:aws:iam::1:role/x"}, None, "Role is not valid"),
    ({"taskRoleArn": "arn:aws:iam::000000000000:user/x"}, None, "Role is not valid"),
    (
        {},
        [{"image": "123456789012.dkr.ecr.eu-west-3.amazonaws.com/app"}],
        "Fargate requires task definition to have execution role ARN to support ECR images.",
    ),
    ({"ephemeralStorage": {"sizeInGiB": 20}}, None, "Ephemeral storage size must be between 21 and 200 GiB."),
    ({}, [{"privileged": True}], "Fargate compatible task definitions do not support privileged"),
    ({}, [{"links": ["b"]}], "Links are not supported when networkMode=awsvpc"),
    ({}, [{"hostname": "h"}], "hostname is not supported on container when networkMode=awsvpc"),
    (
        {"pidMode": "host"},
        None,
        "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.",
    ),
    (
        {"volumes": [{"name": "v", "dockerVolumeConfiguration": {"scope": "task"}}]},
        None,
        "Fargate compatible task definitions do not support dockerVolumeConfiguration",
    ),
    (
        {
            "volumes": [
                {
                    "name": "v",
                    "efsVolumeConfiguration": {"fileSystemId": "fs-1", "authorizationConfig": {"iam": "ENABLED"}},
                }
            ]
        },
        None,
        "Volume 'v': transitEncryption must be ENABLED when iam is ENABLED.",
    ),
    ({"volumes": [{"name": "v/w"}]}, None, "Volume name contains invalid characters: 'v/w'."),
    ({"volumes": [{"name": "v"}, {"name": "v"}]}, None, "Volume names must be unique: 'v' is there twice."),
    ({}, [{"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}], "Unknown volume 'v'."),
    (
        {"volumes": [{"name": "v"}]},
        [{"mountPoints": [{"sourceVolume": "v", "containerPath": "/v/../w"}]}],
        "Invalid 'mountPoints' setting for container 'app': containerPath '/v/../w' is not an absolute path below '/'.",
    ),
    (
        {"volumes": [{"name": "v"}, {"name": "w"}]},
        [
            {
                "mountPoints": [
                    {"sourceVolume": each, "containerPath": f"/x{end}"} for each, end in (("v", ""), ("w", "/"))
                ]
            }
        ],
        "Invalid 'mountPoints' setting for container 'app': '/x/' is mounted twice.",
    ),
    (
        {},
        [{"volumesFrom": [{"sourceContainer": "other"}]}],
        "Container 'app' can not take volumes from container 'other', which is not another one of the task definition.",
    ),
    (
        {},
        [{"secrets": [{"name": "A", "valueFrom": "b"}]}],
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
    ),
    (
        {"executionRoleArn": "arn:aws:iam::000000000000:role/x"},
        [{"secrets": [{"name": "A", "valueFrom": "b"}], "environment": [{"name": "A", "value": "c"}]}],
        "The secret name must be unique and not shared with any new or existing environment variables set on the "
        "container, such as 'A'.",
    ),
    (
        {"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}},
        None,
        "Portside does not support operatingSystemFamily WINDOWS_SERVER_2022_CORE yet; see docs/coverage.md",
    ),
    (
        {"tags": [{"key": "aws:mine", "value": "x"}]},
        None,
        "Tag keys starting with 'aws:' are reserved for system use: 'aws:mine'.",
    ),
    (
        {"tags": [{"key": f"k{n}", "value": ""} for n in range(51)]},
        None,
        "Too many tags: 51. A resource can have at most 50.",
    ),
]


@pytest.mark.parametrize(("changes", "containers", "message"), BROKEN, ids=[case[2][:60] for case in BROKEN])
def test_broken_rule(
    ecs: Any,
    changes: dict[str, Any],
    containers: list[dict[str, Any]] | None,
    message: str,
) -> None:
    """Each broken rule is answered with ClientException and its message, and nothing is registered."""
    if containers is not None:
        changes = {**changes, "containerDefinitions": [container(**each) for each in containers]}
    assert ecs.error("RegisterTaskDefinition", **sample(**changes)) == ("ClientException", message)
    assert ecs("ListTaskDefinitions") == {"taskDefinitionArns": []}


def test_too_long_definition(ecs: Any) -> None:
    """A definition of more than 64 KiB is refused with its length."""
    containers = [container(environment=[{"name": "A", "value": "x" * 65536}])]
    code, message = ecs.error("RegisterTaskDefinition", **sample(containerDefinitions=containers))
    assert code == "ClientException"
    assert message.startswith("Actual length: '65")
    assert message.endswith("Max allowed length is '65536' bytes.")


@pytest.mark.parametrize(
    ("text", "units"), [("256", 256), (".25 vCPU", 256), ("1vcpu", 1024), ("2 vCPUs", 2048), (" 512 ", 512)]
)
def test_cpu_forms(text: str, units: int) -> None:
    """Task cpu is given in units or in vCPUs."""
    assert task_definition_rule.parsed_cpu(text) == units


@pytest.mark.parametrize(("text", "mib"), [("512", 512), ("1GB", 1024), ("0.5 GB", 512), ("30 gb", 30720)])
def test_memory_forms(text: str, mib: int) -> None:
    """Task memory is given in MiB or in GB."""
    assert task_definition_rule.parsed_memory(text) == mib


@given(st.text(max_size=40))
def test_sizes_are_parsed_or_refused(text: str) -> None:
    """Any text is a positive whole size or is refused; nothing else comes of it."""
    for parse in (task_definition_rule.parsed_cpu, task_definition_rule.parsed_memory):
        try:
            assert parse(text) > 0
        except Refused:
            pass


@given(st.integers(1, 200_000), st.integers(1, 200_000))
def test_fargate_table(cpu_units: int, memory_mib: int) -> None:
    """A size passes exactly if it is in the table, and then has at least one MiB for each cpu unit."""
    try:
        fargate.check_size(cpu_units, memory_mib)
    except Refused:
        assert memory_mib not in fargate.MEMORY_MIB.get(cpu_units, ())
    else:
        assert memory_mib >= cpu_units


names = st.sampled_from(["a", "b", "c", "d"])
ports = st.fixed_dictionaries(
    {"containerPort": st.integers(-1, 3)},
    optional={"hostPort": st.integers(-1, 3), "protocol": st.sampled_from(["tcp", "udp"])},
)
container_definitions = st.lists(
    st.fixed_dictionaries(
        {"name": names, "image": st.just("i")},
        optional={
            "essential": st.booleans(),
            "cpu": st.integers(-1, 300),
            "memory": st.integers(0, 600),
            "memoryReservation": st.integers(0, 600),
            "portMappings": st.lists(ports, max_size=3),
            "dependsOn": st.lists(
                st.fixed_dictionaries(
                    {
                        "containerName": names,
                        "condition": st.sampled_from(["START", "COMPLETE", "SUCCESS", "HEALTHY"]),
                    }
                ),
                max_size=2,
            ),
            "stopTimeout": st.integers(0, 130),
        },
    ),
    max_size=4,
)


@given(
    container_definitions,
    st.sampled_from(["awsvpc", "bridge", "host", "none", None]),
    st.sampled_from([["FARGATE"], ["EC2"], ["EC2", "FARGATE"], None]),
    st.sampled_from(["256", "512", None]),
    st.sampled_from(["512", "1024", None]),
)
def test_what_is_registered_can_run(
    containers: list[dict[str, Any]], mode: str | None, requires: list[str] | None, cpu: str | None, memory: str | None
) -> None:
    """Whatever passes the rules has the properties that running it rests on."""
    params = {
        "family": "f",
        "containerDefinitions": containers,
        "networkMode": mode,
        "requiresCompatibilities": requires,
        "cpu": cpu,
        "memory": memory,
    }
    draft = definition_wire.definition_from(
        params,
        scope=Scope(account="0" * 12, region="r"),
        registered_at=datetime(2026, 1, 1, tzinfo=UTC),
        registered_by="me",
    )
    try:
        definition = task_definition_rule.checked(draft)
    except Refused:
        return
    by_name = {each.name: each for each in definition.containers}
    assert len(by_name) == len(containers) >= 1
    assert any(each.essential for each in definition.containers)
    assert started_in_order(definition)
    for each in definition.containers:
        for dependency in each.depends_on:
            assert dependency.condition == "START" or not by_name[dependency.container].essential
        assert all(mapping.host_port is not None for mapping in each.port_mappings)
        assert definition.memory_mib or each.memory_mib or each.memory_reservation_mib
    if definition.network_mode in ("awsvpc", "host"):
        taken = [(port.host_port, port.protocol) for each in definition.containers for port in each.port_mappings]
        assert len(taken) == len(set(taken))
        assert all(
            port.host_port == port.container_port for each in definition.containers for port in each.port_mappings
        )
    if "FARGATE" in definition.compatibilities:
        assert definition.network_mode == "awsvpc"
        fargate.check_size(definition.cpu_units, definition.memory_mib)
    assert set(definition.requires) <= set(definition.compatibilities)
    again = definition_wire.definition_from(
        definition_wire.definition_to(definition),
        scope=definition.scope,
        registered_at=definition.registered_at,
        registered_by=definition.registered_by,
    )
    assert task_definition_rule.checked(again) == definition, "what is shown is not what was registered"


def started_in_order(definition: TaskDefinition) -> bool:
    """Whether containers can be started one after the other, each after those it depends on."""
    waiting = {each.name: {one.container for one in each.depends_on} for each in definition.containers}
    while waiting:
        ready = [name for name, on in waiting.items() if not on & waiting.keys()]
        if not ready:
            return False
        for name in ready:
            del waiting[name]
    return True
