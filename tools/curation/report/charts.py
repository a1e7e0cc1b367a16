"""Charts of the report, as SVG and HTML that need no script and are read aloud as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

WIDTH, HEIGHT = 480, 120
LONGEST = 600  # words of a text that are compared


def number(value: float) -> str:
    """With as many digits as one reads: 12,345, 0.125, 3."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}"


def histogram(edges: Sequence[float], counts: Sequence[int], threshold: float, drops_below: bool, title: str) -> str:
    """Bars, a line at the threshold, and the side that is dropped in another colour. Heights are square roots, so that
    a single document is seen beside a million.
    """
    most = max(counts) or 1
    low, high = edges[0], edges[-1]
    bar = WIDTH / len(counts)

    def place(value: float) -> float:
        return (value - low) / (high - low) * WIDTH

    bars = []
    for start, end, count, left in zip(edges, edges[1:], counts, range(len(counts)), strict=False):
        middle = (start + end) / 2
        kind = "dropped" if (middle < threshold) == drops_below else "kept"
        height = (count / most) ** 0.5 * HEIGHT
        bars.append(
            f'<rect class="{kind}" x="{left * bar:.1f}" width="{bar - 1:.1f}" y="{HEIGHT - height:.1f}" '
            f'height="{height:.1f}">'
            f"<title>{number(start)} to {number(end)}: {count:,} documents</title></rect>"
        )
    x = place(threshold)
    anchor = "start" if x < WIDTH / 2 else "end"
    return (
        f'<svg viewBox="0 -14 {WIDTH} {HEIGHT + 30}" role="img" aria-label="{escape(title)}">{"".join(bars)}'
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="-12" y2="{HEIGHT}"/>'
        f'<text class="threshold" x="{x + (4 if anchor == "start" else -4):.1f}" y="-3" text-anchor="{anchor}">'
        f"{number(threshold)}</text>"
        f'<text x="0" y="{HEIGHT + 13}">{number(low)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 13}" text-anchor="end">{number(high)}</text></svg>'
    )


def bar(share: float, title: str) -> str:
    """A share of 1 as a bar as wide as the cell it stands in."""
    return f'<span class="bar" title="{escape(title)}"><i style="width:{min(max(share, 0), 1) * 100:.2f}%"></i></span>'


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
