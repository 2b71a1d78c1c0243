"""Availability Zone rebalancing with real tasks on real subnets."""

from collections import Counter

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


def test_zones_are_evened_out() -> None:
    """Two protected tasks outlast a scale-in in one zone; once they are free, one of them goes for a task in the other
    zone, after that one runs, and the service's events tell it in AWS's words."""
    ensure_busybox_image(IMAGE)
    with instance() as portside:
        ecs = portside.client("ecs")
        ecs.create_cluster(clusterName="default")
        subnets = portside.client("ec2").describe_subnets()["Subnets"]
        two = {each["AvailabilityZone"]: each["SubnetId"] for each in subnets}
        first, second = sorted(two)[:2]
        ecs.create_service(
            serviceName="app",
            taskDefinition=portside.register("app", {"command": ["sleep", "600"]}),
            desiredCount=4,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [two[first], two[second]]}},
        )

        def zones() -> dict[str, list[str]]:
            arns = ecs.list_tasks(serviceName="app")["taskArns"]
            found: dict[str, list[str]] = {}
            for each in ecs.describe_tasks(tasks=arns)["tasks"] if arns else []:
                if each["lastStatus"] == "RUNNING":
                    found.setdefault(each["availabilityZone"], []).append(each["taskArn"])
            return found

        def messages() -> list[str]:
            (service,) = ecs.describe_services(services=["app"])["services"]
            return [each["message"] for each in service["events"]]

        def is_steady() -> bool:
            return messages()[0] == "(service app) has reached a steady state."

        wait_for(is_steady, timeout_s=60, what="four tasks")
        assert Counter({zone: len(each) for zone, each in zones().items()}) == {first: 2, second: 2}
        kept = zones()[first]
        ecs.update_task_protection(cluster="default", tasks=kept, protectionEnabled=True)
        ecs.update_service(service="app", desiredCount=2)
        wait_for(lambda: sorted(zones().get(first, ())) == sorted(kept) and len(zones()) == 1, timeout_s=60, what="two")
        ecs.update_task_protection(cluster="default", tasks=kept, protectionEnabled=False)
        wait_for(
            lambda: {zone: len(each) for zone, each in zones().items()} == {first: 1, second: 1},
            timeout_s=90,
            what="one task in each zone",
        )
        balanced = f"(service app) is AZ balanced with 1 tasks in {first} and 1 tasks in {second}."
        wait_for(lambda: balanced in messages(), timeout_s=30, what="the end of it")
        told = [each for each in messages() if "AZ" in each]
        assert told[-1].startswith("(service app) is not AZ balanced with ")
        assert [" to AZ Rebalance: " in told[-2], " due to AZ rebalancing: " in told[-3]] == [True, True]
