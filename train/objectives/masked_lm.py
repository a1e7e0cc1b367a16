"""Masked language modelling: hidden tokens are predicted from both sides (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from scratchgrad import Tensor
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, BertForMaskedLM, BertModel, Model
from scratchgrad.models.output import output_cross_entropy, output_layer
from scratchgrad.nn import Module
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.random import Purpose, generator
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import Array, Batch, BatchField, Window, WindowBatches, stack_rows
from scratchgrad.train.objectives.objective import (
    INPUT_IDS,
    TARGETS,
    LossOutput,
    Objective,
    Scores,
    bert_hidden_states,
    num_correct_tokens,
    output_of,
    select_targets,
)

SHARE = 0.15  # of ordinary tokens that are targets
MASKED, REPLACED = 0.8, 0.1  # of those; the rest is left as it is
SHORTEST_CONTEXT = 8  # two texts of a token or more, with what stands between and around them


class MaskedLM(Objective):
    """[CLS] text [SEP]. Of the targets, most become [MASK], some any token, and some stay.

    A BertModel, which has no head, is trained through its embedding: a token's logit is its row times the hidden state.
    """

    special_tokens = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    batch_fields: Mapping[str, BatchField] = {"input_ids": INPUT_IDS, "targets": TARGETS}
    trains: ClassVar[tuple[type[Model], ...]] = (BertForMaskedLM, BertModel)
    default_for = trains

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.context < SHORTEST_CONTEXT:
            raise UserError(
                f"train.context = {self.context} is too short to mask tokens in; it needs {SHORTEST_CONTEXT} or more"
            )
        special = self.layout.tokenizer.special_tokens
        self._cls, self._sep, self._mask = (special[name] for name in MaskedLM.special_tokens[1:])
        self._is_ordinary = np.ones(self.layout.tokenizer.vocab_size, bool)
        self._is_ordinary[list(special.values())] = False
        self._ordinary = np.flatnonzero(self._is_ordinary)

    def encode(self, example: Example) -> TokenizedExample:
        return self.layout.document(example.text())

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> WindowBatches:
        window = self.context - 2
        return WindowBatches(stores, weights, self.batch, window=window, stride=window, seed=self.seed)

    def batch(self, windows: Sequence[Window]) -> Batch:
        """Windows of as many tokens as the context has room for beside [CLS] and [SEP]."""
        return stack_rows([
            self.masked(
                np.concatenate([[self._cls], window.ids, [self._sep]]),
                generator(self.seed, Purpose.MASK, step=window.number),
            )
            for window in windows
        ])  # fmt: skip

    def masked(self, ids: Array, rng: np.random.Generator) -> Batch:
        """ids (context,) with 15 % of its ordinary tokens as targets: of these 80 % become [MASK], 10 % any token."""
        candidates = np.flatnonzero(self._is_ordinary[ids])
        chosen = rng.permutation(candidates)[: max(1, round(SHARE * len(candidates)))]
        targets = np.full_like(ids, IGNORE_INDEX)
        targets[chosen] = ids[chosen]
        fate = rng.random(len(chosen))
        hidden, replaced = fate < MASKED, (fate >= MASKED) & (fate < MASKED + REPLACED)
        ids = ids.copy()
        ids[chosen[hidden]] = self._mask
        ids[chosen[replaced]] = rng.choice(self._ordinary, replaced.sum())
        return {"input_ids": ids, "targets": targets}

    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> LossOutput:
        aux = AuxOutputs()
        hidden_states = bert_hidden_states(model, batch, aux)
        loss, scores = self.masked_loss(model, hidden_states, batch["targets"])
        return output_of(loss, batch["targets"], aux, scores)

    def masked_loss(
        self, model: BertForMaskedLM | BertModel, hidden_states: Tensor, targets: Tensor
    ) -> tuple[Tensor, Scores]:
        """masked_accuracy: of targets. Tokens that are none cost nothing."""
        states, targets = select_targets(hidden_states, targets)
        layer: Module
        if isinstance(model, BertForMaskedLM):
            states, layer = model.masked_head.transform(states), model.masked_head.decoder
        else:
            layer = output_layer(model.embed_tokens, is_tied=True)
        loss = output_cross_entropy(layer, states, targets, label_smoothing=self.smoothing(model))
        return loss, {} if model.training else {"masked_accuracy": num_correct_tokens(layer, states, targets)}
