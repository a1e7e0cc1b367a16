"""What the launcher says of this process, before any MPI library is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from scratchgrad.threads import usable_cores

# How launchers announce rank, size, local size and local rank, in the order of trust: a Hydra inside a SLURM job is a
# Hydra.
ANNOUNCEMENTS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE", "SLURM_LOCALID"),
)


@dataclass(frozen=True)
class Announcement:
    rank: int
    size: int
    local_size: int | None  # ranks on this machine, where the launcher tells
    local_rank: int | None = None  # which of them this is, where the launcher tells


def announced(environment: Mapping[str, str] = os.environ) -> Announcement | None:
    """Rank and size by the environment of MPICH, Open MPI or SLURM; None for a process that nobody launched."""
    for rank, size, local_size, local_rank in ANNOUNCEMENTS:
        if rank == "SLURM_PROCID" and _is_typed_in_a_shell(environment):
            continue
        if environment.get(rank, "").isdigit() and environment.get(size, "").isdigit():
            told = (environment.get(name, "") for name in (local_size, local_rank))
            local = (int(text) if text.isdigit() else None for text in told)
            return Announcement(int(environment[rank]), int(environment[size]), *local)
    return None


def note_on_launcher(environment: Mapping[str, str] = os.environ) -> str:
    """What a user should know who may take this process for one of several; empty where there is nothing to say."""
    if not _is_typed_in_a_shell(environment) or announced(environment) is not None:
        return ""
    return "this shell was started by srun --pty: training in one process; mpirun or srun here starts several ranks"


def _is_typed_in_a_shell(environment: Mapping[str, str]) -> bool:
    """Do SLURM's variables speak of the shell of `srun --pty`, which started this process as any shell does?

    An srun inside of that shell hands on the port of its terminal, but names its own task.
    """
    return "SLURM_PTY_PORT" in environment and environment.get("SLURM_TASK_PID") != str(os.getpid())


def threads_per_rank(local_size: int, asked: int | None) -> int:
    """`asked`, or this process's cores shared among the ranks of this machine; at least one."""
    if asked is not None:
        return asked
    return max(1, usable_cores() // local_size)
