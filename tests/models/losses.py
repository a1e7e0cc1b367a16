"""The loss of a model in tests, by the objective that trains it: batches are given, no text is laid out."""

from __future__ import annotations

from scratchgrad import Tensor
from scratchgrad.models import BertForPreTraining, Model
from scratchgrad.train.objectives import LossOutput, Objective, objective_for, objectives


def loss_of(model: Model, objective: str | None = None, *, label_smoothing: float = 0.0, **batch: object) -> LossOutput:
    """batch: arrays or Tensors by the names of the objective's batch_fields.

    objective: by default the model's; masked_lm for a BertForPreTraining that is asked nothing of next sentences.
    """
    if objective is None and isinstance(model, BertForPreTraining) and "next_sentence_targets" not in batch:
        objective = "masked_lm"
    tensors = {name: x if isinstance(x, Tensor) else Tensor(x) for name, x in batch.items()}
    return without_text(model, objective, label_smoothing=label_smoothing).loss(model, tensors)


def without_text(model: Model, name: str | None = None, **settings: object) -> Objective:
    """The objective for this model, without a tokenizer: its `loss` works."""
    kind = objectives()[objective_for(type(model), name)]
    objective = kind.__new__(kind)
    vars(objective).update(config=model.config, **settings)
    return objective
