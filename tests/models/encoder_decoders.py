"""What holds for every encoder-decoder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scratchgrad import Tensor, manual_seed, models, no_grad
from scratchgrad.models import EncoderDecoder
from tests.models.losses import loss_of
from tests.models.parity import Example

Batch = dict[str, np.ndarray]


def batch(vocab_size: int) -> Batch:
    """Two texts, the second of seven tokens, each with a target, the first of six."""
    rng = np.random.default_rng(1)
    mask = np.ones((2, 12), bool)
    mask[1, 7:] = False
    targets = rng.integers(0, vocab_size, (2, 10))
    targets[0, 6:] = -100
    return {"input_ids": rng.integers(0, vocab_size, (2, 12)), "targets": targets, "attention_mask": mask}


def logits(model: EncoderDecoder, batch: Batch) -> Tensor:
    return model(
        Tensor(batch["input_ids"]), model.shift_right(Tensor(batch["targets"])), Tensor(batch["attention_mask"])
    )


def loss(model: EncoderDecoder, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    return loss_of(model, label_smoothing=label_smoothing, **batch).loss


def check(example: Example, folder: Path) -> None:
    model = example.model(folder)
    example.check(model, logits(model, example.batch))


def check_saving(model: EncoderDecoder, folder: Path) -> None:
    models.save(model, folder)
    again = models.load(folder)
    assert again.config == model.config
    for (name, a), (other, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert np.array_equal(a, b)


def check_recomputation(build: Callable[[], EncoderDecoder], every: int) -> None:
    """The same bits of the loss and of every gradient: those of shared biases, and of the encoder behind the memory."""

    def run(recompute_every: int) -> list[bytes]:
        model = build()
        model.recompute_every = recompute_every
        manual_seed(7)
        value = loss(model, batch(model.config.vocab_size))
        value.backward()
        return [value.data.tobytes(), *(parameter.grad.tobytes() for parameter in model.parameters())]

    assert run(0) == run(every)


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
        memory, cache = model.encode(Tensor(given["input_ids"]), mask), model.new_cache(2)
        first = model.decode(read[:, :4], cache, memory, mask).data
        steps = [model.decode(read[:, t : t + 1], cache, None).data for t in range(4, 10)]
        alone = model.decode(read, None, memory, mask).data
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
        memory, caches = model.encode(Tensor(given["input_ids"]), mask), []
        for row, length in enumerate(lengths):
            cache = model.new_cache()
            model.decode(read[row : row + 1, :length], cache, memory[row : row + 1], mask[row : row + 1])
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
    """Smoothed in training, and not in evaluation."""
    given = batch(model.config.vocab_size)
    with no_grad():
        scores = logits(model, given).data.astype(np.float64)
        in_training, in_evaluation = (
            loss(model.train(is_training), given, smoothing).item() for is_training in (True, False)
        )
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    places = [place for place in np.ndindex(given["targets"].shape) if given["targets"][place] >= 0]
    told = -sum(log_p[place][given["targets"][place]] for place in places)
    spread = -sum(log_p[place].mean() for place in places)
    np.testing.assert_allclose(in_evaluation, told, rtol=1e-6)
    np.testing.assert_allclose(in_training, (1 - smoothing) * told + smoothing * spread, rtol=1e-6)
