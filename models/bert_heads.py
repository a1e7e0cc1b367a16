"""What a BERT is fine-tuned for (Devlin et al. 2019, section 4): classes of texts, classes of tokens, answers."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.bert import Bert, BertConfig, counted, weight_and_bias
from scratchgrad.models.weights import WeightMap
from scratchgrad.nn import Linear


class BertClassifier(Bert):
    """What the heads that classify share."""

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.classifier = Linear(config.hidden_size, config.classes, std=config.initializer_range)

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("classifier", ["classifier"], config.classes)}


class BertForSequenceClassification(BertClassifier):
    """A class of a whole text; or numbers, for problem_type regression, or where there is but one class."""

    architecture = "BertForSequenceClassification"

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.is_regression = config.problem_type == "regression" or (
            config.problem_type is None and config.classes == 1
        )

    def forward(
        self,
        ids: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """ids, token_types (batch, time) integers; logits (batch, classes)."""
        out: Tensor = self.classifier(self.dropout(self.pooled(self.hidden(ids, token_types, mask, aux))))
        return out

    def loss(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The sum over texts; targets (batch,) integers, -100 for one that does not count.

        For numbers the sum of squared differences; targets (batch,) floats, or (batch, classes).
        """
        aux = AuxOutputs()
        logits = self(ids, token_types, mask, aux)
        if self.is_regression:
            loss = F.mse_loss(logits.reshape(*targets.shape), targets, reduction="sum")
        else:
            loss = F.cross_entropy(logits, targets, reduction="sum")
        return self.with_auxiliary(loss, aux, targets)


class BertForTokenClassification(BertClassifier):
    """A class of every token."""

    architecture = "BertForTokenClassification"
    has_pooler = False

    def forward(
        self,
        ids: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """ids, token_types (batch, time) integers; logits (batch, time, classes)."""
        out: Tensor = self.classifier(self.dropout(self.hidden(ids, token_types, mask, aux)))
        return out

    def loss(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The sum of -log p(target) over all targets that are not -100; ids and targets (batch, time)."""
        aux = AuxOutputs()
        states, targets = counted(self.dropout(self.hidden(ids, token_types, mask, aux)), targets)
        loss = F.linear_cross_entropy(states, self.classifier.weight, targets, self.classifier.bias)
        return self.with_auxiliary(loss, aux, targets)


class BertForQuestionAnswering(Bert):
    """Where in a text an answer begins, and where it ends."""

    architecture = "BertForQuestionAnswering"
    has_pooler = False

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.spans = Linear(config.hidden_size, 2, std=config.initializer_range)

    def forward(
        self,
        ids: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """ids, token_types (batch, time) integers; logits (batch, 2, time) of the first and of the last token."""
        out: Tensor = self.spans(self.hidden(ids, token_types, mask, aux)).swapaxes(1, 2)
        return out

    def loss(  # type: ignore[override]
        self, ids: Tensor, targets: Tensor, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The sum of -log p(target) over targets that are not -100; targets (batch, 2): the first place, the last."""
        aux = AuxOutputs()
        loss = F.cross_entropy(self(ids, token_types, mask, aux), targets, reduction="sum")
        return self.with_auxiliary(loss, aux, targets)

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("spans", ["qa_outputs"], 2)}
