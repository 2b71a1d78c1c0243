"""Questions and answers of DNS, as the resolver of a VPC takes and gives them. How they are written on the wire is no
matter of this file.

Names are in lower case and without the dot at their end.
"""

from enum import IntEnum
from typing import NamedTuple


class Type(IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    ANY = 255


class Code(IntEnum):
    """How a question was answered. Source: RFC 1035, 4.1.1."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class Question(NamedTuple):
    """`type` may be one that has no name here."""

    name: str
    type: int


class Soa(NamedTuple):
    server: str
    mailbox: str
    minimum_s: int


class Srv(NamedTuple):
    port: int
    host: str


class ResourceRecord(NamedTuple):
    """`data` is an address for A and AAAA, a name for CNAME, NS and PTR."""

    name: str
    type: Type
    ttl_s: int
    data: str | Soa | Srv


class Answer(NamedTuple):
    """`soa` goes with an answer that there is nothing: it says for how long that may be remembered."""

    code: Code
    records: tuple[ResourceRecord, ...] = ()
    soa: ResourceRecord | None = None
