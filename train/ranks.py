"""The processes that train together, and how they talk: MPI under a launcher, nothing at all without one."""

from __future__ import annotations

import json
import os
import time
from typing import Any, NoReturn, TypeVar

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.train.launcher import announced

Values = np.ndarray[Any, Any]
T = TypeVar("T")
POLL_SECONDS = 0.0003
SECONDS_TO_BE_HEARD = 0.3  # launchers drop what a rank wrote just before it aborts, if they have not read it yet


class Communicator:
    """A world of one. `MpiCommunicator` is the same for several."""

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def all_reduce(self, buffer: Values) -> None:
        """Replace a one-dimensional array by its sum over all ranks, in the fixed binary tree over ranks."""

    def all_gather(self, values: Values) -> Values:
        """Every rank's float64 values (count,), as (size, count) in the order of ranks, on every rank."""
        return values[None]

    def broadcast(self, value: T) -> T:
        """Rank 0's value, which JSON can hold, on every rank."""
        return value

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    def abort(self, code: int) -> NoReturn:
        """End the whole job now."""
        os._exit(code)


class MpiCommunicator(Communicator):
    """The ranks of MPI's world. Their number is a power of two."""

    def __init__(self, comm: Any) -> None:
        self._mpi = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        if self.size & (self.size - 1):
            raise UserError(f"{self.size} ranks were started; their number must be a power of two: 1, 2, 4, 8, ...")
        hosts = self._gather_text(os.uname().nodename)
        self.local_rank, self.local_size = hosts[: self.rank].count(hosts[self.rank]), hosts.count(hosts[self.rank])
        self._spare = np.empty(0)

    def all_reduce(self, buffer: Values) -> None:
        """Recursive halving, then doubling: at distance 1, 2, 4 each of a pair adds up one half of what they share.

        IEEE addition commutes, so left + right has the same bits on both sides, and the brackets are the tree's.
        """
        if self._spare.dtype != buffer.dtype or self._spare.size < buffer.size:
            self._spare = np.empty(buffer.size, buffer.dtype)
        self.barrier()
        whole, path, distance = buffer, [], 1
        while distance < self.size:
            partner = self.rank ^ distance
            middle = len(whole) // 2
            mine, theirs = (whole[:middle], whole[middle:]) if self.rank < partner else (whole[middle:], whole[:middle])
            received = self._spare[: len(mine)]
            self._mpi.Sendrecv(theirs, partner, recvbuf=received, source=partner)
            mine += received
            path.append((partner, mine, theirs))
            whole, distance = mine, 2 * distance
        for partner, mine, theirs in reversed(path):
            self._mpi.Sendrecv(mine, partner, recvbuf=theirs, source=partner)

    def all_gather(self, values: Values) -> Values:
        gathered = np.empty((self.size, len(values)))
        self.barrier()
        self._mpi.Allgather(values, gathered)
        return gathered

    def broadcast(self, value: T) -> T:
        text = np.frombuffer(json.dumps(value).encode(), np.uint8).copy() if self.rank == 0 else np.empty(0, np.uint8)
        length = np.array([len(text)])
        self.barrier()
        self._mpi.Bcast(length)
        if self.rank != 0:
            text = np.empty(length[0], np.uint8)
        self._mpi.Bcast(text)
        told: T = json.loads(text.tobytes())
        return told

    def barrier(self) -> None:
        """MPI waits by spinning. Where ranks outnumber cores that takes the core from a rank that computes; sleep."""
        request = self._mpi.Ibarrier()
        while not request.Test():
            time.sleep(POLL_SECONDS)

    def abort(self, code: int) -> NoReturn:
        time.sleep(SECONDS_TO_BE_HEARD)
        self._mpi.Abort(code)
        os._exit(code)  # some libraries only ask the launcher to end us, and come back

    def _gather_text(self, text: str) -> list[str]:
        padded = np.frombuffer(text.encode()[:256].ljust(256, b"\0"), np.uint8).copy()
        gathered = np.empty((self.size, 256), np.uint8)
        self._mpi.Allgather(padded, gathered)
        return [row.tobytes().rstrip(b"\0").decode() for row in gathered]


def connect() -> Communicator:
    """The ranks that were launched with this process. mpi4py is imported only if a launcher announced itself.

    UserError where the launcher announced several ranks and MPI knows of one only.
    """
    world = announced()
    if world is None:
        return Communicator()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"a launcher announced {world.size} ranks, but mpi4py finds no MPI library ({error}); "
            "install scratchgrad[mpi], or load the module of your cluster's MPI"
        ) from None
    if MPI.COMM_WORLD.Get_size() != world.size:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise UserError(
            f"the launcher announced {world.size} ranks, but MPI knows of {MPI.COMM_WORLD.Get_size()}: mpirun belongs "
            f"to another MPI than mpi4py's, which is {library}. Use the mpirun of that MPI, or name the library of "
            "your mpirun's MPI in MPI4PY_LIBMPI"
        )
    return MpiCommunicator(MPI.COMM_WORLD)
