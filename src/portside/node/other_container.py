"""What containers use that Portside did not start, and what they are called, as files of their runtimes tell.

Nothing is asked of a runtime and nothing is changed: control groups, /proc and a few files are read.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portside.domain import other_container
from portside.domain.other_container import OtherContainer
from portside.domain.record import replace
from portside.domain.usage import Usage
from portside.node import cgroup, storage_traffic
from portside.node.network import traffic


class OtherContainers:
    """
    Args:
        root: of the file system with the runtimes' files.
    """

    def __init__(self, tree: cgroup.CgroupTree, root: Path = Path("/")) -> None:
        self._tree, self._root = tree, root
        self._named: dict[str, OtherContainer] = {}

    def look(self) -> list[tuple[OtherContainer, Usage]]:
        """All that run. Blocks on files."""
        found: list[tuple[OtherContainer, Usage]] = []
        named: dict[str, OtherContainer] = {}
        machine_cpu_ns = cgroup.machine_cpu_ns()
        for path in self._tree.other_groups(lambda path: other_container.at(path) is not None):
            container = other_container.at(path)
            assert container is not None
            pids = self._tree.processes_at(path)
            if not pids:
                continue  # its group is left over
            named[container.id] = self._named.get(container.id) or self._with_name(container)
            with contextlib.suppress(OSError):  # it ends this moment
                found.append((named[container.id], self._usage(path, pids, machine_cpu_ns)))
        self._named = named
        return found

    def _usage(self, path: str, pids: set[int], machine_cpu_ns: int) -> Usage:
        read, written = storage_traffic.of_processes(pids)
        pid = min(pids)
        network = {} if _network_of(pid) == _network_of(1) else traffic.of_process(pid)
        return dataclasses.replace(
            self._tree.usage_at(path),
            storage_read_bytes=read,
            storage_written_bytes=written,
            network=network,
            machine_cpu_ns=machine_cpu_ns,
            machine_cpus=os.cpu_count() or 1,
        )

    def _with_name(self, container: OtherContainer) -> OtherContainer:
        if container.pod_uid:
            return self._in_pod(container)
        if container.runtime == "docker":
            config = _document(self._root / f"var/lib/docker/containers/{container.id}/config.v2.json")
            name = config.get("Name") if isinstance(config, Mapping) else None
            return replace(container, name=str(name or "").removeprefix("/"))
        if container.runtime == "podman":
            several = _document(self._root / "var/lib/containers/storage/overlay-containers/containers.json")
            for each in several if isinstance(several, list) else ():
                if isinstance(each, Mapping) and each.get("id") == container.id and each.get("names"):
                    return replace(container, name=str(each["names"][0]))
        return container

    def _in_pod(self, container: OtherContainer) -> OtherContainer:
        """By the link that the kubelet makes to a container's log: `POD_NAMESPACE_CONTAINER-ID.log`."""
        links = self._root / "var/log/containers"
        with contextlib.suppress(OSError):
            for link in links.glob(f"*-{container.id}.log"):
                pod, _, rest = link.name.partition("_")
                namespace, _, rest = rest.partition("_")
                name = rest.removesuffix(f"-{container.id}.log")
                return replace(container, name=name, pod=pod, namespace=namespace)
        return container


def _network_of(pid: int) -> int:
    """The number of a process's network namespace; 0 if it is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def _document(file: Path) -> Any:
    """What a JSON file holds; None if there is none, or another's."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
