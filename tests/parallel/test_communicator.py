"""Ranks of real MPI jobs: what they send each other, and what a launcher says against what MPI says."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from scratchgrad.parallel import (
    Announcement,
    Communicator,
    announced,
    note_on_launcher,
    note_on_shared_memory,
    shared_memory,
    threads_per_rank,
    tree_sum,
)

pytestmark = pytest.mark.mpi

SIZES = (0, 1, 2, 3, 5, 8, 1001, 70_000)
LAYOUTS = ("C", "F", "strided", "reversed", "0-d")
DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int64", "complex128")


def drawn(rank, size, dtype, layout="C"):
    """A rank's array: numbers whose sum has other bits in another order."""
    import ml_dtypes  # noqa: F401  NumPy knows 'bfloat16' from then on

    rng = np.random.default_rng(size + 1000 * rank)
    wide = rng.standard_normal(2 * size) * 10.0 ** rng.integers(-2, 3, 2 * size)
    wide = wide.astype(dtype)
    if layout == "0-d":
        return np.array(wide[0] if size else 1, dtype)
    if layout == "F":
        return np.asfortranarray(wide.reshape(2, size))
    return {"C": wide[:size].copy(), "strided": wide[::2], "reversed": wide[:size][::-1]}[layout]


PROGRAM = """
import numpy as np
from scratchgrad.parallel import connect, tree_sum, split_ranges
comm = connect()
ranks, me = range(comm.size), comm.rank

def check(call, words):
    try:
        call()
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)
"""


def on_ranks(start, program, count, *words):
    """Run a program on ranks that have `comm`, `drawn` and the like; it is to end well."""
    import inspect

    source = "\n".join(
        [f"SIZES, LAYOUTS, DTYPES = {(SIZES, LAYOUTS, DTYPES)!r}", PROGRAM, inspect.getsource(drawn), program]
    )
    job = start(source, *words, ranks=count)
    assert job.end() == 0, job.output
    return job


SUMS = """
for dtype in DTYPES:
    for size in SIZES if dtype == "float32" else (3, 1001):
        for layout in LAYOUTS if size <= 1001 and dtype in ("float32", "bfloat16") else ("C",):
            wanted = tree_sum([drawn(rank, size, dtype, layout) for rank in ranks])
            array = drawn(me, size, dtype, layout)
            before, strides = array.copy(), array.strides
            if array.ndim and size < 70_000:
                part = comm.reduce_scatter(array)
                rows = split_ranges(len(array), comm.size)[me]
                assert part.tobytes() == wanted[rows.start : rows.stop].tobytes(), (dtype, size, layout)
                sizes = [len(array), *[0] * (comm.size - 1)][::-1]
                assert comm.reduce_scatter(array, sizes).tobytes() == (wanted if me == comm.size - 1 else wanted[:0]).tobytes()
                assert np.array_equal(array, before)
            comm.all_reduce(array)
            assert array.strides == strides
            assert array.tobytes() == np.asarray(wanted, array.dtype).tobytes(), (dtype, size, layout)
mask = np.array([me == 0, me == 1, False])
comm.all_reduce(mask)
assert mask.tolist() == [True, comm.size > 1, False]
check(lambda: comm.reduce_scatter(np.ones(5), [1] * comm.size + [0]), "do not share 5 rows")
check(lambda: comm.reduce_scatter(np.array(1.0)), "without axes")
print(f"rank {me} of {comm.size}, {comm.local_rank} of {comm.local_size} here, {comm!r}", flush=True)
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_every_rank_gets_the_sum_of_the_fixed_tree(start, count):
    job = on_ranks(start, SUMS, count)
    for rank in range(count):
        assert (
            f"rank {rank} of {count}, {rank} of {count} here, MpiCommunicator(rank={rank}, size={count})" in job.output
        )


MOVES = """
for dtype in DTYPES:
    for layout in LAYOUTS:
        for size in (0, 3, 7):
            same = drawn(me, size, dtype, layout)
            gathered = comm.all_gather(same)
            assert gathered.shape == (comm.size, *same.shape) and gathered.dtype == same.dtype
            assert gathered.tobytes() == b"".join(drawn(rank, size, dtype, layout).tobytes() for rank in ranks)
            filled = drawn(me, size, dtype, layout)
            comm.broadcast_array(filled, root=comm.size - 1)
            assert filled.tobytes() == drawn(comm.size - 1, size, dtype, layout).tobytes()
            if layout in ("0-d", "F"):
                continue
            length = lambda rank: (size + 3 * rank) % 8  # none on some ranks
            parts = comm.all_gatherv(drawn(me, length(me), dtype, layout))
            assert [part.tobytes() for part in parts] == [drawn(rank, length(rank), dtype, layout).tobytes() for rank in ranks]
            sent = lambda source, dest: drawn(source, (source + 2 * dest + size) % 5, dtype, layout)
            got = comm.all_to_all([sent(me, dest) for dest in ranks])
            assert [part.tobytes() for part in got] == [sent(source, me).tobytes() for source in ranks]
wide = comm.all_to_all([np.full((me + dest, 2, 3), 10 * me + dest, np.float32) for dest in ranks])
assert [part.shape for part in wide] == [(source + me, 2, 3) for source in ranks]
assert all((part == 10 * source + me).all() for source, part in zip(ranks, wide))

for value in ("", "Größe", {"a": [1, None, 2.5]}):
    assert comm.broadcast(value if me == 0 else "not mine") == value
assert comm.broadcast((1, 2)) == [1, 2]

# a ring, then a chain in which large messages wait for those who take them
passed = np.empty((2, 500_000), np.float32)[:, ::2]
comm.sendrecv(np.full((2, 250_000), me, np.float32), (me + 1) % comm.size, passed, (me - 1) % comm.size)
assert (passed == (me - 1) % comm.size).all()
if me > 0:
    comm.recv(passed, me - 1)
    assert passed[1, 7] == me - 1
if me + 1 < comm.size:
    comm.send(np.full((2, 250_000), me, np.float32)[::-1], me + 1)
if comm.size > 1:
    if me == 0:
        comm.send(np.ones(3, np.float32), 1)
    comm.barrier()  # the message waits, and is not taken for a part of the collectives between
    assert comm.all_gather(np.array(me)).tolist() == list(ranks)
    comm.all_to_all([np.array([7 * me]) for _ in ranks])
    if me == 1:
        check(lambda: comm.recv(np.empty(2, np.float32), 0), "rank 0 sent 12 bytes to rank 1, which waits for an array of (2,) float32, 8 bytes")
        comm.recv(mine := np.empty(3, np.float32), 0)
        assert mine.tolist() == [1, 1, 1]
    check(lambda: comm.all_gather(np.ones(1 + (me == 1))), "the shapes of arrays do not agree: a row has [8, 16")
    check(lambda: comm.all_gatherv(np.ones((me, 2 - (me == 1)))), "a row has [16, 8")
    check(lambda: comm.all_to_all([np.ones(1, np.float64 if me else np.float32)] * comm.size), "a row has [4, 8")
check(lambda: comm.send(np.ones(1), comm.size), f"cannot reach rank {comm.size}")
check(lambda: comm.recv(np.ones(1), me), f"cannot reach rank {me}")
check(lambda: comm.all_to_all([]), "0 parts for")
check(lambda: comm.all_gatherv(np.array(1.0)), "first axis only")

# groups: in the order of keys; no group; a group within a group
group = comm.split(me % 2, -me)
members = [rank for rank in reversed(ranks) if rank % 2 == me % 2]
assert (group.rank, group.size) == (members.index(me), len(members))
assert group.local_size == len(members)
assert group.all_gather(np.array(me)).tolist() == members
group.all_reduce(total := np.array([me, 1.5]))
assert total.tolist() == [sum(members), 1.5 * len(members)]
first = comm.split(0 if me == 0 else None, 0)
assert (first is None) == (me != 0)
assert first is None or (first.size == 1 and first.split(3, 0).broadcast("x") == "x")
comm.barrier()
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_ranks_send_arrives(start, count):
    on_ranks(start, MOVES, count)


def test_a_group_ends_the_whole_job(start):
    source = "import time\nfrom scratchgrad.parallel import connect\ncomm = connect()\ngroup = comm.split(comm.rank, 0)\nif comm.rank == 2:\n    group.abort(5)\ntime.sleep(60)"
    assert start(source, ranks=3).end() == 5


def test_a_world_of_one_has_the_same_face():
    comm, array = Communicator(), np.arange(6.0).reshape(2, 3)
    comm.all_reduce(array)
    comm.broadcast_array(array)
    comm.barrier()
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert comm.all_gather(array).shape == (1, 2, 3)
    for copied in (comm.all_gatherv(array)[0], comm.all_to_all([array])[0], comm.reduce_scatter(array, [2])):
        assert np.array_equal(copied, array)
        assert not np.may_share_memory(copied, array)
    assert comm.broadcast({"a": (1, 2)}) == {"a": [1, 2]}
    comm.sendrecv(array, 0, received := np.empty((2, 3)), 0)
    assert np.array_equal(received, array)
    assert comm.split(None, 0) is None
    assert comm.split(7, 0).size == 1
    for call, words in [
        (lambda: comm.send(array, 0), "rank 0 of 1 cannot reach rank 0"),
        (lambda: comm.recv(array, 1), "cannot reach rank 1"),
        (lambda: comm.broadcast("x" * (1 << 20)), "use broadcast_array"),
        (lambda: comm.all_to_all([array, array]), "2 parts for 1 ranks"),
        (lambda: comm.reduce_scatter(array, [1]), r"split_sizes \[1\] do not share 2 rows among 1 ranks"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def test_tree_sums_of_ranks_pair_neighbours():
    assert tree_sum(["a", "b", "c", "d", "e"]) == "abcde"
    assert tree_sum([1e8, 1.0, -1e8]) == (1e8 + 1.0) - 1e8


def test_another_mpi_than_that_of_mpi4py_is_not_taken_for_a_run_of_one(start, recipe):
    """What one sees after `mpirun` of Open MPI with an mpi4py that found MPICH: each rank is alone in its world."""
    job = start("scratchgrad-train", recipe, OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="4")
    assert job.end() == 2, job.output
    assert "the launcher announced 4 ranks, but MPI knows of 1: mpirun belongs to another MPI" in job.output
    assert "Traceback" not in job.output


def test_a_machine_without_an_mpi_library_is_told_what_to_install(start, recipe):
    job = start("scratchgrad-train", recipe, ranks=2, MPI4PY_LIBMPI="/nowhere/libmpi.so")
    assert job.end() == 2, job.output
    assert "a launcher announced 2 ranks, but mpi4py finds no MPI library" in job.output
    assert "install scratchgrad[mpi]" in job.output


@pytest.mark.parametrize(("environment", "wanted"), [
    ({}, None),
    ({"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}, Announcement(1, 4, 2, 1)),
    ({"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, Announcement(5, 8, 4, 1)),
    ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0"}, Announcement(3, 4, None, 0)),
    ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "8"}, Announcement(0, 8, None)),
    ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, Announcement(3, 4, None)),
    ({"PMI_RANK": "1", "PMI_SIZE": "2", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, Announcement(1, 2, None)),
    ({"PMI_RANK": "x", "PMI_SIZE": "2"}, None),
])  # fmt: skip
def test_launchers_are_known_by_their_environment(environment, wanted):
    assert announced(environment) == wanted


def test_what_is_typed_in_a_shell_of_srun_is_alone_and_a_task_of_an_srun_in_there_is_not():
    task = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PTY_PORT": "34889"}
    assert announced({**task, "SLURM_TASK_PID": "1"}) is None
    assert "started by srun --pty: training in one process" in note_on_launcher({**task, "SLURM_TASK_PID": "1"})
    launched = {**task, "SLURM_TASK_PID": str(os.getpid())}
    assert announced(launched) == Announcement(0, 4, None)
    below = {**task, "SLURM_TASK_PID": "1", "PMI_RANK": "1", "PMI_SIZE": "2"}
    assert announced(below) == Announcement(1, 2, None)
    assert note_on_launcher(launched) == note_on_launcher(below) == note_on_launcher({}) == ""


def test_cores_are_shared_among_the_ranks_of_a_machine(monkeypatch):
    monkeypatch.setattr("scratchgrad.parallel.launcher.usable_cores", lambda: 6)
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


def test_a_rank_takes_a_gpu_by_its_place_on_its_machine(monkeypatch):
    from scratchgrad.train.commands import train
    from scratchgrad.train.recipe_files import load_recipe

    taken = []
    monkeypatch.setattr(train, "use_device", lambda device, rank: taken.append(rank))
    monkeypatch.setattr(train, "set_threads", lambda count: None)
    recipe = load_recipe("toy", ["train.microbatches=16"])
    for world in (Announcement(3, 4, 2, 0), Announcement(5, 6, None, None), None):
        train._use_machine(recipe, world)
    assert taken == [0, 5, 0]


def test_too_little_shared_memory_is_told_before_mpi_ends_by_it(tmp_path, monkeypatch):
    assert note_on_shared_memory(1, Path("/proc")) == ""
    assert note_on_shared_memory(4, tmp_path / "nowhere") == ""
    assert re.match(
        r"shared memory \(/proc\) (cannot be written|has 0 MB left): if MPI fails",
        note_on_shared_memory(2, Path("/proc")),
    )
    monkeypatch.setattr(shared_memory, "LEAST", 0)
    assert note_on_shared_memory(2, tmp_path) == ""
    monkeypatch.setattr(shared_memory, "LEAST", 1 << 60)
    assert " MB left: if MPI fails now, that is why" in note_on_shared_memory(2, tmp_path)
