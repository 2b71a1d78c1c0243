"""A chart as SVG. Pure."""

from html import escape
from typing import Final

from portside.cli.plot.chart import Chart

WIDTH: Final = 800
HEIGHT: Final = 400
LEFT: Final = 64
RIGHT: Final = 16
TOP: Final = 40
BOTTOM: Final = 48


def draw(chart: Chart) -> str:
    """A document of its own, with the numbers of every point in it as they are."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12" fill="#57606a">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#1f2328">{escape(chart.title)}</text>',
    ]
    for value in chart.values:
        y = TOP + high * (1 - chart.up(value))
        parts.append(f'<path d="M{LEFT} {y:.1f}h{wide}" stroke="#d0d7de"/>')
        label = escape(chart.value_label(value))
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for at in chart.times:
        x = LEFT + wide * chart.across(at)
        parts.append(f'<path d="M{x:.1f} {TOP + high}v5" stroke="#8c959f"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP + high + 20}" text-anchor="middle">{chart.time_label(at)}</text>')
    for line in chart.lines():
        places = [f"{LEFT + wide * across:.2f} {TOP + high * (1 - up):.2f}" for across, up in line]
        # A point alone is a dot: a line of no length with round ends.
        path = "M" + "L".join(places if len(places) > 1 else places * 2)
        parts.append(
            f'<path d="{path}" fill="none" stroke="#0969da" stroke-width="2" stroke-linejoin="round"'
            ' stroke-linecap="round"/>'
        )
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(chart.summary())}</text>')
    return "\n".join([*parts, "</svg>", ""])
