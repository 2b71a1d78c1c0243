"""What benchmarks add to a test instance: their image and task definition."""

from typing import Any

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import Instance

IMAGE = "localhost/portside-bench:1"


def ensure_image() -> None:
    """The image of every launch benchmark: one layer, busybox."""
    ensure_busybox_image(IMAGE)


def register(instance: Instance, family: str, command: list[str], *, log_group: str | None = None) -> None:
    container: dict[str, Any] = {"image": IMAGE, "command": command}
    if log_group:
        container["logConfiguration"] = {
            "logDriver": "awslogs",
            "options": {"awslogs-group": log_group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "b"},
        }
    instance.register(family, container)
