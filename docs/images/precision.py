"""Draw docs/images/precision.png, the losses of a recipe in both precisions, from the folders of two runs:

scratchgrad-train toy.yaml log.run_dir=runs/float32
scratchgrad-train toy.yaml log.run_dir=runs/bf16 train.precision=bf16
python docs/images/precision.py runs/float32 runs/bf16
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from scratchgrad.train import metrics

figure = Figure(figsize=(8, 5.5), layout="constrained")
above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
runs = [metrics.read(Path(folder) / "metrics.jsonl") for folder in sys.argv[1:3]]
steps = [row["step"] for row in runs[0]]
for name, rows, style in zip(("float32", "bf16"), runs, ("-", ":"), strict=True):
    validation = [row for row in rows if "val_loss" in row]
    label = f"{name}; validation at the end: {validation[-1]['val_loss']:.4f}"
    above.plot(steps, [row["loss"] for row in rows], style, label=label, linewidth=1.2)
above.set(ylabel="loss (nats per token)", title="toy.yaml in float32 and in bf16")
above.legend(frameon=False)
below.plot(steps, [bf16["loss"] - exact["loss"] for exact, bf16 in zip(*runs, strict=True)], linewidth=0.8)
below.axhline(0, color="gray", linewidth=0.8)
below.set(xlabel="step", ylabel="bf16 - float32")
for axes in (above, below):
    axes.grid(alpha=0.25)
figure.savefig(Path(__file__).parent / "precision.png", format="png", dpi=110)
