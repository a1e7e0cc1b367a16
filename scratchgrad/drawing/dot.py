"""A picture in DOT, the language of Graphviz, which then finds its own places: `dot -Tsvg graph.dot`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from scratchgrad.drawing.colors import LIGHT
from scratchgrad.drawing.record import Frame, Record
from scratchgrad.drawing.scene import box_lines


def dot(record: Record) -> str:
    edges = [f"  {source} -> {number};" for number, box in record.boxes.items() for source in box.reads]
    look = f'shape=box, style="rounded,filled", fontname="monospace", fontsize=11, fontcolor="{LIGHT.text}"'
    return "\n".join([
        "digraph backward {",
        f"  node [{look}];",
        f'  edge [color="{LIGHT.edge}"];',
        f'  graph [fontname="monospace", fontsize=11, style=rounded, color="{LIGHT.frame_line}"];',
        *_frame(record.outermost, record, "  ", count()),
        *edges,
        "}\n",
    ])  # fmt: skip


def _frame(frame: Frame, record: Record, indent: str, numbers: Iterator[int]) -> Iterator[str]:
    for number in frame.boxes:
        box = record.boxes[number]
        fill, line = LIGHT.kinds[box.kind]
        width = ", penwidth=2.5" if number == record.root else ""
        label = _quoted("\n".join(box_lines(box)))
        yield f'{indent}{number} [label={label}, fillcolor="{fill}", color="{line}"{width}];'
    for inside in frame.frames:
        yield f"{indent}subgraph cluster_{next(numbers)} {{"
        yield f"{indent}  label={_quoted(inside.title)};"
        yield from _frame(inside, record, indent + "  ", numbers)
        yield f"{indent}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
