"""A kernel may be faster than its op, and nothing else."""

import subprocess
import sys

import numpy as np
import pytest

from scratchgrad import Tensor, fixed_weights, set_threads
from scratchgrad.kernels.cpu import products
from scratchgrad.tensor import KERNELS, OPS
from scratchgrad.threads import threads

draw = np.random.default_rng(0).standard_normal


def single(*shape: int) -> np.ndarray:
    return draw(shape).astype(np.float32)


ids = np.where(np.arange(600) % 7 == 0, -100, np.arange(600) * 11 % 500)
angles = np.multiply.outer(np.arange(7 * 96).reshape(7, 1, 96), np.linspace(0.2, 1, 24))

seen = np.arange(340) % 7 > np.arange(400).reshape(2, 1, 200, 1) % 5
seen[1, 0, 17] = False  # a query that sees nothing
bias = single(1, 6, 200, 340)
heads = [single(2, 6, 200, 24), single(2, 3, 340, 24), single(2, 3, 340, 24)]
one_query = [Tensor(single(2, 6, 1, 24)), Tensor(heads[1]), Tensor(heads[2])]  # without a gradient: a token is written
three_texts = [Tensor(single(3, 6, 1, 40)), Tensor(single(3, 3, 900, 40)), Tensor(single(3, 3, 900, 40))]

# Shapes that span several tiles of every kernel, with a remainder.
# name, and what is special -> (arrays, options); arrays of float32 get gradients, Tensors do not
INPUTS = {
    "linear": ([single(2, 300, 24), single(501, 24), single(501)], {}),
    "linear, a vector": ([single(1, 1, 288), single(16001, 288)], {}),
    "linear, four rows": ([single(4, 288), single(16001, 288)], {}),
    "linear, few rows": ([single(5, 288), single(16001, 288)], {}),
    "matmul": ([single(512, 288), single(288, 4001)], {}),
    "grouped_linear": ([single(1300, 24), single(4, 501, 24), single(4, 501)], {"counts": np.array([700, 0, 1, 599])}),
    "rms_norm": ([single(5, 997, 131), single(131)], {}),
    "layer_norm": ([single(5, 997, 131), single(131), single(131)], {}),
    "layer_norm, no bias": ([single(5, 997, 131), single(131)], {}),
    "embedding": ([single(501, 24), np.arange(3000).reshape(3, 1000) % 401], {}),
    "swiglu": ([single(3, 701, 262)], {}),
    "swiglu_feed_forward": ([single(2, 1027, 24), single(2 * 67, 24), single(31, 67)], {}),
    "swiglu_feed_forward, few rows": ([single(3, 24), single(2 * 67, 24), single(31, 67)], {}),
    "swiglu_feed_forward, weights that are in no cache": ([single(2, 1027, 24), single(2 * 4001, 24), single(31, 4001)], {}),
    "swiglu_feed_forward, x alone": ([single(2, 1027, 24), Tensor(single(2 * 67, 24)), Tensor(single(31, 67))], {}),
    "swiglu_feed_forward, gate_up alone": ([Tensor(single(2, 1027, 24)), single(2 * 67, 24), Tensor(single(31, 67))], {}),
    "swiglu_feed_forward, down alone": ([Tensor(single(2, 1027, 24)), Tensor(single(2 * 67, 24)), single(31, 67)], {}),
    "gelu": ([3 * single(7, 50, 997)], {}),
    "gelu, by tanh": ([3 * single(7, 50, 997)], {"approximate": "tanh"}),
    "rotary": ([single(7, 10, 96, 48), np.cos(angles[0, 0]).astype("f"), np.sin(angles[0, 0]).astype("f")], {"heads": 7}),
    "rotary, texts that stand elsewhere": ([single(7, 10, 96, 48), np.cos(angles).astype("f"), np.sin(angles).astype("f")], {}),
    "scaled_dot_product_attention": (heads, {"is_causal": True}),
    "scaled_dot_product_attention, no past": ([single(2, 6, 300, 24), *(single(2, 3, 300, 24) for _ in range(2))], {"is_causal": True}),
    "scaled_dot_product_attention, a bias": ([*heads, bias], {"is_causal": True, "scale": 1.0}),
    "scaled_dot_product_attention, a bias of each text": ([*heads, np.where(seen, bias, -np.inf)], {}),
    "scaled_dot_product_attention, booleans": ([*heads, seen], {}),
    "scaled_dot_product_attention, a constant bias": ([*heads, Tensor(bias[0])], {}),
    "scaled_dot_product_attention, one query": (one_query, {"is_causal": True}),
    "scaled_dot_product_attention, one query, booleans": ([*one_query, seen[:, :, :1]], {"scale": 0.3}),
    "scaled_dot_product_attention, one query, a constant bias": ([*one_query, Tensor(np.where(seen[:, :, :1], bias[:, :, :1], -np.inf).astype("f"))], {}),
    "scaled_dot_product_attention, one query, another order of axes": ([Tensor(np.asfortranarray(t.data)) for t in one_query] + [seen[:, :, :1]], {}),
    "scaled_dot_product_attention, one query each of several texts": (three_texts, {}),
    "scaled_dot_product_attention, one query each of several texts, booleans": ([*three_texts, np.arange(900) > np.arange(3).reshape(3, 1, 1, 1)], {}),
    "linear_cross_entropy": ([single(600, 24), single(500, 24), ids, single(500)], {}),
}  # fmt: skip


def op_of(name: str) -> str:
    return name.partition(",")[0]


def run(name: str) -> list[np.ndarray]:
    arrays, options = INPUTS[name]
    leaves = [a if isinstance(a, Tensor) else Tensor(a, requires_grad=a.dtype == np.float32) for a in arrays]
    out = OPS[op_of(name)](*leaves, **options)
    if out.requires_grad:
        out.backward(np.random.default_rng(1).standard_normal(out.shape, dtype=np.float32))
    return [out.data, *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def test_every_kernel_is_tested_here():
    assert {name for name, kernels in KERNELS.items() if kernels} == set(map(op_of, INPUTS))


@pytest.mark.parametrize("name", INPUTS)
def test_a_kernel_agrees_with_its_op(name, monkeypatch):
    fast = run(name)
    monkeypatch.delitem(KERNELS[op_of(name)], "cpu")
    for got, want in zip(fast, run(name), strict=True):
        assert got.dtype == want.dtype
        assert np.linalg.norm(got - want) <= 2e-6 * np.linalg.norm(want)  # a dozen roundings of float32


@pytest.mark.parametrize("name", INPUTS)
def test_the_number_of_threads_changes_no_bit(name):
    before, seen = threads(), set()
    try:
        for count in (1, 2, 3, 8):
            set_threads(count)
            seen.add(b"".join(array.tobytes() for array in run(name)))
    finally:
        set_threads(before)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("rows", "outputs", "depth"), [(2, 64, 288), (16, 16001, 288), (47, 63, 5), (5, 0, 7), (5, 7, 0)]
)
def test_few_rows_by_a_fixed_weight_are_what_they_are_by_any(rows, outputs, depth, monkeypatch):
    """Texts that are written at once: the weight is brought into another order, and only once."""
    made = []
    monkeypatch.setattr(
        products, "in_panels", lambda weight, way=products.in_panels: made.append(weight) or way(weight)
    )
    x, weight = single(rows, depth), single(outputs, depth)
    want, before, seen = x.astype(np.float64) @ weight.T.astype(np.float64), threads(), set()
    try:
        with fixed_weights():
            for count in (1, 2, 3):
                set_threads(count)
                got = OPS["linear"](x, weight).data
                assert got.dtype == np.float32
                assert np.linalg.norm(got - want) <= 2e-6 * np.linalg.norm(want)
                seen.add(got.tobytes())
    finally:
        set_threads(before)
    assert (len(seen), len(made)) == (1, 1 if weight.size else 0)


def test_the_environment_can_turn_them_off():
    code = "import scratchgrad; from scratchgrad.tensor import KERNELS; print(sum(map(len, KERNELS.values())))"
    for setting, want in (("off", "0"), ("on", str(sum(map(len, KERNELS.values()))))):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={"SCRATCHGRAD_KERNELS": setting, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == want


@pytest.mark.parametrize(("rows", "outputs"), [(0, 5), (3, 0), (0, 0)])
def test_nothing_is_a_matrix_too(rows, outputs):
    """A shard in which no token is asked for multiplies no rows."""
    leaves = [Tensor(single(*shape), requires_grad=True) for shape in ((rows, 4), (outputs, 4), (outputs,))]
    OPS["linear"](*leaves).sum().backward()
    assert all(leaf.grad.shape == leaf.shape for leaf in leaves)
    np.testing.assert_array_equal(leaves[2].grad, np.full(outputs, rows))
