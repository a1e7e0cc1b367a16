"""Documents, and what steps measure of them, for the tests of curation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.step import Edit, Filter, step_class, step_names

ODD_TEXTS = (
    "", " ", "\n", "\n\n\n", "word", "one line only.", "!!!", "...", "…", "-", "•", "{", "\u3000", "\x85", "\x00",
    "日本語のテキストです。\n二行目です。", "中文没有空格，所以一行就是一个词。", "ภาษาไทย ไม่มี ช่องว่าง", "😀 😀\n😀", "👩‍👩‍👧 a\u0301",
    "İstanbul ſtraße ß", "\ud800 half", "a\r\nb\rc", "a\n \nb", " x \n\n x ", "x" * 2000, "a " * 60 + ".", "\ufeffx",
)  # fmt: skip
FEW_WORDS = ("the", "of", "a", "b", "word", "...", "#", "-", "•", "猫", "😀", "end.", 'said."', "x…", "12", "ab", "{")
BREAKS = (" ", " ", " ", "  ", "\t", "\n", "\n", "\n\n", "\n\n\n", "\n \n", "\r\n", "\u2028", " \n")


def document(text: str, id: str = "a:0", **metadata: Any) -> Document:
    return Document(id, text, "test", metadata)


def measured(name: str, text: str, settings: dict[str, Any] | None = None, **metadata: Any) -> dict[str, float]:
    """What the filter called `name` says of one text."""
    step = step_class(name)(**settings or {})
    assert isinstance(step, Filter)
    return {key: float(values[0]) for key, values in step.measure(Batch([document(text, **metadata)])).items()}


def edited(name: str, text: str, settings: dict[str, Any] | None = None, **metadata: Any) -> Any:
    step = step_class(name)(**settings or {})
    assert isinstance(step, Edit)
    return step.edit(document(text, **metadata))


def reason(name: str, text: str, settings: dict[str, Any] | None = None, **metadata: Any) -> str:
    """For which the step drops the text, '' where it keeps it."""
    step = step_class(name)(**settings or {})
    values: Any
    if isinstance(step, Edit):
        values = step.edit(document(text, **metadata)).measured
    else:
        values = measured(name, text, settings, **metadata)
    dropping = (rule for rule in step.rules() if not rule.keeps(np.array([values[rule.measured]]))[0])
    return next((rule.reason for rule in dropping), "")


def filters() -> list[str]:
    return [name for name in step_names() if issubclass(step_class(name), Filter)]


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def repetitive_texts() -> st.SearchStrategy[str]:
    """Of few words, so that much comes again; with every kind of break between them."""
    pieces = st.lists(st.tuples(st.sampled_from(FEW_WORDS), st.sampled_from(BREAKS)), max_size=60)
    blocks = st.lists(pieces.map(lambda found: "".join(word + gap for word, gap in found)), max_size=4)
    repeated = st.tuples(blocks, st.integers(1, 3)).map(lambda found: "".join(found[0] * found[1]))
    return st.one_of(repeated, st.text(max_size=80), st.sampled_from(ODD_TEXTS))


def documents_of(texts: Sequence[str]) -> list[Document]:
    return [document(text, f"{number}:0") for number, text in enumerate(texts)]
