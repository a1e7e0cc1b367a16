"""Classes of words, such as names of persons and places (Devlin et al. 2019, section 5.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchgrad import Tensor
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, BertForTokenClassification
from scratchgrad.models.output import output_cross_entropy
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import BatchField, pad_rows
from scratchgrad.train.objectives.objective import (
    TARGETS,
    LossOutput,
    bert_hidden_states,
    num_correct_tokens,
    output_of,
    select_targets,
)
from scratchgrad.train.objectives.sentences import SENTENCE_FIELDS, SentenceObjective


class TokenClassification(SentenceObjective):
    """An example has `words` and as many `labels`, lists both. A word's first token is the target, as in the paper."""

    fields = ("words", "labels")
    text_fields = ("words",)
    batch_fields: Mapping[str, BatchField] = {**SENTENCE_FIELDS, "targets": TARGETS}
    trains = default_for = (BertForTokenClassification,)

    def encode(self, example: Example) -> TokenizedExample:
        """[CLS] words [SEP], a space between words; a column `labels`, IGNORE_INDEX where a token has none."""
        words, labels = example.value("words"), example.value("labels")
        if not isinstance(words, list) or not isinstance(labels, list) or len(words) != len(labels):
            raise UserError(f"'{example.name}': words and labels must be two lists of one length")
        ids: list[int] = []
        ids_of_labels: list[int] = []
        for word, label in zip(words, labels, strict=True):
            tokens = self.layout.tokenizer.encode(f" {word}" if ids else str(word))
            ids += tokens
            ids_of_labels += [self.label_id(label, example), *[IGNORE_INDEX] * (len(tokens) - 1)][: len(tokens)]
        row = self.layout.with_special_tokens(ids)
        targets = np.array([IGNORE_INDEX, *ids_of_labels, IGNORE_INDEX])
        return TokenizedExample.of((row.ids, False), token_type_ids=row.segments, labels=targets)

    def targets(self, examples: Sequence[TokenizedExample]) -> np.ndarray[Any, Any]:
        return pad_rows([example.columns["labels"] for example in examples], IGNORE_INDEX)

    def loss(self, model: BertForTokenClassification, batch: Mapping[str, Tensor]) -> LossOutput:
        """accuracy: of words."""
        aux = AuxOutputs()
        states, targets = select_targets(
            model.classifier_dropout(bert_hidden_states(model, batch, aux)), batch["targets"]
        )
        loss = output_cross_entropy(model.classifier, states, targets, label_smoothing=self.smoothing(model))
        scores = {} if model.training else {"accuracy": num_correct_tokens(model.classifier, states, targets)}
        return output_of(loss, targets, aux, scores)
