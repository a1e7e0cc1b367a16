"""What the objectives of BERT's heads share: an example a row, [CLS] first [SEP] or [CLS] first [SEP] second [SEP]."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchgrad.errors import UserError, quoted
from scratchgrad.models import BertConfig
from scratchgrad.tools.data import TokenizedExample, TokenStore
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import Batch, ExampleBatches, pad_rows
from scratchgrad.train.objectives.objective import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, Objective

SENTENCE_FIELDS = {"input_ids": INPUT_IDS, "token_type_ids": TOKEN_TYPE_IDS, "attention_mask": ATTENTION_MASK}


class SentenceObjective(Objective):
    """Examples are encoded with the column token_type_ids: 0 for the first text, 1 for the second."""

    special_tokens = ("[PAD]", "[CLS]", "[SEP]")
    config: BertConfig

    @classmethod
    def encoding(cls, config: Any) -> str:
        return f"{super().encoding(config)} {config.num_labels} {config.id2label} {config.problem_type}"

    def batches(self, stores: Sequence[TokenStore], weights: Sequence[float]) -> ExampleBatches:
        return ExampleBatches(stores, weights, self.batch, context=self.context, seed=self.seed)

    def batch(self, examples: Sequence[TokenizedExample]) -> Batch:
        """Padded to the longest example."""
        return {**self.sentences(examples), "targets": self.targets(examples)}

    def sentences(self, examples: Sequence[TokenizedExample]) -> Batch:
        input_ids = pad_rows([example.ids for example in examples], self.layout.padding)
        mask = np.arange(input_ids.shape[1]) < np.array([len(example) for example in examples])[:, None]
        types = pad_rows([example.columns["token_type_ids"] for example in examples], 0)
        return {"input_ids": input_ids, "token_type_ids": types, "attention_mask": mask}

    @abstractmethod
    def targets(self, examples: Sequence[TokenizedExample]) -> np.ndarray[Any, Any]:
        """What a batch of these examples has under this name."""

    def label_id(self, label: object, example: Example) -> int:
        """The number of a label, which is one of the names in model.id2label, or a number already."""
        names = list((self.config.id2label or {}).values())
        if isinstance(label, str) and label in names:
            return names.index(label)
        if isinstance(label, str) and label.isascii() and label.isdecimal() and len(label) < 10:
            label = int(label)  # of a table, in which everything is text
        if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < self.config.num_labels:
            return label
        known = ", ".join(names) or f"0 to {self.config.num_labels - 1}; model.id2label gives them names"
        raise UserError(f"'{example.name}': label {quoted(label)} is none of the model's: {known}")
