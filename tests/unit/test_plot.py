"""`portside plot`: axes, and the same points at the terminal, as SVG and as PNG."""

import re
import struct
import zlib
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.cli.plot import braille, png, svg
from portside.cli.plot.chart import Chart, Unit
from portside.cli.plot.command import filled, period_of

END = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNITS: tuple[Unit, ...] = ("percent", "count", "bytes/s", "bytes", "seconds")


def chart(*values: float | None, unit: Unit = "percent", title: str = "c/web cpu") -> Chart:
    """With a value each minute up to the end; None for a minute without."""
    begin = END - timedelta(minutes=len(values) - 1)
    points = [(begin + timedelta(minutes=at), value) for at, value in enumerate(values) if value is not None]
    return Chart(title=title, unit=unit, begin=begin, end=END, period=timedelta(minutes=1), points=points)


@given(st.lists(st.floats(0, 1e12), min_size=2, max_size=200), st.sampled_from(UNITS))
def test_axes(values: list[float], unit: Unit) -> None:
    """Lines of the value axis are few, evenly apart, differently named, and hold everything; so the time axis'."""
    made = chart(*values, unit=unit)
    lines = made.values
    assert 2 <= len(lines) <= 9
    assert lines[0] == 0
    assert made.top >= max(values) * (1 - 1e-9)
    labels = [made.value_label(each) for each in lines]
    assert len(set(labels)) == len(labels)
    times = [made.time_label(each) for each in made.times]
    assert len(set(times)) == len(times) <= 8
    assert all(0 <= made.across(each) <= 1 for each in made.times)


@given(
    st.lists(st.none() | st.floats(0, 1e12), min_size=2, max_size=100).filter(any),
    st.sampled_from(UNITS),
    st.integers(30, 200),
    st.integers(4, 40),
)
def test_a_terminal_holds_it(values: list[float | None], unit: Unit, width: int, height: int) -> None:
    """Whatever the values, as many lines as asked for, none too wide, and the same at each drawing."""
    made = chart(*values, unit=unit)
    lines = braille.draw(made, width=width, height=height)
    assert len(lines) == height + 4
    assert max(len(each) for each in lines) <= width
    assert lines == braille.draw(made, width=width, height=height)


def test_a_ramp_at_the_terminal() -> None:
    """From nothing to the top is a diagonal; a minute without a value breaks it."""
    lines = braille.draw(chart(*range(101)), width=60, height=10)
    dots = [
        (row, line.index("│") + 1 if "│" in line else line.index("┤") + 1, line) for row, line in enumerate(lines[1:11])
    ]
    firsts = [next(at for at, each in enumerate(line[start:]) if each != " ") for _, start, line in dots]
    assert firsts == sorted(firsts, reverse=True)
    assert (firsts[-1], lines[1].startswith("100% ┤"), lines[10].lstrip().startswith("0% ┤")) == (0, True, True)
    assert "highest 100.0%" in lines[-1]
    assert len(list(chart(1, 2, None, 4, 5).lines())) == 2


def test_svg() -> None:
    """Well formed whatever the title, with every point in its place."""
    made = chart(0, 50, 100, None, 100, title="<b> & 'x'")
    root = ElementTree.fromstring(svg.draw(made))
    assert "<b> & 'x'" in "".join(root.itertext())
    first, second = [each.get("d", "") for each in root.iter() if each.get("stroke") == "#0969da"]
    places = [tuple(map(float, each.split())) for each in re.split("[ML]", first)[1:]]
    bottom, top = svg.HEIGHT - svg.BOTTOM, svg.TOP
    assert [y for _, y in places] == [bottom, (bottom + top) / 2, top]
    assert [x for x, _ in places] == [svg.LEFT, svg.LEFT + 180, svg.LEFT + 360]
    assert second.startswith(f"M{svg.WIDTH - svg.RIGHT:.2f} {top:.2f}")


def pixels(data: bytes) -> list[bytes]:
    """The rows of a picture without filters, each chunk's checksum being right."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind] = data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + found[kind]) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        at += 12 + length
    width, height, depth, colours = struct.unpack(">IIBB", found[b"IHDR"][:10])
    assert (width, height, depth, colours) == (png.WIDTH, png.HEIGHT, 8, 2)
    raw = zlib.decompress(found[b"IDAT"])
    rows = [raw[row * (width * 3 + 1) : (row + 1) * (width * 3 + 1)] for row in range(height)]
    assert all(each[0] == 0 and len(each) == width * 3 + 1 for each in rows)
    return [each[1:] for each in rows]


def test_png() -> None:
    """A picture whose line is where the values are: blue in the middle at a level of half, white above it."""
    rows = pixels(png.draw(chart(50, 50, 50, 100, 50, 50, 50, title="größe ✓")))
    blue = [row for row in range(png.HEIGHT) if rows[row][200 * 3 : 200 * 3 + 3] == bytes((9, 105, 218))]
    middle = 56 + (png.HEIGHT - 56 - 84) / 2
    assert 2 <= len(blue) <= 4
    assert all(abs(each - middle) <= 2 for each in blue)
    assert rows[150][200 * 3 : 200 * 3 + 3] == b"\xff\xff\xff"


@pytest.mark.parametrize(
    ("hours", "seconds"), [(1, 60), (24, 60), (48, 300), (372, 900), (24 * 64, 3600 * 6), (24 * 400, 86400)]
)
def test_periods(hours: int, seconds: int) -> None:
    """As fine as is kept for so long, and not finer than can be seen."""
    assert period_of(END - timedelta(hours=hours), END) == timedelta(seconds=seconds)


def test_nothing_is_counted() -> None:
    """Between points and after them, from the beginning on: not before a service was made."""
    minute = timedelta(minutes=1)
    points = [(END - 4 * minute, 7.0), (END - 2 * minute, 5.0)]
    begin = END - timedelta(minutes=5, seconds=30)
    assert [value for _, value in filled(points, END - 7 * minute, END, minute)] == [0, 0, 0, 7, 0, 5, 0]
    assert [(END - at) / minute for at, _ in filled(points, begin, END, minute)] == [5, 4, 3, 2, 1]
    assert filled(points, END - 3 * minute, END, minute)[0] == points[0]
