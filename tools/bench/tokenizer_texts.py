"""Texts that tokenizers are measured with: code that every machine has, and the user's own English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scratchgrad.tools.text import build_source, find_files, stream_texts, suffixes


def bench_texts(english: Sequence[str], size: int) -> dict[str, str]:
    """By title, at most `size` characters of each; what is not ASCII a second time without the rest."""
    found = {"code": _first(size, (document.text() for document in build_source("stdlib").examples()))}
    if english:
        chunks = (chunk for path in find_files(english, suffixes()) for text in stream_texts(path) for chunk in text)
        found["English"] = _first(size, chunks)
    texts = {}
    for title, text in found.items():
        texts[f"{title}, ASCII"] = text.encode("ascii", "ignore").decode()
        if not text.isascii():
            texts[title] = text
    return texts


def _first(size: int, parts: Iterable[str]) -> str:
    held, length = [], 0
    for part in parts:
        held.append(part)
        length += len(part)
        if length >= size:
            break
    return "".join(held)[:size]
