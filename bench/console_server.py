"""A Portside that has a thousand tasks without running one: gateway, console and store are the real ones.

`python -m bench.console_server PORT FOLDER TASKS` prints a line once it answers. Each line that it reads then lets one
task end and another begin."""

import asyncio
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from portside.api.console.changes import Changes
from portside.api.console.site import Site
from portside.api.console.visit import Visits
from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.aws.gateway import Gateway
from portside.aws.server import listen, make_server
from portside.aws.service import RequestContext
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import replace
from portside.domain.table import KINDS, TASK
from portside.domain.task.record import TaskStatus
from portside.settings import DEFAULT_CONSOLE_DIR
from portside.store.interface import Put
from portside.store.sqlite import SqliteStore
from portside.testing.instance import ACCOUNT, REGION

CLUSTER = "shop"
AT_ONCE = 10
"""As many tasks as RunTask takes."""


class Served:
    """The store, and the real API before it, called from inside."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "state.db", KINDS, durability="normal")
        clock, ids = SystemClock(), RandomIds()
        self.ecs, self.ec2 = ecs_service(self.store, clock, ids), ec2_service(self.store, clock, ids)
        self.changes = Changes(self.store)

    def call(self, service: Any, operation: str, **parameters: Any) -> Any:
        context = RequestContext(
            account=ACCOUNT,
            region=REGION,
            service=service.name,
            operation=operation,
            request_id="bench",
            access_key_id=ACCOUNT,
        )
        return service.handlers[operation](context, parameters)

    def begin(self, tasks: int) -> None:
        self.call(self.ecs, "CreateCluster", clusterName=CLUSTER)
        self.call(
            self.ecs,
            "RegisterTaskDefinition",
            family="web",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {"name": "main", "image": "localhost/nothing:1", "portMappings": [{"containerPort": 80}]}
            ],
        )
        self.subnets = [each["SubnetId"] for each in self.call(self.ec2, "DescribeSubnets")["Subnets"]]
        for _ in range(tasks // AT_ONCE):
            self.run(AT_ONCE)

    def run(self, count: int) -> None:
        """Tasks that are said to run; nobody looks after them."""
        before = {each.id for each in self.store.scan(TASK)}
        self.call(
            self.ecs,
            "RunTask",
            cluster=CLUSTER,
            taskDefinition="web",
            launchType="FARGATE",
            count=count,
            networkConfiguration={"awsvpcConfiguration": {"subnets": self.subnets}},
        )
        started = datetime.now(UTC)
        new = [each for each in self.store.scan(TASK) if each.id not in before]
        self.store.transact(
            *(Put(TASK, replace(each, last_status=TaskStatus.RUNNING, started_at=started)) for each in new)
        )

    def change(self) -> None:
        """One ends, another begins."""
        ended = next(each for each in self.store.scan(TASK) if each.last_status is TaskStatus.RUNNING)
        stopped = replace(ended, last_status=TaskStatus.STOPPED, stopped_at=datetime.now(UTC))
        self.store.transact(Put(TASK, stopped))
        self.run(1)


async def serve(port: int, folder: Path, tasks: int) -> None:
    served = Served(folder)
    served.begin(tasks)
    about = {"account": ACCOUNT, "region": REGION, "instance": "bench", "version": "0"}
    gateway = Gateway(
        [served.ecs, served.ec2],
        max_body_bytes=10 * 1024 * 1024,
        auth=None,
        default_account=ACCOUNT,
        default_region=REGION,
        extensions={},
        site=Site(DEFAULT_CONSOLE_DIR, served.changes, Visits(bytes(32), "bench"), about),
    )
    server = make_server(gateway)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, lines), sys.stdin)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listen("127.0.0.1", port)]), name="http")
        print("ready", flush=True)
        while await lines.readline():
            served.change()
        served.changes.end()
        server.stop()
    served.store.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
