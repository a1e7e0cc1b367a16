"""Lists of words that a user supplies, a file for each language, and where a word of them does not count."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated, Any

import regex
from pydantic import Field

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.languages import UNKNOWN, language_of
from scratchgrad.tools.curation.phrases import Edges, Phrases, around, folded, name_of
from scratchgrad.tools.curation.step import Step
from scratchgrad.tools.curation.word_file import entries
from scratchgrad.tools.recipes import Globs, Positive

EVERY = "all"  # the name of a list for all languages
OWN_CONTEXTS = "word_contexts.tsv"
# ISO 639-1, and those of three letters that lists or lid.176 have.
_CODES = (
    "aa ab af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cv cy da de dv dz ee el en eo es "
    "et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy ia id ie ig ii ik io is it iu ja jv ka kg ki "
    "kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn "
    "no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "
    "ast ceb fil hsb kab nds pap scn tlh tok war yue"
)
LANGUAGES = frozenset(_CODES.split())


@dataclass
class Hits:
    """In a text: where words of the lists stand, how often each, and how many others their company excuses."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    terms: Counter[str] = field(default_factory=Counter)
    excused: int = 0


class ListedWords(Step):
    """What the steps share that look for words of lists. A document is asked for those of its language."""

    files: Globs = Field(
        [], description="lists of one term a line, named by their language as in LDNOOBW: en, de.txt; or `all`"
    )
    required: bool = Field(True, description="without any list a run is refused; false: then nothing is looked for")
    default_language: str = Field(
        "en", description="whose list is asked where a document's language is not known; a single list always is"
    )
    edges: Edges = Field(
        "words", description="a term is whole words; letters: no a to z beside it, as in C4's [^a-z](...)[^a-z]"
    )
    spared: list[str] = Field([], description="terms that are taken out of the lists")
    contexts: bool = Field(
        True, description="our exceptions for English words of medicine, identity, law and reporting hold"
    )
    exceptions: str | None = Field(
        None, description="a file of more of them: the term, a tab, and words near which it does not count: a, b"
    )
    near: Annotated[int, Field(ge=0, le=100)] = Field(10, description="so many words before and behind are near")
    patterns: list[str] = Field([], description="regular expressions that are looked for as well, in any language")
    pattern_seconds: Positive = Field(1.0, description="for one pattern in one document; one that takes longer is told")

    def paths(self) -> list[str]:
        if self.required and not self.files and not self.patterns:
            raise UserError(f"the step {self.name} needs {self.name}.files, lists of words as LDNOOBW has them")
        return [*list_paths(tuple(self.files)), *([] if self.exceptions is None else [self.exceptions])]

    def hits(self, document: Document) -> Hits | None:
        """None where there is no list for the document's language."""
        found = Hits()
        lists = _lists(tuple(self.files), self.edges, tuple(self.spared))
        own = _list_for(document, lists, self.default_language)
        if own is None and not self.patterns:
            return None
        text = folded(document.text)
        exceptions = _exceptions(self.contexts, self.exceptions)
        for start, end in own.find(text) if own is not None else ():
            term = name_of(text[start:end])
            if term in exceptions and self._is_excused(exceptions[term], text, start, end):
                found.excused += 1
            else:
                found.spans.append((start, end))
                found.terms[term] += 1
        for number, pattern in enumerate(self.patterns):
            spans = self._pattern_spans(number, pattern, document)
            found.spans += spans
            if spans:
                found.terms[f"patterns[{number}]"] += len(spans)
        found.spans.sort()
        return found

    def _is_excused(self, company: Phrases, text: str, start: int, end: int) -> bool:
        return any(next(company.find(part), None) for part in around(text, start, end, self.near))

    def _pattern_spans(self, number: int, pattern: str, document: Document) -> list[tuple[int, int]]:
        where = f"{self.name}.patterns[{number}] {quoted(pattern)}"
        try:
            matches = _compiled(where, pattern).finditer(document.text, timeout=self.pattern_seconds)
            return [match.span() for match in matches if match.end() > match.start()]
        except TimeoutError:
            raise UserError(
                f"{where} takes more than {self.pattern_seconds:g} s in document {quoted(document.id)}: write it so "
                "that each text matches in one way only"
            ) from None


def list_paths(globs: tuple[str, ...]) -> list[str]:
    """The files that are meant, in order; of a folder those that are named by a language."""
    found: dict[str, str] = {}
    for pattern in globs:
        meant = os.path.expanduser(pattern)
        if os.path.isdir(meant):
            names = [path for path in sorted(glob.glob(os.path.join(glob.escape(meant), "*"))) if _language(path)]
        else:
            names = sorted(path for path in glob.glob(meant) if os.path.isfile(path))
        if not names:
            raise UserError(f"there is no list of words at '{pattern}'")
        for path in names:
            if _language(path) is None:
                raise UserError(f"'{path}' is not named by its language, as en or de.txt; one for every language: all")
            found[path] = path
    return sorted(found)


def _language(path: str) -> str | None:
    name = Path(path).name.removesuffix(".txt").lower().replace("_", "-").partition("-")[0]
    return name if name in LANGUAGES or name == EVERY else None


def _list_for(document: Document, lists: Mapping[str, Phrases], default: str) -> Phrases | None:
    language = language_of(document)
    if language == UNKNOWN:
        language = default if default in lists or len(lists) != 1 else next(iter(lists))
    return lists.get(language, lists.get(EVERY))


@cache
def _lists(globs: tuple[str, ...], edges: Edges, spared: tuple[str, ...]) -> Mapping[str, Phrases]:
    """By language the terms of its files, and of those for all."""
    terms: dict[str, list[str]] = {}
    for path in list_paths(globs) if globs else ():
        terms.setdefault(str(_language(path)), []).extend(entries(path))
    names = {name_of(folded(term)) for term in spared}
    known = {name_of(folded(term)) for own in terms.values() for term in own}
    if missing := sorted(names - known):
        raise UserError(f"spared: {quoted(missing[0])} stands in none of the lists: take it out, or mend its spelling")
    everywhere = terms.get(EVERY, [])
    return {
        language: Phrases([term for term in (*own, *everywhere) if name_of(folded(term)) not in names], edges)
        for language, own in terms.items()
    }


@cache
def _exceptions(own: bool, path: str | None) -> Mapping[str, Phrases]:
    """Of each term the words near which it does not count."""
    words: dict[str, list[str]] = {}
    lines: Sequence[str] = ()
    if own:
        text = package_files("scratchgrad.tools.curation").joinpath(OWN_CONTEXTS).read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in (*lines, *(entries(path) if path is not None else ())):
        term, tab, company = line.partition("\t")
        near = [word.strip() for word in company.split(",") if word.strip()]
        if not tab or not near:
            raise UserError(
                f"'{path}' has the line {quoted(line)}, which is no term, tab and words: breast<tab>cancer, milk"
            )
        words.setdefault(name_of(folded(term)), []).extend(near)
    return {term: Phrases(near) for term, near in words.items()}


@cache
def _compiled(where: str, pattern: str) -> Any:
    try:
        return regex.compile(pattern)
    except (regex.error, re.error) as error:
        raise UserError(f"{where} is no regular expression: {error}") from None
