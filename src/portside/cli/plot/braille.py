"""A chart in a terminal, two by four dots a character. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from portside.cli.plot.chart import Chart

_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of the characters from U+2800 on, by row and column. Source: Unicode, "Braille Patterns"."""


def draw(chart: Chart, *, width: int, height: int) -> list[str]:
    """Lines of at most `width` characters: the title, `height` lines of the chart, the time axis, numbers."""
    labels = [chart.value_label(each) for each in chart.values]
    margin = max(len(each) for each in labels)
    columns = max(width - margin - 2, 10)
    cells = [[0] * columns for _ in range(height)]
    for across, up in _dots(chart, columns * 2, height * 4):
        row = height * 4 - 1 - up
        cells[row // 4][across // 2] |= _DOTS[row % 4][across % 2]
    lines = [chart.title[:width]]
    marked = {height - 1 - round(chart.up(value) * (height - 1)): chart.value_label(value) for value in chart.values}
    for row, line in enumerate(cells):
        axis = "┤" if row in marked else "│"
        dots = "".join(chr(0x2800 + each) if each else " " for each in line).rstrip()
        lines.append(f"{marked.get(row, ''):>{margin}} {axis}{dots}")
    marks, words = ["─"] * columns, [" "] * (columns + margin + 2)
    free_from = 0
    for at in chart.times:
        column = min(int(chart.across(at) * columns), columns - 1)
        label = chart.time_label(at)
        start = margin + 2 + column - len(label) // 2
        marks[column] = "┬"
        if start >= free_from and start + len(label) <= len(words):
            words[start : start + len(label)] = label
            free_from = start + len(label) + 1
    lines.append(" " * margin + " └" + "".join(marks))
    lines.append("".join(words).rstrip())
    lines.append((" " * (margin + 2) + chart.summary())[:width])
    return lines


def _dots(chart: Chart, columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """All dots that the lines pass, counted from the left and from the bottom."""
    for line in chart.lines():
        places = [(across * (columns - 1), up * (rows - 1)) for across, up in line]
        if len(places) == 1:
            yield round(places[0][0]), round(places[0][1])
        for (x1, y1), (x2, y2) in pairwise(places):
            steps = max(round(abs(x2 - x1)), round(abs(y2 - y1)), 1)
            for step in range(steps + 1):
                part = step / steps
                yield round(x1 + (x2 - x1) * part), round(y1 + (y2 - y1) * part)
