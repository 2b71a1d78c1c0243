"""What an instance's user data says to the ECS agent: the lines that would be in /etc/ecs/ecs.config.

Nothing of it is executed: an instance has no disk and no shell. Read are settings wherever they stand, in a shell
script (`echo ECS_CLUSTER=web >> /etc/ecs/ecs.config`, or a here-document).
Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bootstrap_container_instance.html
"""

import base64
import binascii
import json
import re
from typing import Final

from portside.domain.record import Record, Tag, Tags, replace

DEFAULT_CLUSTER: Final = "default"
USER_DATA_MOST_BYTES: Final = 16384
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html"""

_SETTING: Final = re.compile(r"\bECS_([A-Z_]{1,40})=[\"']?")
_CLUSTER: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_VALUE_MOST: Final = 4096


class AgentConfiguration(Record, frozen=True, kw_only=True):
    """`attributes`: name -> value, of the instance's own. `reserved_…`: what tasks are not given."""

    cluster: str = DEFAULT_CLUSTER
    attributes: dict[str, str] = {}
    tags: Tags = ()
    reserved_memory_mib: int = 0
    reserved_ports: tuple[int, ...] | None = None
    reserved_ports_udp: tuple[int, ...] | None = None


class Unreadable(ValueError):
    """User data that is not base64, or too long."""


def decoded(user_data: str) -> str:
    """The text of user data as it came over the wire. Raises Unreadable."""
    try:
        raw = base64.b64decode(user_data, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("Invalid BASE64 encoding of user data.") from None
    if len(raw) > USER_DATA_MOST_BYTES:
        raise Unreadable(f"User data is limited to {USER_DATA_MOST_BYTES} bytes")
    return raw.decode("utf-8", "replace")


def configuration(user_data: str) -> AgentConfiguration:
    """The agent's settings; the last setting of a kind counts, as in a shell, and what can not be read is none.

    Raises: Unreadable.
    """
    text = decoded(user_data)
    found = AgentConfiguration()
    for match in _SETTING.finditer(text):
        value = text[match.end() : match.end() + _VALUE_MOST]
        match match[1]:
            case "CLUSTER":
                named = _CLUSTER.match(value)
                found = replace(found, cluster=named[0]) if named is not None else found
            case "RESERVED_MEMORY":
                number = _NUMBER.match(value)
                found = replace(found, reserved_memory_mib=int(number[0])) if number is not None else found
            case "INSTANCE_ATTRIBUTES":
                found = replace(found, attributes=_pairs(value))
            case "CONTAINER_INSTANCE_TAGS":
                tags = tuple(Tag(key=name, value=each) for name, each in _pairs(value).items())
                found = replace(found, tags=tags)
            case "RESERVED_PORTS":
                found = replace(found, reserved_ports=_ports(value))
            case "RESERVED_PORTS_UDP":
                found = replace(found, reserved_ports_udp=_ports(value))
            case _:
                pass
    return found


def _json(text: str) -> object:
    """What begins the text, perhaps with its quotes escaped; None if that is no JSON."""
    try:
        found: object = json.JSONDecoder().raw_decode(text.replace('\\"', '"'))[0]
    except ValueError:
        return None
    except RecursionError:
        return None
    return found


def _pairs(text: str) -> dict[str, str]:
    found = _json(text)
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _ports(text: str) -> tuple[int, ...] | None:
    found = _json(text)
    if not isinstance(found, list):
        return None
    return tuple(each for each in found if type(each) is int and 0 < each < 65536)
