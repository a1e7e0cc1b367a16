"""What a model is trained for: how examples become tokens, tokens a batch, and a batch a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import array_module, to_device
from scratchgrad.models import AuxOutputs, Metrics, Model, ModelConfig
from scratchgrad.models.bert import Bert
from scratchgrad.models.output import CHUNK_TOKENS
from scratchgrad.nn import Module
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TextLayout, TokenizedExample, TokenStore
from scratchgrad.tools.text import Example, Source
from scratchgrad.tools.tokenizer import NAMES_OF_PADDING, Tokenizer
from scratchgrad.train.batches import Batch, Batches, BatchField

Scores = dict[str, tuple[int, int]]  # by name how often the model is right, and of how many times

INPUT_IDS = TOKEN_TYPE_IDS = BatchField("(batch, time)", np.int64)
ATTENTION_MASK = BatchField("(batch, time)", np.bool_)  # True for tokens, False for padding
TARGETS = BatchField("(batch, time)", np.int64, IGNORE_INDEX)  # IGNORE_INDEX where nothing is asked
DECODER_TARGETS = TARGETS._replace(shape="(batch, target_time)")


@dataclass(frozen=True)
class LossOutput:
    """What a forward pass came to.

    loss: one number, the sum over the targets that count; divided by num_targets it is what one minimises.
    metrics: integers that the model counted. scores: of a model in evaluation.
    """

    loss: Tensor
    num_targets: int
    metrics: Metrics = field(default_factory=dict)
    scores: Scores = field(default_factory=dict)


class Objective(ABC):
    """One file of `train/objectives` each; the file's name is the value of `train.objective`.

    special_tokens: what the tokenizer must have, beside the token between documents; one that is learnt gets them.
    fields: of an example, which `encode` reads. text_fields: those that hold text, from which a tokenizer is learnt.
    batch_fields: the arrays of a batch, by the names that `loss` reads.
    trains: the classes of models that it can train, with their subclasses. default_for: those of them that it trains
    where a recipe names no objective; of several objectives the one that names the nearest class of the model's.
    reports_bits_per_byte: every token of the text is a target once, so that the loss can be given per byte of text.
    sections: of the recipe, which its constructor takes by these names.
    """

    special_tokens: ClassVar[tuple[str, ...]] = ()
    fields: ClassVar[tuple[str, ...]] = ("text",)
    text_fields: ClassVar[tuple[str, ...]] = ("text",)
    batch_fields: Mapping[str, BatchField]
    trains: ClassVar[tuple[type[Model], ...]]
    default_for: ClassVar[tuple[type[Model], ...]] = ()
    reports_bits_per_byte: ClassVar[bool] = False
    sections: ClassVar[tuple[str, ...]] = ()

    label_smoothing = 0.0

    def __init__(
        self, layout: TextLayout, config: ModelConfig, *, context: int, seed: int = 0, label_smoothing: float = 0.0
    ) -> None:
        """layout: how text is laid out for a model of this config. context: tokens of a row, at most.

        seed: of all that is drawn for a row, beside its number. label_smoothing: the share of a target that is spread
        over all classes, in training alone (Szegedy et al. 2016, section 7).
        """
        self.layout, self.config, self.context, self.seed = layout, config, context, seed
        self.label_smoothing = label_smoothing

    @classmethod
    def encoding(cls, config: ModelConfig) -> str:
        """A name for the way to encode examples, another one wherever the same example would be encoded otherwise."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def special_tokens_for(cls, config: type[ModelConfig], tokenizer: Tokenizer) -> tuple[str, ...]:
        """Those of special_tokens that texts for a model of this config need, whatever made its tokenizer.

        A token that fills rows up does so under either of its names.
        """
        has_padding = tokenizer.padding is not None
        return tuple(name for name in cls.special_tokens if not (has_padding and name in NAMES_OF_PADDING))

    @classmethod
    def reads(cls, source: Source) -> Source:
        """A source of a recipe as this objective reads it: by default as it is."""
        return source

    def told_at_start(self, stores: Sequence[TokenStore]) -> list[str]:
        """What is to be told of the training data before the first step, line by line."""
        return []

    @abstractmethod
    def encode(self, example: Example) -> TokenizedExample:
        """An example as the token store keeps it; UserError where one of its fields does not do."""

    @abstractmethod
    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> Batches:
        """Batches over windows of the stores' tokens, or over their examples; `batch` makes their arrays.

        weights: in which ratio the stores give rows.
        """

    @abstractmethod
    def batch(self, rows: Any, /) -> Batch:
        """The arrays of batch_fields. rows: windows of text, or tokenized examples, as `batches` chose."""

    @abstractmethod
    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> LossOutput:
        """One forward pass over a batch; scores come out of the same pass, where the model is in evaluation.

        model: of one of the classes that `trains` names. batch: tensors of the batch_fields, on the model's device.
        """

    def smoothing(self, model: Model) -> float:
        """label_smoothing for a model in training, 0 for one in evaluation."""
        return self.label_smoothing if model.training else 0.0


def output_of(loss: Tensor, targets: Tensor, aux: AuxOutputs, scores: Scores | None = None) -> LossOutput:
    """loss: the sum over all targets that are not IGNORE_INDEX. Auxiliary losses are added to it."""
    count = num_targets(targets)
    return LossOutput(aux.add_to(loss, count), count, aux.metrics(), scores or {})


def num_targets(targets: Tensor) -> int:
    return int((targets.data != IGNORE_INDEX).sum())


def num_correct(logits: Tensor, targets: Tensor) -> tuple[int, int]:
    """How many targets (...,) have the highest of logits (..., classes), and how many are not IGNORE_INDEX."""
    return int((logits.data.argmax(axis=-1) == targets.data).sum()), num_targets(targets)


def num_correct_tokens(output_layer: Module, hidden_states: Tensor, targets: Tensor) -> tuple[int, int]:
    """As `num_correct`, of logits output_layer(hidden_states) that never exist as a whole.

    hidden_states (..., hidden_size), targets (...,) integers.
    """
    tokens, flat, right = hidden_states.reshape(-1, hidden_states.shape[-1]), targets.data.reshape(-1), 0
    for start in range(0, len(flat), CHUNK_TOKENS):
        chunk = slice(start, start + CHUNK_TOKENS)
        right += num_correct(output_layer(tokens[chunk]), Tensor(flat[chunk]))[0]
    return right, num_targets(targets)


def select_targets(hidden_states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The hidden states (count, hidden_size) and targets (count,) of the tokens whose target is not IGNORE_INDEX.

    hidden_states (..., hidden_size); targets integers of its leading shape.
    """
    flat = targets.data.reshape(-1)
    places = array_module(flat).flatnonzero(flat != IGNORE_INDEX)
    return F.take(hidden_states.reshape(-1, hidden_states.shape[-1]), places), Tensor(flat[places])


def bert_hidden_states(model: Bert, batch: Mapping[str, Tensor], aux: AuxOutputs) -> Tensor:
    """(batch, time, hidden_size) of the batch's input_ids, with its token_type_ids and its attention_mask, if any."""
    return model.hidden_states(batch["input_ids"], batch.get("token_type_ids"), batch.get("attention_mask"), aux)


def on_device(batch: Batch, device: str) -> dict[str, Tensor]:
    return {name: Tensor(to_device(array, device)) for name, array in batch.items()}
