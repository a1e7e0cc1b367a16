"""Several processes as one: the communicator, sums whose bits do not depend on the number of ranks, collective ops.

    comm = connect()  # MPI's world under mpirun, a world of one without
    comm.all_reduce(array)

Knows arrays, not models. mpi4py is imported under a launcher only.
"""

from scratchgrad.parallel.collectives import (
    all_gather,
    all_reduce,
    all_to_all,
    copy_to_group,
    gather_from_group,
    reduce_from_group,
    reduce_scatter,
    scatter_to_group,
)
from scratchgrad.parallel.communicator import Communicator, split_ranges
from scratchgrad.parallel.launcher import Announcement, announced, note_on_launcher, threads_per_rank
from scratchgrad.parallel.mpi import MpiCommunicator, connect, task_executor
from scratchgrad.parallel.reduction import ReductionTree, TreeSum, tree_sum
from scratchgrad.parallel.shared_memory import note_on_shared_memory

__all__ = [
    "Announcement", "Communicator", "MpiCommunicator", "ReductionTree", "TreeSum", "all_gather", "all_reduce",
    "all_to_all", "announced", "connect", "copy_to_group", "gather_from_group", "note_on_launcher",
    "note_on_shared_memory", "reduce_from_group", "reduce_scatter", "scatter_to_group", "split_ranges", "task_executor",
    "threads_per_rank", "tree_sum",
]  # fmt: skip
