"""Masked tokens, and whether one text follows another (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models import AuxOutputs, BertForPreTraining
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.data import TokenStore
from scratchgrad.train.batches import Array, Batch, BatchField, Window, WindowBatches, stack_rows
from scratchgrad.train.objectives.masked_lm import MaskedLM
from scratchgrad.train.objectives.objective import (
    TOKEN_TYPE_IDS,
    LossOutput,
    bert_hidden_states,
    num_correct,
    output_of,
)


class MaskedLMNextSentence(MaskedLM):
    """[CLS] A [SEP] B [SEP], with masked tokens. B follows A in the text half of the time, else it stands elsewhere.

    next_sentence_targets, as Hugging Face has them: 0 if B follows, 1 if not.
    """

    batch_fields: Mapping[str, BatchField] = {
        **MaskedLM.batch_fields,
        "token_type_ids": TOKEN_TYPE_IDS,  # 0 for A, 1 for B
        "next_sentence_targets": BatchField("(batch,)", np.int64, IGNORE_INDEX),
    }
    trains = default_for = (BertForPreTraining,)

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> WindowBatches:
        window = self.context - 3
        return WindowBatches(stores, weights, self.batch, window=window, stride=window, seed=self.seed)

    def batch(self, windows: Sequence[Window]) -> Batch:
        """Windows of context - 3 tokens. A B that stands elsewhere is of the window's text."""
        return stack_rows([
            self._pair(window.ids, window.text, generator(self.seed, Purpose.MASK, step=window.number))
            for window in windows
        ])  # fmt: skip

    def _pair(self, window: Array, text: Array, rng: np.random.Generator) -> Batch:
        cut = int(rng.integers(len(window) // 4, len(window) - len(window) // 4))  # both have something to go by
        first, follows = window[:cut], window[cut:]
        second = follows
        if rng.random() < 0.5:
            start = rng.integers(0, len(text) - len(follows) + 1)
            second = text[start : start + len(follows)].astype(window.dtype)
        ids = np.concatenate([[self._cls], first, [self._sep], second, [self._sep]])
        return {
            **self.masked(ids, rng),
            "token_type_ids": np.repeat([0, 1], [cut + 2, len(second) + 1]),
            "next_sentence_targets": np.array(int(not np.array_equal(second, follows))),  # chance may find what follows
        }

    def loss(self, model: BertForPreTraining, batch: Mapping[str, Tensor]) -> LossOutput:
        """The mean loss of next_sentence_targets is added times the number of targets: divided by that number, the sum
        is what the paper minimises, the mean loss of tokens and the mean loss of pairs.
        """
        aux = AuxOutputs()
        hidden_states = bert_hidden_states(model, batch, aux)
        loss, scores = self.masked_loss(model, hidden_states, batch["targets"])
        output = output_of(loss, batch["targets"], aux)
        logits, follows = model.next_sentence(model.pooled_output(hidden_states)), batch["next_sentence_targets"]
        if not model.training:
            scores["next_sentence_accuracy"] = num_correct(logits, follows)
        loss = output.loss + F.cross_entropy(logits, follows) * output.num_targets
        return replace(output, loss=loss, scores=scores)
