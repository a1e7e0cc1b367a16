"""Plain text, and programs: a file is one document."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import replace

from scratchgrad.tools.text.example import Example, Skipped
from scratchgrad.tools.text.raw_file import RawFile, kind_of
from scratchgrad.tools.text.streams import Stream, chunks, opened

PYTHON = (".py", ".pyi")
ENDINGS: tuple[str, ...] = (
    ".txt", ".md", ".py", ".text", ".markdown", ".rst", ".tex", ".org", ".adoc",
    ".ada", ".adb", ".ads", ".asm", ".awk", ".bash", ".bat", ".bib", ".c", ".cc", ".cfg", ".clj", ".cljs", ".cmake",
    ".cob", ".coffee", ".conf", ".cpp", ".cs", ".css", ".cu", ".cuh", ".cxx", ".d", ".dart", ".el", ".elm", ".erl",
    ".ex", ".exs", ".f", ".f90", ".f95", ".for", ".fs", ".fsx", ".glsl", ".go", ".gradle", ".graphql", ".groovy", ".h",
    ".hh", ".hpp", ".hrl", ".hs", ".hxx", ".idr", ".ini", ".ino", ".java", ".jl", ".js", ".jsx", ".kt", ".kts", ".lean",
    ".less", ".lisp", ".lua", ".m", ".mk", ".ml", ".mli", ".mm", ".nim", ".nix", ".pas", ".php", ".pl", ".pm", ".proto",
    ".ps1", ".pyi", ".pyx", ".r", ".rb", ".rkt", ".rs", ".s", ".sass", ".scala", ".scm", ".scss", ".sh", ".sol", ".sql",
    ".stan", ".sv", ".swift", ".tcl", ".tf", ".thy", ".toml", ".ts", ".tsx", ".v", ".vb", ".vhd", ".vhdl", ".vue",
    ".yaml", ".yml", ".zig", ".zsh",
)  # fmt: skip


def read(raw: RawFile) -> Iterator[Example]:
    """One example, with the field `text`; none where the file is cut off, binary or not UTF-8, which is told."""
    if not raw.wants_text:
        raw.skip("", f"is one text; fields {', '.join(raw.fields)} are read from .jsonl, .csv, .tsv or .parquet")
        return
    faults: list[Skipped] = []
    watched = raw if raw.on_skipped is None else replace(raw, on_skipped=faults.append)
    held: list[str] = []
    size = 0
    for chunk in read_chunks(watched):
        held.append(chunk)
        size += len(chunk)
        if not raw.is_strict and size > raw.max_document_bytes:
            watched.skip("", f"more than {raw.max_document_bytes:,} bytes, which a document may have")
            break
    for fault in faults:
        assert raw.on_skipped is not None
        raw.on_skipped(fault)
    if not faults:
        whole = ["".join(held)]
        held.clear()  # it may be most of the memory: nothing here names it while the caller works with it
        yield raw.example("", {"text": whole.pop()})


def read_chunks(raw: RawFile) -> Iterator[str]:
    """The text as the chunks that it is read in, for files larger than memory."""
    with opened(raw) as stream:
        if stream is None:
            return
        declared = _coding(stream) if kind_of(raw.path) in PYTHON else ""
        if declared in ("", "utf-8", "utf-8-sig"):
            yield from chunks(stream, raw)
        else:
            yield from _decoded(stream, declared, raw)


def _coding(stream: Stream) -> str:
    """What the first two lines of a Python file say of its encoding (PEP 263)."""
    head = stream.peek(1 << 10)[: 1 << 10]
    if not re.search(rb"coding[=:]", b"\n".join(head.split(b"\n")[:2])):
        return ""
    try:
        return tokenize.detect_encoding(io.BytesIO(head).readline)[0]
    except SyntaxError:
        return ""


def _decoded(stream: Stream, encoding: str, raw: RawFile) -> Iterator[str]:
    text = io.TextIOWrapper(stream, encoding, newline="")
    try:
        while chunk := text.read(1 << 20):
            yield chunk
    except UnicodeError:
        raw.skip("", f"is not {encoding}, as its first lines say")
    if stream.damage:
        raw.skip("", stream.damage)
    text.detach()
