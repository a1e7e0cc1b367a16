"""What the tests of all causal families ask of theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchgrad import Tensor, manual_seed, models, no_grad
from scratchgrad.models import Decoder
from tests.models.losses import loss_of
from tests.models.parity import CLOSE, Example


def check_example(example: Example, folder: Path) -> None:
    """Logits, loss and all gradients of the model that a folder with the example's config and weights holds."""
    model = example.model(folder)
    assert isinstance(model, Decoder)
    example.check(model, model(Tensor(example.batch["input_ids"])))


def check_both_directions(model: Decoder, folder: Path) -> None:
    """What we save opens in transformers with equal logits, and what it saves is the same model here."""
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    models.save(model, folder, {"eos_token_id": 3})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(theirs).__name__ == model.architecture
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, 9))
    with no_grad(), torch.no_grad():
        wanted = theirs(torch.tensor(ids)).logits.numpy()
        np.testing.assert_allclose(model(Tensor(ids)).data, wanted, rtol=0, atol=CLOSE)
    assert np.abs(wanted).max() > 100 * CLOSE
    theirs.save_pretrained(folder / "theirs")
    again = models.load(folder / "theirs")
    assert again.config == model.config
    check_equal(again, model)


def check_equal(model: models.Model, other: models.Model) -> None:
    """The same parameters, bit for bit."""
    ours, theirs = model.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert np.array_equal(array, theirs[name]), name


def check_recomputation(build: Callable[[], Decoder], every: int) -> None:
    """Loss and gradients are the same bits if blocks are forgotten and run again."""
    ids = np.random.default_rng(0).integers(0, 50, (2, 32))

    def run(recompute_every: int) -> list[bytes]:
        model = build()
        model.recompute_every = recompute_every
        manual_seed(7)
        loss = loss_of(model, input_ids=ids, targets=ids[:, ::-1].copy()).loss
        loss.backward()
        return [loss.data.tobytes(), *(p.grad.tobytes() for p in model.parameters())]

    assert run(0) == run(every)


def check_cache(model: Decoder, ids: np.ndarray[Any, Any]) -> None:
    """Token by token with a cache, the logits are those of the text read at once."""
    model.eval()
    with no_grad():
        whole, cache = model(Tensor(ids)).data, model.new_cache(len(ids))
        for place in range(ids.shape[1]):
            step = model.decode(Tensor(ids[:, place : place + 1]), cache).data
            np.testing.assert_allclose(step, whole[:, place], rtol=0, atol=1e-5)
