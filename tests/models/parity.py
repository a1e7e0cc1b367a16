"""What another implementation computes from the same weights, and whether a model of ours computes that, too."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad import Tensor, models
from scratchgrad.files import write_tensors
from scratchgrad.models import Model
from scratchgrad.models.weights import to_hugging_face
from tests.models.losses import loss_of

FIXTURES = Path(__file__).parent / "fixtures"
Arrays = dict[str, np.ndarray[Any, Any]]
CLOSE = 1e-4  # of logits and of gradients of the mean loss: the roundings of float32 in another order


@dataclass
class Example:
    """config: a config.json. weights: a model.safetensors. batch: what the loss takes. The rest is what the other says.

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

    def check(self, model: Model, logits: Tensor) -> None:
        """`logits` are what `model` says of the example's batch; its loss and all its gradients are looked at here."""
        np.testing.assert_allclose(logits.data, self.logits, rtol=0, atol=CLOSE)
        output = loss_of(model, label_smoothing=self.config.get("label_smoothing", 0.0), **self.batch)
        loss = output.loss / output.num_targets
        loss.backward()
        np.testing.assert_allclose(loss.item(), self.loss, rtol=0, atol=CLOSE)
        ours = {name: parameter.grad for name, parameter in model.named_parameters()}
        gradients = to_hugging_face(ours, model.weight_map(model.config))
        assert gradients.keys() == self.gradients.keys()
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, self.gradients[name], rtol=0, atol=CLOSE, err_msg=name)
