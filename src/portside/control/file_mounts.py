"""The file systems of a task's volumes, as its node mounts them: looked up when a container starts.

A running container keeps what it has, as a mounted NFS file system would: what is changed later, the next one meets.
"""

from portside.domain import file_mount, file_system_policy
from portside.domain.file_system import AccessPoint, FileSystem, MountTarget
from portside.domain.file_system_policy import Access, Client
from portside.domain.secret_reference import Unresolvable
from portside.domain.table import ACCESS_POINT, ENI, FILE_SYSTEM, MOUNT_TARGET, POLICY, ROLE, SECURITY_GROUP
from portside.domain.task.record import FileMount, Task
from portside.domain.task_definition import EfsVolume
from portside.domain.vpc import Eni, SecurityGroup, instance_owner
from portside.store.interface import Store


def resolve(store: Store, task: Task) -> tuple[FileMount, ...]:
    """Those of the whole task. Raises Unresolvable: one could not be mounted from where the task is."""
    return tuple(_resolved(store, task, each.name, each.efs) for each in task.volumes if each.efs is not None)


def _resolved(store: Store, task: Task, volume: str, efs: EfsVolume) -> FileMount:
    named = efs.file_system_id
    system = store.get(FILE_SYSTEM, f"{task.scope.prefix}{named}")
    if system is None:
        raise Unresolvable(file_mount.unresolved(named, task.scope.region, "there is no such file system"))
    _check_reach(store, task, system)
    point = _access_point(store, task, system, efs)
    may = _access(store, task, system, efs, point)
    if not may.mount:
        whom = task.task_role_arn or "a task without a role" if efs.iam == "ENABLED" else "a client without IAM"
        cause = f"the policy of {system.id} does not let {whom} mount it"
        raise Unresolvable(
            file_mount.failed("b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'", 32, cause)
        )
    return FileMount(
        volume=volume,
        file_system_id=system.id,
        path=point.path if point is not None else efs.root_directory or "/",
        creation=point.creation if point is not None else None,
        posix_user=point.posix_user if point is not None else None,
        is_read_only=not may.write,
        squashes_root=not may.root,
    )


def _access(store: Store, task: Task, system: FileSystem, efs: EfsVolume, point: AccessPoint | None) -> Access:
    client = Client()
    if efs.iam == "ENABLED" and task.task_role_arn:
        client = _client(store, _full(task.task_role_arn, task))
    known = {
        "aws:securetransport": "true" if efs.is_encrypted_in_transit else "false",
        "elasticfilesystem:accessedviamounttarget": "true",
    }
    if point is not None:
        known["elasticfilesystem:accesspointarn"] = point.arn
    if client.role_arn:
        known["aws:principalarn"] = client.role_arn
        known["aws:principalaccount"] = client.role_arn.split(":")[4]
    return file_system_policy.access(system.policy, client, arn=system.arn, known=known)


def _full(role: str, task: Task) -> str:
    """A role that a task definition names by its name alone is one of the account."""
    return role if role.startswith("arn:") else f"arn:aws:iam::{task.scope.account}:role/{role}"


def _client(store: Store, role_arn: str) -> Client:
    """With what IAM holds of the role; of one that it does not hold, nothing more is known."""
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    role = store.get(ROLE, f"{account}/{name}")
    if role is None:
        return Client(role_arn=role_arn)
    attached = [
        store.get(POLICY, f"{each.split(':')[4]}//{each.partition(':policy/')[2]}")
        for each in role.attached_policy_arns
    ]
    return Client(
        role_arn=role_arn,
        policies=(*role.inline_policies.values(), *(each.document for each in attached if each is not None)),
        managed=role.attached_policy_arns,
    )


def _access_point(store: Store, task: Task, system: FileSystem, efs: EfsVolume) -> AccessPoint | None:
    if not efs.access_point_id:
        return None
    point = store.get(ACCESS_POINT, f"{task.scope.prefix}{efs.access_point_id}")
    if point is None or point.file_system_id != system.id:
        cause = f"there is no access point {efs.access_point_id} of {system.id}"
        raise Unresolvable(
            file_mount.failed("b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'", 32, cause)
        )
    return point


def _check_reach(store: Store, task: Task, system: FileSystem) -> None:
    """Raises Unresolvable."""
    targets = store.find(MOUNT_TARGET, "file_system", FILE_SYSTEM.key(system))
    client = _interface_of(store, task)
    target = next((each for each in targets if (each.vpc_id, each.zone) == (client.vpc_id, client.zone)), None)
    if target is None:
        cause = f"it has no mount target in {client.zone} of {client.vpc_id}, where the task is"
        raise Unresolvable(file_mount.unresolved(system.id, task.scope.region, cause))
    serving = _interface(store, target)
    kept_out = file_mount.lets_through(_groups(store, client), client.address, _groups(store, serving), serving.address)
    if kept_out:
        raise Unresolvable(file_mount.failed("b'mount.nfs4: Connection timed out'", 32, kept_out))


def _interface_of(store: Store, task: Task) -> Eni:
    """By which the task reaches the VPC: its own, or its instance's. Raises Unresolvable."""
    if task.eni is not None:
        found = store.get(ENI, f"{task.scope.prefix}{task.eni.eni_id}")
    else:
        instance_id = task.placement.instance_id if task.placement is not None else ""
        found = next(iter(store.find(ENI, "owner", instance_owner(instance_id))), None)
    if found is None:
        raise Unresolvable(file_mount.failed("b'mount.nfs4: Connection timed out'", 32, "the task has no interface"))
    return found


def _interface(store: Store, target: MountTarget) -> Eni:
    found = store.get(ENI, f"{target.scope.prefix}{target.eni_id}")
    assert found is not None, f"{target.id} has no interface"
    return found


def _groups(store: Store, eni: Eni) -> list[SecurityGroup]:
    found = [store.get(SECURITY_GROUP, f"{eni.scope.prefix}{each}") for each in eni.security_group_ids]
    return [each for each in found if each is not None]
