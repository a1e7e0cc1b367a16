"""A kernel may be faster than its op, and nothing else."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from scratchgrad import Tensor, fixed_weights, manual_seed, set_threads
from scratchgrad.dispatch import KERNELS, REGISTERED, SPECIFICATIONS
from scratchgrad.kernels.cpu import products
from scratchgrad.operators import OPS
from scratchgrad.threads import threads

pytestmark = pytest.mark.usefixtures("two_threads")
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
ragged = [Tensor(single(3, 6, 1, 40)), Tensor(single(3, 3, 910, 40)), Tensor(single(3, 3, 910, 40))]
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
    "ragged_attention": (ragged, {"lengths": np.array([900, 7, 7])}),
    "ragged_attention, a bias": ([*ragged, Tensor(single(1, 6, 1, 900))], {"lengths": np.array([1, 900, 899]), "scale": 0.3}),
    "ragged_attention, several queries": ([Tensor(single(3, 6, 5, 40)), *ragged[1:]], {"lengths": np.array([5, 70, 70]), "is_causal": True}),
    "linear_cross_entropy": ([single(600, 24), single(500, 24), ids, single(500)], {}),
    "linear_cross_entropy, mean": ([single(600, 24), single(500, 24), ids, single(500)], {"reduction": "mean", "z_loss": 0.1}),
    "linear_cross_entropy, none": ([single(600, 24), single(500, 24), ids, single(500)], {"reduction": "none", "label_smoothing": 0.1}),
}  # fmt: skip


# What a kernel does not serve. The same form; an op's error is an error however it is computed.
DECLINED = {
    "linear, widths that disagree": ([single(300, 24), single(501, 25)], {}),
    "matmul, a vector on the left": ([single(512), single(512, 401)], {}),
    "matmul, a vector on the right": ([single(512, 401), single(401)], {}),
    "matmul, a stack": ([single(3, 12, 8), single(3, 8, 5)], {}),
    "matmul, widths that disagree": ([single(300, 24), single(25, 501)], {}),
    "rms_norm, small": ([single(5, 7), single(7)], {}),
    "rms_norm, one weight": ([single(2100, 131), single(1)], {}),
    "layer_norm, small": ([single(5, 7), single(7), single(7)], {}),
    "layer_norm, one weight": ([single(2100, 131), single(1)], {}),
    "swiglu, small": ([single(3, 8)], {}),
    "swiglu, odd": ([single(1201, 263)], {}),
    "swiglu_feed_forward, few rows": ([single(3, 24), single(2 * 67, 24), single(31, 67)], {}),
    "swiglu_feed_forward, large weights": ([single(2, 1027, 24), single(2 * 4001, 24), single(31, 4001)], {}),
    "gelu, small": ([single(5, 7)], {}),
    "gelu, double precision": ([single(300, 131).astype(np.float64)], {"approximate": "tanh"}),
    "gelu, of another name": ([single(300, 131)], {"approximate": "erf"}),
    "rotary, small": ([single(2, 3, 96, 48), np.cos(angles[0, 0]).astype("f"), np.sin(angles[0, 0]).astype("f")], {"heads": 2}),
    "scaled_dot_product_attention, dropout": (heads, {"is_causal": True, "dropout_p": 0.2}),
}  # fmt: skip
WHOLE_DOMAIN = {
    "ragged_attention",
    "embedding",
    "grouped_linear",
    "linear_cross_entropy",
}  # these kernels never decline


def op_of(name: str) -> str:
    return name.partition(",")[0]


def run(name: str) -> list[np.ndarray]:
    arrays, options = (INPUTS | DECLINED)[name]
    manual_seed(0)
    leaves = [a if isinstance(a, Tensor) else Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    out = OPS[op_of(name)](*leaves, **options)
    if out.requires_grad:
        out.backward(np.random.default_rng(1).standard_normal(out.shape, dtype=np.float32))
    return [out.data, *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def without_kernels(monkeypatch) -> None:
    """Of other ops neither: an op may be made of them."""
    for kernels in KERNELS.values():
        monkeypatch.delitem(kernels, "cpu", raising=False)


def test_every_kernel_is_tested_here():
    names = {name for name, kernels in KERNELS.items() if kernels}
    assert names == set(map(op_of, INPUTS)) == set(map(op_of, DECLINED)) | WHOLE_DOMAIN


@pytest.mark.parametrize("precision", REGISTERED)
def test_a_kernel_has_the_signature_of_its_op(precision):
    def parameters(function):
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    for (name, _), kernel in REGISTERED[precision].items():
        assert parameters(kernel) == parameters(SPECIFICATIONS[name]), name


@pytest.mark.parametrize("name", DECLINED)
def test_what_a_kernel_declines_is_what_the_op_computes(name, monkeypatch):
    answers, (serve,) = [], KERNELS[op_of(name)]["cpu"]

    def spied(*args, **options):
        answers.append(serve(*args, **options))
        return answers[-1]

    def outcome() -> object:
        try:
            return [(array.dtype, array.tobytes()) for array in run(name)]
        except ValueError as error:
            return str(error)

    monkeypatch.setitem(KERNELS[op_of(name)], "cpu", (spied,))
    got = outcome()
    assert answers == [NotImplemented]
    monkeypatch.delitem(KERNELS[op_of(name)], "cpu")
    assert got == outcome()


@pytest.mark.parametrize(
    ("order", "value", "slope"), [("declines", 14, 7), ("declines, triples", 42, 21), ("triples, declines", 42, 21)]
)
def test_kernels_are_asked_in_their_order_and_the_op_comes_last(order, value, slope, monkeypatch):
    asked = []

    def declines(a, b):
        asked.append("declines")
        return NotImplemented

    def triples(a, b):
        asked.append("triples")
        return 3 * a * b, lambda grad: (3 * grad * b, None)

    kernels = tuple({"declines": declines, "triples": triples}[name] for name in order.split(", "))
    monkeypatch.setitem(KERNELS["mul"], "cpu", kernels)
    x = Tensor([2.0], requires_grad=True)
    out = x * 7.0
    out.backward()
    assert (out.item(), x.grad.item()) == (value, slope)
    assert asked == order.removesuffix(", declines").split(", ")


@pytest.mark.parametrize("name", INPUTS)
def test_a_kernel_agrees_with_its_op(name, monkeypatch):
    fast = run(name)
    without_kernels(monkeypatch)
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
    code = "import scratchgrad; from scratchgrad.dispatch import KERNELS; print(sum(map(len, KERNELS.values())))"
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
