"""Classes of whole texts or of pairs of texts, or numbers that stand for them (Devlin et al. 2019, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import array_module
from scratchgrad.errors import UserError, quoted
from scratchgrad.models import (
    AuxOutputs,
    BertConfig,
    BertForSequenceClassification,
    DecoderForSequenceClassification,
    ModelConfig,
    T5ForSequenceClassification,
)
from scratchgrad.models.labels import Labels
from scratchgrad.models.t5_heads import T5ClassifierConfig
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample
from scratchgrad.tools.text import Example
from scratchgrad.tools.tokenizer import NAMES_OF_PADDING, Tokenizer
from scratchgrad.train.batches import BatchField
from scratchgrad.train.objectives.objective import LossOutput, bert_hidden_states, num_correct, output_of
from scratchgrad.train.objectives.sentences import SENTENCE_FIELDS, SentenceObjective


class SequenceClassification(SentenceObjective):
    """An example has `text`, `label`, and `text_pair` where texts come in pairs.

    A model for regression (model.problem_type: regression, or a single label) is given a number as `label`, or a list
    of as many numbers as it has labels; its loss is the squared difference. One for several labels of a text
    (multi_label_classification) is given a list of the names of those that hold, or a list with a number from 0 to 1
    for each; its loss is binary cross-entropy, each label by itself.
    """

    fields = ("text", "label")
    text_fields = ("text", "text_pair")
    batch_fields: Mapping[str, BatchField] = {
        **SENTENCE_FIELDS,
        "targets": BatchField("(batch,)", np.int64, IGNORE_INDEX),
    }
    config: Labels  # type: ignore[assignment]  # of a BERT, or of a decoder that classifies
    trains = default_for = (
        BertForSequenceClassification, DecoderForSequenceClassification, T5ForSequenceClassification
    )  # fmt: skip

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.has_numbers:
            self.batch_fields = {**SENTENCE_FIELDS, "targets": BatchField("(batch, labels)", np.float32, np.nan)}

    @property
    def has_numbers(self) -> bool:
        """Is the target a number for each label, and not one class?"""
        return self.config.is_regression or self.config.is_multi_label

    @classmethod
    def encoding(cls, config: Any) -> str:
        kind = "" if isinstance(config, BertConfig) else " decoder"
        return super().encoding(config) + (" t5" if isinstance(config, T5ClassifierConfig) else kind)

    @classmethod
    def special_tokens_for(cls, config: type[ModelConfig], tokenizer: Tokenizer) -> tuple[str, ...]:
        """A decoder's texts need one that fills rows up, and no other."""
        names = super().special_tokens_for(config, tokenizer)
        return names if issubclass(config, BertConfig) else tuple(name for name in names if name in NAMES_OF_PADDING)

    def encode(self, example: Example) -> TokenizedExample:
        """Columns label, or label_0, label_1, ... where there is a number for each label."""
        pair = example.text("text_pair") if "text_pair" in example.fields else None
        encoded, label = self._laid_out(example.text(), pair), example.value("label")
        if self.config.is_multi_label:
            numbers = self._which(label, example)
        elif self.config.is_regression:
            numbers = self._numbers(label, example)
        else:
            labels = {"label": np.array(self.label_id(label, example))}
            return TokenizedExample(encoded.ids, encoded.is_target, {**encoded.columns, **labels})
        labels = {f"label_{i}": np.array(n, np.float32) for i, n in enumerate(numbers)}
        return TokenizedExample(encoded.ids, encoded.is_target, {**encoded.columns, **labels})

    def _laid_out(self, text: str, pair: str | None) -> TokenizedExample:
        """As BERT has texts; for a T5 an end behind each text; for a decoder begin text, and between texts an end."""
        if isinstance(self.config, BertConfig):
            return self.layout.sentences(text, pair)
        if isinstance(self.config, T5ClassifierConfig):
            ids = [*self.layout.source(text), *([] if pair is None else self.layout.source(pair))]
            return TokenizedExample.of((ids, False), token_type_ids=[0] * len(ids))
        ids = self.layout.prompt(text)
        if pair is not None:
            ids += [self.layout.end, *self.layout.tokenizer.encode(pair)]
        return TokenizedExample.of((ids, False), token_type_ids=[0] * len(ids))

    def _numbers(self, label: Any, example: Example) -> list[float]:
        numbers = [_number_in(n) for n in (label if isinstance(label, list) else [label])]
        if len(numbers) != self.config.num_labels or None in numbers:
            raise UserError(
                f"'{example.name}': label {quoted(label)} is not what regression needs: "
                f"{self.config.num_labels} number(s)"
            )
        return [number for number in numbers if number is not None]

    def _which(self, label: Any, example: Example) -> list[float]:
        """For each label of the model, how much it holds."""
        count = self.config.num_labels
        if not isinstance(label, list):
            raise UserError(
                f"'{example.name}': label {quoted(label)} is no list, of the labels that hold or of {count} "
                "numbers from 0 to 1"
            )
        if all(isinstance(name, str) for name in label):
            held = {self.label_id(name, example) for name in label}
            return [float(i in held) for i in range(count)]
        numbers = [_number_in(float(n) if isinstance(n, bool) else n) for n in label]
        if len(numbers) != count or not all(n is not None and 0 <= n <= 1 for n in numbers):
            raise UserError(
                f"'{example.name}': label {quoted(label)} is not {count} numbers from 0 to 1, one for each label"
            )
        return [number for number in numbers if number is not None]

    def targets(self, examples: Sequence[TokenizedExample]) -> np.ndarray[Any, Any]:
        if not self.has_numbers:
            return np.array([example.columns["label"] for example in examples], np.int64)
        names = [f"label_{i}" for i in range(self.config.num_labels)]
        return np.array([[example.columns[name] for name in names] for example in examples], np.float32)

    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> LossOutput:
        """accuracy: of texts; of the labels of all texts, where each may have several; none for regression."""
        aux, targets = AuxOutputs(), batch["targets"]
        logits = self._logits(model, batch, aux)
        if self.has_numbers:
            xp, numbers = array_module(targets.data), targets.data.reshape(logits.shape)
            rows = xp.flatnonzero(xp.isfinite(numbers).all(axis=1))
            return self._loss_of_numbers(model, F.take(logits, rows), numbers[rows], aux)
        loss = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.smoothing(model))
        return output_of(loss, targets, aux, {} if model.training else {"accuracy": num_correct(logits, targets)})

    def _logits(self, model: Any, batch: Mapping[str, Tensor], aux: AuxOutputs) -> Tensor:
        if isinstance(model, BertForSequenceClassification):
            return model.head(bert_hidden_states(model, batch, aux))
        last = model.last_tokens(batch["input_ids"], batch["attention_mask"])
        mask = (batch["attention_mask"],) if isinstance(model, T5ForSequenceClassification) else ()
        logits: Tensor = model.head(model.hidden_states(batch["input_ids"], *mask, aux=aux), last)
        return logits

    def _loss_of_numbers(self, model: Any, logits: Tensor, numbers: Any, aux: AuxOutputs) -> LossOutput:
        count, scores = int(numbers.size), {}
        if self.config.is_multi_label:
            share = self.smoothing(model)  # over the two classes of each label
            wanted = Tensor(numbers * (1 - share) + share / 2)
            loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
            if not model.training:
                scores = {"accuracy": (int(((logits.data > 0) == (numbers > 0.5)).sum()), count)}
        else:
            loss = F.mse_loss(logits, Tensor(numbers), reduction="sum")
        return LossOutput(aux.add_to(loss, count), count, aux.metrics(), scores)


def _number_in(value: Any) -> float | None:
    """The number that a value is, or that it spells, as all do in a table; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
