"""What a BERT is fine-tuned for (Devlin et al. 2019, section 4): classes of texts, classes of tokens, answers."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad.models.bert import Bert, BertConfig, weight_and_bias
from scratchgrad.models.weights import WeightMap
from scratchgrad.nn import Dropout, Linear, Module


class BertClassifier(Bert):
    """What the heads that classify share."""

    head_modules = ("pooler", "classifier")

    classifier: Module

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.classifier_dropout = Dropout(dropout)
        self.classifier = Linear(config.hidden_size, config.num_labels, std=config.initializer_range)

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("classifier", ["classifier"], config.num_labels)}


class BertForSequenceClassification(BertClassifier):
    """A class of a whole text; or numbers, for problem_type regression, or where there is but one class."""

    architecture = "BertForSequenceClassification"

    def head(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (batch, time, hidden_size); logits (batch, classes)."""
        logits: Tensor = self.classifier(self.classifier_dropout(self.pooled_output(hidden_states)))
        return logits


class BertForTokenClassification(BertClassifier):
    """A class of every token."""

    architecture = "BertForTokenClassification"
    has_pooler = False

    def head(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (..., hidden_size); logits (..., classes)."""
        logits: Tensor = self.classifier(self.classifier_dropout(hidden_states))
        return logits


class BertForQuestionAnswering(Bert):
    """Where in a text an answer begins, and where it ends."""

    architecture = "BertForQuestionAnswering"
    has_pooler = False
    head_modules = ("qa_outputs",)

    qa_outputs: Module

    def __init__(self, config: BertConfig, *, dropout: float = 0.0) -> None:
        super().__init__(config, dropout=dropout)
        self.qa_outputs = Linear(config.hidden_size, 2, std=config.initializer_range)

    def head(self, hidden_states: Tensor) -> Tensor:
        """hidden_states (batch, time, hidden_size); logits (batch, 2, time) of the first and of the last token."""
        logits: Tensor = self.qa_outputs(hidden_states).swapaxes(1, 2)
        return logits

    @classmethod
    def weight_map(cls, config: BertConfig) -> WeightMap:
        return {**super().weight_map(config), **weight_and_bias("qa_outputs", ["qa_outputs"], 2)}
