"""A profile tells where the time went, all of it, and changes nothing."""

import gc
import time
import weakref

import numpy as np
import pytest

from scratchgrad import Tensor, dispatch, op, recompute
from scratchgrad import functional as F
from scratchgrad.autograd import WATCH
from scratchgrad.profiling import profile

SLOW = 0.03  # seconds


@pytest.fixture
def slow(monkeypatch):
    """An op that waits, on the way there and twice as long on the way back."""
    for registry in ("OPS", "KERNELS", "SPECIFICATIONS"):
        monkeypatch.setattr(dispatch, registry, dict(getattr(dispatch, registry)))

    @op
    def waiting(x):
        time.sleep(SLOW)

        def backward(grad):
            time.sleep(2 * SLOW)
            return (grad,)

        return x + 0, backward

    return waiting


def test_seconds_are_told_of_the_op_that_took_them_and_add_up(slow):
    x = Tensor(np.ones((4, 8), np.float32), requires_grad=True)
    began = time.perf_counter()
    with profile() as told:
        F.exp(slow(F.sin(x))).sum().backward()
        whole = time.perf_counter() - began
    forward, backward = told.rows["waiting", "forward"], told.rows["waiting", "backward"]
    assert forward.seconds >= SLOW
    assert backward.seconds >= 2 * SLOW
    assert forward.calls == backward.calls == told.rows["sin", "forward"].calls == 1
    others = told.seconds - forward.seconds - backward.seconds
    assert others < SLOW
    assert told.seconds == pytest.approx(whole, abs=SLOW)
    assert WATCH.get() is None


def test_products_are_counted_forward_and_twice_backward():
    x, w, table = (Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((5, 8), (6, 8), (7, 6)))
    with profile() as told:
        F.linear_cross_entropy(F.linear(x, w), table, Tensor(np.arange(5))).backward()
    assert told.rows["linear", "forward"].flops == 2 * 5 * 8 * 6
    assert told.rows["linear", "backward"].flops == 2 * told.rows["linear", "forward"].flops
    assert told.rows["linear_cross_entropy", "forward"].flops == 3 * 2 * 5 * 6 * 7, "its gradients are made at once"
    assert told.flops == 3 * 2 * 5 * 6 * (8 + 7)
    assert told.rows["linear", "forward"].bytes == 4 * (5 * 8 + 6 * 8 + 5 * 6)
    gate_up, down = (Tensor(np.ones(shape, np.float32)) for shape in ((2 * 3, 8), (7, 3)))
    with profile() as told:
        F.swiglu_feed_forward(x, gate_up, down).sum().backward()
    assert told.rows["swiglu_feed_forward", "forward"].flops == 2 * 5 * (8 * 2 * 3 + 3 * 7)
    assert told.flops == 3 * told.rows["swiglu_feed_forward", "forward"].flops


def test_the_logits_of_losses_by_token_are_counted_twice():
    x, table = (Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((5, 6), (7, 6)))
    with profile() as told:
        F.linear_cross_entropy(x, table, Tensor(np.arange(5)), reduction="none").sum().backward()
    assert told.rows["linear_cross_entropy", "forward"].flops == 2 * 5 * 6 * 7
    assert told.rows["linear_cross_entropy", "backward"].flops == 3 * 2 * 5 * 6 * 7


def test_what_is_not_an_op_can_be_told_or_left_out():
    with profile() as told:
        time.sleep(SLOW)
        told.mark("waiting")
        time.sleep(3 * SLOW)
        told.skip()
        F.exp(Tensor([1.0]))
    assert told.rows["waiting", ""].seconds >= SLOW
    assert told.seconds < 3 * SLOW


def test_a_profile_keeps_no_array_alive_that_a_recomputed_block_lets_go():
    kept = []

    def block(t):
        inner = F.linear(t, t)
        kept.append(weakref.ref(inner.data))
        return F.exp(inner)

    with profile():
        out = recompute(block, Tensor(np.ones((8, 8), np.float32), requires_grad=True) * 1.0)
        gc.collect()
        assert kept[0]() is None
        out.sum().backward()
