"""How far a long job is: a bar on a terminal, a line now and then elsewhere. Both on stderr."""

from __future__ import annotations

import time
from types import TracebackType

import rich.progress
from rich.console import Console

from scratchgrad.tools.commands.common import say

PAUSE = 10.0  # seconds between lines


class ProgressBar:
    """A context; `update` says how much of `total` is done. A total that was only a guess may be passed."""

    def __init__(self, total: int, what: str) -> None:
        console = Console(stderr=True)
        self._bar = rich.progress.Progress(console=console, transient=True) if console.is_terminal else None
        self._task = self._bar.add_task(what, total=total) if self._bar is not None else None
        self._total, self._what, self._last_line = total, what, time.monotonic()

    def update(self, done: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=min(done, self._total))
        elif time.monotonic() - self._last_line > PAUSE:
            self._last_line = time.monotonic()
            say(f"{done:,} of {self._total:,} {self._what}")

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
