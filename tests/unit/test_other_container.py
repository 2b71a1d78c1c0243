"""Which control groups are containers of others."""

import pytest

from portside.domain.other_container import at

ID = "0123456789abcdef" * 4
UID = "11111111-2222-3333-4444-555555555555"
UNDERSCORED = UID.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "runtime", "pod_uid"),
    [
        (f"docker/{ID}", "docker", ""),
        (f"system.slice/docker-{ID}.scope", "docker", ""),
        (f"machine.slice/libpod-{ID}.scope", "podman", ""),
        (f"libpod_parent/libpod-{ID}", "podman", ""),
        (f"user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", "podman", ""),
        (f"system.slice/nerdctl-{ID}.scope", "containerd", ""),
        (f"kubepods/burstable/pod{UID}/{ID}", "kubernetes", UID),
        (
            "kubepods.slice/kubepods-besteffort.slice/"
            f"kubepods-besteffort-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope",
            "containerd",
            UID,
        ),
        (f"kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-{ID}.scope", "cri-o", UID),
    ],
)
def test_containers(path: str, runtime: str, pod_uid: str) -> None:
    """Of every runtime, with either cgroup driver."""
    found = at(path)
    assert found is not None
    assert (found.runtime, found.id, found.pod_uid, found.cgroup) == (runtime, ID, pod_uid, path)


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "docker",
        "system.slice/docker.service",
        f"machine.slice/libpod-conmon-{ID}.scope",
        f"kubepods/burstable/pod{UID}",
        f"kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-conmon-{ID}.scope",
        f"other/{ID}",
        f"docker/{ID[:-1]}",
        f"portside-01234567/{ID[:32]}/main/docker/{ID}",
        f"portside-01234567/{ID}",
    ],
)
def test_other_groups(path: str) -> None:
    """Services, monitors, pods themselves, and whatever is within Portside's tasks."""
    assert at(path) is None
