"""What a source file is, and how much of it is for people: comments, docstrings, the text that a page shows."""

from __future__ import annotations

import csv
import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.document import Document

PATHS = ("path", "max_stars_repo_path", "file_path", "filename")  # metadata that says where a file stood
LANGUAGES = ("lang", "language", "programming_language")
EXTENSIONS = {
    "py": "python", "pyi": "python", "java": "java", "js": "javascript", "mjs": "javascript", "jsx": "javascript",
    "html": "html", "htm": "html", "xhtml": "html",
}  # fmt: skip

DOUBLE = r'"(?:[^"\\\n]|\\.)*"'
SINGLE = r"'(?:[^'\\\n]|\\.)*'"
TRIPLE = "|".join(
    rf"{quote * 3}[^{quote}\\]*(?:(?:\\.|{quote}(?!{quote * 2}))[^{quote}\\]*)*(?:{quote * 3}|\Z)" for quote in "\"'"
)
PYTHON = re.compile(rf"(?P<comment>#[^\n]*)|(?P<string>{TRIPLE}|{DOUBLE}|{SINGLE})", re.DOTALL)
C_LIKE = re.compile(rf"(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))|{DOUBLE}|{SINGLE}|`(?:[^`\\]|\\.)*`", re.DOTALL)
LEXICAL = re.compile(r"\w+|[^\w\s]")
TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")
HIDDEN = re.compile(r"<(script|style)\b[^<>]*>", re.IGNORECASE)


def extension_of(document: Document) -> str:
    """Of its path in small letters, without the dot; '' where there is none."""
    path = next((str(document.metadata[key]) for key in PATHS if document.metadata.get(key)), document.id)
    name = re.split(r"[/\\]", re.sub(r":\d+$", "", path))[-1]
    return name.rpartition(".")[2].lower() if "." in name else ""


def programming_language_of(document: Document) -> str:
    """'python', 'java', 'javascript', 'html', or '' for any other."""
    known = EXTENSIONS.get(extension_of(document))
    said = (str(document.metadata[key]).lower() for key in LANGUAGES if document.metadata.get(key))
    return known or next((name for name in said if name in EXTENSIONS.values()), "")


def comment_share(document: Document) -> float:
    """Characters of comments, and of docstrings in Python, among all; NaN for another language."""
    language, text = programming_language_of(document), document.text
    if language == "python":
        characters = _python_comments(text)
    elif language in ("java", "javascript"):
        characters = sum(len(found["comment"] or "") for found in C_LIKE.finditer(text))
    else:
        return math.nan
    return characters / len(text) if text else 0.0


def _python_comments(text: str) -> int:
    """Without the signs around them. A docstring is a string that is the first thing in a file or behind a colon."""
    characters, done, before = 0, 0, ":"
    for found in PYTHON.finditer(text):
        code = text[done : found.start()].rstrip("rRuU \t").rstrip()
        before = code[-1] if code else before
        done = found.end()
        if found["comment"] is not None:
            characters += len(found[0].lstrip("#").strip())
        else:
            if before == ":" and _begins_line(text, found.start()):
                characters += len(found[0].strip("\"'").strip())
            before = '"'
    return characters


def _begins_line(text: str, place: int) -> bool:
    return not text[text.rfind("\n", 0, place) + 1 : place].strip("rRuU \t")


def lexical_tokens(text: str) -> int:
    """Words and signs."""
    return len(LEXICAL.findall(text))


def visible_text(page: str) -> str:
    """Of an HTML page without scripts and styles; one that is not closed hides the rest, as in a browser."""
    shown, place = [], 0
    lower = page.lower() if page.isascii() else re.sub("[A-Z]", lambda match: match[0].lower(), page)
    while (found := HIDDEN.search(page, place)) is not None:
        shown.append(page[place : found.start()])
        end = lower.find(f"</{found[1].lower()}", found.end())
        place = len(page) if end < 0 else end
    shown.append(page[place:])
    return html.unescape(TAG.sub("", "".join(shown)))


@dataclass(frozen=True)
class ExtensionLimits:
    included: bool
    longest_line: float
    mean_line: float
    alphanumeric: float
    letters: float


@cache
def extension_limits(path: str) -> Mapping[str, ExtensionLimits]:
    """Of each extension, from the columns that BigCode's file has; what is no number there is no limit.

    Where two languages have an extension the first line with it counts that is included.
    """
    limits: dict[str, ExtensionLimits] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"'{path}' cannot be read as CSV: {error}") from None
    if not rows or not {"extension", "Include"} <= rows[0].keys():
        raise UserError(f"'{path}' needs a title line with the columns extension and Include, and lines below it")
    for row in rows:
        longest = _number(row, "Long_line_threshold", math.inf)
        limit = ExtensionLimits(
            included=row["Include"] == "1",
            longest_line=longest,
            mean_line=100.0 if longest < math.inf else math.inf,
            alphanumeric=_number(row, "Alphanum_threshold", 0.0),
            letters=_number(row, "Alpha filter", 0.0),
        )
        extension = (row["extension"] or "").lower()
        if extension not in limits or (limit.included and not limits[extension].included):
            limits[extension] = limit
    return limits


def _number(row: Mapping[str, Any], column: str, otherwise: float) -> float:
    try:
        return float(row.get(column) or "")
    except ValueError:
        return otherwise
