"""The benches as pictures: who is how fast in how much memory, where a step's time goes, what recomputation buys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scratchgrad.files import atomic_file
from scratchgrad.train.bench.job import Measurement
from scratchgrad.train.bench.training import Side

COLOURS = {"forward": "tab:blue", "backward": "tab:orange", "": "tab:gray"}


def draw_sides(path: Path, sides: list[Side], title: str) -> None:
    """Two bars for each system: tokens a second, and peak memory."""
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(sides)), layout="constrained")
    speed, memory = figure.subplots(1, 2, sharey=True)
    names = [side.name for side in sides]
    speed.bar_label(speed.barh(names, [side.tokens_per_s for side in sides], color="tab:blue"), fmt="{:,.0f}")
    memory.bar_label(memory.barh(names, [side.peak_bytes / 1e6 for side in sides], color="tab:orange"), fmt="{:,.0f}")
    speed.set(xlabel="tokens/s", title=title)
    memory.set(xlabel="peak memory (MB)")
    speed.invert_yaxis()
    for axes in (speed, memory):
        axes.margins(x=0.2)
    _save(figure, path)


def draw_profile(path: Path, rows: list[dict[str, Any]], title: str) -> None:
    """A bar for each op, the dearest first, its forward and backward seconds one behind the other."""
    names = sorted({row["name"] for row in rows}, key=lambda name: -_seconds(rows, name))
    figure = Figure(figsize=(8, 1.2 + 0.28 * len(names)), layout="constrained")
    axes = figure.subplots()
    places, starts = {name: place for place, name in enumerate(names)}, dict.fromkeys(names, 0.0)
    for direction, colour in COLOURS.items():
        found = {row["name"]: 1e3 * row["seconds"] for row in rows if row["direction"] == direction}
        axes.barh(
            [places[name] for name in found], list(found.values()), left=[starts[name] for name in found], color=colour,
            label=direction or "outside of ops",
        )  # fmt: skip
        for name, length in found.items():
            starts[name] += length
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="ms of a step", title=title)
    axes.legend(frameon=False, loc="lower right")
    axes.grid(axis="x", alpha=0.25)
    _save(figure, path)


def draw_recomputation(path: Path, results: dict[str, Measurement], title: str) -> None:
    """For each way of recomputation its peak memory and, beside it, its time."""
    figure = Figure(figsize=(8, 0.6 + 0.4 * len(results)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    ways = list(results)
    for axes, values, label, shown in (
        (left, [result.peak_bytes / 1e6 for result in results.values()], "peak memory (MB)", "{:,.0f}"),
        (right, [result.median for result in results.values()], "seconds a step", "{:.2f}"),
    ):
        axes.bar_label(axes.barh(ways, values, color="tab:blue"), fmt=shown, padding=3)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    left.invert_yaxis()  # the first on top
    figure.suptitle(title)
    _save(figure, path)


def _seconds(rows: list[dict[str, Any]], name: str) -> float:
    return float(sum(row["seconds"] for row in rows if row["name"] == name))


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
