"""What a task may mount, by the rules alone."""

from datetime import UTC, datetime

import pytest

from portside.domain import file_mount
from portside.domain.record import Scope
from portside.domain.refusal import Refused
from portside.domain.task_definition import EfsVolume
from portside.domain.vpc import SecurityGroup, SecurityGroupRule

CLIENT, TARGET = "10.0.1.5", "10.0.1.9"


def group(name: str, *rules: SecurityGroupRule) -> SecurityGroup:
    scope = Scope(account="000000000000", region="us-east-1")
    return SecurityGroup(
        scope=scope,
        id=f"sg-{name}",
        vpc_id="vpc-1",
        name=name,
        description="",
        rules=rules,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def rule(
    *, egress: bool = False, protocol: str = "tcp", ports: tuple[int, int] | None = (2049, 2049), **side: str
) -> SecurityGroupRule:
    first, last = ports or (None, None)
    return SecurityGroupRule(id="sgr-1", egress=egress, protocol=protocol, from_port=first, to_port=last, **side)


OUT = rule(egress=True, protocol="-1", ports=None, cidr="0.0.0.0/0")


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        (rule(cidr="10.0.1.0/24"), True),
        (rule(cidr="10.0.2.0/24"), False),
        (rule(group_id="sg-task"), True),
        (rule(group_id="sg-other"), False),
        (rule(ports=(0, 65535), cidr="10.0.1.5/32"), True),
        (rule(ports=(111, 2048), cidr="0.0.0.0/0"), False),
        (rule(protocol="udp", cidr="0.0.0.0/0"), False),
        (rule(protocol="-1", ports=None, cidr="0.0.0.0/0"), True),
        (rule(egress=True, cidr="0.0.0.0/0"), False),
        (rule(cidr_v6="::/0"), False),
    ],
)
def test_what_lets_a_task_in(given: SecurityGroupRule, passes: bool) -> None:
    """A rule for TCP 2049 from the task's address or one of its groups."""
    found = file_mount.lets_through([group("task", OUT)], CLIENT, [group("efs", given)], TARGET)
    assert (found == "") is passes
    assert passes or "in from 10.0.1.5" in found


def test_what_lets_a_task_out() -> None:
    """Its own groups must, too; any one of several is enough."""
    open_in = group("efs", rule(cidr="0.0.0.0/0"))
    assert "out to 10.0.1.9" in file_mount.lets_through([group("task")], CLIENT, [open_in], TARGET)
    narrow = group("narrow", rule(egress=True, group_id="sg-efs"))
    assert file_mount.lets_through([group("task"), narrow], CLIENT, [open_in], TARGET) == ""


@pytest.mark.parametrize(
    ("efs", "word"),
    [
        (EfsVolume(file_system_id="fs-1", access_point_id="fsap-1"), "transitEncryption"),
        (EfsVolume(file_system_id="fs-1", iam="ENABLED", transit_encryption="DISABLED"), "transitEncryption"),
        (
            EfsVolume(
                file_system_id="fs-1", access_point_id="fsap-1", transit_encryption="ENABLED", root_directory="/data"
            ),
            "rootDirectory",
        ),
        (EfsVolume(file_system_id="fs-1", transit_encryption_port=70000), "transitEncryptionPort"),
        (EfsVolume(file_system_id="fs-1", root_directory="data"), "rootDirectory"),
        (EfsVolume(file_system_id="fs-1", root_directory="/data/../etc"), "rootDirectory"),
    ],
)
def test_what_contradicts_itself_is_refused(efs: EfsVolume, word: str) -> None:
    """With the member that is wrong."""
    with pytest.raises(Refused) as caught:
        file_mount.check("data", efs)
    assert word in caught.value.message
