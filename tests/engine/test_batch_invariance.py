"""Inside `batch_invariant()`, a row has the bits that it has alone: wherever it stands, and whatever stands beside it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, fixed_weights, set_threads
from scratchgrad import functional as F
from scratchgrad.batch_invariance import batch_invariant, is_batch_invariant
from scratchgrad.threads import threads


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


WIDTH = 288
weight, bias, gate_up = normal(865, WIDTH), normal(865), normal(2 * 100, WIDTH)
experts, expert_bias = normal(3, 130, WIDTH), normal(3, 130)
down, gain, shift = normal(WIDTH, 100), normal(WIDTH), normal(WIDTH, seed=1)
ROW_WISE = {
    "linear": lambda x: F.linear(x, weight, bias),
    "linear, deep": lambda x: F.linear(F.concatenate([x] * 12, axis=-1), normal(70, 12 * WIDTH)),
    "swiglu_feed_forward": lambda x: F.swiglu_feed_forward(x, gate_up, down),
    "swiglu": F.swiglu,
    "gelu": F.gelu,
    "gelu, by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "relu": F.relu,
    "rms_norm": lambda x: F.rms_norm(x, gain),
    "layer_norm": lambda x: F.layer_norm(x, gain, shift),
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "topk_routing": lambda x: F.topk_routing(x, 2)[0],
}


@pytest.mark.parametrize("name", ROW_WISE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 20, 33, 130, 1000]))
def test_rows_in_any_company_are_the_rows_alone(name, dtype, seed, count):
    if dtype == np.float64 and count > 100:
        return
    rows = normal(count, 1, WIDTH, seed=seed, dtype=dtype)
    if name == "topk_routing":
        rows = rows[:, 0, :8]
    picked = np.random.default_rng(seed).integers(0, count, 3)
    with batch_invariant(), fixed_weights():
        together = ROW_WISE[name](Tensor(rows)).data
        for row in picked:
            assert np.array_equal(ROW_WISE[name](Tensor(rows[row : row + 1])).data[0], together[row])


@given(st.integers(0, 2**32), st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_a_row_meets_its_expert_in_any_company(seed, chosen):
    rows, chosen = normal(len(chosen), WIDTH, seed=seed), np.sort(chosen)
    with batch_invariant(), fixed_weights():
        counts = np.bincount(chosen, minlength=3)
        together = F.grouped_linear(rows, experts, expert_bias, counts=counts).data
        for row, expert in enumerate(chosen):
            alone = F.grouped_linear(rows[row : row + 1], experts, expert_bias, counts=np.eye(3, dtype=int)[expert])
            assert np.array_equal(alone.data[0], together[row])


@given(
    st.integers(0, 2**32), st.lists(st.integers(1, 200), min_size=1, max_size=12), st.sampled_from([1, 3]),
    st.integers(0, 9), st.booleans(),
)  # fmt: skip
def test_a_row_looks_at_its_own_keys_and_at_nothing_else(seed, lengths, time, room, has_bias):
    lengths = np.array(lengths) + time
    count, longest = len(lengths), int(lengths.max())
    query, keys = normal(count, 6, time, 24, seed=seed), normal(2, count, 2, longest + room, 24, seed=seed)
    bias = normal(1, 6, time, longest) if has_bias else None
    for row, length in enumerate(lengths):
        keys[:, row, :, length:] = np.nan
    options = {"is_causal": True}
    together = F.ragged_attention(query, *keys, bias, lengths=lengths, **options).data
    for row in range(count):
        one, length = slice(row, row + 1), lengths[row]
        own = None if bias is None else bias[..., longest - length :]
        alone = F.ragged_attention(query[one], *keys[:, one, :, :length].copy(), own, lengths=lengths[one], **options)
        assert np.array_equal(alone.data[0], together[row])


def test_the_number_of_threads_and_of_tasks_changes_no_bit():
    before, seen = threads(), set()
    try:
        for count in (1, 2, 3, 8):
            set_threads(count)
            with batch_invariant(), fixed_weights():
                seen.add(F.linear(normal(7, WIDTH), normal(16001, WIDTH)).data.tobytes())
    finally:
        set_threads(before)
    assert len(seen) == 1


def test_values_are_those_of_the_ops_otherwise():
    for call in ROW_WISE.values():
        rows = Tensor(normal(7, 8 if call is ROW_WISE["topk_routing"] else WIDTH))
        with batch_invariant(), fixed_weights():
            got = call(rows).data
        np.testing.assert_allclose(got, call(rows).data, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rows", "outputs", "depth"), [(0, 5, 4), (3, 0, 4), (3, 5, 0), (0, 0, 0)])
def test_nothing_is_a_matrix_too(rows, outputs, depth):
    with batch_invariant(), fixed_weights():
        assert np.array_equal(F.linear(normal(rows, depth), normal(outputs, depth)).data, np.zeros((rows, outputs)) + (
            normal(rows, depth) @ normal(outputs, depth).T))  # fmt: skip


def test_the_mode_ends_with_its_block_and_nothing_else_changes():
    rows = normal(20, WIDTH)
    with fixed_weights():
        before = F.linear(rows, weight).data
        with batch_invariant():
            assert is_batch_invariant()
            with pytest.raises(ZeroDivisionError), batch_invariant():
                raise ZeroDivisionError
            assert is_batch_invariant()
        assert not is_batch_invariant()
        assert np.array_equal(F.linear(rows, weight).data, before)
