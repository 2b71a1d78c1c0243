"""`portside top` without a terminal: what its rows add up to, what keys do, and that it fits."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portside.cli.top.key import keys
from portside.cli.top.row import Level, rows, target_of
from portside.cli.top.view import View, age, line_of_event, size

NOW = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
PLACE = {"account": "000000000000", "region": "us-east-1", "cluster": "c"}


def container(name: str, **more: Any) -> dict[str, Any]:
    usage = {"cpuUnits": 256, "memory": 1024, "memoryLimit": None, "networkReceiveRate": 10, "networkSendRate": None}
    usage |= {"storageReadRate": 0, "storageWriteRate": 5}
    return {"name": name, "health": "UNKNOWN", "restarts": 1, "exitCode": None, "usage": usage, **more}


def task(number: int, service: str | None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = PLACE | {"id": f"{number:032x}", "service": service, "family": "web", "revision": 1}
    made |= {"createdAt": NOW, "lastStatus": "RUNNING", "health": "UNKNOWN", "cpuReserved": 512, "memoryReserved": 4096}
    return made | {"containers": [container("a"), container("b")], **more}


def document(*tasks: dict[str, Any], clusters: tuple[str, ...] = ("c",)) -> dict[str, Any]:
    return {
        "at": NOW,
        "clusters": [{"account": "000000000000", "region": "us-east-1", "name": each} for each in clusters],
        "services": [{**PLACE, "name": "shop", "desired": 3, "running": 2, "pending": 0}],
        "tasks": list(tasks),
    }


SHOP = document(task(1, "shop"), task(2, "shop", health="UNHEALTHY"), task(3, None, containers=[]))


def view(data: dict[str, Any] = SHOP) -> View:
    made = View()
    made.feed(data)
    return made


def shown(made: View, width: int = 80, height: int = 12) -> str:
    return "\n".join(each.plain for each in made.lines(width, height))


def press(made: View, *several: str) -> Any:
    return [made.press(each) for each in several][-1]


def test_what_rows_add_up_to() -> None:
    """A row is the sum of all below it; what is not known adds nothing; tasks without a service stand by family."""
    (cluster,) = rows(SHOP, Level.CLUSTERS, ())
    family, shop = sorted(rows(SHOP, Level.SERVICES, cluster.key), key=lambda each: each.key[3])
    assert (cluster.used.cpu, cluster.used.memory, cluster.cpu_reserved) == (1.0, 4096, 1.5)
    assert (shop.state, shop.is_well, shop.health, shop.restarts) == ("2/3", False, "1 bad", 4)
    assert (shop.used.received, shop.used.sent, shop.used.written) == (40, None, 20)
    assert (family.name, family.used.cpu) == ("web (no service)", None)
    assert [each.name for each in rows(SHOP, Level.CONTAINERS, (*shop.key, f"{1:032x}"))] == ["a", "b"]


def other(name: str, **more: str) -> dict[str, Any]:
    made = {"runtime": "docker", "id": "f" * 64, "name": name, "pod": "", "namespace": ""}
    return made | {"usage": container("x")["usage"]} | more


def test_containers_of_others() -> None:
    """They stand among the clusters, in it runtimes and namespaces, in these containers and pods; there is no log and
    no shell of them here."""
    mine = [other("db"), other("app", pod="web-1", namespace="shop"), other("side", pod="web-1", namespace="shop")]
    made = view(SHOP | {"otherContainers": mine})
    assert [each.name for each in made.shown()] == ["c", "other containers"]
    press(made, "G", "enter")
    assert "other containers › services" in shown(made)
    docker, shop = made.shown()
    assert (docker.name, docker.used.cpu, docker.state) == ("docker", 0.25, "1/1")
    assert (shop.name, shop.used.memory) == ("shop", 2048)
    press(made, "G", "enter")
    (pod,) = made.shown()
    assert (pod.name, pod.age_s) == ("web-1", None)
    assert press(made, "l") is None
    assert "did not start it" in shown(made)
    press(made, "enter")
    assert [each.name for each in made.shown()] == ["app", "side"]
    assert press(made, "s") is None
    assert press(made, "enter") is None
    assert made.mode == "list"


def test_how_others_call_it() -> None:
    """Services and tasks by ARN, so that another of the name in another cluster is not meant."""
    (cluster,) = rows(SHOP, Level.CLUSTERS, ())
    shop = next(each for each in rows(SHOP, Level.SERVICES, cluster.key) if each.name == "shop")
    assert target_of(shop.key) == ("arn:aws:ecs:us-east-1:000000000000:service/c/shop", "c", "")
    first = rows(SHOP, Level.CONTAINERS, (*shop.key, f"{1:032x}"))[0]
    assert target_of(first.key) == (f"arn:aws:ecs:us-east-1:000000000000:task/c/{1:032x}", "c", "a")


def test_down_and_up_again() -> None:
    """It begins with the services of the only cluster; enter goes down, esc up again to what it came from."""
    made = view()
    assert "c › services" in shown(made)
    press(made, "G", "k", "enter")
    assert "c › shop › tasks" in shown(made)
    press(made, "j", "enter")
    assert "c › shop › 00000000 › containers" in shown(made)
    press(made, "esc")
    assert (found := made.chosen(made.shown())) is not None
    assert found.key[5] == f"{2:032x}"
    press(made, "esc", "esc", "esc")
    assert "clusters" in shown(made).splitlines()[0]
    assert "CLUSTERS" in shown(view(document(clusters=("c", "d"))))


def test_what_keys_ask_for() -> None:
    """Logs and stories of what is chosen; a shell where one container runs; none of a cluster's."""
    made = view()
    press(made, "G", "k")
    assert press(made, "d").what == "describe"
    act = press(made, "l")
    assert (act.what, act.key[4]) == ("log", "shop")
    assert press(made, "esc").what == "back"
    assert press(made, "s") is None
    assert "choose one of its containers" in shown(made)
    press(made, "enter", "enter")
    act = press(made, "s")
    assert (act.what, act.key[6]) == ("shell", "a")
    press(made, "esc", "esc", "esc")
    assert press(made, "l") is None
    assert "choose a service" in shown(made)
    assert press(made, "q").what == "quit"


def test_filter() -> None:
    """Typed words leave only what has them; keys are letters meanwhile; esc brings the rest back."""
    made = view()
    press(made, "/", "s", "h", "q", "backspace", "enter")
    assert [each.name for each in made.shown()] == ["shop"]
    assert "only with “sh”" in shown(made)
    press(made, "esc")
    assert len(made.shown()) == 2


def test_a_log_that_was_scrolled_back_stands_still() -> None:
    """While further lines come; G follows again."""
    made = view()
    press(made, "l")
    events = [
        {"at": 0, "task": "t" * 32, "container": "a", "containers": 1, "message": f"line {number}"}
        for number in range(50)
    ]
    made.add(events[:30])
    assert "line 29" in shown(made)
    press(made, "k")
    before = shown(made)
    assert "line 29" not in before
    made.add(events[30:])
    assert shown(made) == before
    press(made, "G")
    assert "line 49" in shown(made)


def test_what_a_container_writes_moves_no_cursor() -> None:
    """Its colours are kept, and nothing else of its escapes and control characters."""
    event = {"at": 0, "task": "t" * 32, "container": "a", "containers": 2}
    line = line_of_event({**event, "message": "\x1b[31mred\x1b[0m \x1b[2J\x07\x9b5A\tx"}, "cyan")
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in line.plain)
    assert "red" in line.plain


@given(
    names=st.lists(st.text(min_size=1, max_size=40), max_size=30, unique=True),
    width=st.integers(20, 200),
    height=st.integers(4, 40),
    pressed=st.lists(st.sampled_from([*"jkgGlsdcmnq/?x", "enter", "esc", "page-down", "up"]), max_size=12),
)
def test_it_fits(names: list[str], width: int, height: int, pressed: list[str]) -> None:
    """Whatever things are called, whatever keys are pressed: as many lines as there is room for, none too wide."""
    made = view(document(*(task(number, None, family=name) for number, name in enumerate(names))))
    for key in ("", *pressed):
        made.press(key)
        lines = made.lines(width, height)
        assert len(lines) == height
        if made.mode == "list":
            assert all(each.cell_len <= width for each in lines[:-1])


@given(st.floats(0, 1e15), st.floats(0, 1e9))
def test_short_numbers(number: float, seconds: float) -> None:
    """Never wider than their columns."""
    assert len(size(number)) <= 5
    assert len(age(seconds)) <= 6


def test_numbers_as_they_are_read() -> None:
    assert [size(each) for each in (None, 0, 999, 1023, 1536, 10 * 1024, 1023.9 * 1024, 3 * 1024**3)] == [
        *("-", "0", "999", "1023", "1.5K", "10K", "1.0M", "3.0G")
    ]
    assert [age(each) for each in (0, 119, 120, 7199, 7200, 172800)] == ["0s", "119s", "2m", "119m", "2h", "2d"]


def test_keys_of_terminals() -> None:
    """Sequences are one key, however they are cut; a lone escape is one only once nothing more comes."""
    assert keys("j\x1b[A\x1bOBk\r\x7f", is_all=False) == (["j", "up", "down", "k", "enter", "backspace"], "")
    assert keys("\x1b", is_all=False) == ([], "\x1b")
    assert keys("\x1b", is_all=True) == (["esc"], "")
    assert keys("q\x1b[", is_all=False) == (["q"], "\x1b[")
    assert keys("\x1b\x1b[5~é", is_all=False) == (["esc", "page-up", "é"], "")
    assert keys("\x1b[200~x", is_all=False) == (["x"], "")
