"""What a BERT is pre-trained for (Devlin et al. 2019, section 3.1): masked tokens, and the next sentence."""

from __future__ import annotations

from typing import Any, ClassVar

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.bert import Bert, BertConfig, select_targets, two_axes, weight_and_bias
from scratchgrad.models.feed_forward import ACTIVATIONS
from scratchgrad.models.model import Objective, Scores
from scratchgrad.models.output import output_cross_entropy, output_layer
from scratchgrad.models.weights import Piece, WeightMap
from scratchgrad.nn import Embedding, LayerNorm, Linear, Module
from scratchgrad.ops.cross_entropy import IGNORE_INDEX


class MaskedHead(Module):
    """Hidden states to logits: `transform`, then `decoder`, a Linear whose weight is the embedding's."""

    decoder: Module

    def __init__(self, config: BertConfig, embedding: Embedding) -> None:
        self.activation = ACTIVATIONS[config.hidden_act]
        self.decoder = output_layer(embedding, is_tied=True, bias=True)
        self.dense = Linear(config.hidden_size, config.hidden_size, std=config.initializer_range)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def transform(self, hidden_states: Tensor) -> Tensor:
        """What `decoder` takes, of hidden_states' shape."""
        out: Tensor = self.norm(self.activation(self.dense(hidden_states)))
        return out

    def forward(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (..., hidden_size); logits (..., vocabulary)."""
        logits: Tensor = self.decoder(self.transform(hidden_states))
        return logits

    def loss(self, hidden_states: Tensor, targets: Tensor) -> Tensor:
        """The sum of -log p(target) over the targets that are not IGNORE_INDEX; other tokens cost nothing here."""
        hidden_states, targets = select_targets(hidden_states, targets)
        return output_cross_entropy(self.decoder, self.transform(hidden_states), targets)

    def num_correct(self, hidden_states: Tensor, targets: Tensor) -> tuple[int, int]:
        """How many targets are the likeliest token, and of how many."""
        hidden_states, targets = select_targets(hidden_states, targets)
        return num_correct(self(hidden_states), targets)


class BertForMaskedLM(Bert):
    """Predicts masked tokens."""

    architecture = "BertForMaskedLM"
    objectives: ClassVar[tuple[Objective, ...]] = ("masked",)
    has_pooler = False
    tied = ("cls.predictions.decoder.weight",)
    # What a pre-trained model has beside: the authors' own models are published as of this architecture.
    buffers: ClassVar[tuple[str, ...]] = (*Bert.buffers, r"(bert\.pooler\.dense|cls\.seq_relationship)\.(weight|bias)")

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.masked_head = MaskedHead(config, self.embed_tokens)

    def head(self, hidden_states: Tensor) -> Any:
        """hidden_states (..., hidden_size); logits (..., vocabulary) of the token at each place."""
        return self.masked_head(hidden_states)

    def loss(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """The sum of -log p(target) over all targets that are not IGNORE_INDEX; ids and targets (batch, time)."""
        aux = aux if aux is not None else AuxOutputs()
        attention_mask = two_axes(mask)
        loss = self.masked_head.loss(self.hidden_states(ids, token_types, attention_mask, aux), targets)
        return aux.add_to(loss, int((targets.data != IGNORE_INDEX).sum()))

    def scores(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Scores:
        """masked_accuracy: of tokens."""
        attention_mask = two_axes(mask)
        hidden_states = self.hidden_states(ids, token_types, attention_mask)
        return {"masked_accuracy": self.masked_head.num_correct(hidden_states, targets)}

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        theirs = "cls.predictions"
        return {
            **super().weight_map(config),
            **weight_and_bias("masked_head.dense", [f"{theirs}.transform.dense"], config.hidden_size),
            **weight_and_bias("masked_head.norm", [f"{theirs}.transform.LayerNorm"], config.hidden_size),
            "masked_head.decoder.bias": [
                Piece(f"{theirs}.bias", config.vocab_size, copies=(f"{theirs}.decoder.bias",))
            ],
        }


class BertForPreTraining(BertForMaskedLM):
    """Predicts masked tokens, and whether the second segment followed the first: class 0 for yes, 1 for no."""

    architecture = "BertForPreTraining"
    objectives: ClassVar[tuple[Objective, ...]] = ("masked_next_sentence", "masked")
    has_pooler = True
    buffers = Bert.buffers

    next_sentence: Module

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.next_sentence = Linear(config.hidden_size, 2, std=config.initializer_range)

    def head(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """hidden_states (batch, time, hidden_size); logits (batch, time, vocabulary) and, of segments, (batch, 2)."""
        return self.masked_head(hidden_states), self.next_sentence(self.pooled_output(hidden_states))

    def loss(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        next_sentence_targets: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """The sum of -log p(target) over all targets that are not IGNORE_INDEX; next_sentence_targets (batch,).

        The mean loss of next_sentence_targets is added times the number of targets: divided by that number, the sum is
        what the paper minimises, the mean loss of tokens and the mean loss of pairs.
        """
        aux = aux if aux is not None else AuxOutputs()
        attention_mask = two_axes(mask)
        num_targets = int((targets.data != IGNORE_INDEX).sum())
        hidden_states = self.hidden_states(ids, token_types, attention_mask, aux)
        loss = aux.add_to(self.masked_head.loss(hidden_states, targets), num_targets)
        if next_sentence_targets is None:
            return loss
        logits = self.next_sentence(self.pooled_output(hidden_states))
        return loss + F.cross_entropy(logits, next_sentence_targets) * num_targets

    def scores(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        next_sentence_targets: Tensor | None = None,
    ) -> Scores:
        """masked_accuracy: of tokens. next_sentence_accuracy: of pairs."""
        attention_mask = two_axes(mask)
        hidden_states = self.hidden_states(ids, token_types, attention_mask)
        scores = {"masked_accuracy": self.masked_head.num_correct(hidden_states, targets)}
        if next_sentence_targets is not None:
            logits = self.next_sentence(self.pooled_output(hidden_states))
            scores["next_sentence_accuracy"] = num_correct(logits, next_sentence_targets)
        return scores

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("next_sentence", ["cls.seq_relationship"], 2)}


def num_correct(logits: Tensor, targets: Tensor) -> tuple[int, int]:
    """How many targets (count,) have the highest of logits (count, classes), and how many are not IGNORE_INDEX."""
    is_correct = logits.data.argmax(axis=-1) == targets.data
    return int(is_correct.sum()), int((targets.data != IGNORE_INDEX).sum())
