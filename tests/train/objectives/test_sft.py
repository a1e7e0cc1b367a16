"""Chats that are learnt: which tokens are targets, what becomes of long ones, and rows of several chats."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, UserError, no_grad
from scratchgrad.nn import Parameter
from scratchgrad.ops.cross_entropy import IGNORE_INDEX
from scratchgrad.tools.data import Example
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.train import metrics
from scratchgrad.train.chat_recipe import ChatRecipe
from scratchgrad.train.commands.train import main
from scratchgrad.train.objectives import on_device
from scratchgrad.train.packing import best_fit
from tests.jobs import rows_without_time
from tests.pages import file_on
from tests.train.objectives.small import WORDS, examples, sentence, small, store_of

DECODERS = ["LlamaForCausalLM", "GPT2LMHeadModel"]


def chats(count, rng=None, longest=12):
    rng = rng or np.random.default_rng(0)
    said = [
        (sentence(rng, int(rng.integers(1, longest))), sentence(rng, int(rng.integers(1, longest))))
        for _ in range(count)
    ]
    return [Example(f"a:{i}", {"prompt": prompt, "completion": answer}) for i, (prompt, answer) in enumerate(said)]


def of(tmp_path, count=12, name="train-0", made=None, **settings):
    """An objective, its model, and a store of chats."""
    chat = ChatRecipe(**{key: settings.pop(key) for key in ("template", "oversize", "pack") if key in settings})
    objective, model = small("sft", chat=chat, **{"context": 64, **settings})
    encoded = [objective.encode(example) for example in (made or chats(count))]
    return objective, model, store_of(tmp_path / name, encoded, objective.layout.tokenizer.vocab_size)


def test_targets_are_the_answers_one_token_earlier(tmp_path):
    objective, _, store = of(tmp_path)
    batch = objective.batches([store], [1.0]).sample(10**9)
    for row, chat in enumerate(store):
        count = len(chat) - 1
        assert batch["input_ids"][row, :count].tolist() == chat.ids[:-1].tolist()
        wanted = np.where(chat.is_target, chat.ids, IGNORE_INDEX)[1:]
        assert batch["targets"][row, :count].tolist() == wanted.tolist()
        assert (batch["targets"][row, count:] == IGNORE_INDEX).all()


@pytest.mark.parametrize("template", ["plain", "chatml"])
def test_the_end_is_learnt_where_it_is_also_what_fills_rows_up(tmp_path, template):
    """trl #1623, open-r1 #494: a mask by id leaves the end out, and the model never stops."""
    objective, _, store = of(tmp_path, template=template)
    tokenizer = objective.layout.tokenizer
    assert tokenizer.padding is None  # so that the end of text fills rows up
    end = tokenizer.end_of_text if template == "plain" else tokenizer.special_tokens["<|im_end|>"]
    batch = objective.batches([store], [1.0]).sample(10**9)
    assert (batch["targets"] == end).sum(axis=1).tolist() == [1] * len(store)
    is_padding = np.arange(batch["input_ids"].shape[1]) >= np.diff(store.offsets)[:, None] - 1
    assert (batch["input_ids"][is_padding] == tokenizer.end_of_text).all()
    assert is_padding.any()


def in_float64(model):
    """With other parameters in their places, for a gradient has the dtype that its parameter began with."""
    doubles = {}  # a tied parameter stays one
    for _, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Parameter):
                doubles.setdefault(id(value), Parameter(value.data.astype(np.float64)))
                setattr(module, name, doubles[id(value)])
    if hasattr(model, "rotary_emb"):
        rotary = model.rotary_emb
        rotary.cos, rotary.sin = (Tensor(x.data.astype(np.float64)) for x in (rotary.cos, rotary.sin))
    return model


def loss_and_gradients(objective, model, batch):
    model.zero_grad()
    output = objective.loss(model, on_device(batch, "cpu"))
    output.loss.backward()
    return output, [parameter.grad.copy() for parameter in model.parameters()]


@pytest.mark.parametrize("architecture", DECODERS)
@pytest.mark.parametrize("recompute", [0, 1])
def test_packed_rows_are_those_that_stand_alone(tmp_path, architecture, recompute):
    """trl #3067, LLaMA-Factory #4224: chats of a row do not see each other, and their positions begin anew."""
    made, found = chats(12), {}
    for pack in (False, True):
        objective, model, store = of(
            tmp_path, name=f"train-{pack}", made=made, pack=pack, architecture=architecture, context=120
        )
        model.recompute_every = recompute
        batch = objective.batches([store], [1.0]).sample(10**9)
        found[pack] = (*loss_and_gradients(objective, in_float64(model), batch), len(batch["targets"]))
    (alone, gradients, rows), (packed, same, fewer) = found[False], found[True]
    assert fewer <= 0.7 * rows
    assert packed.num_targets == alone.num_targets
    assert packed.loss.item() == pytest.approx(alone.loss.item(), rel=1e-12, abs=0)
    for one, other in zip(gradients, same, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * abs(one).max())


@pytest.mark.parametrize("architecture", DECODERS)
def test_nothing_in_a_row_depends_on_the_chat_before(tmp_path, architecture):
    objective, model, store = of(tmp_path, pack=True, architecture=architecture)
    batch = objective.batches([store], [1.0]).rows([0])
    starts = np.flatnonzero(batch["position_ids"][0] == 0)
    second, end = starts[1], (starts[2:].tolist() or [None])[0]
    other = {**batch, "input_ids": batch["input_ids"].copy()}
    other["input_ids"][0, :second] = (other["input_ids"][0, :second] + 5) % 250
    with no_grad():
        states = [
            model.eval()
            .hidden_states(Tensor(b["input_ids"]), position_ids=Tensor(b["position_ids"]))
            .data[0, second:end]
            for b in (batch, other)
        ]
        first = model.hidden_states(Tensor(batch["input_ids"][:, second:end])).data[0]
    assert np.array_equal(*states)
    np.testing.assert_allclose(states[0], first, rtol=1e-4, atol=1e-5)


def test_position_ids_that_do_not_fit_are_told(tmp_path):
    _, model = small("sft")
    ids = Tensor(np.zeros((1, 4), np.int64))
    for wrong in (np.zeros((1, 3), np.int64), np.zeros((1, 4))):
        with pytest.raises(ValueError, match="position_ids must be integers of shape"):
            model.hidden_states(ids, position_ids=Tensor(wrong))
    with pytest.raises(ValueError, match="beyond the context"):
        model.hidden_states(ids, position_ids=Tensor(np.array([[0, 1, 2, 500]])))
    with pytest.raises(ValueError, match="a cache holds one text a row"):
        model.hidden_states(ids, model.new_cache(), position_ids=Tensor(np.arange(4)[None]))


@given(st.lists(st.integers(1, 20), max_size=60))
def test_every_example_stands_in_one_row_and_no_row_is_too_long(lengths):
    """nanochat #590: packing ends, whatever there is to pack."""
    numbers = [10 + i for i in range(len(lengths))]
    rows = best_fit(numbers, lengths, 20)
    assert sorted(number for row in rows for number in row) == numbers
    sizes = [sum(lengths[number - 10] for number in row) for row in rows]
    assert all(0 < size <= 20 for size in sizes)
    assert len(rows) <= 2 * sum(lengths) / 20 + 1


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("oversize", ["cut", "drop"])
def test_what_is_too_long_is_cut_or_left_out_and_counted(tmp_path, oversize, pack):
    """trl #6668: a prompt that fills the row leaves nothing to learn, which is no loss of 0."""
    long = "the cat " * 40
    made = [
        *chats(4, longest=4),
        Example("a:8", {"prompt": "the", "completion": long}),
        Example("a:9", {"prompt": long, "completion": "a"}),
    ]
    objective, model, store = of(tmp_path, made=made, oversize=oversize, pack=pack, context=30)
    fitting = objective.fitting(store)
    assert (fitting.too_long, fitting.without_target) == (2, oversize == "cut")
    assert fitting.kept == list(range(5 if oversize == "cut" else 4))
    batches = objective.batches([store], [1.0])
    batch = batches.sample(10**9)
    assert batch["input_ids"].shape[1] <= 30
    assert (batch["targets"] != IGNORE_INDEX).any(axis=1).all()
    assert int((batch["targets"] != IGNORE_INDEX).sum()) == fitting.trained
    told = "\n".join(objective.told_at_start([store]))
    assert f"{len(fitting.kept)} chats: {fitting.trained} of {sum(fitting.lengths)} tokens are trained (" in told
    what = {"cut": "cut, 1 of them left out as no answer was left", "drop": "left out"}[oversize]
    assert f"2 chats are longer than train.context = 30 tokens: {what}" in told
    assert np.isfinite(objective.loss(model, on_device(batch, "cpu")).loss.item())


def test_where_nothing_is_left_it_is_told(tmp_path):
    objective, _, store = of(
        tmp_path, made=[Example("a:1", {"prompt": "the cat " * 40, "completion": "a"})], context=30
    )
    with pytest.raises(
        UserError, match=r"of 1 train chats 1 are longer than train.context = 30 tokens, and none is left"
    ) as told:
        objective.batches([store], [1.0])
    assert len(str(told.value)) < 300


def test_a_sample_shows_what_is_trained(tmp_path):
    """nanochat #582: a lost mask is seen at once."""
    objective, _, store = of(tmp_path, made=[Example("a", {"prompt": "the cat", "completion": "sat"})])
    assert objective.told_at_start([store])[-1] == (
        "the first, with what is trained in »«: <|im_start|>user⏎the cat<|im_end|>⏎<|im_start|>assistant⏎»sat<|im_end|>«⏎"
    )


def recipe_of(folder, **changes):
    data = folder / "data.jsonl"
    if not data.exists():
        rng = np.random.default_rng(1)
        data.write_text("\n".join(json.dumps(dict(chat.fields)) for chat in chats(200, rng, longest=9)))
    values = {
        "model": {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24},
        "tokenizer": {"vocab_size": 400}, "data": {"source": "files", "files": [str(data)], "validation": 0.1, "cache_dir": str(folder / "cache")},
        "train": {"objective": "sft", "steps": 20, "batch_size": 8, "context": 64, "microbatches": 4, "learning_rate": 1e-2,
                  "warmup_steps": 2, "schedule": "constant", "eval_every": 10, "eval_tokens": 2000, "threads": 1},
        "log": {"run_dir": str(folder / "run")},
    }  # fmt: skip
    for name, section in changes.items():
        values[name] = {**values.get(name, {}), **section}
    (folder / "recipe.yaml").write_text(json.dumps(values))
    return str(folder / "recipe.yaml")


@pytest.mark.parametrize("chat", [{}, {"pack": True, "template": "llama3"}, {"template": "plain", "oversize": "drop"}])
def test_twenty_steps_of_a_recipe(tmp_path, chat):
    done = CliRunner().invoke(main, [recipe_of(tmp_path, chat=chat)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "tokens are trained (" in done.output
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert np.mean([row["loss"] for row in rows[-4:]]) < 0.95 * np.mean([row["loss"] for row in rows[:2]])
    assert 0 <= rows[-1]["val_token_accuracy"] <= 1


def test_a_model_to_begin_from_gets_the_tokens_of_the_template(tmp_path):
    from tests.train.fine_tuning import write_source

    source = write_source(
        tmp_path / "model", "LlamaForCausalLM", train_bpe([" ".join(WORDS)], 300, special_tokens=("<|endoftext|>",))
    )
    path = recipe_of(tmp_path, train={"init_from": str(tmp_path / "model"), "steps": 2})
    values = json.loads((tmp_path / "recipe.yaml").read_text())
    del values["model"], values["tokenizer"]
    (tmp_path / "recipe.yaml").write_text(json.dumps(values))
    done = CliRunner().invoke(main, [path], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    grown = source.config.vocab_size + 2
    assert f"the vocabulary grows from {source.config.vocab_size} to {grown} tokens" in done.output


@pytest.mark.parametrize("pack", [False, True])
def test_microbatches_with_unequal_numbers_of_targets_add_up_to_one_mean(tmp_path, pack):
    """transformers #34191: the mean over all targets, not of the means of parts. Gradients are the whole batch's."""
    objective, model, store = of(tmp_path, count=16, pack=pack, context=40)
    batch = objective.batches([store], [1.0]).rows(range(4))
    model = in_float64(model)
    whole, gradients = loss_and_gradients(objective, model, batch)
    counts = []
    for parts in (1, 2, 4):
        total, count, summed = 0.0, 0, [np.zeros_like(gradient) for gradient in gradients]
        for part in np.split(np.arange(4), parts):
            output, found = loss_and_gradients(objective, model, {name: array[part] for name, array in batch.items()})
            total, count = total + output.loss.item(), count + output.num_targets
            counts.append(output.num_targets)
            summed = [one + other for one, other in zip(summed, found, strict=True)]
        assert count == whole.num_targets
        assert total == pytest.approx(whole.loss.item(), rel=1e-13)
        for one, other in zip(summed, gradients, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12 * abs(other).max())
    assert len(set(counts[3:])) > 1  # unequal


def test_an_unknown_template_is_told(tmp_path):
    done = CliRunner().invoke(main, [recipe_of(tmp_path, chat={"template": "vicuna"})])
    assert done.exit_code == 2
    assert "chat.template = 'vicuna' is not known; it is one of: chatml, gemma, llama3, mistral, plain" in done.output


def test_an_item_without_an_answer_is_told_with_its_line(tmp_path):
    lines = [json.dumps(dict(example.fields)) for example in examples("sft")]
    lines[3] = json.dumps({"prompt": "the cat", "completion": ""})
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    done = CliRunner().invoke(main, [recipe_of(tmp_path)])
    assert done.exit_code == 2
    assert "data.jsonl:4': nothing to learn: no assistant says anything in it" in done.output


@pytest.mark.mpi
@pytest.mark.parametrize("pack", [False, True])
def test_ranks_change_no_bit_where_they_have_unequal_numbers_of_targets(tmp_path, start, pack):
    recipe = recipe_of(tmp_path, chat={"pack": pack}, train={"steps": 6, "eval_every": 3})
    jobs = [
        start("scratchgrad-train", recipe, f"log.run_dir={tmp_path}/run-{ranks}", ranks=ranks) for ranks in (None, 2, 4)
    ]
    for job in jobs:
        assert job.end() == 0, job.output
    one, two, four = (rows_without_time(tmp_path / f"run-{ranks}") for ranks in (None, 2, 4))
    assert one == two == four


def test_the_recipe_of_the_page_on_fine_tuning_runs(tmp_path, monkeypatch):
    from tests.train.fine_tuning import write_source

    monkeypatch.chdir(tmp_path)
    write_source(tmp_path / "runs" / "toy-001", "LlamaForCausalLM")
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "a.jsonl").write_text("\n".join(json.dumps(dict(chat.fields)) for chat in chats(60)))
    (tmp_path / "chat.yaml").write_text(file_on("docs/fine-tuning.md", "chat.yaml"))
    small_run = ["train.context=60", "train.steps=2", "train.batch_size=4", "train.threads=1"]
    done = CliRunner().invoke(main, ["chat.yaml", *small_run], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "the first, with what is trained in »«: <|im_start|>" in done.output
