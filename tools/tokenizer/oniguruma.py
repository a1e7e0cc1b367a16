"""Regular expressions of a tokenizer.json, which are Oniguruma's in Ruby's syntax, in the words of `regex`.

Only what differs is rewritten: `^` and `$` hold at every line, `\\w` has another set of characters, `\\h` is a
hexadecimal digit. What cannot be said the same way is refused.
"""

from __future__ import annotations

import re

from scratchgrad.errors import UserError, quoted

# Oniguruma's word characters, for inside of brackets: without joiners. Outside it adds six of Latin-1's numbers.
_IN_BRACKETS = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
WORD = _IN_BRACKETS + r"\xb2\xb3\xb9\xbc-\xbe"
HEXADECIMAL = "0-9a-fA-F"

_OUTSIDE = {
    "^": r"(?<![^\n])", "$": r"(?=\n|\Z)", r"\w": f"[{WORD}]", r"\W": f"[^{WORD}]", r"\h": f"[{HEXADECIMAL}]",
    r"\H": f"[^{HEXADECIMAL}]", r"\z": r"\Z", r"\Z": r"(?=\n?\Z)",
    r"\b": f"(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))",
    r"\B": f"(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}]))",
}  # fmt: skip
_INSIDE = {r"\w": _IN_BRACKETS, r"\h": HEXADECIMAL}
_REFUSED_INSIDE = (r"\W", r"\H", r"\b", "&&", "[")
_TOKEN = re.compile(r"\\.|\[:\^?\w+:\]|\(\?[a-z-]*m|\{[\d,]+\}\+|&&|.", re.DOTALL)


def rewritten(pattern: str) -> str:
    """The same pattern for `regex`; UserError where there is none."""
    parts: list[str] = []
    inside = False
    for match in _TOKEN.finditer(pattern):
        token = match.group()
        if token in (_REFUSED_INSIDE if inside else ()) or (token[:1] in "({" and len(token) > 1 and not inside):
            raise UserError(f"the regular expression {quoted(pattern)} has {token}, which is not supported there")
        if token == "[" or (token == "]" and inside):
            inside = token == "["
        parts.append((_INSIDE if inside else _OUTSIDE).get(token, token))
    return "".join(parts)
