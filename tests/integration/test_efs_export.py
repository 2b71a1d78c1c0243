"""File systems of EFS for other machines, by the NFS server of Debian, in network namespaces of the test's own."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, Instance, instance
from portside.testing.netns_lab import Netns
from portside.testing.wait import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("busybox"),
    pytest.mark.skipif(
        shutil.which("ganesha.nfsd") is None or shutil.which("nfs-cp") is None,
        reason="apt-get install nfs-ganesha nfs-ganesha-vfs libnfs-utils",
    ),
]
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
def exported(portside: Instance, here: Netns, name: str, *options: str) -> Iterator[None]:
    command = [
        *(sys.executable, "-m", "portside.cli", "volume", "export", name, "--address", ADDRESS),
        *("--clients", f"{CLIENT}/32", "--network-namespace", here.name),
        *("--data-dir", str(portside.settings.data_dir), *options),
    ]
    environment = os.environ | {"PORTSIDE_RUN_DIR": str(portside.settings.run_dir)}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:

        def listens() -> bool:
            assert server.poll() is None, server.communicate()
            done = subprocess.run(["ip", "netns", "exec", here.name, "ss", "-ltn"], capture_output=True, text=True)
            return ":2049" in done.stdout

        wait_for(listens, timeout_s=60, what="the server")
        yield
    finally:
        server.terminate()
        assert server.wait(60) == 0


def nfs(other: Netns, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ip", "netns", "exec", other.name, *words], capture_output=True, check=False, timeout=60)


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
    local.write_bytes(os.urandom(2000))  # nfs-cp of libnfs 4.0 does not write more at once by NFS 4
    with exported(portside, here, "out"):
        done = nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/file?version=4")
        assert done.stdout == written, (len(done.stdout), done.stderr)
        done = nfs(other, "nfs-cp", str(local), f"nfs://{ADDRESS}/{system}/back?version=4")
        assert done.returncode == 0, done.stderr
    assert (Path(portside.settings.data_dir) / "efs" / system / "back").read_bytes() == local.read_bytes()
    assert task("test $(stat -c %s /data/back) = 2000") == 0
    with exported(portside, here, system, "--read-only"):
        done = nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/file?version=4")
        assert done.stdout == written, (len(done.stdout), done.stderr)
        assert nfs(other, "nfs-cp", str(local), f"nfs://{ADDRESS}/{system}/no?version=4").returncode != 0
        other.ip("addr", "del", f"{CLIENT}/24", "dev", "eth0")  # the stranger's address is left
        assert nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/file?version=4").returncode != 0


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
    with exported(portside, here, system, "--access-point", point):
        done = nfs(other, "nfs-cp", str(local), f"nfs://{ADDRESS}/{system}/new?version=4")
        assert done.returncode == 0, done.stderr
        assert nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/secret?version=4").returncode != 0
        assert nfs(other, "nfs-cat", f"nfs://{ADDRESS}/{system}/../secret?version=4").returncode != 0
    made = (folder / "own" / "new").stat()
    assert (made.st_uid, made.st_gid) == (1234, 2345)
