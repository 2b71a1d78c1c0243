"""The demonstration's images, made on this machine from its own distribution's packages, without any registry.

apt resolves and downloads the packages as for an empty system (nothing is installed here), dpkg unpacks them into a
folder, and `podman import` makes an image of it. A label holds a hash of the recipe: an image that is there and up to
date is left alone. No service of this machine is touched.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from portside.cli.failure import Failure

LABEL = "portside.recipe"
TIMEOUT_S = 600
RECIPE_VERSION = "1"
"""Raised when the way of making images changes here."""

UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "var/lib/dpkg")
"""What no container needs."""

USERS = """\
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUPS = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """
    Args:
        name: the image's name and tag.
        packages: Debian packages, which bring along what they depend on.
        files: place in the image -> name of a file of `portside.cli.demo`.
        changes: the image's configuration in Dockerfile words.
        warm_up: a command run once inside the finished folder (to compile Python's modules), or empty.
    """

    name: str
    packages: tuple[str, ...]
    files: dict[str, str]
    changes: tuple[str, ...]
    warm_up: tuple[str, ...] = ()

    def digest(self) -> str:
        """Changes whenever the image would come out different, but for newer versions of its packages."""
        contents = {place: content(name) for place, name in self.files.items()}
        parts = [RECIPE_VERSION, self.name, self.packages, contents, self.changes, self.warm_up, USERS, GROUPS]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


WEB = Recipe(
    name="localhost/portside-demo-web:1",
    packages=("nginx", "busybox-static"),
    files={"etc/nginx/nginx.conf": "nginx.conf", "srv/www/index.html": "index.html"},
    changes=('CMD ["/usr/sbin/nginx"]', "EXPOSE 80", "STOPSIGNAL SIGQUIT", "WORKDIR /srv/www"),
)
API = Recipe(
    name="localhost/portside-demo-api:1",
    packages=("python3", "busybox-static"),
    files={"srv/api.py": "application.py"},
    changes=('CMD ["/usr/bin/python3", "-u", "/srv/api.py"]', "EXPOSE 8000", "WORKDIR /srv"),
    warm_up=("/usr/bin/python3", "-c", "import http.server, json, signal, socket, threading, urllib.request"),
)
RECIPES = (WEB, API)


def content(name: str) -> str:
    """The text of a file that ships with the demonstration."""
    return resources.files("portside.cli.demo").joinpath(name).read_text()


def is_current(recipe: Recipe) -> bool:
    """Whether the image is there, made from this very recipe."""
    found = subprocess.run(
        ["podman", "image", "inspect", "--format", "{{json .Labels}}", recipe.name],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if found.returncode != 0:
        return False
    labels = json.loads(found.stdout or "null") or {}
    return bool(labels.get(LABEL) == recipe.digest())


def ensure_image(recipe: Recipe) -> str:
    """The image's name; it is made if it is not there or not up to date. Raises: Failure."""
    if not is_current(recipe):
        with tempfile.TemporaryDirectory(prefix="portside-packages-") as cache:
            make(recipe, Path(cache))
    return recipe.name


def ensure_web_image() -> str:
    """nginx on port 80, with `/health`."""
    return ensure_image(WEB)


def ensure_api_image() -> str:
    """A small HTTP/1.1 server on port 8000, with `/health` and `/api/info`."""
    return ensure_image(API)


def make(recipe: Recipe, cache: Path) -> None:
    """Make the image.

    Args: cache: a folder for downloaded packages, kept for the next time.
    Raises: Failure with the failing program's last words.
    """
    with tempfile.TemporaryDirectory(prefix="portside-image-") as folder:
        root = Path(folder) / "root"
        _lay_out(root)
        for package in _download(recipe.packages, cache):
            _unpack(package, root)
        _finish(root, recipe)
        archive = Path(folder) / "root.tar"
        _run(["tar", "--create", "--numeric-owner", f"--file={archive}", f"--directory={root}", "."], "pack the image")
        changes = [f"--change={change}" for change in (*recipe.changes, f"LABEL {LABEL}={recipe.digest()}")]
        _run(["podman", "import", "--quiet", *changes, str(archive), recipe.name], "import the image")


def _lay_out(root: Path) -> None:
    """The merged /usr that current packages expect; the package which makes it is not part of an image."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("etc", "proc", "sys", "dev", "run", "srv", "root", "var/log", "var/lib", "var/cache"):
        (root / name).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text(USERS)
    (root / "etc/group").write_text(GROUPS)


def _download(packages: Sequence[str], cache: Path) -> list[Path]:
    """The packages with all that they depend on, as files. apt is told that nothing at all is installed."""
    archives = cache / "-".join(packages)
    shutil.rmtree(archives, ignore_errors=True)
    (archives / "partial").mkdir(parents=True)
    # apt drops its rights to download, so its user must reach the folder; it goes on as root if it can not.
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "--download-only"]
    command += ["-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache::archives={archives}"]
    command += ["-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=300", *packages]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if tried.returncode != 0:
        # Package lists are missing or old.
        _run(["apt-get", "update", "--quiet"], "fetch the package lists")
        _run(command, f"download {' and '.join(packages)}")
    return sorted(archives.glob("*.deb"))


def _unpack(package: Path, root: Path) -> None:
    """Like `dpkg-deb --extract`, but a package that still ships /lib lands in the merged /usr/lib."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as reader:
        subprocess.run(
            ["tar", "--extract", "--keep-directory-symlink", f"--directory={root}"],
            stdin=reader.stdout,
            timeout=TIMEOUT_S,
            check=True,
        )
    if reader.returncode != 0:
        raise Failure(f"{package.name} could not be unpacked", "Is the disk full? See: portside doctor")


def _finish(root: Path, recipe: Recipe) -> None:
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
    shell = root / "usr/bin/sh"
    if not shell.exists():
        shell.symlink_to("busybox")  # for `sh` inside a container, to look around
    for place, name in recipe.files.items():
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content(name))
        file.chmod(0o644)
    if recipe.warm_up:
        _run(["chroot", str(root), *recipe.warm_up], "try the image's program")


def _run(command: Sequence[str], what: str) -> None:
    """Raises: Failure with the end of the program's output."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-6:]
        raise Failure(f"could not {what}: `{' '.join(command[:4])} …` ended with {done.returncode}", *words)
