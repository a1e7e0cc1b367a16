"""C4's rules for single lines: what is no sentence of a page's text is taken out of it."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.languages import UNKNOWN, language_of
from scratchgrad.tools.curation.step import Edit, Edited

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
END_MARKS = (".", "?", "!", '"')
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


class C4Lines(Edit):
    """Raffel et al. 2020 (C4) as its own code has it: tensorflow_datasets, text/c4_utils.py, `clean_page`.

    Citation marks are taken out before words are counted. A line that would have `c4_page` drop the page (lorem ipsum,
    a curly bracket) is left in where that code asks for it before it asks for javascript or policies, so that both
    steps together drop the pages that it drops. What is known not to be English is left as it is.
    """

    source: ClassVar[str] = "tensorflow_datasets, c4_utils.py"
    languages: ClassVar[tuple[str, ...] | None] = ("en",)
    measures: ClassVar[tuple[str, ...]] = ("removed_lines",)

    min_words: int = Field(5, ge=0, description="words that a line needs")
    max_word_length: int = Field(1000, ge=1, description="characters of the longest word that a line may have")
    end_marks: bool = Field(True, description='a line ends with . ? ! or ", and not with ...')
    citations: bool = Field(True, description="[1], [edit] and [citation needed] are taken out")
    javascript: bool = Field(True, description="a line with that word goes")
    policies: bool = Field(True, description="a line about cookies, privacy policy or terms of use goes")

    def edit(self, document: Document) -> Edited:
        if language_of(document) not in (*(self.languages or ()), UNKNOWN):
            return Edited(document, measured={"removed_lines": float("nan")})
        text = document.text
        lower = text.lower()
        phrases = [*(("javascript",) if self.javascript else ()), *(POLICY if self.policies else ())]
        phrases = [phrase for phrase in phrases if phrase in lower]
        citations = self.citations and "[" in text
        removed: list[Removed] = []
        kept: list[str] = []
        blank = 0
        lines = text.splitlines()
        for raw in lines:
            line = raw.strip()
            if not line:
                blank += 1
                continue
            if len(line) > self.max_word_length and max(map(len, line.split())) > self.max_word_length:
                removed.append(Removed("too long a word", line))
                continue
            if citations and "[" in line:
                removed += [Removed("citation mark", mark) for mark in CITATION.findall(line)]
                line = CITATION.sub("", line)
            if self.end_marks and (not line.endswith(END_MARKS) or line.endswith("...")):
                removed.append(Removed("no end mark", line))
            elif len(line.split(None, self.min_words)) < self.min_words:
                removed.append(Removed("too few words", line))
            elif phrases and (reason := _phrase(line, phrases)):
                removed.append(Removed(reason, line))
            else:
                kept.append(line)
        asked = len(lines) - blank
        share = (asked - len(kept)) / asked if asked else 0.0
        return Edited(document.with_text("\n".join(kept).strip()), removed, {"removed_lines": share})


def _phrase(line: str, phrases: list[str]) -> str:
    """For which of them a line goes, '' where for none."""
    lower = line.lower()
    if "lorem ipsum" in lower:
        return ""
    if "javascript" in phrases and "javascript" in lower:
        return "javascript"
    return "policy" if "{" not in line and any(phrase in lower for phrase in phrases) else ""
