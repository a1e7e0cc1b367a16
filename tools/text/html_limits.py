"""Pages that a parser would need hours or all memory for are known before it begins.

Parsing and the search for the main text take time that grows with depth times length, and with the square of the
attributes of one tag and of the options of a page; and elements of style that stay open (`<b>`, `<font>`) are opened
again in every paragraph. Limits on these make time and memory a matter of length. They are counted, not timed, so that
what is refused depends on the page alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_DEPTH = 1000  # browsers end at 512
MAX_ATTRIBUTES = 1000  # of one tag
MAX_OPTIONS = 5000
MAX_REOPENED = 100 << 20  # bytes, about

_TAG = re.compile(r"<(\\?/)?([a-zA-Z][^\s/>]*)")  # closed as <\/b>, too, in scripts
_ATTRIBUTE = re.compile(r"""[\s/]+|[^\s/>][^\s/>=]*(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]*))?""")
_LONG_TAG = 2 * MAX_ATTRIBUTES  # characters: one of fewer has not so many attributes
# What HTML's parser opens again; what no end tag reaches past; what is empty or closed by the next one of its kind.
_STYLE = frozenset("a b big code em font i nobr s small strike strong tt u".split())  # noqa: SIM905
_MARKERS = frozenset("applet button caption marquee object table td template th".split())  # noqa: SIM905
_NEVER_NESTED = frozenset(
    "area base body br caption col colgroup dd dt embed head hr html img input keygen li link meta optgroup option p "  # noqa: SIM905
    "param source tbody td tfoot th thead tr track wbr".split()
)
_ELEMENT = 100  # bytes that one costs beside its tag, about


def too_much(html: str) -> str:
    """Why a page is not parsed, and '' where it is."""
    open_elements: list[str] = []
    style = _Style()
    options = last_begin = last_end = 0
    for tag in _TAG.finditer(html):
        if tag.start() - last_begin > _LONG_TAG and _attributes(html, last_end)[0] > MAX_ATTRIBUTES:
            break
        last_begin, last_end = tag.span()
        name, is_end = tag[2].lower(), tag[1] is not None
        style.reopened += style.left_open
        if style.reopened > MAX_REOPENED:
            return "elements of style that are not closed and opened again in each paragraph"
        if name in _STYLE:
            if is_end:
                style.end(name)
            elif name != "a" or not style.by_name.get("a"):
                style.begin(name, _ELEMENT + _attributes(html, last_end)[1] - tag.start(), len(open_elements))
        elif name == "p":
            style.paragraph(len(open_elements), begins=not is_end)
        elif is_end:
            _close(open_elements, name)
            style.leave(len(open_elements))
        elif name == "option":
            options += 1
            if options > MAX_OPTIONS:
                return f"more than {MAX_OPTIONS:,} options"
        elif name not in _NEVER_NESTED:
            open_elements.append(name)
        if len(open_elements) + style.count > MAX_DEPTH:
            return f"elements nested more than {MAX_DEPTH:,} deep"
    if _attributes(html, last_end)[0] > MAX_ATTRIBUTES:
        return f"a tag of more than {MAX_ATTRIBUTES:,} attributes"
    return ""


@dataclass(slots=True)
class _Opened:
    size: int
    depth: int
    in_paragraph: bool
    is_open: bool = True
    is_left_open: bool = False


class _Style:
    """The elements of style that are open. Left open are those whose block or paragraph has ended before them."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[_Opened]] = {}
        self.count = self.left_open = self.reopened = 0  # elements; bytes of those left open; bytes opened again
        self._within: list[_Opened] = []  # the others, from outer to inner
        self._paragraph_at = -1  # the depth of the last paragraph

    def begin(self, name: str, size: int, depth: int) -> None:
        opened = _Opened(size, depth, self._paragraph_at == depth)
        self.by_name.setdefault(name, []).append(opened)
        self._within.append(opened)
        self.count += 1

    def end(self, name: str) -> None:
        if self.by_name.get(name):
            opened = self.by_name[name].pop()
            opened.is_open = False
            self.count -= 1
            self.left_open -= opened.size * opened.is_left_open

    def paragraph(self, depth: int, begins: bool) -> None:
        self.leave(depth, of_paragraph=True)
        self._paragraph_at = depth if begins else -1

    def leave(self, depth: int, of_paragraph: bool = False) -> None:
        """A block has ended, and `depth` of them are open; or a paragraph at this depth has."""
        while self._within and (
            not self._within[-1].is_open
            or self._within[-1].depth > depth
            or (of_paragraph and self._within[-1].in_paragraph and self._within[-1].depth == depth)
        ):
            opened = self._within.pop()
            opened.is_left_open = True
            self.left_open += opened.size * opened.is_open


def _close(open_elements: list[str], name: str) -> None:
    """The innermost element of this name and what is in it, unless it stands outside of a marker."""
    for i in range(len(open_elements) - 1, -1, -1):
        if open_elements[i] == name:
            del open_elements[i:]
            return
        if open_elements[i] in _MARKERS:
            return


def _attributes(html: str, begin: int) -> tuple[int, int]:
    """Of a tag whose name ends at `begin`: how many it has, if they are not too many, and where they end."""
    at, count = begin, 0
    while at < len(html) and html[at] != ">" and (found := _ATTRIBUTE.match(html, at)):
        at = found.end()
        count += not found[0].isspace()
        if count > MAX_ATTRIBUTES:
            break
    return count, at
