"""Personal data and secrets, replaced by typed placeholders that are the same for the same value.

What is found is in `personal_data.py`. A placeholder is `<EMAIL-1f3a9c>`: the kind, and 24 bits of a keyed hash of the
value, so that a text stays coherent (the same sender in a whole thread) and the value cannot be read from it. Who knows
the seed can test a guess: keep it to yourself, or set `linked: false`, and the placeholder is `<EMAIL>`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from scratchgrad.tools.curation import personal_data
from scratchgrad.tools.curation.document import Document, Removed
from scratchgrad.tools.curation.personal_data import Finder, Found
from scratchgrad.tools.curation.step import Edit, Edited, Rule

KINDS = {
    "secret": "secrets", "email": "emails", "iban": "ibans", "card": "cards", "ip_address": "ip_addresses",
    "phone": "phones",
}  # fmt: skip
PLACEHOLDER = re.compile(r"<(?:SECRET|EMAIL|IBAN|CARD|IP_ADDRESS|PHONE)(?:-[0-9a-f]{6})?>")


class Privacy(Edit):
    measures: ClassVar[tuple[str, ...]] = (*KINDS.values(), "redactions")
    source: ClassVar[str] = "the kinds of Dolma's pii taggers and BigCode's pii redaction; the rules are ours"

    emails: bool = True
    ip_addresses: bool = Field(True, description="public ones; private ones and well-known resolvers stay")
    phones: bool = Field(True, description="with a + or separators, and valid by their country's numbering plan")
    ibans: bool = True
    cards: bool = True
    secrets: bool = Field(True, description="keys in the forms that services publish, private keys, JSON web tokens")
    region: str = Field("US", description="of telephone numbers without a country code: ISO 3166, two letters")
    linked: bool = Field(True, description="the same value has the same placeholder")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of the hash in placeholders")
    max_redactions: Annotated[int, Field(ge=0)] | None = Field(
        None, description="drop a document with more; Dolma's choice is 5"
    )

    def rules(self) -> list[Rule]:
        if self.max_redactions is None:
            return []
        return [Rule("redactions", "<=", self.max_redactions, "max_redactions", "too much personal data")]

    def edit(self, document: Document) -> Edited:
        text, done, kept = document.text, 0, []
        removed: list[Removed] = []
        measured: dict[str, float] = dict.fromkeys(self.measures, 0.0)
        for kind, (start, end) in self._found(text):
            kept += [text[done:start], self._placeholder(kind, text[start:end])]
            removed.append(Removed(kind, masked(text[start:end])))
            measured[KINDS[kind]] += 1
            measured["redactions"] += 1
            done = end
        return Edited(document.with_text("".join([*kept, text[done:]])), removed, measured)

    def _found(self, text: str) -> list[tuple[str, Found]]:
        """In the order of the text, apart from each other: what overlaps is of the kind that stands first in KINDS."""
        is_taken = bytearray(len(text))
        for match in PLACEHOLDER.finditer(text):
            is_taken[match.start() : match.end()] = b"\1" * len(match[0])
        found = []
        for kind, find in self._finders().items():
            for span in find(text):
                if not any(is_taken[span.start : span.end]):
                    is_taken[span.start : span.end] = b"\1" * (span.end - span.start)
                    found.append((kind, span))
        return sorted(found, key=lambda one: one[1])

    def _finders(self) -> Mapping[str, Finder]:
        finders: dict[str, Finder] = {
            "secret": personal_data.secrets, "email": personal_data.emails, "iban": personal_data.ibans,
            "card": personal_data.card_numbers, "ip_address": personal_data.ip_addresses,
            "phone": partial(personal_data.phone_numbers, region=self.region),
        }  # fmt: skip
        return {kind: find for kind, find in finders.items() if getattr(self, KINDS[kind])}

    def _placeholder(self, kind: str, value: str) -> str:
        if not self.linked:
            return f"<{kind.upper()}>"
        plain = re.sub(r"[\s().\-/]", "", value).casefold() if kind in ("iban", "card", "phone") else value.casefold()
        key = f"{self.seed}:{kind}".encode()
        digest = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=3, key=key).hexdigest()
        return f"<{kind.upper()}-{digest}>"


def masked(value: str) -> str:
    """At most the first and the last character of a value; whether it is long, but not how long."""
    return f"{value[0]}***{value[-1]}" if len(value) > 8 else "***"
