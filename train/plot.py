"""loss.png: how a run went, at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchgrad.files import atomic_file
from scratchgrad.train import metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = np.ndarray[tuple[int], np.dtype[np.float64]]

# The standard deviation of the Gaussian that smooths: this share of the run, but at the start, where a loss falls at
# once, this share of the steps so far; and never fewer rows than these.
BANDWIDTH, BANDWIDTH_SO_FAR, FEWEST_ROWS = 0.025, 0.1, 1.5
MOST_POINTS = 600  # of the smoothed line: as many as a picture of 960 pixels tells apart
GAP, NEARBY = 5, 9  # so many times the median distance of so many rows, and a line is broken


def plot_loss(run: Path) -> None:
    """Draw the run's metrics.jsonl: training loss raw and smoothed, validation loss, and the learning rate below."""
    figure = loss_figure(run)
    with atomic_file(run / "loss.png") as file:
        figure.savefig(file, format="png", dpi=120)


def plot_fault(run: Path) -> str | None:
    """Draw it as `plot_loss` does; what to tell where that fails: a run goes on without a picture."""
    try:
        plot_loss(run)
    except OSError as error:
        return f"'{run / 'loss.png'}' was not drawn: {error.strerror or error}"
    return None


def loss_figure(run: Path) -> Figure:
    from matplotlib.figure import Figure  # half a second and 35 MB, which a rank that draws nothing does without

    rows = [row for row in metrics.read(run / "metrics.jsonl") if "loss" in row and "learning_rate" in row]
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    above.set(ylabel="loss (nats per token)")
    above.set_title(run.name, parse_math=False)  # a dollar sign in a folder's name is one
    below.set(xlabel="step", ylabel="learning rate")
    if rows:
        steps, losses = _of(rows, "step"), _of(rows, "loss")
        holes = _holes(steps)
        look = {"marker": "o" if len(rows) == 1 else None}  # a line of one point has no length
        above.plot(*_broken(steps, losses, holes), color="tab:blue", alpha=0.3, linewidth=0.8, label="training", **look)
        at, smooth = smoothed(steps, losses)
        label = f"training, smoothed: {smooth[-1]:.3f}"
        above.plot(*_broken(at, smooth, holes), color="tab:blue", label=label)
        _plot_validation(above, [row for row in rows if "val_loss" in row])
        label = f"learning rate: {rows[-1]['learning_rate']:.3g}"
        below.plot(*_broken(steps, _of(rows, "learning_rate"), holes), color="tab:gray", label=label, **look)
        below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        for axes in (above, below):
            axes.legend(frameon=False)
    for axes in (above, below):
        axes.grid(alpha=0.25)
    return figure


def smoothed(steps: Line, losses: Line) -> tuple[Line, Line]:
    """Steps, about `MOST_POINTS` at most, and the loss there: of the straight line that fits best around each.

    A row counts by its distance, as a Gaussian says, on both sides alike: the curve does not lag. At the ends, where
    one side is missing, the slope of the fitted line keeps it from leaning towards the middle of the run (Fan 1992,
    "Design-adaptive nonparametric regression").
    """
    starts, rows = np.arange(len(steps)), len(steps)
    if rows > MOST_POINTS:  # means of rows that stand closer than the eye tells apart
        even, early = np.linspace(0, rows - 1, MOST_POINTS // 2), np.geomspace(1, rows - 1, MOST_POINTS // 2)
        starts = np.unique(np.concatenate([even, early]).astype(int))
    counts = np.diff([*starts, rows])
    at, means = np.add.reduceat(steps, starts) / counts, np.add.reduceat(losses, starts) / counts
    usual = _usual_distance(steps)
    so_far = BANDWIDTH_SO_FAR * (at - steps[0])
    width = np.maximum(np.minimum(so_far, BANDWIDTH * (steps[-1] - steps[0])), FEWEST_ROWS * usual)[:, None]
    away = (at[None, :] - at[:, None]) / width
    weights = counts * np.exp(-0.5 * away * away)
    total, first, second = weights.sum(1), (weights * away).sum(1), (weights * away * away).sum(1)
    mean, slope = weights @ means, (weights * away) @ means
    spread = total * second - first * first
    # Of rows that stand alone, or all at one place, there is no slope.
    has_slope = spread > 1e-9 * total * total
    fitted = (second * mean - first * slope) / np.where(has_slope, spread, 1)
    return at, np.where(has_slope, fitted, mean / total)


def _plot_validation(axes: Any, rows: list[metrics.Row]) -> None:
    """Every evaluation; the legend has the last, and the lowest where that is another."""
    if not rows:
        return
    steps, losses = _of(rows, "step"), _of(rows, "val_loss")
    axes.plot(steps, losses, color="tab:orange", marker="o", markersize=4, label=_told("validation", rows[-1]))
    lowest = int(np.argmin(losses))
    if losses[lowest] < losses[-1]:
        look = {"color": "none", "marker": "o", "markersize": 9, "markeredgecolor": "tab:red"}
        axes.plot(steps[lowest], losses[lowest], **look, label=_told("lowest", rows[lowest]))


def _told(what: str, row: metrics.Row) -> str:
    bits = f" ({row['val_bpb']:.3f} bits per byte)" if "val_bpb" in row else ""
    return f"{what}, step {row['step']:,}: {row['val_loss']:.3f}{bits}"


def _of(rows: list[metrics.Row], name: str) -> Line:
    return np.array([row[name] for row in rows], np.float64)


def _usual_distance(steps: Line) -> float:
    return float(np.median(np.diff(steps))) if len(steps) > 1 else 1.0


def _holes(steps: Line) -> Line:
    """The middle of each stretch in which rows are missing, as after damage to the file: nothing is known there."""
    distances = np.diff(steps)
    if len(distances) < NEARBY:
        return np.empty(0)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(distances, NEARBY // 2, mode="reflect"), NEARBY)
    before = np.flatnonzero(distances > GAP * np.median(around, axis=1))
    return (steps[before] + steps[before + 1]) / 2


def _broken(steps: Line, values: Line, holes: Line) -> tuple[Line, Line]:
    after = np.searchsorted(steps, holes)
    return np.insert(steps, after, np.nan), np.insert(values, after, np.nan)
