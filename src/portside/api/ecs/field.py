"""Which members of RegisterTaskDefinition, RunTask and StartTask Portside does what with: behind the coverage page.

Every member of the input of RegisterTaskDefinition is in SUPPORTED (kept and acted upon) or in REFUSED (or below one
that is), every member of RunTask's in RUN_SUPPORTED or RUN_REFUSED: nothing is accepted and ignored. What AWS takes for
"not asked for" (null, false, empty) always passes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from portside.domain.fargate import unsupported
from portside.domain.refusal import RefusalKind, Refused


class Reason(NamedTuple):
    """Why a member is refused. The messages are AWS's, where AWS refuses it too: on Fargate, or in awsvpc mode."""

    fargate: str = ""
    awsvpc: str = ""


def _fargate(name: str) -> Reason:
    return Reason(fargate=f"Fargate compatible task definitions do not support {name}")


NOT_YET: Final = Reason()

SUPPORTED: Final[Mapping[str, str]] = {
    "family": "",
    "taskRoleArn": "its credentials are at 169.254.170.2; its policies are not evaluated yet",
    "executionRoleArn": "checked (form, trust policy) and shown; its policies are not enforced yet",
    "networkMode": "awsvpc, and on container instances bridge, host and none",
    "containerDefinitions": "",
    "containerDefinitions.name": "",
    "containerDefinitions.image": "",
    "containerDefinitions.cpu": "cgroup weight",
    "containerDefinitions.memory": "cgroup limit",
    "containerDefinitions.memoryReservation": "cgroup soft limit",
    "containerDefinitions.portMappings": "",
    "containerDefinitions.portMappings.containerPort": "",
    "containerDefinitions.portMappings.containerPortRange": "as many dynamic ports in a row, in bridge mode",
    "containerDefinitions.portMappings.hostPort": "in bridge mode 0 is a dynamic port; else the container port",
    "containerDefinitions.portMappings.protocol": "tcp and udp",
    "containerDefinitions.portMappings.name": "kept and shown",
    "containerDefinitions.portMappings.appProtocol": "kept and shown",
    "containerDefinitions.essential": "",
    "containerDefinitions.versionConsistency": "a service's tasks keep the digest that its deployment resolved first",
    "containerDefinitions.entryPoint": "",
    "containerDefinitions.command": "",
    "containerDefinitions.environment": "",
    "containerDefinitions.environment.name": "",
    "containerDefinitions.environment.value": "",
    "containerDefinitions.secrets": "of Systems Manager and Secrets Manager, read when the task starts",
    "containerDefinitions.secrets.name": "",
    "containerDefinitions.secrets.valueFrom": "a parameter's name or ARN; a secret's ARN with key, stage and version",
    "containerDefinitions.repositoryCredentials": "",
    "containerDefinitions.repositoryCredentials.credentialsParameter": "a secret, by ARN or (same region) by name",
    "containerDefinitions.environmentFiles": "objects of the S3 at --s3-endpoint; files of the host (an extension)",
    "containerDefinitions.environmentFiles.value": "an S3 ARN, or file:///PATH.env below the data directory's `env`",
    "containerDefinitions.environmentFiles.type": "",
    "containerDefinitions.dependsOn": "",
    "containerDefinitions.restartPolicy": "the same container runs again: what it wrote is there, its log goes on",
    "containerDefinitions.restartPolicy.enabled": "",
    "containerDefinitions.restartPolicy.ignoredExitCodes": "",
    "containerDefinitions.restartPolicy.restartAttemptPeriod": "",
    "containerDefinitions.dependsOn.containerName": "",
    "containerDefinitions.dependsOn.condition": "",
    "containerDefinitions.startTimeout": "of a container that others wait for with COMPLETE, SUCCESS or HEALTHY",
    "containerDefinitions.stopTimeout": "",
    "containerDefinitions.healthCheck": "run in the container; the image's own HEALTHCHECK is not used, as on AWS",
    "containerDefinitions.healthCheck.command": "CMD and CMD-SHELL",
    "containerDefinitions.healthCheck.interval": "",
    "containerDefinitions.healthCheck.timeout": "",
    "containerDefinitions.healthCheck.retries": "",
    "containerDefinitions.healthCheck.startPeriod": "",
    "containerDefinitions.user": "",
    "containerDefinitions.privileged": "all capabilities and devices of the host, no seccomp filter; not on Fargate",
    "containerDefinitions.workingDirectory": "",
    "containerDefinitions.readonlyRootFilesystem": "",
    "containerDefinitions.linuxParameters": "",
    "containerDefinitions.linuxParameters.capabilities": "with the seccomp filter that goes with them",
    "containerDefinitions.linuxParameters.capabilities.add": "on Fargate only SYS_PTRACE",
    "containerDefinitions.linuxParameters.capabilities.drop": "",
    "containerDefinitions.linuxParameters.devices": "not on Fargate",
    "containerDefinitions.linuxParameters.devices.hostPath": "",
    "containerDefinitions.linuxParameters.devices.containerPath": "",
    "containerDefinitions.linuxParameters.devices.permissions": "",
    "containerDefinitions.linuxParameters.initProcessEnabled": "catatonit is process 1",
    "containerDefinitions.linuxParameters.sharedMemorySize": "not on Fargate",
    "containerDefinitions.linuxParameters.tmpfs": "",
    "containerDefinitions.linuxParameters.tmpfs.containerPath": "",
    "containerDefinitions.linuxParameters.tmpfs.size": "",
    "containerDefinitions.linuxParameters.tmpfs.mountOptions": "but bind, remount, propagation, nr_blocks and mpol",
    "containerDefinitions.linuxParameters.maxSwap": "not on Fargate; where the kernel counts swap",
    "containerDefinitions.linuxParameters.swappiness": "not on Fargate; with maxSwap, on cgroup v1",
    "containerDefinitions.systemControls": "those of the task's network and of IPC",
    "containerDefinitions.systemControls.namespace": "",
    "containerDefinitions.systemControls.value": "",
    "containerDefinitions.hostname": "not in awsvpc mode",
    "containerDefinitions.disableNetworking": "not in awsvpc mode",
    "containerDefinitions.dnsServers": "not in awsvpc mode",
    "containerDefinitions.dnsSearchDomains": "not in awsvpc mode",
    "containerDefinitions.extraHosts": "not in awsvpc mode",
    "containerDefinitions.links": "in bridge mode: names in /etc/hosts, and the order of the start; no variables",
    "containerDefinitions.extraHosts.hostname": "",
    "containerDefinitions.extraHosts.ipAddress": "",
    "containerDefinitions.dockerSecurityOptions": "no-new-privileges, not on Fargate",
    "containerDefinitions.interactive": "standard input stays open",
    "containerDefinitions.pseudoTerminal": "",
    "containerDefinitions.dockerLabels": "kept and shown",
    "containerDefinitions.ulimits": "",
    "containerDefinitions.ulimits.name": "",
    "containerDefinitions.ulimits.softLimit": "",
    "containerDefinitions.ulimits.hardLimit": "",
    "containerDefinitions.logConfiguration": "",
    "containerDefinitions.logConfiguration.logDriver": "awslogs; on container instances json-file and syslog",
    "containerDefinitions.logConfiguration.options": "those of these drivers",
    "containerDefinitions.mountPoints": "",
    "containerDefinitions.mountPoints.sourceVolume": "",
    "containerDefinitions.mountPoints.containerPath": "",
    "containerDefinitions.mountPoints.readOnly": "",
    "containerDefinitions.volumesFrom": "with the order that follows from it: the other container starts first",
    "containerDefinitions.volumesFrom.sourceContainer": "",
    "containerDefinitions.volumesFrom.readOnly": "",
    "volumes": "without a source: empty at first, shared by the task's containers, gone with the task",
    "volumes.name": "",
    "volumes.configuredAtLaunch": "a volume of EBS for each task, by `volumeConfigurations`",
    "volumes.host": "",
    "volumes.host.sourcePath": "a path of the container instance's own file system, made if it is not there",
    "volumes.dockerVolumeConfiguration": "not on Fargate",
    "volumes.dockerVolumeConfiguration.scope": "task, and shared: on the task's instance until it is removed",
    "volumes.dockerVolumeConfiguration.autoprovision": "without it, a shared volume must be there",
    "volumes.dockerVolumeConfiguration.driver": "local",
    "volumes.dockerVolumeConfiguration.driverOpts": "of types none with o=bind, tmpfs, nfs, and attached disks'",
    "volumes.dockerVolumeConfiguration.labels": "kept, and shown by `portside volume inspect`",
    "volumes.efsVolumeConfiguration": "needs a mount target in the task's zone, whose security groups let it in",
    "volumes.efsVolumeConfiguration.fileSystemId": "",
    "volumes.efsVolumeConfiguration.rootDirectory": "",
    "volumes.efsVolumeConfiguration.transitEncryption": "kept and shown: nothing leaves the machine",
    "volumes.efsVolumeConfiguration.transitEncryptionPort": "kept and shown",
    "volumes.efsVolumeConfiguration.authorizationConfig": "",
    "volumes.efsVolumeConfiguration.authorizationConfig.accessPointId": "with its root directory and POSIX user",
    "volumes.efsVolumeConfiguration.authorizationConfig.iam": "by policies of the file system and of the task's role",
    "requiresCompatibilities": "EC2, FARGATE and EXTERNAL; there are no external instances",
    "cpu": "",
    "memory": "",
    "pidMode": "task, and host, not on Fargate",
    "ipcMode": "host, task and none, not on Fargate",
    "placementConstraints": "not on Fargate",
    "placementConstraints.type": "memberOf",
    "placementConstraints.expression": "as in RunTask",
    "tags": "",
    "tags.key": "",
    "tags.value": "",
    "ephemeralStorage": "",
    "ephemeralStorage.sizeInGiB": "of all its containers' writable layers together; the image's layers do not count",
    "runtimePlatform": "",
    "runtimePlatform.cpuArchitecture": "a task for another machine, or with an image for one, ends with the reason",
    "runtimePlatform.operatingSystemFamily": "LINUX",
}

REFUSED: Final[Mapping[str, Reason]] = {
    "containerDefinitions.logConfiguration.secretOptions": NOT_YET,
    "containerDefinitions.resourceRequirements": Reason(
        fargate="Tasks using the Fargate launch type do not support GPU resource requirements"
    ),
    "containerDefinitions.firelensConfiguration": NOT_YET,
    "containerDefinitions.credentialSpecs": NOT_YET,
    "volumes.fsxWindowsFileServerVolumeConfiguration": _fargate("fsxWindowsFileServerVolumeConfiguration"),
    "volumes.s3filesVolumeConfiguration": NOT_YET,
    "proxyConfiguration": NOT_YET,
    "inferenceAccelerators": NOT_YET,
    "enableFaultInjection": NOT_YET,
    "trustedExecutionConfiguration": NOT_YET,
}

ELSEWHERE: Final[Mapping[str, Reason]] = {
    "linuxParameters.devices": _fargate("devices"),
    "linuxParameters.sharedMemorySize": _fargate("sharedMemorySize"),
    "linuxParameters.maxSwap": _fargate("maxSwap"),
    "linuxParameters.swappiness": _fargate("swappiness"),
    "hostname": Reason(awsvpc="hostname is not supported on container when networkMode=awsvpc"),
    "disableNetworking": Reason(awsvpc="Disable Networking is not supported on container when networkMode=awsvpc"),
    "dnsServers": Reason(awsvpc="DNS servers are not supported on container when networkMode=awsvpc"),
    "dnsSearchDomains": Reason(awsvpc="DNS search domains are not supported on container when networkMode=awsvpc"),
    "links": Reason(awsvpc="Links are not supported when networkMode=awsvpc"),
    "extraHosts": Reason(awsvpc="Extra hosts are not supported on container when networkMode=awsvpc"),
    "dockerSecurityOptions": _fargate("dockerSecurityOptions"),
    "privileged": _fargate("privileged"),
}
"""Members of a container that are supported, but not where AWS refuses them."""

VOLUME_ELSEWHERE: Final[Mapping[str, Reason]] = {
    "host.sourcePath": _fargate("sourcePath"),
    "dockerVolumeConfiguration": _fargate("dockerVolumeConfiguration"),
}
"""Those of a volume."""

FARGATE_IPC_MODE: Final = "Tasks using the Fargate launch type do not support ipcMode."
HOST_PID_MODE: Final = (
    "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'."
)


RUN_SUPPORTED: Final[Mapping[str, str]] = {
    "capacityProviderStrategy": "FARGATE and FARGATE_SPOT",
    "capacityProviderStrategy.capacityProvider": "",
    "capacityProviderStrategy.weight": "",
    "capacityProviderStrategy.base": "",
    "clientToken": "",
    "cluster": "",
    "count": "",
    "enableECSManagedTags": "",
    "enableExecuteCommand": "",
    "group": "",
    "launchType": "FARGATE and EC2",
    "networkConfiguration": "",
    "networkConfiguration.awsvpcConfiguration": "",
    "networkConfiguration.awsvpcConfiguration.subnets": "",
    "networkConfiguration.awsvpcConfiguration.securityGroups": "",
    "networkConfiguration.awsvpcConfiguration.assignPublicIp": "",
    "overrides": "",
    "overrides.containerOverrides": "",
    "overrides.containerOverrides.name": "",
    "overrides.containerOverrides.command": "",
    "overrides.containerOverrides.environment": "",
    "overrides.containerOverrides.environment.name": "",
    "overrides.containerOverrides.environment.value": "",
    "overrides.containerOverrides.environmentFiles": "in place of the definition's",
    "overrides.containerOverrides.environmentFiles.value": "",
    "overrides.containerOverrides.environmentFiles.type": "",
    "overrides.containerOverrides.cpu": "",
    "overrides.containerOverrides.memory": "",
    "overrides.containerOverrides.memoryReservation": "",
    "overrides.cpu": "",
    "overrides.memory": "",
    "overrides.ephemeralStorage": "",
    "overrides.ephemeralStorage.sizeInGiB": "",
    "overrides.executionRoleArn": "",
    "placementConstraints": "not on Fargate",
    "placementConstraints.type": "distinctInstance and memberOf",
    "placementConstraints.expression": "cluster query language; in patterns no repeated groups and no lookaround",
    "overrides.taskRoleArn": "as in the task definition",
    "placementStrategy": "random, binpack, spread over instances and attributes, not on Fargate",
    "placementStrategy.type": "",
    "placementStrategy.field": "other attributes are refused",
    "platformVersion": "1.4.0 and LATEST",
    "propagateTags": "",
    "referenceId": "kept, and shown by `portside why`; AWS gives no other way to see it",
    "startedBy": "",
    "tags": "",
    "tags.key": "",
    "tags.value": "",
    "taskDefinition": "",
    "volumeConfigurations": "one, of a volume that is configured at launch",
    "volumeConfigurations.name": "",
    "volumeConfigurations.managedEBSVolume": "",
    "volumeConfigurations.managedEBSVolume.encrypted": "kept and shown",
    "volumeConfigurations.managedEBSVolume.volumeInitializationRate": "kept and shown: a volume is whole at once",
    "volumeConfigurations.managedEBSVolume.filesystemType": "ext3, ext4, xfs (needs mkfs.xfs on the machine)",
    "volumeConfigurations.managedEBSVolume.iops": "held with `--ebs-rates`, else kept and shown",
    "volumeConfigurations.managedEBSVolume.kmsKeyId": "kept and shown",
    "volumeConfigurations.managedEBSVolume.roleArn": "its trust is looked at, its permissions are not",
    "volumeConfigurations.managedEBSVolume.sizeInGiB": "",
    "volumeConfigurations.managedEBSVolume.snapshotId": "",
    "volumeConfigurations.managedEBSVolume.tagSpecifications": "",
    "volumeConfigurations.managedEBSVolume.tagSpecifications.propagateTags": "",
    "volumeConfigurations.managedEBSVolume.tagSpecifications.resourceType": "",
    "volumeConfigurations.managedEBSVolume.tagSpecifications.tags": "",
    "volumeConfigurations.managedEBSVolume.tagSpecifications.tags.key": "",
    "volumeConfigurations.managedEBSVolume.tagSpecifications.tags.value": "",
    "volumeConfigurations.managedEBSVolume.terminationPolicy": "",
    "volumeConfigurations.managedEBSVolume.terminationPolicy.deleteOnTermination": "",
    "volumeConfigurations.managedEBSVolume.throughput": "held with `--ebs-rates`, else kept and shown",
    "volumeConfigurations.managedEBSVolume.volumeType": "",
}
"""Members of RunTask that are acted upon."""

_ELSEWHERE_THAN_START: Final = frozenset(
    {"capacityProviderStrategy", "clientToken", "count", "launchType", "placementConstraints", "placementStrategy"}
    | {"platformVersion"}
)

START_SUPPORTED: Final[Mapping[str, str]] = {
    "containerInstances": "",
    **{path: note for path, note in RUN_SUPPORTED.items() if path.partition(".")[0] not in _ELSEWHERE_THAN_START},
}
"""Members of StartTask that are acted upon: those that it has in common with RunTask, and where to start."""

RUN_REFUSED: Final[Mapping[str, Reason]] = {
    "overrides.containerOverrides.resourceRequirements": NOT_YET,
    "overrides.inferenceAcceleratorOverrides": NOT_YET,
}
"""Members that RunTask and StartTask refuse."""


def member_table() -> str:
    """The tables of RegisterTaskDefinition, RunTask and StartTask as Markdown, for the coverage page."""
    return "\n".join(
        (
            _table("RegisterTaskDefinition", SUPPORTED, REFUSED),
            _table("RunTask", RUN_SUPPORTED, RUN_REFUSED),
            _table("StartTask", START_SUPPORTED, RUN_REFUSED),
        )
    )


def _table(operation: str, supported: Mapping[str, str], refused: Mapping[str, Reason]) -> str:
    rows = {path: f"yes: {note}" if note else "yes" for path, note in supported.items()}
    for path, reason in refused.items():
        where = (("on Fargate", reason.fargate), ("in awsvpc mode", reason.awsvpc))
        words = [f"{place}: `{message}`" for place, message in where if message]
        rows[path] = "; ".join(("refused", *words, "elsewhere: not built yet")) if words else "refused: not built yet"
    return "\n".join(
        (
            f"### Members of {operation}",
            "",
            "A member that is refused is refused with all that lies below it; what AWS refuses, too, in its words.",
            "",
            "| Member | Taken |",
            "|---|---|",
            *(f"| {path} | {taken} |" for path, taken in sorted(rows.items())),
            "",
        )
    )


def _kept(prefix: str, supported: Mapping[str, str] = SUPPORTED) -> frozenset[str]:
    """The supported member names directly below a path."""
    return frozenset(
        path[len(prefix) :] for path in supported if path.startswith(prefix) and "." not in path[len(prefix) :]
    )


_TASK: Final = _kept("")
_CONTAINER: Final = _kept("containerDefinitions.")
_PORT: Final = _kept("containerDefinitions.portMappings.")
_LOG: Final = _kept("containerDefinitions.logConfiguration.")
_VOLUME: Final = _kept("volumes.")
_VOLUME_HOST: Final = _kept("volumes.host.")


def check_task_definition(params: Mapping[str, Any]) -> None:
    """
    Raises:
        Refused: a member is asked for that Portside does not implement; INVALID in AWS's words where AWS refuses it in
            this definition too.
    """
    fargate = "FARGATE" in (params.get("requiresCompatibilities") or ())
    awsvpc = params.get("networkMode") == "awsvpc"
    if fargate and params.get("pidMode") == "host":
        raise Refused(RefusalKind.INVALID, HOST_PID_MODE, "pidMode")
    if fargate and params.get("ipcMode"):
        raise Refused(RefusalKind.INVALID, FARGATE_IPC_MODE, "ipcMode")
    for name in params.keys() - _TASK:
        _check(name, params[name], fargate=fargate, awsvpc=awsvpc)
    for volume in params.get("volumes") or ():
        _check_elsewhere("volumes", volume, VOLUME_ELSEWHERE, fargate=fargate, awsvpc=awsvpc)
        for prefix, given, kept in (
            ("volumes.", volume, _VOLUME),
            ("volumes.host.", volume.get("host") or {}, _VOLUME_HOST),
        ):
            for name in given.keys() - kept:
                _check(f"{prefix}{name}", given[name], fargate=fargate, awsvpc=awsvpc)
    for container in params["containerDefinitions"]:
        _check_elsewhere("containerDefinitions", container, ELSEWHERE, fargate=fargate, awsvpc=awsvpc)
        for name in container.keys() - _CONTAINER:
            _check(f"containerDefinitions.{name}", container[name], fargate=fargate, awsvpc=awsvpc)
        for mapping in container.get("portMappings") or ():
            for name in mapping.keys() - _PORT:
                _check(f"containerDefinitions.portMappings.{name}", mapping[name], fargate=fargate, awsvpc=awsvpc)
        log = container.get("logConfiguration")
        if log:
            for name in log.keys() - _LOG:
                _check(f"containerDefinitions.logConfiguration.{name}", log[name], fargate=fargate, awsvpc=awsvpc)


def _check_elsewhere(
    prefix: str, given: Mapping[str, Any], refused: Mapping[str, Reason], *, fargate: bool, awsvpc: bool
) -> None:
    for path, reason in refused.items():
        parent, _, name = path.rpartition(".")
        holder = given.get(parent) or {} if parent else given
        message = (reason.fargate if fargate else "") or (reason.awsvpc if awsvpc else "")
        if message and name in holder and is_asked_for(holder[name]):
            raise Refused(RefusalKind.INVALID, message, f"{prefix}.{path}")


_RUN: Final = _kept("", RUN_SUPPORTED)
_OVERRIDE: Final = _kept("overrides.", RUN_SUPPORTED)
_MANAGED: Final = "volumeConfigurations.managedEBSVolume."
_MANAGED_VOLUME: Final = _kept(_MANAGED, RUN_SUPPORTED)
_CONTAINER_OVERRIDE: Final = _kept("overrides.containerOverrides.", RUN_SUPPORTED)


def check_run_task(params: Mapping[str, Any], *, fargate: bool) -> None:
    """
    Raises:
        Refused: a member is asked for that Portside does not implement; INVALID in AWS's words where AWS refuses it.
    """
    overrides = params.get("overrides") or {}
    for prefix, given, kept in (
        ("", params, _RUN),
        ("overrides.", overrides, _OVERRIDE),
        *(
            ("overrides.containerOverrides.", each, _CONTAINER_OVERRIDE)
            for each in overrides.get("containerOverrides") or ()
        ),
        *(
            (_MANAGED, each.get("managedEBSVolume") or {}, _MANAGED_VOLUME)
            for each in params.get("volumeConfigurations") or ()
        ),
    ):
        for name in given.keys() - kept:
            _check(f"{prefix}{name}", given[name], fargate=fargate, awsvpc=False, refused=RUN_REFUSED)


def is_asked_for(value: object) -> bool:
    """Whether a value of a member is more than AWS's "nothing": null, false, empty, or a structure of such only."""
    if isinstance(value, Mapping):
        return any(is_asked_for(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return bool(value)
    return value is not None and value is not False and value != ""


def _check(path: str, value: object, *, fargate: bool, awsvpc: bool, refused: Mapping[str, Reason] = REFUSED) -> None:
    asked = list(_asked_for(path, value))
    for each in asked:
        reason = _reason(each, refused)
        message = (reason.fargate if fargate else "") or (reason.awsvpc if awsvpc else "")
        if message:
            raise Refused(RefusalKind.INVALID, message, each)
    if asked:
        # The members of a list's items say less than the list: `containerDefinitions.secrets`, not its `.name`.
        raise unsupported(path if isinstance(value, (list, tuple)) else asked[0])


def _asked_for(path: str, value: object) -> Iterator[str]:
    """The paths of all leaves that are asked for."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _asked_for(f"{path}.{name}", each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _asked_for(path, each)
    elif is_asked_for(value):
        yield path


def _reason(path: str, refused: Mapping[str, Reason]) -> Reason:
    """That of the path, or of what it lies below."""
    while path not in refused and "." in path:
        path = path.rpartition(".")[0]
    return refused.get(path, NOT_YET)
