"""Proxies for accuracy, and no more: how far a source is trusted, when a text was written, and what was retracted."""

from __future__ import annotations

import datetime
import re
from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.document import Document
from scratchgrad.tools.curation.domains import domain_of, with_parents
from scratchgrad.tools.curation.step import Filter, Rule
from scratchgrad.tools.curation.trusted import DOI, URL, dois, normal_doi, normal_url, trust_table, urls, without_end

DATE = re.compile(r"(?<!\d)(\d{4})(?:-?(\d{2})(?:-?(\d{2}))?)?(?!\d)")


class Trust(Filter):
    """No rule is published by which a machine filters inaccuracies. These values stand in for it; all rules are off.

    `trust`: of the document's domain, of the nearest one that it belongs to, or of its source, in the user's table.
    `year`: of its date, with the day as a fraction. `retracted`: 1 if its own DOI or address is in a list of retracted
    ones; `cites_retracted`: how many of these its text names, which a report on a retraction does, too. NaN: not known.
    """

    source: ClassVar[str] = "none; tables and lists are the user's, such as Retraction Watch's"

    table: str | None = Field(None, description="a CSV file of source or domain, and trust from 0 to 1")
    dates: list[str] = Field(
        ["date", "published", "created", "timestamp"], description="fields of the metadata, of which the first counts"
    )
    retracted_dois: str | None = Field(None, description="a file of retracted DOIs, one a line")
    retracted_urls: str | None = Field(None, description="a file of retracted addresses, one a line")
    min_trust: float | None = Field(None, ge=0, le=1, description="where it is known")
    min_year: float | None = Field(None, description="of the date; 2020.5 is the middle of 2020")
    max_year: float | None = Field(None, description="of the date: before the next year's first day is 2021")
    max_retracted: int | None = Field(None, ge=0, description="0 drops what was retracted itself")
    max_cites_retracted: int | None = Field(None, ge=0, description="retracted DOIs and addresses that a text names")

    def paths(self) -> list[str]:
        return [path for path in (self.table, self.retracted_dois, self.retracted_urls) if path is not None]

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("trust", ">=", "min_trust", "its source is not trusted enough"),
            ("year", ">=", "min_year", "too old"),
            ("year", "<=", "max_year", "too new"),
            ("retracted", "<=", "max_retracted", "it was retracted"),
            ("cites_retracted", "<=", "max_cites_retracted", "it names what was retracted"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        asked = {
            "trust": self._trust, "year": self._year, "retracted": self._retracted,
            "cites_retracted": self._cites_retracted,
        }  # fmt: skip
        return {
            name: np.array([value(document) for document in batch.documents], np.float64)
            for name, value in asked.items()
        }

    def _trust(self, document: Document) -> float:
        table = trust_table(self.table)
        names = [*with_parents(domain_of(document)), document.source.lower()]
        return next((table[name] for name in names if name in table), np.nan)

    def _year(self, document: Document) -> float:
        values = (document.stated(name) for name in self.dates)
        return next((year for value in values if (year := year_of(value)) is not None), np.nan)

    def _retracted(self, document: Document) -> float:
        if self.retracted_dois is None and self.retracted_urls is None:
            return np.nan
        url, doi = (str(document.stated(name) or "") for name in ("url", "doi"))
        own = {normal_doi(doi), normal_doi(url), *map(normal_doi, DOI.findall(url))} - {""}
        return float(bool(own & dois(self.retracted_dois)) or normal_url(url) in urls(self.retracted_urls))

    def _cites_retracted(self, document: Document) -> float:
        if self.retracted_dois is None and self.retracted_urls is None:
            return np.nan
        found: set[str] = set()
        if self.retracted_dois is not None and "10." in document.text:
            found |= set(map(normal_doi, DOI.findall(document.text))) & dois(self.retracted_dois)
        if self.retracted_urls is not None and "://" in document.text:
            named = {normal_url(without_end(url)) for url in URL.findall(document.text)}
            found |= named & urls(self.retracted_urls)
        return float(len(found))


def year_of(value: object) -> float | None:
    """2020.0 of 2020, 2020-01 and 2020-01-01T10:00Z; None of what has no date between 1000 and 9998."""
    found = DATE.search(str(value)) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    if found is None:
        return None
    try:
        day = datetime.date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
    except ValueError:
        return None
    if not 1000 <= day.year <= 9998:
        return None
    first, following = datetime.date(day.year, 1, 1), datetime.date(day.year + 1, 1, 1)
    return day.year + (day - first).days / (following - first).days
