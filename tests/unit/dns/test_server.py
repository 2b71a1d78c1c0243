"""The resolver's server and what it asks others, over real sockets of the loopback device."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from portside.control.loop import spawn
from portside.control.names import alias_of
from portside.dns import message
from portside.dns.forward import OF_A_VPC_MOST, Forwarder, Unanswered, host_socket, nameservers
from portside.dns.server import DnsServer
from portside.domain.dns import Answer, Code, Question, ResourceRecord, Type

WAIT_S = 20


class Known:
    """A directory of a few names."""

    def __init__(self, **answers: Answer) -> None:
        self.answers, self.supported = answers, True

    def serves(self, vpc_id: str) -> bool:
        return self.supported

    def answer(self, vpc_id: str, question: Question) -> Answer | None:
        return self.answers.get(question.name)


def found(name: str, kind: Type, data: str) -> Answer:
    return Answer(Code.NOERROR, (ResourceRecord(name, kind, 5, data),))


def sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP socket and a listening one of the same free port."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(listener.getsockname())
        except OSError:
            listener.close()
            datagrams.close()
            continue
        listener.setblocking(False)
        datagrams.setblocking(False)
        return datagrams, listener


@contextlib.asynccontextmanager
async def served(directory: Known, forwarder: Forwarder) -> AsyncIterator[int]:
    """The port at which the server answers."""
    server = DnsServer(directory, alias_of, forwarder)
    opened = sockets()
    port = int(opened[0].getsockname()[1])
    server.sockets("vpc-1", opened)
    try:
        yield port
    finally:
        await server.close()
        assert all(sock.fileno() == -1 for sock in opened)


async def over_udp(port: int, data: bytes, wait_s: float = WAIT_S) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, data)
        async with asyncio.timeout(wait_s):
            return await loop.sock_recv(sock, 65535)


async def over_tcp(port: int, *queries: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    async with asyncio.timeout(WAIT_S):
        for data in queries:
            writer.write(len(data).to_bytes(2, "big") + data)
            answers.append(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
    writer.close()
    return answers


def forwarder_to(port: int, tmp_path: Path) -> Forwarder:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    return Forwarder(host_socket, resolv_conf=path, port=port)


NOBODY = Forwarder(None)


def test_answers_over_udp_and_tcp() -> None:
    """Both give what the directory knows; a connection takes one question after another."""

    async def body() -> None:
        query = message.write_query(9, Question("web.corp.local", Type.A))
        async with served(Known(**{"web.corp.local": found("web.corp.local", Type.A, "10.0.0.5")}), NOBODY) as port:
            for data in (await over_udp(port, query), *await over_tcp(port, query, query)):
                assert message.id_of(data) == 9
                assert [each.data for each in message.read_answer(data).records] == ["10.0.0.5"]

    asyncio.run(body())


def test_a_truncated_answer_is_whole_over_tcp() -> None:
    """Eight long records do not fit into 512 bytes: the asker is told so, and gets them over TCP."""

    async def body() -> None:
        many = tuple(ResourceRecord("web.x", Type.A, 5, f"10.0.0.{n}") for n in range(60))
        plain = message.write_query(9, Question("web.x", Type.A))[:-11]  # without EDNS
        plain = plain[:10] + b"\0\0" + plain[12:]
        async with served(Known(**{"web.x": Answer(Code.NOERROR, many)}), NOBODY) as port:
            short = await over_udp(port, plain)
            assert message.is_truncated(short)
            assert len(short) <= 512
            (whole,) = await over_tcp(port, plain)
            assert message.read_answer(whole).records == many

    asyncio.run(body())


def test_other_names_are_asked_of_the_hosts_resolvers(tmp_path: Path) -> None:
    """A question that the VPC does not know is answered by the host's resolver, over TCP if it came so; an alias is
    followed there."""

    async def body() -> None:
        world = Known(**{"example.com": found("example.com", Type.A, "192.0.2.1")})
        own = Known(**{"old.corp.local": found("old.corp.local", Type.CNAME, "example.com")})
        async with (
            served(world, NOBODY) as upstream,
            served(own, forwarder_to(upstream, tmp_path)) as port,
        ):
            query = message.write_query(1, Question("example.com", Type.A))
            for data in (await over_udp(port, query), *await over_tcp(port, query)):
                assert message.id_of(data) == 1
                assert [each.data for each in message.read_answer(data).records] == ["192.0.2.1"]
            alias = await over_udp(port, message.write_query(2, Question("old.corp.local", Type.A)))
            assert [each.data for each in message.read_answer(alias).records] == ["example.com", "192.0.2.1"]

    asyncio.run(body())


def test_nobody_is_asked_where_nothing_may_leave() -> None:
    """Without a way out other names are refused at once."""

    async def body() -> None:
        async with served(Known(), NOBODY) as port:
            answer = await over_udp(port, message.write_query(1, Question("example.com", Type.A)))
            assert message.read_answer(answer).code is Code.REFUSED
        with pytest.raises(Unanswered):
            await NOBODY.ask("vpc-1", b"", over_tcp=False)

    asyncio.run(body())


def test_a_resolver_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """When no resolver of the host answers, the asker is told so."""

    async def body() -> None:
        datagrams, listener = sockets()  # nobody reads what comes there
        dead = int(datagrams.getsockname()[1])
        datagrams.close()
        listener.close()
        async with served(Known(), forwarder_to(dead, tmp_path)) as port:
            answer = await over_udp(port, message.write_query(1, Question("example.com", Type.A)))
            assert message.read_answer(answer).code is Code.SERVFAIL

    asyncio.run(body())


def test_one_vpc_does_not_keep_others_from_asking(tmp_path: Path) -> None:
    """Questions of a VPC that wait for a resolver that does not answer are so many at most; another VPC still asks."""

    async def body() -> None:
        silent, listener = sockets()  # takes questions and never answers
        forwarder = forwarder_to(int(silent.getsockname()[1]), tmp_path)
        query = message.write_query(1, Question("example.com", Type.A))
        asked = [spawn("loud", forwarder.ask("loud", query, over_tcp=False)) for _ in range(OF_A_VPC_MOST)]
        await asyncio.sleep(0)
        with pytest.raises(Unanswered, match="too many"):
            await forwarder.ask("loud", query, over_tcp=False)
        other = spawn("quiet", forwarder.ask("quiet", query, over_tcp=False))
        await asyncio.sleep(0)
        assert not other.done()
        for task in (*asked, other):
            task.cancel()
        await asyncio.gather(*asked, other, return_exceptions=True)
        assert not forwarder._under_way
        silent.close()
        listener.close()

    asyncio.run(body())


def test_a_vpc_without_dns_support_does_not_answer() -> None:
    """Questions get no answer until the VPC has a resolver again."""

    async def body() -> None:
        directory = Known(**{"a.x": found("a.x", Type.A, "10.0.0.1"), "b.x": found("b.x", Type.A, "10.0.0.2")})
        directory.supported = False
        loop = asyncio.get_running_loop()
        async with served(directory, NOBODY) as port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", port))
                await loop.sock_sendall(sock, message.write_query(1, Question("a.x", Type.A)))
                with pytest.raises(asyncio.IncompleteReadError):  # the server took the question before, and hung up now
                    await over_tcp(port, message.write_query(2, Question("a.x", Type.A)))
                directory.supported = True
                await loop.sock_sendall(sock, message.write_query(3, Question("b.x", Type.A)))
                async with asyncio.timeout(WAIT_S):
                    assert message.id_of(await loop.sock_recv(sock, 65535)) == 3

    asyncio.run(body())


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        (
            "search x\nnameserver 192.0.2.1\n# nameserver 192.0.2.9\nnameserver 2001:db8::1\n",
            ["192.0.2.1", "2001:db8::1"],
        ),
        ("nameserver nonsense\n", ["127.0.0.1"]),
        ("".join(f"nameserver 192.0.2.{n}\n" for n in range(5)), ["192.0.2.0", "192.0.2.1", "192.0.2.2"]),
    ],
)
def test_the_hosts_setting(text: str, servers: list[str]) -> None:
    """The first three name servers of resolv.conf are asked; without one, the host itself."""
    assert nameservers(text) == servers


def test_the_setting_is_read_again(tmp_path: Path) -> None:
    """A changed resolv.conf counts from the next question on."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    forwarder = Forwarder(host_socket, resolv_conf=path)
    known: Callable[[], object] = forwarder._known
    assert known() == ["192.0.2.1"]
    path.write_text("nameserver 192.0.2.22\n")
    assert known() == ["192.0.2.22"]
