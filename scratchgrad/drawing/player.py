"""A backward pass to step through, as one HTML page that needs nothing else."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from scratchgrad.autograd import BackwardStep, Node
from scratchgrad.backend import Array, to_numpy
from scratchgrad.drawing.picture import draw
from scratchgrad.drawing.record import Record, in_bytes, record_of
from scratchgrad.tensor import Tensor, trace_backward


class Player:
    """The page: forward and back one step by buttons or arrow keys, values where the pointer is."""

    def __init__(self, svg: str, steps: list[dict[str, Any]], values: dict[int, str]) -> None:
        self._svg, self.steps, self._values = svg, steps, values

    def html(self) -> str:
        data = json.dumps({"steps": self.steps, "values": self._values}).replace("<", "\\u003c")
        page = files("scratchgrad.drawing").joinpath("player.html").read_text(encoding="utf-8")
        return page.replace("<!-- picture -->", self._svg).replace("/* data */", data)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        from html import escape

        return f'<iframe style="width:100%;height:600px;border:0" srcdoc="{escape(self.html())}"></iframe>'


def play_backward(root: Tensor, gradient: Array | Tensor | None = None) -> Player:
    """Run root.backward(gradient) and keep what each step did: `play_backward(loss).save("backward.html")`."""
    svg = draw(root).svg()
    record, nodes = record_of(root)
    values = {}
    for number, node in nodes.items():
        tensor = node.leaf() if node.leaf is not None else None
        if tensor is not None:
            values[number] = _shown(tensor.data)
    return Player(svg, [_described(step, record) for step in trace_backward(root, gradient)], values)


def _described(step: BackwardStep, record: Record) -> dict[str, Any]:
    def name(node: Node) -> str:
        return record.boxes[node.sequence_number].name if node.sequence_number in record.boxes else node.name

    return {
        "node": step.node.sequence_number,
        "name": name(step.node),
        "drawn": step.node.sequence_number in record.boxes,
        "leaf": step.node.leaf is not None,
        "depth": step.depth,
        "gradient": None if step.gradient is None else _gradient(step.gradient),
        "inputs": [
            {"to": to.sequence_number, "name": name(to), "summed": summed, **_gradient(array)}
            for to, array, summed in step.input_gradients
        ],
        "freed": in_bytes(step.freed) if step.freed else "",
    }


def _gradient(array: Array) -> dict[str, Any]:
    norm = float(np.linalg.norm(to_numpy(array).astype(np.float64)))
    return {"shape": "×".join(map(str, array.shape)) or "number", "norm": f"{norm:.4g}", "values": _shown(array)}


def _shown(array: Array) -> str:
    return np.array2string(to_numpy(array), precision=4, threshold=60, edgeitems=3)
