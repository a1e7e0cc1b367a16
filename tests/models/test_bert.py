"""BERT and its heads: files in both directions, and what may change no bit."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad.files import write_tensors
from scratchgrad.models import BertConfig, BertForPreTraining
from tests.models import checks
from tests.models.parity import check_both_directions

SMALL = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24,
    "max_position_embeddings": 32, "pad_token_id": 1,
}  # fmt: skip
HEADS = [
    "BertForPreTraining", "BertForMaskedLM", "BertForSequenceClassification", "BertForTokenClassification",
    "BertForQuestionAnswering", "BertModel",
]  # fmt: skip
LABELS = {"0": "bad", "1": "fair", "2": "good"}


def small(architecture="BertForPreTraining", dropout: float = 0.0, **changes):
    manual_seed(0)
    return models.build(BertConfig.checked({**SMALL, **changes}), architectures=[architecture], dropout=dropout)


def texts(**more):
    """Two texts, the second of nine tokens."""
    rng = np.random.default_rng(1)
    mask = np.ones((2, 12), int)
    mask[1, 9:] = 0
    targets = np.where((rng.random((2, 12)) < 0.4) & (mask == 1), rng.integers(0, 40, (2, 12)), -100)
    return {
        "input_ids": rng.integers(2, 40, (2, 12)),
        "token_type_ids": rng.integers(0, 2, (2, 12)),
        "attention_mask": mask,
        "targets": targets,
        **more,
    }


@pytest.mark.parametrize("architecture", HEADS)
def test_what_we_save_opens_in_transformers_with_equal_logits_and_comes_back(architecture, tmp_path):
    more = {"id2label": LABELS} if "Classification" in architecture else {}
    model = small(architecture, initializer_range=0.2, **more)
    again = check_both_directions(model, texts(), tmp_path)
    assert again.config.id2label == model.config.id2label


@pytest.mark.parametrize("architecture", HEADS)
def test_a_model_directory_gives_the_model_back_with_its_head(architecture, tmp_path):
    model = small(architecture, id2label=LABELS)
    checks.check_saving(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [architecture]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_recomputation_keeps_every_bit_also_with_dropout(every):
    batch = texts(next_sentence_targets=np.array([0, 1]))
    checks.check_recomputation(lambda: small(dropout=0.2), batch, every)


@pytest.mark.parametrize("architecture", ["BertForPreTraining", "BertForMaskedLM", "BertForTokenClassification"])
def test_a_batch_in_which_nothing_is_asked_costs_nothing(architecture):
    model = small(architecture)
    loss = checks.loss(model, texts(targets=np.full((2, 12), -100)))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_what_fills_a_text_up_changes_nothing_and_both_sides_count():
    model = small("BertForMaskedLM")
    ids, types, mask, _ = map(Tensor, texts().values())

    def changed(place: int) -> Tensor:
        other = ids.data.copy()
        other[1, place] = (other[1, place] + 1) % 40
        return model(Tensor(other), types, mask).data[1, :9]

    with no_grad():
        logits = model(ids, types, mask).data[1, :9]
        short = model(ids[1:, :9], types[1:, :9]).data[0]
        np.testing.assert_allclose(logits, short, atol=1e-5)
        np.testing.assert_allclose(changed(10), logits, atol=1e-6)
        assert np.abs(changed(8) - logits)[:4].max() > 1e-4
        assert np.abs(changed(0) - logits)[4:].max() > 1e-4
        no_types = model(ids, None, mask).data
        np.testing.assert_array_equal(no_types, model(ids, Tensor(np.zeros_like(ids.data)), mask).data)


def test_a_text_longer_than_the_context_is_told():
    with pytest.raises(ValueError, match="position 32 lies beyond the context of 32 tokens"):
        small().hidden_states(Tensor(np.zeros((1, 33), int)))


def test_the_base_model_has_the_size_of_the_paper():
    config = BertConfig(
        vocab_size=30522, hidden_size=768, num_hidden_layers=2, num_attention_heads=12, intermediate_size=3072,
        max_position_embeddings=512,
    )  # fmt: skip
    per_layer = 7_087_872
    assert (
        sum(p.size for p in models.build(config, architectures=["BertModel"]).parameters())
        == 109_482_240 - 10 * per_layer
    )


def test_a_real_config_opens_and_its_pickle_does_not(data_folder, tmp_path):
    folder = data_folder / "02_models" / "bert-xsmall-dummy"
    with pytest.raises(UserError, match=r"pytorch_model\.bin' is pickled"):
        models.load(folder)
    values = json.loads((folder / "config.json").read_text())
    config = BertConfig.checked({name: values[name] for name in values.keys() & BertConfig.model_fields.keys()})
    models.save(models.build(config, architectures=values["architectures"]), tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    model = models.load(tmp_path)
    assert model.architecture == "BertModel"
    states, whole = model(Tensor(np.arange(20).reshape(2, 10)))
    assert (states.shape, whole.shape) == ((2, 10, 20), (2, 20))


@pytest.mark.parametrize(("changes", "words"), [
    ({"position_embedding_type": "relative_key"}, "model.position_embedding_type = 'relative_key' asks for a feature"),
    ({"is_decoder": True}, "model.is_decoder = True asks for a feature"),
    ({"problem_type": "ranking"}, "model.problem_type = 'ranking' asks for a"),
    ({"hidden_act": "mish"}, "model.hidden_act = 'mish' asks for a feature"),
    ({"num_attention_heads": 3}, "model.hidden_size = 16 is not divisible by 3 attention heads"),
    ({"pad_token_id": 40}, "model.pad_token_id = 40 is none of the 40 tokens"),
    ({"id2label": {}}, "model.id2label = {}"),
    ({"type_vocab_sise": 2}, "did you mean model.type_vocab_size"),
    ({"architectures": ["BertForMultipleChoice"]}, "is not known for model_type bert; it is a list of one of: BertForPreTraining, "),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        models.config_from_dict({"model_type": "bert", **SMALL, **changes})


def test_the_weights_of_another_head_are_refused(tmp_path):
    models.save(small("BertForMaskedLM"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["BertForTokenClassification"]}))
    with pytest.raises(UserError, match=r"'classifier.bias' is missing; 'cls.predictions.bias' belongs to no part"):
        models.load(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["BertLMHeadModel"]}))
    with pytest.raises(UserError, match=r"\['BertLMHeadModel'\] is not known for model_type bert"):
        models.load(tmp_path)


def test_gradients_reach_every_parameter():
    model = small()
    checks.loss(model, texts(next_sentence_targets=np.array([0, 1]))).backward()
    assert isinstance(model, BertForPreTraining)
    assert all(np.abs(p.grad).max() > 1e-6 for p in model.parameters())


def stored(folder) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def test_files_as_they_were_once_published_open(tmp_path):
    """Norms had gamma and beta, tied weights and positions were stored again, and whole models stood under one head."""
    model = small()
    models.save(model, tmp_path)
    old = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array
        for name, array in stored(tmp_path).items()
    }
    old["bert.embeddings.position_ids"] = np.arange(32)[None]
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"].copy()
    old["cls.predictions.decoder.bias"] = old["cls.predictions.bias"].copy()
    write_tensors(tmp_path / "model.safetensors", old)
    checks.check_equal(model, models.load(tmp_path))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["BertForMaskedLM"]}))
    tokens = models.load(tmp_path)
    ids, types, mask, _ = map(Tensor, texts().values())
    with no_grad():
        np.testing.assert_array_equal(tokens(ids, types, mask).data, model(ids, types, mask)[0].data)
    old["cls.predictions.decoder.weight"][3, 3] += 1
    write_tensors(tmp_path / "model.safetensors", old)
    with pytest.raises(UserError, match=r"'cls.predictions.decoder.weight' is not the same as 'bert.embeddings.word"):
        models.load(tmp_path)
