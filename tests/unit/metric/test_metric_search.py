"""Which metrics a search finds."""

import pytest

from portside.domain.metric import MetricName, dimensions_of
from portside.domain.metric_search import MetricSearch, labels
from portside.domain.refusal import Refused


def metric(name: str, namespace: str = "AWS/ECS", **dimensions: str) -> MetricName:
    return MetricName(namespace=namespace, name=name, dimensions=dimensions_of(dimensions))


METRICS = {
    "web-cpu": metric("CPUUtilization", ClusterName="prod", ServiceName="web-api"),
    "job-cpu": metric("CPUUtilization", ClusterName="prod", ServiceName="job"),
    "job-memory": metric("MemoryUtilization", ClusterName="prod", ServiceName="job"),
    "cluster-cpu": metric("CPUUtilization", ClusterName="prod"),
    "own": metric("requests_total", "My App"),
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{AWS/ECS,ClusterName,ServiceName}", "web-cpu job-cpu job-memory"),
        ("{AWS/ECS,ServiceName,ClusterName} CPUUtilization", "web-cpu job-cpu"),
        ('{"AWS/ECS", "ClusterName"}', "cluster-cpu"),
        ('{"My App"}', "own"),
        ("{AWS/ECS}", ""),
        ("utilization", "web-cpu job-cpu job-memory cluster-cpu"),
        ("CPU job", "job-cpu"),
        ("CPU AND job", "job-cpu"),
        ("api OR total", "web-cpu own"),
        ("Utilization NOT CPU", "job-memory"),
        ("CPU NOT (api OR ServiceName)", "cluster-cpu"),
        ("Utili", ""),
        ("web-api", "web-cpu"),
        ('"web"', ""),
        ('"web-api"', "web-cpu"),
        ('"cpuutilization"', ""),
        ('MetricName="CPUUtilization"', "web-cpu job-cpu cluster-cpu"),
        ("MetricName=cpu", "web-cpu job-cpu cluster-cpu"),
        ("ServiceName=web", "web-cpu"),
        ('ServiceName=("job" OR api) MetricName=CPU', "web-cpu job-cpu"),
        ('Namespace="My App"', "own"),
        ("job", "job-cpu job-memory"),
        ('NOT "AWS/ECS"', "own"),
    ],
)
def test_what_is_found(text: str, found: str) -> None:
    """By schema, exactly these dimensions; by words of names and by whole names; by combinations of them."""
    search = MetricSearch(text)
    assert [key for key, each in METRICS.items() if search.finds(each)] == found.split()


@pytest.mark.parametrize(
    "text",
    ["", "{A", "{A,}", "(a", "a)", '"a', "a AND", "NOT", "Name=", "a (", "(" * 50, "x" * 1025, ":aws.AccountId=LOCAL"],
)
def test_what_is_refused(text: str) -> None:
    """What can not be read, and other accounts."""
    with pytest.raises(Refused):
        MetricSearch(text)


def test_labels() -> None:
    """What not all found have in common."""
    assert labels([METRICS["web-cpu"], METRICS["job-cpu"]]) == ["web-api", "job"]
    assert labels([METRICS["job-cpu"], METRICS["job-memory"]]) == ["CPUUtilization", "MemoryUtilization"]
    assert labels([METRICS["web-cpu"]]) == ["CPUUtilization"]
    assert labels([METRICS["own"], METRICS["cluster-cpu"]]) == ["My App requests_total", "AWS/ECS prod CPUUtilization"]
    assert labels([]) == []
