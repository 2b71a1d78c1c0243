"""`portside interrupt TASK`: what Fargate Spot does when it takes capacity back, when one wants it."""

from urllib.parse import quote, urlencode

from portside.cli import instance as daemon
from portside.settings import Settings


def interrupt(settings: Settings, task: str, *, cluster: str = "") -> None:
    """Raises: Failure for a task that is unknown, not on FARGATE_SPOT, or about to stop."""
    path = f"/_portside/tasks/{quote(task, safe='')}/interruption"
    if cluster:
        path += f"?{urlencode({'cluster': cluster})}"
    gone = daemon.ask(settings, path, "Tasks and their ids: portside status", method="POST")[1]
    print(f"{gone['id']} of {gone['group']} in {gone['cluster']} is interrupted; its story: portside why {gone['id']}")
