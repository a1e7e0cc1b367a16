"""The losses of objectives are those of transformers' classes, and of PyTorch's Transformer, on the same batches."""

import pytest

from scratchgrad import Tensor
from scratchgrad.models import BertForPreTraining, Model
from scratchgrad.train.objectives import Objective, objective_for, objectives
from tests.models import make_fixtures
from tests.models.parity import CLOSE, Example


def objective_of(model: Model, batch: dict[str, object], label_smoothing: float) -> Objective:
    """What trains the model, without a tokenizer: batches are given, no text is laid out."""
    is_plain = isinstance(model, BertForPreTraining) and "next_sentence_targets" not in batch
    kind = objectives()[objective_for(type(model), "masked_lm" if is_plain else None)]
    objective = kind.__new__(kind)
    vars(objective).update(config=model.config, label_smoothing=label_smoothing)
    return objective


@pytest.mark.parametrize("name", make_fixtures.FAMILIES)
def test_the_mean_loss_is_that_of_the_other(name, tmp_path):
    example = Example.saved(name)
    model = example.model(tmp_path)
    objective = objective_of(model, example.batch, example.config.get("label_smoothing", 0.0))
    output = objective.loss(model, {key: Tensor(array) for key, array in example.batch.items()})
    assert output.loss.item() / output.num_targets == pytest.approx(example.loss, abs=CLOSE)
