"""`python -m portside.cli.halt DATA_DIR`: run by the systemd unit whenever the daemon has ended.

If the whole machine is going down it ends the containers, each with its stop signal first; else they are to run on, and
it does nothing. The next boot's daemon reports how they ended.
"""

import subprocess
import sys
from pathlib import Path

from portside.settings import Settings

GRACE_S = 30.0
"""ECS's default stopTimeout. Source:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html"""
_ASK_TIMEOUT_S = 20


def main(data_dir: str, *, grace_s: float = GRACE_S) -> int:
    """Returns the exit code: 1 if something did not end."""
    if not machine_is_stopping():
        return 0
    from portside.node.interface import NodeUnusable
    from portside.node.teardown import end_containers

    try:
        end_containers(Settings(data_dir=Path(data_dir)), grace_s=grace_s)
    except (OSError, NodeUnusable) as error:
        print(f"portside: {error}", file=sys.stderr)
        return 1
    return 0


def machine_is_stopping() -> bool:
    """Whether systemd is carrying out a halt, a reboot or the like. Source: systemctl(1), is-system-running."""
    try:
        asked = subprocess.run(
            ["systemctl", "is-system-running"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.stdout.strip() == "stopping"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
