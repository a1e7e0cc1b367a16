"""What a BERT is fine-tuned for (Devlin et al. 2019, section 4): classes of texts, classes of tokens, answers."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.models.auxiliary import AuxOutputs
from scratchgrad.models.bert import Bert, BertConfig, select_targets, two_axes, weight_and_bias
from scratchgrad.models.output import output_cross_entropy
from scratchgrad.models.weights import WeightMap
from scratchgrad.nn import Dropout, Linear, Module
from scratchgrad.ops.cross_entropy import IGNORE_INDEX


class BertClassifier(Bert):
    """What the heads that classify share."""

    classifier: Module

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.classifier_dropout = Dropout(dropout)
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

    def head(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (batch, time, hidden_size); logits (batch, classes)."""
        logits: Tensor = self.classifier(self.classifier_dropout(self.pooled_output(hidden_states)))
        return logits

    def loss(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """The sum over texts; targets (batch,) integers, IGNORE_INDEX for one that does not count.

        For numbers the sum of squared differences; targets (batch,) floats, or (batch, classes).
        """
        aux = aux if aux is not None else AuxOutputs()
        logits = self.head(self.hidden_states(ids, token_types, two_axes(mask), aux))
        if self.is_regression:
            loss = F.mse_loss(logits.reshape(*targets.shape), targets, reduction="sum")
        else:
            loss = F.cross_entropy(logits, targets, reduction="sum")
        return aux.add_to(loss, int((targets.data != IGNORE_INDEX).sum()))


class BertForTokenClassification(BertClassifier):
    """A class of every token."""

    architecture = "BertForTokenClassification"
    has_pooler = False

    def head(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (..., hidden_size); logits (..., classes)."""
        logits: Tensor = self.classifier(self.classifier_dropout(hidden_states))
        return logits

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
        hidden_states = self.classifier_dropout(self.hidden_states(ids, token_types, two_axes(mask), aux))
        loss = output_cross_entropy(self.classifier, *select_targets(hidden_states, targets))
        return aux.add_to(loss, int((targets.data != IGNORE_INDEX).sum()))


class BertForQuestionAnswering(Bert):
    """Where in a text an answer begins, and where it ends."""

    architecture = "BertForQuestionAnswering"
    has_pooler = False

    spans: Module

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.spans = Linear(config.hidden_size, 2, std=config.initializer_range)

    def head(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (batch, time, hidden_size); logits (batch, 2, time) of the first and of the last token."""
        logits: Tensor = self.spans(hidden_states).swapaxes(1, 2)
        return logits

    def loss(  # type: ignore[override]
        self,
        ids: Tensor,
        targets: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        aux: AuxOutputs | None = None,
    ) -> Tensor:
        """The sum of -log p(target); targets (batch, 2): the positions of the first and of the last token."""
        aux = aux if aux is not None else AuxOutputs()
        logits = self.head(self.hidden_states(ids, token_types, two_axes(mask), aux))
        loss = F.cross_entropy(logits, targets, reduction="sum")
        return aux.add_to(loss, int((targets.data != IGNORE_INDEX).sum()))

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("spans", ["qa_outputs"], 2)}
