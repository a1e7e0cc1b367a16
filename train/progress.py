"""What the person who watches sees: a bar on a terminal, plain lines otherwise. Only rank 0 speaks."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 10.0


class ProgressDisplay:
    """Shows each step as it is done: loss, tokens per second, time left."""

    def __init__(self, first: int, steps: int, *, speaks: bool) -> None:
        self._speaks, self._steps = speaks, steps
        self._began, self._first, self._last_line = time.monotonic(), first, 0.0
        self._bar = Bar(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (speaks and sys.stderr.isatty()),
        )
        self._task = self._bar.add_task("", total=steps, completed=first)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, row: dict[str, Any]) -> None:
        """A step is done; `row` is what metrics.jsonl says of it."""
        text = f"loss {row['loss']:.4f}  {row['tokens_per_s']:,.0f} tokens/s"
        self._bar.update(self._task, completed=row["step"], description=text)
        now = time.monotonic()
        if self._bar.disable and (now - self._last_line >= SECONDS_BETWEEN_LINES or "val_loss" in row):
            self._last_line = now
            done = row["step"] - self._first
            left = (now - self._began) / done * (self._steps - row["step"])
            validation = f"  {_validation(row)}" if "val_loss" in row else ""
            self.print(f"step {row['step']}/{self._steps}  {text}{validation}  {left:.0f} s left")
        elif "val_loss" in row:
            self.print(f"step {row['step']}: {_validation(row)}")

    def print(self, text: str) -> None:
        """A plain line, above the bar where there is one."""
        if not self._speaks:
            return
        if self._bar.disable:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(text, highlight=False, markup=False)


def _validation(row: dict[str, Any]) -> str:
    bits = f" ({row['val_bpb']:.4f} bits/byte)" if "val_bpb" in row else ""
    return f"validation {row['val_loss']:.4f}{bits}"
