"""DNS messages as bytes: what is written is read again, what does not fit is left out, what is broken does no harm."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.dns import message
from portside.domain.dns import Answer, Code, Question, ResourceRecord, Soa, Srv, Type

SOA = ResourceRecord("corp.local", Type.SOA, 15, Soa("ns.example", "mail.example", 86400))


def asked(name: str, kind: int = Type.A) -> message.Query:
    found = message.read_query(message.write_query(7, Question(name, kind)))
    assert found is not None
    return found


def test_an_answer_is_read_as_it_was_written() -> None:
    """Records of every type come back as they were, and so do the code and the SOA."""
    records = (
        ResourceRecord("web.corp.local", Type.A, 10, "10.0.0.5"),
        ResourceRecord("web.corp.local", Type.AAAA, 11, "2001:db8::1"),
        ResourceRecord("web.corp.local", Type.SRV, 12, Srv(8080, "one.web.corp.local")),
        ResourceRecord("other.example", Type.CNAME, 13, "web.corp.local"),
        ResourceRecord("corp.local", Type.NS, 14, "ns.example"),
        ResourceRecord("5.0.0.10.in-addr.arpa", Type.PTR, 15, "ip-10-0-0-5.ec2.internal"),
        SOA,
    )
    query = asked("web.corp.local", Type.ANY)
    assert message.read_answer(message.write_answer(query, Answer(Code.NOERROR, records), 4096)).records == records
    missing = message.read_answer(message.write_answer(query, Answer(Code.NXDOMAIN, soa=SOA), 512))
    assert (missing.code, missing.records, missing.soa) == (Code.NXDOMAIN, (), SOA)


def test_what_does_not_fit_is_left_out_and_said() -> None:
    """An answer keeps to the size that the asker takes, whole records only, with the bit that says so."""
    name = "web.corp.local"
    records = tuple(ResourceRecord(name, Type.SRV, 10, Srv(80, f"{n:032x}.{name}")) for n in range(8))
    query = asked(name, Type.SRV)._replace(edns_bytes=0)
    assert message.most_over_udp(query) == 512
    short = message.write_answer(query, Answer(Code.NOERROR, records), message.most_over_udp(query))
    assert len(short) <= 512
    assert message.is_truncated(short)
    assert 0 < len(message.read_answer(short).records) < 8
    whole = message.write_answer(query, Answer(Code.NOERROR, records), message.TCP_MOST_BYTES)
    assert not message.is_truncated(whole)
    assert message.read_answer(whole).records == records


def test_the_question_is_repeated_in_the_askers_case() -> None:
    """Askers that mix upper and lower case, to be sure of an answer, find their question as they wrote it."""
    data = message.write_query(1, Question("WeB.Corp.local", Type.A))
    query = message.read_query(data)
    assert query is not None
    assert query.question.name == "web.corp.local"
    written = message.write_answer(query, Answer(Code.NOERROR), 512)
    assert b"\x03WeB\x04Corp\x05local\x00" in written
    assert message.answers(written, data)


def test_a_pointer_to_itself_ends() -> None:
    """A name that points at itself is malformed, and does not keep the reader for ever."""
    data = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!2H", 1, 1)
    query = message.read_query(data)
    assert query is not None
    assert query.code is Code.FORMERR


@pytest.mark.parametrize(
    ("flags", "questions", "code"),
    [(0x8000, 1, None), (0x2800, 1, Code.NOTIMP), (0, 0, Code.FORMERR), (0, 2, Code.FORMERR)],
)
def test_what_is_no_question(flags: int, questions: int, code: Code | None) -> None:
    """Answers get no answer; updates and messages without exactly one question get an error."""
    data = struct.pack("!6H", 1, flags, questions, 0, 0, 0) + b"\x01a\x00" + struct.pack("!2H", 1, 1)
    query = message.read_query(data)
    assert (query.code if query is not None else None) is code


@given(st.binary(max_size=80))
def test_any_bytes_are_survived(data: bytes) -> None:
    """Whatever comes is a query, or none; a query can be answered."""
    query = message.read_query(data)
    if query is not None:
        written = message.write_answer(query, Answer(query.code), 512)
        assert len(written) <= 512 or query.asked


def test_an_answer_to_another_question_is_none() -> None:
    """The id and the question have to be those that were asked."""
    query = message.write_query(7, Question("a.example", Type.A))
    other = message.read_query(message.write_query(7, Question("b.example", Type.A)))
    assert other is not None
    assert not message.answers(message.write_answer(other, Answer(Code.NOERROR), 512), query)
    assert not message.answers(
        message.with_id(message.write_answer(asked("a.example"), Answer(Code.NOERROR), 512), 8), query
    )
