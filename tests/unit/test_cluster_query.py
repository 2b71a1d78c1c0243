"""The cluster query language: what it chooses, and what is no expression."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside import __version__
from portside.domain.cluster_query import parsed
from portside.domain.container_instance import ContainerInstance, registered
from portside.domain.instance import Instance
from portside.domain.record import Scope
from portside.domain.refusal import Refused
from portside.domain.task.record import Task, TaskStatus
from portside.domain.user_data import AgentConfiguration

NOW = datetime(2026, 2, 13, 18, tzinfo=UTC)
SCOPE = Scope(account="000000000000", region="us-east-1")


def an_instance() -> ContainerInstance:
    return registered(
        Instance(
            scope=SCOPE,
            id="i-0123",
            reservation_id="r-1",
            image_id="ami-1",
            instance_type="t3.small",
            eni_id="eni-1",
            subnet_id="subnet-a",
            vpc_id="vpc-1",
            zone="us-east-1a",
            address="10.0.0.4",
            launched_at=NOW,
        ),
        cluster="default",
        new_id="1" * 32,
        private_dns_name="ip-10-0-0-4.ec2.internal",
        configuration=AgentConfiguration(attributes={"stack": "blue", "rank": "3"}),
        architecture="x86_64",
        interfaces_taken=1,
        now=NOW,
    )


TASK = Task(
    scope=SCOPE,
    cluster="default",
    id="a" * 32,
    task_definition_arn="arn",
    family="web",
    revision=1,
    group="service:web",
    launch_type="EC2",
    containers=(),
    created_at=NOW,
    cause_id="test",
    last_status=TaskStatus.RUNNING,
)


@pytest.mark.parametrize(
    "expression",
    [
        "attribute:ecs.instance-type == t3.small",
        "attribute:ecs.instance-type equals 't3.small'",
        "attribute:ecs.instance-type =~ t3.* and attribute:ecs.availability-zone != us-east-1d",
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
        "attribute:ecs.availability-zone not_in [us-east-1b]",
        "attribute:ecs.availability-zone !in ['us-east-1b']",
        "attribute:stack exists",
        "attribute:colour !exists",
        "attribute:colour not_exists && agentConnected == true",
        "task:group == service:web",
        "not(task:group == database)",
        "!(task:group == database) and !(attribute:colour exists)",
        "runningTasksCount == 1",
        "runningTasksCount < 2 and runningTasksCount >= 1",
        "attribute:rank > 2",
        "registeredAt > 2018-02-13T18:00:00Z",
        "ec2InstanceId in ['i-0123', 'i-wxyx7890']",
        "attribute:stack == red or attribute:stack == blue and runningTasksCount == 1",
        "attribute:stack !~ r.*",
        "attribute:ecs.instance-type matches t[23].s..ll",
        "attribute:ecs.instance-type =~ (t3|m5).* and (attribute:stack =~ (blue|r.*))",
        "attribute:ecs.instance-type =~ '(t3|m5).(small|large)'",
        f"agentVersion == {__version__}",
        "agentVersion >= 0.0.9 and agentVersion < 100.10",
        "registeredAt > 2018-06-18 and registeredAt >= 2018-06-18T22:28:28",
        "registeredAt != 2018-06-18T22:28:28+00:00",
    ],
)
def test_chosen(expression: str) -> None:
    """Each of these chooses the instance, and its denial does not."""
    instance = an_instance()
    assert parsed(expression)(instance, [TASK])
    assert not parsed(f"not({expression})")(instance, [TASK])


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "attribute:a",
        "attribute:a = b",
        "attribute:a ==",
        "attribute:a in b",
        "attribute:a in [b",
        "attribute:a == b and",
        "(attribute:a == b",
        "attribute:a == b)",
        "colour == blue",
        "attribute:a > b",
        "attribute:a =~ [",
        "agentVersion > new",
        "registeredAt < yesterday",
        "not" * 30 + " x",
        "(" * 30 + "attribute:a == b" + ")" * 30,
        "attribute:a == " + "b" * 2000,
    ],
)
def test_no_expression(expression: str) -> None:
    """What is none is refused."""
    with pytest.raises(Refused, match="Invalid expression"):
        parsed(expression)


@pytest.mark.parametrize(
    "expression",
    ["attribute:a =~ (a+)+$", "attribute:a =~ (?=a)b", "attribute:a =~ '((a)b)'", "attribute:a =~ a*a*a*a*a*b"],
)
def test_unsupported(expression: str) -> None:
    """Patterns that could take long are refused by name."""
    with pytest.raises(Refused, match="does not support"):
        parsed(expression)


@given(st.text(alphabet="atribue:=!~<>()[], '\"andorexistnk&|.*", max_size=60))
def test_any_text(text: str) -> None:
    """Whatever the text, it is an expression or it is refused."""
    try:
        parsed(text)(an_instance(), [TASK])
    except Refused:
        pass
