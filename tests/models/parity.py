"""What another implementation computes from the same weights, and whether a model of ours computes that, too."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchgrad import Tensor, models, no_grad
from scratchgrad.files import write_tensors
from scratchgrad.models import EncoderDecoder, Model
from scratchgrad.models.weights import to_hugging_face
from tests.models.checks import Batch, check_equal, logits, loss, num_targets

FIXTURES = Path(__file__).parent / "fixtures"
Arrays = dict[str, np.ndarray[Any, Any]]
CLOSE = 1e-4  # of logits and of gradients of the mean loss: the roundings of float32 in another order


@dataclass
class Example:
    """config: a config.json. weights: a model.safetensors. batch: what `checks.loss` takes. The rest is what
    the other says.

    gradients: of the mean loss over targets, by the names of the weights.
    """

    config: dict[str, Any]
    weights: Arrays
    batch: Arrays
    logits: np.ndarray[Any, Any]
    loss: float
    gradients: Arrays

    def save(self, name: str) -> None:
        """Into fixtures/, with all weights in one array, and all gradients in another."""
        shapes = {key: list(array.shape) for key, array in self.weights.items()}
        np.savez_compressed(
            FIXTURES / f"{name}.npz",
            config=json.dumps(self.config),
            shapes=json.dumps(shapes),
            weights=np.concatenate([self.weights[key].ravel() for key in shapes]),
            gradients=np.concatenate([self.gradients[key].ravel() for key in shapes]),
            logits=self.logits,
            loss=self.loss,
            **{f"batch/{key}": array for key, array in self.batch.items()},
        )

    @classmethod
    def saved(cls, name: str) -> Example:
        with np.load(FIXTURES / f"{name}.npz") as stored:
            shapes = json.loads(str(stored["shapes"]))
            cuts = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]

            def by_name(flat: np.ndarray[Any, Any]) -> Arrays:
                parts = zip(shapes.items(), np.split(flat, cuts), strict=True)
                return {key: part.reshape(shape) for (key, shape), part in parts}

            return cls(
                json.loads(str(stored["config"])),
                by_name(stored["weights"]),
                {key.removeprefix("batch/"): stored[key] for key in stored if key.startswith("batch/")},
                stored["logits"],
                float(stored["loss"]),
                by_name(stored["gradients"]),
            )

    def model(self, folder: Path) -> Model:
        """Ours, loaded from a model directory with the other's config and weights."""
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        write_tensors(folder / "model.safetensors", self.weights)
        return models.load(folder)

    def check(self, folder: Path) -> None:
        """Logits, loss and all gradients of our model, loaded from a folder with the example's config and weights."""
        model = self.model(folder)
        assert self.config.get("architectures", [model.architecture]) == [model.architecture]
        np.testing.assert_allclose(logits(model, self.batch).data.ravel(), self.logits.ravel(), rtol=0, atol=CLOSE)
        smoothing = self.config.get("label_smoothing", 0.0)
        mean_loss = loss(model, self.batch, label_smoothing=smoothing) / num_targets(self.batch)
        mean_loss.backward()
        np.testing.assert_allclose(mean_loss.item(), self.loss, rtol=0, atol=CLOSE)
        ours = {name: parameter.grad for name, parameter in model.named_parameters()}
        gradients = to_hugging_face(ours, model.weight_map(model.config))
        assert gradients.keys() == self.gradients.keys()
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, self.gradients[name], rtol=0, atol=CLOSE, err_msg=name)


def check_both_directions(model: Model, batch: Batch, folder: Path) -> Model:
    """What we save opens in transformers with equal logits, and what it saves has the same weights here.

    Returns the model that was loaded from what transformers saved.
    """
    torch = pytest.importorskip("torch", reason="the extra parity is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra parity is not installed")
    models.save(model, folder)
    architecture = getattr(transformers, model.architecture)
    theirs, report = architecture.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    inputs = {name: torch.tensor(array) for name, array in batch.items() if "targets" not in name}
    if isinstance(model, EncoderDecoder):
        inputs["decoder_input_ids"] = torch.tensor(model.shift_right(Tensor(batch["targets"])).data)
    with no_grad(), torch.no_grad():
        out = theirs.eval()(**inputs)
        parts = [part for name, part in out.items() if "logits" in name] or list(out.values())
        wanted = np.concatenate([part.numpy().ravel() for part in parts])
        np.testing.assert_allclose(logits(model.eval(), batch).data.ravel(), wanted, rtol=0, atol=CLOSE)
    assert np.abs(wanted).max() > 100 * CLOSE
    theirs.save_pretrained(folder / "theirs")
    again = models.load(folder / "theirs")
    assert type(again) is type(model)
    check_equal(again, model)
    return again
