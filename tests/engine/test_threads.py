"""The pool: every task once, in order, whatever goes wrong, and whoever else calls it."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, current_thread

import pytest
from threadpoolctl import ThreadpoolController

from scratchgrad import set_threads
from scratchgrad.threads import LOOKS, parallel_map, threads


@pytest.fixture(params=[1, 2, 5], autouse=True)
def count(request) -> Iterator[int]:
    before = threads()
    set_threads(request.param)
    yield request.param
    set_threads(before)


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 100])
def test_results_come_in_the_order_of_the_tasks(tasks):
    for _ in range(50):
        assert parallel_map(square, iter(range(tasks))) == [square(number) for number in range(tasks)]


def test_as_many_threads_work_at_once_as_are_set(count):
    together = Barrier(count, timeout=10)
    names = parallel_map(lambda _: (together.wait(), current_thread().name)[1], range(count))
    assert len(set(names)) == 1 or "scratchgrad" in names
    assert current_thread().name in names


def test_helpers_that_fell_asleep_are_woken(count):
    assert LOOKS < 10_000_000, "a look takes half a nanosecond"
    for _ in range(3):
        test_as_many_threads_work_at_once_as_are_set(count)
        time.sleep(0.02)


@pytest.mark.parametrize("wrong", [0, 1, 9])
def test_what_a_task_raises_is_raised_when_all_have_ended(wrong, count):
    ended = []

    def work(number: int) -> None:
        if number == wrong:
            raise ValueError(f"task {number}")
        time.sleep(0.001)
        ended.append(number)

    with pytest.raises(ValueError, match=f"task {wrong}"):
        parallel_map(work, range(10))
    done = len(ended)
    time.sleep(0.005)
    assert len(ended) == done, "nobody is at work any more"
    assert len(ended) < wrong + count, "nor began another task"
    assert parallel_map(square, range(10)) == [square(number) for number in range(10)]


def test_a_task_may_spread_its_own_tasks():
    assert parallel_map(lambda n: parallel_map(square, range(n)), range(8)) == [
        [square(i) for i in range(n)] for n in range(8)
    ]


def test_blas_has_one_thread_inside_and_all_outside(count):
    def seen() -> set[int]:
        return {library.num_threads for library in ThreadpoolController().lib_controllers if library.user_api == "blas"}

    inside = parallel_map(lambda _: parallel_map(lambda _: time.sleep(0.001), range(2)) and seen(), range(4))
    assert set().union(*inside) == {1}
    assert seen() == {count}
    assert parallel_map(lambda _: seen(), [0]) == [{1}]


def test_several_threads_of_the_user_may_spread_at_once():
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda n: [parallel_map(square, range(n)) for _ in range(50)], range(20, 24)):
            assert got == [[square(i) for i in range(len(got[0]))]] * 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own():
    parallel_map(square, range(10))
    child = os.fork()
    if child == 0:
        os._exit(0 if parallel_map(square, range(10)) == [square(n) for n in range(10)] else 1)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended[1:] == (0,), "it waits for threads that it does not have"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")
def test_after_an_interrupt_nothing_is_mixed_up(count):
    """Control-C while the caller waits for a helper: the next call must not take that helper's end for its own."""

    def slow(number: int) -> int:
        time.sleep(0.2 if current_thread().name == "scratchgrad" else 0.01)
        return -1

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            parallel_map(slow, range(100))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for _ in range(20):
        assert parallel_map(square, range(9)) == [square(number) for number in range(9)]


def test_fewer_than_one_thread_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        set_threads(0)
