"""Causal language modelling: every token is predicted from those before it (Radford et al. 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scratchgrad import Tensor
from scratchgrad.models import AuxOutputs, Decoder
from scratchgrad.models.output import output_cross_entropy
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import Batch, BatchField, Window, WindowBatches
from scratchgrad.train.objectives.objective import INPUT_IDS, TARGETS, LossOutput, Objective, output_of


class CausalLM(Objective):
    batch_fields: Mapping[str, BatchField] = {"input_ids": INPUT_IDS, "targets": TARGETS}
    trains = default_for = (Decoder,)
    reports_bits_per_byte = True

    def encode(self, example: Example) -> TokenizedExample:
        return self.layout.document(example.text())

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> WindowBatches:
        return WindowBatches(stores, weights, self.batch, window=self.context + 1, stride=self.context, seed=self.seed)

    def batch(self, windows: Sequence[Window]) -> Batch:
        """Windows of context + 1 tokens: what is read, and what is predicted, one token later."""
        ids = np.stack([window.ids for window in windows])
        is_target = np.stack([window.is_target for window in windows])
        return {"input_ids": ids[:, :-1], "targets": np.where(is_target, ids, IGNORE_INDEX)[:, 1:]}

    def loss(self, model: Decoder, batch: Mapping[str, Tensor]) -> LossOutput:
        aux = AuxOutputs()
        hidden_states = model.hidden_states(batch["input_ids"], aux=aux)
        loss = output_cross_entropy(
            model.lm_head, hidden_states, batch["targets"], label_smoothing=self.smoothing(model)
        )
        return output_of(loss, batch["targets"], aux)
