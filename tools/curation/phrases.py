"""Where terms of a list stand in a text, as whole words, whatever the script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
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
_SPACE = r"\s\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # also where \s is that of ASCII
LONGEST_WORD = 40  # characters: so far does one look, times the number of words, for words that are near


def folded(text: str) -> str:
    """In lower case, with straight apostrophes, character by character: what stands at a place stays there."""
    return text.replace("İ", "I").lower().replace("’", "'")  # İ is the only character that would become longer


class Phrases:
    """One matcher for many terms; which of several that overlap counts is decided from the left, the longest first.

    edges: `words`: a term begins and ends where a word does, which is everywhere in scripts without white space;
    `letters`: there is a character before and behind it in its line, and none of a to z, as in C4's code.
    Blanks in a term stand for any white space, in C4's way for themselves. Case does not count, nor whether accents are
    characters of their own.
    """

    def __init__(self, terms: Iterable[str], edges: Edges = "words") -> None:
        names = {" ".join(unicodedata.normalize("NFC", folded(term)).split()) for term in terms} - {""}
        self.terms, self._edges = tuple(sorted(names)), edges
        self._spelt = sorted(names | {unicodedata.normalize("NFD", name) for name in names})
        self._ascii = [term for term in self._spelt if term.isascii()]
        pieces = {max(term.split(), key=len) for term in self._spelt if not term.isascii()}
        self._pieces = [(frozenset(piece), piece) for piece in sorted(pieces)]

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each, in order, apart from each other. text: `folded`."""
        if not self._spelt:
            return
        if self._edges == "letters":
            spans = (match.span() for match in self._whole.finditer(text))
            yield from (span for span in spans if _is_inside_line(text, *span))
        elif not text.isascii() and self._may_have_others(text):
            yield from (match.span() for match in self._whole.finditer(text))
        elif self._ascii:
            yield from self._find_ascii(text)

    def _find_ascii(self, text: str) -> Iterator[tuple[int, int]]:
        """As the whole pattern finds terms of ASCII, six times as fast: what is beside them is looked at if needed."""
        place, is_ascii = 0, text.isascii()
        while match := self._plain.search(text, place):
            start, end = match.span()
            if not is_ascii and _is_joined(text, start, end):
                again = self._whole.match(text, start)  # a shorter term may stand there
                if again is None:
                    place = start + 1
                    continue
                end = again.end()
            yield start, end
            place = end

    def _may_have_others(self, text: str) -> bool:
        characters = set(text)
        return any(own <= characters and piece in text for own, piece in self._pieces)

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        if self._edges == "letters":
            return re.compile(rf"(?<=[^a-z\n]){_trie(self._spelt, ' ')}(?=[^a-z\n])")
        joining = _joining()
        return re.compile(_pattern(self._spelt, f"(?<!{joining})", f"(?:(?!{joining})|(?<!{joining}))"))

    @cached_property
    def _plain(self) -> re.Pattern[str]:
        return re.compile(_pattern(self._ascii, r"\b", r"(?:\b|(?<!\w))"), re.ASCII)


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


def _pattern(terms: Iterable[str], before: str, behind: str) -> str:
    """before: what has to hold where a term begins with a letter or digit; behind: where any term ends."""
    groups: dict[str, list[str]] = {}
    for term in terms:
        groups.setdefault(before if _is_word(term[0]) else "", []).append(term)
    return "|".join(f"{begins}{_trie(own)}{behind}" for begins, own in groups.items())


def _is_joined(text: str, start: int, end: int) -> bool:
    """Does what stands from start to end go on as a word, in letters or marks beyond ASCII?"""
    before, behind = text[start - 1 : start], text[end : end + 1]
    joining = _joining_pattern()
    return bool(
        (not before.isascii() and _is_word(text[start]) and joining.match(before))
        or (not behind.isascii() and _is_word(text[end - 1]) and joining.match(behind))
    )


def _is_word(character: str) -> bool:
    """Is it of a script with white space? A mark or an emoji borders on anything."""
    is_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
    return is_word and not _IS_APART.match(character)


def _is_inside_line(text: str, start: int, end: int) -> bool:
    """C4's code takes white space off both ends of a line first, so that a term at an end has nothing beside it."""
    line, after = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    return bool(text[line:start].strip()) and bool(text[end : after if after >= 0 else None].strip())


def _trie(terms: Iterable[str], blank: str = f"[{_SPACE}]+") -> str:
    """One pattern for all terms, which looks at each character once; the longest term is tried first."""
    root: dict[str, Any] = {}
    for term in terms:
        node = root
        for character in term:
            node = node.setdefault(character, {})
        node[""] = {}
    return _alternatives(root, blank)


def _alternatives(node: dict[str, Any], blank: str) -> str:
    branches = []
    for character in sorted(key for key in node if key):
        piece, below = _escaped(character, blank), node[character]
        while len(below) == 1 and "" not in below:  # a long term is no deep recursion
            ((character, below),) = below.items()
            piece += _escaped(character, blank)
        branches.append(piece + _alternatives(below, blank))
    if "" in node:
        branches.append("")
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _escaped(character: str, blank: str) -> str:
    return blank if character == " " else re.escape(character)


@cache
def _joining() -> str:
    """A character that goes on with a word: of a script with white space, or a mark, which Python's \\w leaves out."""
    return f"(?:[^\\W{APART}]|[{_marks()}])"


@cache
def _joining_pattern() -> re.Pattern[str]:
    return re.compile(_joining())


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
