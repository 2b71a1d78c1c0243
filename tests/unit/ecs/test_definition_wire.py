"""What a task definition says comes back as it was given."""

from datetime import UTC, datetime
from typing import Any

from portside.api.ecs import definition_wire
from portside.domain.record import Scope

CONTAINER: dict[str, Any] = {
    "name": "web",
    "image": "nginx",
    "cpu": 10,
    "portMappings": [],
    "essential": True,
    "environment": [],
    "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}],
    "volumesFrom": [{"sourceContainer": "db", "readOnly": False}],
    "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}],
    "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1, "startPeriod": 3},
    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
    "repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:000000000000:secret:login"},
    "environmentFiles": [{"value": "arn:aws:s3:::bucket/file.env", "type": "s3"}],
    "secrets": [{"name": "PASSWORD", "valueFrom": "password"}],
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "g"},
        "secretOptions": [{"name": "token", "valueFrom": "token"}],
    },
    "linuxParameters": {
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]},
        "devices": [{"hostPath": "/dev/fuse", "containerPath": "/dev/fuse", "permissions": ["read", "write"]}],
        "initProcessEnabled": True,
        "sharedMemorySize": 64,
        "tmpfs": [{"containerPath": "/tmp", "size": 16, "mountOptions": ["noexec"]}],
        "maxSwap": 0,
        "swappiness": 10,
    },
    "versionConsistency": "enabled",
    "links": ["db"],
    "hostname": "web-1",
    "disableNetworking": True,
    "privileged": True,
    "dnsServers": ["10.0.0.2"],
    "dnsSearchDomains": ["example.internal"],
    "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.9"}],
    "dockerSecurityOptions": ["no-new-privileges"],
    "interactive": True,
    "pseudoTerminal": True,
}


def test_every_member_of_a_container_comes_back() -> None:
    """The wire shape of a container with all members is the one that was given."""
    draft = definition_wire.definition_from(
        {
            "family": "f",
            "containerDefinitions": [CONTAINER],
            "volumes": [{"name": "data"}],
            "pidMode": "task",
            "ipcMode": "none",
        },
        scope=Scope(account="0" * 12, region="r"),
        registered_at=datetime(2026, 1, 1, tzinfo=UTC),
        registered_by="me",
    )
    shown = definition_wire.definition_to(draft)
    assert shown["containerDefinitions"] == [CONTAINER]
    assert shown["volumes"] == [{"name": "data", "host": {}}]
    assert (shown["pidMode"], shown["ipcMode"]) == ("task", "none")


def test_defaults_of_a_health_check_are_shown() -> None:
    """A health check that names its command only is shown with AWS's defaults, as AWS shows it."""
    draft = definition_wire.definition_from(
        {
            "family": "f",
            "containerDefinitions": [{"name": "a", "image": "i", "healthCheck": {"command": ["CMD-SHELL", "true"]}}],
        },
        scope=Scope(account="0" * 12, region="r"),
        registered_at=datetime(2026, 1, 1, tzinfo=UTC),
        registered_by="me",
    )
    assert definition_wire.definition_to(draft)["containerDefinitions"][0]["healthCheck"] == {
        "command": ["CMD-SHELL", "true"],
        "interval": 30,
        "timeout": 5,
        "retries": 3,
    }
