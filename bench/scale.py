"""0 -> 500 tasks of one service: tasks per second, memory per idle task, idle CPU; Docker starting the same."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench import dockerd
from bench.dockerd import DockerMissing, docker
from bench.instance import ensure_image, register
from bench.measure import available_kib, cpu_s, pss_kib
from portside.testing.instance import instance as portside_instance
from portside.testing.wait import wait_for

IDLE = ["sleep", "100000"]


def bench(quick: bool) -> dict[str, Any]:
    count = 40 if quick else 500
    ensure_image()
    result: dict[str, Any] = {"tasks": count}
    with portside_instance() as instance:
        ecs = instance.client("ecs")
        ecs.create_cluster(clusterName="bench")
        register(instance, "idle", IDLE)
        time.sleep(1)
        result["idle_daemon_pss_mib"] = pss_kib(instance.pid) / 1024
        ecs.create_service(
            cluster="bench",
            serviceName="one",
            taskDefinition="idle",
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=instance.network(),
        )

        def running() -> int:
            return int(ecs.describe_services(cluster="bench", services=["one"])["services"][0]["runningCount"])

        wait_for(lambda: running() == 1, timeout_s=60, pause_s=0.05, what="the first task")
        before_kib, daemon_kib = available_kib(), pss_kib(instance.pid)
        started = time.monotonic()
        ecs.update_service(cluster="bench", service="one", desiredCount=count + 1)
        wait_for(lambda: running() == count + 1, timeout_s=300, pause_s=0.05, what=f"{count} tasks")
        elapsed_s = time.monotonic() - started
        result["portside_s"] = elapsed_s
        result["portside_tasks_per_s"] = count / elapsed_s
        time.sleep(5)
        result["memory_per_task_mib"] = (before_kib - available_kib()) / 1024 / count
        result["daemon_growth_per_task_kib"] = (pss_kib(instance.pid) - daemon_kib) / count
        cpu_before, at = cpu_s(instance.pid), time.monotonic()
        time.sleep(10)
        result["idle_cpu_percent_of_a_core"] = 100 * (cpu_s(instance.pid) - cpu_before) / (time.monotonic() - at)
        started = time.monotonic()
        ecs.update_service(cluster="bench", service="one", desiredCount=0)
        wait_for(lambda: not _still_there(ecs), timeout_s=300, pause_s=0.1, what="the end of all tasks")
        result["portside_stop_s"] = time.monotonic() - started
    try:
        with docker() as command:
            started = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: command("run", "-d", dockerd.IMAGE, *IDLE), range(count)))
            elapsed_s = time.monotonic() - started
            result["docker_s"] = elapsed_s
            result["docker_tasks_per_s"] = count / elapsed_s
            result["portside_to_docker"] = result["portside_tasks_per_s"] / result["docker_tasks_per_s"]
    except DockerMissing as missing:
        result["docker"] = str(missing)
    return result


def _still_there(ecs: Any) -> bool:
    """Whether a task that is to stop has not: the service's runningCount is 0 as soon as they begin to."""
    for page in ecs.get_paginator("list_tasks").paginate(cluster="bench", desiredStatus="STOPPED"):
        tasks = ecs.describe_tasks(cluster="bench", tasks=page["taskArns"])["tasks"] if page["taskArns"] else []
        if any(task["lastStatus"] != "STOPPED" for task in tasks):
            return True
    return False
