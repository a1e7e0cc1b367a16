"""How far a curation is: a bar on a terminal, a line now and then elsewhere, and the seconds of each step."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from scratchgrad.tools.commands.common import say
from scratchgrad.tools.curation.document_stage import PartReport
from scratchgrad.tools.curation.engine import Watch

PAUSE = 10.0  # seconds between lines


class ProgressWatch(Watch):
    """A context. times: seconds of each stage by the clock, and of each step summed over workers."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True) if self._console.is_terminal else None
        self._stages: list[tuple[str, float]] = []
        self._steps: Counter[str] = Counter()
        self._parts = self._done = 0
        self._documents = self._kept = self._bytes = 0
        self._last_line = time.monotonic()

    @property
    def times(self) -> dict[str, Any]:
        moments = [*(began for _, began in self._stages), time.monotonic()]
        stages = [(name, round(moments[n + 1] - began, 3)) for n, (name, began) in enumerate(self._stages)]
        return {"stages": stages, "steps": {name: round(seconds, 3) for name, seconds in self._steps.items()}}

    def begin(self, stage: str, parts: int) -> None:
        self._stages.append((stage, time.monotonic()))
        self._parts, self._done = parts, 0
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(stage, total=parts, told="")

    def part(self, folder: Path, report: Any) -> None:
        self._done += 1
        if isinstance(report, PartReport):
            self._steps.update(report.seconds)
            self._documents += report.documents
            self._kept += report.kept
            self._bytes += report.bytes
        name = self._stages[-1][0]
        told = f"{self._done} of {self._parts} units"
        if self._documents and self._bytes:
            rate = self._bytes / 1e6 / max(time.monotonic() - self._stages[0][1], 1e-9)
            told += f", {rate:.1f} MB/s, {self._kept / self._documents:.0%} kept"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[-1], completed=self._done, told=told)
        elif time.monotonic() - self._last_line > PAUSE:
            self._last_line = time.monotonic()
            say(f"{name}: {told}")

    def __enter__(self) -> ProgressWatch:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
