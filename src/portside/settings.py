"""Every setting of a running Portside, in one place. The command line and the environment fill it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

DEFAULT_PORT = 4566
DEFAULT_DATA_DIR = Path("/var/lib/portside")
DEFAULT_ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"
DEFAULT_CONSOLE_DIR = Path(__file__).parents[2] / "console" / "dist"
"""Where the installation builds the console: beside the sources, in the clone."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    Args:
        data_dir: state that must survive everything, a reboot included.
        host, port: where the API listens.
        egress: where a VPC's way out leads: `host`, `none`, or the path of a network namespace.
        envoy_path: an Envoy binary to use instead of the one in the Python environment.
        auth: verify request signatures.
        task_endpoint: without `auth`, take calls from tasks by any key, not only by their roles' credentials: whoever
            runs code in a container can then do all that the API can, as root.
        strict_pulls: a Fargate task pulls images by its own subnet's routes: without a way out it does not start, as on
            AWS. Else images come by the host's network, whatever the subnet's routes are.
        pace: how many times faster than real time long timers run (`domain/pace.py`).
        durability: `normal` survives the end of the process, `full` also a power cut (ADR 0003).
        failpoint: for tests: where the daemon kills itself (`node/failpoint.py`). From the environment alone.
        s3_endpoint: where S3 is: objects that task definitions name, and the logs of load balancers. Scheme, host and
            port.
        s3_access_key_id, s3_secret_access_key: what requests to it are signed with. From the environment alone.
        other_containers: also measure containers of the machine that Portside did not start.
        ebs_rates: hold volumes of EBS to their IOPS and throughput.
        otlp_endpoint: where metrics and log events are told in OpenTelemetry's protocol; empty for nowhere.
        otlp_headers: of these requests, `api-key=x,tenant=y`. From the environment alone.
        mirrors: registries and where their images are looked for first, `("docker.io", "localhost:5000")`.
        image_minimum_age_s: how long a pulled image stays after it came and after its last use.
        image_cleanup_interval_s: how often it is looked which images may go.
        image_cleanup_count: how many may go at once.
        image_disk_percent: from so full a disk on neither age nor number counts.
        console_dir: the built console, which browsers are shown.
        hosts_file: where load balancer names are written, in a marked block; None leaves the file alone.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    egress: str = "host"
    envoy_path: Path | None = None
    auth: bool = False
    task_endpoint: bool = False
    strict_pulls: bool = False
    pace: float = 1.0
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    hosts_file: Path | None = Path("/etc/hosts")
    console_dir: Path = DEFAULT_CONSOLE_DIR
    durability: Literal["normal", "full"] = "normal"
    failpoint: str = ""
    s3_endpoint: str = ""
    s3_access_key_id: str = ""
    s3_secret_access_key: str = field(default="", repr=False)
    other_containers: bool = False
    ebs_rates: bool = False
    otlp_endpoint: str = ""
    otlp_headers: str = field(default="", repr=False)
    mirrors: tuple[tuple[str, str], ...] = ()
    image_minimum_age_s: int = 3600
    image_cleanup_interval_s: int = 1800
    image_cleanup_count: int = 5
    image_disk_percent: int = 85
    max_body_bytes: int = 10 * 1024 * 1024
    stopped_task_retention_s: int = 3600

    @property
    def instance_id(self) -> str:
        """Eight hex digits that tell this instance's namespaces, cgroups and interfaces from another's."""
        return hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:8]

    @property
    def run_dir(self) -> Path:
        """Pins, sockets, pid files: meaningless after a reboot."""
        return Path("/run/portside") / self.instance_id


def server_address(text: str) -> str:
    """Of a server that is named in a setting. Raises ValueError: it is not the address of a server."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{text!r} is not http://HOST:PORT or https://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}"


def parse_mirrors(text: str) -> tuple[tuple[str, str], ...]:
    """`docker.io=localhost:5000,ghcr.io=mirror.example/ghcr`. Raises ValueError with what is wrong."""
    mirrors: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.replace(",", " ").split())):
        registry, sign, place = each.partition("=")
        if not (registry and sign and place) or "/" in registry or "://" in place:
            raise ValueError(f"a mirror is written REGISTRY=HOST[:PORT][/PATH], not {each!r}")
        mirrors[registry] = place.rstrip("/")
    return tuple(mirrors.items())
