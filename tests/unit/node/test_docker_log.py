"""Docker's log drivers json-file and syslog: options, formats, files that are put aside, what a receiver gets."""

import asyncio
import gzip
import itertools
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.control.loop import spawn
from portside.domain import log_driver
from portside.domain.log_driver import About, BadOption, JsonFile, Syslog
from portside.domain.record import replace
from portside.node.log import json_file
from portside.node.log.docker import DockerLines, Line
from portside.node.log.json_file import JsonFileOutlet
from portside.node.log.outlet import CannotLog, Kept
from portside.node.log.syslog import SyslogOutlet, message

ID = "c" * 64
LINE = Line("2026-01-02T03:04:05.678901234Z", "stdout", b"hello", True)
ABOUT = About(
    id=ID, name="main", image="app:1", image_id="sha256:" + "a" * 64, labels={"team": "x", "app": "y"},
    environment={"STAGE": "test", "OTHER": "1"},
)  # fmt: skip


def cri(*contents: str, stream: str = "stdout", second: int = 5) -> bytes:
    """conmon's lines; one that ends with `…` goes on."""
    found = ""
    for number, each in enumerate(contents):
        tag = "P" if each.endswith("…") else "F"
        found += f"2026-01-02T03:04:{second:02d}.{number:09d}+00:00 {stream} {tag} {each.removesuffix('…')}\n"
    return found.encode()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, JsonFile()),
        ({"max-size": "10m", "max-file": "3"}, JsonFile(size_bytes=10_000_000, files=3)),
        ({"max-size": "1.5k"}, JsonFile(size_bytes=1500)),
        (
            {"max-size": "2g", "max-file": "2", "compress": "true"},
            JsonFile(size_bytes=2_000_000_000, files=2, is_compressed=True),
        ),
    ],
)
def test_options_of_json_file(options: dict[str, str], expected: JsonFile) -> None:
    """Sizes are decimal, as Docker's."""
    assert log_driver.json_file(options) == expected


@pytest.mark.parametrize(
    ("read", "options", "words"),
    [
        (log_driver.json_file, {"max-size": "0"}, "max-size must be a positive number"),
        (log_driver.json_file, {"max-size": "big"}, "invalid size: 'big'"),
        (log_driver.json_file, {"max-file": "0"}, "max-file cannot be less than 1"),
        (
            log_driver.json_file,
            {"compress": "true"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (log_driver.syslog, {"syslog-facility": "kitchen"}, "invalid syslog facility"),
        (log_driver.syslog, {"syslog-format": "rfc1"}, "Invalid syslog format"),
        (
            log_driver.syslog,
            {"syslog-address": "10.0.0.1"},
            "syslog-address should be in form proto://address, got 10.0.0.1",
        ),
    ],
)
def test_options_that_docker_refuses(
    read: Callable[[dict[str, str]], object], options: dict[str, str], words: str
) -> None:
    """In Docker's words."""
    with pytest.raises(BadOption, match=words):
        read(options)


def test_options_of_syslog() -> None:
    """The port is 514 where none is given, and the machine's own receiver is asked where no address is."""
    assert log_driver.syslog({}) == Syslog()
    assert log_driver.syslog(
        {"syslog-address": "tcp+tls://10.0.0.1:6514", "syslog-facility": "local0", "syslog-tls-skip-verify": "true"}
    ) == Syslog(transport="tcp+tls", host="10.0.0.1", port=6514, facility=16, is_unverified=True)
    assert log_driver.syslog({"syslog-address": "udp://[::1]"}) == Syslog(transport="udp", host="::1")
    assert log_driver.syslog({"syslog-address": "unix:///run/s"}) == Syslog(transport="unix", host="/run/s", port=0)


def test_tags_and_attributes() -> None:
    """A tag names the container and its image; labels and variables are chosen by name and by expression."""
    assert log_driver.tag({}, ABOUT, "{{.ID}}") == "c" * 12
    tag = log_driver.tag({"tag": "{{ .Name }}/{{.ImageName}}/{{.ImageID}}/{{.FullID}}"}, ABOUT, "")
    assert tag == f"main/app:1/{'a' * 12}/{ID}"
    assert log_driver.attributes({"labels": "team,none", "env-regex": "^STA"}, ABOUT) == {"team": "x", "STAGE": "test"}
    assert log_driver.unsupported_of("json-file", {"tag": "{{.ID | upper}}"}) != ""
    assert log_driver.unsupported_of("syslog", {"syslog-address": "udp://127.0.0.1:514", "tag": "x-{{.ID}}"}) == ""


def test_lines_in_parts() -> None:
    """What the monitor wrote in parts is one line again, of each stream, and one of more than 16 KiB is in parts; the
    rest goes on in the next one's hands."""
    lines = DockerLines(Kept())
    assert [each.content for each in lines.feed(cri("one", "tw…", "o"))] == [b"one", b"two"]
    assert lines.feed(cri("half…")) == []
    assert lines.feed(cri("other", stream="stderr"))[0][1:] == ("stderr", b"other", True)
    following = DockerLines(lines.kept())
    assert [(each.content, each.is_whole) for each in following.feed(cri("x" * 20_000))] == [
        (b"half" + b"x" * 16_380, False),
        (b"x" * 3_620, True),
    ]
    assert following.end() == []


@pytest.mark.parametrize(
    ("style", "transport", "expected"),
    [
        ("", "udp", "<30>Jan  2 03:04:05 tag[PID]: hello\n"),
        ("rfc3164", "udp", "<30>Jan  2 03:04:05 ip-10 tag[PID]: hello\n"),
        ("rfc5424", "tcp", "<30>1 2026-01-02T03:04:05Z ip-10 tag PID tag - hello\n"),
        ("rfc5424micro", "tcp", "<30>1 2026-01-02T03:04:05.678901Z ip-10 tag PID tag - hello\n"),
    ],
)
def test_formats_of_syslog(style: str, transport: str, expected: str) -> None:
    """As Docker's driver writes them."""
    text = message(Syslog(style=style, transport=transport), LINE, "tag", "ip-10")
    assert text.decode() == expected.replace("PID", str(os.getpid()))


def test_priority_and_framing() -> None:
    """Errors have a severity of their own; over TLS each message comes after its length."""
    error = message(Syslog(facility=16), LINE._replace(stream="stderr"), "t", "h")
    assert error.startswith(b"<131>")
    framed = message(Syslog(transport="tcp+tls", style="rfc5424"), LINE, "t", "h")
    length, _, rest = framed.partition(b" ")
    assert int(length) == len(rest)


# --- json-file

ENDLESS = JsonFile()


class Files:
    """The outlet of one container, and its directory."""

    def __init__(self, path: Path, wanted: JsonFile = ENDLESS, **attributes: str) -> None:
        self.path = path
        self.outlet = JsonFileOutlet(ID, wanted, attributes, self.opened, Kept())

    def opened(self) -> int:
        return os.open(self.path, os.O_PATH | os.O_DIRECTORY)

    def write(self, lines: bytes) -> None:
        self.outlet.feed(lines)
        asyncio.run(self.outlet.deliver(""))

    def names(self) -> list[str]:
        return sorted(each.name.removeprefix(f"{ID}-json.log") for each in self.path.iterdir())

    def found(self, *, start_ms: int | None = None, after: str | None = None, last: int | None = None) -> list[str]:
        folder = self.opened()
        try:
            limit = 10_000 if last is None else last
            lines = json_file.found(folder, ID, start_ms=start_ms, after=after, from_head=last is None, limit=limit)
        finally:
            os.close(folder)
        return [each.message for each in lines]


def test_an_object_a_line(tmp_path: Path) -> None:
    """The members, their order, the escapes and the time are Docker's."""
    files = Files(tmp_path, tag="t", team="x")
    files.write(cri('a <b> & "c"') + cri("oops", stream="stderr", second=6))
    first, second = (tmp_path / f"{ID}-json.log").read_text().splitlines()
    assert first == (
        '{"log":"a \\u003cb\\u003e \\u0026 \\"c\\"\\n","stream":"stdout","attrs":{"tag":"t","team":"x"},'
        '"time":"2026-01-02T03:04:05Z"}'
    )
    assert json.loads(second)["stream"] == "stderr"


def test_files_put_aside(tmp_path: Path) -> None:
    """A file that is full becomes the first of those put aside, the oldest goes, and what is left reads as one."""
    files = Files(tmp_path, JsonFile(size_bytes=1000, files=3))
    for second in range(60):
        files.write(cri(f"line {second:04d}", second=second))
    assert files.names() == ["", ".1", ".2"]
    assert all(each.stat().st_size < 1100 for each in tmp_path.iterdir())
    read = files.found()
    assert read == [f"line {second:04d}" for second in range(60 - len(read), 60)]
    assert 30 < len(read) < 50
    assert files.found(last=5) == read[-5:]


def test_files_put_aside_are_compressed(tmp_path: Path) -> None:
    """As Docker does it; they can be read."""
    files = Files(tmp_path, JsonFile(size_bytes=1000, files=4, is_compressed=True))
    files.write(b"".join(cri(f"line {second:04d}", second=second) for second in range(58)))
    assert files.names() == ["", ".1.gz", ".2.gz", ".3.gz"]
    assert b"line" in gzip.decompress((tmp_path / f"{ID}-json.log.1.gz").read_bytes())
    assert files.found()[-50:] == [f"line {second:04d}" for second in range(8, 58)]


def test_a_file_that_was_not_compressed_yet(tmp_path: Path) -> None:
    """What a daemon put aside before it was killed is compressed by the next one, and nothing of it is lost."""
    files = Files(tmp_path, JsonFile(size_bytes=1000, files=5, is_compressed=True))
    files.write(b"".join(cri(f"line {second:04d}", second=second) for second in range(20)))
    with (tmp_path / f"{ID}-json.log.1").open("wb") as left:
        left.write(gzip.decompress((tmp_path / f"{ID}-json.log.1.gz").read_bytes()))
    (tmp_path / f"{ID}-json.log.1.gz").write_bytes(b"half of it")
    files.write(b"".join(cri(f"line {second:04d}", second=second) for second in range(20, 40)))
    assert files.names() == ["", ".1.gz", ".2.gz"]
    assert files.found() == [f"line {second:04d}" for second in range(40)]


def test_who_gives_up_waiting(tmp_path: Path) -> None:
    """What is being written goes on, and is neither begun twice nor forgotten."""
    begun, goes_on = threading.Event(), threading.Event()

    def slowly() -> int:
        begun.set()
        assert goes_on.wait(60)
        return os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)

    async def body() -> None:
        outlet = JsonFileOutlet(ID, ENDLESS, {}, slowly, Kept())
        outlet.feed(cri("one", "two"))
        waiting = spawn("first", outlet.deliver(""))
        await asyncio.to_thread(begun.wait, 60)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        again = spawn("second", outlet.deliver(""))
        await asyncio.sleep(0)
        goes_on.set()
        await again
        assert not outlet.has_more

    asyncio.run(body())
    assert Files(tmp_path).found() == ["one", "two"]


def test_one_file_begins_anew(tmp_path: Path) -> None:
    """With a bound and one file, what is full is emptied."""
    files = Files(tmp_path, JsonFile(size_bytes=500))
    files.write(b"".join(cri(f"line {second:04d}", second=second) for second in range(30)))
    assert files.names() == [""]
    assert files.found()[-1] == "line 0029"


def test_reading_from_a_time_and_on(tmp_path: Path) -> None:
    """From a time, after an id, of lines within the same nanosecond, and the last ones of many."""
    files = Files(tmp_path)
    files.write(b"".join(cri(*(f"{second}.{n}" for n in range(200)), second=second) for second in range(50)))
    files.write(cri("same") + cri("same again") + cri("same once more"))
    assert files.found(start_ms=1767323075_000)[:1] == ["35.0"]
    assert len(files.found()) == 10_000
    folder = files.opened()
    ask = {"start_ms": None, "from_head": True}
    (at_25,) = json_file.found(folder, ID, start_ms=1767323065_000, after=None, from_head=True, limit=1)
    assert json_file.found(folder, ID, after=at_25.id, limit=1, **ask)[0].message == "25.1"  # type: ignore[arg-type]
    os.close(folder)
    assert files.found(last=4) == ["49.199", "same", "same again", "same once more"]


@example([0] * 5, 200, 0, 1)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.sampled_from([None, 200, 700]),
    st.integers(0, 70),
    st.integers(1, 20),
)
def test_what_is_read_is_what_was_written(steps: list[int], size: int | None, place: int, count: int) -> None:
    """However many lines share a nanosecond, wherever files end: in pages each line comes once and in order, and
    from a line's time on come that one and the later ones."""
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name), JsonFile(size_bytes=size, files=1000))
        nanoseconds = list(itertools.accumulate(steps))
        files.write(
            b"".join(
                f"2026-01-02T03:04:05.{at * 500_000:09d}+00:00 stdout F {number}\n".encode()
                for number, at in enumerate(nanoseconds)
            )
        )
        folder = files.opened()
        ask = partial(json_file.found, folder, ID, from_head=True, limit=count)
        read: list[json_file.Found] = []
        while page := ask(start_ms=None, after=read[-1].id if read else None):
            read += page
        last = json_file.found(folder, ID, start_ms=None, after=None, from_head=False, limit=count)
        from_there = ask(start_ms=1767323045_000 + place, after=None)
        os.close(folder)
    assert [int(each.message) for each in read] == list(range(len(steps)))
    assert last == read[-count:]
    assert from_there == [each for each in read if each.at_ms >= 1767323045_000 + place][:count]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A link in place of the file, which a task that mounts the directory can make, is not followed: it is replaced."""
    victim = tmp_path.parent / "victim"
    victim.write_text("mine")
    (tmp_path / f"{ID}-json.log").symlink_to(victim)
    files = Files(tmp_path)
    files.write(cri("line"))
    assert victim.read_text() == "mine"
    assert files.found() == ["line"]


# --- syslog


def outlet(wanted: Syslog, root: Path) -> SyslogOutlet:
    return SyslogOutlet(
        *(wanted, "tag", "host", Kept()),
        root=lambda: os.open(root, os.O_PATH | os.O_DIRECTORY),
        within=lambda connect: connect(),
        addresses={"logs.test": ["127.0.0.1"]}.__getitem__,
    )


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For 127.0.0.1, in the instance's /etc."""
    (tmp_path / "etc").mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=logs", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(tmp_path / "etc" / "key.pem"), "-out", str(tmp_path / "etc" / "ca.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path


def test_a_receiver_over_tls(certificate: Path) -> None:
    """By the certificate of the instance's file; without it the container does not start."""

    async def body() -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                await got.put(line)
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "etc" / "ca.pem", certificate / "etc" / "key.pem")
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        there = Syslog(transport="tcp+tls", host="127.0.0.1", port=port, style="rfc5424")
        unknown = outlet(there, certificate)
        with pytest.raises(CannotLog, match="certificate verify failed"):
            await unknown.open()
        known = outlet(replace(there, ca_file="/etc/ca.pem"), certificate)
        await known.open()
        known.feed(cri("secret"))
        await known.deliver("")
        assert (await asyncio.wait_for(got.get(), 30)).endswith(b" - secret\n")
        known.close()
        server.close()

    asyncio.run(body())


def test_the_machines_own_receiver(tmp_path: Path) -> None:
    """Without an address lines go to /dev/log of the instance; where nobody is, the container does not start."""
    own = outlet(log_driver.syslog({}), tmp_path)
    with pytest.raises(CannotLog, match="failed to initialize logging driver: Unix syslog delivery error"):
        asyncio.run(own.open())
    (tmp_path / "dev").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "dev" / "log"))
        receiver.settimeout(30)
        asyncio.run(own.open())
        own.feed(cri("hello"))
        asyncio.run(own.deliver(""))
        assert receiver.recv(1000).endswith(b": hello\n")
        own.close()


def test_a_receiver_that_went(tmp_path: Path) -> None:
    """It is connected to anew when it is back; what was written meanwhile is dropped, and nothing waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        lines = outlet(Syslog(transport="tcp", host="logs.test", port=port), tmp_path)
        asyncio.run(lines.open())
        peer = first.accept()[0]
        lines.feed(cri("one"))
        asyncio.run(lines.deliver(""))
        assert peer.recv(1000).endswith(b": one\n")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
    lines.feed(cri("lost"))
    asyncio.run(lines.deliver(""))
    assert not lines.has_more
    with socket.create_server(("127.0.0.1", port)) as second:
        second.settimeout(30)
        lines.feed(cri("two"))
        asyncio.run(lines.deliver(""))
        peer = second.accept()[0]
        peer.settimeout(30)
        assert peer.recv(1000).endswith(b": two\n")
        peer.close()
    lines.close()
