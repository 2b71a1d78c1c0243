"""CloudWatch's metrics of a load balancer by Availability Zone, asked for as a user does."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from portside.testing.instance import Instance, instance
from portside.testing.wait import free_port, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    with instance() as running:
        yield running


@pytest.mark.timeout(300)
def test_each_zone_tells_of_its_own_requests(portside: Instance) -> None:
    """Requests to the address of a zone count for that zone, those to no zone's address in the total alone."""
    elb, port = portside.client("elbv2"), free_port()
    made = elb.create_load_balancer(Name="zones", Subnets=portside.subnets()[:2])["LoadBalancers"][0]
    answer = {"StatusCode": "200", "MessageBody": "fixed"}
    group = elb.create_target_group(Name="none", Protocol="HTTP", Port=80, VpcId=portside.vpc(), TargetType="ip")
    listener = elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": answer}],
    )["Listeners"][0]["ListenerArn"]
    elb.create_rule(
        ListenerArn=listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/empty"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": group["TargetGroups"][0]["TargetGroupArn"]}],
    )

    def asked(host: str, path: str = "/") -> int:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as answered:
                return int(answered.status)
        except urllib.error.HTTPError as error:
            return error.code

    zones = sorted(each["ZoneName"] for each in made["AvailabilityZones"])
    addresses = wait_for(
        lambda: portside.status()["loadBalancers"][0]["hostAddresses"], timeout_s=30, what="the addresses"
    )
    assert len(addresses) == len(zones) == 2

    early: list[int] = []  # answered by the listener before it had its rule

    def reachable() -> bool:
        try:
            status = asked("127.0.0.1", "/empty")
        except OSError:
            return False
        early.extend([status] if status == 200 else [])
        return status == 503

    wait_for(reachable, timeout_s=30, what="the listener and its rule")
    for host, times in zip((*addresses, "127.0.0.1"), (3, 2, 1), strict=True):
        assert [asked(host) for _ in range(times)] == [200] * times
        assert asked(host, "/empty") == 503
    name = made["LoadBalancerArn"].partition(":loadbalancer/")[2]

    def total(metric: str, zone: str = "") -> float:
        dimensions = [{"Name": "LoadBalancer", "Value": name}]
        if zone:
            dimensions.append({"Name": "AvailabilityZone", "Value": zone})
        asked_for = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": dimensions}
        found = portside.client("cloudwatch").get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": asked_for, "Period": 60, "Stat": "Sum"}}],
            StartTime=datetime.now(UTC) - timedelta(hours=1),
            EndTime=datetime.now(UTC) + timedelta(minutes=2),
        )
        return float(sum(found["MetricDataResults"][0]["Values"]))

    wait_for(
        lambda: total("HTTP_Fixed_Response_Count") >= 6 + len(early),
        timeout_s=150,
        pause_s=1,
        what="the metrics of the minute",
    )
    assert total("HTTP_Fixed_Response_Count") == 6 + len(early)
    assert sorted(total("HTTP_Fixed_Response_Count", each) for each in zones) == [2, 3]
    assert [total("HTTPCode_ELB_503_Count", each) for each in zones] == [1, 1]
    assert total("HTTPCode_ELB_503_Count") >= 3
