"""Text as it was meant: characters that were decoded wrongly, control characters, white space."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, ClassVar

from pydantic import Field

from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.step import Edit, Edited
from scratchgrad.tools.text.optional import need

# C0 and C1 but for tab, newlines, form feed and U+0085; U+FEFF and what formats no text (ftfy's list)
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u206a-\u206f\ufeff\ufff9-\ufffb]")
SURROGATE = re.compile("[\ud800-\udfff]")
LINE_BREAK = re.compile("\r\n?|\u2028|\u2029")
BLANKS = re.compile(r"[^\S\n ][^\S\n]*| [^\S\n]+")  # all that is not one space
AROUND_NEWLINE = re.compile(r" \n ?|\n ")


class Unicode(Edit):
    """Mojibake by ftfy (Speer), which changes no quotation mark, ligature or width of a character here.

    White space: runs of blanks become one space, lines lose those at both ends, and of many newlines `newlines` stay
    (2 in DCLM's refinedweb.yaml). Code needs its blanks: `spaces=false`.
    """

    source: ClassVar[str] = "ftfy 6; DCLM, refinedweb.yaml (newline_removal_modifier)"
    measures: ClassVar[tuple[str, ...]] = ("mojibake_lines", "control_characters")

    mojibake: bool = Field(True, description="mend text that was decoded wrongly, as Ã© for é")
    control_characters: bool = Field(True, description="take out characters that nothing prints, half surrogate pairs")
    line_breaks: bool = Field(True, description="every way to end a line becomes a newline")
    nfc: bool = Field(False, description="Unicode's normal form C")
    spaces: bool = Field(True, description="one space for a run of blanks, none at the ends of lines")
    newlines: int | None = Field(2, ge=1, description="newlines, the most that follow each other")

    def edit(self, document: Document) -> Edited:
        text, removed = document.text, []
        mended, control = 0, 0
        if self.control_characters and SURROGATE.search(text):
            whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")  # two halves are one
            text, control = whole, len(text) - len(whole)
        if self.mojibake and not text.isascii():
            lines = text.split("\n")
            for index, line in enumerate(lines):
                if not line.isascii() and (better := _mended(line)) != line:
                    removed.append(Removed("mojibake", line))
                    lines[index] = better
                    mended += 1
            text = "\n".join(lines)
        if self.line_breaks:
            text = LINE_BREAK.sub("\n", text)
        if self.control_characters:
            text, found = CONTROL.subn("", text)
            control += found
        if self.nfc:
            text = unicodedata.normalize("NFC", text)
        if self.spaces:
            text = AROUND_NEWLINE.sub("\n", BLANKS.sub(" ", text)).strip(" ")
        if self.newlines is not None and "\n" * (self.newlines + 1) in text:
            text = re.sub(f"\n{{{self.newlines + 1},}}", "\n" * self.newlines, text)
        return Edited(document.with_text(text), removed, {"mojibake_lines": mended, "control_characters": control})


def _mended(line: str) -> str:
    ftfy: Any = need("ftfy", "curate")
    config = ftfy.TextFixerConfig(
        unescape_html=False, fix_latin_ligatures=False, fix_character_width=False, uncurl_quotes=False,
        fix_line_breaks=False, fix_surrogates=False, remove_terminal_escapes=False, remove_control_chars=False,
        normalization=None, explain=False,
    )  # fmt: skip
    mended: str = ftfy.fix_text(line, config)
    return mended
