"""What MPI needs of a machine's shared memory, told before MPI, which ends without a word that says so."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path("/dev/shm")
LEAST = 2 << 20  # bytes for each rank; MPICH takes half of it


def note_on_shared_memory(local_size: int, folder: Path = FOLDER) -> str:
    """What to tell where `local_size` ranks of this machine may find no room there; empty where all is well.

    It is no error: MPI may be set up to talk another way, and a system may have its shared memory elsewhere.
    """
    if local_size < 2 or not folder.is_dir():
        return ""
    status = os.statvfs(folder)
    room = status.f_bavail * status.f_frsize
    if status.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK):
        fault = "cannot be written"
    elif room < LEAST * local_size:
        fault = f"has {room / 1e6:.0f} MB left"
    else:
        return ""
    return (
        f"shared memory ({folder}) {fault}: if MPI fails now, that is why; make room or mount it anew, in a container "
        "with a larger one (docker run --shm-size=1g)"
    )
