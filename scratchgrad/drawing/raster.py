"""A picture as PNG or PDF, drawn by matplotlib: the same places and colors as the SVG."""

from __future__ import annotations

import math
from typing import IO, Any, Literal

from scratchgrad.drawing.colors import FRAME_OPACITY, LIGHT
from scratchgrad.drawing.layout import Place
from scratchgrad.drawing.scene import FONT, Scene

INCH = 72.0  # pixels of a scene, so that a font of 11 px is one of 11 pt
DPI = 2 * INCH
MOST_PIXELS, LONGEST_SIDE = 40e6, 2.0**15  # of a PNG: what viewers still open; beyond, pixels get coarser


def write(scene: Scene, file: IO[bytes], format: Literal["png", "pdf"]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # half a second and 35 MB, which who draws no pixels does without
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    figure = Figure(figsize=(scene.width / INCH, scene.height / INCH), facecolor=LIGHT.background)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()

    def rectangle(place: Place, radius: float, fill: str, line: str, width: float = 1, opacity: float = 1) -> None:
        style, size = f"round,pad=0,rounding_size={radius}", (place.width, place.height)
        patch = FancyBboxPatch((place.x, place.y), *size, boxstyle=style, linewidth=width)
        patch.set(facecolor=(fill, opacity), edgecolor=line)
        axes.add_patch(patch)

    def text(x: float, y: float, line: str, **look: Any) -> None:
        # A dollar sign is one, and no formula.
        axes.text(x, y, line, fontsize=FONT, family="monospace", parse_math=False, va="baseline", **look)

    for title, place in scene.frames:
        rectangle(place, 8, LIGHT.frame, LIGHT.frame_line, opacity=FRAME_OPACITY)
        text(place.x + 10, place.y + 16, title, color=LIGHT.frame_text, style="italic")
    for _, _, curve in scene.edges:
        points = [curve[0][0], *(point for _, *rest in curve for point in rest)]
        path = Path(points, [Path.MOVETO, *[Path.CURVE4] * (len(points) - 1)])
        axes.add_patch(PathPatch(path, fill=False, edgecolor=LIGHT.edge, linewidth=1))
        x, y = points[-1]
        axes.add_patch(Polygon([(x - 3.5, y - 7), (x + 3.5, y - 7), (x, y)], color=LIGHT.edge, linewidth=0))
    for drawn in scene.boxes:
        fill, line = LIGHT.kinds[drawn.box.kind]
        rectangle(drawn.place, 4, fill, line, 2.5 if drawn.is_root else 1)
        for i, words in enumerate(drawn.lines):
            look = {"color": LIGHT.quiet} if i else {"color": LIGHT.text, "weight": "bold"}
            text(drawn.place.x + drawn.place.width / 2, drawn.baseline(i), words, ha="center", **look)
    inches = (scene.width / INCH) * (scene.height / INCH)
    dpi = min(DPI, math.sqrt(MOST_PIXELS / inches), LONGEST_SIDE * INCH / max(scene.width, scene.height))
    with rc_context({"pdf.fonttype": 42, "font.monospace": ["DejaVu Sans Mono"]}):  # text that can be selected
        figure.savefig(file, format=format, dpi=dpi, metadata={"CreationDate": None} if format == "pdf" else None)
