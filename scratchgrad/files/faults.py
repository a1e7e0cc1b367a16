"""What the machine has too little of, in a sentence: room on a disk, permission, open files, processes."""

from __future__ import annotations

import errno
from pathlib import Path

from scratchgrad.errors import UserError

OPEN_FILES = {errno.EMFILE, errno.ENFILE}
PROCESSES = {errno.EAGAIN, errno.ENOMEM}
DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT,
    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EBUSY, errno.ELOOP, errno.ENAMETOOLONG,
    errno.ENXIO, errno.ESTALE, errno.EXDEV, errno.EMLINK, errno.ETXTBSY,
}  # fmt: skip


def machine_fault(error: OSError, where: Path | str | None = None) -> UserError | None:
    """The sentence for an error of the operating system; None for one that is nobody's but ours.

    where: what was worked on, for errors that name no file, as that of a full disk does not.
    """
    if error.errno in OPEN_FILES:
        import resource  # not on every system

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return UserError(f"no more files can be opened: the limit is {most} at once; raise it, as by: ulimit -n 4096")
    if error.errno in PROCESSES:
        return UserError(
            f"no further process could be started: {error.strerror}; end others, or use fewer cores (taskset -c 0)"
        )
    name = error.filename if isinstance(error.filename, str | Path) else where
    if error.errno not in DISK or name is None:
        return None
    return UserError(f"'{name}' cannot be read or written: {error.strerror}")


def read_fault(path: Path | str, error: OSError) -> UserError:
    """The sentence for a file that could not be opened or read."""
    return (error.errno in OPEN_FILES and machine_fault(error)) or UserError(
        f"'{path}' cannot be read: {error.strerror or error}"
    )
