"""Containers of this machine that Portside did not start: recognised by where their control group is. Pure.

Sources: Docker, "Runtime metrics" (cgroup drivers cgroupfs and systemd); Podman, `--cgroup-manager`; Kubernetes,
"Cgroup drivers"; CRI-O and containerd, names of their scopes.
"""

import re
from typing import Final

from portside.domain.record import Record

_SCOPE: Final = re.compile(r"(docker|cri-containerd|crio|libpod|nerdctl)-([0-9a-f]{64})(?:\.scope)?")
_PLAIN: Final = re.compile(r"[0-9a-f]{64}")
_POD: Final = re.compile(r"(?:^|[-/])pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?/")
_RUNTIMES: Final = {"cri-containerd": "containerd", "crio": "cri-o", "libpod": "podman", "nerdctl": "containerd"}
OWN_PREFIX: Final = "portside-"
"""Of groups of Portside's own, of whatever instance; containers within its containers are theirs."""


class OtherContainer(Record, frozen=True, kw_only=True):
    """
    Args:
        cgroup: below the hierarchies' roots.
        pod_uid: of a Kubernetes pod; empty outside of one.
        name, pod, namespace: as far as they are known.
    """

    runtime: str
    id: str
    cgroup: str
    pod_uid: str = ""
    name: str = ""
    pod: str = ""
    namespace: str = ""


def at(cgroup: str) -> OtherContainer | None:
    """The container whose group this is; None for other groups."""
    parts = cgroup.strip("/").split("/")
    if parts[0].startswith(OWN_PREFIX):
        return None
    pod = _POD.search(cgroup)
    pod_uid = pod[1].replace("_", "-") if pod is not None else ""
    scope = _SCOPE.fullmatch(parts[-1])
    if scope is not None:
        runtime = _RUNTIMES.get(scope[1], scope[1])
        return OtherContainer(runtime=runtime, id=scope[2], cgroup=cgroup, pod_uid=pod_uid)
    if _PLAIN.fullmatch(parts[-1]) and (pod_uid or parts[-2:-1] == ["docker"]):
        return OtherContainer(
            runtime="kubernetes" if pod_uid else "docker", id=parts[-1], cgroup=cgroup, pod_uid=pod_uid
        )
    return None
