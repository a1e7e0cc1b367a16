"""The communicator of several ranks, by MPI. MPI moves bits; every sum is made here, in the fixed tree."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.parallel.communicator import Communicator, Values, checked_parts, encoded
from scratchgrad.parallel.launcher import announced
from scratchgrad.parallel.reduction import ReductionTree

T = TypeVar("T")
POLL_SECONDS = 0.0003
SECONDS_TO_BE_HEARD = 0.3  # launchers drop what a rank wrote just before it aborts, if they have not read it yet
OF_USERS, OF_COLLECTIVES = 0, 1  # tags: a message that waits for recv() is no part of a collective


class MpiCommunicator(Communicator):
    """The ranks of an mpi4py communicator: MPI's world, or a group of it."""

    def __init__(self, comm: Any) -> None:
        self._mpi = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        hosts = self._gather_text(os.uname().nodename)
        self.local_rank, self.local_size = hosts[: self.rank].count(hosts[self.rank]), hosts.count(hosts[self.rank])
        self._spare = np.empty(0)

    def all_reduce(self, array: Values) -> None:
        """On a power of two of ranks by recursive halving and doubling, else in parts, one for each rank to add up."""
        flat = _contiguous(array).reshape(-1)
        if self.size & (self.size - 1):
            flat = ReductionTree(self.size, self.size).all_reduce([flat], self)
        else:
            self._halve_and_double(flat)
        if not np.may_share_memory(flat, array):
            array[...] = flat.reshape(array.shape)

    def _halve_and_double(self, flat: Values) -> None:
        """At distance 1, 2, 4 each of a pair adds up one half of what they share; then the sums go back.

        IEEE addition commutes, so left + right has the same bits on both sides, and the brackets are the tree's.
        """
        half = -(-flat.size // 2)
        if self._spare.dtype != flat.dtype or self._spare.size < half:
            self._spare = np.empty(half, flat.dtype)
        self.barrier()
        whole, path, distance = flat, [], 1
        while distance < self.size:
            partner = self.rank ^ distance
            middle = len(whole) // 2
            mine, theirs = (whole[:middle], whole[middle:]) if self.rank < partner else (whole[middle:], whole[:middle])
            received = self._spare[: len(mine)]
            self._swap(theirs, received, partner)
            mine += received
            path.append((partner, mine, theirs))
            whole, distance = mine, 2 * distance
        for partner, mine, theirs in reversed(path):
            self._swap(mine, theirs, partner)

    def _swap(self, given: Values, received: Values, partner: int) -> None:
        tags = {"sendtag": OF_COLLECTIVES, "recvtag": OF_COLLECTIVES}
        self._mpi.Sendrecv(_words(given), partner, recvbuf=_words(received), source=partner, **tags)

    def reduce_scatter(self, array: Values, split_sizes: Sequence[int] | None = None) -> Values:
        return ReductionTree(self.size, self.size).reduce_scatter([array], self, split_sizes)

    def all_gather(self, array: Values) -> Values:
        return self._gathered(array[None])[0]

    def all_gatherv(self, array: Values) -> list[Values]:
        checked_parts([array], 1)
        gathered, lengths = self._gathered(array)
        return np.split(gathered, np.cumsum(lengths)[:-1].tolist())

    def _gathered(self, array: Values) -> tuple[Values, list[int]]:
        """All ranks' rows, and how many each has."""
        self.barrier()
        shapes = np.empty((self.size, 2), np.int64)
        self._mpi.Allgather(_rows(array), shapes)
        lengths = _lengths(shapes, array)
        gathered = np.empty((sum(lengths), *array.shape[1:]), array.dtype)
        words = _words(gathered)
        width = words.size // max(1, len(gathered))
        self._mpi.Allgatherv(_words(_contiguous(array)), [words, [length * width for length in lengths]])
        return gathered, lengths

    def all_to_all(self, parts: Sequence[Values]) -> list[Values]:
        checked_parts(parts, self.size)
        self.barrier()
        shapes = np.empty((self.size, 2), np.int64)
        self._mpi.Alltoall(np.stack([_rows(part) for part in parts]), shapes)
        received = [np.empty((length, *parts[0].shape[1:]), parts[0].dtype) for length in _lengths(shapes, parts[0])]
        received[self.rank][...] = parts[self.rank]
        given = [_contiguous(part) for part in parts]
        others = [rank for rank in range(self.size) if rank != self.rank]
        requests = [self._mpi.Irecv(_words(received[rank]), rank, OF_COLLECTIVES) for rank in others]
        requests += [self._mpi.Isend(_words(given[rank]), rank, OF_COLLECTIVES) for rank in others]
        for request in requests:
            request.Wait()
        return received

    def broadcast(self, value: T) -> T:
        text = np.frombuffer(encoded(value), np.uint8).copy() if self.rank == 0 else np.empty(0, np.uint8)
        length = np.array([len(text)])
        self.barrier()
        self._mpi.Bcast(length)
        if self.rank != 0:
            text = np.empty(length[0], np.uint8)
        self._mpi.Bcast(text)
        result: T = json.loads(text.tobytes())
        return result

    def broadcast_array(self, array: Values, root: int = 0) -> None:
        self._check_rank(root)
        whole = _contiguous(array)
        self.barrier()
        self._mpi.Bcast(_words(whole), root)
        if whole is not array and self.rank != root:
            array[...] = whole

    def send(self, array: Values, dest: int) -> None:
        self._check_rank(dest, is_other=True)
        given = _contiguous(array)
        _sleep_until(self._mpi.Isend(_words(given), dest, OF_USERS).Test)

    def recv(self, array: Values, source: int) -> None:
        self._check_rank(source, is_other=True)
        self._receive(array, source)

    def sendrecv(self, array: Values, dest: int, received: Values, source: int) -> None:
        self._check_rank(dest)
        self._check_rank(source)
        given = _contiguous(array)
        request = self._mpi.Isend(_words(given), dest, OF_USERS)
        self._receive(received, source)
        _sleep_until(request.Test)

    def _receive(self, array: Values, source: int) -> None:
        from mpi4py import MPI

        status = MPI.Status()
        _sleep_until(lambda: self._mpi.Iprobe(source, OF_USERS, status))
        if status.Get_count(MPI.BYTE) != array.nbytes:
            raise ValueError(
                f"rank {source} sent {status.Get_count(MPI.BYTE)} bytes to rank {self.rank}, which waits for an array "
                f"of {array.shape} {array.dtype}, {array.nbytes} bytes"
            )
        whole = _contiguous(array)
        self._mpi.Recv(_words(whole), source, OF_USERS)
        if whole is not array:
            array[...] = whole

    def barrier(self) -> None:
        """MPI waits by spinning. Where ranks outnumber cores that takes the core from a rank that computes; sleep."""
        _sleep_until(self._mpi.Ibarrier().Test)

    def split(self, color: int | None, key: int = 0) -> Communicator | None:
        from mpi4py import MPI

        self.barrier()
        group = self._mpi.Split(MPI.UNDEFINED if color is None else color, key)
        return None if color is None else MpiCommunicator(group)

    def abort(self, code: int) -> NoReturn:
        from mpi4py import MPI

        time.sleep(SECONDS_TO_BE_HEARD)
        MPI.COMM_WORLD.Abort(code)
        os._exit(code)  # some libraries only ask the launcher to end us, and come back

    def _gather_text(self, text: str) -> list[str]:
        padded = np.frombuffer(text.encode()[:256].ljust(256, b"\0"), np.uint8).copy()
        gathered = np.empty((self.size, 256), np.uint8)
        self._mpi.Allgather(padded, gathered)
        return [row.tobytes().rstrip(b"\0").decode() for row in gathered]


def _sleep_until(is_done: Any) -> None:
    while not is_done():
        time.sleep(POLL_SECONDS)


def _contiguous(array: Values) -> Values:
    """The array itself if its elements lie one after another in memory, else a copy."""
    return array if array.flags.c_contiguous else array.copy(order="C")


def _words(array: Values) -> Values:
    """The memory of a contiguous array as unsigned integers: MPI knows no bfloat16, and need not know any."""
    return array.reshape(-1).view(f"u{math.gcd(array.itemsize, 8)}")


def _rows(array: Values) -> Values:
    """How many rows an array has, and the bytes of one."""
    return np.array([len(array), math.prod(array.shape[1:]) * array.itemsize], np.int64)


def _lengths(shapes: Values, own: Values) -> list[int]:
    """The number of rows that each rank gives. ValueError, on all ranks, where theirs are of other sizes than these."""
    lengths, widths = shapes.T.tolist()
    if any(width != _rows(own)[1] for width in widths):
        raise ValueError(f"the shapes of arrays do not agree: a row has {widths} bytes, by rank")
    return list(lengths)


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


@contextmanager
def task_executor() -> Iterator[Any]:
    """Rank 0 gets a `concurrent.futures.Executor` whose workers are the other ranks; they get None, after rank 0 has
    left the block. UserErrors as of `connect`.
    """
    connect()
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        yield executor
