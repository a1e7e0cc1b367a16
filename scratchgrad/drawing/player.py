"""A backward pass to step through, as one HTML page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from scratchgrad.autograd import WATCH, Node
from scratchgrad.backend import Array
from scratchgrad.backward_pass import BackwardStep
from scratchgrad.drawing.colors import DARK, style
from scratchgrad.drawing.names import variables_of_the_caller
from scratchgrad.drawing.record import Frame, Record, in_bytes, record_of
from scratchgrad.drawing.scene import scene_of
from scratchgrad.drawing.svg import svg
from scratchgrad.drawing.values import ForwardWatch, argument_names, kept_by, kernel_of, known_values, rule_of, shown
from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file
from scratchgrad.tensor import Tensor, trace_backward


class Player:
    """The page: forward and back one step by buttons, keys or a click on a box; rules and values of each."""

    def __init__(self, svg: str, steps: list[dict[str, Any]], nodes: dict[int, Any], rules: dict[str, str]) -> None:
        self._svg, self.steps, self._nodes, self._rules = svg, steps, nodes, rules

    def html(self) -> str:
        data = json.dumps({"steps": self.steps, "nodes": self._nodes, "rules": self._rules}).replace("<", "\\u003c")
        page = files("scratchgrad.drawing").joinpath("player.html").read_text(encoding="utf-8")
        for mark, text in {"<!-- picture -->": self._svg, "/* dark */": style(DARK, "svg.scratchgrad")}.items():
            page = page.replace(mark, text)
        return page.replace("/* data */", data)

    def save(self, path: str | Path) -> None:
        """Write the page. UserError where the path does not end in .html."""
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise UserError(
                f"the player is a page and cannot be saved as {quoted(str(path))}: the name is to end in .html"
            )
        with atomic_file(Path(path)) as file:
            file.write(self.html().encode())

    def _repr_html_(self) -> str:
        return f'<iframe style="width:100%;height:640px;border:0" srcdoc="{escape(self.html())}"></iframe>'


def play_backward(root: Tensor | Callable[[], Tensor], gradient: Array | Tensor | None = None) -> Player:
    """Run root.backward(gradient) and keep what each step did: `play_backward(loss).save("backward.html")`.

    Of a result that is there already, the forward values are known that leaves, the caller's variables and the closures
    of ops hold. Given a function that makes the result, `play_backward(lambda: loss_of(x))`, the page has them all.
    """
    variables = variables_of_the_caller()
    with ForwardWatch(WATCH.get()) as watch:
        made = root if isinstance(root, Tensor) else root()
        record, nodes = record_of(made, variables)
        picture = svg(scene_of(record))
        values = known_values(list(nodes.values()), variables) | {nodes[record.root]: made.data} | watch.values
        told = {number: _told(node, record, values, watch) for number, node in nodes.items()}
        rules = {node.name: rule_of(node) for node in nodes.values() if node.leaf is None}
        steps = [_described(step, record, rules, watch) for step in trace_backward(made, gradient)]
    for frame, path in _paths(record.outermost, ()):
        for number in frame.boxes:
            told[number]["module"] = " › ".join(path)
    return Player(picture, steps, told, rules)


def _told(node: Node, record: Record, values: dict[Node, Array], watch: ForwardWatch) -> dict[str, Any]:
    """What the page knows of a node before the first step."""
    box = record.boxes[node.sequence_number]
    names, arguments = argument_names(node.name, len(node.inputs)), watch.arguments.get(node, [])
    constants = [
        {"name": name, **shown(argument)}
        for name, argument, to in zip(names, arguments, node.inputs, strict=False)
        if to is None and hasattr(argument, "dtype")
    ]
    return {
        "name": box.full_name or box.name,
        "op": node.name,
        "kind": box.kind,
        "value": shown(values[node]) if node in values else None,
        "arguments": [
            {"name": name, "node": to.sequence_number}
            for name, to in zip(names, node.inputs, strict=True)
            if to is not None
        ],
        "constants": constants,
        "kept": [{"name": name, **shown(array)} for name, array in kept_by(node)] if node.leaf is None else [],
        "kernel": kernel_of(node),
        "module": "",
    }


def _inside(node: Node, watch: ForwardWatch) -> dict[str, Any]:
    """The same of a node inside a recomputed block, which was made on the way and is gone by now."""
    arguments = watch.arguments.get(node, [])
    named = zip(argument_names(node.name, len(arguments)), arguments, strict=True)
    return {
        "arguments": [],
        "constants": [{"name": name, **shown(argument)} for name, argument in named if hasattr(argument, "dtype")],
        "kept": [],
        "value": shown(watch.values[node]) if node in watch.values else None,
    }


def _described(step: BackwardStep, record: Record, rules: dict[str, str], watch: ForwardWatch) -> dict[str, Any]:
    def name(node: Node) -> str:
        box = record.boxes.get(node.sequence_number)
        return box.full_name or box.name if box is not None else node.name

    if step.node.leaf is None and step.node.name not in rules:  # of an op inside a recomputed block
        rules[step.node.name] = rule_of(step.node)
    return {
        "node": step.node.sequence_number,
        "name": name(step.node),
        "op": step.node.name,
        "drawn": step.node.sequence_number in record.boxes,
        "inside": None if step.node.sequence_number in record.boxes else _inside(step.node, watch),
        "leaf": step.node.leaf is not None,
        "depth": step.depth,
        "gradient": None if step.gradient is None else shown(step.gradient),
        "inputs": [
            {"to": to.sequence_number, "name": name(to), "summed": summed, **shown(array)}
            for to, array, summed in step.input_gradients
        ],
        "freed": in_bytes(step.freed) if step.freed else "",
    }


def _paths(frame: Frame, outer: tuple[str, ...]) -> list[tuple[Frame, tuple[str, ...]]]:
    """Every frame with the titles around it and its own."""
    path = (*outer, frame.title) if frame.title else outer
    return [(frame, path), *(found for inside in frame.frames for found in _paths(inside, path))]
