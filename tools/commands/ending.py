"""Signals that end a command: Ctrl-C, SIGTERM (a scheduler's, mpirun's) and SIGHUP (a closed terminal)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ECHO_SECONDS = 2.0  # a launcher passes on what its ranks got as well: a signal that comes twice is one
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndedBySignal(SystemExit):
    """What a signal raises: the blocks that it leaves clean up, and the exit code is a shell's, 128 + its number."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(self.exit_code)
        self.name = signal.Signals(number).name


@contextmanager
def ends_by_signals() -> Iterator[None]:
    """Inside, such a signal raises EndedBySignal. While what that leads to is done, only another Ctrl-C counts."""
    heard: list[float] = []

    def end(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not heard or (number == signal.SIGINT and now - heard[0] > ECHO_SECONDS):
            heard.append(now)
            raise EndedBySignal(number)

    with signals_handled(end):
        yield


@contextmanager
def signals_handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Inside, `handler` is called for each of SIGNALS, but for those that are ignored, as under nohup."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
        heard = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
