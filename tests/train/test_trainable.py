"""Which parameters are trained: what a frozen one costs (nothing), and what is refused."""

import time

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from scratchgrad import UserError, fixed_weights, manual_seed, models
from scratchgrad.files import map_tensors
from scratchgrad.models import BertForSequenceClassification
from scratchgrad.optim import AdamW, global_norm
from scratchgrad.parallel import connect
from scratchgrad.profiling import profile
from scratchgrad.train.loop import train_step
from scratchgrad.train.microbatches import Microbatches
from scratchgrad.train.objectives import objectives, on_device
from scratchgrad.train.trainable import Trainable, chosen_parameters, set_trainable
from tests.jobs import rows_without_time
from tests.train.fine_tuning import refused, resumed, train, weights, write_recipe, write_source
from tests.train.objectives.small import ARCHITECTURES, LABELS, examples, small, tokenizer_for

LAYERS = 4


def bert(**changes):
    """An objective, a BERT of four blocks that classifies, and a batch for it."""
    objective, model = small("sequence_classification", num_hidden_layers=LAYERS, **changes)
    batch = objective.batch([objective.encode(example) for example in examples("sequence_classification", 4)])
    return objective, model, on_device(batch, "cpu")


def llama(**changes):
    return small("causal_lm", "LlamaForCausalLM", num_hidden_layers=LAYERS, **changes)[1]


def backward_calls(choice):
    """How often each op went backward in one pass, and the names of the parameters that got a gradient."""
    objective, model, batch = bert()
    set_trainable(model, choice)
    with profile() as profiled:
        objective.loss(model, batch).loss.backward()
    got = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {row.name: row.calls for row in profiled.rows.values() if row.direction == "backward"}, got


def test_no_backward_pass_goes_through_what_lies_below_the_lowest_trained_block():
    all_calls, _ = backward_calls("all")
    calls = {k: backward_calls(f"last:{k}")[0] for k in range(1, LAYERS + 1)}
    head, got = backward_calls("head")
    assert got == {"pooler.weight", "pooler.bias", "classifier.weight", "classifier.bias"}
    assert "scaled_dot_product_attention" not in head
    assert head["linear"] == 2
    for k in range(1, LAYERS + 1):
        assert calls[k]["scaled_dot_product_attention"] == k
        assert "embedding" not in calls[k]
    assert calls[2]["linear"] - calls[1]["linear"] == calls[3]["linear"] - calls[2]["linear"] == 4
    assert all_calls["scaled_dot_product_attention"] == LAYERS
    assert all_calls["embedding"] >= 1


def test_a_frozen_parameter_has_no_gradient_and_no_optimizer_state():
    _, model, _ = bert()
    set_trainable(model, "last:1")
    chosen = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.partition(".")[0] for name in chosen} == {"encoder", "pooler", "classifier"}
    assert all(name.startswith("encoder.layers.3.") for name in chosen if name.startswith("encoder"))
    assert {name for _, name in AdamW(model.named_parameters()).state} == chosen
    assert backward_calls("last:1")[1] == chosen


def test_the_state_of_the_head_of_a_bert_base_is_less_than_a_hundredth():
    config = models.config_from_dict({
        "model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
    })  # fmt: skip
    model = BertForSequenceClassification.with_shapes_only(config)
    sizes = []
    for choice in ("all", "head"):
        set_trainable(model, choice)
        sizes.append(sum(array.nbytes for array in AdamW(model.named_parameters()).state.values()))
    assert 0 < sizes[1] < 0.01 * sizes[0]


class Rows:
    """The same batch at every step."""

    def __init__(self, batch):
        self.batch = batch

    def rows(self, numbers):
        return {name: tensor.data for name, tensor in self.batch.items()}


def test_the_norm_that_is_clipped_is_that_of_the_trained_parameters():
    objective, model, batch = bert()
    with fixed_weights():  # as in a step
        output = objective.loss(model, batch)
        output.loss.backward()
    head = set(model.head_parameters())
    gradients = [parameter.grad for name, parameter in model.named_parameters() if name in head]
    expected = global_norm(gradients) / output.num_targets
    model.zero_grad()
    set_trainable(model, "head")
    comm = connect()
    result = train_step(
        model, objective, AdamW(model.named_parameters()), Rows(batch), 0,
        seed=0, max_grad_norm=1.0, microbatches=Microbatches.of(4, 1, comm), comm=comm, flags=[],
    )  # fmt: skip
    assert result.grad_norm == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("architecture", "choice"), [
    ("BertForSequenceClassification", "last:1"), ("T5ForConditionalGeneration", "last:1"),
    ("MixtralForSequenceClassification", "last:1"),
])  # fmt: skip
def test_recomputation_changes_no_bit_and_frozen_weights_stay(architecture, choice, tmp_path):
    objective = ARCHITECTURES[architecture][1]
    layers = {"num_layers": 2} if architecture.startswith("T5") else {"num_hidden_layers": 2}
    write_source(tmp_path / "source", architecture, **layers)
    recipe = write_recipe(tmp_path, tmp_path / "source", objective, train={"trainable": choice})
    train(recipe)
    for way in ("full", "attention"):
        train(recipe, f"train.recompute={way}", f"log.run_dir={tmp_path / way}")
        assert weights(tmp_path / way) == weights(tmp_path / "run")
    assert weights(resumed(tmp_path / "run", "train.recompute=full")) == weights(tmp_path / "run")
    old = map_tensors(tmp_path / "source" / "model.safetensors")
    new = map_tensors(tmp_path / "run" / "checkpoints" / "step-3" / "model.safetensors")
    assert old.keys() == new.keys()  # whole, the frozen ones, too
    same = {name for name in old if np.array_equal(old[name], new[name])}
    assert any("embed" in name or "shared" in name for name in same)
    assert 0 < len(same) < len(old)


@pytest.mark.mpi
def test_ranks_change_no_bit(tmp_path, start):
    write_source(tmp_path / "source", "BertForMaskedLM", num_hidden_layers=2)
    model, chosen = {"id2label": LABELS}, {"trainable": ["encoder.layers.1.*", "classifier.*", "!*.bias"]}
    recipe = write_recipe(tmp_path, tmp_path / "source", "sequence_classification", model=model, train=chosen)
    jobs = [
        start("scratchgrad-train", recipe, f"log.run_dir={tmp_path / name}", ranks=ranks)
        for name, ranks in (("one", None), ("two", 2))
    ]
    for job in jobs:
        assert job.end() == 0, job.output
    assert "of them trained)" in jobs[0].output
    assert jobs[1].output.count("drawn anew for the head") == 1  # rank 0 tells it, for all
    assert rows_without_time(tmp_path / "one") == rows_without_time(tmp_path / "two")
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


OTHER_SOURCE = """
import os, sys
if os.environ["PMI_RANK"] == "1":
    os.chdir("elsewhere")
sys.argv = ["scratchgrad-train", sys.argv[1], "train.init_from=source"]
from scratchgrad.train.commands.train import main
main()
"""


@pytest.mark.mpi
def test_a_rank_that_sees_another_model_is_named(tmp_path, start):
    tokenizer = tokenizer_for(objectives()["causal_lm"])
    write_source(tmp_path / "source", "LlamaForCausalLM", tokenizer)
    model = write_source(tmp_path / "elsewhere" / "source", "LlamaForCausalLM", tokenizer)
    model.embed_tokens.weight.data[0, 0] += 1
    models.save(model, tmp_path / "elsewhere" / "source")
    job = start(OTHER_SOURCE, write_recipe(tmp_path, tmp_path / "source", "causal_lm"), ranks=2)
    assert job.end() == 2, job.output
    assert "rank 1 has another recipe and model to start from than rank 0" in job.output


def test_a_dry_run_tells_what_is_trained_and_its_state(tmp_path):
    write_source(tmp_path / "source", "BertForSequenceClassification")
    recipe = write_recipe(tmp_path, tmp_path / "source", "sequence_classification", train={"trainable": "head"})
    told = train(recipe, "--dry-run")
    trained = 16 * 16 + 16 + 3 * 16 + 3
    assert f", {trained} of them trained (" in told
    assert f"optimizer state     {8 * trained / 1e6:.3g} MB" in told


def test_patterns_choose_by_name():
    model = llama(tie_word_embeddings=False)
    names = {name for name, _ in model.named_parameters()}
    assert chosen_parameters(model, ["*"]) == names
    assert chosen_parameters(model, ["lm_head.*"]) == chosen_parameters(model, "head") == {"lm_head.weight"}
    assert chosen_parameters(model, ["!decoder.layers.*"]) == {n for n in names if ".layers." not in n}
    last = chosen_parameters(model, "last:2")
    assert last == {n for n in names if n.startswith(("decoder.layers.2.", "decoder.layers.3.", "decoder.norm", "lm_"))}
    assert chosen_parameters(llama(), "last:1") == {
        n for n in names if n.startswith(("decoder.layers.3.", "decoder.norm"))
    }


@pytest.mark.parametrize(("choice", "words"), [
    (["decoder.layers.3"], "'decoder.layers.3' matches no parameter; near ones are decoder.layers.3.*"),
    (["*", "!embed_token.weight"], "near ones are embed_tokens.weight"),
    (["*", "!*"], "leaves no parameter to train"),
    (["lm_head.*"], "takes lm_head.weight and leaves embed_tokens.weight, which are one tied weight"),
    (["*", "!embed_tokens.*"], "takes lm_head.weight and leaves embed_tokens.weight, which are one tied weight"),
    ("head", "has no head of its own: the output layer is the embedding (they are tied)"),
    ("last:5", "train.trainable = last:5: a LlamaForCausalLM of this size has 4 blocks"),
])  # fmt: skip
def test_a_choice_that_cannot_be_is_told(choice, words):
    with pytest.raises(UserError) as told:
        set_trainable(llama(), choice)
    assert words in str(told.value)
    assert len(str(told.value)) < 300


def test_what_the_objective_does_not_use_cannot_be_all_that_is_trained(tmp_path):
    write_source(tmp_path / "source", "BertForPreTraining")
    recipe = write_recipe(
        tmp_path, tmp_path / "source", "masked_lm", model={"architectures": ["BertForPreTraining"]},
        train={"trainable": ["next_sentence.*"]},
    )  # fmt: skip
    assert "chooses only parameters that train.objective does not use" in refused(recipe)


@pytest.mark.parametrize("value", ["heads", "last:0", "last:", "last:x", [""], ["!"], 3, {"first": 2}])
def test_other_values_are_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Trainable).validate_python(value)


def test_last_may_be_written_with_a_blank():
    assert TypeAdapter(Trainable).validate_python({"last": 2}) == "last:2"


@pytest.mark.slow
def test_the_time_of_a_step_falls_with_the_number_of_trained_blocks():
    objective, model = small(
        "sequence_classification", hidden_size=128, num_attention_heads=4, intermediate_size=512, num_hidden_layers=12
    )
    manual_seed(0)
    rows = [objective.encode(example) for example in examples("sequence_classification", 64)]
    batch = on_device(objective.batch(rows), "cpu")
    seconds = {}
    for choice in ("all", "last:8", "last:4", "head"):
        set_trainable(model, choice)
        times = []
        for _ in range(7):
            began = time.process_time()
            objective.loss(model, batch).loss.backward()
            model.zero_grad()
            times.append(time.process_time() - began)
        seconds[choice] = min(times)
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)
    assert seconds["head"] < seconds["all"] / 2  # forward alone, nearly: a third of the arithmetic
