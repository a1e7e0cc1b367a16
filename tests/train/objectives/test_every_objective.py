"""What holds for every objective: its batches are as declared, its loss is the plain formula's, its scores are counted."""

import numpy as np
import pytest

from scratchgrad import Tensor, no_grad
from scratchgrad import functional as F
from scratchgrad.models import BertModel, EncoderDecoder
from scratchgrad.train.batches import WindowBatches, in_full_batches
from scratchgrad.train.objectives import objectives, on_device
from tests.train.objectives.small import MODELS, examples, small, store_of

NAMES = list(objectives())
WITH_SCORES = [name for name in NAMES if name != "causal_lm"]
every_objective = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def made(tmp_path):
    """made(name): the objective, its model, and its batches over a store of examples."""

    def of(name, **changes):
        objective, model = small(name, **changes)
        encoded = [objective.encode(example) for example in examples(name)]
        store = store_of(tmp_path / "train-0", encoded, objective.layout.tokenizer.vocab_size)
        return objective, model, objective.batches([store], [1.0])

    return of


def test_all_nine_are_there():
    assert NAMES == [
        "causal_lm", "masked_lm", "masked_lm_next_sentence", "question_answering", "seq2seq", "sequence_classification",
        "sft", "span_corruption", "token_classification",
    ]  # fmt: skip
    assert MODELS.keys() == set(NAMES)


@every_objective
def test_a_batch_has_the_declared_arrays_shapes_and_dtypes(name, made):
    objective, _, batches = made(name)
    for batch in (batches.rows(range(3, 8)), batches.sample(10**6)):
        assert batch.keys() == objective.batch_fields.keys()
        sizes = {}
        for field, array in batch.items():
            declared = objective.batch_fields[field]
            assert array.dtype == declared.dtype, field
            words = [word for word in declared.shape.strip("()").replace(" ", "").split(",") if word]
            assert len(words) == array.ndim, field
            for word, size in zip(words, array.shape, strict=True):
                assert sizes.setdefault(word, size) == (int(word) if word.isdigit() else size), (field, word)
    assert len(batches.rows(range(3, 8))["input_ids"]) == 5


@every_objective
def test_a_row_depends_on_its_number_alone_but_for_its_padding(name, made):
    objective, _, batches = made(name)
    whole = batches.rows(range(4, 10))
    for number in (9, 4, 7):
        row = batches.rows([number])
        for field, array in row.items():
            longer = whole[field][number - 4]
            padding = np.full_like(longer, objective.batch_fields[field].padding) if longer.ndim else longer
            if field == "input_ids":
                padding[...] = objective.layout.tokenizer.padding or 0
            assert np.array_equal(array[0], longer[: array.shape[1]] if array.ndim > 1 else longer), field
            if array.ndim > 1:
                assert np.array_equal(longer[array.shape[1] :], padding[array.shape[1] :]), field


def plain_loss(model, batch) -> Tensor:
    """Every target's -log softmax, of logits as a whole."""
    targets, inputs = batch["targets"], batch["input_ids"]
    if isinstance(model, EncoderDecoder):
        logits = model(inputs, model.shift_right(targets), batch.get("attention_mask"))
    elif "token_type_ids" in batch:
        logits = model(inputs, batch["token_type_ids"], batch.get("attention_mask"))
    else:
        logits = model(inputs)
    count = int((targets.data != -100).sum())
    if isinstance(model, BertModel):
        logits = logits[0] @ model.embed_tokens.weight.swapaxes(0, 1)
    if isinstance(logits, tuple):
        pairs = F.cross_entropy(logits[1], batch["next_sentence_targets"])
        return F.cross_entropy(logits[0], targets, reduction="sum") + pairs * count
    return F.cross_entropy(logits, targets, reduction="sum")


@pytest.mark.parametrize(
    ("name", "architecture"), [*MODELS.items(), ("masked_lm", "BertModel"), ("seq2seq", "T5ForConditionalGeneration")]
)
def test_loss_and_gradients_are_those_of_the_plain_formula(name, architecture, made):
    objective, model, batches = made(name, architecture=architecture)
    batch = on_device(batches.rows(range(6)), model.device)
    output = objective.loss(model, batch)
    assert output.num_targets == int((batch["targets"].data != -100).sum()) > 0
    output.loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    wanted = plain_loss(model, batch)
    wanted.backward()
    assert output.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for key, parameter in model.named_parameters():
        if parameter.grad is None:
            assert gradients[key] is None, key
        else:
            np.testing.assert_allclose(gradients[key], parameter.grad, rtol=1e-3, atol=1e-4, err_msg=key)


@every_objective
def test_label_smoothing_is_for_training_alone(name, made):
    objective, model, batches = made(name)
    smoothed, _ = small(name, label_smoothing=0.2)
    batch = on_device(batches.rows(range(6)), model.device)
    with no_grad():
        assert smoothed.loss(model, batch).loss.item() != pytest.approx(
            objective.loss(model, batch).loss.item(), rel=1e-4
        )
        model.eval()
        assert smoothed.loss(model, batch).loss.item() == objective.loss(model, batch).loss.item()


@every_objective
def test_rows_that_only_fill_a_batch_up_ask_for_nothing(name, made):
    objective, model, batches = made(name)
    rows = batches.rows(range(3))
    (filled,) = in_full_batches(rows, 5, objective.batch_fields)
    assert all(len(array) == 5 for array in filled.values())
    with no_grad():
        outputs = [objective.loss(model.eval(), on_device(batch, model.device)) for batch in (rows, filled)]
    assert outputs[0].num_targets == outputs[1].num_targets
    assert outputs[0].loss.item() == pytest.approx(outputs[1].loss.item(), rel=1e-5)
    assert outputs[0].scores == outputs[1].scores


def logits_in_evaluation(model, batch):
    with no_grad():
        if isinstance(model, EncoderDecoder):
            out = model(batch["input_ids"], model.shift_right(batch["targets"]), batch.get("attention_mask"))
        elif "token_type_ids" in batch:
            out = model(batch["input_ids"], batch["token_type_ids"], batch.get("attention_mask"))
        else:
            out = model(batch["input_ids"])
    return [part.data for part in (out if isinstance(out, tuple) else (out,))]


@pytest.mark.parametrize("name", WITH_SCORES)
def test_scores_are_counted_by_argmax_in_evaluation_and_not_in_training(name, made):
    objective, model, batches = made(name)
    batch = on_device(batches.rows(range(10)), model.device)
    assert objective.loss(model, batch).scores == {}
    with no_grad():
        scores = objective.loss(model.eval(), batch).scores
    logits, targets = logits_in_evaluation(model, batch), batch["targets"].data
    if name == "question_answering":
        both = [(logits[0][row].argmax(-1) == targets[row]).all() for row in range(10)]
        wanted = {"exact_match": (sum(both), 10)}
    else:
        right = sum(int(logits[0][i].argmax() == targets[i]) for i in np.ndindex(targets.shape) if targets[i] >= 0)
        word = {"masked_lm": "masked_accuracy", "masked_lm_next_sentence": "masked_accuracy",
                "seq2seq": "token_accuracy", "sft": "token_accuracy", "span_corruption": "token_accuracy"}.get(name, "accuracy")  # fmt: skip
        wanted = {word: (right, int((targets >= 0).sum()))}
    if name == "masked_lm_next_sentence":
        follows = batch["next_sentence_targets"].data
        wanted["next_sentence_accuracy"] = (int((logits[1].argmax(-1) == follows).sum()), 10)
    assert scores == wanted


@every_objective
def test_the_tokens_of_an_epoch_are_those_of_its_text(name, made):
    """But for what is left of a text that is cut into windows."""
    objective, _, batches = made(name, context=64)
    text = sum(len(objective.encode(example)) for example in examples(name))
    rows = round(1 / batches.epochs(1)[0])
    assert batches.epochs(3 * rows) == [3.0]
    if isinstance(batches, WindowBatches):
        assert 0.3 * text < batches.num_tokens(range(rows)) <= text
    else:
        assert batches.num_tokens(range(rows)) == text
