"""Decoders that classify texts, and bare ones: files of both directions, and the numbers of transformers."""

import json

import numpy as np
import pytest

from scratchgrad import Tensor, UserError, manual_seed, models, no_grad
from scratchgrad import functional as F
from scratchgrad.models import Decoder, DecoderForSequenceClassification
from tests.models import checks
from tests.models.parity import CLOSE, check_both_directions

SIZES = {
    "gpt2": {"vocab_size": 50, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 4},
    "llama": {
        "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 32,
    },
}  # fmt: skip
SIZES["mixtral"] = {**SIZES["llama"], "num_local_experts": 3}
ARCHITECTURES = {name: f"{prefix}ForSequenceClassification" for name, prefix in (
    ("gpt2", "GPT2"), ("llama", "Llama"), ("mixtral", "Mixtral"),
)}  # fmt: skip
FAMILIES = pytest.mark.parametrize("family", SIZES)
PAD = 7
rng = np.random.default_rng(0)


def small(family, architecture=None, **changes):
    manual_seed(0)
    architectures = [architecture or ARCHITECTURES[family]]
    values = {"model_type": family, **SIZES[family], **changes, "architectures": architectures}
    model = models.build(models.config_from_dict(values), architectures=architectures)
    for _, parameter in model.named_parameters():
        parameter.data = parameter.data + 0.1 * rng.standard_normal(parameter.shape, np.float32)
    return model


def padded():
    """Texts of 9, 5, 1 and 9 tokens; the last has the pad's id in its middle."""
    ids = rng.integers(8, 50, (4, 9))
    ids[1, 5:], ids[2, 1:], ids[3, 4] = PAD, PAD, PAD
    return ids


@FAMILIES
@pytest.mark.parametrize("labels", [2, 3])
def test_what_we_save_opens_in_transformers_and_what_it_saves_opens_here(tmp_path, family, labels):
    names = {str(i): f"label {i}" for i in range(labels)}
    model = small(family, pad_token_id=PAD, id2label=names)
    again = check_both_directions(model, {"input_ids": padded()}, tmp_path)
    assert isinstance(again, DecoderForSequenceClassification)
    assert (again.config.num_labels, again.config.pad_token_id) == (labels, PAD)


@pytest.mark.parametrize("family", ["gpt2", "llama"])  # a Mixtral's router adds a loss of its own
@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification", "regression"])
def test_loss_and_gradients_are_those_of_transformers(tmp_path, family, problem):
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    model = small(family, pad_token_id=PAD, id2label={"0": "a", "1": "b", "2": "c"}, problem_type=problem)
    models.save(model, tmp_path)
    theirs = getattr(transformers, model.architecture).from_pretrained(tmp_path).eval()
    ids = padded()
    ids[3, 4] = 20  # of a pad between tokens transformers' Llama learns nothing, and its GPT-2 does
    labels = rng.integers(0, 3, 4) if problem.startswith("single") else rng.random((4, 3), np.float32)
    wanted = theirs(input_ids=torch.tensor(ids), labels=torch.tensor(labels)).loss
    wanted.backward()
    logits = model.eval()(Tensor(ids))
    loss_of = {"si": F.cross_entropy, "mu": F.binary_cross_entropy_with_logits, "re": F.mse_loss}[problem[:2]]
    loss = loss_of(logits, Tensor(labels))
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=CLOSE)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    by_name = models.weights.to_hugging_face(gradients, model.weight_map(model.config))
    known = dict(theirs.named_parameters())
    assert by_name.keys() == known.keys()
    for name, gradient in by_name.items():
        np.testing.assert_allclose(gradient, known[name].grad.numpy(), rtol=0, atol=CLOSE, err_msg=name)


@FAMILIES
def test_a_model_directory_gives_the_model_back(tmp_path, family):
    model = small(family, id2label={"0": "no", "1": "yes"}, problem_type="multi_label_classification")
    checks.check_saving(model, tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    assert (told["architectures"], told["id2label"]) == ([ARCHITECTURES[family]], {"0": "no", "1": "yes"})


@FAMILIES
def test_the_mask_says_what_the_pad_says_and_a_text_alone_needs_neither(family):
    model, ids = small(family, pad_token_id=PAD).eval(), padded()[:3]
    mask = ids != PAD
    with no_grad():
        by_pad = model(Tensor(ids)).data
        assert np.array_equal(model(Tensor(ids), Tensor(mask)).data, by_pad)
        assert np.array_equal(model(Tensor(ids), Tensor(mask.astype(np.int64))).data, by_pad)
        other = small(family).eval()
        other.load_state_dict(model.state_dict())
        alone = [other(Tensor(row[seen][None])).data[0] for row, seen in zip(ids, mask, strict=True)]
        np.testing.assert_allclose(alone, by_pad, rtol=0, atol=1e-5)
        with pytest.raises(ValueError, match="give attention_mask, or a config with pad_token_id"):
            other(Tensor(ids))


@FAMILIES
@pytest.mark.parametrize("every", [1, 2])
def test_recomputation_keeps_every_bit(family, every):
    found = []
    for recompute_every in (0, every):
        model = small(family, pad_token_id=PAD)
        for name, parameter in model.named_parameters():
            parameter.data = np.random.default_rng(len(name)).standard_normal(parameter.shape, np.float32)
        model.recompute_every = recompute_every
        F.cross_entropy(model(Tensor(np.arange(18).reshape(2, 9) + 8)), np.array([0, 1])).backward()
        found.append([parameter.grad.tobytes() for parameter in model.parameters()])
    assert found[0] == found[1]


@FAMILIES
def test_a_bare_model_without_an_output_layer(tmp_path, family):
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    causal = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "mixtral": "MixtralForCausalLM"}[family]
    whole = small(family, causal, tie_word_embeddings=False)
    models.save(whole, tmp_path / "whole")
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "whole").eval()
    theirs.save_pretrained(tmp_path / "bare")
    bare = models.load(tmp_path / "bare").eval()
    assert bare.architecture == type(theirs).__name__
    assert not isinstance(bare, Decoder)
    ids = rng.integers(0, 50, (2, 9))
    with no_grad(), torch.no_grad():
        wanted = theirs(torch.tensor(ids)).last_hidden_state.numpy()
        np.testing.assert_allclose(bare(Tensor(ids)).data, wanted, rtol=0, atol=CLOSE)
        assert np.array_equal(bare(Tensor(ids)).data, whole.eval().hidden_states(Tensor(ids)).data)
    models.save(bare, tmp_path / "again")
    checks.check_equal(models.load(tmp_path / "again"), bare)
    back, report = transformers.AutoModel.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(report.values())
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), theirs.parameters(), strict=True))
    assert type(bare).__name__ == bare.architecture


def test_a_classifier_with_another_number_of_labels_than_its_config_says(tmp_path):
    models.save(small("llama"), tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**told, "id2label": {str(i): str(i) for i in range(5)}}))
    with pytest.raises(UserError, match=r"'score.weight' has shape \(2, 16\) and the config asks for \(5, 16\)"):
        models.load(tmp_path)
