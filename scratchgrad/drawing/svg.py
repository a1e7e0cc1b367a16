"""A picture as SVG, alone or on a page of HTML that follows the reader's light or dark."""

from __future__ import annotations

from html import escape

from scratchgrad.drawing.colors import DARK, LIGHT, style
from scratchgrad.drawing.layout import Place
from scratchgrad.drawing.scene import FONT, Curve, DrawnBox, Scene

FONT_RULE = f'.scratchgrad {{ font: {FONT:g}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}'
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{svg}
<style>
body {{ margin: 0; background: {light}; }}
svg {{ display: block; max-width: 100%; height: auto; margin: 0 auto; }}
@media (prefers-color-scheme: dark) {{
body {{ background: {dark}; }}
{rules}
}}
</style>
</html>
"""


def svg(scene: Scene) -> str:
    size = f'viewBox="0 0 {scene.width:.0f} {scene.height:.0f}" width="{scene.width:.0f}" height="{scene.height:.0f}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" class="scratchgrad" {size}>',
        f"<style>\n{FONT_RULE}\n{style(LIGHT)}\n</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>',
        *(
            f'<g class="frame">{_rectangle(place, 8)}'
            f'<text x="{place.x + 10:.1f}" y="{place.y + 16:.1f}">{escape(title)}</text></g>'
            for title, place in scene.frames
        ),
        *(_edge(*edge) for edge in scene.edges),
        *(_box(drawn) for drawn in scene.boxes),
        "</svg>",
    ])  # fmt: skip


def page(scene: Scene, title: str) -> str:
    rules = style(DARK, "svg.scratchgrad")
    return PAGE.format(title=escape(title), svg=svg(scene), light=LIGHT.background, dark=DARK.background, rules=rules)


def _rectangle(place: Place, radius: int) -> str:
    size = f'width="{place.width:.1f}" height="{place.height:.1f}"'
    return f'<rect x="{place.x:.1f}" y="{place.y:.1f}" {size} rx="{radius}"/>'


def _edge(source: int, number: int, curve: Curve) -> str:
    path = f"M{curve[0][0][0]:.1f} {curve[0][0][1]:.1f}"
    for _, *points in curve:
        path += "C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="edge" data-from="{source}" data-to="{number}" marker-end="url(#tip)" d="{path}"/>'


def _box(drawn: DrawnBox) -> str:
    middle = drawn.place.x + drawn.place.width / 2
    text = "".join(
        f'<tspan x="{middle:.1f}" y="{drawn.baseline(i):.1f}" class="{"quiet" if i else "name"}">{escape(line)}</tspan>'
        for i, line in enumerate(drawn.lines)
    )
    kind = drawn.box.kind + (" root" if drawn.is_root else "")
    return (
        f'<g class="box {kind}" data-number="{drawn.box.number}">{_rectangle(drawn.place, 4)}'
        f'<text text-anchor="middle">{text}</text></g>'
    )
