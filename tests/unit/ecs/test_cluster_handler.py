"""Clusters through the handlers."""

from typing import Any

import pytest

from portside.domain.record import replace
from portside.domain.table import CLUSTER, SERVICE, TASK
from portside.domain.task.record import TaskStatus
from portside.store.interface import Put


def test_cluster_life(ecs: Any) -> None:
    """A cluster is created once, is INACTIVE when deleted, and is gone an hour later."""
    first = ecs("CreateCluster", clusterName="c")["cluster"]
    assert ecs("CreateCluster", clusterName="c")["cluster"] == first
    assert first["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert ecs("DeleteCluster", cluster=first["clusterArn"])["cluster"]["status"] == "INACTIVE"
    assert ecs("ListClusters") == {"clusterArns": []}
    assert ecs("DescribeClusters", clusters=["c"])["clusters"][0]["status"] == "INACTIVE"
    assert ecs.error("RunTask", cluster="c", taskDefinition="x") == (
        "ClusterNotFoundException",
        "The referenced cluster was inactive.",
    )
    ecs.clock.pass_(minutes=61)
    assert ecs("DescribeClusters", clusters=["c"])["failures"] == [{"arn": first["clusterArn"], "reason": "MISSING"}]
    assert ecs.error("ListTasks", cluster="c") == ("ClusterNotFoundException", "Cluster not found.")
    ecs("CreateCluster", clusterName="d")
    assert ecs.store.get(CLUSTER, "000000000000/us-east-1/c") is None


def test_cluster_created_again_differently(ecs: Any) -> None:
    """The same name with other settings is no repetition."""
    ecs("CreateCluster", clusterName="c")
    insights = [{"name": "containerInsights", "value": "enabled"}]
    code, message = ecs.error("CreateCluster", clusterName="c", settings=insights)
    assert code == "InvalidParameterException"
    assert message.startswith("Arguments on this idempotent request are inconsistent")


def test_default_cluster_is_not_made_by_use(ecs: Any) -> None:
    """Nothing but CreateCluster makes the default cluster."""
    ecs.register()
    assert ecs.error("RunTask", taskDefinition="web")[0] == "ClusterNotFoundException"
    assert ecs("DescribeClusters")["failures"][0]["reason"] == "MISSING"


def test_cluster_in_use(ready: Any) -> None:
    """A cluster with tasks or services is not deleted; stopped tasks do not hold it."""
    task = ready.stored_task(ready.run())
    assert ready.error("DeleteCluster", cluster="default") == (
        "ClusterContainsTasksException",
        "The Cluster cannot be deleted while Tasks are active.",
    )
    ready.create_service()
    assert ready.error("DeleteCluster", cluster="default") == (
        "ClusterContainsServicesException",
        "The Cluster cannot be deleted while Services are active.",
    )
    service = ready.store.get(SERVICE, "000000000000/us-east-1/default/web")
    ready.store.transact(
        Put(SERVICE, replace(service, status="INACTIVE")), Put(TASK, replace(task, last_status=TaskStatus.STOPPED))
    )
    assert ready("DeleteCluster", cluster="default")["cluster"]["status"] == "INACTIVE"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"clusterName": "no spaces"}, "InvalidParameterException"),
        ({"settings": [{"name": "containerInsights", "value": "on"}]}, "InvalidParameterException"),
        ({"capacityProviders": ["my-group"]}, "ClientException"),
        ({"serviceConnectDefaults": {"namespace": "n"}}, "ClientException"),
        ({"tags": [{"key": "a"}, {"key": "a"}]}, "InvalidParameterException"),
    ],
)
def test_cluster_refused(ecs: Any, params: dict[str, Any], code: str) -> None:
    """What a cluster can not be or have is refused."""
    assert ecs.error("CreateCluster", **params)[0] == code
