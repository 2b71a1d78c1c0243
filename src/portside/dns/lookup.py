"""One name's addresses, asked of a resolver. For Portside's own connections where a VPC's names count."""

import contextlib
import secrets
import socket
from collections.abc import Callable
from typing import Final

from portside.dns import message
from portside.domain.dns import Code, Question, Type

_TIMEOUT_S: Final = 2.0
_ATTEMPTS: Final = 2


def addresses(name: str, server: tuple[str, int], open_socket: Callable[[], socket.socket]) -> list[str]:
    """IPv4 addresses of a name. Blocks.

    Args: open_socket: a UDP socket where the resolver can be reached from; closed afterwards.
    Raises OSError: there is none, or nobody answers, in the words of Go's resolver."""
    question = message.write_query(secrets.randbelow(65536), Question(name.rstrip(".").lower(), Type.A))
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(TimeoutError, message.Malformed), open_socket() as asking:
            asking.settimeout(_TIMEOUT_S)
            asking.connect(server)
            asking.send(question)
            while True:
                data = asking.recv(65535)
                if message.answers(data, question):
                    break
            answer = message.read_answer(data)
            found = [str(each.data) for each in answer.records if each.type is Type.A]
            if found:
                return found
            if answer.code in (Code.NOERROR, Code.NXDOMAIN):
                raise OSError(0, f"lookup {name}: no such host")
    raise OSError(0, f"lookup {name}: i/o timeout")
