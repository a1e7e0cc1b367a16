"""The record of a computation as a picture, in the format that a file's name asks for."""

from __future__ import annotations

from pathlib import Path
from weakref import ref

import numpy as np

from scratchgrad.autograd import Node
from scratchgrad.backend import Array, to_numpy
from scratchgrad.drawing import dot, raster, svg
from scratchgrad.drawing.names import variables_of_the_caller
from scratchgrad.drawing.record import Box, Record, record_of
from scratchgrad.drawing.scene import scene_of
from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file
from scratchgrad.tensor import Tensor

FORMATS = (".svg", ".png", ".pdf", ".html", ".dot")


class Drawing:
    """A picture of a record. It stays when the record is gone, and learns the gradients of a later backward pass."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def svg(self) -> str:
        return svg.svg(scene_of(self.record))

    def html(self) -> str:
        """A page with the picture, light or dark as the reader has it."""
        return svg.page(scene_of(self.record), f"{self.record.boxes[self.record.root].name} and what it was made of")

    def dot(self) -> str:
        """The record in Graphviz's language."""
        return dot.dot(self.record)

    def save(self, path: str | Path) -> None:
        """Write the picture in the format that the path's suffix names: .svg, .png, .pdf, .html or .dot.

        UserError for any other suffix.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in FORMATS:
            raise UserError(
                f"a drawing cannot be saved as {quoted(str(path))}: the name is to end in {', '.join(FORMATS[:-1])} or "
                f"{FORMATS[-1]}"
            )
        with atomic_file(Path(path)) as file:
            if suffix == ".png":
                raster.write(scene_of(self.record), file, "png")
            elif suffix == ".pdf":
                raster.write(scene_of(self.record), file, "pdf")
            else:
                write_as = {".svg": self.svg, ".html": self.html, ".dot": self.dot}
                file.write(write_as[suffix]().encode())

    def _repr_svg_(self) -> str:
        return self.svg()


def draw(root: Tensor) -> Drawing:
    """The record below `root`: ops with shape, dtype and the bytes that they keep, and modules around them.

    Parameters have their names in the modules, other leaves those of the caller's variables. Draw before the backward
    pass, which lets the record go. Once it has run, the same drawing shows the norm of each gradient. In a notebook it
    shows itself; `save("graph.svg")` writes a file, as .png, .pdf, .html or .dot too.
    """
    record, nodes = record_of(root, variables_of_the_caller())
    for number, node in nodes.items():
        _record_gradient(node, record.boxes[number])
    return Drawing(record)


def _record_gradient(node: Node, box: Box) -> None:
    """Keep the norm of the node's first gradient in the box, if that is still there."""
    whom = ref(box)

    def run_hooks(gradient: Array) -> None:
        if (box := whom()) is not None:
            box.gradient = float(np.linalg.norm(to_numpy(gradient).astype(np.float64)))
        if node.hooks is not None and run_hooks in node.hooks:
            node.hooks.remove(run_hooks)

    if node.hooks is None:
        node.hooks = []
    node.hooks.append(run_hooks)
