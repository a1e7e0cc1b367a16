"""What there is to draw: the nodes below a tensor, who reads whom, and the calls of modules that they were made in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from scratchgrad.autograd import Node, Scope, reachable
from scratchgrad.checkpointed_block import CheckpointedBlock
from scratchgrad.closures import kept_arrays, owner
from scratchgrad.tensor import Tensor

Variables = Mapping[Node, tuple[str, Tensor]]  # names and tensors of the code that asks


@dataclass
class Box:
    """One node, in words that outlive it. name: of the op; of a leaf, its own, in the innermost module."""

    number: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: str  # leaf, op or recompute
    kept: int  # bytes that its closure keeps and no parameter or other node's closure keeps already
    reads: list[int] = field(default_factory=list)
    gradient: float | None = None  # the norm, once a backward pass has come by
    full_name: str = ""  # of a leaf, in the outermost module


@dataclass
class Frame:
    """A call of a module (or all there is, for the outermost): boxes by number, and the calls inside."""

    title: str
    boxes: list[int] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)


@dataclass
class Record:
    boxes: dict[int, Box]
    outermost: Frame
    root: int


def record_of(root: Tensor, variables: Variables | None = None) -> tuple[Record, dict[int, Node]]:
    """The record below `root`, and its nodes by number. RuntimeError where there is none, or it has been walked.

    variables: the names of leaves that are no module's parameters.
    """
    if root.node is None:
        raise RuntimeError("there is nothing to draw: no gradient reaches this tensor")
    nodes = sorted(reachable([root.node]), key=lambda node: node.sequence_number)
    boxes, seen = {}, {id(owner(tensor.data)) for node in nodes if (tensor := _tensor(node)) is not None}
    for node in nodes:
        kept = 0
        for array in kept_arrays(node.backward):
            if id(owner(array)) not in seen:
                seen.add(id(owner(array)))
                kept += array.nbytes
        kind = (
            "leaf" if node.leaf is not None else "recompute" if isinstance(node.backward, CheckpointedBlock) else "op"
        )
        reads = [input_node.sequence_number for input_node in node.inputs if input_node is not None]
        boxes[node.sequence_number] = Box(
            node.sequence_number, node.name, node.shape, str(node.dtype), kind, kept, reads
        )
    scopes = _scopes(nodes)
    for node in nodes:
        if node.leaf is not None:
            names = _names_of(node, scopes[node]) or [(variables or {}).get(node, ("leaf", root))[0]]
            boxes[node.sequence_number].full_name, boxes[node.sequence_number].name = names[0], names[-1]
    by_number = {node.sequence_number: node for node in nodes}
    return Record(boxes, _framed(nodes, scopes), root.node.sequence_number), by_number


def _tensor(node: Node) -> Tensor | None:
    return node.leaf() if node.leaf is not None else None


def _scopes(nodes: list[Node]) -> dict[Node, tuple[Scope, ...]]:
    """The calls that each node was made in, from the outermost. A leaf stands where its readers meet."""
    scopes = {node: _chain(node.scope) for node in nodes if node.leaf is None}
    for node in reversed(nodes):
        for input_node in node.inputs if node.leaf is None else ():
            if input_node is not None and input_node.leaf is not None:
                scopes[input_node] = _common(scopes[input_node], scopes[node]) if input_node in scopes else scopes[node]
    return {node: scopes.get(node, ()) for node in nodes}


def _chain(scope: Scope | None) -> tuple[Scope, ...]:
    chain: tuple[Scope, ...] = ()
    while scope is not None:
        chain, scope = (scope, *chain), scope.outer
    return chain


def _common(a: tuple[Scope, ...], b: tuple[Scope, ...]) -> tuple[Scope, ...]:
    same = 0
    while same < min(len(a), len(b)) and a[same].number == b[same].number:
        same += 1
    return a[:same]


def _names_of(leaf: Node, scopes: tuple[Scope, ...]) -> list[str]:
    """A parameter's name in each module that it is one of, from the outermost, as in its state_dict."""
    found = []
    for scope in scopes:
        module = scope.module()
        for name, parameter in module.named_parameters() if module is not None else ():
            if parameter.node is leaf:
                found.append(str(name))
    return found


def _framed(nodes: list[Node], scopes: dict[Node, tuple[Scope, ...]]) -> Frame:
    outermost = Frame("")
    frames: dict[tuple[int, ...], Frame] = {(): outermost}
    for node in nodes:
        path: tuple[int, ...] = ()
        for depth, scope in enumerate(scopes[node]):
            here = (*path, scope.number)
            if here not in frames:
                frames[here] = Frame(_title(scopes[node], depth))
                frames[path].frames.append(frames[here])
            path = here
        frames[path].boxes.append(node.sequence_number)
    return outermost


def _title(scopes: tuple[Scope, ...], depth: int) -> str:
    """'layers.0: Block', with the name that the call around it has for the module."""
    module, kind = scopes[depth].module(), scopes[depth].kind
    outer = scopes[depth - 1].module() if depth else None
    names = [name for name, other in outer.named_modules() if other is module] if outer is not None else []
    return f"{names[0]}: {kind}" if names and names[0] else kind


def shape_text(shape: tuple[int, ...]) -> str:
    """(5, 4) -> '5×4'."""
    return "×".join(map(str, shape)) or "number"


def in_bytes(count: int) -> str:
    """1536 -> '1.5 kB', with the prefixes of SI."""
    if count < 1000:
        return f"{count} B"
    power = min(int(math.log10(count) // 3), 4)
    return f"{count / 1000**power:.3g} {'kMGT'[power - 1]}B"
