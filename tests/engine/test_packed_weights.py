"""What is derived from a model's weights stays for as long as they do, and not a moment longer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.packed_weights import PackedModel, fingerprint


def test_packed_weights_stay_until_the_weights_are_others():
    packed, made = PackedModel(), []
    a, b, stranger = (np.random.default_rng(n).standard_normal((n, 9), np.float32) for n in (20, 7, 5))

    def make(array):
        made.append(array)
        return array.copy()

    def use(*arrays):
        """Which of these were made anew."""
        made.clear()
        for array in arrays:
            assert np.array_equal(packed.get(array, make), array)
        return [next(i for i, array in enumerate(arrays) if array is one) for one in made]

    packed.keep([a, b])
    assert use(a, b, a, stranger, stranger) == [0, 1, 3, 3], "what is no weight of the model's is not held"
    packed.keep([a, b])
    assert use(a, b) == []
    a[3, 3] += 1
    packed.keep([a, b])
    assert use(a, b) == [0]
    other = b.copy()
    packed.keep([a, other])
    assert use(a, other) == [1]
    packed.drop()
    assert use(a) == [0]


@given(st.integers(1, 5000), st.integers(0, 2**32), st.sampled_from(["one", "swap", "negate", "scale"]))
def test_a_fingerprint_tells_what_has_changed(size, seed, change):
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(size).astype(np.float32)
    before, kept = fingerprint(array), array.copy()
    i, j = rng.integers(0, size, 2)
    if change == "one":
        array[i] = np.nextafter(array[i], np.float32(np.inf))
    elif change == "swap":
        array[[i, j]] = array[[j, i]]
    elif change == "negate":
        array *= -1
    else:
        array *= np.float32(1.001)
    assert (fingerprint(array) == before) == np.array_equal(array, kept)
