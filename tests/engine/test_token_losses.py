"""Losses of single tokens, from hidden states to a vocabulary: what the whole logits would give, without them."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, precision, recompute, set_precision
from scratchgrad import functional as F
from scratchgrad.dispatch import KERNELS
from scratchgrad.ops import linear_cross_entropy

CHUNK = 64  # tokens, where CHUNK_ELEMENTS is small


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(linear_cross_entropy, "CHUNK_ELEMENTS", 1)


@st.composite
def losses(draw: st.DrawFn) -> tuple[list[np.ndarray], np.ndarray, dict[str, float], np.ndarray]:
    """x, weight and perhaps bias; targets; options; a gradient of each token."""
    lead = draw(st.sampled_from([(), (0,), (1,), (5,), (2, 3), (CHUNK,), (CHUNK + 1,), (3, CHUNK - 1)]))
    classes, width = draw(st.integers(2, 9)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = rng.integers(0, classes, lead)
    targets = np.where(rng.random(lead) < draw(st.sampled_from([0, 0.3, 1])), -100, targets)
    arrays = [rng.standard_normal((*lead, width)), rng.standard_normal((classes, width))]
    if draw(st.booleans()):
        arrays.append(rng.standard_normal(classes))
    options = {"label_smoothing": draw(st.sampled_from([0, 0.2])), "z_loss": draw(st.sampled_from([0, 0.1]))}
    return arrays, targets, options, np.asarray(rng.standard_normal(lead))


def outcome(call: Callable, arrays: list[np.ndarray], cotangent: np.ndarray | None = None) -> list[np.ndarray]:
    """The value and the gradients of all arrays."""
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    out = call(*leaves)
    out.backward(cotangent)
    return [out.data, *(leaf.grad for leaf in leaves)]


def by_chunks(targets: np.ndarray, **options: object) -> Callable[..., Tensor]:
    return lambda x, w, *b: F.linear_cross_entropy(x, w, targets, *b, **options)


@given(losses(), st.sampled_from(["none", "mean", "sum"]))
def test_they_are_those_of_the_logits_as_a_whole(case, reduction):
    arrays, targets, options, cotangent = case
    if reduction != "none":
        cotangent = cotangent.sum()

    def whole(x, w, *b):
        return F.cross_entropy(F.linear(x, w, *b), targets, reduction=reduction, **options)

    want = outcome(whole, arrays, cotangent)
    for got, wanted in zip(
        outcome(by_chunks(targets, reduction=reduction, **options), arrays, cotangent), want, strict=True
    ):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


@given(losses())
def test_their_sum_is_the_sum_and_so_are_its_gradients_to_the_bit(case):
    arrays, targets, options, cotangent = case
    single, *of_single = outcome(by_chunks(targets, reduction="none", **options), arrays, np.ones_like(cotangent))
    total, *of_total = outcome(by_chunks(targets, **options), arrays)
    np.testing.assert_allclose(single.sum(), total, rtol=1e-12)
    assert np.all(single[targets == -100] == 0)
    for one, other in zip(of_single, of_total, strict=True):
        assert one.tobytes() == other.tobytes()


@given(losses(), st.sampled_from(["none", "mean", "sum"]))
def test_recomputation_changes_no_bit_and_what_nobody_needs_is_not_made(case, reduction):
    arrays, targets, options, cotangent = case
    if reduction != "none":
        cotangent = None
    call = by_chunks(targets, reduction=reduction, **options)
    plain = outcome(call, arrays, cotangent)
    again = outcome(lambda *tensors: recompute(call, *tensors), arrays, cotangent)
    assert [a.tobytes() for a in plain] == [a.tobytes() for a in again]
    for position in range(len(arrays)):
        leaves = [Tensor(array, requires_grad=i == position) for i, array in enumerate(arrays)]
        out = call(*leaves)
        pieces = out.node.backward(np.ones(()) if cotangent is None else cotangent)
        needed = {0: 0, 1: 1, 2: 3}[position]  # targets stand before the bias
        assert [i for i, piece in enumerate(pieces) if piece is not None] == [needed]


def test_minus_a_loss_is_the_log_probability_of_its_token():
    rng = np.random.default_rng(0)
    x, w, targets = rng.standard_normal((2, 5, 3)), rng.standard_normal((7, 3)), rng.integers(0, 7, (2, 5))
    logs = F.take_along_axis(F.log_softmax(x @ w.T), targets[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(-F.linear_cross_entropy(x, w, targets, reduction="none").data, logs.data)


@pytest.mark.parametrize("by", ["op", "float32", "bf16"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_the_logits_are_never_there_as_a_whole(by, reduction, monkeypatch):
    tokens, vocabulary, width = 40 * CHUNK, 3000, 8
    if by == "op":
        monkeypatch.delitem(KERNELS["linear_cross_entropy"], "cpu")
    if by == "bf16":
        pytest.importorskip("numkong", reason="the extra `fast` is not installed: no numkong")
        set_precision("bf16")
    try:
        assert precision() == ("bf16" if by == "bf16" else "float32")
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(shape, np.float32) for shape in ((tokens, width), (vocabulary, width))]
        call = by_chunks(rng.integers(0, vocabulary, tokens), reduction=reduction)
        tracemalloc.start()
        outcome(call, arrays, np.ones(tokens, np.float32) if reduction == "none" else None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        set_precision("float32")
    assert peak < 8 * CHUNK * vocabulary * 4 < tokens * vocabulary * 4 / 4


def test_another_reduction_is_refused():
    x, w, targets = np.ones((2, 3)), np.ones((4, 3)), np.zeros(2, int)
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', and it is 'max'"):
        F.linear_cross_entropy(x, w, targets, reduction="max")


def test_a_gradient_of_twice_the_precision_widens_nothing():
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.standard_normal(shape, np.float32), requires_grad=True) for shape in ((4, 3), (5, 3)))
    F.linear_cross_entropy(x, w, np.zeros(4, int), reduction="none").backward(np.ones(4))
    assert x.grad.dtype == w.grad.dtype == np.float32
