"""Services on real containers: a rolling deployment of a hundred tasks, and two hundred services in one cluster."""

import time
from typing import Any

from bench.instance import ensure_image, register
from bench.measure import available_kib, cpu_s, pss_kib
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import wait_for

IDLE = ["sleep", "100000"]


def bench(quick: bool) -> dict[str, Any]:
    ensure_image()
    with portside_instance() as instance:
        instance.client("ecs").create_cluster(clusterName="bench")
        register(instance, "idle", IDLE)
        rolled = _rolled(instance, 10 if quick else 100)
    with portside_instance() as instance:
        instance.client("ecs").create_cluster(clusterName="bench")
        register(instance, "idle", IDLE)
        return {"rolling": rolled, "services": _services(instance, 20 if quick else 200)}


def _rolled(instance: Instance, count: int) -> dict[str, Any]:
    """From the update to the end of the deployment, and until the last old task has STOPPED."""
    ecs = instance.client("ecs")
    _create(instance, "one", count)

    def state() -> dict[str, Any]:
        (service,) = ecs.describe_services(cluster="bench", services=["one"])["services"]
        return dict(service)

    def completed() -> bool:
        deployments = state()["deployments"]
        return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"

    wait_for(completed, timeout_s=300, pause_s=0.1, what=f"{count} tasks")
    register(instance, "idle", IDLE)
    cpu_before, begun = cpu_s(instance.pid), time.monotonic()
    ecs.update_service(cluster="bench", service="one", taskDefinition="idle")
    least = count

    def rolled() -> bool:
        nonlocal least
        least = min(least, state()["runningCount"])
        return completed()

    wait_for(rolled, timeout_s=300, pause_s=0.1, what="the deployment")
    taken_s = time.monotonic() - begun
    return {
        "tasks": count,
        "completed_s": taken_s,
        "tasks_replaced_per_s": count / taken_s,
        "fewest_running": least,
        "daemon_cpu_s": cpu_s(instance.pid) - cpu_before,
        "daemon_pss_mib": pss_kib(instance.pid) / 1024,
    }


def _services(instance: Instance, count: int) -> dict[str, Any]:
    """So many services of one task each: until all are in their steady state, and what they cost when idle."""
    ecs = instance.client("ecs")
    before_kib, begun, cpu_before = available_kib(), time.monotonic(), cpu_s(instance.pid)
    for number in range(count):
        _create(instance, f"s{number}", 1)
    created_s = time.monotonic() - begun

    def steady() -> bool:
        names = [f"s{number}" for number in range(count)]
        for start in range(0, count, 10):
            answer = ecs.describe_services(cluster="bench", services=names[start : start + 10])
            if any(each["deployments"][0]["rolloutState"] != "COMPLETED" for each in answer["services"]):
                return False
        return True

    wait_for(steady, timeout_s=300, pause_s=0.2, what=f"{count} services")
    result = {
        "services": count,
        "created_s": created_s,
        "steady_s": time.monotonic() - begun,
        "daemon_cpu_s": cpu_s(instance.pid) - cpu_before,
    }
    time.sleep(5)
    idle_cpu, at = cpu_s(instance.pid), time.monotonic()
    time.sleep(10)
    return result | {
        "idle_cpu_percent_of_a_core": 100 * (cpu_s(instance.pid) - idle_cpu) / (time.monotonic() - at),
        "memory_per_service_mib": (before_kib - available_kib()) / 1024 / count,
        "daemon_pss_mib": pss_kib(instance.pid) / 1024,
    }


def _create(instance: Instance, name: str, count: int) -> None:
    instance.client("ecs").create_service(
        cluster="bench",
        serviceName=name,
        taskDefinition="idle",
        desiredCount=count,
        launchType="FARGATE",
        networkConfiguration=instance.network(),
    )
