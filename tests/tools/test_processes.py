"""Work in processes: in order, in bounded memory, and ended by a sentence where a process was killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.processes import AHEAD, map_in_processes


def square(number: int) -> int:
    return number**2


@given(st.integers(0, 40), st.integers(1, 3), st.integers(1, 9))
@settings(max_examples=15)
def test_results_come_in_the_order_of_the_items(count, workers, chunk):
    assert list(map_in_processes(square, range(count), workers, chunk)) == [n**2 for n in range(count)]


def test_an_item_that_takes_long_does_not_change_the_order():
    delays = [0.2, *([0.0] * 30)]
    assert list(map_in_processes(lambda n: time.sleep(delays[n]) or n, range(31), 2, 1)) == list(range(31))


def test_items_are_taken_as_they_are_needed():
    taken = []
    results = map_in_processes(square, (taken.append(n) or n for n in range(10_000)), 2, 5)
    assert next(results) == 0
    assert len(taken) <= 5 * AHEAD * 2
    results.close()


def test_results_that_fill_a_pipe_do_not_hold_it_up():
    texts = map_in_processes(lambda text: text * 2, ["x" * 500_000] * 30, 2, 3)
    assert [len(text) for text in texts] == [1_000_000] * 30


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_is_named(how):
    def work(number):
        if number == 25:
            os.kill(os.getpid(), how)
            time.sleep(60)
        return number

    began = time.monotonic()
    with pytest.raises(
        UserError, match=rf"worker process \d+ was ended by {how.name} before its text was done"
    ) as told:
        list(map_in_processes(work, range(1000), 2, 4))
    assert time.monotonic() - began < 30
    assert len(str(told.value)) < 300


def test_a_worker_that_ends_itself_is_named():
    with pytest.raises(UserError, match=r"worker process \d+ was ended with exit code 3"):
        list(map_in_processes(lambda number: os._exit(3), range(9), 2, 1))


def test_what_an_item_raises_is_raised_with_where_it_was():
    with pytest.raises(ZeroDivisionError) as told:
        list(map_in_processes(lambda number: 1 // (7 - number), range(20), 2, 3))
    assert "in a worker process" in told.value.__notes__[0]
    with pytest.raises(UserError, match="no more"):
        list(map_in_processes(square, refusing(), 2, 3))


def refusing():
    yield from range(10)
    raise UserError("no more")


PARENT = """
import os, time
from scratchgrad.tools.processes import map_in_processes
for pid in map_in_processes(lambda n: os.getpid(), range(10**9), 3, 1):
    print(pid, flush=True)
    time.sleep(0.01)
"""


def test_workers_end_when_their_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    workers = {int(parent.stdout.readline()) for _ in range(30)}
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
