"""What is left of a markup language in text that should have none: HTML, wikis, citation marks."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.step import Edit, Edited

# Each of them looks ahead a bounded way from where it begins, so that no text takes more than linear time.
COMMENT = re.compile(r"<!--(?:[^-<]|-(?!->)|<(?!!--)){0,2000}-->")
TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9:-]{0,30}(?:\s[^<>]{0,500})?/?>")
REFERENCE = re.compile(r"<ref(?:\s[^<>]{0,300})?(?:/>|>[^<]{0,500}</ref>)", re.IGNORECASE)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
TEMPLATE = re.compile(r"\{\{[^{}]{0,2000}\}\}")
FILE_LINK = re.compile(r"\[\[(?:File|Image|Category):[^\[\]]{0,500}\]\]", re.IGNORECASE)
LINK = re.compile(r"\[\[(?:[^\[\]|]{0,300}\|)?([^\[\]|]{0,300})\]\]")
URL_LINK = re.compile(r"\[https?://[^\s\[\]]{1,500}(?: ([^\[\]]{0,300}))?\]")
QUOTES = re.compile(r"'{2,5}")
HEADING = re.compile(r"^(={2,6})[ \t]*([^=\n]{1,200}?)[ \t]*\1[ \t]*$", re.MULTILINE)
CITATION = re.compile(r"\[(?:\d{1,3}|edit|citation needed|note \d{1,3}|[a-z])\](?!\()")
NESTED = 5  # levels of templates within templates


class Markup(Edit):
    """Opt-in: in a text about markup these are the text. Wiki links and headings keep their words."""

    source: ClassVar[str] = "our own"
    measures: ClassVar[tuple[str, ...]] = ("removed_marks",)

    tags: bool = Field(True, description="HTML tags and comments go, entities become what they stand for")
    wiki: bool = Field(
        True, description="{{templates}}, [[File:...]] and references go; links, headings, quotes: marks"
    )
    citations: bool = Field(True, description="[1], [edit], [citation needed], [note 2] go")

    def edit(self, document: Document) -> Edited:
        text, removed = document.text, []

        def take(
            reason: str, keep: Callable[[re.Match[str]], str] = lambda match: ""
        ) -> Callable[[re.Match[str]], str]:
            def replace(match: re.Match[str]) -> str:
                removed.append(Removed(reason, match[0]))
                return keep(match)

            return replace

        if self.wiki:
            text = REFERENCE.sub(take("reference"), text)
            for _ in range(NESTED):
                text, times = TEMPLATE.subn(take("template"), text)
                if not times:
                    break
            text = FILE_LINK.sub(take("file link"), text)
            text = LINK.sub(take("link", lambda match: match[1]), text)
            text = URL_LINK.sub(take("link", lambda match: match[1] or ""), text)
            text = QUOTES.sub(take("quotes"), text)
            text = HEADING.sub(take("heading", lambda match: match[2]), text)
        if self.tags:
            text = COMMENT.sub(take("comment"), text)
            text = TAG.sub(take("tag"), text)
            text = ENTITY.sub(take("entity", lambda match: html.unescape(match[0])), text)
        if self.citations:
            text = CITATION.sub(take("citation mark"), text)
        return Edited(document.with_text(text), removed, {"removed_marks": len(removed)})
