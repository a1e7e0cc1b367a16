"""Signals that ask for an orderly end: SIGTERM (a scheduler's, mpirun's), SIGHUP (a closed terminal) and Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

ECHO_SECONDS = 2.0  # a launcher passes on what its ranks got as well: a signal that comes twice is one


class StopRequest:
    """Inside, such a signal only sets `requested`; the ranks agree on it at a step's end.

    Repeated ones change nothing, for launchers and service managers send them to every process of a job and pass them
    on. Only a second Ctrl-C, some seconds after the first, ends at once; while a checkpoint is written, after that.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self.requested = False
        self._at = 0.0
        self._is_held = self._is_urgent = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
            heard = [number for number in self.SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as under nohup
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, not even a second Ctrl-C ends at once: it does when the block is over."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._is_urgent:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._at = True, now
        elif number == signal.SIGINT and now - self._at > ECHO_SECONDS:
            self._is_urgent = True
            if not self._is_held:
                raise KeyboardInterrupt

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
