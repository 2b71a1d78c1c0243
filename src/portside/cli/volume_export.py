"""`portside volume export`: a file system of EFS for other machines, by an NFS server of Debian's (nfs-ganesha).

The server runs in the foreground, for one file system or access point, and ends with the command. It speaks NFS 4 on
one TCP port, and needs no rpcbind. Security groups are the VPC's: they do not hold for who comes this way.
"""

import ipaddress
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.settings import Settings

PROGRAM: Final = "ganesha.nfsd"
INSTALL: Final = (
    "apt-get install --no-install-recommends nfs-ganesha nfs-ganesha-vfs",
    "systemctl disable --now nfs-ganesha rpcbind.socket rpcbind.service   # the packages start them, for nothing",
)


def export(
    settings: Settings,
    name: str,
    *,
    address: str,
    port: int,
    clients: str,
    access_point: str = "",
    read_only: bool = False,
    network_namespace: str = "",
) -> None:
    """Returns once the server was told to end. Raises: Failure."""
    if shutil.which(PROGRAM) is None:
        raise Failure(f"{PROGRAM} is not installed", *INSTALL)
    asked = daemon.ask(settings, f"/_portside/volumes/{quote(name, safe='')}", "Volumes: portside volume ls")[1]
    if asked["kind"] != "efs":
        raise Failure(f"{name} is no file system of EFS", "Volumes: portside volume ls")
    point = _point(asked, access_point)
    text = configuration(
        asked["id"],
        _folder(settings.data_dir / "efs" / asked["id"], point),
        address=_valid(ipaddress.ip_address, address),
        port=port,
        clients=_valid(ipaddress.ip_network, clients),
        user=None if point is None else point["posixUser"],
        read_only=read_only,
    )
    inside = ("ip", "netns", "exec", network_namespace) if network_namespace else ()
    with tempfile.TemporaryDirectory(prefix="portside-nfs-") as folder:
        _serve(Path(folder), text, inside, f"{address}:/{asked['id']} at port {port}, to {clients}")


def configuration(
    name: str,
    path: Path,
    *,
    address: str,
    port: int,
    clients: str,
    user: Mapping[str, Any] | None,
    read_only: bool,
) -> str:
    """ganesha's. Args: name: under which clients mount it; user: whom every client is.

    Source: ganesha-core-config(8), ganesha-export-config(8)."""
    squash = "Squash = No_Root_Squash;"
    if user is not None:
        squash = f"Squash = All; Anonymous_Uid = {user['uid']}; Anonymous_Gid = {user['gid']};"
    access = "RO" if read_only else "RW"
    return f"""
NFS_CORE_PARAM {{
  Protocols = 4; NFS_Port = {port}; Bind_addr = {address}; mount_path_pseudo = true;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
}}
NFSv4 {{ Graceless = true; Delegations = false; Only_Numeric_Owners = true; }}
EXPORT {{
  Export_Id = 1; Path = "{path}"; Pseudo = "/{name}"; Protocols = 4; Transports = TCP; SecType = sys;
  Access_Type = NONE; {squash}
  FSAL {{ Name = VFS; }}
  CLIENT {{ Clients = {clients}; Access_Type = {access}; {squash} }}
}}
"""


def _point(row: Mapping[str, Any], access_point: str) -> Mapping[str, Any] | None:
    """Raises: Failure."""
    if not access_point:
        return None
    found = next((each for each in row["accessPoints"] if each["id"] == access_point), None)
    if found is None:
        raise Failure(f"{row['id']} has no access point {access_point}", f"See: portside volume inspect {row['id']}")
    if (found["posixUser"] or {}).get("secondaryGids"):
        raise Failure(f"{access_point} has SecondaryGids, which the NFS server can not give to all clients")
    return dict(found)


def _folder(root: Path, point: Mapping[str, Any] | None) -> Path:
    """Within the file system, whatever links are in it. Raises: Failure."""
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    root = root.resolve()
    found = root if point is None else (root / point["path"].lstrip("/")).resolve()
    if not found.is_relative_to(root) or not found.is_dir():
        raise Failure(
            f"{found} is no directory of the file system", "The first task that uses an access point makes it."
        )
    if '"' in str(found):
        raise Failure(f"the server can not export {found}")
    return found


def _valid(kind: Any, text: str) -> str:
    """Raises: Failure."""
    try:
        return str(kind(text))
    except ValueError as error:
        raise Failure(str(error)) from None


def _serve(folder: Path, text: str, inside: tuple[str, ...], what: str) -> None:
    """Raises: Failure: the server ended by itself."""
    (folder / "ganesha.conf").write_text(text)
    log = folder / "log"
    command = (PROGRAM, "-F", "-f", folder / "ganesha.conf", "-L", log, "-p", folder / "pid")
    server = subprocess.Popen([*inside, *map(str, command)], stdin=subprocess.DEVNULL)
    is_over = False

    def end(*_: Any) -> None:
        nonlocal is_over
        is_over = True
        server.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"exported as {what}; ends with Ctrl-C", flush=True)
    code = server.wait()
    if not is_over:
        said = [each.rpartition(" :")[2] for each in log.read_text().splitlines() if "CRIT" in each or "FATAL" in each]
        raise Failure(f"{PROGRAM} ended with {code}", *said[-3:])
