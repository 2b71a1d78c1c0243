"""The access key of an instance that checks signatures: made once, readable by root only, printed by `portside env`."""

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

FILE = "credentials.json"
SCRAPE_FILE = "scrape-token"
OTLP_FILE = "otlp-token"


@dataclass(frozen=True, slots=True)
class AccessKey:
    access_key_id: str
    secret_access_key: str


def read(data_dir: Path) -> AccessKey | None:
    """The instance's key, or None if it never checked signatures."""
    try:
        text = (data_dir / FILE).read_text()
    except FileNotFoundError:
        return None
    return AccessKey(**json.loads(text))


def ensure(data_dir: Path) -> AccessKey:
    """The instance's key, made if there is none. Effects: a file of mode 0600 in the data folder."""
    key = read(data_dir)
    if key is not None:
        return key
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    key = AccessKey("AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)), secrets.token_urlsafe(30))
    _write(
        data_dir / FILE,
        json.dumps({"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}),
    )
    return key


def scrape_token(data_dir: Path) -> str:
    """What Prometheus shows to read metrics where signatures are checked, and no more; made if there is none.

    Effects: a file of mode 0600 in the data folder, for `credentials_file`."""
    return _token(data_dir / SCRAPE_FILE)


def otlp_token(data_dir: Path) -> str:
    """What senders of OTLP show where signatures are checked, and no more; made if there is none.

    Effects: a file of mode 0600 in the data folder."""
    return _token(data_dir / OTLP_FILE)


def _token(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        if token := path.read_text().strip():
            return token
    token = secrets.token_urlsafe(30)
    _write(path, token)
    return token


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
