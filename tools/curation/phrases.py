"""Where terms of a list stand in a text, as whole words, whatever the script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import cache, cached_property
from typing import Any, Literal

Edges = Literal["words", "letters"]

# Scripts without white space between words: Thai, Lao, Burmese, Khmer, kana, Han.
APART = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
_IS_APART = re.compile(f"[{APART}]")
_WORD = re.compile(rf"[{APART}]|[^\W{APART}]+")
_KEPT = {
    "words": bytes(ord(chr(c).lower()) if chr(c).isalnum() or chr(c) == "_" else 32 for c in range(128)) + b" " * 128,
    "letters": bytes(ord(chr(c).lower()) if chr(c).isalpha() else 32 for c in range(128)) + b" " * 128,
}
SHORTEST_RUN = 3  # of ASCII, by which a term with other characters is looked for
LONGEST_WORD = 40  # characters: so far does one look, times the number of words, for words that are near


def folded(text: str) -> str:
    """In lower case, with straight apostrophes, character by character: what stands at a place stays there."""
    return text.replace("İ", "I").lower().replace("’", "'")  # İ is the only character that would become longer


class Phrases:
    """One matcher for many terms; which of several that overlap counts is decided from the left, the longest first.

    edges: `words`: a term begins and ends where a word does, which is everywhere in scripts without white space;
    `letters`: there is a character before and behind it in its line, and none of a to z, as in C4's code.
    Blanks in a term stand for any white space. Case does not count, nor whether accents are characters of their own.
    """

    def __init__(self, terms: Iterable[str], edges: Edges = "words") -> None:
        names = {" ".join(unicodedata.normalize("NFC", folded(term)).split()) for term in terms} - {""}
        self.terms = tuple(sorted(names))
        spelt = sorted(names | {unicodedata.normalize("NFD", name) for name in names})
        self._spelt = spelt
        self._table, self._edges = _KEPT[edges], edges
        self._runs: dict[bytes, list[bytes]] = {}  # by the longest run of ASCII of a term, all its runs
        rare = set()
        for term in spelt:
            runs = term.encode("utf-8", "surrogatepass").translate(self._table).split()
            key = max(runs, key=len, default=b"")
            if len(key) >= SHORTEST_RUN or (key and term.isascii()):
                self._runs.setdefault(key, []).append(b" %b " % b" ".join(runs))
            else:
                rare.add(max(term))  # not of ASCII, if any is not
        self._rare = re.compile(f"[{re.escape(''.join(sorted(rare)))}]") if rare else None
        self._rare_in_ascii = any(character.isascii() for character in rare)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(_pattern(self._spelt, self._edges))

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each, in order, apart from each other. text: `folded`."""
        if not self._spelt or not self._may_have(text):
            return
        for match in self._pattern.finditer(text):
            if self._edges == "words" or _is_inside_line(text, *match.span()):
                yield match.span()

    def _may_have(self, text: str) -> bool:
        """False for most texts that have none: a matter of bytes and sets, ten times as fast as the pattern."""
        if self._rare and (self._rare_in_ascii or not text.isascii()) and self._rare.search(text):
            return True
        words = text.encode("utf-8", "surrogatepass").translate(self._table).split()
        found = self._runs.keys() & set(words)
        if not found:
            return False
        row = b" %b " % b" ".join(words)
        return any(runs in row for key in found for runs in self._runs[key])


def name_of(text: str) -> str:
    """The term, as it stands in `Phrases.terms`, of what stands in a folded text."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def around(text: str, start: int, end: int, words: int) -> tuple[str, str]:
    """The `words` words before and behind a place; in scripts without white space a word is a character."""
    before = text[max(0, start - words * LONGEST_WORD) : start]
    behind = text[end : end + words * LONGEST_WORD]
    left = [match.start() for match in _WORD.finditer(before)]
    right = [match.end() for match in _WORD.finditer(behind)]
    return (
        before[left[-words] if len(left) > words > 0 else 0 :] if words else "",
        behind[: right[words - 1] if len(right) > words else None] if words else "",
    )


def words_of(text: str) -> list[str]:
    """Runs of letters and digits; in scripts without white space each character."""
    return _WORD.findall(text)


def _pattern(terms: Collection[str], edges: Edges) -> str:
    if edges == "letters":
        return rf"(?<=[^a-z\n])(?:{_trie(terms)})(?=[^a-z\n])"
    before, behind = rf"(?<![^\W{APART}])(?<![{_marks()}])", rf"(?![^\W{APART}])(?![{_marks()}])"
    groups: dict[tuple[bool, bool], list[str]] = {}
    for term in terms:
        groups.setdefault((_is_word(term[0]), _is_word(term[-1])), []).append(term)
    return "|".join(
        f"{before if begins else ''}(?:{_trie(own)}){behind if ends else ''}"
        for (begins, ends), own in sorted(groups.items(), reverse=True)
    )


def _is_word(character: str) -> bool:
    """Is it of a script with white space? A mark or an emoji borders on anything."""
    is_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
    return is_word and not _IS_APART.match(character)


def _is_inside_line(text: str, start: int, end: int) -> bool:
    """C4's code takes white space off both ends of a line first, so that a term at an end has nothing beside it."""
    line, after = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    return bool(text[line:start].strip()) and bool(text[end : after if after >= 0 else None].strip())


def _trie(terms: Iterable[str]) -> str:
    """One pattern for all terms, which looks at each character once; the longest term is tried first."""
    root: dict[str, Any] = {}
    for term in terms:
        node = root
        for character in term:
            node = node.setdefault(character, {})
        node[""] = {}
    return _alternatives(root)


def _alternatives(node: dict[str, Any]) -> str:
    branches = []
    for character in sorted(key for key in node if key):
        piece, below = _escaped(character), node[character]
        while len(below) == 1 and "" not in below:  # a long term is no deep recursion
            ((character, below),) = below.items()
            piece += _escaped(character)
        branches.append(piece + (_alternatives(below) if set(below) != {""} else ""))
    joined = branches[0] if len(branches) == 1 and "" not in node else f"(?:{'|'.join(branches)})"
    return f"{joined}?" if "" in node else joined


def _escaped(character: str) -> str:
    return r"\s+" if character == " " else re.escape(character)


@cache
def _marks() -> str:
    """Combining characters, which Python's \\w leaves out, as ranges; those of scripts without white space apart."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)):  # in between and beyond there is none
        if unicodedata.category(chr(code))[0] == "M" and not _IS_APART.match(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)
