"""The same model on a GPU: the same numbers, as far as float32 sums in another order allow."""

import numpy as np
import pytest

from scratchgrad import Tensor, manual_seed, models, no_grad
from scratchgrad.backend import to_device, to_numpy
from scratchgrad.random import RngState, fork_rng
from tests.models import checks

pytestmark = pytest.mark.gpu

CONFIG = {
    "model_type": "llama", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": 64, "tie_word_embeddings": True,
}  # fmt: skip


def on(device: str, recompute_every: int = 0):
    manual_seed(0)
    model = models.build(models.config_from_dict(CONFIG), dropout=0.1).to(device)
    model.recompute_every = recompute_every
    rng = np.random.default_rng(1)
    ids, targets = rng.integers(0, 300, (2, 4, 64))
    targets[0, :7] = -100
    with fork_rng(RngState(seed=3, step=2)):
        loss = checks.loss(model, {"input_ids": to_device(ids, device), "targets": to_device(targets, device)})
        loss.backward()
    return loss.item(), {name: to_numpy(p.grad) for name, p in model.named_parameters()}


def test_loss_and_gradients_are_those_of_the_cpu(gpu):
    (loss, gradients), (wanted_loss, wanted) = on(gpu), on("cpu")
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-3, atol=1e-4 * abs(wanted[name]).max(), err_msg=name)


def test_recomputation_and_repetition_keep_every_bit(gpu):
    loss, gradients = on(gpu)
    for recompute_every in (0, 1, 2):
        again_loss, again = on(gpu, recompute_every)
        assert again_loss == loss
        assert all(np.array_equal(again[name], gradients[name]) for name in gradients)


def test_the_cache_gives_the_logits_of_the_whole_text(gpu):
    manual_seed(0)
    model = models.build(models.config_from_dict(CONFIG)).to(gpu)
    ids = to_device(np.random.default_rng(0).integers(0, 300, (1, 40)), gpu)
    with no_grad():
        whole, cache = to_numpy(model(Tensor(ids)).data), model.new_cache()
        steps = [to_numpy(model.decode(Tensor(ids[:, i : i + 1]), cache).data) for i in range(40)]
    np.testing.assert_allclose(np.stack(steps, axis=1), whole, atol=1e-5)


def test_texts_of_unlike_lengths_go_on_as_on_the_cpu(gpu):
    def logits(device):
        manual_seed(0)
        model = models.build(models.config_from_dict(CONFIG)).to(device)
        with no_grad():
            read = [model.prefill(list(range(length))) for length in (3, 20, 9)]
            joined = model.new_cache(0)
            for _, cache in read:
                joined.extend(cache)
            first = model.decode(Tensor(to_device(np.array([[5], [6], [7]]), device)), joined).data
            joined.select([0, 0, 2])
            joined.select([1, 2])
            second = model.decode(Tensor(to_device(np.array([[8], [9]]), device)), joined).data
        return np.concatenate([to_numpy(first), to_numpy(second)])

    np.testing.assert_allclose(logits(gpu), logits("cpu"), atol=1e-5)
