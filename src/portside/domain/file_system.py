"""EFS: file systems, the mount targets by which networks reach them, and access points.

Source: API_CreateFileSystem, API_CreateMountTarget, API_CreateAccessPoint; EFS user guide, "Managing mount targets".
"""

from datetime import datetime
from typing import Final

from portside.domain.record import Record, Scope, Tags

NFS_PORT: Final = 2049
SECURITY_GROUPS_MOST: Final = 5


class LifecycleRule(Record, frozen=True, kw_only=True):
    """`name` is TransitionToIA, TransitionToArchive or TransitionToPrimaryStorageClass. Kept and shown."""

    name: str
    after: str


class FileSystem(Record, frozen=True, kw_only=True):
    """`zone`: of a One Zone file system, whose mount targets can be there alone."""

    scope: Scope
    id: str
    creation_token: str
    performance_mode: str = "generalPurpose"
    throughput_mode: str = "bursting"
    provisioned_mibps: float | None = None
    encrypted: bool = False
    kms_key_id: str = ""
    zone: str = ""
    is_backed_up: bool = False
    lifecycle: tuple[LifecycleRule, ...] = ()
    is_protected: bool = True  # from being overwritten by a replication; there are none
    policy: str = ""  # JSON, as given; empty: none
    tags: Tags = ()
    created_at: datetime

    @property
    def arn(self) -> str:
        return f"arn:aws:elasticfilesystem:{self.scope.region}:{self.scope.account}:file-system/{self.id}"


class MountTarget(Record, frozen=True, kw_only=True):
    """Where a subnet's zone reaches a file system. Its address and security groups are its interface's."""

    scope: Scope
    id: str
    file_system_id: str
    subnet_id: str
    vpc_id: str
    zone: str
    eni_id: str
    address: str


class PosixUser(Record, frozen=True, kw_only=True):
    uid: int
    gid: int
    secondary_gids: tuple[int, ...] = ()


class CreationInfo(Record, frozen=True, kw_only=True):
    """`permissions`: octal digits."""

    owner_uid: int
    owner_gid: int
    permissions: str


class AccessPoint(Record, frozen=True, kw_only=True):
    scope: Scope
    id: str
    client_token: str
    file_system_id: str
    posix_user: PosixUser | None = None
    path: str = "/"
    creation: CreationInfo | None = None
    tags: Tags = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:elasticfilesystem:{self.scope.region}:{self.scope.account}:access-point/{self.id}"
