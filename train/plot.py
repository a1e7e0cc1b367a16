"""loss.png: how a run went, at a glance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scratchgrad.files import atomic_file
from scratchgrad.train import metrics

SMOOTHING = 0.9  # weight of the past in the smoothed curve


def plot_loss(run: Path) -> None:
    """Draw the run's metrics.jsonl: training loss raw and smoothed, validation loss, and the learning rate below."""
    from matplotlib.figure import Figure  # half a second and 35 MB, which a rank that draws nothing does without

    rows = [row for row in metrics.read(run / "metrics.jsonl") if "loss" in row and "learning_rate" in row]
    steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    above.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8)
    above.plot(steps, _smoothed(losses), color="tab:blue", label="training")
    validation = [row for row in rows if "val_loss" in row]
    if validation:
        at, val_losses = [row["step"] for row in validation], [row["val_loss"] for row in validation]
        bits = f" ({validation[-1]['val_bpb']:.3f} bits per byte)" if "val_bpb" in validation[-1] else ""
        label = f"validation: {val_losses[-1]:.3f}{bits}"
        above.plot(at, val_losses, color="tab:orange", marker="o", markersize=4, label=label)
    above.set(ylabel="loss (nats per token)", title=run.name)
    above.grid(alpha=0.25)
    above.legend(frameon=False)
    below.plot(steps, [row["learning_rate"] for row in rows], color="tab:gray")
    below.set(xlabel="step", ylabel="learning rate")
    below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    below.grid(alpha=0.25)
    with atomic_file(run / "loss.png") as file:
        figure.savefig(file, format="png", dpi=120)


def _smoothed(losses: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The exponential mean, without its pull towards zero at the start."""
    smooth, total = np.empty(len(losses)), 0.0
    for i, loss in enumerate(losses):
        total = SMOOTHING * total + (1 - SMOOTHING) * loss
        smooth[i] = total / (1 - SMOOTHING ** (i + 1))
    return smooth
