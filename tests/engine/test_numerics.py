"""What a backward pass and a sum are worth in few digits, and attention at its edges."""

import numpy as np
import pytest

from scratchgrad import Tensor, gradcheck
from scratchgrad import functional as F

draw = np.random.default_rng(0).standard_normal
LARGE = float(np.finfo(np.float32).min)


def single(*shape: int) -> np.ndarray:
    return draw(shape).astype(np.float32)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus"])
def test_a_sigmoid_far_on_the_left_is_small_and_not_zero(name):
    values = np.array([-80, -30, -20, -15, 0, 15, 90])
    exact, narrow = Tensor(values.astype(np.float64), True), Tensor(values.astype(np.float32), True)
    wanted, out = getattr(F, name)(exact), getattr(F, name)(narrow)
    wanted.sum().backward()
    out.sum().backward()
    np.testing.assert_allclose(out.data, wanted.data, rtol=1e-5)
    np.testing.assert_allclose(narrow.grad, exact.grad, rtol=1e-5, atol=1e-30 if name == "silu" else 1e-7)
    assert F.sigmoid(Tensor(np.float32([-20]))).item() == pytest.approx(2.0611537e-09)


def biased_linear(x: Tensor, bias: Tensor) -> Tensor:
    return F.linear(x, np.ones((bias.size, 2), bias.dtype), bias)


def biased_groups(x: Tensor, bias: Tensor) -> Tensor:
    counts = np.array([len(x.data)])
    return F.grouped_linear(x, np.ones((1, bias.size, 2), bias.dtype), bias.reshape(1, -1), counts=counts)


SUMS = {
    "linear": (biased_linear, 4),
    "grouped_linear": (biased_groups, 4),
    "add": (lambda x, bias: x + bias, 2),
    "layer_norm": (lambda x, bias: F.layer_norm(x, np.ones(2, bias.dtype), bias), 2),
}


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("name", SUMS)
def test_the_gradient_of_a_bias_over_many_rows_keeps_its_digits(name, kernels, monkeypatch):
    from scratchgrad.dispatch import KERNELS

    if not kernels:
        for served in KERNELS.values():
            monkeypatch.delitem(served, "cpu", raising=False)
    call, width = SUMS[name]
    rows = 1_000_003
    x, bias = Tensor(np.zeros((rows, 2), np.float32)), Tensor(np.zeros(width, np.float32), True)
    cotangent = np.random.default_rng(0).random((rows, width), dtype=np.float32)
    call(x, bias).backward(cotangent)
    np.testing.assert_allclose(bias.grad, cotangent.sum(axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, (0, 2), 1, 2, None, (0, 1)])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_sums_over_many_elements_keep_their_digits(axis, layout):
    x = np.asarray(np.random.default_rng(0).random((5003, 3, 70), dtype=np.float32), order=layout)
    wanted = x.sum(axis=axis, dtype=np.float64)
    np.testing.assert_allclose(F.sum(Tensor(x), axis=axis).data, wanted, rtol=1e-6)
    np.testing.assert_allclose(F.mean(Tensor(x), axis=axis).data, x.mean(axis=axis, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(F.var(Tensor(x), axis=axis).data, x.var(axis=axis, dtype=np.float64), rtol=2e-6)
    assert F.sum(Tensor(x), axis=axis, keepdims=True).shape == x.sum(axis=axis, keepdims=True).shape


# Attention


def attention_of(arrays: list[np.ndarray], dtype: type, **options) -> list[np.ndarray]:
    leaves = [Tensor(a.astype(dtype), True) for a in arrays]
    out = F.scaled_dot_product_attention(*leaves[:3], **options)
    out.backward(np.random.default_rng(3).standard_normal(out.shape).astype(dtype))
    return [out.data, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("large", [-1e5, -1e9, -1e30, LARGE])
def test_a_row_that_a_large_finite_number_masks_has_the_gradients_of_equal_weights(large):
    arrays = [draw((2, 4, 70, 8)), draw((2, 2, 70, 8)), draw((2, 2, 70, 8))]
    mask = np.where(np.arange(70) < 60, 0.0, large) * np.ones((2, 1, 70, 1))
    mask[1] = large  # every key of every query
    got = attention_of(arrays, np.float32, mask=mask.astype(np.float32))
    mask[1] = large if large > -1e6 else 0
    equal = [a.copy() for a in arrays]
    if large < -1e6:
        equal[0][1] = 0  # all scores are equal: what is added to them leaves nothing of them
    wanted = attention_of(equal, np.float64, mask=mask)
    rtol = 0.1 if large > -1e6 else 1e-4  # of scores beside -1e5, float32 keeps two digits behind the point
    for which, (one, other) in enumerate(zip(got, wanted, strict=True)):
        if which == 2 and large < -1e6:
            one, other = one[0], other[0]  # the gradient of keys is weighted by the queries, which differ
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-2 if large > -1e6 else 1e-5)


@pytest.mark.parametrize("time", [1, 5, 200])
def test_a_mask_of_zeros_and_ones_is_one_of_booleans(time):
    arrays = [single(2, 4, time, 8), single(2, 2, 6, 8), single(2, 2, 6, 8)]
    seen = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]])[:, None, None, :]
    for dtype in (np.int64, np.int32, np.uint8):
        for one, other in zip(
            attention_of(arrays, np.float32, mask=seen.astype(dtype)),
            attention_of(arrays, np.float32, mask=seen.astype(bool)),
            strict=True,
        ):
            assert np.array_equal(one, other)
        with_tensors = F.scaled_dot_product_attention(*map(Tensor, arrays), Tensor(seen.astype(dtype)))
        assert np.array_equal(with_tensors.data, attention_of(arrays, np.float32, mask=seen.astype(bool))[0])


def test_a_mask_of_batch_and_time_is_told_which_axes_it_needs():
    arrays = [single(2, 4, 5, 8), single(2, 4, 6, 8), single(2, 4, 6, 8)]
    words = r"mask must fit \(batch, head, time, keys\) = \(2, 4, 5, 6\), and it is \(2, 6\); write mask\[:, None, None"
    with pytest.raises(ValueError, match=words):
        F.scaled_dot_product_attention(*arrays, np.ones((2, 6), bool))


@pytest.mark.parametrize("kind", ["none", "boolean", "float"])
@pytest.mark.parametrize(
    "shape", [(2, 4, 0, 6), (0, 4, 5, 6), (0, 4, 1, 6), (0, 0, 0, 6), (2, 4, 3, 0), (2, 4, 1, 0), (0, 4, 0, 0)]
)
def test_attention_without_queries_texts_or_keys(shape, kind):
    batch, heads, time, total = shape
    arrays = [np.ones((batch, heads, time, 8)), *(np.ones((batch, 2 if heads else 1, total, 8)) for _ in range(2))]
    mask = {"none": None, "boolean": np.ones((time, total), bool), "float": np.zeros((batch, 1, time, total))}[kind]
    for dtype in (np.float32, np.float64):
        out, *grads = attention_of(arrays, dtype, mask=mask)
        assert out.shape == (batch, heads, time, 8)
        assert not out.any()
        assert [g.shape for g in grads] == [a.shape for a in arrays]
        assert not any(g.any() for g in grads)
    plain = F.scaled_dot_product_attention(*arrays, mask)
    assert plain.shape == out.shape


def test_attention_that_drops_everything_and_probabilities_that_are_none():
    arrays = [draw((1, 2, 3, 4)) for _ in range(3)]
    assert not any(a.any() for a in attention_of(arrays, np.float64, dropout_p=1.0))
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="is a probability, from 0 to 1"):
            F.scaled_dot_product_attention(*arrays, dropout_p=p)
    x = Tensor(np.ones(3), True)
    F.dropout(x, p=1.0).sum().backward()
    assert not x.grad.any()


def test_attention_of_one_head_without_an_axis_for_it_and_of_one_text_for_all():
    q, k, v = draw((3, 5, 4)), draw((1, 6, 4)), draw((3, 6, 2))
    mask = np.where(draw((3, 5, 6)) > -0.5, 0, -np.inf)
    out = F.scaled_dot_product_attention(q, k, v, mask, is_causal=True)
    stretched = np.broadcast_to(k, (3, 6, 4))
    heads = F.scaled_dot_product_attention(q[:, None], stretched[:, None], v[:, None], mask[:, None], is_causal=True)
    assert np.array_equal(out.data, heads.data[:, 0])
    leaves = [Tensor(a, True) for a in (q, k, v)]
    gradcheck(lambda *t: F.scaled_dot_product_attention(*t, np.arange(6) < np.arange(2, 7)[:, None]), *leaves)
    one = [Tensor(draw(shape), True) for shape in [(1, 2, 3, 4), (2, 1, 3, 4), (2, 1, 3, 5)]]
    gradcheck(lambda *t: F.scaled_dot_product_attention(*t, is_causal=True), *one)
    with pytest.raises(ValueError, match="batches of query, key and value"):
        F.scaled_dot_product_attention(q, k, v[:2])
    with pytest.raises(ValueError, match="all have an axis of heads"):
        F.scaled_dot_product_attention(q, k[None], v)
