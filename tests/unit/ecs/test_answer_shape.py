"""Every answer of ECS fits AWS's model."""

from typing import Any

from ecs_sample import MODEL, NETWORK, TASK_DEFINITION, check_answer

from portside.domain.record import replace
from portside.domain.table import TASK
from portside.store.interface import Put


def test_answers_fit_the_model(ready: Any) -> None:
    """Every operation's answer has the members of AWS's model and no others, with values of their types."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("CreateCluster", {"clusterName": "c", "tags": [{"key": "a", "value": "b"}]}),
        ("DescribeClusters", {"clusters": ["c", "d"], "include": MODEL.shape_for("ClusterField").enum}),
        ("ListClusters", {}),
        ("UpdateCluster", {"cluster": "c", "configuration": {"executeCommandConfiguration": {"logging": "NONE"}}}),
        ("UpdateClusterSettings", {"cluster": "c", "settings": [{"name": "containerInsights", "value": "enabled"}]}),
        (
            "PutClusterCapacityProviders",
            {
                "cluster": "c",
                "capacityProviders": ["FARGATE"],
                "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}],
            },
        ),
        ("DeleteCluster", {"cluster": "c"}),
        ("DescribeTaskDefinition", {"taskDefinition": "web", "include": ["TAGS"]}),
        ("ListTaskDefinitions", {}),
        ("ListTaskDefinitionFamilies", {}),
        ("DeregisterTaskDefinition", {"taskDefinition": "web:2"}),
        ("DeleteTaskDefinitions", {"taskDefinitions": ["web:2", "web:1", "web:9"]}),
        ("ListTasks", {}),
        ("PutAccountSetting", {"name": "containerInsights", "value": "enabled"}),
        ("PutAccountSettingDefault", {"name": "awsvpcTrunking", "value": "enabled"}),
        ("ListAccountSettings", {"effectiveSettings": True}),
        ("DeleteAccountSetting", {"name": "awsvpcTrunking"}),
        ("ListServices", {}),
        ("UpdateTaskProtection", {"cluster": "default", "tasks": ["0" * 32], "protectionEnabled": True}),
        ("GetTaskProtection", {"cluster": "default", "tasks": ["0" * 32]}),
        ("ListContainerInstances", {}),
        ("DescribeContainerInstances", {"containerInstances": ["abc"]}),
        ("StartTask", {"taskDefinition": "web:1", "containerInstances": ["abc"], "networkConfiguration": NETWORK}),
        ("ListAttributes", {"targetType": "container-instance"}),
        ("ListTagsForResource", {"resourceArn": f"{TASK_DEFINITION}/web:1"}),
        ("TagResource", {"resourceArn": f"{TASK_DEFINITION}/web:1", "tags": [{"key": "k", "value": "v"}]}),
        ("UntagResource", {"resourceArn": f"{TASK_DEFINITION}/web:1", "tagKeys": ["k"]}),
    ]
    ready.register(tags=[{"key": "a", "value": "b"}], ephemeralStorage={"sizeInGiB": 30})
    started = ready.run(taskDefinition="web:1", count=2)
    check_answer("RunTask", started)
    task_arns = [task["taskArn"] for task in started["tasks"]]
    check_answer("DescribeTasks", ready("DescribeTasks", tasks=[*task_arns, "0" * 32], include=["TAGS"]))
    executable = ready.run(taskDefinition="web:1", enableExecuteCommand=True)
    task = ready.stored_task(executable)
    running = tuple(replace(each, started_at=task.created_at) for each in task.history)
    ready.store.transact(Put(TASK, replace(task, history=running)))
    shown = ready("DescribeTasks", tasks=[task.id])
    assert shown["tasks"][0]["containers"][0]["managedAgents"][0]["lastStatus"] == "RUNNING"
    check_answer("DescribeTasks", shown)
    asked = {"task": task.id, "command": "sh", "interactive": True, "container": running[0].name}
    check_answer("ExecuteCommand", ready("ExecuteCommand", **asked))
    check_answer("StopTask", ready("StopTask", task=task_arns[0]))
    check_answer("CreateService", ready.create_service(propagateTags="SERVICE", tags=[{"key": "a", "value": "b"}]))
    check_answer("DescribeServices", ready("DescribeServices", services=["web", "other"], include=["TAGS"]))
    listed = ready("ListServiceDeployments", service="web")
    check_answer("ListServiceDeployments", listed)
    (brief,) = listed["serviceDeployments"]
    asked = [brief["serviceDeploymentArn"], f"{brief['serviceDeploymentArn']}0"]
    check_answer("DescribeServiceDeployments", ready("DescribeServiceDeployments", serviceDeploymentArns=asked))
    asked = [brief["targetServiceRevisionArn"], f"{brief['targetServiceRevisionArn']}0"]
    check_answer("DescribeServiceRevisions", ready("DescribeServiceRevisions", serviceRevisionArns=asked))
    check_answer("UpdateService", ready("UpdateService", service="web", forceNewDeployment=True))
    check_answer("DeleteService", ready("DeleteService", service="web", force=True))
    for operation, params in calls:
        check_answer(operation, ready(operation, **params))
    check_answer("DescribeCapacityProviders", ready("DescribeCapacityProviders", capacityProviders=["FARGATE", "x"]))
    tested = (
        {"DescribeCapacityProviders"}
        | {operation for operation, _ in calls}
        | {
            *("RunTask", "DescribeTasks", "ExecuteCommand", "StopTask", "RegisterTaskDefinition", "CreateCluster"),
            *("CreateService", "DescribeServices", "UpdateService", "DeleteService"),
            *("ListServiceDeployments", "DescribeServiceDeployments", "DescribeServiceRevisions"),
        }
    )
    # Those that take a container instance: see test_container_instance_handler.py; a rollback: test_rollout.py.
    elsewhere = {
        "StopServiceDeployment",
        *("PutAttributes", "DeleteAttributes", "UpdateContainerInstancesState", "DeregisterContainerInstance"),
        "RegisterContainerInstance",
    }
    assert set(ready.service.handlers) == tested | elsewhere
