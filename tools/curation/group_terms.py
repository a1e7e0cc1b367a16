"""Words for groups of people, by kind: those of a file, or a short list of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.curation.phrases import Phrases, folded, name_of

OWN = "group_terms.tsv"
BETWEEN, BEHIND = "; ", ":"  # terms, and a term's kind


@dataclass(frozen=True)
class GroupTerms:
    """named: by each form of a term in small letters, its kind and the term. kinds: in the order of the file."""

    named: Mapping[str, tuple[str, str]]
    kinds: tuple[str, ...]
    phrases: Phrases

    def find(self, text: str) -> Iterator[tuple[str, str, int, int]]:
        """(kind, term, start, end) of each, in order. text: `folded`."""
        for start, end in self.phrases.find(text):
            yield *self.named[name_of(text[start:end])], start, end

    def count(self, text: str) -> Counter[tuple[str, str]]:
        """How often each (kind, term) stands in a text, in any form of it."""
        return Counter((kind, term) for kind, term, _, _ in self.find(folded(text)))


@cache
def group_terms(path: str | None) -> GroupTerms:
    """Those in a file of lines `kind, tab, term, tab, other forms`; None: ours. UserError for any other line."""
    if path is None:
        text = files("scratchgrad.tools.curation").joinpath(OWN).read_text(encoding="utf-8")
    else:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the list '{path}' cannot be read as UTF-8 text: {error}") from None
    named: dict[str, tuple[str, str]] = {}
    kinds: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, *rest = (part.strip() for part in line.split("\t"))
        if not rest or len(rest) > 2 or not rest[0] or not kind.isidentifier():
            raise UserError(
                f"'{path}', line {number}: {quoted(line)} is not kind<tab>term<tab>other forms, with commas"
            )
        kinds[kind] = None
        term = name_of(folded(rest[0]))
        if any(mark in term for mark in (BETWEEN.strip(), BEHIND)):
            raise UserError(f"'{path}', line {number}: a term has no ; or : in it")
        for form in (term, *(rest[1].split(",") if len(rest) == 2 else ())):
            if name := name_of(folded(form)):
                named.setdefault(name, (kind, term))
    return GroupTerms(named, tuple(kinds), Phrases(named))


def written(counts: Mapping[tuple[str, str], int]) -> str:
    """As a label: `gender:woman 2; religion:muslim 1`."""
    return BETWEEN.join(f"{kind}{BEHIND}{term} {count}" for (kind, term), count in sorted(counts.items()))


def read_back(label: str) -> list[tuple[str, str]]:
    """The (kind, term) of a label."""
    pairs = (part.rpartition(" ")[0].partition(BEHIND) for part in label.split(BETWEEN) if part)
    return [(kind, term) for kind, _, term in pairs]
