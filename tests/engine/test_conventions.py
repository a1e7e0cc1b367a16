"""What a gradient is where the derivative has none: at kinks, ties and poles. PyTorch's conventions, unless said."""

import numpy as np
import pytest

from scratchgrad import Tensor
from scratchgrad import functional as F

NAN, INF = float("nan"), float("inf")

# (op, value, gradient)
POINTS = [
    ("relu at 0", "relu", [0.0], [0.0]),
    ("abs at 0", "abs", [0.0], [0.0]),
    ("clamp on its bounds", lambda x: F.clamp(x, min=-1, max=1), [-1.0, 1.0, -1.5, 1.5], [1, 1, 0, 0]),
    ("sqrt at 0", "sqrt", [0.0], [INF]),
    ("log at 0", "log", [0.0], [INF]),
    ("ties of max share", "max", [2.0, 1.0, 2.0, 2.0], [1 / 3, 0, 1 / 3, 1 / 3]),
    ("ties of min share", "min", [1.0, 1.0, 2.0], [0.5, 0.5, 0]),
    ("maximum of equals", lambda x: F.maximum(x, 3.0), [3.0, 2.0, 4.0], [0.5, 0, 1]),
    ("minimum of equals", lambda x: F.minimum(x, 3.0), [3.0, 2.0, 4.0], [0.5, 1, 0]),
    ("sign, floor, ceil, round", lambda x: F.sign(x) + F.floor(x) + F.ceil(x) + F.round(x), [0.0, 0.5, 1.0], [0, 0, 0]),
    ("norm of nothing", "norm", [0.0, 0.0], [0, 0]),
    ("std of equals", "std", [2.0, 2.0], [0, 0]),
    ("x ** 0", lambda x: x**0, [0.0, 2.0], [0, 0]),
    ("0 ** 1, 0 ** 2", lambda x: x ** Tensor(np.array([1.0, 2.0])), [0.0, 0.0], [1, 0]),
    ("the exponent over base 0", lambda x: 0.0**x, [2.0], [0]),
    ("the exponent 0 over base 0", lambda x: 0.0**x, [0.0], [0]),
    ("kl_div where p is 0", lambda p: F.kl_div(np.array([-1.0, -2.0]), p, reduction="sum"), [0.0, 1.0], [0, 3]),
    ("prod with one zero", "prod", [0.0, 2.0, 3.0], [6, 0, 0]),
    ("prod with two zeros", "prod", [0.0, 2.0, 0.0], [0, 0, 0]),
    ("softmax of -inf", lambda x: F.softmax(x)[0], [0.0, -INF], [0, 0]),
    ("gelu far out", "gelu", [-40.0, 40.0], [0, 1]),
    ("sigmoid far out", "sigmoid", [-1000.0, 1000.0], [0, 0]),
    ("softplus far out", "softplus", [-1000.0, 1000.0], [0, 1]),
]


@pytest.mark.parametrize(("op", "values", "gradient"), [row[1:] for row in POINTS], ids=[row[0] for row in POINTS])
def test_the_convention(op, values, gradient):
    op = getattr(F, op) if isinstance(op, str) else op
    x = Tensor(np.array(values), requires_grad=True)
    with np.errstate(divide="ignore"):
        op(x).sum().backward()
    np.testing.assert_allclose(x.grad, gradient, atol=1e-12)


def test_attention_of_a_query_that_sees_nothing_is_zero_and_so_are_its_gradients():
    q, k, v = (Tensor(np.ones((1, 1, 2, 3)), True) for _ in range(3))
    mask = np.array([[True, True], [False, False]])
    out = F.scaled_dot_product_attention(q, k, v, mask)
    out.backward(np.ones(out.shape))
    assert np.all(out.data[0, 0, 1] == 0)
    assert np.all(q.grad[0, 0, 1] == 0)
    assert np.all(np.isfinite(k.grad))


def test_a_loss_in_which_nothing_counts_is_zero():
    x, ignored = Tensor(np.ones((2, 3)), True), np.array([-100, -100])
    for loss in (F.cross_entropy, F.nll_loss):
        out = loss(x, ignored)
        out.backward()
        assert out.item() == 0
        assert np.all(x.grad == 0)


@pytest.mark.parametrize("lengths", [[1, 8, 9, 2, 30, 3], [30, 1, 9], [2, 9, 20, 9, 1], [7, 8, 40], [9], [1, 1]])
def test_short_and_long_segments_are_summed_wherever_they_stand(lengths):
    ids = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.random.default_rng(0).integers(-9, 9, (len(ids), 3)).astype(np.float64)  # sums without rounding
    wanted = np.stack([rows[ids == i].sum(axis=0) for i in range(len(lengths))])
    assert np.array_equal(F.index_add(np.zeros(wanted.shape), ids, rows).data, wanted)
    mixed = np.random.default_rng(1).permutation(len(ids))
    assert np.array_equal(F.index_add(np.zeros(wanted.shape), ids[mixed], rows[mixed]).data, wanted)


def test_the_bits_of_a_sum_do_not_depend_on_what_is_added_elsewhere():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1000, 4)).astype(np.float32)
    alone = F.index_add(Tensor(np.zeros((3, 4), np.float32)), np.ones(1000, int), rows).data[1]
    ids = np.where(rng.random(2000) < 0.5, 0, 2)
    ids[np.sort(rng.permutation(2000)[:1000])] = 1
    mixed = np.zeros((2000, 4), np.float32)
    mixed[ids == 1] = rows
    assert np.array_equal(F.index_add(Tensor(np.zeros((3, 4), np.float32)), ids, mixed).data[1], alone)
