"""What tasks reach at the link-local address, as VPCs come and go."""

import asyncio
import socket

from portside.task_endpoint import TaskEndpoints
from portside.testing.wait import wait_for


def listening() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


def test_a_vpc_that_goes_at_once_leaves_no_socket() -> None:
    """Sockets that are not served yet when their VPC goes, or gets others, are closed all the same."""

    async def body() -> None:
        endpoints = TaskEndpoints(metadata=lambda _id: None, instance_metadata=lambda _id: None, api=None)
        gone, before, after = [listening(), listening()], [listening()], [listening()]
        endpoints.sockets("vpc-1", gone)
        endpoints.sockets("vpc-1", ())
        endpoints.sockets("vpc-2", before)
        endpoints.sockets("vpc-2", after)

        def closed() -> bool:
            return all(each.fileno() < 0 for each in (*gone, *before))

        await asyncio.to_thread(wait_for, closed, timeout_s=10, what="closed sockets")
        assert after[0].fileno() >= 0
        await endpoints.close()
        assert after[0].fileno() < 0

    asyncio.run(body())
