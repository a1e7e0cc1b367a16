"""Freed memory is kept for the next array.

By default glibc gives every array above 32 MB back to the system and asks for fresh pages next time, which the kernel
has to clear: a sixth of the time of a training step (docs/performance-log.md). The values are mallopt(3)'s.
"""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Do nothing where the C library has no mallopt (macOS, Windows, musl)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 64 << 20)
