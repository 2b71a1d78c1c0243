"""What runs and what it uses, as `portside top` and Prometheus ask for it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from portside.api.portside import prometheus
from portside.api.portside.usage import Watch, document
from portside.domain.cluster import Cluster
from portside.domain.other_container import OtherContainer
from portside.domain.record import Scope, replace
from portside.domain.service.record import Service
from portside.domain.table import CLUSTER, SERVICE, TASK
from portside.domain.task.record import ContainerHistory, HealthStatus, Task, TaskStatus
from portside.domain.usage import InterfaceUsage, Usage
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)*\})? -?\d+(\.\d+)?(e[+-]\d+)?')


class Machine:
    """A clock that is set, and a container `r1` that uses half a processor and writes a kilobyte a second."""

    def __init__(self) -> None:
        self.at = NOW
        self.looks = 0

    def now(self) -> datetime:
        return self.at

    async def usage(self, runtime_id: str) -> Usage | None:
        self.looks += 1
        if runtime_id != "r1":
            return None
        seconds = (self.at - NOW).total_seconds() + 10
        return Usage(
            at=self.at,
            cpu_ns=int(seconds * 5e8),
            memory_bytes=3_000_000,
            memory={"total_inactive_file": 1_000_000},
            memory_limit_bytes=4_000_000,
            storage_written_bytes=int(seconds * 1000),
            network={"eth0": InterfaceUsage(rx_bytes=int(seconds * 200), tx_bytes=int(seconds * 100))},
        )


TASK_OF_WEB = Task(
    scope=SCOPE,
    cluster="c",
    id="t1",
    task_definition_arn="arn",
    family="web",
    revision=2,
    group="service:shop",
    launch_type="FARGATE",
    network_mode="awsvpc",
    containers=(),
    cpu_units=512,
    memory_mib=1024,
    created_at=NOW,
    cause_id="test",
    last_status=TaskStatus.RUNNING,
    service="shop",
    history=(
        ContainerHistory(name="app", runtime_id="r1", health=HealthStatus.UNHEALTHY, restarts=3),
        ContainerHistory(name="init", runtime_id="r0"),
    ),
)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def store() -> MemoryStore:
    """A cluster with a service of two, one of whose tasks runs."""
    made = MemoryStore()
    service = Service(scope=SCOPE, cluster="c", name="shop", desired_count=2, created_at=NOW, created_by="test")
    made.transact(
        Put(CLUSTER, Cluster(scope=SCOPE, name="c", created_at=NOW)),
        Put(SERVICE, service),
        Put(TASK, TASK_OF_WEB),
        Put(TASK, replace(TASK_OF_WEB, id="t2", last_status=TaskStatus.PENDING, history=())),
        Put(TASK, replace(TASK_OF_WEB, id="t3", last_status=TaskStatus.STOPPED)),
    )
    return made


def watch(store: MemoryStore, machine: Machine) -> Watch:
    return Watch(store, machine, machine.usage, {"t1": (7, 100)}.get)


def test_what_a_task_uses(store: MemoryStore, machine: Machine) -> None:
    """Rates are there from the second look on, and are those between the two; what is held, limited, counted and on
    the way is there at once; stopped tasks are not."""

    async def body() -> None:
        looker = watch(store, machine)
        first = document(store, await looker.look())
        machine.at += timedelta(seconds=2)
        second = document(store, await looker.look())
        assert first["services"] == second["services"]
        (service,) = second["services"]
        assert (service["desired"], service["running"], service["pending"]) == (2, 1, 1)
        assert [each["id"] for each in second["tasks"]] == ["t1", "t2"]
        task = second["tasks"][0]
        assert (task["cpuReserved"], task["memoryReserved"]) == (512, 1024**3)
        assert task["ephemeralStorage"] == {"used": 7, "size": 100}
        app, init = task["containers"]
        assert (app["health"], app["restarts"], init["usage"]) == ("UNHEALTHY", 3, None)
        before, usage = first["tasks"][0]["containers"][0]["usage"], app["usage"]
        assert before["cpuUnits"] is before["storageWriteRate"] is before["networkSendRate"] is None
        assert (usage["cpuUnits"], usage["memory"], usage["memoryLimit"]) == (512, 2_000_000, 4_000_000)
        assert (usage["storageReadRate"], usage["storageWriteRate"]) == (0, 1000)
        assert (usage["networkReceiveRate"], usage["networkSendRate"]) == (200, 100)

    asyncio.run(body())


def test_one_look_a_second(store: MemoryStore, machine: Machine) -> None:
    """However many ask, and at once, the kernel is asked once in a second; a look of long ago gives no rates."""

    async def body() -> None:
        looker = watch(store, machine)
        await asyncio.gather(*(looker.look() for _ in range(20)))
        machine.at += timedelta(seconds=0.9)
        await looker.look()
        assert machine.looks == 2  # the two containers of the task
        machine.at += timedelta(minutes=2)
        found = document(store, await looker.look())
        assert machine.looks == 4
        assert found["tasks"][0]["containers"][0]["usage"]["cpuUnits"] is None

    asyncio.run(body())


def test_a_container_that_was_started_anew(store: MemoryStore, machine: Machine) -> None:
    """Its counters begin at nothing: no rate is made of that."""

    async def body() -> None:
        looker = watch(store, machine)
        machine.at += timedelta(seconds=100)
        await looker.look()
        machine.at += timedelta(seconds=2)
        earlier = machine.usage

        async def begun_anew(runtime_id: str) -> Usage | None:
            found = await earlier(runtime_id)
            return Usage(at=found.at, cpu_ns=1) if found is not None else None

        looker._usage = begun_anew
        found = document(store, await looker.look())
        assert found["tasks"][0]["containers"][0]["usage"]["cpuUnits"] is None

    asyncio.run(body())


def test_prometheus_reads_it(store: MemoryStore, machine: Machine) -> None:
    """Every metric has its help and type before its samples, every line is well formed, no series is there twice,
    counters end in _total, and the numbers are those of the look."""
    seen = asyncio.run(watch(store, machine).look())
    calls = {("ecs", "RunTask"): 4}
    own = prometheus.of_portside(version="1", calls=calls, cpu_seconds=1.25, resident_bytes=77)
    lines = prometheus.text([*prometheus.families(store, seen), *own]).splitlines()
    kinds: dict[str, str] = {}
    series: set[str] = set()
    for line in lines:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            assert (kind == "counter") == name.endswith("_total")
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            assert SAMPLE.fullmatch(line), line
            found = line.rpartition(" ")[0]
            assert found not in series
            assert re.split("[{ ]", line)[0] == list(kinds)[-1]
            series.add(found)
    place = 'account="000000000000",region="us-east-1",cluster="c"'
    task = place + ',service="shop",family="web",revision="2",task="t1"'
    for wanted in (
        f'portside_container_cpu_seconds_total{{{task},container="app"}} 5',
        f'portside_container_memory_bytes{{{task},container="app"}} 2000000',
        f'portside_container_healthy{{{task},container="app"}} 0',
        f'portside_container_restarts{{{task},container="app"}} 3',
        f"portside_network_receive_bytes_total{{{task}}} 2000",
        f"portside_task_cpu_reserved_cores{{{task}}} 0.5",
        f"portside_task_ephemeral_storage_used_bytes{{{task}}} 7",
        f'portside_service_desired_tasks{{{place},service="shop"}} 2',
        f'portside_service_pending_tasks{{{place},service="shop"}} 1',
        f'portside_tasks{{{place},status="STOPPED"}} 1',
        f'portside_tasks{{{place},status="STOPPING"}} 0',
        'portside_api_calls_total{service="ecs",operation="RunTask"} 4',
        "process_cpu_seconds_total 1.25",
    ):
        assert wanted in lines


def test_containers_of_others(store: MemoryStore, machine: Machine) -> None:
    """Where they are looked at, they are told as tasks' containers are, with rates from the second look on."""

    async def others() -> list[tuple[OtherContainer, Usage]]:
        usage = await machine.usage("r1")
        assert usage is not None
        return [(OtherContainer(runtime="docker", id="d" * 64, cgroup="docker", name="db"), usage)]

    async def body() -> None:
        looker = Watch(store, machine, machine.usage, {}.get, others)
        await looker.look()
        machine.at += timedelta(seconds=2)
        seen = await looker.look()
        (found,) = document(store, seen)["otherContainers"]
        assert (found["name"], found["usage"]["cpuUnits"], found["usage"]["networkReceiveRate"]) == ("db", 512, 200)
        text = prometheus.text(prometheus.families(store, seen)).splitlines()
        labels = f'runtime="docker",id="{"d" * 64}",name="db",pod="",namespace=""'
        assert f"portside_other_container_memory_bytes{{{labels}}} 2000000" in text
        assert f"portside_other_container_cpu_seconds_total{{{labels}}} 6" in text

    asyncio.run(body())


def test_what_must_be_escaped() -> None:
    """Backslashes, quotes and line ends of a label's value."""
    family = prometheus.Family("m", "gauge", "a\\b")
    family.add({"l": 'x"\\\n'}, 1)
    assert prometheus.text([family]) == '# HELP m a\\\\b\n# TYPE m gauge\nm{l="x\\"\\\\\\n"} 1\n'
