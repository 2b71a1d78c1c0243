"""Task definitions through the handlers: what is shown, revisions, pages."""

from typing import Any

import pytest
from ecs_sample import SCOPE, TASK_DEFINITION, Ecs, check_answer
from hypothesis import given
from hypothesis import strategies as st

from portside.api.ecs import page
from portside.domain import table
from portside.domain.container_instance import CAPABILITIES
from portside.store.interface import Delete


def test_registered_definition_is_shown_again(ecs: Any) -> None:
    """Every supported member comes back as it was given, from registration and from description."""
    container = {
        "name": "app",
        "image": "localhost/app:1",
        "cpu": 128,
        "memory": 400,
        "memoryReservation": 100,
        "portMappings": [
            {"containerPort": 80, "hostPort": 80, "protocol": "tcp", "name": "http", "appProtocol": "http"},
            {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
        ],
        "essential": True,
        "entryPoint": ["/bin/sh", "-c"],
        "command": ["run"],
        "environment": [{"name": "A", "value": "b"}],
        "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
        "startTimeout": 10,
        "stopTimeout": 20,
        "user": "1000:1000",
        "workingDirectory": "/srv",
        "readonlyRootFilesystem": True,
        "dockerLabels": {"a": "b"},
        "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "g",
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "p",
                "awslogs-create-group": "true",
                "mode": "non-blocking",
                "max-buffer-size": "25m",
            },
        },
    }
    given_params = {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "0.5 vCPU",
        "memory": "1 GB",
        "taskRoleArn": "arn:aws:iam::000000000000:role/task",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "ephemeralStorage": {"sizeInGiB": 21},
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "containerDefinitions": [container, {"name": "init", "image": "i", "essential": False}],
    }
    registered = ecs("RegisterTaskDefinition", **given_params)["taskDefinition"]
    check_answer("RegisterTaskDefinition", {"taskDefinition": registered})
    assert ecs("DescribeTaskDefinition", taskDefinition="web:1") == {"taskDefinition": registered}
    shown, init = registered["containerDefinitions"]
    empty = {"mountPoints": [], "volumesFrom": [], "systemControls": []}
    assert shown == {**container, **empty}
    assert init == {
        "name": "init",
        "image": "i",
        "essential": False,
        "cpu": 0,
        "portMappings": [],
        "environment": [],
        **empty,
    }
    expected = {**given_params, "cpu": "512", "memory": "1024"}
    del expected["containerDefinitions"]
    assert {name: registered[name] for name in expected} == expected
    assert (registered["revision"], registered["status"]) == (1, "ACTIVE")
    assert registered["compatibilities"] == ["EC2", "FARGATE"]


def test_what_an_instance_must_be_able_to_do(ecs: Any) -> None:
    """The capabilities that a definition takes are those of the agent that go with its members; instances have them."""
    secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-abcdef"
    container = {
        "name": "app",
        "image": "app",
        "memory": 64,
        "privileged": True,
        "healthCheck": {"command": ["CMD", "true"]},
        "secrets": [{"name": "A", "valueFrom": f"{secret}:user::"}, {"name": "B", "valueFrom": "/app/b"}],
        "repositoryCredentials": {"credentialsParameter": secret},
        "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/app.env"}],
    }
    definition = ecs(
        "RegisterTaskDefinition",
        family="app",
        networkMode="host",
        ipcMode="task",
        requiresCompatibilities=["EC2"],
        taskRoleArn="arn:aws:iam::000000000000:role/task",
        executionRoleArn="arn:aws:iam::000000000000:role/execution",
        containerDefinitions=[container],
    )["taskDefinition"]
    required = {each["name"] for each in definition["requiresAttributes"]}
    assert required == {
        "com.amazonaws.ecs.capability.privileged-container",
        "com.amazonaws.ecs.capability.task-iam-role",
        "com.amazonaws.ecs.capability.task-iam-role-network-host",
        "ecs.capability.container-health-check",
        "ecs.capability.env-files.s3",
        "ecs.capability.pid-ipc-namespace-sharing",
        "ecs.capability.private-registry-authentication.secretsmanager",
        "ecs.capability.secrets.asm.environment-variables",
        "ecs.capability.secrets.ssm.environment-variables",
    }
    assert required <= set(CAPABILITIES)


@pytest.mark.parametrize(
    "members",
    [
        {"pidMode": "host"},
        {"ipcMode": "task"},
        {"dockerSecurityOptions": ["no-new-privileges"]},
        {"linuxParameters": {"sharedMemorySize": 64}},
    ],
)
def test_what_fargate_refuses_is_not_for_fargate(ecs: Any, members: dict[str, Any]) -> None:
    """A definition that does not ask for Fargate is not shown as compatible with it if Fargate would refuse it."""
    container = {"name": "a", "image": "i"} | {k: v for k, v in members.items() if not k.endswith("Mode")}
    task = {k: v for k, v in members.items() if k.endswith("Mode")}
    size = {"cpu": "256", "memory": "512", "networkMode": "awsvpc"}
    registered = ecs("RegisterTaskDefinition", family="f", containerDefinitions=[container], **size, **task)
    assert registered["taskDefinition"]["compatibilities"] == ["EC2"]


def test_revisions(ecs: Any) -> None:
    """Revisions count up and are never given twice; the bare family is the latest ACTIVE one."""
    for _ in range(3):
        ecs.register()
    gone = ecs("DeregisterTaskDefinition", taskDefinition="web:3")["taskDefinition"]
    assert (gone["status"], gone["deregisteredAt"]) == ("INACTIVE", ecs.clock.now())
    ecs("DeregisterTaskDefinition", taskDefinition="web:1")
    assert ecs("DescribeTaskDefinition", taskDefinition="web")["taskDefinition"]["revision"] == 2
    assert (
        ecs("DescribeTaskDefinition", taskDefinition=f"{TASK_DEFINITION}/web:3")["taskDefinition"]["status"]
        == "INACTIVE"
    )
    assert ecs("ListTaskDefinitions")["taskDefinitionArns"] == [f"{TASK_DEFINITION}/web:2"]
    inactive = ecs("ListTaskDefinitions", status="INACTIVE", sort="DESC")["taskDefinitionArns"]
    assert inactive == [f"{TASK_DEFINITION}/web:3", f"{TASK_DEFINITION}/web:1"]
    assert ecs.register() == f"{TASK_DEFINITION}/web:4"
    for revision in (2, 4):
        ecs("DeregisterTaskDefinition", taskDefinition=f"web:{revision}")
    assert ecs.error("DescribeTaskDefinition", taskDefinition="web") == (
        "ClientException",
        "Unable to describe task definition.",
    )
    assert ecs("ListTaskDefinitionFamilies") == {"families": []}
    assert ecs("ListTaskDefinitionFamilies", status="INACTIVE") == {"families": ["web"]}
    assert ecs.register() == f"{TASK_DEFINITION}/web:5"


def test_unknown_definitions(ecs: Any) -> None:
    """What is not there, and what is no name of a revision, is told apart."""
    assert ecs.error("DescribeTaskDefinition", taskDefinition="web:1")[1] == "Unable to describe task definition."
    assert ecs.error("DescribeTaskDefinition", taskDefinition="web:x") == (
        "InvalidParameterException",
        "Invalid revision number. Number: x",
    )
    assert ecs.error("DeregisterTaskDefinition", taskDefinition="web") == ("ClientException", "Revision is missing.")
    assert ecs.error("DeregisterTaskDefinition", taskDefinition="web:1")[0] == "ClientException"


@given(
    st.lists(st.sampled_from(["a", "ab", "b", "a-b"]), max_size=12),
    st.integers(1, 5),
    st.sampled_from(["ASC", "DESC"]),
    st.sampled_from([None, "a", "b"]),
)
def test_pages_are_the_whole(families: list[str], size: int, sort: str, prefix: str | None) -> None:
    """Whatever the page size, the pages together are the whole listing, in order, each revision once."""
    ecs = Ecs()
    for family in families:
        ecs.register(family=family)
    filters = {"sort": sort, "familyPrefix": prefix}
    whole = ecs("ListTaskDefinitions", **filters)["taskDefinitionArns"]
    wanted = [family for family in families if prefix in (None, family)]
    expected = sorted(
        ((family, revision) for family in set(wanted) for revision in range(1, wanted.count(family) + 1)),
        reverse=sort == "DESC",
    )
    assert whole == [f"{TASK_DEFINITION}/{family}:{revision}" for family, revision in expected]
    paged: list[str] = []
    token = None
    while True:
        answer = ecs("ListTaskDefinitions", maxResults=size, nextToken=token, **filters)
        assert len(answer["taskDefinitionArns"]) <= size
        paged += answer["taskDefinitionArns"]
        token = answer.get("nextToken")
        if token is None:
            break
    assert paged == whole


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 100))
def test_pages_of_keys(keys: list[str], size: int) -> None:
    """Pages of sorted keys, token by token, are all the keys in order."""
    keys.sort()
    seen: list[str] = []
    params: dict[str, Any] = {"maxResults": size}
    while True:
        shown, token = page.cut(keys, params)
        seen += shown
        if token is None:
            break
        params["nextToken"] = token
    assert seen == keys


def test_bad_page(ecs: Any) -> None:
    """A page size out of range and a token that was never given are refused."""
    assert ecs.error("ListClusters", maxResults=0)[0] == "InvalidParameterException"
    assert ecs.error("ListClusters", maxResults=101)[0] == "InvalidParameterException"
    assert ecs.error("ListTaskDefinitions", nextToken="é") == ("InvalidParameterException", "Invalid token.")
    assert ecs.error("ListTaskDefinitions", nextToken=page.token("web:x")) == (
        "InvalidParameterException",
        "Invalid token.",
    )


def test_deletion_is_asked_for_after_deregistration(ecs: Ecs) -> None:
    """An INACTIVE revision becomes DELETE_IN_PROGRESS, also when asked again; others are failures in AWS's words."""
    first, second = ecs.register(), ecs.register()
    ecs("DeregisterTaskDefinition", taskDefinition=first)
    asked = [first, second, "web:9"]
    for _ in range(2):
        answer = ecs("DeleteTaskDefinitions", taskDefinitions=asked)
        assert [(each["revision"], each["status"]) for each in answer["taskDefinitions"]] == [(1, "DELETE_IN_PROGRESS")]
        assert answer["taskDefinitions"][0]["deleteRequestedAt"] == ecs.clock.now()
        assert [(each["arn"].rpartition("/")[2], each["reason"]) for each in answer["failures"]] == [
            (
                "web:2",
                "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
            ),
            ("web:9", "The specified task definition does not exist."),
        ]
    assert ecs("DescribeTaskDefinition", taskDefinition=first)["taskDefinition"]["status"] == "DELETE_IN_PROGRESS"
    assert ecs("ListTaskDefinitions", status="DELETE_IN_PROGRESS") == {"taskDefinitionArns": [first]}
    assert ecs("ListTaskDefinitions", status="INACTIVE") == {"taskDefinitionArns": []}
    assert ecs.error("DeleteTaskDefinitions", taskDefinitions=["web"]) == ("ClientException", "Revision is missing.")
    for wrong in ([], ["web:1"] * 11):
        assert ecs.error("DeleteTaskDefinitions", taskDefinitions=wrong)[0] == "InvalidParameterException"


def test_a_family_whose_revisions_are_gone_is_not_listed(ecs: Ecs) -> None:
    """Its numbers stay taken nevertheless: AWS gives no revision twice."""
    ecs("DeregisterTaskDefinition", taskDefinition=ecs.register())
    assert ecs("ListTaskDefinitionFamilies", status="INACTIVE") == {"families": ["web"]}
    ecs.store.transact(Delete(table.TASK_DEFINITION, f"{SCOPE.prefix}web/{1:09d}"))
    assert ecs("ListTaskDefinitionFamilies", status="ALL") == {"families": []}
    assert ecs.register().endswith("/web:2")
