"""Charts of the report, as SVG and HTML that need no script and are read aloud as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape

from scratchgrad.tools.curation.report.html import number

WIDTH, HEIGHT = 340, 90
LONGEST = 600  # words of a text that are compared


@dataclass(frozen=True)
class Histogram:
    """kept, dropped: documents of each bin, between its two edges. boundary: where the threshold is drawn. low, high:
    what the ends of the axis are called; the first and the last bin have what lies beyond, too.
    """

    edges: Sequence[float]
    kept: Sequence[int]
    dropped: Sequence[int]
    boundary: float
    low: float
    high: float


def histogram(shown: Histogram, threshold: float, title: str) -> str:
    """Bars, of which a part may be dropped, and a line at the threshold. Heights are square roots, so that a single
    document is seen beside a million.
    """
    first, last = shown.edges[0], shown.edges[-1]
    most = max(kept + dropped for kept, dropped in zip(shown.kept, shown.dropped, strict=True)) or 1

    def place(value: float) -> float:
        return (value - first) / (last - first) * WIDTH

    bars = []
    for start, end, kept, dropped in zip(shown.edges, shown.edges[1:], shown.kept, shown.dropped, strict=False):
        height, bottom = ((kept + dropped) / most) ** 0.5 * HEIGHT, float(HEIGHT)
        told = f"<title>{number(start)} to {number(end)}: {kept:,} kept, {dropped:,} dropped by this rule</title>"
        for kind, count in (("kept", kept), ("dropped", dropped)):
            if count:
                part = max(height * count / (kept + dropped), 1.5)
                bottom -= part
                bars.append(
                    f'<rect class="{kind}" x="{place(start):.1f}" width="{max(place(end) - place(start) - 1, 1):.1f}" '
                    f'y="{bottom:.1f}" height="{part:.1f}">{told}</rect>'
                )
    x = place(shown.boundary)
    anchor, gap = ("start", 4) if x < WIDTH / 2 else ("end", -4)
    return (
        f'<svg viewBox="0 -18 {WIDTH} {HEIGHT + 36}" role="img" aria-label="{escape(title)}">{"".join(bars)}'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>'
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="-16" y2="{HEIGHT}"/>'
        f'<text class="threshold" x="{x + gap:.1f}" y="-6" text-anchor="{anchor}">{number(threshold)}</text>'
        f'<text x="0" y="{HEIGHT + 15}">{number(shown.low)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 15}" text-anchor="end">{number(shown.high)}</text></svg>'
    )


def bar(left: float, gone: float = 0.0) -> str:
    """Of all there was: the share that is left, and that which has just gone. The numbers stand beside it."""
    left, gone = min(max(left, 0), 1), min(max(gone, 0), 1)
    taken = f'<i class="gone" style="width:{max(gone * 100, 0.4):.2f}%"></i>' if gone else ""
    return f'<span class="bar" aria-hidden="true"><i style="width:{left * 100:.2f}%"></i>{taken}</span>'


def side_by_side(left: str, right: str) -> tuple[str, str]:
    """Two texts as HTML, with the words marked in which they differ; of long ones their beginnings."""
    one, other = left.split(), right.split()
    cut = len(one) > LONGEST or len(other) > LONGEST
    one, other = one[:LONGEST], other[:LONGEST]
    sides: tuple[list[str], list[str]] = ([], [])
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for side, words in zip(sides, (one[a:b], other[c:d]), strict=True):
            text = escape(" ".join(words))
            if text:
                side.append(text if kind == "equal" else f"<mark>{text}</mark>")
    end = " ..." if cut else ""
    return " ".join(sides[0]) + end, " ".join(sides[1]) + end
