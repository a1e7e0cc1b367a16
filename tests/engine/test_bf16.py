"""bf16 products: right to the rounding of their operands, the same bits on any number of threads, and never stale."""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from threading import Barrier
from weakref import ref

import numpy as np
import pytest
from ml_dtypes import bfloat16

from scratchgrad import Tensor, UserError, fixed_weights, manual_seed, models, precision, set_precision, set_threads
from scratchgrad import functional as F
from scratchgrad.dispatch import KERNELS
from scratchgrad.kernels import cpu
from scratchgrad.models.output import output_cross_entropy
from scratchgrad.threads import threads, tiles

pytestmark = pytest.mark.usefixtures("two_threads")
kernels = cpu.bf16
draw = np.random.default_rng(0).standard_normal
ROUNDING = 2**-9  # of one operand to 8 bits, at most, as a share of it


def single(*shape: int) -> np.ndarray:
    return draw(shape).astype(np.float32)


def available(name: str, library: str) -> object:
    if find_spec(library) is None:
        return pytest.param(None, marks=pytest.mark.skip(f"the extra `fast` is not installed: no {library}"), id=name)
    module = import_module(f"scratchgrad.kernels.cpu.{name}")
    if name == "bf16_avx512" and not module.has_the_instruction():
        return pytest.param(None, marks=pytest.mark.skip("the processor has no AVX512-BF16"), id=name)
    return pytest.param(module, id=name)


MULTIPLIERS = [available("bf16_numkong", "numkong"), available("bf16_avx512", "llvmlite")]


@pytest.fixture(params=MULTIPLIERS)
def in_bf16(request, monkeypatch):
    """Both ways to multiply, whichever this machine would choose."""
    monkeypatch.setattr(kernels, "multiplier", lambda: request.param)
    set_precision("bf16")
    yield request.param
    set_precision("float32")


def turned(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.view(np.uint16).T).view(bfloat16)


@pytest.mark.parametrize("by", MULTIPLIERS)
@pytest.mark.parametrize(
    ("rows", "columns", "depth"), [(1, 1, 1), (8, 48, 2), (9, 50, 7), (67, 97, 301), (40, 16, 2500)]
)
def test_a_product_is_that_of_the_rounded_operands_however_they_lie(by, rows, columns, depth):
    a, b = draw((rows, depth)).astype(bfloat16), draw((columns, depth)).astype(bfloat16)
    want = a.astype(np.float64) @ b.astype(np.float64).T
    seen = set()
    for left in (by.left(a), by.left(turned(a), transposed=True)):
        for right in (by.right(b), by.right(turned(b), transposed=True)):
            for size in (8, 24, rows):
                got = np.full((rows, columns), np.nan, np.float32)
                for cut in tiles(rows, size):
                    by.multiply(left, right, got, cut)
                assert np.abs(got - want).max() <= 1e-6 * np.sqrt(depth) * np.abs(want).max()  # float32's sums
                seen.add(got.tobytes())
    assert len(seen) == 1, "neither the layout nor the cut changes a bit"


@pytest.mark.parametrize("by", MULTIPLIERS)
def test_numbers_are_rounded_to_the_nearest(by):
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 3e38, np.inf, -np.inf, np.nan, 0.0], np.float32)
    x = np.concatenate([single(1001) * np.logspace(-20, 20, 1001), ties]).astype(np.float32)
    got = np.empty(x.shape, bfloat16)
    by.round_into(x, got)
    np.testing.assert_array_equal(got.astype(np.float32), x.astype(bfloat16).astype(np.float32))


ids = np.where(np.arange(600) % 7 == 0, -100, np.arange(600) * 11 % 500)
OPS = {
    "linear": (lambda x, w, b: F.linear(x, w, b), [single(2, 301, 25), single(501, 25), single(501)]),
    "feed forward": (lambda x, u, d: F.swiglu_feed_forward(x, u, d), [single(2, 301, 25), 0.2 * single(202, 25), single(31, 101)]),
    "loss": (
        lambda x, w, b: F.linear_cross_entropy(x, w, ids, b, label_smoothing=0.1, z_loss=0.01),
        [single(600, 25), 0.2 * single(500, 25), single(500)],  # logits of a size that models have
    ),
    "losses by token": (
        lambda x, w, b: F.linear_cross_entropy(x, w, ids, b, label_smoothing=0.1, z_loss=0.01, reduction="none"),
        [single(600, 25), 0.2 * single(500, 25), single(500)],
    ),
}  # fmt: skip

IN_A_ROW = {"feed forward": 2}  # products that round what others have made, if more than one


def run(name: str) -> list[np.ndarray]:
    function, arrays = OPS[name]
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    out = function(*leaves)
    out.backward(np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape))
    return [out.data, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("name", OPS)
def test_values_and_gradients_are_as_close_to_float32_as_the_rounding_of_two_operands(name, in_bf16):
    assert precision() == "bf16"
    got = run(name)
    set_precision("float32")
    for mine, exact in zip(got, run(name), strict=True):
        assert mine.dtype == np.float32
        assert np.linalg.norm(mine - exact) <= IN_A_ROW.get(name, 1) * 2 * ROUNDING * np.linalg.norm(exact)
    assert any((mine != exact).any() for mine, exact in zip(got, run(name), strict=True)), "it did round"


@pytest.mark.parametrize("name", OPS)
def test_the_number_of_threads_changes_no_bit(name, in_bf16):
    before, seen = threads(), set()
    try:
        for count in (1, 2, 3):
            set_threads(count)
            seen.add(b"".join(array.tobytes() for array in run(name)))
    finally:
        set_threads(before)
    assert len(seen) == 1


def test_other_dtypes_and_empty_products_are_as_ever(in_bf16):
    x, weight = Tensor(draw((3, 5))), Tensor(draw((4, 5)))
    np.testing.assert_array_equal(F.linear(x, weight).data, x.data @ weight.data.T)
    assert F.linear(np.zeros((0, 5), np.float32), single(4, 5)).shape == (0, 4)
    with pytest.raises(ValueError, match=r"the last axes of x \(5\) and of weight \(6\) must agree"):
        F.linear(single(3, 5), single(4, 6))


@pytest.mark.parametrize(("x", "weight"), [
    (draw((3, 5)), single(4, 5)), (single(3, 5), draw((4, 5))), (single(3, 5), single(4, 6)),
    (single(0, 5), single(4, 5)), (single(3, 5), single(0, 5)),
], ids=["double x", "double weight", "widths that disagree", "no rows", "no outputs"])  # fmt: skip
def test_what_bf16_declines_is_what_float32_computes(in_bf16, x, weight):
    targets = np.zeros(len(x), int)
    assert kernels.linear(x, weight) is NotImplemented
    assert kernels.linear_cross_entropy(x, weight, targets, needs_input_grad=(True,) * 4) is NotImplemented

    def outcome(call, *arrays):
        leaves = [Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        try:
            out = call(*leaves)
        except (ValueError, IndexError) as error:
            return str(error)
        out.backward(np.ones(out.shape))
        return [(array.dtype, array.tobytes()) for array in (out.data, *(leaf.grad for leaf in leaves[:2]))]

    calls = (lambda: outcome(F.linear, x, weight)), (lambda: outcome(F.linear_cross_entropy, x, weight, targets))
    got = [call() for call in calls]
    set_precision("float32")
    assert got == [call() for call in calls]


def test_only_needed_gradients_are_made(in_bf16):
    x, weight = Tensor(single(60, 25), requires_grad=True), single(500, 25)
    F.linear_cross_entropy(x, weight, ids[:60]).backward()
    assert x.grad is not None
    assert F.linear_cross_entropy(x.detach(), weight, ids[:60]).node is None


def small_llama() -> models.Llama:
    manual_seed(0)
    return models.build(models.config_from_dict({
        "model_type": "llama", "vocab_size": 300, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 72, "max_position_embeddings": 32, "tie_word_embeddings": True,
    }))  # fmt: skip


def gradients(recompute_every: int = 0) -> dict[str, np.ndarray]:
    model = small_llama()
    model.recompute_every = recompute_every
    text = np.random.default_rng(1).integers(0, 300, (4, 33))
    loss = output_cross_entropy(model.lm_head, model.hidden_states(Tensor(text[:, :-1])), Tensor(text[:, 1:]))
    loss.backward()
    return {"loss": loss.data, **{name: p.grad for name, p in model.named_parameters()}}


def test_the_gradients_of_a_llama_are_close_to_those_of_float32(in_bf16):
    got = gradients()
    set_precision("float32")
    exact = gradients()
    assert abs(got["loss"] - exact["loss"]) <= 1e-4 * exact["loss"]
    for name, grad in exact.items():  # some twenty roundings on the way down, that do not know of each other
        assert np.linalg.norm(got[name] - grad) <= 20**0.5 * 2 * ROUNDING * np.linalg.norm(grad), name


def test_recomputation_changes_no_bit(in_bf16):
    kept, again = gradients(), gradients(recompute_every=1)
    assert all(np.array_equal(kept[name], again[name]) for name in kept)


def test_fixed_weights_are_prepared_once_and_let_go(in_bf16, monkeypatch):
    made = []
    for name in ("pack", "pack_transposed"):
        prepare = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda weight, prepare=prepare: made.append(weight) or prepare(weight))
    x, weight = Tensor(single(20, 8), requires_grad=True), Tensor(single(6, 8), requires_grad=True)
    with fixed_weights():
        for _ in range(3):
            F.linear(x, weight).sum().backward()
    assert len(made) == 2, "one as it is, one transposed"
    made.clear()
    gone = ref(weight.data)
    del weight
    gc.collect()
    assert gone() is None


def test_a_weight_that_was_changed_is_read_anew(in_bf16):
    x, weight = single(20, 8), single(6, 8)
    with fixed_weights():
        before = F.linear(x, weight).data
    weight *= 2
    np.testing.assert_array_equal(F.linear(x, weight).data, 2 * before)
    with fixed_weights():
        np.testing.assert_array_equal(F.linear(x, weight).data, 2 * before)


def test_precisions_are_switched_back_and_forth():
    before = {name: dict(known) for name, known in KERNELS.items()}
    set_precision("float32")
    assert {name: dict(known) for name, known in KERNELS.items()} == before
    with pytest.raises(UserError, match="precision 'fp8' is not known; it is one of float32, bf16"):
        set_precision("fp8")
    assert precision() == "float32"


@pytest.mark.parametrize(("setting", "hidden", "words"), [
    ("on", "'numkong', 'llvmlite'", "precision bf16 needs numkong: install scratchgrad[fast], or use precision float32"),
    ("off", "", "precision bf16 is made of kernels: do not set SCRATCHGRAD_KERNELS=off, or use float32"),
])  # fmt: skip
def test_what_is_missing_is_named(setting, hidden, words):
    code = f"import sys; sys.modules.update(dict.fromkeys([{hidden}])); import scratchgrad; scratchgrad.set_precision('bf16')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"SCRATCHGRAD_KERNELS": setting, "PATH": ""}, capture_output=True, text=True
    )
    assert f"UserError: {words}" in done.stderr


def test_the_sums_of_a_block_stay_in_registers():
    """LLVM may put any of the 24 sums on the stack, and does if several rows are read ahead of their use: half the speed."""
    by, binding = import_avx512()
    machine = binding.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(cpu="znver4", opt=3)
    lines = machine.emit_assembly(by._optimized(machine)).splitlines()
    assert sum("vdpbf16ps" in line for line in lines) == by.ROWS * by.COLUMNS // by.VECTOR
    assert [line for line in lines if "zmm" in line and "rsp" in line] == []


def test_threads_that_start_together_compile_once(monkeypatch):
    by, _ = import_avx512()
    compiled, text, start = [], by._program(), Barrier(4)

    def program() -> str:
        compiled.append(text)
        return text

    def find(_: int) -> object:
        start.wait()
        return by._function("multiply", 10)

    monkeypatch.setattr(by, "_program", program)
    by._function.cache_clear()
    by._engine.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(find, range(4)))
    assert len(compiled) == 1


def import_avx512() -> tuple:
    """The module and LLVM, which compiles for processors that it does not run on."""
    binding = pytest.importorskip("llvmlite.binding", reason="the extra `fast` is not installed: no llvmlite")
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return import_module("scratchgrad.kernels.cpu.bf16_avx512"), binding
