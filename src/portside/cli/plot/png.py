"""A chart as PNG, without a library for pictures. Pure.

Source: W3C, "Portable Network Graphics (PNG) Specification": signature, chunks, filters.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from portside.cli.plot import glyph
from portside.cli.plot.chart import Chart

WIDTH: Final = 1200
HEIGHT: Final = 600
_LEFT: Final = 96
_RIGHT: Final = 24
_TOP: Final = 56
_BOTTOM: Final = 84
_LINE: Final = 3.0

Colour = tuple[int, int, int]
_WHITE: Final[Colour] = (255, 255, 255)
_GRID: Final[Colour] = (208, 215, 222)
_TEXT: Final[Colour] = (87, 96, 106)
_DARK: Final[Colour] = (31, 35, 40)
_BLUE: Final[Colour] = (9, 105, 218)


class _Picture:
    def __init__(self) -> None:
        self.rows = [bytearray(bytes(_WHITE) * WIDTH) for _ in range(HEIGHT)]

    def mix(self, x: int, y: int, colour: Colour, share: float = 1.0) -> None:
        """Put a share of a colour upon what is there."""
        if 0 <= x < WIDTH and 0 <= y < HEIGHT and share > 0:
            row, at = self.rows[y], x * 3
            for index, part in enumerate(colour):
                row[at + index] += round((part - row[at + index]) * min(share, 1.0))

    def write(self, x: float, y: float, text: str, colour: Colour, scale: int = 2) -> None:
        """Centred upon y, to the right of x."""
        top = round(y - glyph.HEIGHT * scale / 2)
        for dot_x, dot_y in glyph.dots(text):
            for part in range(scale * scale):
                self.mix(round(x) + dot_x * scale + part % scale, top + dot_y * scale + part // scale, colour)

    def line(self, places: Sequence[tuple[float, float]]) -> None:
        """From left to right. Of each column the part that the line covers, so that its edges are smooth."""
        if len(places) == 1:
            ((x1, y1),) = places
            places = [(x1 - _LINE / 2, y1), (x1 + _LINE / 2, y1)]
        covered: dict[int, tuple[float, float]] = {}
        for (x1, y1), (x2, y2) in pairwise(places):
            wide = (x2 - x1) or 1.0
            # As thick across the line as a level one is.
            half = _LINE / 2 * min(math.hypot(1.0, (y2 - y1) / wide), 4.0)
            for x in range(round(x1), round(x2) + 1):
                ends = [y1 + (y2 - y1) * min(max((x + side - x1) / wide, 0.0), 1.0) for side in (-0.5, 0.5)]
                low, high = covered.get(x, (math.inf, -math.inf))
                covered[x] = (min(low, min(ends) - half), max(high, max(ends) + half))
        for x, (low, high) in covered.items():
            for y in range(int(low), int(high) + 1):
                self.mix(x, y, _BLUE, min(high, y + 1) - max(low, y))

    def png(self) -> bytes:
        data = zlib.compress(b"".join(b"\0" + row for row in self.rows), 9)
        head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)  # eight bits each of red, green and blue
        return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def draw(chart: Chart) -> bytes:
    """The bytes of the file."""
    picture = _Picture()
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    picture.write(_LEFT, 28, chart.title, _DARK)
    for value in chart.values:
        y = round(_TOP + high * (1 - chart.up(value)))
        for x in range(_LEFT, WIDTH - _RIGHT):
            picture.mix(x, y, _GRID)
        label = chart.value_label(value)
        picture.write(_LEFT - 10 - len(label) * glyph.WIDTH * 2, y, label, _TEXT)
    for at in chart.times:
        x = round(_LEFT + wide * chart.across(at))
        for y in range(_TOP + high, _TOP + high + 8):
            picture.mix(x, y, _TEXT)
        label = chart.time_label(at)
        picture.write(
            min(x - len(label) * glyph.WIDTH, WIDTH - len(label) * glyph.WIDTH * 2), _TOP + high + 24, label, _TEXT
        )
    for line in chart.lines():
        picture.line([(_LEFT + wide * across, _TOP + high * (1 - up)) for across, up in line])
    picture.write(_LEFT, HEIGHT - 18, chart.summary(), _TEXT)
    return picture.png()
