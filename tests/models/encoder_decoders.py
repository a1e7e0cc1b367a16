"""What holds for every encoder-decoder."""

import numpy as np

from scratchgrad import Tensor, no_grad
from scratchgrad.models import EncoderDecoder
from tests.models.checks import logits, loss


def batch(vocab_size: int) -> dict[str, np.ndarray]:
    """Two texts, the second of seven tokens, each with a target, the first of six."""
    rng = np.random.default_rng(1)
    mask = np.ones((2, 12), bool)
    mask[1, 7:] = False
    targets = rng.integers(0, vocab_size, (2, 10))
    targets[0, 6:] = -100
    return {"input_ids": rng.integers(0, vocab_size, (2, 12)), "targets": targets, "attention_mask": mask}


def check_padding(model: EncoderDecoder) -> None:
    """What only fills a source up, or a target, changes nothing of what counts."""
    whole = batch(model.config.vocab_size)
    other = {name: array.copy() for name, array in whole.items()}
    other["input_ids"][1, 7:] = (other["input_ids"][1, 7:] + 1) % model.config.vocab_size
    short = {
        "input_ids": whole["input_ids"][1:, :7],
        "targets": whole["targets"][1:],
        "attention_mask": whole["attention_mask"][1:, :7],
    }
    with no_grad():
        a, b, c = (logits(model, some).data for some in (whole, other, short))
        unpadded = model(Tensor(short["input_ids"]), model.shift_right(Tensor(short["targets"]))).data
    np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(a[1], c[0], atol=1e-5)
    np.testing.assert_allclose(unpadded, c, atol=1e-5)
    other["input_ids"][1, 6] = (other["input_ids"][1, 6] + 1) % model.config.vocab_size
    with no_grad():
        assert np.abs(logits(model, other).data[1] - a[1]).max() > 1e-3


def check_causality(model: EncoderDecoder) -> None:
    whole = batch(model.config.vocab_size)
    other = {name: array.copy() for name, array in whole.items()}
    other["targets"][1, 5:] = (other["targets"][1, 5:] + 1) % model.config.vocab_size
    with no_grad():
        a, b = (logits(model, some).data[1] for some in (whole, other))
    np.testing.assert_allclose(a[:6], b[:6], atol=1e-6)
    assert np.abs(a[6:] - b[6:]).max() > 1e-3


def check_cache(model: EncoderDecoder) -> None:
    given = batch(model.config.vocab_size)
    mask, read = Tensor(given["attention_mask"]), model.shift_right(Tensor(given["targets"]))
    with no_grad():
        wanted = logits(model, given).data
        encoder_hidden_states, cache = model.encode(Tensor(given["input_ids"]), mask), model.new_cache(2)
        first = model.decode(read[:, :4], cache, encoder_hidden_states, mask).data
        steps = [model.decode(read[:, t : t + 1], cache, None).data for t in range(4, 10)]
        alone = model.decode(read, None, encoder_hidden_states, mask).data
    np.testing.assert_allclose(first, wanted[:, 3], atol=1e-5)
    np.testing.assert_allclose(np.stack(steps, 1), wanted[:, 4:], atol=1e-5)
    np.testing.assert_allclose(alone, wanted[:, -1], atol=1e-5)


def check_joined_caches(model: EncoderDecoder) -> None:
    """Texts of unlike lengths, each with a source of its own, go on as one batch as each does alone."""
    given = batch(model.config.vocab_size)
    mask, read = Tensor(given["attention_mask"]), model.shift_right(Tensor(given["targets"]))
    lengths = (3, 6)
    with no_grad():
        wanted = logits(model, given).data
        encoder_hidden_states, caches = model.encode(Tensor(given["input_ids"]), mask), []
        for row, length in enumerate(lengths):
            cache = model.new_cache()
            model.decode(read[row : row + 1, :length], cache, encoder_hidden_states[row : row + 1], mask[row : row + 1])
            caches.append(cache)
        joined = model.new_cache(0)
        for cache in caches:
            joined.extend(cache)
        for step in range(3):
            token = np.array([[read.data[row, length + step]] for row, length in enumerate(lengths)])
            got = model.decode(Tensor(token), joined, None).data
            for row, length in enumerate(lengths):
                np.testing.assert_allclose(got[row], wanted[row, length + step], atol=1e-5)


def check_loss(model: EncoderDecoder, smoothing: float) -> None:
    """-log p(target) of the logits; a share of every target is spread over the vocabulary."""
    given = batch(model.config.vocab_size)
    with no_grad():
        scores = logits(model, given).data.astype(np.float64)
        got = loss(model, given, label_smoothing=smoothing).item()
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    places = [place for place in np.ndindex(given["targets"].shape) if given["targets"][place] >= 0]
    of_targets = -sum(log_p[place][given["targets"][place]] for place in places)
    spread = -sum(log_p[place].mean() for place in places)
    np.testing.assert_allclose(got, (1 - smoothing) * of_targets + smoothing * spread, rtol=1e-6)
