"""Small images for tests, made on the machine from Debian's busybox-static, without a network.

They are kept between runs: making one takes seconds, and nothing in them depends on a test.
"""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

BUSYBOX_IMAGE = "localhost/portside-test:1"
_BUILD_TIMEOUT_S = 120

_PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n"
)
_GROUP = "root:x:0:\nnobody:x:65534:\napp:x:1000:\nextra:x:2000:app\n"


def ensure_busybox_image(
    name: str = BUSYBOX_IMAGE, *, changes: Sequence[str] = (), files: Mapping[str, str | bytes] = {}
) -> str:
    """An image with busybox as /bin/* and the users root, nobody and app (uid 1000, also in group 2000).

    Args:
        changes: Dockerfile instructions for its configuration: `ENTRYPOINT ["/bin/sh"]`, `STOPSIGNAL SIGINT`, ….
        files: further files (path without leading slash -> content), executable.
    Returns: the name. Raises RuntimeError with what podman said.
    Effects: one image in containers/storage, unless one of that name is there.
    """
    if _podman("image", "exists", name).returncode == 0:
        return name
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("busybox is not installed: apt-get install busybox-static")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("home/app", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add(tar, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True, timeout=10).stdout
        for applet in applets.split():
            if applet == "busybox":
                continue
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        _add(tar, "etc/passwd", _PASSWD.encode(), 0o644)
        _add(tar, "etc/group", _GROUP.encode(), 0o644)
        for path, content in files.items():
            _add(tar, path, content.encode() if isinstance(content, str) else content, 0o755)
    options = [option for change in changes for option in ("--change", change)]
    made = _podman("import", *options, "-", name, data=archive.getvalue())
    if made.returncode != 0:
        raise RuntimeError(f"podman import of {name} failed: {made.stderr.decode(errors='replace')}")
    return name


def program_files(program: str) -> dict[str, bytes]:
    """A program of this machine as files of an image: itself and the libraries that it is linked with.

    Raises RuntimeError: it is not installed."""
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"{program} is not installed: apt-get install {program}")
    linked = subprocess.run(["ldd", path], check=True, capture_output=True, text=True, timeout=10).stdout
    paths = [path, *(word for line in linked.splitlines() for word in line.split() if word.startswith("/"))]
    return {each.lstrip("/"): Path(each).read_bytes() for each in paths}


def ensure_layered_image(name: str = "localhost/portside-test-layers:1", *, layers: int = 3) -> str:
    """The busybox image with further layers on top, each adding `/layer-N` and rewriting `/top` to its number."""
    if _podman("image", "exists", name).returncode == 0:
        return name
    below = ensure_busybox_image()
    for number in range(layers):
        here = name if number == layers - 1 else f"{name.rpartition(':')[0]}-{number}:1"
        container = _checked("container", "create", "--network=none", below, "/bin/true").strip()
        try:
            for path in (f"/layer-{number}", "/top"):
                archive = io.BytesIO()
                with tarfile.open(fileobj=archive, mode="w") as tar:
                    _add(tar, path.lstrip("/"), str(number).encode(), 0o644)
                copied = _podman("cp", "-", f"{container}:/", data=archive.getvalue())
                if copied.returncode != 0:
                    raise RuntimeError(f"podman cp failed: {copied.stderr.decode(errors='replace')}")
            _checked("commit", "--quiet", container, here)
        finally:
            _podman("container", "rm", container)
        below = here
    return name


def push_fresh_image(host: str, name: str, *, layers: int = 2, layer_bytes: int = 200_000) -> str:
    """An image whose layers are nowhere else: its content is random, and it is in the registry alone. Returns its full
    name."""
    below, made = ensure_busybox_image(), "localhost/portside-test-fresh:1"
    with tempfile.TemporaryDirectory(prefix="portside-image-") as folder:
        lines = [f"FROM {below}"]
        for number in range(layers):
            Path(folder, f"layer-{number}").write_bytes(os.urandom(layer_bytes))
            lines.append(f"COPY layer-{number} /layer-{number}")
        Path(folder, "Dockerfile").write_text("\n".join(lines) + "\n")
        _checked("build", "--quiet", "--network=none", "--layers", "-t", made, folder)
    _checked("push", "--quiet", "--tls-verify=false", made, f"docker://{host}/{name}")
    remove_image(made)
    return f"{host}/{name}"


def remove_image(name: str) -> None:
    """No harm if it is not there."""
    _podman("image", "rm", "--force", name)


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _checked(*arguments: str) -> str:
    done = _podman(*arguments)
    if done.returncode != 0:
        raise RuntimeError(f"podman {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def _podman(*arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["podman", *arguments], input=data, capture_output=True, timeout=_BUILD_TIMEOUT_S, check=False
    )
