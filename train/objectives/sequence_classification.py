"""Classes of whole texts or of pairs of texts, or numbers that stand for them (Devlin et al. 2019, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.backend import array_module
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, BertForSequenceClassification
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import BatchField
from scratchgrad.train.objectives.objective import LossOutput, bert_hidden_states, num_correct, output_of
from scratchgrad.train.objectives.sentences import SENTENCE_FIELDS, SentenceObjective


class SequenceClassification(SentenceObjective):
    """An example has `text`, `label`, and `text_pair` where texts come in pairs.

    A model for regression (model.problem_type: regression, or a single label) is given a number as `label`, or a list
    of as many numbers as it has labels; its loss is the squared difference.
    """

    fields = ("text", "label")
    text_fields = ("text", "text_pair")
    batch_fields: Mapping[str, BatchField] = {
        **SENTENCE_FIELDS,
        "targets": BatchField("(batch,)", np.int64, IGNORE_INDEX),
    }
    trains = default_for = (BertForSequenceClassification,)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.config.problem_type == "multi_label_classification":
            raise UserError(
                "model.problem_type = multi_label_classification: such a model can be used, and not be trained; the "
                "objective sequence_classification learns one class of each text, or numbers"
            )
        if self.config.is_regression:
            self.batch_fields = {**SENTENCE_FIELDS, "targets": BatchField("(batch, labels)", np.float32, np.nan)}

    def encode(self, example: Example) -> TokenizedExample:
        """Columns label, or label_0, label_1, ... for regression."""
        pair = example.text("text_pair") if "text_pair" in example.fields else None
        encoded, label = self.layout.sentences(example.text(), pair), example.value("label")
        if not self.config.is_regression:
            labels = {"label": np.array(self.label_id(label, example))}
        else:
            labels = {f"label_{i}": np.array(n, np.float32) for i, n in enumerate(self._numbers(label, example))}
        return TokenizedExample(encoded.ids, encoded.is_target, {**encoded.columns, **labels})

    def _numbers(self, label: Any, example: Example) -> list[float]:
        numbers = label if isinstance(label, list) else [label]
        are_numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
        if len(numbers) != self.config.num_labels or not are_numbers:
            raise UserError(
                f"'{example.name}': label {label!r} is not what regression needs: {self.config.num_labels} number(s)"
            )
        return numbers

    def targets(self, examples: Sequence[TokenizedExample]) -> np.ndarray[Any, Any]:
        if not self.config.is_regression:
            return np.array([example.columns["label"] for example in examples], np.int64)
        names = [f"label_{i}" for i in range(self.config.num_labels)]
        return np.array([[example.columns[name] for name in names] for example in examples], np.float32)

    def loss(self, model: BertForSequenceClassification, batch: Mapping[str, Tensor]) -> LossOutput:
        """accuracy: of texts; none for regression."""
        aux, targets = AuxOutputs(), batch["targets"]
        logits = model.head(bert_hidden_states(model, batch, aux))
        if self.config.is_regression:
            xp, numbers = array_module(targets.data), targets.data.reshape(logits.shape)
            rows = xp.flatnonzero(xp.isfinite(numbers).all(axis=1))
            known = Tensor(numbers[rows])
            squares = F.mse_loss(F.take(logits, rows), known, reduction="sum")
            return LossOutput(aux.add_to(squares, known.size), known.size, aux.metrics())
        loss = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.smoothing(model))
        return output_of(loss, targets, aux, {} if model.training else {"accuracy": num_correct(logits, targets)})
