"""Restarts of containers, through the API. The shortest attempt period of AWS is a minute, so this takes one."""

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance

pytestmark = pytest.mark.integration


def begun(portside: Instance) -> str:
    """A task whose container runs for the attempt period and fails, and then ends with a code that is ignored, if it
    finds what its first run wrote, and the secrets that this one had. They are others by then."""
    portside.aws("ecs", "create-cluster", "--cluster-name", "default")
    ssm, sm = portside.client("ssm"), portside.client("secretsmanager")
    ssm.put_parameter(Name="/p", Type="SecureString", Value="p1")
    ssm.label_parameter_version(Name="/p", Labels=["live"])
    arn = sm.create_secret(Name="s", SecretString='{"key": "s1"}')["ARN"]
    sources = ["/p", "arn:aws:ssm:us-east-1:000000000000:parameter/p:live", arn, f"{arn}:key:AWSCURRENT:"]
    secrets = [{"name": f"S{number}", "valueFrom": source} for number, source in enumerate(sources)]
    script = (
        'has="$S0 $S1 $S2 $S3"; if test -e /written; then test "$(cat /written)" = "$has" && exit 42; exit 43; fi; '
        'echo "$has" >/written; sleep 61; exit 3'
    )
    policy = {"enabled": True, "ignoredExitCodes": [42], "restartAttemptPeriod": 60}
    command = ["sh", "-c", script]
    portside.register("again", {"name": "app", "command": command, "restartPolicy": policy, "secrets": secrets})
    task = portside.run_task("again")
    portside.wait_task(task, "RUNNING")
    ssm.put_parameter(Name="/p", Type="SecureString", Value="p2", Overwrite=True)
    ssm.label_parameter_version(Name="/p", ParameterVersion=2, Labels=["live"])
    sm.put_secret_value(SecretId="s", SecretString='{"key": "s2"}')
    return task


def check_end(portside: Instance, arn: str) -> None:
    task = portside.wait_task(arn, "STOPPED", timeout_s=120)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 42)
    assert (task["stoppedAt"] - task["startedAt"]).total_seconds() > 60


def test_an_essential_container_is_restarted_until_its_exit_code_is_ignored() -> None:
    """Only that code ends its task; also where the daemon is killed inside of the restart, and another one goes on with
    the secrets that the task began with."""
    ensure_busybox_image(IMAGE)
    with instance() as usual, instance(PORTSIDE_FAILPOINT="after-restart-rootfs") as dying:
        arns = begun(usual), begun(dying)
        check_end(usual, arns[0])
        dying.died()
        dying.start(PORTSIDE_FAILPOINT="")
        dying.ready()
        check_end(dying, arns[1])
