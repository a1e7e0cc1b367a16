"""What a BERT is pre-trained for (Devlin et al. 2019, section 3.1): hidden tokens, and the next sentence."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.bert import Bert, BertConfig, counted, weight_and_bias
from scratchgrad.models.feed_forward import ACTIVATIONS
from scratchgrad.models.model import Objective, Scores
from scratchgrad.models.weights import Piece, WeightMap
from scratchgrad.nn import LayerNorm, Linear, Module, Parameter
from scratchgrad.ops.cross_entropy import IGNORE_INDEX


class MaskedHead(Module):
    """States to logits, by the rows of the embedding and a bias of their own, behind one more layer."""

    def __init__(self, config: BertConfig) -> None:
        self.activation = ACTIVATIONS[config.hidden_act]
        self.dense = Linear(config.hidden_size, config.hidden_size, std=config.initializer_range)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = Parameter(np.zeros(config.vocab_size, np.float32))

    def transformed(self, states: Tensor) -> Tensor:
        out: Tensor = self.norm(self.activation(self.dense(states)))
        return out

    def forward(self, states: Tensor, weight: Tensor) -> Tensor:
        """states (..., hidden), weight (vocabulary, hidden); logits (..., vocabulary)."""
        return F.linear(self.transformed(states), weight, self.bias)

    def loss(self, states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """The sum of -log p(target) over the targets that count; the other states cost nothing here."""
        states, targets = counted(states, targets)
        return F.linear_cross_entropy(self.transformed(states), weight, targets, self.bias)

    def right(self, states: Tensor, weight: Tensor, targets: Tensor) -> tuple[int, int]:
        """How many targets are the likeliest token, and of how many."""
        states, targets = counted(states, targets)
        return right(self(states, weight), targets)


class BertForMaskedLM(Bert):
    """Tells tokens that are hidden, or that stand in for others."""

    architecture = "BertForMaskedLM"
    objectives: ClassVar[tuple[Objective, ...]] = ("masked",)
    has_pooler = False
    tied = ("cls.predictions.decoder.weight",)
    # What a pre-trained model has beside: the authors' own models are published as of this architecture.
    buffers: ClassVar[tuple[str, ...]] = (*Bert.buffers, r"(bert\.pooler\.dense|cls\.seq_relationship)\.(weight|bias)")

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.masked_head = MaskedHead(config)

    def forward(self, ids: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """As `mask_logits`."""
        return self.mask_logits(ids, token_types, mask)

    def mask_logits(self, ids: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """ids, token_types (batch, time) integers; logits (batch, time, vocabulary) of what stands at each place."""
        out: Tensor = self.masked_head(self.hidden(ids, token_types, mask), self.embed_tokens.weight)
        return out

    def loss(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The sum of -log p(target) over all targets that are not -100; ids and targets (batch, time)."""
        aux = AuxOutputs()
        states = self.hidden(ids, token_types, mask, aux)
        loss = self.masked_head.loss(states, self.embed_tokens.weight, targets)
        return self.with_auxiliary(loss, aux, targets)

    def scores(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Scores:
        """masked_accuracy: of tokens."""
        states = self.hidden(ids, token_types, mask)
        return {"masked_accuracy": self.masked_head.right(states, self.embed_tokens.weight, targets)}

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        theirs = "cls.predictions"
        return {
            **super().weight_map(config),
            **weight_and_bias("masked_head.dense", [f"{theirs}.transform.dense"], config.hidden_size),
            **weight_and_bias("masked_head.norm", [f"{theirs}.transform.LayerNorm"], config.hidden_size),
            "masked_head.bias": [Piece(f"{theirs}.bias", config.vocab_size, copies=(f"{theirs}.decoder.bias",))],
        }


class BertForPreTraining(BertForMaskedLM):
    """Tells hidden tokens, and whether the second part of a text followed the first: logits 0 for yes, 1 for no."""

    architecture = "BertForPreTraining"
    objectives: ClassVar[tuple[Objective, ...]] = ("masked_next_sentence", "masked")
    has_pooler = True
    buffers = Bert.buffers

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.next_sentence = Linear(config.hidden_size, 2, std=config.initializer_range)

    def forward(  # type: ignore[override]
        self, ids: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """ids, token_types (batch, time); logits (batch, time, vocabulary), and (batch, 2) of the next sentence."""
        states = self.hidden(ids, token_types, mask)
        return self.masked_head(states, self.embed_tokens.weight), self.next_sentence(self.pooled(states))

    def loss(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        next_sentence_targets: Tensor | None = None,
    ) -> Tensor:
        """The sum of -log p(target) over all targets that are not -100; next_sentence_targets (batch,).

        The mean loss of next_sentence_targets is added times the number of targets: divided by that number, the sum is
        what the paper minimises, the mean loss of tokens and the mean loss of pairs.
        """
        aux = AuxOutputs()
        states = self.hidden(ids, token_types, mask, aux)
        loss = self.masked_head.loss(states, self.embed_tokens.weight, targets)
        loss = self.with_auxiliary(loss, aux, targets)
        if next_sentence_targets is None:
            return loss
        pairs = F.cross_entropy(self.next_sentence(self.pooled(states)), next_sentence_targets)
        return loss + pairs * int((targets.data != IGNORE_INDEX).sum())

    def scores(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        next_sentence_targets: Tensor | None = None,
    ) -> Scores:
        """masked_accuracy: of tokens. next_sentence_accuracy: of pairs."""
        states = self.hidden(ids, token_types, mask)
        scores = {"masked_accuracy": self.masked_head.right(states, self.embed_tokens.weight, targets)}
        if next_sentence_targets is not None:
            scores["next_sentence_accuracy"] = right(self.next_sentence(self.pooled(states)), next_sentence_targets)
        return scores

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("next_sentence", ["cls.seq_relationship"], 2)}


def right(logits: Tensor, targets: Tensor) -> tuple[int, int]:
    """How many targets (count,) are where logits (count, classes) are highest, and how many there are but for -100."""
    is_right = logits.data.argmax(axis=-1) == targets.data
    return int(is_right.sum()), int((targets.data != IGNORE_INDEX).sum())
