"""Masks as Hugging Face gives them."""

import numpy as np
import pytest

from scratchgrad import Tensor
from scratchgrad.models.attention import expand_attention_mask


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
def test_a_mask_of_booleans_or_of_integers_says_which_keys_are_seen(dtype):
    given = np.array([[1, 1, 0], [1, 0, 0]])
    mask = expand_attention_mask(Tensor(given.astype(dtype)), (2, 3))
    assert mask.dtype == bool
    assert np.array_equal(mask.data, given.astype(bool)[:, None, None])
    assert expand_attention_mask(None, (2, 3)) is None


@pytest.mark.parametrize("given", [np.ones((2, 1, 1, 3), bool), np.ones((3, 2), int), np.zeros((2, 3), np.float32)])
def test_another_shape_and_numbers_to_be_added_are_refused(given):
    with pytest.raises(
        ValueError, match=r"attention_mask must be booleans or integers of shape \(2, 3\), one for each"
    ):
        expand_attention_mask(Tensor(given), (2, 3))
