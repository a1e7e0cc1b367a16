"""A linear classifier of hashed words and pairs of words, trained with scratchgrad's own tensors and optimizer.

Logistic regression: the weights of a text's features are added up, times 1 / sqrt(their number), and a bias. Features
are hashes of normalised words and of pairs of neighbouring ones, as in fastText (Joulin et al. 2017), by which DCLM
filters (Li et al. 2024, section 4.4). What is learnt follows from the texts and the seed, not from order or threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from scratchgrad import Tensor, functional, nn, no_grad
from scratchgrad.errors import UserError
from scratchgrad.files import atomic_directory, map_tensors, read_json, write_json, write_tensors
from scratchgrad.optim import AdamW
from scratchgrad.tools.curation.document import content_hash
from scratchgrad.tools.curation.hashes import hashed_words, mixed, windows

Values = np.ndarray[Any, Any]

KIND = "hashed_ngram_linear"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
MOST_BITS = 26
PIECE = 1024  # texts that are hashed at once


@dataclass(frozen=True)
class Training:
    """bits: there are 2^bits weights. holdout: the share of texts, by their hash, that are measured and not learnt.
    keep: the share of the held-out texts that the threshold told keeps.
    """

    bits: int = 18
    epochs: int = 5
    batch_size: int = 64
    lr: float = 0.02
    weight_decay: float = 0.01
    holdout: float = 0.1
    keep: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Quality:
    """Of the held-out texts: how many are right at a probability of 0.5, the area under the ROC curve, and the
    threshold that keeps the share that was asked for.
    """

    documents: int
    accuracy: float
    auc: float
    keep: float
    threshold: float


@dataclass(frozen=True)
class Features:
    """ids: of all texts in a row, (features,) int64; starts: where each text's begin, (texts + 1,) int64."""

    ids: Values
    starts: Values

    def of(self, texts: Values) -> tuple[Values, Values, Values]:
        """Of some texts, (texts,) int64: the ids in a row, the number of its text in `texts` for each, and how many
        each has.
        """
        counts = (self.starts[1:] - self.starts[:-1])[texts]
        rows = np.repeat(np.arange(len(texts)), counts)
        offsets = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.ids[np.repeat(self.starts[texts], counts) + offsets], rows, counts


def features_of(texts: Sequence[str], bits: int) -> Features:
    """Of each text its words, then its pairs of neighbouring words, as numbers below 2^bits."""
    words, starts = hashed_words(texts)
    ((_, single), (_, pairs)) = windows_of_two(words)
    text_of = np.repeat(np.arange(len(texts)), np.diff(starts))
    inside = text_of[1:] == text_of[:-1] if len(text_of) else np.zeros(0, bool)
    ids = np.concatenate([mixed(single + np.uint64(1)), mixed(pairs[inside] + np.uint64(2))]) >> np.uint64(64 - bits)
    owner = np.concatenate([text_of, text_of[1:][inside]])
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=len(texts))
    return Features(ids.astype(np.int64)[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def windows_of_two(words: Values) -> Iterator[tuple[int, Values]]:
    """(1, hashes of words), (2, hashes of pairs), which `windows` writes into one buffer after another."""
    return ((length, run.copy()) for length, run in windows(words, 2))


class LinearClassifier(nn.Module):
    """weight (2^bits, 1) and bias (1,), zeros at first: the problem is convex."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.weight = nn.Parameter(np.zeros((1 << bits, 1), np.float32))
        self.bias = nn.Parameter(np.zeros(1, np.float32))

    def forward(self, ids: Tensor, rows: Tensor, scale: Tensor, texts: int) -> Tensor:
        """ids, rows (features,): each feature and its text; scale (features, 1); returns logits, (texts,)."""
        weights = functional.embedding(self.weight, ids) * scale
        sums = functional.index_add(Tensor(np.zeros((texts, 1), np.float32)), rows, weights)
        return (sums + self.bias).reshape(texts)

    def probabilities(self, texts: Sequence[str]) -> Values:
        """(texts,) float64, that each is a good one; it does not depend on the others."""
        features = features_of(texts, self.bits)
        weight, bias = self.weight.data[:, 0].astype(np.float64), float(self.bias.data[0])
        counts = np.diff(features.starts)
        rows = np.repeat(np.arange(len(texts)), counts)
        # bincount adds one after another, text by text, so that neighbours do not round a sum differently
        sums = np.bincount(rows, weights=weight[features.ids], minlength=len(texts))
        logits = sums / np.sqrt(np.maximum(counts, 1)) + bias
        probabilities: Values = 0.5 * (1 + np.tanh(logits / 2))
        return probabilities


@dataclass
class _Texts:
    """What is learnt from: of each text its hash, its features and whether it is good."""

    bits: int
    hashes: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ids: list[Values] = field(default_factory=list)
    counts: list[Values] = field(default_factory=list)

    def add(self, texts: Iterable[str], label: int) -> None:
        for piece in _pieces(texts):
            features = features_of(piece, self.bits)
            self.hashes += [content_hash(text) for text in piece]
            self.labels += [label] * len(piece)
            self.ids.append(features.ids.astype(np.uint32))
            self.counts.append(np.diff(features.starts))

    def in_order(self) -> tuple[Values, Values, Features]:
        """Hashes (texts,) uint64, labels (texts,) float32 and features, sorted by hash and label."""
        order = np.array(sorted(range(len(self.hashes)), key=lambda n: (self.hashes[n], self.labels[n])), np.int64)
        counts = np.concatenate([np.empty(0, np.int64), *self.counts])
        features = Features(
            np.concatenate([np.empty(0, np.uint32), *self.ids]).astype(np.int64),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )
        ids, _, sizes = features.of(order)
        numbers = np.array([int.from_bytes(self.hashes[n][:8], "big") for n in order], np.uint64)
        ordered = Features(ids, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
        return numbers, np.array(self.labels, np.float32)[order], ordered


def train_classifier(good: Iterable[str], bad: Iterable[str], training: Training) -> tuple[LinearClassifier, Quality]:
    """Learn to tell good texts from bad ones; both kinds weigh the same, however many there are.

    UserError where a kind has no text to learn from, or none to measure. All features are in memory: 4 bytes each.
    """
    texts = _Texts(training.bits)
    texts.add(good, 1)
    texts.add(bad, 0)
    hashes, labels, features = texts.in_order()
    held = mixed(hashes, training.seed) < np.uint64(int(training.holdout * 2**64))
    for name, label in (("good", 1), ("bad", 0)):
        own = labels == label
        if not (own & ~held).any() or not (own & held).any():
            raise UserError(
                f"{int(own.sum())} {name} texts are too few to learn from some and measure others: "
                f"{int((own & held).sum())} of them are held out"
            )
    model = LinearClassifier(training.bits)
    _fit(model, features, labels, np.flatnonzero(~held), hashes, training)
    probabilities = _probabilities(model, features, np.flatnonzero(held))
    return model, measured_quality(probabilities, labels[held] == 1, training.keep)


def measured_quality(probabilities: Values, is_good: Values, keep: float) -> Quality:
    """probabilities (texts,), is_good (texts,) bool, of both kinds at least one."""
    values, places = np.unique(probabilities, return_inverse=True)
    counts = np.bincount(places, minlength=len(values))
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # equal ones share the mean of their ranks
    many, few = int(is_good.sum()), int((~is_good).sum())
    auc = (float(ranks[is_good].sum()) - many * (many + 1) / 2) / (many * few)
    accuracy = float(((probabilities >= 0.5) == is_good).mean())
    kept = min(len(probabilities), max(1, round(keep * len(probabilities))))
    threshold = float(np.sort(probabilities)[len(probabilities) - kept])
    return Quality(len(probabilities), accuracy, auc, keep, threshold)


def save_classifier(folder: Path, model: LinearClassifier, training: Training, quality: Quality) -> None:
    """A folder of a config and weights; FileExistsError where it is there already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(folder) as unfinished:
        config = {"model_type": KIND, "ngrams": [1, 2], "training": asdict(training), "held_out": asdict(quality)}
        write_json(unfinished / CONFIG, {"bits": model.bits, **config})
        write_tensors(unfinished / WEIGHTS, {"weight": model.weight.data[:, 0], "bias": model.bias.data})


def load_classifier(folder: Path) -> LinearClassifier:
    """UserError where the folder is none that `save_classifier` wrote."""
    config, tensors = read_json(folder / CONFIG), map_tensors(folder / WEIGHTS)
    bits = config.get("bits")
    fits = config.get("model_type") == KIND and isinstance(bits, int) and 1 <= bits <= MOST_BITS
    shapes = {name: (array.shape, array.dtype.name) for name, array in tensors.items()}
    if not fits or shapes != {"weight": ((1 << cast(int, bits),), "float32"), "bias": ((1,), "float32")}:
        raise UserError(f"'{folder}' is no filter that `scratchgrad-curate train-filter` made")
    model = LinearClassifier(cast(int, bits))
    model.weight.data[:, 0] = tensors["weight"]
    model.bias.data[:] = tensors["bias"]
    return model


def _fit(
    model: LinearClassifier, features: Features, labels: Values, chosen: Values, hashes: Values, training: Training
) -> None:
    share = float(labels[chosen].mean())
    pos_weight = (1 - share) / share
    optimizer = AdamW(model.parameters(), training.lr, weight_decay=training.weight_decay)
    for epoch in range(training.epochs):
        order = chosen[np.argsort(mixed(hashes[chosen] ^ np.uint64(epoch + 1), training.seed), kind="stable")]
        for start in range(0, len(order), training.batch_size):
            texts = order[start : start + training.batch_size]
            logits = model(*_inputs(features, texts))
            target = Tensor(labels[texts])
            loss = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=pos_weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _probabilities(model: LinearClassifier, features: Features, texts: Values) -> Values:
    with no_grad():
        parts = [
            functional.sigmoid(model(*_inputs(features, texts[start : start + PIECE]))).data
            for start in range(0, len(texts), PIECE)
        ]
    return np.concatenate(parts).astype(np.float64)


def _inputs(features: Features, texts: Values) -> tuple[Tensor, Tensor, Tensor, int]:
    ids, rows, counts = features.of(texts)
    scale = (1 / np.sqrt(np.maximum(counts, 1)))[rows].astype(np.float32)[:, None]
    return Tensor(ids), Tensor(rows), Tensor(scale), len(texts)


def _pieces(texts: Iterable[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    for text in texts:
        piece.append(text)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece
