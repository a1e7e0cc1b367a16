"""The normalizers of a tokenizer.json: each step changes text, and tells where every character came from.

A step finds what it changes, (start, end, replacement) from left to right; both views of the text are made from that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import regex

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.charsmap import unpack_charsmap
from scratchgrad.tools.tokenizer.files import base64_bytes, entry
from scratchgrad.tools.tokenizer.normal_forms import FORMS, Form, Traced, normalized, trace_changes, traced_form
from scratchgrad.tools.tokenizer.patterns import matches_of
from scratchgrad.tools.tokenizer.wordpiece import IDEOGRAPH, NONSPACING, REMOVED, WHITE, lower

Json = dict[str, Any]
Change = tuple[int, int, str]


class Normalizer(NamedTuple):
    """One step: what text becomes, and the same with the places that its characters came from."""

    apply: Callable[[str], str]
    trace: Callable[[Traced], Traced]


def read_normalizer(step: Json | None) -> list[Normalizer]:
    """The steps of a tokenizer.json's normalizer; UserError for one that is not known."""
    if step is None:
        return []
    kind = step["type"]
    if kind == "Sequence":
        return [found for inner in step["normalizers"] for found in read_normalizer(inner)]
    if kind in FORMS:
        return [_form(FORMS[kind])]
    if kind == "BertNormalizer":
        return list(_bert(step))
    if kind == "Precompiled":
        return [_changing(_precompiled(unpack_charsmap(base64_bytes(entry(step, "precompiled_charsmap", str)))))]
    if kind == "Lowercase":
        return [_by_character(lower)]
    if kind == "StripAccents":
        return [_replacing(regex.compile(r"\p{M}+"), "")]
    if kind == "Strip":
        ends = [r"\A\s+"] * entry(step, "strip_left", bool) + [r"\s+\Z"] * entry(step, "strip_right", bool)
        return [_replacing(regex.compile("|".join(ends)), "")] if ends else []
    if kind == "Prepend":
        first = entry(step, "prepend", str)
        return [_changing(lambda text: [(0, 0, first)] if text else [])]
    if kind == "Nmt":
        removed = "\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f"
        blank = "\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd"
        return [_replacing(regex.compile(f"[{removed}]"), ""), _replacing(regex.compile(f"[{blank}]"), " ")]
    if kind == "Replace":
        return [_changing(_replace(entry(step, "pattern", dict), entry(step, "content", str)))]
    raise UserError(f"the normalizer {quoted(kind)} is not supported")


def _changing(find: Callable[[str], Iterable[Change]]) -> Normalizer:
    def apply(text: str) -> str:
        parts, done = [], 0
        for start, end, replacement in find(text):
            parts += [text[done:start], replacement]
            done = end
        return "".join([*parts, text[done:]])

    return Normalizer(apply, lambda traced: trace_changes(traced, find(traced.text)))


def _replacing(pattern: regex.Pattern[str], content: str) -> Normalizer:
    return _changing(lambda text: ((*match.span(), content) for match in pattern.finditer(text)))


def _by_character(change: Callable[[str], str]) -> Normalizer:
    def find(text: str) -> Iterator[Change]:
        for i, character in enumerate(text):
            changed = change(character)
            if changed != character:
                yield i, i + 1, changed

    return Normalizer(change, lambda traced: trace_changes(traced, find(traced.text)))


def _form(form: Form) -> Normalizer:
    def trace(traced: Traced) -> Traced:
        inner = traced_form(form, traced.text)
        starts = [traced.starts[start] for start in inner.starts]
        return Traced(inner.text, starts, [traced.ends[end - 1] for end in inner.ends])

    return Normalizer(lambda text: normalized(form, text), trace)


def _bert(step: Json) -> Iterator[Normalizer]:
    if step["clean_text"]:
        yield _replacing(REMOVED, "")
        yield _replacing(WHITE, " ")
    if step["handle_chinese_chars"]:
        yield _changing(lambda text: ((*match.span(), f" {match.group()} ") for match in IDEOGRAPH.finditer(text)))
    if step["lowercase"] if step["strip_accents"] is None else step["strip_accents"]:
        yield _form("NFD")
        yield _replacing(NONSPACING, "")
    if step["lowercase"]:
        yield _by_character(lower)


def _replace(pattern: Json, content: str) -> Callable[[str], Iterable[Change]]:
    ((kind, wanted),) = pattern.items() if len(pattern) == 1 else ((None, ""),)
    if not isinstance(wanted, str) or not wanted:
        raise UserError("a normalizer Replace needs a pattern, String or Regex, that is a text")
    if kind == "String":
        literal = re.compile(re.escape(wanted))
        return lambda text: ((*match.span(), content) for match in literal.finditer(text))
    if kind == "Regex":
        matches = matches_of(wanted)
        return lambda text: ((start, end, content) for start, end in matches(text))
    raise UserError(f"a normalizer Replace by {quoted(kind)} is not supported, only String or Regex")


def _precompiled(keys: dict[str, str]) -> Callable[[str], Iterable[Change]]:
    """SentencePiece's map as Hugging Face applies it: a grapheme of less than six bytes becomes what its shortest
    beginning that is a key becomes, and of another one each character does so.
    """
    grapheme = regex.compile(r"\X")
    ascii_keys = "".join(re.escape(key) for key in keys if len(key) == 1 and key.isascii())
    of_ascii = regex.compile(rf"\r\n|[\r{ascii_keys}]")  # no other two characters of ASCII are one grapheme
    longest = max(map(len, keys), default=0)

    def first(text: str) -> str | None:
        return next((keys[text[:end]] for end in range(1, min(len(text), longest) + 1) if text[:end] in keys), None)

    def find(text: str) -> Iterator[Change]:
        for match in (of_ascii if text.isascii() else grapheme).finditer(text):
            start, end = match.span()
            whole = first(match.group()) if len(match.group().encode()) < 6 else None
            if whole is not None:
                yield start, end, whole
                continue
            for place in range(start, end):
                single = keys.get(text[place])
                if single is not None:
                    yield place, place + 1, single

    return find
