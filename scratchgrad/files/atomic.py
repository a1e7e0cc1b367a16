"""Files and folders that are whole or not there, whatever happens to the process or the machine while they are written.

Everything is written beside its place, synced to the disk, and renamed. A temporary bears its target's name, so that
the next writer of the target removes what a killed one left behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """An open file that becomes `path` at the end of the block; if the block raises, `path` stays as it was."""
    _remove_stale(path)
    temporary = _beside(path)
    try:
        with temporary.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A fresh folder that becomes `path` at the end of the block; if the block raises, nothing is left of it.

    FileExistsError where `path` is there already.
    """
    if path.exists():
        raise FileExistsError(f"'{path}' is there already")
    _remove_stale(path)
    temporary = _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync_file(Path(folder) / name)
            _sync_folder(Path(folder))
        temporary.rename(path)
        _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _beside(path: Path) -> Path:
    return path.with_name(f".tmp-{path.name}-{os.getpid()}")


def _remove_stale(path: Path) -> None:
    """What writers of `path` that are no more have left behind; that of a living one is let be."""
    for left in path.parent.glob(f".tmp-{path.name}-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()  # our own earlier attempt is as good as dead


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Without it a power cut may undo the renaming."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
