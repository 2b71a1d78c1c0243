"""EFS: what is implemented, in one list."""

from portside.api.efs import account
from portside.api.efs.access_point import AccessPoints
from portside.api.efs.file_system import FileSystems, Meter
from portside.api.efs.mount_target import MountTargets
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def efs_service(store: Store, clock: Clock, ids: Ids, meter: Meter) -> Service:
    """The service and its operations. Args: meter: what a file system holds."""
    return Service(
        "efs",
        {
            **account.handlers(),
            **FileSystems(store, clock, ids, meter).handlers(),
            **MountTargets(store, clock, ids).handlers(),
            **AccessPoints(store, ids).handlers(),
        },
        partial={
            "CreateFileSystem": "throughput and performance modes, Encrypted and KmsKeyId are kept and shown; nothing "
            "is throttled, and data is as encrypted as the machine's disk is",
            "CreateMountTarget": "IPv4; nothing answers at the address by NFS",
            "PutLifecycleConfiguration": "kept and shown; there is one storage class",
            "PutFileSystemPolicy": "for tasks that mount it; callers of the API are not refused by it, and none is "
            "kept from locking itself out",
            "PutBackupPolicy": "kept and shown; nothing is backed up",
        },
    )
