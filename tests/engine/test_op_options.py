"""Options of ops beside those of the table of cases, against PyTorch where it is installed, and by numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import Tensor, gradcheck
from scratchgrad import functional as F

SEEDS = st.integers(0, 2**32 - 1)


def softened(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


# Losses


@settings(max_examples=30)
@given(
    seed=SEEDS,
    smoothing=st.sampled_from([0.0, 0.2]),
    z_loss=st.sampled_from([0.0, 0.1]),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    weighted=st.booleans(),
)
def test_cross_entropy_of_probabilities_and_with_weights_of_classes(seed, smoothing, z_loss, reduction, weighted):
    rng = np.random.default_rng(seed)
    logits = Tensor(rng.standard_normal((4, 3, 5)), True)
    weight = rng.random(5) + 0.1 if weighted else None
    options: dict[str, Any] = {"label_smoothing": smoothing, "z_loss": z_loss, "reduction": reduction, "weight": weight}
    probabilities = Tensor(softened(rng.standard_normal((4, 3, 5))), True)
    gradcheck(lambda x, p: F.cross_entropy(x, p, **options), logits, probabilities, seed=seed)
    targets = np.where(rng.random((4, 3)) < 0.3, -100, rng.integers(0, 5, (4, 3)))
    gradcheck(lambda x: F.cross_entropy(x, targets, **options), logits, seed=seed)
    if not weighted:  # one-hot probabilities are classes
        whole = rng.integers(0, 5, (4, 3))
        one_hot = np.eye(5)[whole]
        a, b = F.cross_entropy(logits, whole, **options), F.cross_entropy(logits, one_hot, **options)
        np.testing.assert_allclose(a.data, b.data)


def in_torch(call: Callable[..., Any], *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(np.array(a), requires_grad=a.dtype.kind == "f") for a in arrays]
    out = call(torch, *leaves)
    out.sum().backward()
    return out.detach().numpy(), [leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]


def in_ours(call: Callable[..., Tensor], *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    leaves = [Tensor(a.copy(), requires_grad=a.dtype.kind == "f") for a in arrays]
    out = call(*leaves)
    out.sum().backward()
    return out.data, [leaf.grad for leaf in leaves if leaf.grad is not None]


def same(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-12)
    assert len(ours[1]) == len(theirs[1])
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


draw = np.random.default_rng(0).standard_normal
WEIGHT = np.array([0.5, 2.0, 1.0, 0.3, 1.5])
CLASSES = np.array([1, 4, -100, 0, 1, 3])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_weighted_losses_are_those_of_pytorch(reduction, smoothing):
    logits = draw((6, 5))
    options = {"reduction": reduction, "label_smoothing": smoothing}
    same(
        in_ours(lambda x: F.cross_entropy(x, CLASSES, weight=WEIGHT, **options), logits),
        in_torch(
            lambda torch, x: torch.nn.functional.cross_entropy(
                x, torch.tensor(CLASSES), torch.tensor(WEIGHT), **options
            ),
            logits,
        ),
    )
    probabilities = softened(draw((6, 5)))
    same(
        in_ours(lambda x, p: F.cross_entropy(x, p, weight=WEIGHT, **options), logits, probabilities),
        in_torch(
            lambda torch, x, p: torch.nn.functional.cross_entropy(x, p, torch.tensor(WEIGHT), **options),
            logits,
            probabilities,
        ),
    )
    same(
        in_ours(lambda x: F.nll_loss(x, CLASSES, weight=WEIGHT, reduction=reduction), logits),
        in_torch(
            lambda torch, x: torch.nn.functional.nll_loss(
                x, torch.tensor(CLASSES), torch.tensor(WEIGHT), reduction=reduction
            ),
            logits,
        ),
    )
    target, pos_weight = draw((6, 5)) ** 2, WEIGHT
    same(
        in_ours(
            lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=pos_weight, reduction=reduction),
            logits,
            target,
        ),
        in_torch(
            lambda torch, x, t: torch.nn.functional.binary_cross_entropy_with_logits(
                x, t, pos_weight=torch.tensor(pos_weight), reduction=reduction
            ),
            logits,
            target,
        ),
    )
    q, p = np.log(softened(draw((6, 5)))), np.log(probabilities)
    same(
        in_ours(lambda q, p: F.kl_div(q, p, log_target=True, reduction=reduction), q, p),
        in_torch(lambda torch, q, p: torch.nn.functional.kl_div(q, p, log_target=True, reduction=reduction), q, p),
    )
    for name, beta in [
        ("huber_loss", {"delta": 0.5}),
        ("smooth_l1_loss", {"beta": 0.5}),
        ("smooth_l1_loss", {"beta": 0.0}),
        ("l1_loss", {}),
    ]:
        same(
            in_ours(lambda a, b, name=name, beta=beta: getattr(F, name)(a, b, reduction=reduction, **beta), q, p),
            in_torch(
                lambda torch, a, b, name=name, beta=beta: getattr(torch.nn.functional, name)(
                    a, b, reduction=reduction, **beta
                ),
                q,
                p,
            ),
        )


def test_weighted_losses_by_numbers():
    logits, targets = Tensor(np.log(np.array([[0.25, 0.75], [0.5, 0.5]])), True), np.array([1, 0])
    weight = np.array([1.0, 3.0])
    wanted = -(3 * np.log(0.75) + np.log(0.5)) / 4
    assert F.cross_entropy(logits, targets, weight=weight).item() == pytest.approx(wanted)
    assert F.nll_loss(logits, targets, weight=weight).item() == pytest.approx(wanted)
    assert F.binary_cross_entropy(np.array([0.0, 1.0]), np.array([1.0, 1.0]), reduction="none").data.tolist() == [
        100,
        0,
    ]
    with pytest.raises(ValueError, match=r"weight must have shape \(2,\)"):
        F.cross_entropy(logits, targets, weight=np.ones(3))
    with pytest.raises(ValueError, match="holds no probabilities"):
        F.binary_cross_entropy(np.array([1.5]), np.array([1.0]))
    with pytest.raises(ValueError, match="delta must be above 0"):
        F.huber_loss(logits, logits, delta=0)


# Bounds, norms and edges


@pytest.mark.parametrize("which", ["both", "min", "max"])
def test_clamp_between_tensors_has_the_gradients_of_pytorch(which):
    x, low, high = (
        np.tile([-2.0, -1, 0, 1, 2, np.nan], (3, 1)),
        np.array([[-1.0], [0], [1]]),
        np.array([[1.0], [0], [-1]]),
    )
    bounds = {"both": [low, high], "min": [low], "max": [high]}[which]
    names = {"both": ["min", "max"], "min": ["min"], "max": ["max"]}[which]
    same(
        in_ours(lambda x, *b: F.clamp(x, **dict(zip(names, b, strict=True))), x, *bounds),
        in_torch(lambda torch, x, *b: torch.clamp(x, **dict(zip(names, b, strict=True))), x, *bounds),
    )
    y = Tensor(np.array([-2.0, 0.5, 3.0]), True)
    low_, high_ = Tensor(np.array(-1.0), True), Tensor(np.array(1.0), True)
    F.clamp(y, low_, high_).sum().backward()
    assert (y.grad.tolist(), low_.grad.item(), high_.grad.item()) == ([0, 1, 0], 1, 1)


EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 2.0])


@pytest.mark.parametrize(
    "name", ["exp2", "log2", "log10", "reciprocal", "square", "sinh", "cosh", "trunc", "nan_to_num"]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_one_number_at_the_edges(name):
    same(in_ours(getattr(F, name), EDGES), in_torch(lambda torch, x: getattr(torch, name)(x), EDGES))


@pytest.mark.parametrize("name", ["logsigmoid", "leaky_relu", "elu", "mish"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_activations_at_the_edges(name):
    x = np.array([np.nan, 0.0, 1.0, -1.0, 100.0, -100.0])
    same(in_ours(getattr(F, name), x), in_torch(lambda torch, x: getattr(torch.nn.functional, name)(x), x))


@pytest.mark.parametrize("name", ["atan2", "logaddexp", "fmod"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_pairs_at_the_edges(name):
    a, b = (side.reshape(-1) for side in np.meshgrid(EDGES, EDGES))
    same(in_ours(getattr(F, name), a, b), in_torch(lambda torch, a, b: getattr(torch, name)(a, b), a, b))


@pytest.mark.parametrize("ord", [1, 3, 0.5, 0, np.inf, -np.inf, 2])
def test_norms_at_zero_and_at_ties(ord):
    for values in ([3.0, -3.0, 1.0], [0.0, 2.0, -1.0], [0.0, 0.0, 0.0]):
        if ord == 0.5 and 0 in values:
            continue  # the slope at 0 is infinite; ours is 0
        ours = in_ours(lambda x: F.norm(x, ord=ord), np.array(values))
        if ord == 0:
            assert (ours[0], ours[1][0].tolist()) == (np.count_nonzero(values), [0, 0, 0])
        else:
            same(ours, in_torch(lambda torch, x: torch.linalg.vector_norm(x, ord), np.array(values)))


# Cumulative ops


@pytest.mark.parametrize(
    "values", [[2.0, 0.0, 3.0, 4.0], [0.0, 1.0, 0.0, 2.0], [1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
)
def test_the_gradient_of_cumprod_at_zeros(values):
    gradcheck(lambda x: F.cumprod(x, axis=0), Tensor(np.array(values), True))
    x = Tensor(np.array([values, [1.0, 2.0, 0.0, 3.0]]), True)
    gradcheck(lambda x: F.cumprod(x, axis=1), x)


def test_logcumsumexp_of_large_and_of_infinite_numbers():
    x = np.array([-np.inf, 1000.0, -1000.0, 1001.0])
    ours = in_ours(lambda x: F.logcumsumexp(x, axis=0), x[1:])
    same(ours, in_torch(lambda torch, x: torch.logcumsumexp(x, 0), x[1:]))
    assert F.logcumsumexp(Tensor(x), axis=0).data[0] == -np.inf


def test_cummax_tells_the_last_of_equal_ones_and_keeps_nan():
    values, places = F.cummax(Tensor(np.array([1.0, 3.0, 3.0, 2.0, np.nan, 5.0])), 0)
    assert places.data.tolist() == [0, 1, 2, 2, 4, 4]
    assert np.isnan(values.data[4:]).all()
    values, places = F.cummin(Tensor(np.array([2.0, 1.0, 1.0, 4.0])), 0)
    assert (values.data.tolist(), places.data.tolist()) == ([2, 1, 1, 1], [0, 1, 2, 2])


# Order, repetition and tables


def test_topk_of_the_smallest_and_quantiles_beside_nan():
    x = Tensor(np.array([[3.0, 1.0, 2.0, 1.0]]), True)
    values, places = F.topk(x, 2, largest=False)
    assert (values.data.tolist(), places.data.tolist()) == ([[1, 1]], [[1, 3]])
    values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0, 1]]
    assert np.isnan(F.median(Tensor(np.array([1.0, np.nan, 2.0]))).item())
    assert F.median(Tensor(np.array([1.0, 4.0, 2.0, 3.0]))).item() == 2.5
    assert F.quantile(Tensor(np.arange(5.0)), [0.0, 0.5, 1.0]).data.tolist() == [0, 2, 4]
    for q in (-0.1, 1.1):
        with pytest.raises(ValueError, match="a share from 0 to 1"):
            F.quantile(x, q)


@settings(max_examples=30)
@given(seed=SEEDS, shape=st.sampled_from([(3,), (2, 3), (3, 2), (2, 0), (0, 2), (2, 3, 2)]), which=st.integers(0, 2))
def test_elements_repeated_as_often_as_it_says_of_each(seed, shape, which):
    rng = np.random.default_rng(seed)
    axis = which % len(shape)
    counts = rng.integers(0, 3, shape[axis])
    x = Tensor(rng.standard_normal(shape), True)
    out = F.repeat(x, repeats=counts, axis=axis)
    assert np.array_equal(out.data, np.repeat(x.data, counts, axis))
    assert np.array_equal(F.repeat(x, repeats=Tensor(counts), axis=axis).data, out.data)
    gradcheck(lambda x: F.repeat(x, repeats=counts, axis=axis), x, seed=seed)


@pytest.mark.parametrize("kernels", [True, False])
def test_the_row_of_padding_gets_no_gradient(kernels, monkeypatch):
    from scratchgrad.dispatch import KERNELS

    if not kernels:
        monkeypatch.delitem(KERNELS["embedding"], "cpu")
    ids = np.array([[0, 2, 1], [2, 2, 0]])
    for padding, row in [(2, 2), (-3, 0), (None, None)]:
        weight = Tensor(np.ones((3, 2)), True)
        F.embedding(weight, ids, padding_idx=padding).sum().backward()
        wanted = [[count] * 2 if i != row else [0, 0] for i, count in enumerate([2, 1, 3])]
        assert weight.grad.tolist() == wanted
    with pytest.raises(ValueError, match="padding_idx 3 is none of the 3 rows"):
        F.embedding(np.ones((3, 2)), ids, padding_idx=3)


# Scattering


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_with_ties_and_zeros_is_that_of_pytorch(reduce, include_self):
    x = np.array([[1.0, 0.0, 3.0, 2.0], [2.0, 2.0, 0.0, 1.0]])
    source = np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    indices = np.array([[0, 1, 0], [1, 1, 3]])
    options = {"reduce": reduce, "include_self": include_self}
    if not include_self:
        x += 100  # where x does not count, PyTorch still gives it a share of the gradient if it is as large
    same(
        in_ours(lambda x, s: F.scatter_reduce(x, indices, s, axis=1, **options), x, source),
        in_torch(lambda torch, x, s: torch.scatter_reduce(x, 1, torch.tensor(indices), s, **options), x, source),
    )


def test_of_several_that_meet_the_last_stands_and_it_alone_has_a_gradient():
    x, source = Tensor(np.zeros(3), True), Tensor(np.array([1.0, 2.0, 3.0]), True)
    out = F.scatter(x, np.array([1, 1, -1]), source, axis=0)
    out.sum().backward()
    assert (out.data.tolist(), x.grad.tolist(), source.grad.tolist()) == ([0, 2, 3], [1, 0, 0], [0, 1, 1])
    with pytest.raises(ValueError, match="reduce is one of sum, prod, mean, amax, amin, and it is 'median'"):
        F.scatter_reduce(x, np.array([1]), np.ones(1), axis=0, reduce="median")
    with pytest.raises(ValueError, match="the mask holds at 3 places, and source has 2 elements"):
        F.masked_scatter(x, np.ones(3, bool), np.ones(2))
    mask = Tensor(np.array([True, False, True]))
    put = F.index_put(Tensor(np.zeros(3)), 5.0, index=mask)
    assert put.data.tolist() == [5, 0, 5]


def test_questions_that_give_several_answers():
    values, inverse, counts = F.unique(np.array([[3, 1], [3, 2]]), return_inverse=True, return_counts=True)
    assert (values.data.tolist(), inverse.data.tolist(), counts.data.tolist()) == (
        [1, 2, 3],
        [[2, 0], [2, 1]],
        [1, 1, 2],
    )
    rows, columns = F.nonzero(Tensor(np.array([[0, 1], [1, 0]])))
    assert (rows.data.tolist(), columns.data.tolist()) == ([0, 1], [1, 0])
    x = Tensor(np.arange(9.0).reshape(3, 3))
    assert x[F.tril_indices(3, -1)].data.tolist() == [3, 6, 7]
    assert F.searchsorted(np.array([1, 2, 2, 3]), 2).item() == 1
    assert F.searchsorted(np.array([1, 2, 2, 3]), Tensor(np.array([2, 9])), side="right").data.tolist() == [3, 4]


def test_masks_have_the_operators_of_python():
    a, b = Tensor(np.array([True, True, False])), np.array([True, False, False])
    assert (a & b).data.tolist() == (b & a).data.tolist() == [True, False, False]
    assert (a | b).data.tolist() == (b | a).data.tolist() == [True, True, False]
    assert (a ^ b).data.tolist() == (b ^ a).data.tolist() == [False, True, False]
    assert (~a).data.tolist() == [False, False, True]
    assert (Tensor(np.array([6, 5])) & 3).data.tolist() == [2, 1]
    assert (1 | Tensor(np.array([6, 5]))).data.tolist() == [7, 5]
    with pytest.raises(TypeError, match="bitwise_and"):
        Tensor(np.ones(2)) & Tensor(np.ones(2))


# Convolution


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 3}, {"groups": 2, "stride": 3}]
)
def test_conv1d_is_that_of_pytorch(options):
    groups = options.get("groups", 1)
    arrays = [draw((2, 4, 11)), draw((6, 4 // groups, 3)), draw(6)]
    same(
        in_ours(lambda *t: F.conv1d(*t, **options), *arrays),
        in_torch(lambda torch, *t: torch.nn.functional.conv1d(*t, **options), *arrays),
    )


def test_a_convolution_that_does_not_fit():
    x, w = np.ones((1, 4, 5)), np.ones((2, 4, 3))
    for words, call in [
        ("does not|do not fit", lambda: F.conv1d(x, np.ones((2, 4, 6)))),
        ("3 groups of 4 channels", lambda: F.conv1d(x, w, groups=3)),
        ("must be 1 or more", lambda: F.conv1d(x, w, stride=0)),
        (r"x must be \(batch, in_channels, time\)", lambda: F.conv1d(x[0], w)),
        ("5 groups must divide the 4 channels", lambda: F.group_norm(x, num_groups=5)),
        (r"one number for each channel", lambda: F.group_norm(x, np.ones(3), num_groups=2)),
        ("must be even", lambda: F.glu(np.ones(3))),
        ("repeats must name 5 counts", lambda: F.repeat(x, repeats=[1, 2], axis=2)),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
