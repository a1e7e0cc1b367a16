"""What is said to a reader who has left (`| head`, a closed terminal) is lost; the training is not."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

NOBODY_READS = (errno.EPIPE, errno.EIO)


class _LastingFile(io.FileIO):
    """Writes to a descriptor, and from the moment on when nobody reads there, to nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in NOBODY_READS:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


@contextmanager
def lasting_output() -> Iterator[None]:
    """Inside, writing to stdout and stderr goes on without an error when their reader has left."""
    before = sys.stdout, sys.stderr
    with ExitStack() as ends:
        sys.stdout, sys.stderr = (_lasting(stream, ends) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _lasting(stream: TextIO, ends: ExitStack) -> TextIO:
    try:
        stream.flush()
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):  # a stream of a test or a notebook: no descriptor, no reader to leave
        return stream
    raw = io.BufferedWriter(_LastingFile(descriptor, "w", closefd=False))
    lasting = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True)
    ends.callback(lasting.flush)
    return lasting
