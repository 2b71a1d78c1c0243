"""A container registry of a test's or benchmark's own (Debian's docker-registry), on loopback."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from portside.testing.wait import answers, end, free_port, wait_for

PROGRAM = Path("/usr/bin/docker-registry")

_CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}}}
"""


@contextlib.contextmanager
def registry(folder: Path | None = None, *, port: int = 0, enter: Sequence[str] = ()) -> Iterator[str]:
    """A registry without authentication; yields its `127.0.0.1:PORT`.

    Args:
        folder: where its images are; by default one that is gone at the end.
        enter: words that run a command elsewhere (in a network namespace); then nobody waits for it to answer.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="portside-registry-") as temporary:
        configuration = Path(temporary, "config.yml")
        configuration.write_text(_CONFIGURATION.format(folder=folder or Path(temporary, "data"), port=port))
        process = subprocess.Popen(
            [*enter, str(PROGRAM), "serve", str(configuration)],
            env=os.environ | {"OTEL_TRACES_EXPORTER": "none"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not enter:
                wait_for(lambda: answers(f"http://127.0.0.1:{port}/v2/"), timeout_s=20, what="the registry")
            yield f"127.0.0.1:{port}"
        finally:
            end(process)


def push(image: str, host: str, name: str) -> str:
    """Copy an image of this machine there; returns its full name."""
    full = f"{host}/{name}"
    subprocess.run(
        ["podman", "push", "--quiet", "--tls-verify=false", image, f"docker://{full}"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return full
