"""A T5 that classifies texts: files of both directions, the numbers of transformers, and padding."""

import numpy as np
import pytest

from scratchgrad import Tensor, manual_seed, models, no_grad
from scratchgrad import functional as F
from tests.models import checks
from tests.models.parity import CLOSE, check_both_directions

SIZES = {
    "model_type": "t5", "vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
    "id2label": {"0": "a", "1": "b", "2": "c"},
}  # fmt: skip
rng = np.random.default_rng(0)


def small(**changes):
    manual_seed(0)
    architectures = ["T5ForSequenceClassification"]
    values = {**SIZES, **changes, "architectures": architectures}
    return models.build(models.config_from_dict(values), architectures=architectures)


def padded():
    """Texts of 9, 5 and 2 tokens, the last of each 1, which ends them; and their mask."""
    ids = rng.integers(2, 40, (3, 9))
    for row, length in enumerate((9, 5, 2)):
        ids[row, length - 1], ids[row, length:] = 1, 0
    return ids, (ids != 0).astype(np.int64)


@pytest.mark.parametrize("version", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
def test_what_we_save_opens_in_transformers_and_what_it_saves_opens_here(tmp_path, version):
    ids, mask = padded()
    again = check_both_directions(small(**version), {"input_ids": ids, "attention_mask": mask}, tmp_path)
    assert again.config.num_labels == 3


def test_gradients_are_those_of_transformers(tmp_path):
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    model, (ids, mask) = small(), padded()
    models.save(model, tmp_path)
    theirs = transformers.T5ForSequenceClassification.from_pretrained(tmp_path).eval()
    labels = np.array([0, 2, 1])
    wanted = theirs(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), labels=torch.tensor(labels)).loss
    wanted.backward()
    loss = F.cross_entropy(model.eval()(Tensor(ids), Tensor(mask)), labels)
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=CLOSE)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    known = dict(theirs.named_parameters())
    for name, gradient in models.weights.to_hugging_face(gradients, model.weight_map(model.config)).items():
        np.testing.assert_allclose(gradient, known[name].grad.numpy(), rtol=0, atol=CLOSE, err_msg=name)


def test_padding_changes_nothing_and_a_model_directory_gives_the_model_back(tmp_path):
    model, (ids, mask) = small().eval(), padded()
    with no_grad():
        whole = model(Tensor(ids), Tensor(mask)).data
        for row, length in enumerate((9, 5, 2)):
            alone = model(Tensor(ids[row : row + 1, :length])).data[0]
            np.testing.assert_allclose(alone, whole[row], rtol=0, atol=1e-5)
    checks.check_saving(model, tmp_path)
