"""Reasons to end before the last step: SIGTERM (a scheduler's, mpirun's), SIGHUP (a closed terminal), Ctrl-C, and a
reader of the output who has left (`| head`)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Self

from scratchgrad.tools.commands.ending import ECHO_SECONDS, EndedBySignal, signals_handled

REASONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)  # where ranks differ, the first counts


class StopRequest:
    """Inside, such a signal only sets `reason`; the ranks agree on it at a step's end.

    Repeated ones change nothing, for launchers and service managers send them to every process of a job and pass them
    on. Only a second Ctrl-C, some seconds after the first, ends at once; while a checkpoint is written, after that.
    What will happen is said at the first, if this process `speaks`.
    """

    def __init__(self, *, speaks: bool = False) -> None:
        self.reason: signal.Signals | None = None
        self._speaks = speaks
        self._at = 0.0
        self._is_held = self._is_urgent = False
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        self._ends.enter_context(signals_handled(self._note))
        return self

    def __exit__(self, *exception: object) -> None:
        self._ends.close()

    def flags(self) -> list[bool]:
        """For each of REASONS, is it this rank's?"""
        return [self.reason is reason for reason in REASONS]

    def lose_reader(self) -> None:
        """Nobody reads what is said any more."""
        self.reason = self.reason or signal.SIGPIPE

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, not even a second Ctrl-C ends at once: it does when the block is over."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._is_urgent:
            raise EndedBySignal(signal.SIGINT)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.reason is None:
            self.reason, self._at = signal.Signals(number), now
            self._say("finishing this step, then writing a checkpoint", number)
        elif number == signal.SIGINT and now - self._at > ECHO_SECONDS and not self._is_urgent:
            self._is_urgent = True
            if not self._is_held:
                raise EndedBySignal(number)
            self._say("ending as soon as the checkpoint is written", number)

    def _say(self, what: str, number: int) -> None:
        """At once, past Python's buffers: a signal may come in the middle of a print."""
        if not self._speaks:
            return
        more = "; Ctrl-C again ends at once" if number == signal.SIGINT and not self._is_urgent else ""
        clear = "\r\x1b[2K" if sys.stderr.isatty() else ""  # of the bar and of the terminal's ^C
        try:
            os.write(2, f"{clear}{signal.Signals(number).name}: {what}{more}\n".encode())
        except OSError:
            self.lose_reader()


def agreed(flags: Sequence[bool]) -> signal.Signals | None:
    """The reason to end, of those that some rank has; None where there is none."""
    return next((reason for reason, holds in zip(REASONS, flags, strict=True) if holds), None)
