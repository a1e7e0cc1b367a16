"""The record of a computation as SVG."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from pathlib import Path
from weakref import ref

import numpy as np

from scratchgrad.autograd import Node
from scratchgrad.backend import Array, to_numpy
from scratchgrad.drawing.layout import Layout, Place, lay_out
from scratchgrad.drawing.record import Box, Record, in_bytes, record_of
from scratchgrad.tensor import Tensor

LETTER, LINE, EDGE = 6.7, 15.0, 12.0  # of the monospace font at 11 px; the margin of the picture
STYLE = """
.scratchgrad { background: #fff; font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.scratchgrad .frame rect { fill: #5b7083; fill-opacity: 0.07; stroke: #9fb0bf; }
.scratchgrad .frame text { fill: #51636f; font-style: italic; }
.scratchgrad .edge { fill: none; stroke: #8a97a3; }
.scratchgrad .box rect { fill: #fff; stroke: #51636f; }
.scratchgrad .box text { fill: #1f2a33; }
.scratchgrad .box .name { font-weight: 600; }
.scratchgrad .box .quiet { fill: #66757f; }
.scratchgrad .leaf rect { fill: #e3f0fb; stroke: #3a77ad; }
.scratchgrad .recompute rect { fill: #fdf1d8; stroke: #b98512; }
.scratchgrad .root rect { stroke-width: 2.5; }
""".strip()


class Drawing:
    """A picture of a record. It stays when the record is gone, and learns the gradients of a later backward pass."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def svg(self) -> str:
        boxes = self.record.boxes
        texts = {number: _lines(box) for number, box in boxes.items()}
        sizes = {
            number: (max(len(line) for line in lines) * LETTER + 16, len(lines) * LINE + 10)
            for number, lines in texts.items()
        }
        layout = lay_out(self.record, sizes, LETTER)
        width, height = layout.width + 2 * EDGE, layout.height + 2 * EDGE
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="scratchgrad" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}">',
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'markerUnits="userSpaceOnUse" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#8a97a3"/></marker></defs>',
            f'<g transform="translate({EDGE:.0f} {EDGE:.0f})">',
        ]
        for frame, place in layout.frames:
            parts.append(
                f'<g class="frame">{_rectangle(place, 8)}'
                f'<text x="{place.x + 10:.1f}" y="{place.y + 16:.1f}">{escape(frame.title)}</text></g>'
            )
        for number, box in boxes.items():
            for source in box.reads:
                parts.append(_edge(source, number, layout))
        for number, box in boxes.items():
            parts.append(_drawn(box, layout.boxes[number], texts[number], number == self.record.root))
        return "\n".join([*parts, "</g>", "</svg>"])

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.svg(), encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg()


def draw(root: Tensor) -> Drawing:
    """The record below `root`: ops with shape, dtype and the bytes that they keep, and modules around them.

    Draw before the backward pass, which lets the record go. Once it has run, the same drawing shows the norm of each
    gradient. In a notebook it shows itself; `save("graph.svg")` writes a file.
    """
    record, nodes = record_of(root)
    for number, node in nodes.items():
        _record_gradient(node, record.boxes[number])
    return Drawing(record)


def _record_gradient(node: Node, box: Box) -> None:
    """Keep the norm of the node's first gradient in the box, if that is still there."""
    whom = ref(box)

    def run_hooks(gradient: Array) -> None:
        if (box := whom()) is not None:
            box.gradient = float(np.linalg.norm(to_numpy(gradient).astype(np.float64)))
        if node.hooks is not None and run_hooks in node.hooks:
            node.hooks.remove(run_hooks)

    if node.hooks is None:
        node.hooks = []
    node.hooks.append(run_hooks)


def _lines(box: Box) -> list[str]:
    lines = [box.name, f"{'×'.join(map(str, box.shape)) or 'number'} {box.dtype}"]
    if box.kept:
        lines.append(f"keeps {in_bytes(box.kept)}")
    if box.gradient is not None:
        lines.append(f"|gradient| {box.gradient:.3g}")
    return lines


def _rectangle(place: Place, radius: int) -> str:
    size = f'width="{place.width:.1f}" height="{place.height:.1f}"'
    return f'<rect x="{place.x:.1f}" y="{place.y:.1f}" {size} rx="{radius}"/>'


def _edge(source: int, number: int, layout: Layout) -> str:
    start, end = layout.boxes[source], layout.boxes[number]
    points = [
        (start.x + start.width / 2, start.y + start.height),
        *layout.routes.get((source, number), []),
        (end.x + end.width / 2, end.y),
    ]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = (y1 - y0) / 2
        path += f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
    return f'<path class="edge" data-from="{source}" data-to="{number}" marker-end="url(#tip)" d="{path}"/>'


def _drawn(box: Box, place: Place, lines: list[str], is_root: bool) -> str:
    middle = place.x + place.width / 2
    text = "".join(
        f'<tspan x="{middle:.1f}" y="{place.y + 17 + i * LINE:.1f}" class="{"quiet" if i else "name"}">'
        f"{escape(line)}</tspan>"
        for i, line in enumerate(lines)
    )
    root = " root" if is_root else ""
    return (
        f'<g class="box {box.kind}{root}" data-number="{box.number}">{_rectangle(place, 4)}'
        f'<text text-anchor="middle">{text}</text></g>'
    )
