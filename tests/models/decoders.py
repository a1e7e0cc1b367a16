"""What holds for every decoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchgrad import Tensor, no_grad
from scratchgrad.models import Decoder
from tests.models.checks import Batch


def batch(vocab_size: int) -> Batch:
    """Two texts, and every text backwards as its targets."""
    ids = np.random.default_rng(0).integers(0, vocab_size, (2, 32))
    return {"input_ids": ids, "targets": ids[:, ::-1].copy()}


def check_cache(model: Decoder, ids: np.ndarray[Any, Any]) -> None:
    """Token by token with a cache, the logits are those of the text read at once."""
    model.eval()
    with no_grad():
        whole, cache = model(Tensor(ids)).data, model.new_cache(len(ids))
        for place in range(ids.shape[1]):
            step = model.decode(Tensor(ids[:, place : place + 1]), cache).data
            np.testing.assert_allclose(step, whole[:, place], rtol=0, atol=1e-5)
