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

from portside.domain.record import Record

DEFAULT_CLUSTER: Final = "default"
USER_DATA_MOST_BYTES: Final = 16384
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html"""

_CLUSTER: Final = re.compile(r"\bECS_CLUSTER=[\"']?([A-Za-z0-9_-]{1,255})")
_ATTRIBUTES: Final = re.compile(r"\bECS_INSTANCE_ATTRIBUTES=[\"']?(\{.*?\})", re.DOTALL)


class AgentConfiguration(Record, frozen=True, kw_only=True):
    """`attributes`: name -> value, of the instance's own."""

    cluster: str = DEFAULT_CLUSTER
    attributes: dict[str, str] = {}


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
    """The agent's settings; the last setting of a kind counts, as in a shell. Raises Unreadable."""
    text = decoded(user_data)
    clusters = _CLUSTER.findall(text)
    attributes: dict[str, str] = {}
    for each in _ATTRIBUTES.findall(text):
        try:
            found = json.loads(each.replace('\\"', '"'))
        except ValueError:
            continue  # the agent, too, goes on without attributes that it can not read
        if isinstance(found, dict):
            attributes = {str(name): str(value) for name, value in found.items()}
    return AgentConfiguration(cluster=clusters[-1] if clusters else DEFAULT_CLUSTER, attributes=attributes)
