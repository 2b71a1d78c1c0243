"""Task scale-in protection: given, shown, taken back, expired, and refused."""

from datetime import timedelta
from typing import Any

from ecs_sample import SCOPE, START, Ecs

from portside.domain import arn
from portside.domain.record import replace
from portside.domain.table import TASK
from portside.store.interface import Put


def of_service(ready: Ecs) -> str:
    """A task that belongs to the service `web`; its ARN."""
    task = replace(ready.stored_task(ready.run()), service="web")
    ready.store.transact(Put(TASK, task))
    return arn.task(SCOPE, "default", task.id)


def protection(ready: Ecs, task_arn: str) -> Any:
    return ready("GetTaskProtection", cluster="default", tasks=[task_arn])["protectedTasks"][0]


def test_protection_comes_and_goes(ready: Ecs) -> None:
    """Two hours unless given, set anew by each call, over when its time has passed or when it is taken back."""
    task_arn = of_service(ready)
    assert protection(ready, task_arn) == {"taskArn": task_arn, "protectionEnabled": False}
    change = {"cluster": "default", "tasks": [task_arn], "protectionEnabled": True}
    shown = {"taskArn": task_arn, "protectionEnabled": True, "expirationDate": START + timedelta(hours=2)}
    assert ready("UpdateTaskProtection", **change) == {"protectedTasks": [shown], "failures": []}
    assert protection(ready, task_arn) == shown
    ready("UpdateTaskProtection", **change, expiresInMinutes=1)
    ready.clock.pass_(minutes=1)
    assert protection(ready, task_arn) == {"taskArn": task_arn, "protectionEnabled": False}
    ready("UpdateTaskProtection", **change)
    ready("UpdateTaskProtection", **{**change, "protectionEnabled": False})
    assert protection(ready, task_arn)["protectionEnabled"] is False


def test_tasks_that_can_not_be_protected(ready: Ecs) -> None:
    """A task of no service, and one that is not there, are failures beside what worked."""
    good = of_service(ready)
    alone = ready.run()["tasks"][0]["taskArn"]
    unknown = arn.task(SCOPE, "default", "0" * 32)
    answer = ready("UpdateTaskProtection", cluster="default", tasks=[alone, unknown, good], protectionEnabled=True)
    assert [each["taskArn"] for each in answer["protectedTasks"]] == [good]
    assert [(each["arn"], each["reason"]) for each in answer["failures"]] == [
        (alone, "TASK_NOT_VALID"),
        (unknown, "MISSING"),
    ]


def test_wrong_calls(ready: Ecs) -> None:
    """Limits of the request, and a cluster that is not there."""
    good = {"cluster": "default", "tasks": [of_service(ready)], "protectionEnabled": True}
    for minutes in (0, 2881):
        assert ready.error("UpdateTaskProtection", **good, expiresInMinutes=minutes)[0] == "InvalidParameterException"
    for tasks in ([], ["0" * 32] * 11):
        assert ready.error("UpdateTaskProtection", **{**good, "tasks": tasks})[0] == "InvalidParameterException"
    assert ready.error("GetTaskProtection", cluster="none")[0] == "ClusterNotFoundException"
