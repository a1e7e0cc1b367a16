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
    ("maximum of equals, the second", lambda x: F.maximum(3.0, x), [3.0, 2.0, 4.0], [0.5, 0, 1]),
    ("minimum of equals, the second", lambda x: F.minimum(3.0, x), [3.0, 2.0, 4.0], [0.5, 1, 0]),
    (
        "the mean of weighted classes",
        lambda x: F.cross_entropy(F.stack([x, x, x]), np.array([0, 1, -100]), weight=np.array([1.0, 3.0])),
        [0.0, 0.0],
        [0.25, -0.25],
    ),
    (
        "large logits of weighted classes",
        lambda x: F.cross_entropy(x, np.array(0), weight=np.ones(2)),
        [1000.0, 1000.0],
        [-0.5, 0.5],
    ),
    (
        "a share of 0 of a class of logit -inf",
        lambda x: F.cross_entropy(x, np.array([1.0, 0.0])) ** 2,
        [0.0, -INF],
        [0, 0],
    ),
    (
        "one class, rows of rows",
        lambda x: F.cross_entropy(x.reshape(2, 3, 1), np.ones((2, 3, 1))),
        [0.0] * 6,
        [0] * 6,
    ),
    (
        "z_loss of what does not count",
        lambda x: F.cross_entropy(x, np.array(-100), weight=np.ones(2), z_loss=1.0, reduction="sum"),
        [0.0, 1.0],
        [0, 0],
    ),
    ("norm of order 3 beside zeros", lambda x: F.norm(x, ord=3), [0.0, 2.0, 0.0], [0, 1, 0]),
    ("norm of order 3 of zeros", lambda x: F.norm(x, ord=3), [0.0, 0.0], [0, 0]),
    ("norm of order 1/2 beside a zero", lambda x: F.norm(x, ord=0.5), [0.0, 4.0], [0, 1]),
    (
        "a zero among the factors of scatter_reduce",
        lambda x: F.scatter_reduce(np.ones(1), np.array([0, 0]), x, axis=0, reduce="prod"),
        [0.0, 3.0],
        [3, 0],
    ),
    (
        "ties of scatter_reduce share",
        lambda x: F.scatter_reduce(x[:1], np.array([0, 0, 0]), x[1:], axis=0, reduce="amax"),
        [2.0, 2.0, 1.0, 2.0],
        [1 / 3, 1 / 3, 0, 1 / 3],
    ),
    (
        "who does not count has no share",
        lambda x: F.scatter_reduce(x[:1], np.array([0]), x[1:], axis=0, reduce="amax", include_self=False),
        [2.0, 2.0],
        [0, 1],
    ),
    ("nan_to_num", "nan_to_num", [NAN, INF, -INF, 1.0], [0, 0, 0, 1]),
    ("logcumsumexp from -inf on", lambda x: F.logcumsumexp(x, axis=0)[1], [-INF, 1.0], [0, 1]),
    ("leaky_relu at 0", lambda x: F.leaky_relu(x, negative_slope=0.3), [0.0], [0.3]),
    ("elu at 0", lambda x: F.elu(x, alpha=0.3), [0.0], [0.3]),
    ("a bound of clamp that x is on", lambda b: F.clamp(1.0, min=b) + F.clamp(1.0, max=b), [1.0], [0]),
    ("the upper of equal bounds of clamp", lambda b: F.clamp(np.array([0.0, 2.0]), min=1.0, max=b), [1.0], [1]),
    ("the lower of equal bounds of clamp", lambda b: F.clamp(np.array([0.0, 2.0]), min=b, max=1.0), [1.0], [0]),
    ("atan2 at the origin", lambda x: F.atan2(x, 0.0) + F.atan2(0.0, x), [0.0], [0]),
    ("atan2 at a distance of 1", lambda x: F.atan2(1.0, x), [0.0], [-1]),
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
    (
        "abs, sign, relu and clamp of NaN",
        lambda x: F.stack([F.abs(x), F.sign(x), F.relu(x), F.clamp(x, min=0.0)]),
        [NAN],
        [1],
    ),
    ("abs of NaN", "abs", [NAN], [0]),
    ("relu of NaN", "relu", [NAN, INF, -INF], [1, 1, 0]),
    ("clamp of NaN", lambda x: F.clamp(x, min=-1.0, max=1.0), [NAN], [0]),
    ("maximum with NaN", lambda x: F.maximum(x, np.array([1.0, NAN, NAN])), [NAN, 1.0, NAN], [1, 1, 1]),
    ("minimum with NaN", lambda x: F.minimum(x, np.array([1.0, NAN, NAN])), [NAN, 1.0, NAN], [1, 1, 1]),
    ("the exponent over base 0", lambda x: 0.0**x, [-1.0, -INF, INF], [-INF, -INF, 0]),
    ("a base of 0", lambda x: x ** np.array([-1.0, 0.5, 0.0]), [0.0, 0.0, 0.0], [-INF, INF, 0]),
    ("NaN ** 0", lambda x: x**0, [NAN, INF], [0, 0]),
    ("var and std of one, with ddof", lambda x: F.stack([F.var(x, ddof=1), F.std(x, ddof=1)]), [1.0], [NAN]),
    ("std of one, with more ddof", lambda x: F.std(x, ddof=3), [1.0], [NAN]),
    ("softmax of inf", lambda x: F.softmax(x)[0], [INF, 1.0], [NAN, NAN]),
    ("softmax of -inf", lambda x: F.softmax(x)[0], [0.0, -INF], [0, 0]),
    ("gelu far out", "gelu", [-40.0, 40.0], [0, 1]),
    ("sigmoid far out", "sigmoid", [-1000.0, 1000.0], [0, 0]),
    ("softplus far out", "softplus", [-1000.0, 1000.0], [0, 1]),
]


@pytest.mark.parametrize(("op", "values", "gradient"), [row[1:] for row in POINTS], ids=[row[0] for row in POINTS])
def test_the_convention(op, values, gradient):
    op = getattr(F, op) if isinstance(op, str) else op
    x = Tensor(np.array(values), requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
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


EDGES = [NAN, INF, -INF, 0.0, 1.0, -1.0, 0.5, 2.0]
SAME_NAME = [
    "abs", "relu", "sign", "exp", "log", "sqrt", "rsqrt", "tanh", "sigmoid", "log1p", "expm1", "floor", "ceil", "round",
    "sin", "cos", "erf",
]  # fmt: skip
OF_TWO = ["maximum", "minimum", "pow", "div", "remainder"]


def compare_with_torch(of_torch, of_ours, *values):
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    ours = [Tensor(np.array(v), requires_grad=True) for v in values]
    wanted = of_torch(torch, *theirs)
    wanted.sum().backward()
    with np.errstate(all="ignore"):
        out = of_ours(*ours)
        out.sum().backward()
    np.testing.assert_allclose(out.data, wanted.detach().numpy(), rtol=1e-12)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", SAME_NAME)
def test_values_and_gradients_at_the_edges_are_those_of_pytorch(name):
    compare_with_torch(lambda torch, x: getattr(torch, name)(x), getattr(F, name), EDGES)


@pytest.mark.parametrize("name", OF_TWO)
def test_pairs_of_edges_have_the_values_and_gradients_of_pytorch(name):
    a, b = (np.array(side).reshape(-1).tolist() for side in np.meshgrid(EDGES, EDGES))
    compare_with_torch(lambda torch, a, b: getattr(torch, name)(a, b), getattr(F, name), a, b)


@pytest.mark.parametrize("ddof", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [(1,), (1, 2), (2, 2), (0, 2)])
@pytest.mark.filterwarnings("ignore:var|std")
def test_the_spread_of_few_has_the_values_and_gradients_of_pytorch(shape, ddof):
    values = (np.arange(np.prod(shape)).reshape(shape) * 1.5).tolist()
    if not np.prod(shape):
        values = np.zeros(shape)
    for name in ("var", "std"):
        compare_with_torch(
            lambda torch, x, name=name: getattr(torch, name)(x, dim=0, correction=ddof),
            lambda x, name=name: getattr(F, name)(x, axis=0, ddof=ddof),
            values,
        )


def test_indices_that_broadcast_have_gradients_too():
    indices = np.array([[0, 1, 1], [2, 0, 2], [1, 1, 0]])
    x = Tensor(np.arange(3.0)[:, None], True)  # one column, and indices for three
    F.take_along_axis(x, indices, axis=0).sum().backward()
    assert x.grad.tolist() == [[3], [4], [2]]
    y = Tensor(np.arange(6.0).reshape(2, 3), True)
    F.take_along_axis(y, np.array([[1]]), axis=0).sum().backward()
    assert y.grad.tolist() == [[0, 0, 0], [1, 1, 1]]
    source = Tensor(np.ones((1, 2)), True)  # as PyTorch has it: indices may be shorter than x
    F.scatter_add(y, np.array([[1, 0]]), source, axis=0).sum().backward()
    assert source.grad.tolist() == [[1, 1]]
    rows = Tensor(np.arange(4.0), True)
    rows[np.array([[0], [3]]),].sum().backward()
    z = Tensor(np.zeros((3, 4)), True)
    z[np.array([[0], [2]]), np.array([1, 1, 3])].sum().backward()
    assert z.grad.tolist() == [[0, 2, 0, 1], [0, 0, 0, 0], [0, 2, 0, 1]]
