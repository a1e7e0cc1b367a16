"""What a user's files say of sources: how far they are trusted, and what of them was retracted."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.curation.word_file import entries

# DOI handbook, section 2.2: a prefix of 10. and a registrant's number, a slash, and any printable characters.
DOI = re.compile(r"(?<![\w.])10\.\d{4,9}(?:\.\d+)*/[^\s\"'<>“”‘’{}|\\^`]+", re.IGNORECASE)
URL = re.compile(r"https?://[^\s\"'<>“”‘’{}|\\^`]+", re.IGNORECASE)
_RESOLVER = re.compile(r"^\s*(?:https?://)?(?:dx\.)?(?:www\.)?doi\.org/|^\s*(?:info:)?doi\s*[:/]\s*", re.IGNORECASE)
_PAIRS = {")": "(", "]": "["}


def without_end(text: str) -> str:
    """Without the marks of a sentence that stand behind an address; a bracket that it opened itself is part of it."""
    while text and (
        text[-1] in ".,;:!?*…" or (text[-1] in _PAIRS and text.count(text[-1]) > text.count(_PAIRS[text[-1]]))
    ):
        text = text[:-1]
    return text


def normal_doi(text: str) -> str:
    """`10.1000/ab` of doi:10.1000/AB, https://doi.org/10.1000%2Fab and their like; '' of what is no DOI."""
    found = DOI.match(unquote(_RESOLVER.sub("", text)).strip())
    return without_end(found[0]).lower() if found else ""


def normal_url(text: str) -> str:
    """Without scheme, www., fragment and a slash at the end; the host in small letters."""
    bare = re.sub(r"^\s*[a-z][a-z0-9+.-]*://", "", text, flags=re.IGNORECASE).partition("#")[0].strip()
    host, slash, path = bare.partition("/")
    return (host.lower().removeprefix("www.") + slash + path).rstrip("/")


@cache
def dois(path: str | None) -> frozenset[str]:
    """UserError for a line that is no DOI."""
    found = []
    for line in entries(path) if path is not None else ():
        found.append(normal_doi(line))
        if not found[-1]:
            raise UserError(f"'{path}' has the line {quoted(line)}, which is no DOI such as 10.1000/182")
    return frozenset(found)


@cache
def urls(path: str | None) -> frozenset[str]:
    return frozenset(normal_url(line) for line in (entries(path) if path is not None else ())) - {""}


@cache
def trust_table(path: str | None) -> Mapping[str, float]:
    """A source or domain in small letters, and its trust. The first line may be a title."""
    if path is None:
        return {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the table '{path}' cannot be read as CSV: {error}") from None
    table: dict[str, float] = {}
    for place, (number, row) in enumerate(rows):
        try:
            name, value = row[0].strip().lower().removeprefix("www."), float(row[1])
            if not 0 <= value <= 1 or not name:
                raise ValueError
        except (ValueError, IndexError):
            if place == 0:
                continue
            raise UserError(
                f"'{path}', line {number}: {quoted(','.join(row))} is no source or domain and trust from 0 to 1"
            ) from None
        if table.setdefault(name, value) != value:
            raise UserError(f"'{path}', line {number}: {quoted(name)} has two trusts, {table[name]:g} and {value:g}")
    return table
