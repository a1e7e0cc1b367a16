"""A reader who has left (`| head`, a closed terminal) does not end the training in the middle of a step."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

NOBODY_READS = (errno.EPIPE, errno.EIO)


class LastingOutput:
    """on_lost is called when a pipe's reader has left, once for each stream; at once where it has left before.

    A terminal that is gone is told by SIGHUP, or not at all, as under nohup.
    """

    def __init__(self) -> None:
        self._is_lost = False
        self._on_lost: Callable[[], None] | None = None

    def tell(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        if self._is_lost:
            on_lost()

    def lose(self, number: int | None) -> None:
        if number == errno.EPIPE:
            self._is_lost = True
            if self._on_lost is not None:
                self._on_lost()


class _LastingFile(io.FileIO):
    """Writes to a descriptor, and from the moment on when nobody reads there, to nowhere."""

    def __init__(self, descriptor: int, output: LastingOutput) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._output = output

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in NOBODY_READS:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            self._output.lose(error.errno)
            return memoryview(data).nbytes


@contextmanager
def lasting_output() -> Iterator[LastingOutput]:
    """Inside, writing to stdout and stderr goes on without an error when their reader has left."""
    before, output = (sys.stdout, sys.stderr), LastingOutput()
    with ExitStack() as ends:
        sys.stdout, sys.stderr = (_lasting(stream, output, ends) for stream in before)
        try:
            yield output
        finally:
            sys.stdout, sys.stderr = before


def _lasting(stream: TextIO, output: LastingOutput, ends: ExitStack) -> TextIO:
    try:
        stream.flush()
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):  # a stream of a test or a notebook: no descriptor, no reader to leave
        return stream
    raw = io.BufferedWriter(_LastingFile(descriptor, output))
    lasting = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True)
    ends.callback(lasting.flush)
    return lasting
