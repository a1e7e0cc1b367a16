"""The colors of a picture, on a light and on a dark page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colors:
    """kinds: the fill and the outline of boxes by kind."""

    background: str
    frame: str  # filled with little of it, since frames lie on frames
    frame_line: str
    frame_text: str
    edge: str
    text: str
    quiet: str
    kinds: dict[str, tuple[str, str]]


FRAME_OPACITY = 0.07
LIGHT = Colors(
    "#ffffff", "#5b7083", "#9fb0bf", "#51636f", "#8a97a3", "#1f2a33", "#55636e",
    {"op": ("#ffffff", "#51636f"), "leaf": ("#e3f0fb", "#3a77ad"), "recompute": ("#fdf1d8", "#b98512")},
)  # fmt: skip
DARK = Colors(
    "#14191e", "#9fb6c9", "#4c5b67", "#a9b8c4", "#7d8b97", "#e6edf2", "#a3b1bc",
    {"op": ("#20272e", "#8496a4"), "leaf": ("#15324b", "#6ba9dd"), "recompute": ("#40320f", "#d9a63a")},
)  # fmt: skip


def style(colors: Colors, scope: str = ".scratchgrad") -> str:
    """The rules for what stands inside `scope`, a CSS selector. Plain values, that every reader of SVG knows."""
    rules = {
        "": f"background: {colors.background}",
        " .frame rect": f"fill: {colors.frame}; fill-opacity: {FRAME_OPACITY}; stroke: {colors.frame_line}",
        " .frame text": f"fill: {colors.frame_text}; font-style: italic",
        " .edge": f"fill: none; stroke: {colors.edge}",
        " .tip": f"fill: {colors.edge}",
        " .box text": f"fill: {colors.text}",
        " .box .name": "font-weight: 600",
        " .box .quiet": f"fill: {colors.quiet}; font-weight: 400",
    }
    for kind, (fill, line) in colors.kinds.items():
        rules[f" .{kind} rect"] = f"fill: {fill}; stroke: {line}"
    rules[" .root rect"] = "stroke-width: 2.5"
    return "\n".join(f"{scope}{selector} {{ {rule}; }}" for selector, rule in rules.items())
