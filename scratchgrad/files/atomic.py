"""Files and folders that are whole or not there, whatever happens to the process or the machine while they are written.

Everything is written beside its place, synced to the disk, and renamed. A temporary bears its target's name, so that
the next writer of the target removes what a killed one left behind.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

STALE = ".tmp-"  # what the names of unfinished files begin with


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
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "it is there already", str(path))
    _remove_stale(path)
    temporary = _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        _sync(temporary)
        temporary.rename(path)
        _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def atomic_files(folder: Path, *, gone: Iterable[Path] | None = None) -> Iterator[Path]:
    """A fresh folder whose files are moved into `folder` when the block ends; if it raises, nothing is left of them.

    `folder` and those above it are made, and gone again after a failure; other files may be in it. gone: what is
    removed first, and files of the same names are written over; None: they are a FileExistsError.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    moved: list[Path] = []
    temporary = _beside(folder / "files")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder / "files")
        temporary.mkdir()
        yield temporary
        _sync(temporary)
        for path in gone or ():
            path.unlink(missing_ok=True)
        for file in sorted(temporary.iterdir()):
            target = folder / file.name
            if os.path.lexists(target) and gone is None:
                raise FileExistsError(errno.EEXIST, "it is there already", str(target))
            if not os.path.lexists(target):
                moved.append(target)
            file.replace(target)
        temporary.rmdir()
        _sync_folder(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in (*moved, *made):  # of the folders the innermost first
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def remove(path: Path) -> None:
    """A file, a folder with all that is in it, or a symbolic link, whose target stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f"{STALE}{path.name}-{os.getpid()}")


def _remove_stale(path: Path) -> None:
    """What writers of `path` that are no more have left behind; that of a living one is let be."""
    for left in path.parent.glob(f"{STALE}{escape(path.name)}-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdigit() and not _is_alive(int(pid)):
            with suppress(FileNotFoundError):
                remove(left)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()  # our own earlier attempt is as good as dead


def _sync(whole: Path) -> None:
    for folder, _, names in os.walk(whole):
        for name in names:
            _sync_file(Path(folder) / name)
        _sync_folder(Path(folder))


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
