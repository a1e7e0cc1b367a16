"""One fixed tree of sums: whoever adds which part, the bits are the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.train.reduction import TreeSum, tree_sum


def microbatches(count, seed):
    """Numbers of very different sizes, so that another order of adding gives other bits."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(50) * 10.0 ** rng.integers(-6, 6, 50)).astype(np.float32) for _ in range(count)]


def by_ranks(values, ranks):
    """Each rank adds up its neighbours; the ranks' sums are the leaves of the rest of the tree."""
    sums = []
    for part in np.split(np.stack(values), ranks):
        own = TreeSum()
        for value in part:
            own.add([value[:3].copy(), value[3:].reshape(-1, 47).copy()])
        sums.append(np.concatenate([part.reshape(-1) for part in own.total()]))
    return tree_sum(sums)


@given(st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_any_number_of_ranks_gets_the_same_bits(levels, seed):
    values = microbatches(2**levels, seed)
    whole = by_ranks(values, 1)
    for split in range(levels + 1):
        assert by_ranks(values, 2**split).tobytes() == whole.tobytes()


def test_a_running_sum_would_give_other_bits():
    values = microbatches(8, 0)
    assert sum(values[1:], values[0]).tobytes() != by_ranks(values, 1).tobytes()


def test_other_numbers_than_powers_of_two_have_no_tree():
    own = TreeSum()
    for value in microbatches(3, 0):
        own.add([value])
    with pytest.raises(ValueError, match="not a power of two"):
        own.total()
    with pytest.raises(ValueError, match="zip"):
        tree_sum([1.0, 2.0, 3.0])
