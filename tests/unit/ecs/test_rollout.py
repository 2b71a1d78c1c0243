"""Service deployments and revisions through the handlers."""

from typing import Any

from portside.domain.record import replace
from portside.domain.service.record import RolloutState
from portside.domain.table import SERVICE
from portside.store.interface import Put


def completed(ready: Any) -> None:
    """The service's deployment has come to its end, as the scheduler would leave it."""
    (service,) = ready.store.scan(SERVICE)
    done = replace(service.deployments[0], rollout_state=RolloutState.COMPLETED)
    ready.store.transact(Put(SERVICE, replace(service, deployments=(done,), last_completed=done)))
    ready.clock.pass_(seconds=1)  # two deployments of one moment have no order


def test_each_deployment_is_remembered(ready: Any) -> None:
    """Creation and each new revision make a service deployment, listed newest first; a count alone makes none."""
    ready.register()
    ready.register()
    made = ready.create_service()["service"]
    completed(ready)
    ready("UpdateService", service="web", desiredCount=3)
    ready("UpdateService", service="web", taskDefinition="web:2")
    listed = ready("ListServiceDeployments", service="web")["serviceDeployments"]
    assert len(listed) == 2
    assert listed[1]["serviceDeploymentArn"] == made["currentServiceDeployment"]
    (described,) = ready("DescribeServiceDeployments", serviceDeploymentArns=[listed[0]["serviceDeploymentArn"]])[
        "serviceDeployments"
    ]
    assert described["sourceServiceRevisions"][0]["arn"] == made["currentServiceRevisions"][0]["arn"]
    arn = described["targetServiceRevision"]["arn"]
    (revision,) = ready("DescribeServiceRevisions", serviceRevisionArns=[arn])["serviceRevisions"]
    assert revision["taskDefinition"].endswith("/web:2")
    page = ready("ListServiceDeployments", service="web", maxResults=1)
    rest = ready("ListServiceDeployments", service="web", maxResults=1, nextToken=page["nextToken"])
    assert [*page["serviceDeployments"], *rest["serviceDeployments"]] == listed
    assert "nextToken" not in rest


def test_stopped_by_a_user(ready: Any) -> None:
    """A deployment under way goes back to the last one that completed; one that has ended can not be stopped."""
    ready.register()
    ready.register()
    first = ready.create_service()["service"]["currentServiceDeployment"]
    assert ready.error("StopServiceDeployment", serviceDeploymentArn=first)[0] == "ConflictException"
    completed(ready)
    ready("UpdateService", service="web", taskDefinition="web:2")
    newest = ready("ListServiceDeployments", service="web")["serviceDeployments"][0]["serviceDeploymentArn"]
    ready("StopServiceDeployment", serviceDeploymentArn=newest)
    (shown,) = ready("DescribeServices", services=["web"])["services"]
    assert shown["taskDefinition"].endswith("/web:1")
    assert [each["rolloutState"] for each in shown["deployments"]] == ["IN_PROGRESS", "FAILED"]
    (told,) = ready("DescribeServiceDeployments", serviceDeploymentArns=[newest])["serviceDeployments"]
    assert told["status"] == "ROLLBACK_IN_PROGRESS"
    assert told["rollback"]["serviceRevisionArn"] == shown["currentServiceRevisions"][0]["arn"]
    assert ready.error("StopServiceDeployment", serviceDeploymentArn=newest)[0] == "ConflictException"
    assert ready.error("StopServiceDeployment", serviceDeploymentArn=f"{newest}0")[0] == (
        "ServiceDeploymentNotFoundException"
    )
