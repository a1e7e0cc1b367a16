"""Extractive question answering: where in a text the answer begins, and where it ends (Devlin et al. 2019, 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchgrad import Tensor
from scratchgrad import functional as F
from scratchgrad.errors import UserError
from scratchgrad.models import AuxOutputs, BertForQuestionAnswering
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import TokenizedExample
from scratchgrad.tools.text import Example
from scratchgrad.train.batches import BatchField
from scratchgrad.train.objectives.objective import LossOutput, bert_hidden_states, output_of
from scratchgrad.train.objectives.sentences import SENTENCE_FIELDS, SentenceObjective


class QuestionAnswering(SentenceObjective):
    """An example has `question`, `context` and `answers`, as in SQuAD: {"text": [...], "answer_start": [...]}.

    The first answer is learnt. Without one both targets are [CLS], as the paper has it for SQuAD 2.0 (section 4.3).
    """

    fields = ("question", "context", "answers")
    text_fields = ("question", "context")
    # The positions of the answer's first and of its last token.
    batch_fields: Mapping[str, BatchField] = {
        **SENTENCE_FIELDS,
        "targets": BatchField("(batch, 2)", np.int64, IGNORE_INDEX),
    }
    trains = default_for = (BertForQuestionAnswering,)

    def encode(self, example: Example) -> TokenizedExample:
        """[CLS] question [SEP] context [SEP]; the answer's tokens are targets."""
        question = self.layout.tokenizer.encode(example.text("question"))
        context, spans = self.layout.tokenizer.encode_with_offsets(example.text("context"))
        row = self.layout.with_special_tokens(question, context)
        start, end = self._answer(example)
        in_answer = [first < end and last > start for first, last in spans]
        if start < end and not any(in_answer):
            raise UserError(f"'{example.name}': no token of the context spells the answer")
        is_target = np.zeros(len(row.ids), bool)
        is_target[len(question) + 2 :][: len(context)] = in_answer
        return TokenizedExample(np.array(row.ids), is_target, {"token_type_ids": np.array(row.segments)})

    def _answer(self, example: Example) -> tuple[int, int]:
        """From which to which character of the context; (0, 0) where the question has no answer."""
        answers = example.value("answers")
        try:
            if not answers["text"]:
                return 0, 0
            text, start = answers["text"][0], answers["answer_start"][0]
            if example.text("context")[start : start + len(text)] != text or not text:
                raise UserError(f"'{example.name}': the answer {text!r} does not stand at {start} of the context")
        except (KeyError, TypeError, IndexError):
            raise UserError(
                f'\'{example.name}\': answers must be as in SQuAD: {{"text": [...], "answer_start": [...]}}'
            ) from None
        return start, start + len(text)

    def targets(self, examples: Sequence[TokenizedExample]) -> np.ndarray[Any, Any]:
        places = [np.flatnonzero(example.is_target) for example in examples]
        return np.array([(at[0], at[-1]) if len(at) else (0, 0) for at in places], np.int64)

    def loss(self, model: BertForQuestionAnswering, batch: Mapping[str, Tensor]) -> LossOutput:
        """exact_match: of answers, how many begin and end where they should."""
        aux, targets = AuxOutputs(), batch["targets"]
        logits = model.head(bert_hidden_states(model, batch, aux))  # (batch, 2, time)
        loss = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.smoothing(model))
        if model.training:
            return output_of(loss, targets, aux)
        is_right = (logits.data.argmax(axis=-1) == targets.data).all(axis=1)
        asked = (targets.data != IGNORE_INDEX).all(axis=1)
        return output_of(loss, targets, aux, {"exact_match": (int(is_right.sum()), int(asked.sum()))})
