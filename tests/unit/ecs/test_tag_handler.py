"""Tags through the handlers."""

from typing import Any

import pytest
from ecs_sample import TASK_DEFINITION

from portside.aws.service import RequestContext


def test_tags(ready: Any) -> None:
    """Tags are added, replaced, removed and listed on all four kinds of resources."""
    cluster = ready("DescribeClusters")["clusters"][0]["clusterArn"]
    task = ready.run()["tasks"][0]["taskArn"]
    service = ready.create_service()["service"]["serviceArn"]
    for arn in (cluster, task, service, f"{TASK_DEFINITION}/web:1"):
        ready("TagResource", resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
        ready("TagResource", resourceArn=arn, tags=[{"key": "a", "value": "3"}])
        ready("UntagResource", resourceArn=arn, tagKeys=["b", "c"])
        assert ready("ListTagsForResource", resourceArn=arn) == {"tags": [{"key": "a", "value": "3"}]}
    assert ready("DescribeClusters", include=["TAGS"])["clusters"][0]["tags"] == [{"key": "a", "value": "3"}]
    assert ready("DescribeTasks", tasks=[task], include=["TAGS"])["tasks"][0]["tags"] == [{"key": "a", "value": "3"}]


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("web", "InvalidParameterException"),
        ("arn:aws:ecs:us-east-1:000000000000:cluster/none", "ClusterNotFoundException"),
        ("arn:aws:ecs:us-east-1:000000000000:task/default/none", "ResourceNotFoundException"),
        (f"{TASK_DEFINITION}/web:7", "ResourceNotFoundException"),
        ("arn:aws:ecs:us-east-1:000000000000:container-instance/default/x", "ResourceNotFoundException"),
        ("arn:aws:ecs:us-east-1:111111111111:cluster/default", "InvalidParameterException"),
    ],
)
def test_tags_of_nothing(ready: Any, arn: str, code: str) -> None:
    """What has no tags is refused with the error of its kind."""
    assert ready.error("TagResource", resourceArn=arn, tags=[{"key": "a"}])[0] == code


def test_fifty_tags(ready: Any) -> None:
    """A resource has at most fifty tags, however they are added."""
    arn = f"{TASK_DEFINITION}/web:1"
    ready("TagResource", resourceArn=arn, tags=[{"key": f"k{n}"} for n in range(50)])
    ready("TagResource", resourceArn=arn, tags=[{"key": "k0", "value": "again"}])
    assert ready.error("TagResource", resourceArn=arn, tags=[{"key": "one-more"}])[0] == "InvalidParameterException"


def test_accounts_and_regions_are_apart(ready: Any) -> None:
    """A cluster and its contents are seen in their own account and region only."""
    for account, region in (("111111111111", "us-east-1"), ("000000000000", "eu-west-3")):
        context = RequestContext(account, region, "ecs", "ListClusters", "r", account)
        assert ready.service.handlers["ListClusters"](context, {}) == {"clusterArns": []}
