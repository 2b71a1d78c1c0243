"""What every store promises (`store/interface.py`): the memory, SQLite and faulty ones alike."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portside.domain.cluster import Cluster
from portside.domain.kind import Kind
from portside.domain.record import Scope
from portside.store.faulty import FaultyStore
from portside.store.interface import (
    ABSENT,
    Change,
    Conflict,
    Delete,
    Put,
    Store,
    StoreUnavailable,
    WatchLost,
)
from portside.store.memory import CHANGES_KEPT, MemoryStore
from portside.store.sqlite import SqliteStore
from portside.testing.clock import EPOCH

SCOPE = Scope(account="123456789012", region="eu-west-1")
THING = Kind(
    name="thing",
    type=Cluster,
    key=lambda c: f"{c.scope.prefix}{c.name}",
    indexes={"status": lambda c: c.status, "first": lambda c: c.name[:1] if c.name != "hidden" else None},
)
OTHER = Kind(name="other", type=Cluster, key=lambda c: f"{c.scope.prefix}{c.name}")
KINDS = (THING, OTHER)

Open = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite", "sqlite-full", "faulty"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    stores: dict[str, Open] = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "state.db", KINDS),
        "sqlite-full": lambda: SqliteStore(tmp_path / "state.db", KINDS, durability="FULL"),
        "faulty": lambda: FaultyStore(MemoryStore()),
    }
    opened = stores[request.param]()
    yield opened
    opened.close()


def thing(name: str, status: str = "ACTIVE", scope: Scope = SCOPE) -> Cluster:
    return Cluster(scope=scope, name=name, status=status, created_at=EPOCH)  # type: ignore[arg-type]


def key(name: str) -> str:
    return f"{SCOPE.prefix}{name}"


def contents(store: Store) -> list[tuple[str, str, int]]:
    """All records with their versions."""
    rows = []
    for kind in KINDS:
        for value in store.scan(kind):
            stored = store.read(kind, kind.key(value))
            assert stored is not None
            rows.append((stored.key, value.status, stored.version))
    return rows


def test_an_empty_store(store: Store) -> None:
    """No revision, no records, nothing found."""
    assert store.revision == 0
    assert store.get(THING, key("a")) is None
    assert store.read(THING, key("a")) is None
    assert list(store.scan(THING)) == []
    assert store.find(THING, "status", "ACTIVE") == []


def test_what_is_put_is_read(store: Store) -> None:
    """A record comes back as it was, with the revision of its commit as version; kinds do not mix."""
    revision = store.transact(Put(THING, thing("a")))
    assert store.revision == revision > 0
    stored = store.read(THING, key("a"))
    assert stored is not None
    assert (stored.key, stored.value, stored.version) == (key("a"), thing("a"), revision)
    assert store.get(OTHER, key("a")) is None


def test_one_commit_one_revision(store: Store) -> None:
    """Several writes of a commit share its revision, which is higher than all before."""
    first = store.transact(Put(THING, thing("a")))
    second = store.transact(Put(THING, thing("b")), Put(OTHER, thing("c")))
    assert second > first
    assert [version for _, _, version in contents(store)] == [first, second, second]


def test_nothing_to_write(store: Store) -> None:
    """A commit of nothing is no commit."""
    revision = store.transact(Put(THING, thing("a")))
    assert store.transact() == store.revision == revision


def test_absent(store: Store) -> None:
    """ABSENT lets a record be made once."""
    store.transact(Put(THING, thing("a"), expect=ABSENT))
    with pytest.raises(Conflict):
        store.transact(Put(THING, thing("a", "INACTIVE"), expect=ABSENT))
    assert store.get(THING, key("a")) == thing("a")
    store.transact(Delete(THING, key("a")))
    store.transact(Put(THING, thing("a"), expect=ABSENT))


def test_version(store: Store) -> None:
    """A write that read an older version is refused, and says what it expected and found."""
    old = store.transact(Put(THING, thing("a")))
    new = store.transact(Put(THING, thing("a"), expect=old))
    with pytest.raises(Conflict) as caught:
        store.transact(Put(THING, thing("a"), expect=old))
    assert (caught.value.kind, caught.value.key, caught.value.expected, caught.value.found) == (
        "thing",
        key("a"),
        old,
        new,
    )
    with pytest.raises(Conflict):
        store.transact(Delete(THING, key("a"), expect=old))
    with pytest.raises(Conflict):
        store.transact(Put(THING, thing("b"), expect=new))


def test_a_conflict_leaves_nothing(store: Store) -> None:
    """All writes of a commit or none: also those before the one that conflicts, in whatever order."""
    store.transact(Put(THING, thing("a")), Put(THING, thing("gone")))
    before, revision = contents(store), store.revision
    writes = [
        Put(THING, thing("a", "INACTIVE")),
        Delete(THING, key("gone")),
        Put(OTHER, thing("new")),
        Put(THING, thing("a"), expect=99),
    ]
    heard: list[Change] = []
    store.subscribe(heard.append)
    for order in itertools.permutations(writes):
        with pytest.raises(Conflict):
            store.transact(*order)
        assert contents(store) == before
        assert store.revision == revision
        assert store.find(THING, "status", "INACTIVE") == []
    assert heard == []


def test_delete(store: Store) -> None:
    """A deleted record is gone from reads, scans and indexes; deleting what is not there changes nothing."""
    store.transact(Put(THING, thing("a")))
    store.transact(Delete(THING, key("a")))
    store.transact(Delete(THING, key("a")))
    assert store.get(THING, key("a")) is None
    assert list(store.scan(THING)) == []
    assert store.find(THING, "status", "ACTIVE") == []


def test_indexes(store: Store) -> None:
    """An index follows its record: also when the value changes, goes away or comes back; answers are in key order."""
    store.transact(*(Put(THING, thing(name)) for name in ("b2", "a1", "b1", "hidden")))
    assert [each.name for each in store.find(THING, "first", "b")] == ["b1", "b2"]
    assert store.find(THING, "first", "h") == []
    store.transact(Put(THING, thing("b1", "INACTIVE")))
    assert [each.name for each in store.find(THING, "status", "INACTIVE")] == ["b1"]
    assert [each.name for each in store.find(THING, "status", "ACTIVE")] == ["a1", "b2", "hidden"]
    store.transact(Put(THING, thing("b1")))
    assert store.find(THING, "status", "INACTIVE") == []


def test_scan(store: Store) -> None:
    """Records under a prefix, in key order, as of the call: later writes do not show."""
    elsewhere = Scope(account="123456789012", region="eu-west-2")
    store.transact(*(Put(THING, thing(name)) for name in ("c", "a", "b")), Put(THING, thing("a", scope=elsewhere)))
    scanned = store.scan(THING, SCOPE.prefix)
    store.transact(Put(THING, thing("d")), Delete(THING, key("b")))
    assert [each.name for each in scanned] == ["a", "b", "c"]
    assert [each.name for each in store.scan(THING, SCOPE.prefix)] == ["a", "c", "d"]
    assert [each.scope.region for each in store.scan(THING)] == ["eu-west-1"] * 3 + ["eu-west-2"]
    assert list(store.scan(THING, "nothing/")) == []


def test_listeners(store: Store) -> None:
    """Each write is told once, in order, with what was there before; no more after the end."""
    heard: list[tuple[str, str | None, str | None, int]] = []

    def listen(change: Change) -> None:
        old, new = change.old, change.value
        assert old is None or isinstance(old, Cluster)
        assert new is None or isinstance(new, Cluster)
        heard.append((change.key, old and old.status, new and new.status, change.revision))

    end = store.subscribe(listen)
    first = store.transact(Put(THING, thing("a")), Put(THING, thing("b")))
    second = store.transact(Put(THING, thing("a", "INACTIVE")), Delete(THING, key("b")), Delete(THING, key("none")))
    end()
    store.transact(Put(THING, thing("c")))
    assert heard == [
        (key("a"), None, "ACTIVE", first),
        (key("b"), None, "ACTIVE", first),
        (key("a"), "ACTIVE", "INACTIVE", second),
        (key("b"), "ACTIVE", None, second),
    ]


async def collect(store: Store, since: int, count: int) -> list[str]:
    changes: list[str] = []
    async with asyncio.timeout(10):
        async for change in store.watch(THING, since):
            changes.append(f"{change.key.removeprefix(SCOPE.prefix)}{'-' if change.value is None else '+'}")
            if len(changes) == count:
                break
    return changes


def test_watch(store: Store) -> None:
    """A watch gives the changes of its kind since a revision, then those that follow, each once and in order."""

    async def play() -> list[str]:
        since = store.transact(Put(THING, thing("before")))
        store.transact(Delete(THING, key("none")))
        store.transact(Put(THING, thing("a")), Put(OTHER, thing("other")), Put(THING, thing("b")))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(collect(store, since, 4))
            await asyncio.sleep(0)
            store.transact(Put(OTHER, thing("other")))
            await asyncio.sleep(0)
            store.transact(Delete(THING, key("a")))
            store.transact(Put(THING, thing("c")))
        return watching.result()

    assert asyncio.run(play()) == ["a+", "b+", "a-", "c+"]


def test_watch_from_the_first_revision(store: Store) -> None:
    """A young store gives all of its changes, also after a commit that changed nothing."""
    store.transact(Delete(THING, key("none")))
    store.transact(Put(THING, thing("a")))
    assert asyncio.run(collect(store, 0, 1)) == ["a+"]


def test_watch_after_a_commit_without_a_change(store: Store) -> None:
    """A watch waits, and does not spin, when the last commit changed nothing."""

    async def play() -> list[str]:
        store.transact(Put(THING, thing("a")))
        store.transact(Delete(THING, key("none")))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(collect(store, 0, 2))
            await asyncio.sleep(0)
            store.transact(Put(THING, thing("b")))
        return watching.result()

    assert asyncio.run(play()) == ["a+", "b+"]


def test_watch_lost(store: Store) -> None:
    """A watcher that comes too late is told so: also if only a part of one commit's changes is lost."""
    first = store.transact(Put(THING, thing("a")))
    store.transact(Put(THING, thing("b")), Put(THING, thing("c")))
    store.transact(*(Put(OTHER, thing("a")) for _ in range(CHANGES_KEPT - 1)))
    with pytest.raises(WatchLost):
        asyncio.run(collect(store, first, 2))


def test_refused_commits_leave_nothing() -> None:
    """While a store is unavailable reads go on, and nothing of a refused commit is seen or told."""
    full = False
    store = FaultyStore(MemoryStore(), lambda: full)
    store.transact(Put(THING, thing("a")))
    heard: list[Change] = []
    store.subscribe(heard.append)
    before, revision, full = contents(store), store.revision, True
    with pytest.raises(StoreUnavailable):
        store.transact(Put(THING, thing("b")), Delete(THING, key("a")))
    assert (contents(store), store.revision, heard) == (before, revision, [])
    full = False
    store.transact(Put(THING, thing("b")))
    assert store.get(THING, key("b")) is not None


# --- SQLite alone -----------------------------------------------------------------------------------------------------


def test_reopened(tmp_path: Path) -> None:
    """Records, versions, indexes and the revision are there again; a watch of what came before says that it is lost."""
    path = tmp_path / "state.db"
    store = SqliteStore(path, KINDS)
    store.transact(Put(THING, thing("b")), Put(OTHER, thing("o")))
    store.transact(Put(THING, thing("a", "INACTIVE")))
    store.transact(Delete(OTHER, key("o")))
    before, revision = contents(store), store.revision
    store.close()
    store = SqliteStore(path, KINDS)
    assert (contents(store), store.revision) == (before, revision)
    assert [each.name for each in store.find(THING, "status", "INACTIVE")] == ["a"]
    with pytest.raises(WatchLost):
        asyncio.run(collect(store, 0, 1))
    assert store.transact(Put(THING, thing("c"))) == revision + 1
    store.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import KINDS, OTHER, THING, thing
from portside.store.interface import Put
from portside.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), KINDS)
n = 0
while True:
    n += 1
    store.transact(Put(THING, thing(f"{n:06d}")), Put(OTHER, thing(f"{n:06d}")))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("lines", [1, 50, 500])
def test_killed_while_writing(tmp_path: Path, lines: int) -> None:
    """After kill -9 in the midst of writing every acknowledged commit is there, whole, and no half of another."""
    path = tmp_path / "state.db"
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        try:
            acknowledged = [int(writer.stdout.readline()) for _ in range(lines)]
        finally:
            os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().splitlines() if line]
    store = SqliteStore(path, KINDS)
    things = [int(each.name) for each in store.scan(THING)]
    others = [int(each.name) for each in store.scan(OTHER)]
    store.close()
    assert things == others == list(range(1, len(things) + 1))
    assert len(things) - acknowledged[-1] in (0, 1)
    assert store.revision == len(things)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "portside-test", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def filled(store: Store) -> int:
    """Write until the disk is full; how many commits it took."""
    for written in range(100_000):
        try:
            store.transact(Put(THING, thing(f"{written:06d}")), Put(OTHER, thing("last", "INACTIVE")))
        except StoreUnavailable:
            return written
    raise AssertionError("the disk never was full")


@pytest.mark.parametrize("durability", ["NORMAL", "FULL"])
def test_disk_full(small_disk: Path, durability: str) -> None:
    """With the disk full commits are refused whole; with room again they succeed; a restart finds all of them."""
    path = small_disk / "state.db"
    store = SqliteStore(path, KINDS, durability=durability)  # type: ignore[arg-type]
    store.transact(Put(THING, thing("first")))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    written = filled(store)
    before, revision = contents(store), store.revision
    for n in range(5):
        with pytest.raises(StoreUnavailable):
            store.transact(*(Put(OTHER, thing(f"refused-{n}-{each}" + "x" * 4000)) for each in range(50)))
    assert (contents(store), store.revision) == (before, revision)
    assert len(list(store.scan(THING))) == written + 1
    ballast.unlink()
    store.transact(Put(THING, thing("room")))
    before, revision = contents(store), store.revision
    store.close()
    store = SqliteStore(path, KINDS)
    assert (contents(store), store.revision) == (before, revision)
    store.close()


def test_folder_that_can_not_be_written(tmp_path: Path) -> None:
    """A path that can not be a database says so when it is opened."""
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "missing" / "state.db", KINDS)
