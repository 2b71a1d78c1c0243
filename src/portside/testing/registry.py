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
_LOGIN = "auth: {{htpasswd: {{realm: test, path: {file}}}}}\n"


@contextlib.contextmanager
def registry(
    folder: Path | None = None, *, port: int = 0, enter: Sequence[str] = (), login: tuple[str, str] | None = None
) -> Iterator[str]:
    """A registry; yields its `127.0.0.1:PORT`.

    Args:
        folder: where its images are; by default one that is gone at the end.
        enter: words that run a command elsewhere (in a network namespace); then nobody waits for it to answer.
        login: user name and password that it asks for.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="portside-registry-") as temporary:
        configuration = Path(temporary, "config.yml")
        configuration.write_text(_CONFIGURATION.format(folder=folder or Path(temporary, "data"), port=port))
        if login is not None:
            file = Path(temporary, "htpasswd")
            file.write_text(f"{login[0]}:{bcrypt(login[1])}\n")
            with configuration.open("a") as opened:
                opened.write(_LOGIN.format(file=file))
        process = subprocess.Popen(
            [*enter, str(PROGRAM), "serve", str(configuration)],
            env=os.environ | {"OTEL_TRACES_EXPORTER": "none"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not enter:
                # Its front page needs no login.
                wait_for(lambda: answers(f"http://127.0.0.1:{port}/"), timeout_s=20, what="the registry")
            yield f"127.0.0.1:{port}"
        finally:
            end(process)


def bcrypt(password: str) -> str:
    """As htpasswd files hold passwords. Perl's crypt is the C library's, which Python no longer has."""
    program = "print crypt($ENV{PASSWORD}, q($2y$05$abcdefghijklmnopqrstuu))"
    done = subprocess.run(
        ["perl", "-e", program], env={"PASSWORD": password}, check=True, capture_output=True, text=True, timeout=10
    )
    return done.stdout


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
