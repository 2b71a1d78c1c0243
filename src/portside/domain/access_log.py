"""Logs of load balancers in buckets: which are asked for, what a file is called, how long it stays; and what a line of
an access log of a Classic Load Balancer says. Pure.

Source: Classic Load Balancer guide, "Access logs for your Classic Load Balancer"; Application Load Balancer guide,
"Access logs", "Connection logs" and "Health check logs for your Application Load Balancer".
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from portside.domain.load_balancer import LoadBalancer
from portside.domain.refusal import RefusalKind, Refused

LogKind = Literal["access", "connection", "health_check"]
KINDS: Final[dict[LogKind, str]] = {"access": "", "connection": "conn_log_", "health_check": "health_check_log_"}
"""What there is a line for, and what its files' names begin with."""

KEPT: Final = timedelta(days=30)
KEPT_BYTES: Final = 1 << 30
"""Of files in the folder of all buckets: older ones go, and the oldest while there is more than that."""


def attribute(kind: LogKind, what: Literal["enabled", "bucket", "prefix"]) -> str:
    """Of a load balancer, by its name."""
    return f"{kind}_logs.s3.{what}"


ENABLED: Final = attribute("access", "enabled")
BUCKET: Final = attribute("access", "bucket")
PREFIX: Final = attribute("access", "prefix")
INTERVAL: Final = "access_logs.emit_interval_minutes"
"""Of a load balancer's attributes; the last one is not among AWS's."""

INTERVALS: Final = (5, 60)

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART: Final = re.compile(r"[A-Za-z0-9!_.*'()-]+")


def check(bucket: str, prefix: str, interval_minutes: int) -> None:
    """Raises Refused for a place or an interval that can not be."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise Refused(RefusalKind.CONFLICT, f"Access Denied for bucket: {bucket}. Please check S3bucket permission")
    parts = prefix.split("/") if prefix else []
    if any(not _PART.fullmatch(part) or not part.strip(".") or part == "AWSLogs" for part in parts):
        raise Refused(RefusalKind.CONFLICT, f"The S3 bucket prefix '{prefix}' is not valid")
    if interval_minutes not in INTERVALS:
        raise Refused(RefusalKind.CONFLICT, "EmitInterval must be either 5 or 60 minutes")


def is_logged(balancer: LoadBalancer, kind: LogKind = "access") -> bool:
    has = ("classic", "application") if kind == "access" else ("application",)
    return balancer.type in has and balancer.attributes.get(attribute(kind, "enabled")) == "true"


def interval(balancer: LoadBalancer) -> timedelta:
    usual = "60" if balancer.type == "classic" else "5"
    return timedelta(minutes=int(balancer.attributes.get(INTERVAL, usual)))


def boundary(balancer: LoadBalancer, now: datetime) -> datetime:
    """When the interval began that `now` is in: files end there, on the hour or on five minutes."""
    seconds = interval(balancer).total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, tz=now.tzinfo)


def file_name(balancer: LoadBalancer, end: datetime, unique: str, kind: LogKind = "access") -> str:
    """Where in the bucket a file is: by load balancer and the end of its interval."""
    owner = balancer.scope
    address = next((zone.address for zone in balancer.zones if zone.address), "0.0.0.0")
    prefix = balancer.attributes.get(attribute(kind, "prefix"), "")
    folder = f"AWSLogs/{owner.account}/elasticloadbalancing/{owner.region}/{end:%Y/%m/%d}"
    named, ending = (balancer.name, "log") if balancer.type == "classic" else (resource_name(balancer.arn), "log.gz")
    name = f"{owner.account}_elasticloadbalancing_{owner.region}_{named}_{end:%Y%m%dT%H%MZ}_{address}_{unique}.{ending}"
    whole = f"{folder}/{KINDS[kind]}{name}"
    return f"{prefix}/{whole}" if prefix else whole


class StoredFile(NamedTuple):
    """`changed_at`: seconds since 1970."""

    path: str
    changed_at: float
    size: int


def outdated(files: Iterable[StoredFile], now: datetime) -> list[StoredFile]:
    """Those that go, oldest first."""
    gone: list[StoredFile] = []
    ordered = sorted(files, key=lambda each: (each.changed_at, each.path))
    too_much = sum(each.size for each in ordered) - KEPT_BYTES
    oldest = (now - KEPT).timestamp()
    for each in ordered:
        if each.changed_at >= oldest and too_much <= 0:
            break
        gone.append(each)
        too_much -= each.size
    return gone


def resource_name(balancer_arn: str) -> str:
    """As the files of Application Load Balancers have it: `app.NAME.ID`."""
    return balancer_arn.rpartition(":")[2].removeprefix("loadbalancer/").replace("/", ".")


FIELDS: Final = (
    *("at", "client", "target", "to_target_us", "target_us", "from_target_us", "status", "details", "received", "sent"),
    *("method", "scheme", "host", "port", "path", "protocol", "agent", "cipher", "version"),
)
"""What the data plane tells of each request, or of a TCP connection; None for what there is not."""


def classic_line(balancer: LoadBalancer, told: Mapping[str, Any]) -> str:
    """One request, or one TCP connection, in the format of Classic Load Balancers.

    Args:
        told: by the names of `FIELDS`.
    """
    http = told.get("method") is not None
    status = str(told.get("status") or 0)
    answered = told.get("details") == "via_upstream"
    request, agent = "- - - ", "-"
    if http:
        host = str(told.get("host") or "").rpartition("@")[2]
        name = host if re.search(r":\d+$", host) else f"{host}:{told.get('port')}"
        url = f"{told.get('scheme')}://{name}{told.get('path')}"
        request = f"{told['method']} {url} {told.get('protocol')}"
        agent = str(told.get("agent") or "")
    return " ".join(
        [
            str(told.get("at")),
            balancer.name,
            str(told.get("client") or "-"),
            str(told.get("target") or "-"),
            *(_seconds(told.get(name)) for name in ("to_target_us", "target_us", "from_target_us")),
            status if http else "-",
            (status if answered else "-") if http else "-",
            str(told.get("received") or 0),
            str(told.get("sent") or 0),
            f'"{_quoted(request)}"',
            f'"{_quoted(agent)}"',
            str(told.get("cipher") or "-"),
            str(told.get("version") or "-"),
        ]
    )


def _seconds(microseconds: object) -> str:
    """-1 where it came to nothing."""
    try:
        return f"{int(str(microseconds)) / 1_000_000:.6f}"
    except ValueError:
        return "-1"


def _quoted(text: str) -> str:
    """One line, whatever a client sent."""
    return _UNSAFE.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), text)


_UNSAFE: Final = re.compile(r'[^\x20-\x7e]|["\\]')
