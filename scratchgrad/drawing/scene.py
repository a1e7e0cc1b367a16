"""A record as texts and curves at their places: what every format of a picture draws, each in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from scratchgrad.drawing.layout import Layout, Place, Point, lay_out
from scratchgrad.drawing.record import Box, Record, in_bytes, shape_text

FONT, LETTER, LINE, EDGE = 11.0, 6.7, 15.0, 12.0  # a monospace font, its letters and lines; the margin of the picture

Curve = list[tuple[Point, Point, Point, Point]]  # Bézier curves, end to end: from, two points that bend it, to


@dataclass(frozen=True)
class DrawnBox:
    box: Box
    place: Place
    lines: list[str]
    is_root: bool

    def baseline(self, line: int) -> float:
        return self.place.y + 17 + line * LINE


@dataclass(frozen=True)
class Scene:
    """width, height: of all, in pixels; edges: who is read, who reads, and the way between them."""

    width: float
    height: float
    frames: list[tuple[str, Place]]
    edges: list[tuple[int, int, Curve]]
    boxes: list[DrawnBox]


def scene_of(record: Record) -> Scene:
    texts = {number: box_lines(box) for number, box in record.boxes.items()}
    sizes = {
        number: (max(len(line) for line in lines) * LETTER + 16, len(lines) * LINE + 10)
        for number, lines in texts.items()
    }
    layout = lay_out(record, sizes, LETTER)
    layout.move(EDGE, EDGE)
    edges = [(source, number) for number, box in record.boxes.items() for source in box.reads]
    return Scene(
        layout.width + 2 * EDGE,
        layout.height + 2 * EDGE,
        [(frame.title, place) for frame, place in layout.frames],
        [(source, number, _curve(source, number, layout)) for source, number in edges],
        [DrawnBox(box, layout.boxes[n], texts[n], n == record.root) for n, box in record.boxes.items()],
    )


def box_lines(box: Box) -> list[str]:
    lines = [box.name, f"{shape_text(box.shape)} {box.dtype}"]
    if box.kept:
        lines.append(f"keeps {in_bytes(box.kept)}")
    if box.gradient is not None:
        lines.append(f"|gradient| {box.gradient:.3g}")
    return lines


def _curve(source: int, number: int, layout: Layout) -> Curve:
    start, end = layout.boxes[source], layout.boxes[number]
    points = [
        (start.x + start.width / 2, start.y + start.height),
        *layout.routes.get((source, number), []),
        (end.x + end.width / 2, end.y),
    ]
    curve = []
    for (x0, y0), (x1, y1) in pairwise(points):
        if (x0, y0) != (x1, y1):  # a curve of no length has no direction for an arrow
            bend = (y1 - y0) / 2
            curve.append(((x0, y0), (x0, y0 + bend), (x1, y1 - bend), (x1, y1)))
    return curve
