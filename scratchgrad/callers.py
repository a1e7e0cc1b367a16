"""The user's own line: where a call into this package came from."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import FrameType

OURS = tuple(str(Path(__file__).parent / room) for room in ("", "models", "tools", "train"))
PACKAGE = tuple({*(f"{path}/" for path in OURS), *(f"{Path(path).resolve()}/" for path in OURS)})


def users_frame() -> FrameType:
    """The innermost caller outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


def users_line() -> str:
    """'file.py:12: y = a @ b' of the innermost caller outside of this package; empty where there is none."""
    frame = users_frame()
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    return f"{Path(file).name}:{line}" + (f": {text}" if text else "")
