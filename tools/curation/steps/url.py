"""Pages whose address says enough."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import ClassVar
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.curation.word_file import entries

NOT_WORD = re.compile(r"[^a-z0-9]+")


class Url(Filter):
    """Penedo et al. 2023 (RefinedWeb), appendix G.1, as datatrove's url_filter.py has it; the lists are the user's.

    `metadata["url"]` is asked; a document without one is not measured. A domain bans its subdomains, too.
    """

    source: ClassVar[str] = "datatrove, url_filter.py"

    domains: list[str] = Field(
        [], description="domains that are banned: en.wikipedia.org, or wikipedia.org for all of it"
    )
    domains_file: str | None = Field(None, description="more of them, one a line")
    urls_file: str | None = Field(None, description="whole addresses that are banned, one a line")
    words_file: str | None = Field(None, description="words that ban an address that has one between two of -._/?=")
    subwords_file: str | None = Field(None, description="words that ban an address wherever they stand in it")
    soft_words_file: str | None = Field(None, description="words of which an address may have a few")
    max_banned: int | None = Field(0, ge=0, description="domains, addresses, words and subwords that are found")
    max_soft_words: int | None = Field(1, ge=0, description="different soft words")

    def paths(self) -> list[str]:
        files = (self.domains_file, self.urls_file, self.words_file, self.subwords_file, self.soft_words_file)
        return [file for file in files if file is not None]

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("banned_domains", "<=", "max_banned", "banned domain"),
            ("banned_urls", "<=", "max_banned", "banned address"),
            ("banned_words", "<=", "max_banned", "banned word in the address"),
            ("banned_subwords", "<=", "max_banned", "banned part of a word in the address"),
            ("soft_words", "<=", "max_soft_words", "too many soft words in the address"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        urls = [str(document.stated("url") or "") for document in batch.documents]
        domains = _listed(self.domains_file, str.lower) | {domain.lower() for domain in self.domains}
        whole = _listed(self.urls_file, _bare)
        words, subwords, soft = (
            _listed(file, _word) for file in (self.words_file, self.subwords_file, self.soft_words_file)
        )
        asked: dict[str, Callable[[str], int]] = {
            "banned_domains": lambda url: sum(part in domains for part in _domains_of(url)),
            "banned_urls": lambda url: int(_bare(url) in whole),
            "banned_words": lambda url: len(words & set(NOT_WORD.split(url.lower()))),
            "banned_subwords": lambda url: sum(word in _word(url) for word in subwords),
            "soft_words": lambda url: len(soft & set(NOT_WORD.split(url.lower()))),
        }
        return {
            name: np.array([count(url) if url else np.nan for url in urls], np.float64) for name, count in asked.items()
        }


@cache
def _listed(path: str | None, normal: Callable[[str], str]) -> frozenset[str]:
    return frozenset() if path is None else frozenset(filter(None, map(normal, entries(path))))


def _word(entry: str) -> str:
    return NOT_WORD.sub("", entry.lower())


def _bare(url: str) -> str:
    return url.partition("://")[2].rstrip("/") if "://" in url else url.rstrip("/")


def _domains_of(url: str) -> list[str]:
    """`a.b.org` and each domain that it belongs to: b.org, org."""
    try:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:  # an address of IPv6 that is none
        return []
    labels = host.rstrip(".").split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]
