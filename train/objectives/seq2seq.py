"""Sequence to sequence: a target is predicted from a source, token by token (Sutskever et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scratchgrad import Tensor
from scratchgrad.models import AuxOutputs, EncoderDecoder, Transformer
from scratchgrad.models.output import output_cross_entropy
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import Array, Batch, BatchField, ExampleBatches, pad_rows
from scratchgrad.train.objectives.objective import (
    ATTENTION_MASK,
    DECODER_TARGETS,
    INPUT_IDS,
    LossOutput,
    Objective,
    num_correct_tokens,
    output_of,
)


class Seq2SeqLoss(Objective):
    """The loss of encoder-decoders, wherever sources and targets come from."""

    def loss(self, model: EncoderDecoder, batch: Mapping[str, Tensor]) -> LossOutput:
        """token_accuracy: of targets, each given those before it."""
        aux, targets, attention_mask = AuxOutputs(), batch["targets"], batch.get("attention_mask")
        encoded = model.encode(batch["input_ids"], attention_mask, aux)
        hidden_states = model.decoder_hidden_states(model.shift_right(targets), encoded, attention_mask, aux=aux)
        loss = output_cross_entropy(model.lm_head, hidden_states, targets, label_smoothing=self.smoothing(model))
        right = {} if model.training else {"token_accuracy": num_correct_tokens(model.lm_head, hidden_states, targets)}
        return output_of(loss, targets, aux, right)


class Seq2Seq(Seq2SeqLoss):
    special_tokens = ("<pad>",)
    fields = text_fields = ("source", "target")
    batch_fields: Mapping[str, BatchField] = {
        "input_ids": INPUT_IDS,
        "attention_mask": ATTENTION_MASK,
        "targets": DECODER_TARGETS,
    }
    trains = (EncoderDecoder,)
    default_for = (Transformer,)

    def encode(self, example: Example) -> TokenizedExample:
        return self.layout.source_and_target(example.text("source"), example.text("target"))

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> ExampleBatches:
        return ExampleBatches(stores, weights, self.batch, context=self.context, seed=self.seed, row_length=longer_side)

    def batch(self, examples: Sequence[TokenizedExample]) -> Batch:
        """Padded to the longest source, and to the longest target."""
        sources = [example.ids[~example.is_target] for example in examples]
        targets = [example.ids[example.is_target] for example in examples]
        input_ids = pad_rows(sources, self.layout.padding)
        mask = np.arange(input_ids.shape[1]) < np.array([len(source) for source in sources])[:, None]
        return {"input_ids": input_ids, "attention_mask": mask, "targets": pad_rows(targets, IGNORE_INDEX)}


def longer_side(store: TokenStore) -> Array:
    """The length of each example's source or of its target, whichever is longer."""
    targets = np.add.reduceat(store.is_target, store.offsets[:-1], dtype=np.int64)
    longer: Array = np.maximum(targets, np.diff(store.offsets) - targets)
    return longer
