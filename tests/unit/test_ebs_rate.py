"""What a volume of EBS may do in a second, and which control groups are held to it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from portside.domain.ebs import EbsVolume, Rates, VolumeType, rates, shape
from portside.domain.record import Scope
from portside.node.cgroup import CgroupTreeV1, CgroupTreeV2
from portside.node.volume_rate import VolumeRates

MIB = 1024**2
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "size", "iops", "throughput", "wanted"),
    [
        ("gp3", 10, None, None, Rates(3_000, 125 * MIB)),
        ("gp3", 100, 10_000, 500, Rates(10_000, 500 * MIB)),
        ("gp2", 1, None, None, Rates(3_000, 128 * MIB)),
        ("gp2", 2_000, None, None, Rates(6_000, 250 * MIB)),
        ("io1", 4, 100, None, Rates(100, 25 * MIB)),
        ("io1", 1_000, 50_000, None, Rates(50_000, 1_000 * MIB)),
        ("io2", 1_000, 50_000, None, Rates(50_000, 4_000 * MIB)),
        ("st1", 1_024, None, None, Rates(None, 250 * MIB)),
        ("sc1", 8_192, None, None, Rates(None, 250 * MIB)),
        ("standard", 1, None, None, Rates(None, None)),
    ],
)
def test_rates_of_each_type(
    kind: VolumeType, size: int, iops: int | None, throughput: int | None, wanted: Rates
) -> None:
    """As provisioned; of those that burst, the burst; of those whose throughput follows from something, that."""
    made = shape(kind, size, iops, throughput)
    volume = EbsVolume(
        scope=Scope(account="000000000000", region="us-east-1"),
        id="vol-1",
        zone="us-east-1a",
        size_gib=made.size_gib,
        type=made.type,
        iops=made.iops,
        throughput=made.throughput,
        created_at=NOW,
    )
    assert rates(volume) == wanted


class Tree(CgroupTreeV2):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__("0badcafe")
        self.told: list[tuple[str, Rates | None, str]] = []

    def throttle(self, device: str, rates: Rates | None, group: str) -> None:
        self.told.append((device, rates, group))


RATES, OTHER = Rates(100, MIB), Rates(200, MIB)


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portside.node.volume_rate._number", lambda device: f"7:{device.removeprefix('/dev/loop')}")


@pytest.mark.usefixtures("numbers")
def test_whatever_is_known_first(tmp_path: Path) -> None:
    """A rule is made once device and rates are known; again for a container that starts, and for other rates; and is
    gone, with its note, before the device is."""
    tree = Tree()
    held = VolumeRates(tree, tmp_path / "notes")
    held.attached("vol-1", "/dev/loop3")
    assert tree.told == []
    held.want("vol-1", RATES, "t1")
    held.want("vol-1", RATES, "t1")
    held.started("t1", "web")
    held.started("t2", "web")
    held.want("vol-1", OTHER, "t1")
    assert tree.told == [("7:3", RATES, "t1"), ("7:3", RATES, "t1/web"), ("7:3", OTHER, "t1")]
    assert (tmp_path / "notes" / "7:3").exists()
    held.detaching("vol-1")
    held.detaching("vol-1")
    assert tree.told[3:] == [("7:3", None, "t1")]
    assert not (tmp_path / "notes" / "7:3").exists()
    held.attached("vol-1", "/dev/loop4")
    assert tree.told[4:] == [("7:4", OTHER, "t1")]


@pytest.mark.usefixtures("numbers")
def test_tasks_of_an_instance_share_its_volumes(tmp_path: Path) -> None:
    """A container of a task on the instance is held, too; one of an instance whose id begins alike is not."""
    tree = Tree()
    held = VolumeRates(tree, tmp_path / "notes")
    held.want("vol-1", RATES, "i-1")
    held.attached("vol-1", "/dev/loop3")
    held.started("i-1/t1", "web")
    held.started("i-12/t2", "web")
    assert tree.told == [("7:3", RATES, "i-1"), ("7:3", RATES, "i-1/t1/web")]


@pytest.mark.usefixtures("numbers")
def test_devices_that_a_killed_daemon_left_rules_of(tmp_path: Path) -> None:
    """Are free at the next start, but for those that are volumes still."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("7:3", "7:4"):
        (notes / name).touch()
    tree = Tree()
    VolumeRates(tree, notes).start({"/dev/loop4"})
    assert tree.told == [("7:3", None, "")]
    assert [each.name for each in notes.iterdir()] == ["7:4"]


def test_rules_of_v1(tmp_path: Path) -> None:
    """In each container's group, and in the root group, whose threads write what was left to the kernel."""
    tree = CgroupTreeV1("0badcafe", {"blkio": tmp_path}, None)
    container = tmp_path / "portside-0badcafe" / "t1" / "web"
    container.mkdir(parents=True)
    tree.throttle("7:3", RATES, "t1")
    for group in (tmp_path, container):
        assert (group / "blkio.throttle.read_bps_device").read_text() == f"7:3 {MIB}"
        assert (group / "blkio.throttle.write_iops_device").read_text() == "7:3 100"
    tree.throttle("7:3", None, "")
    assert (container / "blkio.throttle.write_bps_device").read_text() == "7:3 0"
    assert tree.can_throttle()
    assert not CgroupTreeV1("0badcafe", {"memory": tmp_path}, None).can_throttle()


def test_rules_of_v2(tmp_path: Path) -> None:
    """One for a task as a whole, or for an instance; what is not limited is `max`."""
    tree = CgroupTreeV2("0badcafe", tmp_path)
    top = tmp_path / "portside-0badcafe"
    (top / "t1" / "web").mkdir(parents=True)
    (top / "i-1" / "t2").mkdir(parents=True)
    tree.throttle("7:3", Rates(None, MIB), "t1/web")
    assert (top / "t1" / "io.max").read_text() == f"7:3 rbps={MIB} wbps={MIB} riops=max wiops=max"
    assert not (top / "t1" / "web" / "io.max").exists()
    tree.throttle("7:4", RATES, "i-1")
    assert (top / "i-1" / "io.max").read_text() == f"7:4 rbps={MIB} wbps={MIB} riops=100 wiops=100"
    tree.throttle("7:5", RATES, "t9")  # none of its containers has started
    tree.throttle("7:3", None, "t1")
    assert (top / "t1" / "io.max").read_text() == "7:3 rbps=max wbps=max riops=max wiops=max"
