"""RefinedWeb's rules for single lines: menus, counters and buttons go, and pages that are mostly such."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.languages import UNKNOWN, language_of
from scratchgrad.tools.curation.step import Edit, Edited, Rule

COUNTED = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
COUNTER = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+(?:{COUNTED})\W*")
BUTTONS = (
    re.compile(r"\s?items in cart", re.IGNORECASE),
    re.compile(r"\s?read more\.\.\.$", re.IGNORECASE),
    re.compile(r"^sign-in\s?", re.IGNORECASE),
)


class RefinedwebLines(Edit):
    """Penedo et al. 2023 (RefinedWeb), appendix G.2, as DCLM's refinedweb.yaml has it, in the order of that file.

    The words that it takes away are counted, by white space; where they are more than a share the page goes.
    """

    source: ClassVar[str] = "DCLM, refinedweb.yaml"
    languages: ClassVar[tuple[str, ...] | None] = ("en",)
    measures: ClassVar[tuple[str, ...]] = ("removed_words",)

    max_uppercase: float = Field(0.5, ge=0, le=1, description="share of a line's characters that may be capitals")
    numbers: bool = Field(True, description="a line of digits alone goes")
    counters: bool = Field(True, description="a line goes that counts: 3 likes, 1.2k views")
    min_words: int = Field(2, ge=0, description="words that a line needs")
    buttons: bool = Field(
        True, description="Sign-in, Read more..., items in cart go from lines of at most button_words"
    )
    button_words: int = Field(10, ge=0, description="words of the longest line that loses a button")
    max_removed_words: float | None = Field(0.05, ge=0, le=1, description="share of the page's words that lines lost")

    def rules(self) -> list[Rule]:
        return self.thresholds(("removed_words", "<=", "max_removed_words", "too many words in such lines"))

    def edit(self, document: Document) -> Edited:
        if language_of(document) not in (*(self.languages or ()), UNKNOWN):
            return Edited(document, measured={"removed_words": float("nan")})
        removed: list[Removed] = []
        kept: list[str] = []
        for line in document.text.split("\n"):
            reason = self._reason(line) if line else ""
            if reason:
                if line.strip():
                    removed.append(Removed(reason, line))
                continue
            rest = self._without_buttons(line)
            if rest != line:
                removed.append(Removed("button", line))
            if rest.strip() or not line:
                kept.append(rest)
        text = "\n".join(kept).strip()
        before = len(document.text.split())
        share = 1 - len(text.split()) / before if before else 0.0
        if not removed:
            text, share = document.text, 0.0
        return Edited(document.with_text(text), removed, {"removed_words": share})

    def _reason(self, line: str) -> str:
        """For which a whole line goes, '' where it stays."""
        if sum(map(str.isupper, line)) > self.max_uppercase * len(line):
            return "mostly uppercase"
        if self.numbers and line.isdigit():
            return "digits alone"
        if self.counters and COUNTER.fullmatch(line.lower()):
            return "a counter"
        return "too few words" if len(line.split(None, self.min_words)) < self.min_words else ""

    def _without_buttons(self, line: str) -> str:
        if self.buttons:
            for button in BUTTONS:
                if len(line.split(None, self.button_words)) <= self.button_words:
                    line = button.sub("", line)
        return line
