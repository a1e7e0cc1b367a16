"""What holds for every model, and what the tests of all families need of theirs: logits, a loss, gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad import Tensor, manual_seed, models
from scratchgrad import functional as F
from scratchgrad.models import (
    AuxOutputs,
    BertForMaskedLM,
    BertForTokenClassification,
    EncoderDecoder,
    Model,
    output_cross_entropy,
)
from scratchgrad.models.bert import Bert
from scratchgrad.ops.cross_entropy import IGNORE_INDEX

Batch = Mapping[str, Any]  # arrays by Hugging Face's names; and targets, already shifted


def logits(model: Model, batch: Batch) -> Tensor:
    """What `model` says of a batch: of several outputs, all numbers in one row, in transformers' order."""
    out = model(**_inputs(model, batch))
    if model.architecture == "BertForQuestionAnswering":
        out = out[:, 0], out[:, 1]
    if not isinstance(out, tuple):
        return out
    return F.concatenate([part.reshape(-1) for part in out])


def loss(model: Model, batch: Batch, aux: AuxOutputs | None = None, *, label_smoothing: float = 0.0) -> Tensor:
    """The sum over targets that are not IGNORE_INDEX, with auxiliary losses: what a training step minimises."""
    aux = aux if aux is not None else AuxOutputs()
    inputs, targets = _inputs(model, batch), Tensor(batch["targets"])
    hidden_states = _hidden_states(model, inputs, aux)
    if isinstance(model, BertForMaskedLM):
        head = model.masked_head
        total = output_cross_entropy(head.decoder, head.transform(hidden_states), targets)
        if "next_sentence_targets" in batch:
            pairs = model.next_sentence(model.pooled_output(hidden_states))
            total = total + F.cross_entropy(pairs, Tensor(batch["next_sentence_targets"])) * num_targets(batch)
    elif isinstance(model, BertForTokenClassification):
        total = output_cross_entropy(model.classifier, model.dropout(hidden_states), targets)
    elif isinstance(model, Bert):
        out = model.head(hidden_states)
        if targets.dtype.kind == "f":
            total = F.mse_loss(out.reshape(*targets.shape), targets, reduction="sum")
        else:
            total = F.cross_entropy(out, targets, reduction="sum")
    else:
        total = output_cross_entropy(model.lm_head, hidden_states, targets, label_smoothing=label_smoothing)
    return aux.add_to(total, num_targets(batch))


def num_targets(batch: Batch) -> int:
    return int((batch["targets"] != IGNORE_INDEX).sum())


def _inputs(model: Model, batch: Batch) -> dict[str, Tensor]:
    """What forward() takes, by its names."""
    inputs = {name: Tensor(array) for name, array in batch.items() if "targets" not in name}
    if isinstance(model, EncoderDecoder):
        inputs["decoder_input_ids"] = model.shift_right(Tensor(batch["targets"]))
    return inputs


def _hidden_states(model: Model, inputs: dict[str, Tensor], aux: AuxOutputs) -> Tensor:
    if not isinstance(model, EncoderDecoder):
        return model.hidden_states(**inputs, aux=aux)
    attention_mask = inputs.get("attention_mask")
    encoder_hidden_states = model.encode(inputs["input_ids"], attention_mask, aux)
    return model.decoder_hidden_states(inputs["decoder_input_ids"], encoder_hidden_states, attention_mask, aux=aux)


def check_equal(model: Model, other: Model) -> None:
    """The same parameters, bit for bit."""
    state, other_state = model.state_dict(), other.state_dict()
    assert list(state) == list(other_state)
    for name, array in state.items():
        assert np.array_equal(array, other_state[name]), name


def check_saving(model: Model, folder: Path) -> None:
    """A model directory gives the model back."""
    models.save(model, folder)
    again = models.load(folder)
    assert (type(again), again.config) == (type(model), model.config)
    check_equal(again, model)


def check_recomputation(build: Callable[[], Model], batch: Batch, every: int) -> AuxOutputs:
    """The same bits of the loss, of every gradient and of every metric, if blocks are forgotten and run again.

    Returns what the model yielded beside its loss.
    """

    def run(recompute_every: int) -> tuple[AuxOutputs, list[Any]]:
        model, aux = build(), AuxOutputs()
        model.recompute_every = recompute_every
        manual_seed(7)
        total = loss(model, batch, aux)
        total.backward()
        metrics = {name: array.tolist() for name, array in aux.metrics().items()}
        gradients = {name: p.grad.tobytes() for name, p in model.named_parameters() if p.grad is not None}
        return aux, [total.data.tobytes(), metrics, gradients]

    (aux, bits), (_, again) = run(0), run(every)
    assert bits == again
    return aux
