"""Whether a task could mount a file system of EFS, and the words in which it ends if not.

Source: API_EFSVolumeConfiguration; EFS user guide, "Troubleshooting mount issues" and "Using VPC security groups".
"""

import ipaddress
from collections.abc import Collection, Iterable
from typing import Final

from portside.domain.file_system import NFS_PORT
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import EfsVolume
from portside.domain.vpc import SecurityGroup, SecurityGroupRule

_HEAD: Final = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: "


def failed(stderr: str, code: int, cause: str) -> str:
    """The reason that a task is stopped with. Args: stderr: what the mount helper of AWS says; cause: the fact."""
    return f"{_HEAD}{stderr} ({cause}) : unsuccessful EFS utils command execution; code: {code}"


def unresolved(file_system_id: str, region: str, cause: str) -> str:
    """The name of the file system leads nowhere from where the task is."""
    name = f"{file_system_id}.efs.{region}.amazonaws.com"
    return failed(
        f'Failed to resolve "{name}" - check that your file system ID is correct, and ensure that the VPC has an EFS '
        "mount target for this file system ID.",
        1,
        cause,
    )


def not_served(path: str, word: str, cause: str) -> str:
    """The server refuses the path, with one of NFS's words."""
    return failed(f"b'mount.nfs4: mounting 127.0.0.1:{path} failed, reason given by server: {word}'", 32, cause)


def check(volume: str, efs: EfsVolume) -> None:
    """Raises Refused: what is asked for contradicts itself."""
    if efs.access_point_id and efs.root_directory not in ("", "/"):
        raise _invalid(
            f"Volume '{volume}': rootDirectory must either be omitted or set to '/' when an accessPointId is specified."
        )
    if not efs.is_encrypted_in_transit and efs.access_point_id:
        raise _invalid(f"Volume '{volume}': transitEncryption must be ENABLED when an accessPointId is specified.")
    if not efs.is_encrypted_in_transit and efs.iam == "ENABLED":
        raise _invalid(f"Volume '{volume}': transitEncryption must be ENABLED when iam is ENABLED.")
    port = efs.transit_encryption_port
    if port is not None and not 0 <= port <= 65535:
        raise _invalid(f"Volume '{volume}': transitEncryptionPort must be between 0 and 65535.")
    path = efs.root_directory
    if path and (not path.startswith("/") or ".." in path.split("/") or "\0" in path):
        raise _invalid(f"Volume '{volume}': rootDirectory '{path}' is not an absolute path.")


def lets_through(
    client: Collection[SecurityGroup], client_address: str, target: Collection[SecurityGroup], target_address: str
) -> str:
    """ "", or which groups keep the task from the mount target's port. Answers need no rule: groups keep state."""
    client_ids, target_ids = {each.id for each in client}, {each.id for each in target}
    if not any(_admits(rule, target_address, target_ids) for rule in _rules(client, egress=True)):
        return f"no rule of the task's security groups lets TCP {NFS_PORT} out to {target_address}"
    if not any(_admits(rule, client_address, client_ids) for rule in _rules(target, egress=False)):
        return f"no rule of the mount target's security groups lets TCP {NFS_PORT} in from {client_address}"
    return ""


def _rules(groups: Iterable[SecurityGroup], *, egress: bool) -> Iterable[SecurityGroupRule]:
    return (rule for group in groups for rule in group.rules if rule.egress is egress)


def _admits(rule: SecurityGroupRule, address: str, group_ids: Collection[str]) -> bool:
    if rule.protocol not in ("-1", "tcp"):
        return False
    if rule.protocol == "tcp" and not (rule.from_port or 0) <= NFS_PORT <= (
        65535 if rule.to_port is None else rule.to_port
    ):
        return False
    if rule.group_id is not None:
        return rule.group_id in group_ids
    return rule.cidr is not None and ipaddress.IPv4Address(address) in ipaddress.IPv4Network(rule.cidr)


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "efsVolumeConfiguration")
