"""Families are found by their files, and a user's own, outside of the package, once its class is registered."""

import json
import sys
from typing import Literal

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models
from scratchgrad.models import Llama, LlamaConfig
from scratchgrad.models.families import REGISTERED, families, packaged_models
from tests.models import checks

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 32,
}  # fmt: skip
FILE = """
from typing import Literal
from scratchgrad.models.llama import Llama, LlamaConfig

class PlantedConfig(LlamaConfig):
    model_type: Literal["planted"] = "planted"

class Helper(Llama):
    config_class = PlantedConfig

class Planted(Helper):
    architecture = "PlantedModel"

class PlantedForCausalLM(Helper):
    architecture = "PlantedForCausalLM"
    is_default = True

class Last(PlantedForCausalLM):
    architecture = "Last"
"""


class OwnConfig(LlamaConfig):
    model_type: Literal["own"] = "own"


class Own(Llama):
    config_class = OwnConfig
    architecture = "OwnForCausalLM"


@pytest.fixture(autouse=True)
def none_stays_registered():
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """One more file in the package."""
    (tmp_path / "planted.py").write_text(FILE)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    packaged_models.cache_clear()
    yield
    packaged_models.cache_clear()
    sys.modules.pop("scratchgrad.models.planted")
    del models.planted


def names(model_type):
    return [kind.architecture for kind in families()[model_type]]


def test_every_family_is_found_with_the_default_first():
    assert list(families()) == ["bert", "gpt2", "llama", "mixtral", "t5", "transformer"]
    assert names("bert")[0] == "BertForPreTraining"
    assert sorted(names("bert")) == sorted([
        "BertForPreTraining", "BertForMaskedLM", "BertForSequenceClassification", "BertForTokenClassification",
        "BertForQuestionAnswering", "BertModel",
    ])  # fmt: skip


@pytest.mark.usefixtures("planted")
def test_a_new_file_is_a_new_family(tmp_path):
    assert names("planted") == ["PlantedForCausalLM", "PlantedModel", "Last"]
    assert models.family_of("planted").architecture == "PlantedForCausalLM"
    model = models.build(models.config_from_dict({"model_type": "planted", **SIZES}), architectures=["PlantedModel"])
    models.save(model, tmp_path / "m")
    assert type(models.load(tmp_path / "m")) is type(model)


def test_a_class_of_ones_own_is_known_once_it_is_registered(tmp_path):
    values = {"model_type": "own", **SIZES}
    with pytest.raises(UserError, match=r"model_type = 'own' is not known; it is one of: bert, .*, transformer$"):
        models.config_from_dict(values)
    assert models.register(Own) is Own
    manual_seed(0)
    model = models.build(models.config_from_dict(values))
    assert type(model) is Own
    checks.check_saving(model, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("own", ["OwnForCausalLM"])
    loaded = models.load(tmp_path / "m")
    ids = Tensor(np.arange(12).reshape(2, 6))
    assert type(loaded) is Own
    assert np.array_equal(loaded(ids).data, model(ids).data)


def test_a_registered_architecture_of_a_known_config_is_not_its_default():
    @models.register
    class LlamaForSomethingElse(Llama):
        architecture = "ALlamaForSomethingElse"

    assert names("llama") == ["LlamaForCausalLM", "LlamaForSequenceClassification", "ALlamaForSomethingElse"]
    assert models.family_of("llama") is Llama
    assert models.family_of("llama", ["ALlamaForSomethingElse"]) is LlamaForSomethingElse


def test_a_class_that_is_defined_again_replaces_itself_and_no_other():
    def define(base, name="Again"):
        return type(name, (base,), {"architecture": "AgainForCausalLM", "__module__": "__main__"})

    models.register(define(Own))
    second = models.register(define(Own))
    assert families()["own"] == (second,)
    with pytest.raises(ValueError, match=r"AgainForCausalLM of model_type own is __main__\.Again already"):
        models.register(define(Own, "Other"))
    with pytest.raises(ValueError, match=r"LlamaForCausalLM of model_type llama is scratchgrad\.models\.llama\.Llama"):
        models.register(type("Mine", (Llama,), {"architecture": "LlamaForCausalLM"}))
    assert families()["own"] == (second,)


def test_what_says_too_little_of_itself_is_refused():
    with pytest.raises(TypeError, match="Mine names no architecture of its own"):
        models.register(type("Mine", (Llama,), {}))
    with pytest.raises(TypeError, match="Mine has no config_class whose model_type has a value"):
        models.register(type("Mine", (models.Model,), {"architecture": "Mine"}))
