"""How ops are recorded holds for one thread, and for the helpers that compute for it."""

import asyncio
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

from scratchgrad import Tensor, detect_anomaly, fixed_weights, no_grad, set_threads
from scratchgrad.autograd import GRAD_ENABLED, SCOPE, WATCH
from scratchgrad.batch_invariance import batch_invariant
from scratchgrad.nn import shapes_only
from scratchgrad.op_contract import watched_ops
from scratchgrad.packed_weights import PackedWeights, are_fixed, packed
from scratchgrad.profiling import profile
from scratchgrad.random import RngState, fork_rng
from scratchgrad.threads import parallel_map, threads


def state() -> tuple[Any, ...]:
    return GRAD_ENABLED.get(), WATCH.get() is not None, are_fixed()


def in_a_thread(function: Callable[[], Any]) -> Any:
    found = []
    thread = Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_new_thread_records_whatever_its_parent_does():
    with no_grad(), detect_anomaly(), fixed_weights():
        assert state() == (False, True, True)
        assert in_a_thread(state) == (True, False, False)
    assert state() == (True, False, False)


def test_a_thread_that_serves_does_not_touch_one_that_trains():
    turn, trained = Barrier(2, timeout=10), []

    def serve() -> None:
        with no_grad(), fixed_weights():
            turn.wait()  # it records nothing ...
            turn.wait()  # ... until the other has computed

    thread = Thread(target=serve)
    thread.start()
    turn.wait()
    x = Tensor([3.0], requires_grad=True)
    y = x * x
    trained.append(y.requires_grad)
    y.backward()
    turn.wait()
    thread.join()
    assert trained == [True]
    assert x.grad.tolist() == [6]
    assert not are_fixed()


def test_threads_that_leave_in_another_order_than_they_came_leave_nothing_behind():
    entered, left = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def first() -> bool:
        with no_grad():
            entered.wait()
        left.wait()
        return GRAD_ENABLED.get()

    def second() -> None:
        with no_grad():
            entered.wait()
            left.wait()

    other = Thread(target=second)
    other.start()
    assert first()
    other.join()
    assert GRAD_ENABLED.get()


def test_tasks_of_asyncio_have_states_of_their_own():
    async def main() -> list[bool]:
        async def quiet() -> bool:
            with no_grad():
                await asyncio.sleep(0.01)
                return GRAD_ENABLED.get()

        async def loud() -> bool:
            await asyncio.sleep(0)
            return GRAD_ENABLED.get()

        return await asyncio.gather(quiet(), loud())

    assert asyncio.run(main()) == [False, True]


def test_helpers_see_the_state_of_who_calls_them():
    before, together = threads(), Barrier(3, timeout=10)
    set_threads(3)
    try:
        kept = PackedWeights()
        weight = np.ones(3)
        with no_grad(), fixed_weights(kept):
            seen = parallel_map(lambda _: (together.wait(), state(), packed(weight, id))[1], range(3))
        assert seen == [(False, False, True)] * 3
        assert len(kept) == 1
        assert parallel_map(lambda _: (together.wait(), state())[1], range(3)) == [(True, False, False)] * 3
    finally:
        set_threads(before)


def test_no_grad_decorates_a_function_also_one_that_calls_itself():
    @no_grad()
    def depth(n: int) -> list[bool]:
        return [GRAD_ENABLED.get(), *(depth(n - 1) if n else [])]

    assert depth(3) == [False] * 4
    assert GRAD_ENABLED.get()
    with pytest.raises(ZeroDivisionError):
        no_grad()(lambda: 1 / 0)()
    assert GRAD_ENABLED.get()


def test_one_no_grad_may_be_entered_twice():
    off = no_grad()
    with off, off:
        assert not GRAD_ENABLED.get()
    assert GRAD_ENABLED.get()


STATES = {
    "no_grad": no_grad, "fixed_weights": fixed_weights, "detect_anomaly": detect_anomaly, "profile": profile,
    "batch_invariant": batch_invariant, "shapes_only": shapes_only, "watched_ops": watched_ops,
    "fork_rng": lambda: fork_rng(RngState(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_a_state_on_what_runs_later_is_refused(name):
    def steps():
        yield

    async def task():
        pass

    async def stream():
        yield

    for function in (steps, task, stream):
        with pytest.raises(
            TypeError, match=f"@{name}.. would end before the body of '{function.__name__}' runs; write"
        ):
            STATES[name]()(function)


def test_what_holds_inside_a_with_block_holds_inside_a_decorated_function():
    @fixed_weights()
    def depth(n: int) -> list[bool]:
        return [are_fixed(), *(depth(n - 1) if n else [])]

    assert depth(2) == [True] * 3
    assert not are_fixed()
    fixed = fixed_weights()
    with fixed, fixed:
        assert are_fixed()
    with pytest.raises(ZeroDivisionError), fixed:
        print(1 / 0)
    assert not are_fixed()


def test_the_calls_of_modules_are_those_of_the_thread():
    assert SCOPE.get() is None
    token = SCOPE.set("a call")  # type: ignore[arg-type]
    try:
        assert in_a_thread(SCOPE.get) is None
    finally:
        SCOPE.reset(token)
