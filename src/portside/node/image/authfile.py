"""How a registry's login is handed to podman and skopeo."""

import base64
import contextlib
import json
import os
from collections.abc import Iterator

from portside.domain.image_reference import DEFAULT_REGISTRY, Reference
from portside.domain.task.record import Login


@contextlib.contextmanager
def authfile(reference: Reference, login: Login | None) -> Iterator[tuple[str, ...]]:
    """The options that let podman enter a registry: a file that only root can read and that no disk holds, since a
    command line would show to everybody."""
    if login is None:
        yield ()
        return
    entry = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    registry = reference.registry or DEFAULT_REGISTRY
    descriptor = os.memfd_create("portside-registry-auth", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, json.dumps({"auths": {registry: {"auth": entry}}}).encode())
        yield ("--authfile", f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)
