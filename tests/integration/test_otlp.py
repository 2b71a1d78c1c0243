"""Metrics and output of real containers, told by OTLP."""

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, instance
from portside.testing.otlp_receiver import receiver
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration


def test_a_task_is_told() -> None:
    """Every line that a container writes, in order, and the CPU time that it uses."""
    ensure_busybox_image(IMAGE)
    options = {"awslogs-group": "/otlp", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "t"}
    with receiver() as to, instance(PORTSIDE_OTLP_ENDPOINT=to.url) as portside:
        portside.client("ecs").create_cluster()
        portside.client("logs").create_log_group(logGroupName="/otlp")
        portside.register(
            "web",
            {
                "command": ["sh", "-c", "seq 1 2000; while :; do :; done"],
                "logConfiguration": {"logDriver": "awslogs", "options": options},
            },
        )
        task = portside.run_task("web").rpartition("/")[2]
        wait_for(lambda: len(to.messages("/otlp")) >= 2000, timeout_s=60, what="the lines")
        assert to.messages("/otlp") == [str(number) for number in range(1, 2001)]

        def burnt() -> float:
            found = to.values("portside_container_cpu_seconds")
            return next((value for labels, value in found.items() if ("task", task) in labels), 0.0)

        wait_for(lambda: burnt() > 0, timeout_s=90, what="its CPU time")
        assert set(to.values("portside_info").values()) == {1}
