"""Ranks of real MPI jobs: sums in the fixed tree, and what a launcher says against what MPI says."""

import numpy as np
import pytest

from scratchgrad.train.launcher import Announcement, announced, threads_per_rank
from scratchgrad.train.reduction import tree_sum

pytestmark = pytest.mark.mpi

SUMS = """
import numpy as np
from scratchgrad.train.ranks import connect
comm = connect()
for size in (0, 1, 2, 3, 5, 8, 1001, 70_000):
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(size + 1000 * comm.rank)
        values = (rng.standard_normal(size) * 10.0 ** rng.integers(-6, 6, size)).astype(dtype)
        comm.all_reduce(values)
        values.tofile(f"sum-{size}-{values.dtype}-{comm.rank}")
gathered = comm.all_gather(np.array([comm.rank, 0.1]))
assert gathered.tolist() == [[rank, 0.1] for rank in range(comm.size)]
for value in ("", "Größe", {"a": [1, None, 2.5]}):
    assert comm.broadcast(value if comm.rank == 0 else "not mine") == value
comm.barrier()
print(f"rank {comm.rank} of {comm.size}, {comm.local_rank} of {comm.local_size} here", flush=True)
"""


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_every_rank_gets_the_sum_of_the_fixed_tree(tmp_path, start, count):
    job = start(SUMS, ranks=count)
    assert job.end() == 0, job.output
    for rank in range(count):
        assert f"rank {rank} of {count}, {rank} of {count} here" in job.output
    for size in (0, 1, 2, 3, 5, 8, 1001, 70_000):
        for dtype in (np.float32, np.float64):
            parts = []
            for rank in range(count):
                rng = np.random.default_rng(size + 1000 * rank)
                parts.append((rng.standard_normal(size) * 10.0 ** rng.integers(-6, 6, size)).astype(dtype))
            wanted = tree_sum(parts).tobytes()
            for rank in range(count):
                assert (tmp_path / f"sum-{size}-{np.dtype(dtype)}-{rank}").read_bytes() == wanted


def test_three_ranks_are_refused(start):
    job = start("from scratchgrad.train.ranks import connect; connect()", ranks=3)
    assert job.end() != 0
    assert "3 ranks were started; their number must be a power of two" in job.output


def test_another_mpi_than_that_of_mpi4py_is_not_taken_for_a_run_of_one(start, recipe):
    """What one sees after `mpirun` of Open MPI with an mpi4py that found MPICH: each rank is alone in its world."""
    job = start("scratchgrad-train", recipe, OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="4")
    assert job.end() == 2, job.output
    assert "the launcher announced 4 ranks, but MPI knows of 1: mpirun belongs to another MPI" in job.output
    assert "Traceback" not in job.output


def test_a_machine_without_an_mpi_library_is_told_what_to_install(start, recipe):
    job = start("scratchgrad-train", recipe, PMI_RANK="0", PMI_SIZE="2", MPI4PY_LIBMPI="/nowhere/libmpi.so")
    assert job.end() == 2, job.output
    assert "a launcher announced 2 ranks, but mpi4py finds no MPI library" in job.output
    assert "install scratchgrad[mpi]" in job.output


@pytest.mark.parametrize(("environment", "wanted"), [
    ({}, None),
    ({"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}, Announcement(1, 4, 2)),
    ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "8"}, Announcement(0, 8, None)),
    ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, Announcement(3, 4, None)),
    ({"PMI_RANK": "1", "PMI_SIZE": "2", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, Announcement(1, 2, None)),
    ({"PMI_RANK": "x", "PMI_SIZE": "2"}, None),
])  # fmt: skip
def test_launchers_are_known_by_their_environment(environment, wanted):
    assert announced(environment) == wanted


def test_cores_are_shared_among_the_ranks_of_a_machine(monkeypatch):
    monkeypatch.setattr("scratchgrad.train.launcher.usable_cores", lambda: 6)
    assert [threads_per_rank(n, None) for n in (1, 2, 4, 8)] == [6, 3, 1, 1]
    assert threads_per_rank(4, 3) == 3


def test_mpi_is_not_loaded_where_nobody_launched(start, recipe):
    job = start(
        "import sys; sys.argv = ['scratchgrad-train', 'tiny.yaml', 'train.steps=5']\n"
        "from scratchgrad.train.commands.train import main\n"
        "try: main()\n"
        "finally: print('mpi4py' in sys.modules)"
    )
    assert job.end() == 0, job.output
    assert job.output.endswith("False\n")
