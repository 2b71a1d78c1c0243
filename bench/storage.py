"""Reading and writing in each kind of storage that a task has, against the machine's own file system below it.

fio (apt-get install fio) works on the task's own mounts, through /proc/PID/root: what is measured is the way of the
bytes, not a share of the CPU. Direct IO, so the page cache does not hide it.
"""

import json
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

from portside.domain import ecs_image
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
JOBS = {
    "sequential_read": ("read", "1M"),
    "sequential_write": ("write", "1M"),
    "random_read": ("randread", "4k"),
    "random_write": ("randwrite", "4k"),
}
KINDS = ("layer", "task_volume", "source_path", "docker_volume", "efs", "efs_access_point", "ebs_ext4", "ebs_xfs")


def bench(quick: bool) -> dict[str, Any]:
    if shutil.which("fio") is None:
        return {"skipped": "fio is not installed"}
    ensure_busybox_image(IMAGE)
    with instance() as running:
        roots = dict.fromkeys(KINDS, _task(running)) | {
            f"ebs_{kind}": _task_with_ebs(running, kind) for kind in ("ext4", "xfs") if shutil.which(f"mkfs.{kind}")
        }
        host = Path(running.settings.data_dir)
        # Each beside the host's own, at once before it: what else the machine does meets both.
        pairs = [
            (kind, _measured(host, quick), _measured(roots[kind] / kind, quick))
            for _ in range(1 if quick else 3)
            for kind in KINDS
            if kind in roots
        ]
    kinds = list(dict.fromkeys(kind for kind, _, _ in pairs))
    return {
        job: {
            "host_mb_s": statistics.median(own[job] for _, own, _ in pairs),
            **{
                f"{kind}_of_host": statistics.median(its[job] / own[job] for each, own, its in pairs if each == kind)
                for kind in kinds
            },
        }
        for job in JOBS
    }


def _measured(place: Path, quick: bool) -> dict[str, float]:
    """MB/s of each job."""
    file = place / "fio"
    found = {}
    for job, (kind, block) in JOBS.items():
        done = subprocess.run(
            [
                *("fio", "--name=job", f"--filename={file}", f"--rw={kind}", f"--bs={block}", "--direct=1"),
                *("--ioengine=libaio", "--iodepth=16", "--size=256M", "--time_based"),
                *("--runtime=1", "--output-format=json"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        side = "read" if kind.endswith("read") else "write"
        found[job] = json.loads(done.stdout)["jobs"][0][side]["bw_bytes"] / 1e6
    file.unlink()
    return found


def _task(running: Instance) -> Path:
    """A task with a volume of each kind. Returns its root directory, as the host sees it."""
    ec2, ecs, efs = running.client("ec2"), running.client("ecs"), running.client("efs")
    ecs.create_cluster(clusterName="default")
    subnet = running.subnets()[0]
    ec2.run_instances(ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet)
    wait_for(lambda: ecs.list_container_instances()["containerInstanceArns"], timeout_s=60, what="the instance")
    system = efs.create_file_system(CreationToken="bench")["FileSystemId"]
    efs.create_mount_target(FileSystemId=system, SubnetId=subnet)
    info = {"OwnerUid": 1000, "OwnerGid": 1000, "Permissions": "755"}
    point = efs.create_access_point(
        ClientToken="bench",
        FileSystemId=system,
        PosixUser={"Uid": 1000, "Gid": 1000},
        RootDirectory={"Path": "/own", "CreationInfo": info},
    )["AccessPointId"]
    through_point = {
        "fileSystemId": system,
        "transitEncryption": "ENABLED",
        "authorizationConfig": {"accessPointId": point},
    }
    volumes: list[dict[str, Any]] = [
        {"name": "task_volume"},
        {"name": "source_path", "host": {"sourcePath": "/srv"}},
        {"name": "docker_volume", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}},
        {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": system}},
        {"name": "efs_access_point", "efsVolumeConfiguration": through_point},
    ]
    mounts = [{"sourceVolume": each["name"], "containerPath": f"/{each['name']}"} for each in volumes]
    ecs.register_task_definition(
        family="bench",
        networkMode="bridge",
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "command": ["sh", "-c", "mkdir /layer; exec sleep 3600"],
                "mountPoints": mounts,
            }
        ],
        volumes=volumes,
    )
    return _root_of(running, ecs.run_task(taskDefinition="bench", launchType="EC2"))


def _task_with_ebs(running: Instance, kind: str) -> Path:
    """As above, of a task with a volume of EBS."""
    ecs, name = running.client("ecs"), f"ebs_{kind}"
    ecs.register_task_definition(
        family=name,
        networkMode="bridge",
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "stopTimeout": 2,
                "command": ["sleep", "3600"],
                "mountPoints": [{"sourceVolume": name, "containerPath": f"/{name}"}],
            }
        ],
        volumes=[{"name": name, "configuredAtLaunch": True}],
    )
    role = "arn:aws:iam::000000000000:role/ecsInfrastructureRole"
    managed = {"roleArn": role, "sizeInGiB": 10, "filesystemType": kind}
    volumes = [{"name": name, "managedEBSVolume": managed}]
    return _root_of(running, ecs.run_task(taskDefinition=name, launchType="EC2", volumeConfigurations=volumes))


def _root_of(running: Instance, answer: Any) -> Path:
    arn = answer["tasks"][0]["taskArn"]
    running.wait_task(arn, "RUNNING", timeout_s=120)
    records = [json.loads(each.read_text()) for each in _records(running)]
    (record,) = [each for each in records if each["task_key"].endswith(arn.rpartition("/")[2])]
    return Path(f"/proc/{record['pid']}/root")


def _records(running: Instance) -> list[Path]:
    return list(Path(running.settings.data_dir, "node", "containers").glob("*/record.json"))
