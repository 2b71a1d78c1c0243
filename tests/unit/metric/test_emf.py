"""Metrics that log events embed."""

import math
from typing import Any

import pytest

from portside.domain import emf
from portside.domain.metric import dimensions_of, statistic

AT_S = 1_700_000_000.0


def embedded(**changes: Any) -> dict[str, Any]:
    directive = {
        "Namespace": "shop",
        "Dimensions": [["Service"], ["Service", "Zone"], []],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds", "StorageResolution": 1}],
    }
    return {
        "_aws": {"Timestamp": 1_700_000_060_000, "CloudWatchMetrics": [directive | changes]},
        "Service": "cart",
        "Zone": 1,
        "Latency": [10, 30.5],
        "Note": {"no": "dimension"},
    }


def test_each_set_of_dimensions_is_a_metric() -> None:
    """The values of the members named are put once for each set of dimensions, at the time the event says."""
    found = list(emf.samples(embedded(), at_s=AT_S))
    assert [each.metric.dimensions for each in found] == [
        dimensions_of({"Service": "cart"}),
        dimensions_of({"Service": "cart", "Zone": "1"}),
        (),
    ]
    for each in found:
        assert (each.metric.namespace, each.metric.name) == ("shop", "Latency")
        assert (each.at_s, each.resolution_s, each.point.unit) == (AT_S + 60, 1, "Milliseconds")
        assert (statistic(each.point, "Sum"), statistic(each.point, "SampleCount")) == (40.5, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"Namespace": 7},
        {"Dimensions": "Service"},
        {"Dimensions": [["Missing"]]},
        {"Dimensions": [["Note"]]},
        {"Dimensions": [[f"D{number}" for number in range(31)]]},
        {"Metrics": [{"Name": "Missing"}]},
        {"Metrics": [{"Name": "Service"}]},
        {"Metrics": [{"Unit": "Count"}]},
        {"Metrics": "Latency"},
        {"Metrics": [{"Name": "Note"}]},
    ],
)
def test_what_breaks_the_specification_is_passed_over(changes: dict[str, Any]) -> None:
    """A directive that is malformed, or names what is not there, gives no metric and no error."""
    assert list(emf.samples(embedded(**changes), at_s=AT_S)) == []


@pytest.mark.parametrize("value", [True, "12", None, [], [1, "2"], math.inf, math.nan, 1e300, list(range(101))])
def test_values_are_numbers(value: object) -> None:
    """Anything but a number, or up to a hundred of them, is no value."""
    assert list(emf.samples(embedded() | {"Latency": value}, at_s=AT_S)) == []


def test_no_directive() -> None:
    """An event without the format embeds nothing."""
    for document in ({}, {"_aws": 3}, {"_aws": {}}, {"_aws": {"CloudWatchMetrics": {"Namespace": "x"}}}):
        assert list(emf.samples(document, at_s=AT_S)) == []
