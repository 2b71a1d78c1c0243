"""File systems of EFS for other machines, by the NFS server of Debian, in network namespaces of the test's own.

The client is the kernel's where it has one; else libnfs, whose version 4.0 can not write 4 KiB at once by NFS 4
("Failed to encode COMPOUND4args", before anything is sent).
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.domain import ecs_image
from portside.node.rootfs.mount_point import mounts_below
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.netns_lab import Netns
from portside.testing.wait import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("busybox"),
    pytest.mark.skipif(shutil.which("ganesha.nfsd") is None, reason="apt-get install nfs-ganesha nfs-ganesha-vfs"),
]
by_libnfs = pytest.mark.skipif(shutil.which("nfs-cp") is None, reason="apt-get install libnfs-utils")


def has_client() -> bool:
    """Whether the kernel can mount NFS."""
    if modprobe := shutil.which("modprobe", path="/usr/sbin:/sbin"):
        subprocess.run([modprobe, "-q", "nfsv4"], check=False)
    return "nfs4" in Path("/proc/filesystems").read_text()


by_the_kernel = pytest.mark.skipif(not has_client(), reason="the kernel has no client of NFS")
ADDRESS, CLIENT, STRANGER = "10.77.0.1", "10.77.0.2", "10.77.0.3"


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(clusterName="default")
        yield running


@pytest.fixture
def machines() -> Iterator[tuple[Netns, Netns]]:
    """The serving one and another, that reach nothing but each other."""
    here, other = Netns(), Netns()
    try:
        here.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.name)
        for each, *addresses in ((here, ADDRESS), (other, CLIENT, STRANGER)):
            for address in addresses:
                each.ip("addr", "add", f"{address}/24", "dev", "eth0")
            each.ip("link", "set", "eth0", "up")
        yield here, other
    finally:
        here.close()
        other.close()


@contextlib.contextmanager
def exported(
    portside: Instance, netns: str, name: str, *options: str, address: str = ADDRESS, client: str = CLIENT
) -> Iterator[None]:
    command = [
        *(sys.executable, "-m", "portside.cli", "volume", "export", name, "--address", address),
        *("--clients", f"{client}/32", "--network-namespace", netns),
        *("--data-dir", str(portside.settings.data_dir), *options),
    ]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:

        def listens() -> bool:
            assert server.poll() is None, server.communicate()
            done = subprocess.run(["ip", "netns", "exec", netns, "ss", "-ltn"], capture_output=True, text=True)
            return ":2049" in done.stdout

        wait_for(listens, timeout_s=90, what="the server")
        yield
    finally:
        server.terminate()
        assert server.wait(60) == 0


def nfs(other: Netns, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ip", "netns", "exec", other.name, *words], capture_output=True, check=False, timeout=60)


@by_libnfs
def test_another_machine_reads_and_writes_by_nfs(
    portside: Instance, machines: tuple[Netns, Netns], tmp_path: Path
) -> None:
    """What a task wrote is there, byte for byte, and what the other machine writes the task finds; by an access point
    its directory alone, as its user; without being able to write where that was not wanted; not for strangers."""
    here, other = machines
    efs = portside.client("efs")
    system = str(efs.create_file_system(CreationToken="out", Tags=[{"Key": "Name", "Value": "out"}])["FileSystemId"])
    for subnet in portside.subnets():
        efs.create_mount_target(FileSystemId=system, SubnetId=subnet)

    def task(script: str) -> int:
        portside.register(
            "out",
            {
                "name": "main",
                "command": ["sh", "-c", script],
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
            },
            volumes=[{"name": "data", "efsVolumeConfiguration": {"fileSystemId": system}}],
        )
        ended = portside.wait_task(portside.run_task("out"), "STOPPED", timeout_s=60)
        return int(ended["containers"][0]["exitCode"])

    assert task("dd if=/dev/urandom of=/data/file bs=1M count=4 && mkdir /data/own && chown 1234:2345 /data/own") == 0
    written = (Path(portside.settings.data_dir) / "efs" / system / "file").read_bytes()
    local = tmp_path / "local"
    local.write_bytes(os.urandom(2000))
    with exported(portside, here.name, "out"):
        done = nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/file?version=4")
        assert done.stdout == written, (len(done.stdout), done.stderr)
        done = nfs(other, "nfs-cp", str(local), f"nfs://{ADDRESS}/{system}/back?version=4")
        assert done.returncode == 0, done.stderr
    assert (Path(portside.settings.data_dir) / "efs" / system / "back").read_bytes() == local.read_bytes()
    assert task("test $(stat -c %s /data/back) = 2000") == 0
    with exported(portside, here.name, system, "--read-only"):
        done = nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/file?version=4")
        assert done.stdout == written, (len(done.stdout), done.stderr)
        assert nfs(other, "nfs-cp", str(local), f"nfs://{ADDRESS}/{system}/no?version=4").returncode != 0
        other.ip("addr", "del", f"{CLIENT}/24", "dev", "eth0")  # the stranger's address is left
        assert nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/file?version=4").returncode != 0


@by_libnfs
def test_by_an_access_point(portside: Instance, machines: tuple[Netns, Netns], tmp_path: Path) -> None:
    """Its directory is all there is, and whoever comes is its POSIX user."""
    here, other = machines
    efs = portside.client("efs")
    system = str(efs.create_file_system(CreationToken="point")["FileSystemId"])
    point = efs.create_access_point(
        ClientToken="p", FileSystemId=system, PosixUser={"Uid": 1234, "Gid": 2345}, RootDirectory={"Path": "/own"}
    )["AccessPointId"]
    folder = Path(portside.settings.data_dir) / "efs" / system
    (folder / "own").mkdir(parents=True)
    os.chown(folder / "own", 1234, 2345)
    (folder / "secret").write_text("not for them")
    local = tmp_path / "local"
    local.write_text("hello")
    with exported(portside, here.name, system, "--access-point", point):
        done = nfs(other, "nfs-cp", str(local), f"nfs://{ADDRESS}/{system}/new?version=4")
        assert done.returncode == 0, done.stderr
        assert nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/secret?version=4").returncode != 0
        assert nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/../secret?version=4").returncode != 0
    made = (folder / "own" / "new").stat()
    assert (made.st_uid, made.st_gid) == (1234, 2345)


@contextlib.contextmanager
def mounted(other: Netns, name: str, point: Path) -> Iterator[Path]:
    """By the kernel's client, in the network namespace of the other machine."""
    point.mkdir(exist_ok=True)
    enter = ["nsenter", f"--net=/run/netns/{other.name}"]
    options = f"addr={ADDRESS},clientaddr={CLIENT},vers=4.2"
    subprocess.run([*enter, "mount", "-i", "-t", "nfs4", "-o", options, f"{ADDRESS}:/{name}", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


@by_the_kernel
@pytest.mark.timeout(600)
def test_the_kernel_of_another_machine_mounts_it(
    portside: Instance, machines: tuple[Netns, Netns], tmp_path: Path
) -> None:
    """Megabytes written and synced there are here, byte for byte, and read again there by a second mount; by an access
    point as its user."""
    here, other = machines
    efs = portside.client("efs")
    system = str(efs.create_file_system(CreationToken="kernel")["FileSystemId"])
    point = efs.create_access_point(
        ClientToken="k", FileSystemId=system, PosixUser={"Uid": 1234, "Gid": 2345}, RootDirectory={"Path": "/own"}
    )["AccessPointId"]
    folder = Path(portside.settings.data_dir) / "efs" / system
    (folder / "own").mkdir(parents=True)
    os.chown(folder / "own", 1234, 2345)
    content = os.urandom(16 << 20)
    with exported(portside, here.name, system):
        with mounted(other, system, tmp_path / "there") as there:
            with (there / "big").open("wb") as writing:
                writing.write(content)
                os.fsync(writing.fileno())
            assert (folder / "big").read_bytes() == content
            (there / "big").rename(there / "own" / "moved")
        with mounted(other, system, tmp_path / "there") as there:
            assert (there / "own" / "moved").read_bytes() == content
    with (
        exported(portside, here.name, system, "--access-point", point),
        mounted(other, system, tmp_path / "p") as there,
    ):
        (there / "new").write_text("hello")
        assert not (there / "big").exists()
    made = (folder / "own" / "new").stat()
    assert (made.st_uid, made.st_gid) == (1234, 2345)


@by_the_kernel
@pytest.mark.timeout(600)
def test_a_docker_volume_of_type_nfs(portside: Instance) -> None:
    """A task on a container instance mounts, by the kernel, what another instance of its VPC exports; what it wrote is
    there, and nothing stays mounted."""
    ec2, ecs = portside.client("ec2"), portside.client("ecs")
    ami = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
    made = ec2.run_instances(
        ImageId=ami, InstanceType="t3.small", MinCount=2, MaxCount=2, SubnetId=portside.subnets()[0]
    )["Instances"]
    server, client = ((str(each["InstanceId"]), str(each["PrivateIpAddress"])) for each in made)

    def joined() -> str | None:
        arns = ecs.list_container_instances()["containerInstanceArns"]
        there = ecs.describe_container_instances(containerInstances=arns)["containerInstances"] if arns else []
        return next((str(each["containerInstanceArn"]) for each in there if each["ec2InstanceId"] == client[0]), None)

    arn = wait_for(joined, timeout_s=120, what="the instance to join")
    system = str(portside.client("efs").create_file_system(CreationToken="nfs")["FileSystemId"])
    folder = Path(portside.settings.data_dir) / "efs" / system
    options = {"type": "nfs", "device": f":/{system}", "o": f"addr={server[1]},nfsvers=4"}
    ecs.register_task_definition(
        family="nfs",
        networkMode="bridge",
        requiresCompatibilities=["EC2"],
        containerDefinitions=[
            {
                "name": "main",
                "image": IMAGE,
                "memory": 64,
                "command": [
                    "sh",
                    "-c",
                    "dd if=/dev/urandom of=/data/file bs=64k count=64 conv=fsync && cd /data && "
                    "sha256sum file > sum && sha256sum -c sum && sync",
                ],
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
            }
        ],
        volumes=[{"name": "data", "dockerVolumeConfiguration": {"scope": "task", "driverOpts": options}}],
    )
    name = f"portside-test-{server[0]}"
    with (
        netns_named(portside.settings.run_dir / "netns" / f"ec2-{server[0]}", name),
        exported(portside, name, system, address=server[1], client=client[1]),
    ):
        task = ecs.start_task(taskDefinition="nfs", containerInstances=[arn])["tasks"][0]["taskArn"]
        ended = portside.wait_task(task, "STOPPED", timeout_s=120)
        assert ended["containers"][0].get("exitCode") == 0, ended
        wait_for(lambda: not mounts_below(portside.settings.run_dir / "mounts"), timeout_s=60, what="the mount's end")
    said = (folder / "sum").read_text().split()[0]
    assert hashlib.sha256((folder / "file").read_bytes()).hexdigest() == said
    ec2.terminate_instances(InstanceIds=[server[0], client[0]])


@contextlib.contextmanager
def netns_named(pin: Path, name: str) -> Iterator[None]:
    """A pinned network namespace, for `ip netns`."""
    named = Path("/run/netns") / name
    named.parent.mkdir(exist_ok=True)
    named.touch()
    subprocess.run(["mount", "--bind", str(pin), str(named)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(named)], check=True)
        named.unlink()
