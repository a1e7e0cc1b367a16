"""The pre-tokenizers of a tokenizer.json: how normalized text is cut into pieces, none of whose tokens cross a cut.

A step may put one blank in front of a piece, may write blanks another way, and cuts. Pieces remember where they began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, get_args

import regex

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.files import entry
from scratchgrad.tools.tokenizer.patterns import PATTERNS, matches_of
from scratchgrad.tools.tokenizer.wordpiece import PUNCTUATION

Json = dict[str, Any]
Spans = list[tuple[int, int]]
Behavior = Literal["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
BEHAVIORS: dict[str, Behavior] = {name: name for name in get_args(Behavior)}

WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}"


class Piece(NamedTuple):
    """A piece of a text; its characters stand there from `start` on, but for the first `added`, which were put in."""

    text: str
    start: int
    added: int = 0

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where its characters first to last were; what was put in belongs to what it stands before."""
        begin = self.start + max(0, first - self.added)
        return begin, self.start + max(
            last - self.added, min(1, len(self.text) - self.added)
        ) if last > first else begin


class PreTokenizer(NamedTuple):
    """One step. prefix: what a piece gets in front if it does not begin with it; only_first: only at the start of the
    whole text. replaced: a character, and what it becomes before all else. cut: where the pieces are.
    """

    cut: Callable[[str], Spans] | None = None
    prefix: str = ""
    only_first: bool = False
    replaced: tuple[str, str] | None = None

    def apply(self, pieces: Iterable[Piece], at_start: bool) -> list[Piece]:
        done: list[Piece] = []
        for text, start, added in pieces:
            if self.replaced is not None:
                text = text.replace(*self.replaced)
            if self.prefix and not text.startswith(self.prefix) and not (self.only_first and (start or not at_start)):
                text, added = self.prefix + text, added + 1
            if self.cut is None:
                done.append(Piece(text, start, added))
                continue
            done += [
                Piece(text[first:last], start + max(0, first - added), max(0, min(added, last) - first))
                for first, last in self.cut(text)
                if last > first
            ]
        return done


class PreTokenizers(NamedTuple):
    """All steps, and whether the model is given the pieces as bytes, in the byte-level alphabet."""

    steps: list[PreTokenizer]
    as_bytes: bool

    def pieces(self, text: str, at_start: bool) -> list[Piece]:
        found = [Piece(text, 0)] if text else []
        for step in self.steps:
            found = step.apply(found, at_start)
        return found


def read_pre_tokenizer(step: Json | None) -> PreTokenizers:
    """The steps of a tokenizer.json's pre-tokenizer; UserError for one that is not known."""
    flat = list(_flat(step))
    for inner in flat[:-1]:
        if inner["type"] == "ByteLevel":
            raise UserError("a pre-tokenizer behind ByteLevel is not supported")
    steps = [found for inner in flat for found in _read(inner)]
    return PreTokenizers(steps, bool(flat) and flat[-1]["type"] == "ByteLevel")


def _flat(step: Json | None) -> Iterable[Json]:
    if step is not None and step["type"] == "Sequence":
        for inner in step["pretokenizers"]:
            yield from _flat(inner)
    elif step is not None:
        yield step


def _read(step: Json) -> list[PreTokenizer]:
    kind = step["type"]
    if kind == "ByteLevel":
        cut = _cut(regex.compile(PATTERNS["gpt2"].possessive), "Isolated") if step.get("use_regex", True) else None
        return [PreTokenizer(cut, prefix=" " if step["add_prefix_space"] else "")]
    if kind == "Metaspace":
        return [_metaspace(step)]
    if kind == "Whitespace":
        return [PreTokenizer(_cut(regex.compile(rf"[{WORD}]+|[^{WORD}\s]+"), "Removed", invert=True))]
    if kind == "WhitespaceSplit":
        return [PreTokenizer(_cut(regex.compile(r"\s"), "Removed"))]
    if kind == "BertPreTokenizer":
        return [PreTokenizer(_cut(regex.compile(r"\s"), "Removed")), PreTokenizer(_cut(_PUNCTUATION, "Isolated"))]
    if kind == "Punctuation":
        return [PreTokenizer(_cut(_PUNCTUATION, _behavior(step.get("behavior", "Isolated"))))]
    if kind == "Digits":
        behavior: Behavior = "Isolated" if step["individual_digits"] else "Contiguous"
        return [PreTokenizer(_cut(regex.compile(r"\p{N}"), behavior))]
    if kind == "CharDelimiterSplit":
        return [PreTokenizer(_cut(regex.compile(regex.escape(entry(step, "delimiter", str))), "Removed"))]
    if kind == "Split":
        ((form, wanted),) = step["pattern"].items() if len(entry(step, "pattern", dict)) == 1 else ((None, ""),)
        if form not in ("String", "Regex") or not isinstance(wanted, str) or not wanted:
            raise UserError("the pre-tokenizer Split needs a pattern, String or Regex")
        find = matches_of(regex.escape(wanted) if form == "String" else wanted)
        return [PreTokenizer(_cut_where(find, _behavior(step["behavior"]), invert=step["invert"]))]
    raise UserError(f"the pre-tokenizer {quoted(kind)} is not supported")


_PUNCTUATION = regex.compile(f"[{PUNCTUATION}]")


def _metaspace(step: Json) -> PreTokenizer:
    blank, scheme = entry(step, "replacement", str), step.get("prepend_scheme", "always")
    if len(blank) != 1 or scheme not in ("always", "first", "never"):
        raise UserError(f"the pre-tokenizer Metaspace has the prepend_scheme {quoted(scheme)}, which is not supported")
    if step.get("add_prefix_space") is False and scheme != "never":
        raise UserError(f"the pre-tokenizer Metaspace says add_prefix_space = false and prepend_scheme = {scheme}")
    cut = _cut(regex.compile(regex.escape(blank)), "MergedWithNext") if step.get("split", True) else None
    prefix = blank if scheme != "never" else ""
    return PreTokenizer(cut, prefix, only_first=scheme == "first", replaced=(" ", blank))


def _behavior(name: str) -> Behavior:
    if not isinstance(name, str) or name not in BEHAVIORS:
        raise UserError(f"the behavior {quoted(name)} of a pre-tokenizer is not supported")
    return BEHAVIORS[name]


def _cut(pattern: regex.Pattern[str], behavior: Behavior, *, invert: bool = False) -> Callable[[str], Spans]:
    return _cut_where(lambda text: [match.span() for match in pattern.finditer(text)], behavior, invert=invert)


def _cut_where(find: Callable[[str], Spans], behavior: Behavior, *, invert: bool = False) -> Callable[[str], Spans]:
    """Cut at what `find` finds, or with `invert` at what lies between, and do with it as `behavior` says."""

    def cut(text: str) -> Spans:
        parts: list[tuple[int, int, bool]] = []  # (start, end, is it where to cut?)
        done = 0
        for start, end in find(text):
            if start > done:
                parts.append((done, start, invert))
            parts.append((start, end, not invert))
            done = end
        if done < len(text):
            parts.append((done, len(text), invert))
        return _joined(parts, behavior)

    return cut


def _joined(parts: list[tuple[int, int, bool]], behavior: Behavior) -> Spans:
    if behavior == "Removed":
        return [(start, end) for start, end, is_cut in parts if not is_cut]
    if behavior == "Isolated":
        return [(start, end) for start, end, _ in parts]
    if behavior == "MergedWithNext":
        turned = [(-end, -start, is_cut) for start, end, is_cut in reversed(parts)]
        return [(-end, -start) for start, end in reversed(_joined(turned, "MergedWithPrevious"))]
    spans: Spans = []
    before = False
    for start, end, is_cut in parts:
        joins = is_cut and not before if behavior == "MergedWithPrevious" else is_cut == before
        if spans and joins:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
        before = is_cut
    return spans
