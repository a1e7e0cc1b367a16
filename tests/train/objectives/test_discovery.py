"""Objectives are found by the names of their files, and models by what they are trained for."""

import sys

import numpy as np
import pytest

from scratchgrad import UserError, models
from scratchgrad.models.families import families
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.tokenizer import train_bpe
from scratchgrad.train.objectives import objective_for, objectives, on_device
from tests.pages import file_on
from tests.train.objectives.small import ARCHITECTURES, WORDS, text_store

PLANTED = file_on("docs/objectives.md", "train/objectives/fill_in_the_middle.py")


def architecture_class(name: str) -> type[models.Model]:
    return next(kind for family in families().values() for kind in family if kind.architecture == name)


def test_every_architecture_has_an_objective_that_trains_it_by_default():
    known = {kind.architecture for family in families().values() for kind in family}
    assert known == ARCHITECTURES.keys()
    for name, (_, objective) in ARCHITECTURES.items():
        assert objective_for(architecture_class(name)) == objective


@pytest.mark.parametrize(("architecture", "objective", "words"), [
    ("LlamaForCausalLM", "masked_lm", "train.objective = masked_lm: a LlamaForCausalLM can be trained for causal_lm"),
    ("BertForPreTraining", "seq2seq", "a BertForPreTraining can be trained for masked_lm, masked_lm_next_sentence"),
    ("T5ForConditionalGeneration", "causal_lm", "can be trained for seq2seq, span_corruption"),
    ("BertForMaskedLM", "masked_lm_next_sentence", "a BertForMaskedLM can be trained for masked_lm"),
    ("Transformer", "guess", "train.objective = 'guess' is not known; it is one of: causal_lm, masked_lm"),
])  # fmt: skip
def test_a_pairing_that_does_not_fit_is_one_sentence(architecture, objective, words):
    with pytest.raises(UserError) as told:
        objective_for(architecture_class(architecture), objective)
    assert words in str(told.value)
    assert len(str(told.value)) < 300


def test_one_objective_may_train_several_classes_and_a_class_be_trained_for_several():
    assert objective_for(architecture_class("T5ForConditionalGeneration"), "seq2seq") == "seq2seq"
    assert objective_for(architecture_class("BertForPreTraining"), "masked_lm") == "masked_lm"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of objectives with one file in it, and a file that only helps."""
    folder = tmp_path / "planted_objectives"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helping.py").write_text("from scratchgrad.train.objectives.causal_lm import CausalLM\n")
    (folder / "fill_in_the_middle.py").write_text(PLANTED)
    objectives.cache_clear()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_a_new_file_is_a_new_objective(package):
    found = objectives(package)
    assert list(found) == ["fill_in_the_middle"]
    assert found["fill_in_the_middle"].__name__ == "FillInTheMiddle"
    llama = architecture_class("LlamaForCausalLM")
    assert objective_for(llama, "fill_in_the_middle", package) == "fill_in_the_middle"
    with pytest.raises(
        UserError, match=r"train.objective is missing: a LlamaForCausalLM can be trained for fill_in_the_middle"
    ):
        objective_for(llama, None, package)


def test_the_documented_objective_makes_the_batches_that_it_promises(package, tmp_path):
    kind = objectives(package)["fill_in_the_middle"]
    tokenizer = train_bpe([" ".join(WORDS)], 300, special_tokens=("<|endoftext|>", *kind.special_tokens))
    config = models.config_from_dict(
        {**ARCHITECTURES["LlamaForCausalLM"][0], "vocab_size": 300, "max_position_embeddings": 16}
    )
    objective = kind(TextLayout(tokenizer), config, context=16)
    text = np.arange(200) + 50
    batches = objective.batches([text_store(tmp_path / "train-0", text)], [1.0])
    batch = batches.rows(range(6))
    assert batch["input_ids"].shape == batch["targets"].shape == (6, 16)
    marks = [tokenizer.special_tokens[name] for name in kind.special_tokens]
    for read, targets in zip(batch["input_ids"].tolist(), batch["targets"].tolist(), strict=True):
        row = [read[0], *targets]
        prefix, suffix, middle = (row.index(mark) for mark in marks)
        whole = row[prefix + 1 : suffix] + row[middle + 1 :] + row[suffix + 1 : middle]
        assert np.diff(whole).tolist() == [1] * 13
    model = models.build(config)
    output = objective.loss(model, on_device(batch, "cpu"))
    assert output.num_targets == 96


def test_a_file_with_two_objectives_is_a_mistake(package, tmp_path):
    (tmp_path / package / "two.py").write_text(PLANTED + "\n\nclass Other(CausalLM):\n    default_for = ()\n")
    objectives.cache_clear()
    with pytest.raises(TypeError, match="two defines several objectives"):
        objectives(package)
    objectives.cache_clear()
