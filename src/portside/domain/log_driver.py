"""What Docker's log drivers `json-file` and `syslog` are told by their options. Docker's words where it refuses them.

ECS takes any value of an option that a driver has; whether it makes sense shows when a container starts.

Sources: Docker, "JSON File logging driver", "Syslog logging driver", "Customize log driver output"; ECS API,
LogConfiguration.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from portside.domain.line_pattern import LinePattern, LinePatternError
from portside.domain.record import Record

OF_ALL: Final = ("mode", "max-buffer-size")
_ATTRIBUTES: Final = ("labels", "labels-regex", "env", "env-regex", "tag")
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "json-file": (*OF_ALL, *_ATTRIBUTES, "max-size", "max-file", "compress"),
    "syslog": (
        *OF_ALL,
        *_ATTRIBUTES,
        "syslog-address",
        "syslog-facility",
        "syslog-format",
        "syslog-tls-ca-cert",
        "syslog-tls-cert",
        "syslog-tls-key",
        "syslog-tls-skip-verify",
    ),
}
FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("12", "13", "14", "15", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP])?[iI]?[bB]?")
_POWERS: Final = "kmgtp"
_TEMPLATE: Final = re.compile(r"\{\{(.*?)\}\}")
TEMPLATE_NAMES: Final = (".ID", ".FullID", ".Name", ".ImageID", ".ImageFullID", ".ImageName", ".DaemonName")


class BadOption(Exception):
    """Docker's words for an option that it does not take."""


class JsonFile(Record, frozen=True, kw_only=True):
    """`size_bytes`: beyond it a file is put aside; None for no bound. `files`: how many there may be."""

    size_bytes: int | None = None
    files: int = 1
    is_compressed: bool = False


class Syslog(Record, frozen=True, kw_only=True):
    """`transport`: udp, tcp, tcp+tls, unix or unixgram; "" for the machine's own. `host`: an address, or the path of a
    socket. `style`: "", rfc3164, rfc5424 or rfc5424micro. Files are the machine's that the container is on."""

    transport: str = ""
    host: str = ""
    port: int = 514
    facility: int = 3
    style: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    is_unverified: bool = False


class About(Record, frozen=True, kw_only=True):
    """A container, as tags and attributes tell of it."""

    id: str
    name: str
    image: str
    image_id: str = ""
    labels: dict[str, str] = {}
    environment: dict[str, str] = {}


def json_file(options: Mapping[str, str]) -> JsonFile:
    """Raises BadOption."""
    size_bytes = None
    if "max-size" in options:
        size_bytes = _size(options["max-size"])
        if size_bytes <= 0:
            raise BadOption("max-size must be a positive number")
    files = 1
    if "max-file" in options:
        try:
            files = int(options["max-file"])
        except ValueError:
            raise BadOption(f'strconv.Atoi: parsing "{options["max-file"]}": invalid syntax') from None
        if files < 1:
            raise BadOption("max-file cannot be less than 1")
    is_compressed = _bool(options.get("compress", "false"))
    if is_compressed and (files == 1 or size_bytes is None):
        raise BadOption("compress cannot be true when max-file is less than 2 or max-size is not set")
    return JsonFile(size_bytes=size_bytes, files=files, is_compressed=is_compressed)


def syslog(options: Mapping[str, str]) -> Syslog:
    """Raises BadOption."""
    transport, host, port = _address(options.get("syslog-address", ""))
    style = options.get("syslog-format", "")
    if style not in ("", "rfc3164", "rfc5424", "rfc5424micro"):
        raise BadOption("Invalid syslog format")
    facility = options.get("syslog-facility", "") or "daemon"
    if facility.isascii() and facility.isdigit() and int(facility[:3]) <= 23:
        number = int(facility)
    elif facility in FACILITIES:
        number = FACILITIES.index(facility)
    else:
        raise BadOption("invalid syslog facility")
    return Syslog(
        transport=transport,
        host=host,
        port=port,
        facility=number,
        style=style,
        ca_file=options.get("syslog-tls-ca-cert", ""),
        certificate_file=options.get("syslog-tls-cert", ""),
        key_file=options.get("syslog-tls-key", ""),
        # Docker looks at its being there, whatever it says.
        is_unverified="syslog-tls-skip-verify" in options,
    )


def attributes(options: Mapping[str, str], about: About) -> dict[str, str]:
    """The labels and variables that each line of `json-file` tells. Raises BadOption."""
    found: dict[str, str] = {}
    for option, values in (("labels", about.labels), ("env", about.environment)):
        found |= {name: values[name] for name in options.get(option, "").split(",") if name in values}
        if expression := options.get(f"{option}-regex"):
            try:
                pattern = LinePattern(expression)
            except LinePatternError as error:
                raise BadOption(f"error parsing regexp: {error}: `{expression}`") from None
            found |= {name: value for name, value in values.items() if pattern.found_in(name)}
    return found


def tag(options: Mapping[str, str], about: About, default: str) -> str:
    """By the template of the option, else of the default."""
    values = {
        ".ID": about.id[:12],
        ".FullID": about.id,
        ".Name": about.name,
        ".ImageID": about.image_id.removeprefix("sha256:")[:12],
        ".ImageFullID": about.image_id,
        ".ImageName": about.image,
        ".DaemonName": "docker",
    }
    return _TEMPLATE.sub(lambda match: values.get(match[1].strip(), ""), options.get("tag") or default)


def unsupported_of(driver: str, options: Mapping[str, str]) -> str:
    """What of the options Portside does not do, in a few words; "" if it does all."""
    names = [each.strip() for each in _TEMPLATE.findall(options.get("tag", ""))]
    if any(each not in TEMPLATE_NAMES for each in names):
        return f"log driver {driver} with a tag of more than {', '.join(TEMPLATE_NAMES)}"
    return ""


def _address(text: str) -> tuple[str, str, int]:
    if not text:
        return "", "", 514
    form = BadOption(f"syslog-address should be in form proto://address, got {text}")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("udp", "tcp", "tcp+tls", "unix", "unixgram"):
        raise form
    if scheme in ("unix", "unixgram"):
        return scheme, rest, 0
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port or 514
    except ValueError:
        raise form from None
    return scheme, "127.0.0.1" if host in ("localhost", "") else host, port


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadOption(f"invalid size: '{text}'")
    power = _POWERS.index(match[2].lower()) + 1 if match[2] else 0
    return int(float(match[1]) * 1000**power)


def _bool(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise BadOption(f'strconv.ParseBool: parsing "{text}": invalid syntax')
